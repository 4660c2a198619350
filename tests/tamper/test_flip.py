"""Any byte of any record, changed in memory: what was read from the real storage, and all an audit does with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from slipway.adapters.evidence_bucket import checked
from slipway.adapters.signing import PublicKey
from slipway.audit import Finding, JournalItem, Kept, Records, read_journal, verify
from slipway.deployment import Event
from slipway.evidence import APPROVAL_TYPE, CHECKPOINT_TYPE, PAYLOAD_TYPE, REVIEW_TYPE

from .flip import flipped, flipped_text
from .world import World

Kind = Literal["bundles", "checkpoints", "approvals", "reviews"]
PREFIXES: dict[Kind, tuple[str, str]] = {
    "bundles": ("deployments/", PAYLOAD_TYPE),
    "checkpoints": ("checkpoints/", CHECKPOINT_TYPE),
    "approvals": ("approvals/", APPROVAL_TYPE),
    "reviews": ("reviews/", REVIEW_TYPE),
}
STRIDE = 31  # of the long payloads of bundles, every 31st byte is changed; of everything else, every one
MASKS = (1, 2, 4, 8, 16, 32, 64)  # one bit of a character each, by turns
Note = Callable[[Finding | None], None]


@dataclass(frozen=True)
class Read:
    """What an audit read, and the bytes it read it from."""

    records: Records
    contents: dict[str, bytes]
    keys: dict[Kind, PublicKey]

    def kept(self, kind: Kind, key: str, content: bytes) -> Kept:
        """Return an object as an audit finds it with another content."""
        return checked(key, content, payload_type=PREFIXES[kind][1], key=self.keys[kind])

    def with_kept(self, kind: Kind, one: Kept) -> Records:
        """Return the records with one object in the place of the one that has its key."""
        kept: tuple[Kept, ...] = getattr(self.records, kind)
        return replace(self.records, **{kind: tuple(one if old.key == one.key else old for old in kept)})


@pytest.fixture(scope="module")
def read(world: World) -> Read:
    contents = {key: world.site.evidence.content(key) or b"" for key in world.signed()}
    evidence, approvals = (world.site.signer(name).verification_key for name in ("evidence", "approvals"))
    keys: dict[Kind, PublicKey] = {
        "bundles": evidence,
        "checkpoints": evidence,
        "approvals": approvals,
        "reviews": approvals,
    }
    return Read(records=world.record.read(), contents=contents, keys=keys)


def test_every_character_of_an_event_of_every_kind(read: Read, world: World, note: Note) -> None:
    tried = 0
    for item in _one_of_each_kind(world.events(), read.records.journal):
        for at in range(len(item.text)):
            bent = replace(item, text=flipped_text(item.text, at, MASKS[at % len(MASKS)]))
            said = [one.what for one in read_journal([bent])[1] if one.where == f"journal #{item.seq}"]
            assert any(what.startswith(("was changed", "is no event")) for what in said), (bent, said)
            tried += 1
    assert tried > 3000
    note(Finding(where="journal #N", what=f"({tried} changes, all found)"))


def test_every_character_of_an_events_digest(read: Read, note: Note) -> None:
    item = read.records.journal[20]
    for at in range(64):
        bent = replace(item, sha256=flipped_text(item.sha256, at, MASKS[at % len(MASKS)]))
        found = verify(_with_item(read.records, bent)).findings
        assert Finding(where="journal #21", what="was changed: its digest is another") in found
    note(Finding(where="journal #N", what="(64 changes, all found)"))


def test_every_other_number_of_an_event(read: Read, note: Note) -> None:
    journal = read.records.journal
    item, others = journal[20], journal[:20] + journal[21:]
    numbers = [number for number in range(-1, len(journal) + 3) if number != item.seq]
    for number in numbers:
        moved = sorted((*others, replace(item, seq=number)), key=lambda one: one.seq)
        places = {one.where for one in verify(replace(read.records, journal=tuple(moved))).findings}
        assert {"journal #21", f"journal #{number}"} <= places
    note(Finding(where="journal #N", what=f"({len(numbers)} changes, all found)"))


@pytest.mark.parametrize("kind", PREFIXES, ids=lambda kind: f"every byte of an envelope of {kind}")
def test_every_byte_of_an_envelope_of(kind: Kind, read: Read, note: Note) -> None:
    key = next(one for one in read.contents if one.startswith(PREFIXES[kind][0]))
    content = read.contents[key]
    payload = range(content.index(b'"payload":"') + 11, content.index(b'","payloadType"'))
    places = [
        at for at in range(len(content)) if len(content) < 5000 or at not in payload or not (at - payload[0]) % STRIDE
    ]
    for at in places:
        bent = flipped(content, at, MASKS[at % len(MASKS)])
        one = read.kept(kind, key, bent)
        assert (one.problem is not None, one.statement) == (True, None), (at, bent)
    found = verify(read.with_kept(kind, one)).findings
    assert key in [finding.where for finding in found]
    note(Finding(where=key, what=f"({len(places)} changes of {len(content)} bytes, all found)"))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_byte_of_any_record_leads_to_a_finding_that_names_it(read: Read, data: st.DataObject) -> None:
    mask = data.draw(st.integers(1, 255))
    where = data.draw(st.sampled_from([*(one.seq for one in read.records.journal), *read.contents]))
    if isinstance(where, int):
        item = read.records.journal[where - 1]
        at = data.draw(st.integers(0, len(item.text) - 1))
        records, place = (
            _with_item(read.records, replace(item, text=flipped_text(item.text, at, mask))),
            f"journal #{where}",
        )
    else:
        kind = next(kind for kind, (prefix, _) in PREFIXES.items() if where.startswith(prefix))
        at = data.draw(st.integers(0, len(read.contents[where]) - 1))
        records = read.with_kept(kind, read.kept(kind, where, flipped(read.contents[where], at, mask)))
        place = where
    assert place in [one.where for one in verify(records).findings]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_events_left_out_moved_or_told_twice_lead_to_a_finding(read: Read, data: st.DataObject) -> None:
    journal = read.records.journal
    order = data.draw(st.lists(st.sampled_from(range(len(journal))), max_size=len(journal)))
    told = tuple(replace(journal[old], seq=seq) for seq, old in enumerate(order, start=1))
    assert told == journal or not verify(replace(read.records, journal=told)).holds


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_chain_made_anew_from_any_event_contradicts_what_was_signed(read: Read, data: st.DataObject) -> None:
    journal = read.records.journal
    events, _ = read_journal(journal)
    first = data.draw(st.integers(0, len(events) - 1))
    told = events[first].model_copy(update={"data": {**events[first].data, "note": data.draw(st.text(max_size=5))}})
    items, previous = list(journal[:first]), events[first].previous
    for event in (told, *events[first + 1 :]):
        again = event.model_copy(update={"previous": previous})
        previous = again.sha256
        items.append(JournalItem(seq=again.seq, sha256=previous, text=again.to_bytes().decode()))
    assert not verify(replace(read.records, journal=tuple(items))).holds


def _with_item(records: Records, item: JournalItem) -> Records:
    return replace(records, journal=tuple(item if old.seq == item.seq else old for old in records.journal))


def _one_of_each_kind(events: tuple[Event, ...], items: tuple[JournalItem, ...]) -> list[JournalItem]:
    by_kind = {event.kind: items[event.seq - 1] for event in events}
    assert len(by_kind) >= 9, sorted(by_kind)
    return list(by_kind.values())
