"""What of an environment is kept, and what goes: old slots, and databases a publishing left behind. Pure.

Rules:
- Kept is what is live; what the last successes made that a rollback can reach; whatever the last deployment names while
  it has not succeeded; what an open run is pinned to, for the daily build writes into its own version's slot; and what
  was in use within so many days.
- What is not kept goes in two phases: it is quarantined, which changes nothing but is written down, and dropped some
  days later. What is needed again leaves quarantine.
- A slot is known by its name and nothing else: what does not look like one is nobody's business here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pydantic import Field

from slipway.deployment import Deployment
from slipway.documents import Document
from slipway.rollback import Live, earlier_successes


class RetentionRules(Document):
    """How much is kept for how long.

    Attributes:
        slots: how many slots besides the live one a rollback must find.
        days: within which nothing that was in use goes.
        quarantine_days: between the first phase and the second.
    """

    slots: int = Field(default=3, ge=1, le=50)
    days: int = Field(default=7, ge=0, le=365)
    quarantine_days: int = Field(default=3, ge=1, le=90)


def widest(rules: Iterable[RetentionRules]) -> RetentionRules:
    """Return what keeps everything that any of the rules keeps."""
    every = tuple(rules)
    return RetentionRules(
        slots=max(one.slots for one in every),
        days=max(one.days for one in every),
        quarantine_days=max(one.quarantine_days for one in every),
    )


@dataclass(frozen=True, kw_only=True, slots=True)
class Holdings:
    """What there is that could go.

    Attributes:
        slots: in the analytics database.
        databases: that a publishing left beside the published one.
        quarantined: name -> since when.
    """

    slots: Collection[str]
    databases: Collection[str] = ()
    quarantined: Mapping[str, datetime] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Use:
    """What uses them.

    Attributes:
        history: deployments, oldest first.
        pinned: versions that open runs are pinned to.
        asides: deployment -> slots that its plan builds aside, of backfills.
    """

    history: Sequence[Deployment]
    live: Live
    pinned: Collection[str] = ()
    asides: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, slots=True)
class Retention:
    """What follows: every name once in `kept` or in one of the phases.

    Attributes:
        kept: name -> why.
        quarantine: not kept, and not in quarantine yet.
        waiting: in quarantine -> when it may be dropped.
        drop: long enough in quarantine.
        release: in quarantine and kept, or not there any more.
    """

    kept: Mapping[str, str]
    quarantine: tuple[str, ...] = ()
    waiting: Mapping[str, datetime] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    release: tuple[str, ...] = ()

    @property
    def changes_nothing(self) -> bool:
        """Whether there is nothing to write down and nothing to drop."""
        return not (self.quarantine or self.drop or self.release)


def retain(holdings: Holdings, use: Use, rules: RetentionRules, *, now: datetime) -> Retention:
    """Return what is kept and why, and what goes when. No side effects."""
    kept: dict[str, str] = {}
    for name, why in (*_slots_in_use(use, rules, now), *_databases_in_use(holdings, use)):
        kept.setdefault(name, why)
    present = {*_own(holdings.slots, use), *holdings.databases}
    quarantined = holdings.quarantined
    until = {
        name: quarantined[name] + timedelta(days=rules.quarantine_days)
        for name in sorted(present - set(kept))
        if name in quarantined
    }
    return Retention(
        kept={name: why for name, why in sorted(kept.items()) if name in present},
        quarantine=tuple(sorted(present - set(kept) - set(quarantined))),
        waiting={name: end for name, end in until.items() if end > now},
        drop=tuple(name for name, end in until.items() if end <= now),
        release=tuple(sorted(name for name in quarantined if name in kept or name not in present)),
    )


def _own(slots: Collection[str], use: Use) -> set[str]:
    """Return the slots that some deployment made; what somebody else called like one is left alone."""
    made = {one.slot for one in use.history}.union(*use.asides.values())
    return {one for one in slots if one in made}


def _slots_in_use(use: Use, rules: RetentionRules, now: datetime) -> Iterator[tuple[str, str]]:
    """Yield slots and why they are kept, the weightiest reason first."""
    slot_of = {one.version: one.slot for one in use.history}
    if use.live.slot is not None:
        yield use.live.slot, "readers see it"
    if use.live.version in slot_of:
        yield slot_of[use.live.version], "the DAGs' version builds it"
    last = use.history[-1] if use.history else None
    if last is not None and last.state != "succeeded":
        yield last.slot, f"{last.id} did not end well and may be gone on with"
        for slot in use.asides.get(last.id, ()):
            yield slot, f"{last.id} builds it aside"
        if last.replaces in slot_of:
            yield slot_of[last.replaces], f"{last.id} was to replace it"
    for version in sorted(use.pinned):
        if version in slot_of:
            yield slot_of[version], f"an open run is pinned to {version}"
    targets = dict.fromkeys(one.slot for one in earlier_successes(use.history, use.live) if one.slot != use.live.slot)
    for number, slot in enumerate(list(targets)[: rules.slots], start=1):
        yield slot, f"rollback {number} goes there"
    for slot, at in _last_use(use.history, slot_of).items():
        if now - at < timedelta(days=rules.days):
            yield slot, f"in use until {at:%Y-%m-%d %H:%M}"


def _last_use(history: Sequence[Deployment], slot_of: Mapping[str, str]) -> dict[str, datetime]:
    """Return when a deployment last touched each slot: built or published it, or put another in its place."""
    found: dict[str, datetime] = {}
    for one in history:
        at = datetime.fromisoformat(one.ended_at or one.heard_at or one.started_at)
        for slot in (one.slot, slot_of.get(one.replaces or "")):
            if slot is not None:
                found[slot] = max(at, found.get(slot, at))
    return found


def _databases_in_use(holdings: Holdings, use: Use) -> Iterator[tuple[str, str]]:
    last = use.history[-1] if use.history else None
    if last is not None and last.state != "succeeded":
        for name in holdings.databases:
            yield name, f"{last.id} did not end well and may be gone on with"
