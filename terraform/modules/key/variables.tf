variable "name" {
  description = "Name of the alias, without \"alias/\"."
  type        = string
}

variable "description" {
  description = "What the key is for, as AWS shows it."
  type        = string
}

variable "usage" {
  description = "ENCRYPT_DECRYPT for a symmetric key, SIGN_VERIFY for an ECC_NIST_P256 key pair."
  type        = string

  validation {
    condition     = contains(["ENCRYPT_DECRYPT", "SIGN_VERIFY"], var.usage)
    error_message = "The usage is ENCRYPT_DECRYPT or SIGN_VERIFY."
  }
}

variable "signers" {
  description = "ARNs of the roles that may sign. Required for SIGN_VERIFY."
  type        = list(string)
  default     = []

  validation {
    condition     = var.usage != "SIGN_VERIFY" || length(var.signers) > 0
    error_message = "A signing key needs at least one signer."
  }
}

variable "deletion_window_days" {
  description = "Days between asking for the key's deletion and losing it, 7 to 30."
  type        = number
  default     = 30
}
