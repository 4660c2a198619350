"""The evidence bucket: everything signed and written once, and what of it counts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from slipway.adapters.aws import Aws
from slipway.adapters.evidence_bucket import EvidenceBucket
from slipway.adapters.signing import KmsSigner, PublicKey, signed
from slipway.approval import Review
from slipway.audit import approval_key, bundle_key, checkpoint_key, review_key
from slipway.errors import ConfigurationError, NotBootstrapped, Unavailable
from slipway.evidence import APPROVAL_TYPE, PAYLOAD_TYPE, REVIEW_TYPE, Checkpoint, Head, statement_of
from tests.core.test_approval import PLAN, signed_by
from tests.core.test_evidence import told

from .conftest import CREDENTIALS
from .door import Answer, Door

BUCKET = "finedge-staging-evidence"


@pytest.fixture
def evidence(aws: Aws) -> Iterator[EvidenceBucket]:
    place = {"LocationConstraint": "eu-west-1"}
    aws.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration=place, ObjectLockEnabledForBucket=True)
    rule = {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}
    configuration = {"ObjectLockEnabled": "Enabled", "Rule": rule}
    aws.s3.put_object_lock_configuration(Bucket=BUCKET, ObjectLockConfiguration=configuration)
    yield EvidenceBucket(aws.s3, BUCKET)
    listed = aws.s3.list_object_versions(Bucket=BUCKET)
    for one in (*listed.get("Versions", ()), *listed.get("DeleteMarkers", ())):
        version = {"Key": one["Key"], "VersionId": one["VersionId"]}
        aws.s3.delete_object(Bucket=BUCKET, **version, BypassGovernanceRetention=True)
    aws.s3.delete_bucket(Bucket=BUCKET)


@pytest.fixture(scope="module")
def signer(endpoint: str) -> KmsSigner:
    kms = Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS).kms
    return KmsSigner(kms, kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]["KeyId"])


@pytest.fixture(scope="module")
def key(signer: KmsSigner) -> PublicKey:
    return signer.verification_key


def review(**changes: str) -> Review:
    facts = {"deployment": "d-1", "environment": "staging", "identity": "arn/pat", "user_id": "AROA1:pat"}
    return Review(**{**facts, "reason": "closed", "at": "2026-11-02T12:00:00+00:00", **changes})


@contextmanager
def fetched(aws: Aws) -> Iterator[list[str]]:
    """Give the list of the keys that are fetched meanwhile."""
    asked: list[str] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        asked.append(params["Key"])

    aws.s3.meta.events.register("provide-client-params.s3.GetObject", note)
    try:
        yield asked
    finally:
        aws.s3.meta.events.unregister("provide-client-params.s3.GetObject", note)


def versions(aws: Aws, name: str) -> int:
    return len(aws.s3.list_object_versions(Bucket=BUCKET, Prefix=name).get("Versions", ()))


def test_a_bundle_is_kept_under_its_deployment_and_read_back(
    evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    bundle = told().bundle()
    name = evidence.seal(bundle, signer)

    assert name == bundle_key("d-1", bundle.head.seq)
    assert evidence.bundle("d-1", key) == (bundle, evidence.content(name))
    assert evidence.sealed() == {("d-1", bundle.head.seq)}


def test_the_last_bundle_of_a_deployment_is_the_one_that_counts(
    evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    found = told(fails_at="build")
    failed = next(event.seq for event in found.events if event.kind == "failed")
    evidence.seal(found.bundle(), signer)
    evidence.seal(found.bundle(ending=failed - 1), signer)

    assert evidence.bundle("d-1", key)[0].outcome == "succeeded"


def test_what_is_sealed_stays_as_it_was_first_signed(aws: Aws, evidence: EvidenceBucket, signer: KmsSigner) -> None:
    name = evidence.seal(told().bundle(), signer)
    before = evidence.content(name)
    evidence.seal(told().bundle(components={}), signer)

    assert evidence.content(name) == before
    assert versions(aws, name) == 1


def test_everything_is_written_under_the_buckets_own_retention(
    aws: Aws, evidence: EvidenceBucket, signer: KmsSigner
) -> None:
    evidence.anchor(Checkpoint(environment="staging", head=Head(seq=3, sha256="0" * 64)), signer)
    found = aws.s3.get_object_retention(Bucket=BUCKET, Key=checkpoint_key(3))["Retention"]

    assert found["Mode"] == "GOVERNANCE"


def test_a_bundle_that_is_not_there_or_not_signed_by_the_key_is_refused(
    aws: Aws, evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    with pytest.raises(ConfigurationError, match="d-1 has no evidence"):
        evidence.bundle("d-1", key)
    aws.s3.put_object(Bucket=BUCKET, Key=bundle_key("d-1", 1), Body=b"{}")
    with pytest.raises(ConfigurationError, match="is not an envelope"):
        evidence.bundle("d-1", key)


def test_a_bundle_of_another_deployment_or_a_second_one_proves_nothing(
    aws: Aws, evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    name = evidence.seal(told().bundle(), signer)
    content = evidence.content(name)
    aws.s3.put_object(Bucket=BUCKET, Key=bundle_key("d-2", 15), Body=content)
    with pytest.raises(ConfigurationError, match="was moved or replaced"):
        evidence.bundle("d-2", key)
    aws.s3.put_object(Bucket=BUCKET, Key=name, Body=content)
    with pytest.raises(ConfigurationError, match="was moved or replaced"):
        evidence.bundle("d-1", key)


def test_an_approval_counts_where_its_signer_wrote_it(
    evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    approval = signed_by("ben").approval
    name = evidence.approve(approval, signer)
    (found,) = evidence.approvals(PLAN.id, key)

    assert (found.approval, found.problem, name) == (approval, None, approval_key(approval))
    assert evidence.envelopes(PLAN.id, [found.sha256]) == (evidence.stored(name),)
    assert evidence.envelopes(PLAN.id, []) == evidence.envelopes(PLAN.id, ["0" * 64]) == ()
    assert evidence.approvals("0" * 64, key) == ()


@pytest.mark.parametrize(
    ("said", "place", "problem"),
    [
        ({}, {"user_id": "AROA1:chris"}, "stands where another may write"),
        ({"user_id": "AROA1:chris"}, {}, "was written by AROA1:chris, who is someone else"),
        ({"user_id": "AIDA1"}, {}, "was written by AIDA1, who is someone else"),
    ],
    ids=["under another's name", "in another's name", "in no role"],
)
def test_an_approval_that_is_not_its_writers_own_does_not_count(
    aws: Aws,
    evidence: EvidenceBucket,
    signer: KmsSigner,
    key: PublicKey,
    said: dict[str, str],
    place: dict[str, str],
    problem: str,
) -> None:
    """The one key is everybody's, so what a signer says of themselves proves nothing; where S3 let them write does."""
    approval = signed_by("ben", **said).approval
    name = approval_key(approval.model_copy(update=place))
    aws.s3.put_object(Bucket=BUCKET, Key=name, Body=signed(approval.to_bytes(), APPROVAL_TYPE, signer))

    assert [one.problem for one in evidence.approvals(PLAN.id, key)] == [problem]


