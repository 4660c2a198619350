output "buckets" {
  description = "Purpose to bucket name."
  value = {
    evidence = module.evidence_bucket.name
    landing  = module.landing_bucket.name
    releases = module.releases_bucket.name
  }
}

output "deployments_table" {
  description = "Table of the lock and the journal."
  value       = module.deployments_table.name
}

output "deployments_topic_arn" {
  description = "Topic that tells of deployments."
  value       = module.deployments_topic.arn
}

output "keys" {
  description = "Purpose to key: its alias and its ARN."
  value = {
    approvals = { alias = module.approvals_key.alias, arn = module.approvals_key.arn }
    data      = { alias = module.data_key.alias, arn = module.data_key.arn }
    evidence  = { alias = module.evidence_key.alias, arn = module.evidence_key.arn }
  }
}

output "secret_arns" {
  description = "Name, without the environment's own prefix, to ARN."
  value       = local.secret_arns
}

output "role_arns" {
  description = "Role to ARN."
  value = {
    airflow  = module.airflow.arn
    approver = module.approver.arn
    deployer = module.deployer.arn
  }
}
