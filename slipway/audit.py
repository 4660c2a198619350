"""Audit: what the journal and the evidence say, held against each other; and a deployment told as a story. Pure.

What each check shows:
- a changed byte of an event: its digest; of an envelope: its signature (checked where it was read)
- an event removed, inserted or moved: the numbers and the chain
- a tail that was cut: a bundle or a checkpoint that names a head beyond it
- a bundle replaced or removed: its versions, and an end in the journal without a bundle
- an approval moved to another plan: the plan it names is not the plan under whose name it stands
- an approval in another person's name: who may write there is not who it says
- an approval that a deployment claims and nobody gave: its digest is that of no approval which is kept
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from slipway.approval import Approval, Review
from slipway.deployment import GENESIS, Event, fold
from slipway.documents import Document
from slipway.errors import ConfigurationError, SlipwayError
from slipway.evidence import BEGINNINGS, Bundle, Checkpoint, approvals_named, ended, problems_of

_D = TypeVar("_D", bound=Document)


@dataclass(frozen=True, kw_only=True, slots=True)
class JournalItem:
    """One item of the journal as it is stored: nothing in it is trusted."""

    seq: int
    sha256: str
    text: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """One signed object as it was found.

    Attributes:
        key: where it stands.
        versions: how many versions the object has, delete markers included; what nobody touched has one.
        statement: what it says; None when its signature does not hold.
        problem: what is wrong with its signature or its place.
        sha256: of the envelope.
    """

    key: str
    versions: int
    statement: Mapping[str, Any] | None
    problem: str | None
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One contradiction."""

    where: str
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """Everything an environment keeps about its deployments, as it was found.

    Attributes:
        plans: plan id -> digest of what is stored under it.
    """

    environment: str
    journal: tuple[JournalItem, ...]
    bundles: tuple[Kept, ...]
    checkpoints: tuple[Kept, ...]
    approvals: tuple[Kept, ...]
    reviews: tuple[Kept, ...]
    plans: Mapping[str, str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Verification:
    """What a verification found, and how much it looked at."""

    findings: tuple[Finding, ...]
    events: int
    deployments: int
    signatures: int

    @property
    def holds(self) -> bool:
        """True when nothing contradicts anything."""
        return not self.findings


def verify(records: Records) -> Verification:
    """Return every contradiction in the records. No side effects."""
    events, findings = read_journal(records.journal)
    try:
        deployments = fold(events)
    except SlipwayError as error:
        findings.append(Finding(where="journal", what=error.message))
        deployments = ()
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # of a known kind, with other content
        findings.append(Finding(where="journal", what=f"holds an event that no deployment writes: {error!r}"))
        deployments = ()
    kept = (*records.bundles, *records.checkpoints, *records.approvals, *records.reviews)
    findings += [Finding(where=one.key, what=_replaced(one)) for one in kept if one.versions != 1]
    findings += [Finding(where=one.key, what=str(one.problem)) for one in kept if one.problem]
    findings += _bundle_findings(records, events)
    findings += _checkpoint_findings(records, events)
    findings += _approval_findings(records)
    findings += _permission_findings(records, events)
    return Verification(
        findings=tuple(dict.fromkeys(findings)), events=len(events), deployments=len(deployments), signatures=len(kept)
    )


def read_journal(items: Iterable[JournalItem]) -> tuple[tuple[Event, ...], list[Finding]]:
    """Return the events that the items hold, in the order of their numbers, and what is wrong with them."""
    events: list[Event] = []
    findings: list[Finding] = []
    previous, number = GENESIS, 0
    for item in items:
        where = f"journal #{item.seq}"
        if item.seq > number + 1:
            gap = f"{number + 1}" if item.seq == number + 2 else f"{number + 1} to {item.seq - 1}"
            findings.append(Finding(where=f"journal #{gap}", what="is missing"))
        elif item.seq <= number:
            findings.append(Finding(where=where, what="has a number that no event can have here"))
        number = max(number, item.seq)
        try:
            event = Event.from_mapping(json.loads(item.text), origin=where)
            content = event.to_bytes()
        except (ConfigurationError, ValueError, TypeError, RecursionError) as error:
            findings.append(Finding(where=where, what=f"is no event: {str(error).splitlines()[0]}"))
            previous = item.sha256
            continue
        sha256 = hashlib.sha256(content).hexdigest()
        if sha256 != item.sha256 or content != item.text.encode(errors="surrogatepass"):
            findings.append(Finding(where=where, what="was changed: its digest is another"))
        if event.seq != item.seq:
            findings.append(Finding(where=where, what=f"holds event {event.seq}"))
        if event.previous != previous:
            findings.append(Finding(where=where, what="does not follow from the event before it"))
        previous = sha256
        events.append(event)
    return tuple(events), findings


def _replaced(one: Kept) -> str:
    return f"has {one.versions} versions: it was replaced or removed after it was signed"


def _bundle_findings(records: Records, events: Sequence[Event]) -> list[Finding]:
    by_seq = {event.seq: event for event in events}
    own: dict[str, list[int]] = {}  # deployment -> numbers of its events
    for event in events:
        own.setdefault(event.deployment, []).append(event.seq)
    findings: list[Finding] = []
    sealed = set()
    for one in records.bundles:
        bundle = _read(Bundle, one, findings, of="predicate")
        if one.statement is None or bundle is None:
            continue
        if one.key != bundle_key(bundle.deployment, bundle.head.seq) or bundle.environment != records.environment:
            findings.append(Finding(where=one.key, what=f"is the bundle of {bundle.deployment} #{bundle.head.seq}"))
        findings += [Finding(where=one.key, what=said) for said in problems_of(one.statement, bundle)]
        findings += [Finding(where=one.key, what=said) for said in _against_journal(bundle, by_seq, own)]
        sealed.add((bundle.deployment, bundle.head.seq))
    for deployment, endings in ended(events).items():
        for seq in endings:
            if (deployment, seq) not in sealed:
                what = (
                    "ended without a bundle: it was removed, or never sealed (the next deployment seals what is left)"
                )
                findings.append(Finding(where=f"{deployment} #{seq}", what=what))
    return findings


def _against_journal(bundle: Bundle, by_seq: Mapping[int, Event], own: Mapping[str, Sequence[int]]) -> list[str]:
    if bundle.head.seq not in by_seq:
        return [f"names event {bundle.head.seq}, which the journal does not have: its tail was cut"]
    others = [event.seq for event in bundle.events if by_seq.get(event.seq) != event]
    if others:
        return [f"tells {_numbers(others)} otherwise than the journal"]
    known = {event.seq for event in bundle.events}
    added = [seq for seq in own.get(bundle.deployment, ()) if seq <= bundle.head.seq and seq not in known]
    return [f"does not know {_numbers(added)} of the journal"] if added else []


def _checkpoint_findings(records: Records, events: Sequence[Event]) -> list[Finding]:
    by_seq = {event.seq: event for event in events}
    findings: list[Finding] = []
    for one in records.checkpoints:
        checkpoint = _read(Checkpoint, one, findings)
        if checkpoint is None:
            continue
        if one.key != checkpoint_key(checkpoint.head.seq) or checkpoint.environment != records.environment:
            findings.append(Finding(where=one.key, what=f"is the checkpoint of event {checkpoint.head.seq}"))
        elif checkpoint.head.seq not in by_seq:
            said = f"names event {checkpoint.head.seq}, which the journal does not have: its tail was cut"
            findings.append(Finding(where=one.key, what=said))
        elif by_seq[checkpoint.head.seq].sha256 != checkpoint.head.sha256:
            findings.append(Finding(where=one.key, what=f"names another event {checkpoint.head.seq}"))
    return findings


def _approval_findings(records: Records) -> list[Finding]:
    findings: list[Finding] = []
    for one in records.approvals:
        approval = _read(Approval, one, findings)
        if approval and (one.key, approval.environment) != (approval_key(approval), records.environment):
            said = (
                f"is {approval.identity}'s approval of plan {approval.plan[:12]} for {approval.environment}: "
                "it was moved"
            )
            findings.append(Finding(where=one.key, what=said))
        findings += _writer_findings(one, approval)
    for one in records.reviews:
        review = _read(Review, one, findings)
        if review and (one.key, review.environment) != (review_key(review), records.environment):
            said = f"is a review of {review.deployment} in {review.environment}: it was moved"
            findings.append(Finding(where=one.key, what=said))
        findings += _writer_findings(one, review)
    return findings


def _writer_findings(one: Kept, said: Approval | Review | None) -> list[Finding]:
    if said is None or is_writers_own(said):
        return []
    return [Finding(where=one.key, what=f"says it is {said.identity}'s, and {said.user_id} wrote it")]


def _permission_findings(records: Records, events: Iterable[Event]) -> list[Finding]:
    """Return where a beginning names a plan that is not kept as it was, or an approval that nobody gave for it."""
    given = {one.sha256: str(one.statement.get("plan")) for one in records.approvals if one.statement is not None}
    findings = []
    for event in events:
        if event.kind not in BEGINNINGS:
            continue
        plan = str(event.data.get("plan"))
        if records.plans.get(plan) != plan:
            findings.append(Finding(where=f"plans/{plan}.json", what="is not the plan that was applied, or is gone"))
        where = f"journal #{event.seq}"
        findings += [
            Finding(where=where, what=f"names an approval ({sha256[:12]}) that nobody gave for its plan")
            for sha256 in approvals_named(event)
            if given.get(sha256) != plan
        ]
    return findings


def _read(kind: type[_D], one: Kept, findings: list[Finding], *, of: str | None = None) -> _D | None:
    """Return the document that a signed object holds, or None; what was signed and is no such document is a finding.

    Side effects: `findings` grows.
    """
    if one.statement is None:
        return None
    try:
        return kind.from_mapping(one.statement.get(of, {}) if of else one.statement, origin=one.key)
    except ConfigurationError as error:
        said = "; ".join(line.strip() for line in error.message.splitlines()[1:])
        findings.append(Finding(where=one.key, what=f"is no {kind.__name__.lower()}: {said}"))
        return None


def bundle_key(deployment: str, seq: int) -> str:
    """Return where the bundle of a deployment that ended at event `seq` stands."""
    return f"deployments/{deployment}/{seq:08d}.dsse.json"


def checkpoint_key(seq: int) -> str:
    """Return where the checkpoint of the journal's head `seq` stands."""
    return f"checkpoints/{seq:08d}.dsse.json"


def approval_key(approval: Approval) -> str:
    """Return where an approval stands: below its plan, under the one name that its signer may write."""
    when = re.sub(r"[^0-9T]", "", approval.at[:19])
    return f"approvals/{approval.plan}/{approval.kind}-{when}/{approval.user_id}.dsse.json"


def review_key(review: Review) -> str:
    """Return where a review stands: below its deployment, under the one name that its signer may write."""
    return f"reviews/{review.deployment}/{review.user_id}.dsse.json"


def is_writers_own(said: Approval | Review) -> bool:
    """Return whether the person a statement names is the one under whose name S3 let it be written.

    What it says of its signer is the signer's own word. AWS's word is the user id, `ROLE:SESSION` of a role's session;
    that the session's name is the person's is the role's to see to (terraform/modules/platform/role.tf).
    """
    session = said.user_id.partition(":")[2]
    return session != "" and said.identity.rpartition("/")[2] == session


def story(bundle: Bundle) -> tuple[str, ...]:
    """Return a deployment as sentences a person reads, in the order things happened."""
    return tuple(f"{event.at[:19].replace('T', ' ')}  {line}" for event in bundle.events for line in _sentences(event))


def _sentences(event: Event) -> list[str]:
    data = event.data
    match event.kind:
        case "began" | "resumed":
            return _beginning(event.kind, data)
        case "step-started":
            return [f"{data['kind']}: {data['summary']}"]
        case "step-done":
            found = "found done" if data["found"] else f"done in {data['duration_ms'] / 1000:.1f} s"
            return [f"  {found}: {data['summary']}"]
        case "step-failed":
            return [f"  failed after {data['duration_ms'] / 1000:.1f} s: {data['message'].splitlines()[0]}"]
        case "verifying":
            return ["looked at the environment again"]
        case "succeeded":
            return ["succeeded: there was nothing left to do"]
        case "failed" | "abandoned":
            return [f"{event.kind}: {data['message'].splitlines()[0]}"]
        case "lock-broken":
            return [f"{data['by']} broke the lock of {data['holder']}: {data['reason']}"]


def _beginning(kind: str, data: Mapping[str, Any]) -> list[str]:
    verb = "began" if kind == "began" else "went on with"
    lines = [f"{data['by']} {verb} the {data['purpose']} of version {data['version']} by plan {data['plan'][:12]}"]
    if data.get("breaks_glass"):
        lines.append("THE GLASS WAS BROKEN: gates were lifted, and a review is owed")
    for one in data.get("approvals", ()):
        said = "had approved it" if one["kind"] == "approval" else "broke the glass for it"
        lines.append(f"  {one['person']} {said}: {one['reason']}")
    lines += [f"  gate {one['id']} {one['state']}: {one['reason']}" for one in data.get("gates", ())]
    return lines


def _numbers(seqs: Sequence[int]) -> str:
    return f"event {seqs[0]}" if len(seqs) == 1 else f"events {', '.join(map(str, seqs))}"