def test_an_approval_that_was_replaced_or_not_signed_does_not_count(
    aws: Aws, evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    name = evidence.approve(signed_by("ben").approval, signer)
    aws.s3.put_object(Bucket=BUCKET, Key=name, Body=evidence.content(name))
    assert [one.problem for one in evidence.approvals(PLAN.id, key)] == ["was replaced after it was signed"]
    aws.s3.put_object(Bucket=BUCKET, Key=name, Body=b"{}")
    assert evidence.approvals(PLAN.id, key) == ()


def test_a_review_counts_as_an_approval_does(
    aws: Aws, evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    name = evidence.review(review(), signer)
    evidence.review(review(user_id="AROA1:chris"), signer)
    aws.s3.put_object(Bucket=BUCKET, Key=review_key(review(user_id="AROA1:ana")), Body=evidence.content(name))
    found = [(one.review.user_id, one.problem) for one in evidence.reviews("d-1", key)]

    assert found == [
        ("AROA1:pat", "stands where another may write"),
        ("AROA1:chris", "was written by AROA1:chris, who is someone else"),
        ("AROA1:pat", None),
    ]
    aws.s3.put_object(Bucket=BUCKET, Key=name, Body=evidence.content(name))
    assert evidence.reviews("d-1", key)[-1].problem == "was replaced after it was signed"


def test_what_somebody_signed_under_their_own_name_and_is_no_such_document_counts_for_nothing(
    aws: Aws, evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    evidence.review(review(), signer)
    for place, kind in (
        (review_key(review(user_id="AROA1:ana")), REVIEW_TYPE),
        (f"approvals/{PLAN.id}/x", APPROVAL_TYPE),
    ):
        aws.s3.put_object(Bucket=BUCKET, Key=place, Body=signed(b'{"x":1}', kind, signer))

    assert [one.review.user_id for one in evidence.reviews("d-1", key)] == ["AROA1:pat"]
    assert evidence.approvals(PLAN.id, key) == ()


def test_of_two_that_write_the_same_at_once_one_is_told_to_ask_again(
    behind: Aws, door: Door, signer: KmsSigner
) -> None:
    body = b"<Error><Code>ConditionalRequestConflict</Code><Message>at work</Message></Error>"
    door.next("PUT", Answer(status=409, body=body))
    with pytest.raises(Unavailable, match="is being written by others"):
        EvidenceBucket(behind.s3, BUCKET).review(review(), signer)


def test_what_is_kept_is_read_with_what_is_wrong_with_it(
    aws: Aws, evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    bundle = told().bundle()
    evidence.seal(bundle, signer)
    aws.s3.put_object(Bucket=BUCKET, Key="deployments/d-2/00000001.dsse.json", Body=b"{}")
    aws.s3.put_object(Bucket=BUCKET, Key="deployments/d-3/00000001.dsse.json", Body=b"{}")
    aws.s3.delete_object(Bucket=BUCKET, Key="deployments/d-3/00000001.dsse.json")
    good, bad, gone = evidence.kept("deployments/", PAYLOAD_TYPE, key)

    assert (good.problem, good.versions, good.statement) == (None, 1, json.loads(statement_of(bundle)))
    assert (bad.problem or "").startswith("is not an envelope")
    assert (gone.problem, gone.versions) == ("was removed", 2)


def test_an_object_is_not_fetched_whose_only_version_is_the_one_a_copy_is_of(
    aws: Aws, evidence: EvidenceBucket, signer: KmsSigner, key: PublicKey
) -> None:
    names = [evidence.approve(signed_by(name).approval, signer) for name in ("ben", "chris", "pat")]
    found = [evidence.stored(name) for name in names]
    copies = {(one.key, str(one.version)): one.content for one in found if one is not None}
    plainly = evidence.kept("approvals/", APPROVAL_TYPE, key)

    with fetched(aws) as asked:
        assert evidence.kept("approvals/", APPROVAL_TYPE, key, copies) == plainly
        assert asked == []

        version = aws.s3.list_object_versions(Bucket=BUCKET, Prefix=names[0])["Versions"][0]["VersionId"]
        aws.s3.delete_object(Bucket=BUCKET, Key=names[0], VersionId=version, BypassGovernanceRetention=True)
        aws.s3.put_object(Bucket=BUCKET, Key=names[0], Body=copies[names[0], version].replace(b"a", b"b", 1))
        aws.s3.delete_object(Bucket=BUCKET, Key=names[1])
        aws.s3.put_object(Bucket=BUCKET, Key=names[2], Body=b"{}")
        changed, removed, replaced = evidence.kept("approvals/", APPROVAL_TYPE, key, copies)
        assert sorted(asked) == sorted(names)
    assert changed.problem
    assert (removed.problem, removed.versions) == ("was removed", 2)
    assert ((replaced.problem or "").startswith("is not an envelope"), replaced.versions) == (True, 2)


def test_a_bucket_that_was_never_made_is_said_to_be(aws: Aws, signer: KmsSigner, key: PublicKey) -> None:
    nowhere: Any = EvidenceBucket(aws.s3, "finedge-nowhere-evidence")
    for ask in (
        nowhere.sealed,
        lambda: nowhere.kept("deployments/", PAYLOAD_TYPE, key),
        lambda: nowhere.seal(told().bundle(), signer),
        lambda: nowhere.content("x"),
    ):
        with pytest.raises(NotBootstrapped):
            ask()
