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

variable "lock" {
  description = "Object Lock: how, and for how many days, every new version is kept from deletion. Null: no Object Lock. Can be given at the bucket's creation only."
  type = object({
    mode = string
    days = number
  })
  default = null

  validation {
    condition     = var.lock == null ? true : contains(["COMPLIANCE", "GOVERNANCE"], var.lock.mode) && var.lock.days > 0
    error_message = "The mode is COMPLIANCE or GOVERNANCE, and the days are more than 0."
  }

  validation {
    condition     = var.lock == null ? true : var.versioned && !var.force_destroy
    error_message = "A locked bucket is versioned, and never destroyed with its objects."
  }
}
