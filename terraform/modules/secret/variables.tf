variable "name" {
  description = "Name of the secret; slashes make folders."
  type        = string
}

variable "description" {
  description = "What opens with it, and who rotates it."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the value."
  type        = string
}

variable "recovery_window_days" {
  description = "Days in which a deletion can be taken back: 0, or 7 to 30."
  type        = number
}
