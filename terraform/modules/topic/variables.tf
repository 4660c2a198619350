variable "name" {
  description = "Name of the topic."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts messages at rest."
  type        = string
}
