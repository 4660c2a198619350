"""The bucket that Terraform's state lives in: the one thing that must be there before Terraform."""

from __future__ import annotations

from typing import Any

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.errors import ConfigurationError

# A lock file leaves two versions behind each time; states can be brought back for this long.
NONCURRENT_DAYS = 90


def ensure_state_bucket(s3: Any, bucket: str, region: str) -> bool:
    """Make the bucket, or bring it back to what it must be; return whether it was made.

    It is versioned, encrypted, closed to the public, and forgets overwritten versions after 90 days. Asking again
    changes nothing.

    Args:
        s3: a boto3 S3 client of `region`.

    Raises:
        ConfigurationError: the name belongs to another account.
        Unavailable: S3 does not answer.

    Side effects: the bucket.
    """
    with translated(f"state bucket {bucket}", s3):
        made = _create(s3, bucket, region)
        s3.put_public_access_block(
            Bucket=bucket,
            PublicAccessBlockConfiguration={
                "BlockPublicAcls": True,
                "BlockPublicPolicy": True,
                "IgnorePublicAcls": True,
                "RestrictPublicBuckets": True,
            },
        )
        s3.put_bucket_encryption(
            Bucket=bucket,
            ServerSideEncryptionConfiguration={
                "Rules": [{"ApplyServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}]
            },
        )
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        s3.put_bucket_lifecycle_configuration(
            Bucket=bucket,
            LifecycleConfiguration={
                "Rules": [
                    {
                        "ID": "overwritten-versions",
                        "Status": "Enabled",
                        "Filter": {"Prefix": ""},
                        "NoncurrentVersionExpiration": {"NoncurrentDays": NONCURRENT_DAYS},
                        "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 7},
                    }
                ]
            },
        )
    return made


def _create(s3: Any, bucket: str, region: str) -> bool:
    # us-east-1 is the one region that must not be named:
    # https://docs.aws.amazon.com/AmazonS3/latest/API/API_CreateBucket.html (LocationConstraint)
    place = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
    try:
        s3.head_bucket(Bucket=bucket)
    except botocore.exceptions.ClientError as error:
        match code_of(error):
            case "404" | "NoSuchBucket":
                pass
            case "403":
                raise _foreign(bucket) from error
            case _:
                raise
    else:
        return False
    try:
        s3.create_bucket(Bucket=bucket, **place)
    except botocore.exceptions.ClientError as error:
        match code_of(error):
            case "BucketAlreadyOwnedByYou":  # made by someone else of ours a moment ago
                return False
            case "BucketAlreadyExists":
                raise _foreign(bucket) from error
            case _:
                raise
    return True


def _foreign(bucket: str) -> ConfigurationError:
    return ConfigurationError(
        f"the bucket {bucket} belongs to another account or may not be read",
        fix="choose another aws.prefix in the environment's configuration, or check the credentials",
    )
