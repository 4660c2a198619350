"""AWS clients, and the one place where what boto3 raises becomes an error of ours.

Clients take endpoint, region and credentials from the environment, as every AWS SDK does, so the embedded platform
and a real account run the same code.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

from slipway.errors import NotBootstrapped, SlipwayError, Unavailable

_CONFIG = Config(
    retries={"mode": "standard", "max_attempts": 4},
    connect_timeout=5,  # seconds
    read_timeout=30,  # seconds
)


class Aws:
    """The clients of one account, made once.

    Args:
        endpoint: where the embedded AWS answers; None is AWS itself.
        credentials: `aws_access_key_id` and `aws_secret_access_key`; None leaves them to the SDK's own search.
    """

    def __init__(
        self, *, region: str, endpoint: str | None = None, credentials: Mapping[str, str] | None = None
    ) -> None:
        session = boto3.session.Session(region_name=region, **(credentials or {}))
        options: dict[str, Any] = {"endpoint_url": endpoint, "config": _CONFIG}
        self.region = region
        self.s3 = session.client("s3", **options)
        self.dynamodb = session.client("dynamodb", **options)
        self.sts = session.client("sts", **options)

    def identity(self) -> str:
        """Return the ARN of the caller, as AWS says it."""
        with translated("AWS identity"):
            return str(self.sts.get_caller_identity()["Arn"])


def code_of(error: botocore.exceptions.ClientError) -> str:
    """Return AWS's code of a refused call, e.g. `ConditionalCheckFailedException`."""
    return str(error.response.get("Error", {}).get("Code", ""))


@contextmanager
def translated(what: str) -> Iterator[None]:
    """Turn what boto3 raises into `Unavailable` (no answer), `NotBootstrapped` or `SlipwayError` (a refusal)."""
    try:
        yield
    except botocore.exceptions.ClientError as error:
        code = code_of(error)
        if code in ("NoSuchBucket", "ResourceNotFoundException"):
            raise NotBootstrapped(
                f"{what}: {error.response['Error'].get('Message', code)} ({code})",
                fix="invoke infra.bootstrap --env ENV",
            ) from error
        raise SlipwayError(f"{what}: AWS refused: {error.response['Error'].get('Message', code)} ({code})") from error
    except botocore.exceptions.BotoCoreError as error:
        raise Unavailable(
            f"{what}: AWS does not answer: {error}", fix="invoke sandbox.status, or check the network"
        ) from error
