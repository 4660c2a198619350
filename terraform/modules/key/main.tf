# One KMS key and its alias. The account's administrators look after the key through IAM; who may use a signing key is
# said here and nowhere else, so that no IAM policy written later can widen it.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  account_root = "arn:${data.aws_partition.current.partition}:iam::${data.aws_caller_identity.current.account_id}:root"
  signs        = var.usage == "SIGN_VERIFY"
}

data "aws_iam_policy_document" "this" {
  statement {
    sid       = "Administration"
    resources = ["*"]

    actions = concat([
      "kms:CancelKeyDeletion",
      "kms:Create*",
      "kms:Delete*",
      "kms:Describe*",
      "kms:Disable*",
      "kms:Enable*",
      "kms:Get*",
      "kms:List*",
      "kms:Put*",
      "kms:ScheduleKeyDeletion",
      "kms:TagResource",
      "kms:UntagResource",
      "kms:Update*",
    ], local.signs ? ["kms:Verify"] : ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*", "kms:ReEncrypt*"])

    principals {
      type        = "AWS"
      identifiers = [local.account_root]
    }
  }

  dynamic "statement" {
    for_each = local.signs ? [var.signers] : []

    content {
      sid       = "Signing"
      actions   = ["kms:Sign"]
      resources = ["*"]

      principals {
        type        = "AWS"
        identifiers = [local.account_root]
      }

      # By condition and not by principal: a key policy that names a role which does not exist yet is refused by AWS.
      condition {
        test     = "ArnEquals"
        variable = "aws:PrincipalArn"
        values   = statement.value
      }
    }
  }
}

resource "aws_kms_key" "this" {
  description              = var.description
  key_usage                = var.usage
  customer_master_key_spec = local.signs ? "ECC_NIST_P256" : "SYMMETRIC_DEFAULT"
  enable_key_rotation      = !local.signs # KMS rotates symmetric keys only
  deletion_window_in_days  = var.deletion_window_days
  policy                   = data.aws_iam_policy_document.this.json
}

resource "aws_kms_alias" "this" {
  name          = "alias/${var.name}"
  target_key_id = aws_kms_key.this.key_id
}
