variable "prefix" {
  description = "First part of every name."
  type        = string
  default     = "finedge"
}

variable "region" {
  description = "AWS region."
  type        = string
  default     = "eu-west-1"
}

variable "account_id" {
  description = "The one account this root may touch; null where the account is not known beforehand."
  type        = string
  default     = null
}

variable "sources_bucket" {
  description = "Bucket that partners put their files into."
  type        = string
  default     = "finedge-sources"
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
}
