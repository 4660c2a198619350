"""The evidence bucket: bundles, checkpoints, approvals and reviews, each signed, each written once.

Rules:
- Object Lock keeps what is written; the retention is the bucket's own default, so that no writer can choose less.
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
- Nothing is ever written over: an object with a second version was tampered with.
- Which name a person may write is IAM's: an approval counts only under the caller's own user id.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import botocore.exceptions
from securesystemslib.signer import Signer

from slipway.adapters.aws import code_of, translated
from slipway.adapters.signing import BadSignature, PublicKey, opened, signed
from slipway.approval import Approval, Review, Signed, SignedReview
from slipway.audit import Kept, approval_key, bundle_key, checkpoint_key, is_writers_own, review_key
from slipway.errors import ConfigurationError, Unavailable
from slipway.evidence import (
    APPROVAL_TYPE,
    CHECKPOINT_TYPE,
    PAYLOAD_TYPE,
    REVIEW_TYPE,
    Bundle,
    Checkpoint,
    Stored,
    statement_of,
)

_READERS = 16  # objects fetched at the same time


@dataclass(frozen=True, kw_only=True, slots=True)
class Listed:
    """One name as the bucket lists it.

    Attributes:
        versions: how many there are, delete markers included.
        newest: S3's name of the newest one; empty when that is a delete marker.
    """

    versions: int
    newest: str


class EvidenceBucket:
    """Reads and writes one environment's evidence."""

    def __init__(self, s3: Any, bucket: str) -> None:
        self._s3, self.bucket = s3, bucket

    # ---- writing -----------------------------------------------------------------------------------------------

    def seal(self, bundle: Bundle, signer: Signer) -> str:
        """Sign the bundle and keep it; return its key. One that is there already stays as it is."""
        key = bundle_key(bundle.deployment, bundle.head.seq)
        self._put(key, statement_of(bundle), PAYLOAD_TYPE, signer)
        return key

    def anchor(self, checkpoint: Checkpoint, signer: Signer) -> None:
        """Sign the head of the journal and keep it."""
        self._put(checkpoint_key(checkpoint.head.seq), checkpoint.to_bytes(), CHECKPOINT_TYPE, signer)

    def approve(self, approval: Approval, signer: Signer) -> str:
        """Sign the approval and keep it; return its key.

        Raises:
            StepFailed: this identity may not sign approvals, or not under this name.
        """
        key = approval_key(approval)
        self._put(key, approval.to_bytes(), APPROVAL_TYPE, signer)
        return key

    def review(self, review: Review, signer: Signer) -> str:
        """Sign the review and keep it; return its key. Raises as `approve`."""
        key = review_key(review)
        self._put(key, review.to_bytes(), REVIEW_TYPE, signer)
        return key

    def _put(self, key: str, payload: bytes, payload_type: str, signer: Signer) -> None:
        content = signed(payload, payload_type, signer)
        with translated(f"s3://{self.bucket}/{key}", self._s3):
            try:
                self._s3.put_object(Bucket=self.bucket, Key=key, Body=content, IfNoneMatch="*")
            except botocore.exceptions.ClientError as error:
                if code_of(error) == "ConditionalRequestConflict":  # another writer is at it; whoever is first stays
                    said = f"s3://{self.bucket}/{key} is being written by others"
                    raise Unavailable(said, fix="give the same command again") from error
                if code_of(error) != "PreconditionFailed":
                    raise

    # ---- reading -----------------------------------------------------------------------------------------------

    def names(self, prefix: str) -> dict[str, Listed]:
        """Return every key below `prefix` as it is listed."""
        found: dict[str, Listed] = {}
        with translated(f"s3://{self.bucket}/{prefix}", self._s3):
            for page in self._s3.get_paginator("list_object_versions").paginate(Bucket=self.bucket, Prefix=prefix):
                for one in page.get("Versions", ()):
                    before = found.get(one["Key"], Listed(versions=0, newest=""))
                    newest = one["VersionId"] if one["IsLatest"] else before.newest
                    found[one["Key"]] = Listed(versions=before.versions + 1, newest=newest)
                for one in page.get("DeleteMarkers", ()):
                    before = found.get(one["Key"], Listed(versions=0, newest=""))
                    found[one["Key"]] = Listed(versions=before.versions + 1, newest=before.newest)
        return found

    def content(self, key: str) -> bytes | None:
        """Return the bytes of one object, or None."""
        found = self.stored(key)
        return found.content if found else None

    def stored(self, key: str) -> Stored | None:
        """Return one object, or None."""
        with translated(f"s3://{self.bucket}/{key}", self._s3):
            try:
                answer = self._s3.get_object(Bucket=self.bucket, Key=key)
                return Stored.from_answer(key, answer)
            except botocore.exceptions.ClientError as error:
                if code_of(error) in ("NoSuchKey", "404"):
                    return None
                raise

    def kept(
        self,
        prefix: str,
        payload_type: str,
        key: PublicKey,
        copies: Mapping[tuple[str, str], bytes] | None = None,
    ) -> tuple[Kept, ...]:
        """Return every object below `prefix`, its signature checked, in the order of the names.

        Args:
            copies: (key, version) -> content of objects that need not be fetched.
        """

        def one(name: str, listed: Listed) -> Kept:
            content = (copies or {}).get((name, listed.newest)) if listed.versions == 1 else None
            if content is None:
                content = self.content(name)
            if content is None:
                return Kept(key=name, versions=listed.versions, statement=None, problem="was removed", sha256="")
            return checked(name, content, payload_type=payload_type, key=key, versions=listed.versions)

        with ThreadPoolExecutor(max_workers=_READERS) as pool:
            return tuple(pool.map(lambda named: one(*named), sorted(self.names(prefix).items())))

    def approvals(self, plan: str, key: PublicKey) -> tuple[Signed, ...]:
        """Return the approvals of a plan as they stand, each with what is wrong with it."""
        return tuple(_signed_approvals(self.kept(f"approvals/{plan}/", APPROVAL_TYPE, key)))

    def envelopes(self, plan: str, sha256s: Iterable[str]) -> tuple[Stored, ...]:
        """Return the envelopes of a plan's approvals that have one of the digests."""
        wanted = set(sha256s)
        if not wanted:
            return ()
        found = (self.stored(name) for name in sorted(self.names(f"approvals/{plan}/")))
        return tuple(one for one in found if one is not None and one.copy.sha256 in wanted)

    def checkpoints(self, seqs: Iterable[int], key: PublicKey) -> tuple[Stored, ...]:
        """Return the envelopes of the checkpoints at some events, those that are there and that `key` signed."""
        found = (self.stored(checkpoint_key(seq)) for seq in seqs)
        return tuple(
            one
            for one in found
            if one is not None and checked(one.key, one.content, payload_type=CHECKPOINT_TYPE, key=key).problem is None
        )

    def reviews(self, deployment: str, key: PublicKey) -> tuple[SignedReview, ...]:
        """Return the reviews of a deployment as they stand, each with what is wrong with it."""
        found = []
        for one in self.kept(f"reviews/{deployment}/", REVIEW_TYPE, key):
            review = one.document(Review)
            if review is not None:
                problem = _misplaced(one, review, review_key(review))
                found.append(SignedReview(review=review, problem=problem))
        return tuple(found)

    def sealed(self) -> frozenset[tuple[str, int]]:
        """Return deployment and head of every bundle that is there."""
        found = set()
        for name in self.names("deployments/"):
            deployment, _, file = name.removeprefix("deployments/").partition("/")
            number = file.partition(".")[0]
            if number.isdigit():
                found.add((deployment, int(number)))
        return frozenset(found)

    def bundle(self, deployment: str, key: PublicKey) -> tuple[Bundle, bytes]:
        """Return the last bundle of a deployment and its envelope.

        Raises:
            ConfigurationError: there is none, its signature does not hold, or it is not where it was kept.
        """
        found = self.names(f"deployments/{deployment}/")
        names = sorted(found)
        content = self.content(names[-1]) if names else None
        if content is None:
            raise ConfigurationError(
                f"{deployment} has no evidence in s3://{self.bucket}", fix="invoke history --env ENV"
            )
        try:
            statement = opened(content, PAYLOAD_TYPE, key)
        except BadSignature as error:
            raise ConfigurationError(f"{names[-1]} {error}", fix="invoke audit.verify --env ENV") from error
        bundle = Bundle.from_mapping(statement.get("predicate", {}), origin=names[-1])
        if bundle_key(bundle.deployment, bundle.head.seq) != names[-1] or found[names[-1]].versions != 1:
            raise ConfigurationError(f"{names[-1]} was moved or replaced", fix="invoke audit.verify --env ENV")
        return bundle, content


def checked(name: str, content: bytes, *, payload_type: str, key: PublicKey, versions: int = 1) -> Kept:
    """Return an object with what its envelope says, or what is wrong with it."""
    sha256 = hashlib.sha256(content).hexdigest()
    try:
        statement: Mapping[str, Any] | None = opened(content, payload_type, key)
        problem = None
    except BadSignature as error:
        statement, problem = None, str(error)
    return Kept(key=name, versions=versions, statement=statement, problem=problem, sha256=sha256)


def _signed_approvals(kept: Iterable[Kept]) -> Iterable[Signed]:
    for one in kept:
        approval = one.document(Approval)
        if approval is not None:
            problem = _misplaced(one, approval, approval_key(approval))
            yield Signed(approval=approval, sha256=one.sha256, problem=problem)


def _misplaced(one: Kept, said: Approval | Review, key: str) -> str | None:
    """Return what is wrong with the place of a signed statement that belongs under `key`, if anything."""
    if one.key != key:
        return "stands where another may write"
    if not is_writers_own(said):
        return f"was written by {said.user_id}, who is someone else"
    return one.problem if one.versions == 1 else "was replaced after it was signed"
