# The dev environment. Made and destroyed at will: nothing is protected.

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = {
      project     = var.prefix
      environment = "dev"
      managed_by  = "terraform"
    }
  }
}

module "platform" {
  source = "../../modules/platform"

  prefix                      = var.prefix
  environment                 = "dev"
  protected                   = false
  key_deletion_window_days    = 7
  secret_recovery_window_days = 0
  sources_bucket              = var.sources_bucket
  deployer_principals         = var.deployer_principals
  approver_principals         = var.approver_principals
  approver_session_name       = var.approver_session_name

  # Rehearsals: long enough to look at, short enough to take the environment down again.
  evidence_lock = { mode = "GOVERNANCE", days = 1 }
}
