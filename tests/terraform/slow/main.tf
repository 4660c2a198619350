# Two resources and no provider: the second takes as long as it is told to.

terraform {
  required_version = ">= 1.11"

  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}

variable "pause_s" {
  description = "Seconds that making the second resource takes."
  type        = number
  default     = 0
}

variable "content" {
  description = "What the first resource holds."
  type        = string
  default     = "a"
}

resource "terraform_data" "first" {
  input = var.content
}

resource "terraform_data" "second" {
  depends_on = [terraform_data.first]

  provisioner "local-exec" {
    command = "sleep ${var.pause_s}"
  }
}

output "content" {
  value = terraform_data.first.output
}
