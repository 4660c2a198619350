# The staging environment. A rehearsal of prod that may be rebuilt.

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = {
      project     = var.prefix
      environment = "staging"
      managed_by  = "terraform"
    }
  }
}

module "platform" {
  source = "../../modules/platform"

  prefix                      = var.prefix
  environment                 = "staging"
  protected                   = false
  key_deletion_window_days    = 7
  secret_recovery_window_days = 7
  sources_bucket              = var.sources_bucket
  deployer_principals         = var.deployer_principals
  approver_principals         = var.approver_principals
  approver_session_name       = var.approver_session_name

  # Longer than any release stays promotable to prod.
  evidence_lock = { mode = "GOVERNANCE", days = 30 }
}
