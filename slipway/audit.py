"""Audit: what the journal and the evidence say, held against each other. Pure.

What each check shows:
- a changed byte of an event: its digest; of an envelope: its signature (checked where it was read)
- an event removed, inserted or moved: the numbers and the chain
- a tail that was cut: a bundle or a checkpoint that names a head beyond it
- a bundle replaced or removed: its versions, and an end in the journal without a bundle
- a checkpoint or an approval removed: the copy in a bundle, which says where it stood
- an approval moved to another plan: the plan it names is not the plan under whose name it stands
- an approval in another person's name: who may write there is not who it says
- an approval that a deployment claims and nobody gave: its digest is that of no approval which is kept
- a deployment that went ahead without the approvals it needed: the policy, asked again
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

from slipway.approval import Approval, Review, Signed, lacking
from slipway.deployment import GENESIS, Event, fold
from slipway.documents import Document
from slipway.errors import ConfigurationError, SlipwayError
from slipway.evidence import BEGINNINGS, Bundle, Checkpoint, approvals_named, ended, problems_of
from slipway.plan import Plan
from slipway.policy import Policy

_D = TypeVar("_D", bound=Document)
_COPIED = ("checkpoints/", "approvals/")  # what is signed by itself and copied into bundles


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

    def document(self, kind: type[_D]) -> _D | None:
        """Return the document it holds; None when what it says is not known, or is no such document.

        A person may sign anything under their own name: it counts for nothing, and `verify` tells of it.
        """
        if self.statement is None:
            return None
        try:
            return kind.from_mapping(self.statement, origin=self.key)
        except ConfigurationError:
            return None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One contradiction."""

    where: str
    what: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Records:
    """Everything an environment keeps about its deployments, as it was found.

    Attributes:
        plans, policies: id -> digest of what is stored under it.
        approvals_key: the approvers' public key, PEM.
    """

    environment: str
    journal: tuple[JournalItem, ...]
    bundles: tuple[Kept, ...]
    checkpoints: tuple[Kept, ...]
    approvals: tuple[Kept, ...]
    reviews: tuple[Kept, ...]
    plans: Mapping[str, str]
    policies: Mapping[str, str]
    approvals_key: str


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
    told, bundles = _bundle_findings(records, events)
    findings += told
    findings += _checkpoint_findings(records, events)
    findings += _approval_findings(records)
    findings += _permission_findings(records, events)
    findings += _gone_findings(records, bundles)
    findings += _unpermitted_findings(records, bundles)
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
            sha256 = event.sha256
        except (ConfigurationError, ValueError, TypeError, RecursionError) as error:
            findings.append(Finding(where=where, what=f"is no event: {_problems_in(error)}"))
            previous = item.sha256
            continue
        if {sha256, hashlib.sha256(item.text.encode(errors="surrogatepass")).hexdigest()} != {item.sha256}:
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


def _bundle_findings(records: Records, events: Sequence[Event]) -> tuple[list[Finding], dict[str, Bundle]]:
    """Return what is wrong with bundles, and by their keys those that could be read."""
    by_seq = {event.seq: event for event in events}
    own: dict[str, list[int]] = {}  # deployment -> numbers of its events
    for event in events:
        own.setdefault(event.deployment, []).append(event.seq)
    findings: list[Finding] = []
    sealed, read = set(), {}
    for one in records.bundles:
        bundle = _read(Bundle, one, findings, of="predicate")
        if one.statement is None or bundle is None:
            continue
        bundle = _with_known(bundle, by_seq)
        if one.key != bundle_key(bundle.deployment, bundle.head.seq) or bundle.environment != records.environment:
            findings.append(Finding(where=one.key, what=f"is the bundle of {bundle.deployment} #{bundle.head.seq}"))
        findings += [Finding(where=one.key, what=said) for said in problems_of(one.statement, bundle)]
        findings += [Finding(where=one.key, what=said) for said in _against_journal(bundle, by_seq, own)]
        if bundle.approvals and bundle.approvals_key != records.approvals_key:
            findings.append(Finding(where=one.key, what="names another key than the approvers'"))
        sealed.add((bundle.deployment, bundle.head.seq))
        read[one.key] = bundle
    for deployment, endings in ended(events).items():
        for seq in endings:
            if (deployment, seq) not in sealed:
                what = (
                    "ended without a bundle: it was removed, or never sealed (the next deployment seals what is left)"
                )
                findings.append(Finding(where=f"{deployment} #{seq}", what=what))
    return findings, read


