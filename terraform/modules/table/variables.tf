variable "name" {
  description = "Name of the table."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the table."
  type        = string
}

variable "deletion_protected" {
  description = "Refuse to delete the table, whoever asks."
  type        = bool
}
