"""Evidence: what is signed at the end of a deployment, so that nobody can tell it otherwise later. Pure.

Rules:
- A bundle is an in-toto statement about the release: https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md
- It holds all that tells the deployment: plan, policy, the envelopes of its approvals, and its events in the journal
  with everything they say (gates, steps, ids of queries, Terraform's serial, the versions Airflow reported, times).
- It names the head of the journal at its end. The journal's writer cannot rewrite the bundle, so a tail that was cut
  off or rewritten shows. A checkpoint does the same at the beginning of a deployment.
- Plans and policies are kept as they were, not as this version of Slipway would read them.
- It holds what other objects say whole, and names the version of each: S3 never changes the content of a version, so
  that an object whose only version is the one named does not have to be fetched to know it.
  https://docs.aws.amazon.com/AmazonS3/latest/userguide/Versioning.html
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal

from slipway.deployment import ENDINGS, Event, EventKind
from slipway.documents import Document, canonical, digest_of

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUNDLE_TYPE = "urn:slipway:deployment:v1"
CHECKPOINT_TYPE = "application/vnd.slipway.checkpoint+json"
APPROVAL_TYPE = "application/vnd.slipway.approval+json"
REVIEW_TYPE = "application/vnd.slipway.review+json"
BEGINNINGS: frozenset[EventKind] = frozenset({"began", "resumed"})  # what names a plan, and who allowed it


class Head(Document):
    """The last event of the journal at some time."""

    seq: int
    sha256: str


class Checkpoint(Document):
    """The head of an environment's journal, signed as it was."""

    environment: str
    head: Head


class Copy(Document):
    """An object that a bundle holds a copy of.

    Attributes:
        version: as S3 names it.
        sha256: of the content.
    """

    key: str
    version: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Stored:
    """An object as it was fetched; `version` is None where versions are not kept."""

    key: str
    version: str | None
    content: bytes

    @classmethod
    def from_answer(cls, key: str, answer: Mapping[str, Any]) -> Stored:
        """Return what S3 answered to `GetObject`. Its version "null" is one whose content changes."""
        version = answer.get("VersionId", "null")
        return cls(key=key, version=None if version == "null" else version, content=answer["Body"].read())

    @property
    def copy(self) -> Copy:
        """What a bundle says of it."""
        return Copy(key=self.key, version=self.version or "", sha256=hashlib.sha256(self.content).hexdigest())


class Bundle(Document):
    """Everything that tells one deployment, as it ended.

    Attributes:
        plan: the plan's document; its digest is the plan's id.
        policy: the policy's document; its digest is named by the plan. None for a plan that names none.
        approvals: the envelopes that counted, as they were signed.
        approvals_key: the public key they verify with, PEM.
        checkpoints: the envelopes of the checkpoints at its beginnings, as they were signed.
        copies: where its plan, policy, approvals and checkpoints are kept.
        components: component of the release -> digest.
        events: the deployment's events, in the order of the journal.
    """

    environment: str
    deployment: str
    outcome: Literal["succeeded", "failed", "abandoned"]
    head: Head
    plan: dict[str, Any]
    policy: dict[str, Any] | None
    approvals: tuple[dict[str, Any], ...]
    approvals_key: str | None
    checkpoints: tuple[dict[str, Any], ...] = ()
    copies: tuple[Copy, ...] = ()
    components: dict[str, str]
    events: tuple[Event, ...]

    @property
    def release(self) -> str:
        """The id of the release that was deployed; empty when the plan was lost before it was signed."""
        return str(self.plan.get("release", ""))


def ended(events: Iterable[Event]) -> dict[str, list[int]]:
    """Return deployment -> sequence numbers of the events that ended it: each of them is sealed."""
    found: dict[str, list[int]] = {}
    for event in events:
        if event.kind in ENDINGS:
            found.setdefault(event.deployment, []).append(event.seq)
    return found


def bundle_of(
    events: Iterable[Event],
    *,
    environment: str,
    ending: Event,
    plan: Mapping[str, Any],
    policy: Mapping[str, Any] | None,
    approvals: Iterable[Mapping[str, Any]],
    approvals_key: str | None,
    checkpoints: Iterable[Mapping[str, Any]],
    copies: Iterable[Copy],
    components: Mapping[str, str],
) -> Bundle:
    """Return the bundle of the deployment that `ending` ended. No side effects; the same journal makes the same bundle.

    Args:
        events: of the journal; what came after the ending, and other deployments' events, are left out.
    """
    own = tuple(one for one in events if one.deployment == ending.deployment and one.seq <= ending.seq)
    return Bundle(
        environment=environment,
        deployment=ending.deployment,
        outcome=ending.kind,  # type: ignore[arg-type]
        head=Head(seq=ending.seq, sha256=ending.sha256),
        plan=dict(plan),
        policy=dict(policy) if policy is not None else None,
        approvals=tuple(dict(one) for one in approvals),
        approvals_key=approvals_key,
        checkpoints=tuple(dict(one) for one in checkpoints),
        copies=tuple(copies),
        components=dict(components),
        events=own,
    )


