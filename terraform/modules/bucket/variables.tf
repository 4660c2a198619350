variable "name" {
  description = "Name of the bucket; unique in the world."
  type        = string
}

variable "kms_key_arn" {
  description = "Key that encrypts the objects."
  type        = string
}

variable "versioned" {
  description = "Keep every version of every object."
  type        = bool
}

variable "force_destroy" {
  description = "Let the bucket be destroyed with its objects."
  type        = bool
  default     = false
}
