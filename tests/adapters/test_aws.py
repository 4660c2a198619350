"""AWS clients: whose settings count, and which of our errors each refusal is."""

from __future__ import annotations

import os
import uuid
from datetime import UTC
from pathlib import Path

import botocore.exceptions
import pytest
from botocore.exceptions import ClientError
from botocore.utils import parse_timestamp

from slipway.adapters.aws import Aws, moment, translated
from slipway.errors import ConfigurationError, NotBootstrapped, SlipwayError, StepFailed, Unavailable

from .conftest import CREDENTIALS

NOBODY = "http://127.0.0.1:9"  # discard: nothing answers there


def test_nothing_of_the_users_aws_reaches_the_embedded_one(endpoint: str, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(f"[default]\nendpoint_url = {NOBODY}\nregion = us-east-1\n[not a profile\n")
    os.environ |= {
        "AWS_PROFILE": "gone",
        "AWS_CONFIG_FILE": str(config),
        "AWS_ENDPOINT_URL_DYNAMODB": NOBODY,
        "AWS_USE_FIPS_ENDPOINT": "true",
        "AWS_SESSION_TOKEN": "theirs",
    }
    aws = Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS)

    assert aws.identity().startswith("arn:aws:")
    assert aws.dynamodb.meta.region_name == "eu-west-1"
    assert aws.dynamodb.list_tables()["ResponseMetadata"]["HTTPStatusCode"] == 200


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy"])
def test_loopback_is_not_asked_through_the_users_proxy(endpoint: str, variable: str) -> None:
    os.environ[variable] = NOBODY

    assert Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS).identity()


def test_in_the_cloud_a_profile_that_is_gone_is_told_with_its_fix() -> None:
    os.environ["AWS_PROFILE"] = "gone"

    with pytest.raises(ConfigurationError, match=r"\(gone\) could not be found(.|\n)*unset AWS_PROFILE"):
        Aws(region="eu-west-1")


def test_missing_credentials_are_told_as_a_matter_of_signing_in(endpoint: str) -> None:
    os.environ |= {
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }

    with pytest.raises(ConfigurationError, match=r"Unable to locate credentials(.|\n)*sign in"):
        Aws(region="eu-west-1", endpoint=endpoint).identity()


DENIED = (
    "User: arn:aws:sts::1:assumed-role/reader/ann is not authorized to perform: dynamodb:UpdateItem on resource: "
    "arn:aws:dynamodb:eu-west-1:1:table/t because no identity-based policy allows the dynamodb:UpdateItem action"
)
REFUSALS: tuple[tuple[str, int, str, type[SlipwayError], str], ...] = (
    ("ExpiredToken", 400, "The provided token has expired.", ConfigurationError, "fix: sign in again"),
    ("ExpiredTokenException", 400, "expired", ConfigurationError, "fix: sign in again"),
    ("InvalidClientTokenId", 403, "The security token is invalid", ConfigurationError, "fix: sign in again"),
    ("RequestTimeTooSkewed", 403, "too large a difference", ConfigurationError, "clock"),
    ("AccessDeniedException", 400, DENIED, StepFailed, "allow dynamodb:UpdateItem to arn:aws:sts::1:assumed-role/re"),
    ("AccessDenied", 403, "Access Denied", StepFailed, "this AWS identity may not dynamodb:Query"),
    ("403", 403, "Forbidden", StepFailed, "may not dynamodb:Query"),
    ("ThrottlingException", 400, "Rate exceeded", Unavailable, "again in a minute"),
    ("ProvisionedThroughputExceededException", 400, "", Unavailable, "again in a minute"),
    ("InternalServerError", 500, "", Unavailable, "again in a minute"),
    ("NotKnownYet", 503, "", Unavailable, "again in a minute"),
    ("NoSuchBucket", 404, "The specified bucket does not exist", NotBootstrapped, "asked in eu-west-1"),
    ("ResourceNotFoundException", 400, "not found", NotBootstrapped, "infra.bootstrap --env ENV"),
    ("ValidationException", 400, "One or more parameter values", SlipwayError, "AWS refused: One or more"),
)


@pytest.mark.parametrize(("code", "status", "message", "kind", "said"), REFUSALS)
def test_each_refusal_has_its_error(
    endpoint: str, code: str, status: int, message: str, kind: type[SlipwayError], said: str
) -> None:
    client = Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS).dynamodb
    answer = {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}

    with pytest.raises(SlipwayError) as refused, translated("the table", client):
        raise ClientError(answer, "Query")  # type: ignore[arg-type]
    assert type(refused.value) is kind
    assert said in str(refused.value)
    assert str(refused.value).startswith("the table: ")


def test_an_expired_single_sign_on_is_a_matter_of_signing_in() -> None:
    with pytest.raises(ConfigurationError, match="sign in again"), translated("the table"):
        raise botocore.exceptions.UnauthorizedSSOTokenError


def test_a_mistake_of_ours_keeps_its_traceback(endpoint: str) -> None:
    client = Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS).dynamodb

    with pytest.raises(botocore.exceptions.ParamValidationError), translated("the table", client):
        client.query(TabelName="t")


def test_silence_is_told_apart_from_a_refusal() -> None:
    error = botocore.exceptions.EndpointConnectionError(endpoint_url=NOBODY)

    with pytest.raises(Unavailable, match="does not answer"), translated("the table"):
        raise error


@pytest.mark.parametrize(
    "said",
    [
        "Sun, 29 Nov 2026 14:02:26 GMT",
        "2026-11-29T14:02:26.125Z",
        "2026-11-29T14:02:26+01:00",
        "20261129T140226Z",
        "Sun, 29 Nov 2026 14:02:26 -0000",
        "Sun, 29 Nov 2026 2:02:26 PM GMT",
        "1795961546",
        "1795961546.5",
        1795961546,
        1795961546.125,
    ],
    ids=str,
)
def test_a_moment_is_read_as_botocore_reads_it(said: str | float) -> None:
    assert moment(said) == parse_timestamp(said)
    assert moment(said).tzinfo is not None


@pytest.mark.parametrize(
    "said", ["", "soon", "T", "2026-02-31T00:00:00Z", "Sun, 31 Feb 2026 14:02:26 GMT", "2026-W48-7T00:00"]
)
def test_what_is_no_moment_is_refused_as_botocore_refuses_it(said: str) -> None:
    with pytest.raises(ValueError, match="Invalid timestamp"):
        moment(said)


@pytest.mark.parametrize("credentials", [CREDENTIALS, None], ids=["of the endpoint", "of the user"])
def test_a_client_reads_moments_so_and_keeps_a_connection_for_each_reader(
    endpoint: str, credentials: dict[str, str] | None
) -> None:
    os.environ |= {name.upper(): value for name, value in CREDENTIALS.items()}
    aws = Aws(region="eu-west-1", endpoint=endpoint, credentials=credentials)
    bucket = f"b-{uuid.uuid4()}"
    aws.s3.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    aws.s3.put_object(Bucket=bucket, Key="k", Body=b"v")
    answer = aws.s3.get_object(Bucket=bucket, Key="k")
    (listed,) = aws.s3.list_object_versions(Bucket=bucket)["Versions"]

    assert [answer["LastModified"].tzinfo, listed["LastModified"].tzinfo] == [UTC, UTC]  # botocore's own is another
    assert {one.meta.config.max_pool_connections for one in (aws.s3, aws.dynamodb)} == {64}
