# Everything one environment has in AWS: what Slipway keeps, what pipelines land in, and who may touch which.

data "aws_caller_identity" "current" {}

data "aws_partition" "current" {}

locals {
  name       = "${var.prefix}-${var.environment}"
  account_id = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition

  # Spelled out, because the keys name the roles and the roles name the keys.
  role_arns = {
    for role in ["airflow", "approver", "deployer"] :
    role => "arn:${local.partition}:iam::${local.account_id}:role/${local.name}-${role}"
  }
}

module "data_key" {
  source = "../key"

  name                 = "${local.name}-data"
  description          = "Encrypts buckets, the deployment table, secrets and topics of ${local.name}"
  usage                = "ENCRYPT_DECRYPT"
  deletion_window_days = var.key_deletion_window_days
}

module "evidence_key" {
  source = "../key"

  name                 = "${local.name}-evidence"
  description          = "Signs the evidence of deployments to ${local.name}"
  usage                = "SIGN_VERIFY"
  signers              = [local.role_arns["deployer"]]
  deletion_window_days = var.key_deletion_window_days
}

module "approvals_key" {
  source = "../key"

  name                 = "${local.name}-approvals"
  description          = "Signs approvals of plans for ${local.name}"
  usage                = "SIGN_VERIFY"
  signers              = [local.role_arns["approver"]]
  deletion_window_days = var.key_deletion_window_days
}

module "releases_bucket" {
  source = "../bucket"

  name          = "${local.name}-releases"
  kms_key_arn   = module.data_key.arn
  versioned     = true
  force_destroy = !var.protected
}

module "landing_bucket" {
  source = "../bucket"

  name          = "${local.name}-landing"
  kms_key_arn   = module.data_key.arn
  versioned     = false
  force_destroy = !var.protected
}

# What happened, and who agreed. Never destroyed with its objects, whatever the environment: a lock that a destroy could
# go around would be none.
module "evidence_bucket" {
  source = "../bucket"

  name        = "${local.name}-evidence"
  kms_key_arn = module.data_key.arn
  versioned   = true
  lock        = var.evidence_lock
}

module "deployments_table" {
  source = "../table"

  name               = "${local.name}-deployments"
  kms_key_arn        = module.data_key.arn
  deletion_protected = var.protected
}

module "deployments_topic" {
  source = "../topic"

  name        = "${local.name}-deployments"
  kms_key_arn = module.data_key.arn
}

module "secret" {
  source   = "../secret"
  for_each = var.secrets

  name                 = "${local.name}/${each.key}"
  description          = each.value
  kms_key_arn          = module.data_key.arn
  recovery_window_days = var.secret_recovery_window_days
}
