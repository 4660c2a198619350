variable "name" {
  description = "Name of the role."
  type        = string
}

variable "description" {
  description = "Who acts in the role, and why."
  type        = string
}

variable "trust_policy" {
  description = "JSON policy that says who may assume the role."
  type        = string
}

variable "policy" {
  description = "JSON policy that says what the role may do."
  type        = string
}

variable "max_session_s" {
  description = "Longest session in seconds."
  type        = number
  default     = 3600
}
