output "buckets" {
  description = "Purpose to bucket name."
  value       = module.platform.buckets
}

output "deployments_table" {
  description = "Table of the lock and the journal."
  value       = module.platform.deployments_table
}

output "deployments_topic_arn" {
  description = "Topic that tells of deployments."
  value       = module.platform.deployments_topic_arn
}

output "keys" {
  description = "Purpose to key: its alias and its ARN."
  value       = module.platform.keys
}

output "role_arns" {
  description = "Role to ARN."
  value       = module.platform.role_arns
}

output "secret_arns" {
  description = "Name, without the environment's own prefix, to ARN."
  value       = module.platform.secret_arns
}
