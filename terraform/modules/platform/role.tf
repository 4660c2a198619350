# Who may touch what. The three roles share nothing but reading: a deployer cannot approve, an approver cannot deploy, and
# pipelines can do neither. None of them may delete an item of the deployment table, a version of evidence or its retention,
# or administer a key.

locals {
  sources_bucket_arn = "arn:${local.partition}:s3:::${var.sources_bucket}"
  secret_arns        = { for name, secret in module.secret : name => secret.arn }

  evidence_actions = {
    read      = ["s3:GetObject", "s3:GetObjectRetention", "s3:GetObjectVersion"]
    list      = ["s3:GetBucketObjectLockConfiguration", "s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions"]
    put       = ["s3:PutObject"] # the retention is the bucket's own: who may set one may set a shorter one
    bend      = ["s3:BypassGovernanceRetention", "s3:DeleteObjectVersion", "s3:PutObjectLegalHold"]
    configure = ["s3:PutBucketObjectLockConfiguration", "s3:PutBucketPolicy", "s3:PutBucketVersioning"]
  }
}

module "deployer" {
  source = "../role"

  name         = "${local.name}-deployer"
  description  = "Applies approved plans to ${local.name}"
  trust_policy = data.aws_iam_policy_document.trust_people["deployer"].json
  policy       = data.aws_iam_policy_document.deployer.json
}

module "approver" {
  source = "../role"

  name         = "${local.name}-approver"
  description  = "Approves plans for ${local.name}"
  trust_policy = data.aws_iam_policy_document.trust_people["approver"].json
  policy       = data.aws_iam_policy_document.approver.json
}

module "airflow" {
  source = "../role"

  name         = "${local.name}-airflow"
  description  = "Runs the pipelines of ${local.name}"
  trust_policy = data.aws_iam_policy_document.trust_airflow.json
  policy       = data.aws_iam_policy_document.airflow.json
}

data "aws_iam_policy_document" "trust_people" {
  for_each = {
    deployer = coalescelist(var.deployer_principals, ["arn:${local.partition}:iam::${local.account_id}:root"])
    approver = coalescelist(var.approver_principals, ["arn:${local.partition}:iam::${local.account_id}:root"])
  }

  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "AWS"
      identifiers = each.value
    }

    # An approval is a person's: nothing without a second factor may give one. IAM Identity Center asks for it at its own
    # door and leaves this key out; there the principals are a permission set's role, which nothing else can enter.
    dynamic "condition" {
      for_each = each.key == "approver" && var.approver_session_name == "$${aws:username}" ? ["true"] : []

      content {
        test     = "Bool"
        variable = "aws:MultiFactorAuthPresent"
        values   = [condition.value]
      }
    }

    # The session's name is the last part of the ARN and of the user id that S3 and KMS see: it must be the person's own.
    dynamic "condition" {
      for_each = each.key == "approver" ? [var.approver_session_name] : []

      content {
        test     = "StringEquals"
        variable = "sts:RoleSessionName"
        values   = [replace(condition.value, "$", "&")]
      }
    }
  }

  statement {
    actions = ["sts:SetSourceIdentity"]

    principals {
      type        = "AWS"
      identifiers = each.value
    }
  }
}

data "aws_iam_policy_document" "trust_airflow" {
  statement {
    actions = ["sts:AssumeRole"]

    principals {
      type        = "Service"
      identifiers = ["airflow-env.amazonaws.com", "airflow.amazonaws.com"]
    }

    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account_id]
    }
  }
}

