# A container for one secret. Its value is put there by whoever rotates it: a value in Terraform is a value in the state.

resource "aws_secretsmanager_secret" "this" {
  name                    = var.name
  description             = var.description
  kms_key_id              = var.kms_key_arn
  recovery_window_in_days = var.recovery_window_days
}
