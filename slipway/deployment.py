"""Deployments: one application of one plan, told as events; what happened is what the events fold to.

Rules:
- Events are appended one by one, each with the sequence number after the last and the digest of the one before.
- The state of a deployment is a fold of its events through one table of transitions; anything else raises.
- A step that started and has no outcome is unknown, never "not done".
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Literal

from slipway.documents import Document, canonical
from slipway.errors import ConfigurationError, Differs, JournalError
from slipway.step import StepKind

State = Literal["applying", "verifying", "succeeded", "failed"]
EventKind = Literal[
    "began",
    "resumed",
    "step-started",
    "step-done",
    "step-failed",
    "verifying",
    "succeeded",
    "failed",
    "abandoned",
    "lock-broken",
    "script-undoing",
    "script-undone",
    "cleaned",
]
ENDINGS: frozenset[EventKind] = frozenset({"succeeded", "failed", "abandoned"})
# About the environment; they belong to no deployment
NOTES: frozenset[EventKind] = frozenset({"lock-broken", "script-undoing", "script-undone", "cleaned"})
_LOOK = "invoke audit.verify --env ENV, before anything else is deployed"
GENESIS = "0" * 64  # what the first event of a journal names as the one before

TRANSITIONS: Mapping[tuple[State | None, EventKind], State] = {
    (None, "began"): "applying",
    ("applying", "step-started"): "applying",
    ("applying", "step-done"): "applying",
    ("applying", "step-failed"): "applying",
    ("applying", "verifying"): "verifying",
    ("verifying", "succeeded"): "succeeded",
    ("applying", "failed"): "failed",
    ("verifying", "failed"): "failed",
    ("applying", "abandoned"): "failed",
    ("verifying", "abandoned"): "failed",
    ("applying", "resumed"): "applying",  # the process died without a word
    ("verifying", "resumed"): "applying",
    ("failed", "resumed"): "applying",
}


class Event(Document):
    """One line of the journal."""

    seq: int
    previous: str  # sha256 of the event before
    at: str  # ISO 8601, UTC, milliseconds
    deployment: str
    kind: EventKind
    data: dict[str, Any]

    def to_bytes(self) -> bytes:
        """Return the canonical bytes: its values are plain already, and converting them would take most of the time."""
        return canonical({name: getattr(self, name) for name in Event.model_fields})

    @property
    def sha256(self) -> str:
        """What the next event names as the one before."""
        return self.digest

    def is_written_as(self, other: Event) -> bool:
        """Return True only if both have the same bytes, without making them; False leaves it to their digests.

        To Python 1 and true are equal; as they are written they are not.
        """
        return repr(self._values) == repr(other._values)

    @property
    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in Event.model_fields)


@dataclass(frozen=True, kw_only=True, slots=True)
class StepRecord:
    """What the journal knows of one step of a deployment."""

    kind: StepKind
    summary: str
    plan: str  # that it is a step of
    state: Literal["unknown", "done", "found done", "failed"] = "unknown"
    duration_ms: int = 0
    outside_ms: int = 0  # of it, spent outside Slipway: `ports.Outcome.outside_s`
    evidence: Mapping[str, Any] = field(default_factory=dict)
    message: str | None = None


class Consent(Document):
    """One person's signature that allowed a deployment, as the journal names it.

    Attributes:
        sha256: of the envelope.
    """

    person: str
    kind: Literal["approval", "break-glass"]
    reason: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Deployment:
    """One deployment as its events tell it."""

    id: str
    state: State
    purpose: Literal["deploy", "rollback", "backfill"]
    plan: str
    release: str
    version: str
    slot: str
    replaces: str | None
    by: str
    commit: str | None
    dags: tuple[str, ...]  # ids that the release holds
    policy: str | None  # digest of the policy it was judged by
    consents: tuple[Consent, ...]
    breaks_glass: bool
    started_at: str
    ended_at: str | None = None
    worked_ms: int = 0  # from each beginning or resumption to the end that followed, or to its last event if it died
    since: str = ""  # the last of those beginnings
    heard_at: str = ""  # of its last event
    looked_ms: int = 0  # of it, spent asking the environment whether it is as planned
    steps: tuple[StepRecord, ...] = ()
    message: str | None = None
    error: str | None = None  # the class of what it failed by

    @property
    def approved_by(self) -> tuple[str, ...]:
        """The people whose signatures allowed it."""
        return tuple(dict.fromkeys(one.person for one in self.consents))

    @property
    def begun(self) -> frozenset[StepKind]:
        """The kinds of steps of its present plan that were started."""
        return frozenset(step.kind for step in self.steps if step.plan == self.plan)

    @property
    def done(self) -> frozenset[StepKind]:
        """Those of them that are recorded as done."""
        return frozenset(
            step.kind for step in self.steps if step.plan == self.plan and step.state in ("done", "found done")
        )

    @property
    def duration_ms(self) -> int | None:
        """The time it was worked on, pauses before a resumption left out; None while it runs."""
        return self.worked_ms if self.ended_at is not None else None


def fold(events: Iterable[Event]) -> tuple[Deployment, ...]:
    """Return the deployments the events tell of, oldest first. No side effects.

    Raises:
        JournalError: an event that the table of transitions does not allow.
    """
    found: dict[str, Deployment] = {}
    for event in events:
        if event.kind in NOTES:
            continue
        before = found.get(event.deployment)
        state = TRANSITIONS.get((before.state if before else None, event.kind))
        if state is None:
            raise JournalError(
                f"the journal is not one a deployment writes: event {event.seq} of {event.deployment} is "
                f"{event.kind!r} after {before.state if before else 'nothing'!r}",
                fix=_LOOK,
            )
        try:
            found[event.deployment] = _begin(event) if before is None else _advance(before, event, state)
        except (LookupError, TypeError, ValueError, ConfigurationError) as error:
            raise JournalError(
                f"event {event.seq} of {event.deployment} says what no deployment writes: {error!r}", fix=_LOOK
            ) from error
    return tuple(found.values())


def published_slots(deployments: Iterable[Deployment]) -> frozenset[str]:
    """Return the slots that readers have seen at some time."""
    done = ("done", "found done")
    return frozenset(
        one.slot for one in deployments if any(step.kind == "publish" and step.state in done for step in one.steps)
    )


def refused_slots(deployments: Iterable[Deployment]) -> frozenset[str]:
    """Return the slots whose last deployment stopped because they differ from what was live."""
    last = {one.slot: one.error for one in deployments}
    return frozenset(slot for slot, error in last.items() if error == Differs.__name__)


def median_durations_ms(deployments: Iterable[Deployment]) -> dict[StepKind, int]:
    """Return the median duration of each kind of step over the deployments that did it."""
    durations: dict[StepKind, list[int]] = {}
    for deployment in deployments:
        for step in deployment.steps:
            if step.state == "done":
                durations.setdefault(step.kind, []).append(step.duration_ms)
    return {kind: sorted(values)[len(values) // 2] for kind, values in durations.items()}


@dataclass(frozen=True, kw_only=True, slots=True)
class Forecast:
    """How long steps are expected to take.

    Attributes:
        ms: what they took before, added up; None when none of them was ever done.
        never_done: the kinds among them of which nothing is known.
    """

    ms: int | None
    never_done: tuple[StepKind, ...]


def forecast(
    kinds: Sequence[StepKind], deployments: Iterable[Deployment], *, measured: Mapping[StepKind, int]
) -> Forecast:
    """Return how long steps of these kinds are expected to take. No side effects.

    Args:
        measured: of these very steps, which counts instead: a migration that was rehearsed.
    """
    medians = {**median_durations_ms(deployments), **measured}
    known = [medians[kind] for kind in kinds if kind in medians]
    return Forecast(ms=sum(known) if known else None, never_done=tuple(kind for kind in kinds if kind not in medians))


def _begin(event: Event) -> Deployment:
    data = event.data
    return Deployment(
        id=event.deployment,
        state="applying",
        purpose=data["purpose"],
        plan=data["plan"],
        release=data["release"],
        version=data["version"],
        slot=data["slot"],
        replaces=data["replaces"],
        by=data["by"],
        commit=data["commit"],
        started_at=event.at,
        since=event.at,
        heard_at=event.at,
        **_permission(data),
    )


def _permission(data: Mapping[str, Any]) -> dict[str, Any]:
    """Return what an event that begins or resumes says of the plan and of who allowed it."""
    return {
        "dags": tuple(data.get("dags", ())),
        "policy": data.get("policy"),
        "consents": tuple(Consent.from_mapping(one, origin="journal") for one in data.get("approvals", ())),
        "breaks_glass": bool(data.get("breaks_glass", False)),
    }


def _advance(before: Deployment, event: Event, state: State) -> Deployment:
    data = event.data
    match event.kind:
        case "step-started":
            started = StepRecord(kind=data["kind"], summary=data["summary"], plan=before.plan)
            return replace(before, state=state, heard_at=event.at, steps=(*before.steps, started))
        case "step-done":
            done = replace(
                before.steps[-1],
                state="found done" if data["found"] else "done",
                summary=data["summary"],
                duration_ms=data["duration_ms"],
                outside_ms=data["outside_ms"],
                evidence=data["evidence"],
            )
            return replace(before, state=state, heard_at=event.at, steps=(*before.steps[:-1], done))
        case "step-failed":
            failed = replace(
                before.steps[-1],
                state="failed",
                duration_ms=data["duration_ms"],
                message=data["message"],
                evidence=data.get("evidence", {}),
            )
            return replace(before, state=state, heard_at=event.at, steps=(*before.steps[:-1], failed))
        case "succeeded":
            looked_ms = before.looked_ms + int(data.get("outside_ms", 0))
            return replace(
                _ended(before, event), state=state, heard_at=event.at, message=None, error=None, looked_ms=looked_ms
            )
        case "failed" | "abandoned":
            return replace(
                _ended(before, event), state=state, heard_at=event.at, message=data["message"], error=data.get("error")
            )
        case "resumed":
            died_ms = _span_ms(before.since, before.heard_at) if before.ended_at is None else 0
            return replace(
                before,
                state=state,
                heard_at=event.at,
                plan=data["plan"],
                by=data["by"],
                commit=data["commit"],
                since=event.at,
                worked_ms=before.worked_ms + died_ms,
                ended_at=None,
                message=None,
                error=None,
                **_permission(data),
            )
        case "verifying" | "began" | "lock-broken" | "script-undoing" | "script-undone" | "cleaned":
            return replace(before, state=state, heard_at=event.at)


def _ended(before: Deployment, event: Event) -> Deployment:
    """Return the deployment as it ended, with the time since it began or was resumed added."""
    return replace(before, ended_at=event.at, worked_ms=before.worked_ms + _span_ms(before.since, event.at))


def _span_ms(since: str, until: str) -> int:
    return int((datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds() * 1000)