data "aws_iam_policy_document" "deployer" {
  statement {
    sid       = "Releases"
    actions   = ["s3:GetObject", "s3:GetObjectVersion", "s3:PutObject"]
    resources = ["${module.releases_bucket.arn}/*"]
  }

  statement {
    sid       = "ReleaseNames"
    actions   = ["s3:GetBucketVersioning", "s3:ListBucket", "s3:ListBucketVersions"]
    resources = [module.releases_bucket.arn]
  }

  statement {
    sid       = "Journal"
    actions   = ["dynamodb:ConditionCheckItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"]
    resources = [module.deployments_table.arn]
  }

  statement {
    sid       = "Evidence"
    actions   = ["kms:GetPublicKey", "kms:Sign", "kms:Verify"]
    resources = [module.evidence_key.arn]
  }

  statement {
    sid       = "EvidenceToWrite"
    actions   = local.evidence_actions.put
    resources = ["${module.evidence_bucket.arn}/checkpoints/*", "${module.evidence_bucket.arn}/deployments/*"]
  }

  statement {
    sid       = "EvidenceToRead"
    actions   = local.evidence_actions.read
    resources = ["${module.evidence_bucket.arn}/*"]
  }

  statement {
    sid       = "EvidenceNames"
    actions   = local.evidence_actions.list
    resources = [module.evidence_bucket.arn]
  }

  # Denied, not only left out: no policy attached to the role later can let a deployer approve or bend.
  statement {
    sid       = "NoApprovalOfItsOwn"
    effect    = "Deny"
    actions   = local.evidence_actions.put
    resources = ["${module.evidence_bucket.arn}/approvals/*", "${module.evidence_bucket.arn}/reviews/*"]
  }

  statement {
    sid       = "NoApprovalSignature"
    effect    = "Deny"
    actions   = ["kms:Sign"]
    resources = [module.approvals_key.arn]
  }

  statement {
    sid       = "NoBending"
    effect    = "Deny"
    actions   = concat(local.evidence_actions.bend, local.evidence_actions.configure)
    resources = [module.evidence_bucket.arn, "${module.evidence_bucket.arn}/*"]
  }

  statement {
    sid       = "ApprovalsToCheck"
    actions   = ["kms:GetPublicKey", "kms:Verify"]
    resources = [module.approvals_key.arn]
  }

  statement {
    sid       = "Encryption"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [module.data_key.arn]
  }

  statement {
    sid       = "Notifications"
    actions   = ["sns:Publish"]
    resources = [module.deployments_topic.arn]
  }

  statement {
    sid       = "BuildCredentials"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = [local.secret_arns["warehouse/transformer"]]
  }
}

data "aws_iam_policy_document" "approver" {
  statement {
    sid       = "WhatToApprove"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${module.releases_bucket.arn}/*"]
  }

  # A saved Terraform plan shows sensitive values in clear.
  statement {
    sid       = "NoPlanFiles"
    effect    = "Deny"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${module.releases_bucket.arn}/terraform-plans/*"]
  }

  # Under one's own user id only, so that the key's name says who wrote it: all approvers sign with one key.
  statement {
    sid     = "OwnApprovals"
    actions = local.evidence_actions.put
    resources = [
      "${module.evidence_bucket.arn}/approvals/*/&{aws:userid}.dsse.json",
      "${module.evidence_bucket.arn}/reviews/*/&{aws:userid}.dsse.json",
    ]
  }

  statement {
    sid       = "EvidenceToRead"
    actions   = local.evidence_actions.read
    resources = ["${module.evidence_bucket.arn}/*"]
  }

  statement {
    sid       = "EvidenceNames"
    actions   = local.evidence_actions.list
    resources = [module.evidence_bucket.arn]
  }

  statement {
    sid       = "NoBending"
    effect    = "Deny"
    actions   = concat(local.evidence_actions.bend, local.evidence_actions.configure)
    resources = [module.evidence_bucket.arn, "${module.evidence_bucket.arn}/*"]
  }

  statement {
    sid       = "ReleaseNames"
    actions   = ["s3:ListBucket", "s3:ListBucketVersions"]
    resources = [module.releases_bucket.arn]
  }

  statement {
    sid       = "History"
    actions   = ["dynamodb:GetItem", "dynamodb:Query"]
    resources = [module.deployments_table.arn]
  }

  statement {
    sid       = "Signature"
    actions   = ["kms:GetPublicKey", "kms:Sign", "kms:Verify"]
    resources = [module.approvals_key.arn]
  }

  statement {
    sid       = "EvidenceToCheck"
    actions   = ["kms:GetPublicKey", "kms:Verify"]
    resources = [module.evidence_key.arn]
  }

  statement {
    sid       = "Encryption"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [module.data_key.arn]
  }
}

data "aws_iam_policy_document" "airflow" {
  statement {
    sid       = "Versions"
    actions   = ["s3:GetObject", "s3:GetObjectVersion"]
    resources = ["${module.releases_bucket.arn}/airflow/*"]
  }

  statement {
    sid       = "Landing"
    actions   = ["s3:AbortMultipartUpload", "s3:DeleteObject", "s3:GetObject", "s3:PutObject"]
    resources = ["${module.landing_bucket.arn}/*"]
  }

  statement {
    sid       = "Sources"
    actions   = ["s3:GetObject"]
    resources = ["${local.sources_bucket_arn}/*"]
  }

  statement {
    sid       = "Names"
    actions   = ["s3:GetBucketLocation", "s3:ListBucket"]
    resources = [module.releases_bucket.arn, module.landing_bucket.arn, local.sources_bucket_arn]
  }

  statement {
    sid       = "Encryption"
    actions   = ["kms:Decrypt", "kms:GenerateDataKey"]
    resources = [module.data_key.arn]
  }

  statement {
    sid       = "Credentials"
    actions   = ["secretsmanager:GetSecretValue"]
    resources = sort(values(local.secret_arns))
  }

  statement {
    sid       = "Notifications"
    actions   = ["sns:Publish"]
    resources = [module.deployments_topic.arn]
  }
}