def _with_known(bundle: Bundle, by_seq: Mapping[int, Event]) -> Bundle:
    """Return the bundle with the journal's own event wherever it tells the same one: its digest is known already."""
    events = (known if (known := by_seq.get(one.seq)) and known.is_written_as(one) else one for one in bundle.events)
    return bundle.model_copy(update={"events": tuple(events)})


def _gone_findings(records: Records, bundles: Mapping[str, Bundle]) -> list[Finding]:
    """Return the signed objects that a bundle holds a copy of and that are not kept any more."""
    kept = {one.key for one in (*records.checkpoints, *records.approvals)}
    return [
        Finding(where=copy.key, what=f"is gone, and the bundle of {bundle.deployment} holds a copy of it")
        for bundle in bundles.values()
        for copy in bundle.copies
        if copy.key.startswith(_COPIED) and copy.key not in kept
    ]


def _against_journal(bundle: Bundle, by_seq: Mapping[int, Event], own: Mapping[str, Sequence[int]]) -> list[str]:
    if bundle.head.seq not in by_seq:
        return [f"names event {bundle.head.seq}, which the journal does not have: its tail was cut"]
    # By digest: to Python, 1 and true are equal.
    others = [one.seq for one in bundle.events if one.seq not in by_seq or by_seq[one.seq].sha256 != one.sha256]
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
        policy = event.data.get("policy")
        if policy is not None and records.policies.get(str(policy)) != policy:
            what = "is not the policy that was asked, or is gone"
            findings.append(Finding(where=f"policies/{policy}.json", what=what))
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
        findings.append(Finding(where=one.key, what=f"is no {kind.__name__.lower()}: {_problems_in(error)}"))
        return None


def _problems_in(error: Exception) -> str:
    """Return in one line what keeps something from being a document."""
    first, *listed = getattr(error, "message", str(error)).splitlines() or [type(error).__name__]
    return "; ".join(line.strip() for line in listed) or first


def _unpermitted_findings(records: Records, bundles: Mapping[str, Bundle]) -> list[Finding]:
    """Return which deployments began without what their policy asks, or the one before it: judged again, from evidence.

    What allowed one when it began allows it when it goes on, with the same signatures.
    """
    signed = {one.sha256: _signed(one) for one in records.approvals}
    findings: list[Finding] = []
    policies: dict[str, Policy] = {}
    before: Policy | None = None
    for key, bundle in sorted(bundles.items(), key=lambda one: one[1].head.seq):
        try:
            plan = Plan.from_mapping(bundle.plan, origin=key)
            if plan.policy not in policies:
                policies[plan.policy] = Policy.from_mapping(bundle.policy or {}, origin=key)
        except ConfigurationError:
            findings.append(Finding(where=key, what="holds a plan or a policy that cannot be judged again"))
            continue
        policy = policies[plan.policy]
        for beginning in (one for one in bundle.events if _begins(one, plan)):
            own = [found for sha256 in approvals_named(beginning) if (found := signed.get(sha256)) is not None]
            glass, now = bool(beginning.data.get("breaks_glass")), _when(bundle.events[0].at)
            if now is None:
                findings.append(Finding(where=key, what="began at a time that is none"))
                break
            for asked in filter(None, (policy, before)):
                if said := lacking(own, plan, asked, breaks_glass=glass, now=now):
                    findings.append(Finding(where=key, what=f"went ahead without leave: {'; '.join(said)}"))
        if (bundle.outcome, plan.purpose) == ("succeeded", "deploy"):
            before = policy
    return findings


def _when(text: str) -> datetime | None:
    """Return the moment a text names; None without a date or a zone."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else None


def _begins(event: Event, plan: Plan) -> bool:
    return event.kind in BEGINNINGS and event.data.get("plan") == plan.id


def _signed(one: Kept) -> Signed | None:
    """Return an approval whose signature and place hold, or None."""
    approval = one.document(Approval) if one.problem is None else None
    return None if approval is None else Signed(approval=approval, sha256=one.sha256)


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


def _numbers(seqs: Sequence[int]) -> str:
    return f"event {seqs[0]}" if len(seqs) == 1 else f"events {', '.join(map(str, seqs))}"
