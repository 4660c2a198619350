# Who may touch what. The three roles share nothing but reading: a deployer cannot approve, an approver cannot deploy, and
# pipelines can do neither. None of them may delete an item of the deployment table or administer a key.

locals {
  sources_bucket_arn = "arn:${local.partition}:s3:::${var.sources_bucket}"
  secret_arns        = { for name, secret in module.secret : name => secret.arn }
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
    actions = ["sts:AssumeRole", "sts:SetSourceIdentity"]

    principals {
      type        = "AWS"
      identifiers = each.value
    }

    # An approval is a person's: nothing without a second factor may give one.
    dynamic "condition" {
      for_each = each.key == "approver" ? ["true"] : []

      content {
        test     = "Bool"
        variable = "aws:MultiFactorAuthPresent"
        values   = [condition.value]
      }
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

  statement {
    sid       = "Approvals"
    actions   = ["s3:PutObject"]
    resources = ["${module.releases_bucket.arn}/approvals/*"]
  }

  statement {
    sid       = "ReleaseNames"
    actions   = ["s3:ListBucket"]
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
