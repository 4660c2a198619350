# The prod environment. What holds data cannot be destroyed by a plan.

provider "aws" {
  region              = var.region
  allowed_account_ids = var.account_id == null ? null : [var.account_id]

  default_tags {
    tags = {
      project     = var.prefix
      environment = "prod"
      managed_by  = "terraform"
    }
  }
}

module "platform" {
  source = "../../modules/platform"

  prefix                      = var.prefix
  environment                 = "prod"
  protected                   = true
  key_deletion_window_days    = 30
  secret_recovery_window_days = 30
  sources_bucket              = var.sources_bucket
  deployer_principals         = var.deployer_principals
  approver_principals         = var.approver_principals
  approver_session_name       = var.approver_session_name

  # Seven years, as audit papers are kept. COMPLIANCE, because evidence is about the account's administrators too, and
  # GOVERNANCE ends where one of them changes a policy.
  evidence_lock = { mode = "COMPLIANCE", days = 2557 }
}
