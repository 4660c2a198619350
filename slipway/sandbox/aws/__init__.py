"""The embedded AWS: one process on loopback that answers as the services Slipway uses, from memory.

It has two doors onto the same backends (moto's):
- the server door speaks HTTP; Python reaches it through `AWS_ENDPOINT_URL`;
- the proxy door takes `CONNECT` and speaks TLS under the services' own host names; Terraform reaches it through
  `HTTPS_PROXY`, so that its provider block and backend stay exactly what production uses.

Nothing is forwarded: a host that is no AWS service is refused at the proxy door. Everything is forgotten when the
process ends, Terraform's state included, so that the two can never disagree.

    python -m slipway.sandbox.aws serve --port 0 --proxy-port 0 --ready-file .sandbox/aws.json
"""

from slipway.sandbox.aws.environment import python_environment, terraform_environment

__all__ = ["python_environment", "terraform_environment"]
