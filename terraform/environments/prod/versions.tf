terraform {
  required_version = ">= 1.11"

  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }

  # Bucket, key and region come from -backend-config: they are the environment's configuration, not the release's.
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
