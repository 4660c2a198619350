variable "prefix" {
  description = "First part of every name."
  type        = string

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{1,30}$", var.prefix))
    error_message = "The prefix is lower-case letters, digits and hyphens, 2 to 31 of them, and begins with a letter."
  }
}

variable "environment" {
  description = "Second part of every name."
  type        = string

  validation {
    condition     = contains(["dev", "staging", "prod"], var.environment)
    error_message = "The environment is dev, staging or prod."
  }
}

variable "protected" {
  description = "Refuse to destroy what holds data."
  type        = bool
}

variable "key_deletion_window_days" {
  description = "Days in which the deletion of a key can be taken back, 7 to 30."
  type        = number
}

variable "secret_recovery_window_days" {
  description = "Days in which the deletion of a secret can be taken back: 0, or 7 to 30."
  type        = number
}

variable "evidence_lock" {
  description = "How evidence is kept from deletion: COMPLIANCE lets nobody delete a version or shorten its retention, not even the account's root; GOVERNANCE lets whoever may change the bucket's policy."
  type = object({
    mode = string
    days = number
  })
}

variable "sources_bucket" {
  description = "Bucket that partners put their files into; read only."
  type        = string
}

variable "secrets" {
  description = "Containers to make: name, without the environment's own prefix, to description."
  type        = map(string)
  default = {
    "postgres/core"         = "Reads the core banking database; rotated by its administrators"
    "warehouse/loader"      = "Key pair of the loader in the warehouse; rotated by the platform team"
    "warehouse/transformer" = "Key pair of the transformer in the warehouse; rotated by the platform team"
  }
}

variable "deployer_principals" {
  description = "ARNs that may become the deployer. Empty: whom IAM of this account allows."
  type        = list(string)
  default     = []
}

variable "approver_principals" {
  description = "ARNs that may become the approver, with a second factor. Empty: whom IAM of this account allows."
  type        = list(string)
  default     = []
}

variable "approver_session_name" {
  description = "What the session of an approver must be called: a policy variable that AWS fills in, so that a signature names its person. The default is the IAM user's name; with IAM Identity Center a tag of its session, such as $${aws:PrincipalTag/userName}."
  type        = string
  default     = "$${aws:username}"

  validation {
    condition     = can(regex("^\\$\\{aws:(username|PrincipalTag/[A-Za-z0-9_.:/=+@-]+)\\}$", var.approver_session_name))
    error_message = "The session name is $${aws:username}, or $${aws:PrincipalTag/KEY} for a tag that the identity provider sets."
  }

  validation {
    condition     = var.approver_session_name == "$${aws:username}" || length(var.approver_principals) > 0
    error_message = "A session named by a tag needs approver_principals: anyone who may tag a user could take any name."
  }
}