def statement_of(bundle: Bundle) -> bytes:
    """Return the statement that is signed: canonical bytes."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [{"name": "release", "digest": {"sha256": bundle.release}}],
            "predicateType": BUNDLE_TYPE,
            "predicate": bundle.model_dump(mode="json"),
        }
    )


def copies_in(statement: Mapping[str, Any]) -> dict[tuple[str, str], bytes]:
    """Return (key, version) -> content of every object that a bundle's statement holds a copy of."""
    by_digest = {hashlib.sha256(one).hexdigest(): one for one in _contents(statement)}
    said = statement.get("predicate")
    named = said.get("copies") if isinstance(said, dict) else None
    copies = [one for one in named if isinstance(one, dict)] if isinstance(named, list) else []
    return {
        (str(one.get("key")), str(one.get("version"))): by_digest[one["sha256"]]
        for one in copies
        if one.get("version") and one.get("sha256") in by_digest
    }


def _contents(statement: Mapping[str, Any]) -> list[bytes]:
    """Return what a bundle's statement holds whole, each as the object that it is a copy of."""
    said = statement.get("predicate")
    if not isinstance(said, dict):
        return []
    lists = (said.get(name) for name in ("approvals", "checkpoints"))
    held = (said.get("plan"), said.get("policy"), *(one for found in lists if isinstance(found, list) for one in found))
    return [canonical(one) for one in held if isinstance(one, dict)]


def problems_of(statement: Mapping[str, Any], bundle: Bundle) -> tuple[str, ...]:
    """Return where a statement contradicts itself, apart from its signature: empty when it does not."""
    said = []
    if (statement.get("_type"), statement.get("predicateType")) != (STATEMENT_TYPE, BUNDLE_TYPE):
        said.append("is not a statement about a deployment")
    if statement.get("subject") != [{"name": "release", "digest": {"sha256": bundle.release}}]:
        said.append("is about another release than its plan")
    if not bundle.events or bundle.events[-1].kind != bundle.outcome:
        said.append("does not end as its events do")
    elif (bundle.events[-1].seq, bundle.events[-1].sha256) != (bundle.head.seq, bundle.head.sha256):
        said.append("names another head than its last event")
    said += _chain_problems(bundle.events)
    if any(event.deployment != bundle.deployment for event in bundle.events):
        said.append("holds events of another deployment")
    named = [event.data for event in bundle.events if event.kind in BEGINNINGS]
    if not named or named[-1].get("plan") != digest_of(bundle.plan):
        said.append("holds another plan than its events name")
    policy = digest_of(bundle.policy) if bundle.policy is not None else None
    if policy != bundle.plan.get("policy") or any(data.get("policy") != policy for data in named[-1:]):
        said.append("holds another policy than its plan and its events name")
    begun = [event for event in bundle.events if event.kind in BEGINNINGS]
    if {one.sha256 for one in bundle.copies} - {hashlib.sha256(one).hexdigest() for one in _contents(statement)}:
        said.append("names a copy that it does not hold")
    counted = set(approvals_named(begun[-1])) if begun else set()
    held = [digest_of(envelope) for envelope in bundle.approvals]
    if counted - set(held):
        said.append("lacks an approval that counted")
    if len(held) > len(counted) or set(held) - counted:
        said.append("holds an approval that did not count")
    return tuple(said)


def approvals_named(event: Event) -> tuple[str, ...]:
    """Return the sha256 of each approval's envelope that a beginning names."""
    named = event.data.get("approvals")
    return tuple(str(one.get("sha256")) for one in named if isinstance(one, dict)) if isinstance(named, list) else ()


def _chain_problems(events: tuple[Event, ...]) -> list[str]:
    """Return where neighbours in the journal do not follow each other; notes of others may stand in between."""
    said = []
    for before, event in pairwise(events):
        if event.seq <= before.seq:
            said.append(f"event {event.seq} comes after event {before.seq}")
        elif event.seq == before.seq + 1 and event.previous != before.sha256:
            said.append(f"event {event.seq} does not follow from event {before.seq}")
    return said
