"""Everything an attacker with full rights can do to what an environment keeps, and that an audit says where.

Each attack bends the real storage and returns the place that a finding must name.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Sequence
from copy import copy
from typing import Any

import pytest

from slipway.adapters.evidence_bucket import EvidenceBucket
from slipway.adapters.journal import DynamoJournal
from slipway.adapters.signing import KmsSigner, signed
from slipway.approval import Approval
from slipway.audit import Finding, approval_key, bundle_key, checkpoint_key
from slipway.deployment import Event
from slipway.documents import canonical, digest_of
from slipway.errors import JournalError
from slipway.evidence import APPROVAL_TYPE, CHECKPOINT_TYPE, PAYLOAD_TYPE, Checkpoint, Head
from slipway.record import Record

from .attacker import Attacker, item_of
from .flip import flipped, flipped_text
from .world import NAME, World

Attack = Callable[[World, Attacker], str]
ATTACKS: dict[str, Attack] = {}


def attack(name: str) -> Callable[[Attack], Attack]:
    """Put an attack into the table under a name."""

    def put(made: Attack) -> Attack:
        ATTACKS[name] = made
        return made

    return put


def _end(events: Sequence[Event], deployment: str) -> int:
    """Return the number of a deployment's last event."""
    return max(one.seq for one in events if one.deployment == deployment)


def _second(world: World) -> int:
    """Return the number of the event that begins the second deployment: a checkpoint is there."""
    return [one.seq for one in world.events() if one.kind == "began"][1]


@pytest.mark.parametrize("name", ATTACKS)
def test_what_is_bent_is_found_where_it_was_bent(
    name: str, world: World, attacker: Attacker, note: Callable[[Finding | None], None]
) -> None:
    place = ATTACKS[name](world, attacker)
    findings = world.verify().findings
    note(next((one for one in findings if one.where == place), None))
    assert place in [one.where for one in findings], findings


def test_what_nobody_touched_holds(world: World, attacker: Attacker) -> None:
    found = world.verify()
    assert found.findings == ()
    assert (found.deployments, found.events) == (7, len(attacker.items()))
    assert found.signatures == len(world.signed())


def test_what_was_bent_and_put_back_holds(world: World, attacker: Attacker) -> None:
    attacker.cut([1])
    assert not world.verify().holds
    attacker.undo()
    assert world.verify().holds


# ---- the journal -------------------------------------------------------------------------------------------------


@attack("journal: a byte of an event changed")
def _(world: World, attacker: Attacker) -> str:
    item = attacker.items()[20]
    attacker.put(item_of(21, flipped_text(item["event"]["S"], 40), item["sha256"]["S"]))
    return "journal #21"


@attack("journal: a byte of an event's digest changed")
def _(world: World, attacker: Attacker) -> str:
    item = attacker.items()[20]
    attacker.put(item_of(21, item["event"]["S"], flipped_text(item["sha256"]["S"], 7)))
    return "journal #21"


@attack("journal: an event's digest removed")
def _(world: World, attacker: Attacker) -> str:
    item = attacker.items()[20]
    attacker.put({key: value for key, value in item.items() if key != "sha256"})
    return "journal #21"


@attack("journal: an event's number changed")
def _(world: World, attacker: Attacker) -> str:
    item = attacker.items()[20]
    attacker.cut([21])
    attacker.put({**item, "seq": {"N": "2100"}})
    return "journal #21"


@attack("journal: an event told otherwise, its digest made anew")
def _(world: World, attacker: Attacker) -> str:
    event = world.events()[20]
    attacker.put_event(event.model_copy(update={"at": event.at.replace("2026", "2025")}))
    return "journal #22"


@attack("journal: the last event told otherwise, its digest made anew")
def _(world: World, attacker: Attacker) -> str:
    event = world.events()[-1]
    attacker.put_event(event.model_copy(update={"data": {**event.data, "serial": 99}}))
    return bundle_key(event.deployment, event.seq)


@attack("journal: the last event spelt otherwise, its digest made anew")
def _(world: World, attacker: Attacker) -> str:
    event = world.events()[-1]
    content = {**event.model_dump(mode="json"), "seq": str(event.seq)}
    attacker.put(item_of(event.seq, canonical(content).decode(), digest_of(content)))
    return f"journal #{event.seq}"


@attack("journal: an event emptied of what its kind says, the chain made anew")
def _(world: World, attacker: Attacker) -> str:
    events = world.events()
    emptied = events[14].model_copy(update={"data": {}, "at": "some day"})
    attacker.rewrite([emptied, *events[15:]], previous=events[13].sha256, first=15)
    return "journal"


@attack("journal: the first event removed")
def _(world: World, attacker: Attacker) -> str:
    attacker.cut([1])
    return "journal #1"


@attack("journal: an event in the middle removed")
def _(world: World, attacker: Attacker) -> str:
    attacker.cut([30])
    return "journal #30"


@attack("journal: an event in the middle removed, the rest moved up, the chain made anew")
def _(world: World, attacker: Attacker) -> str:
    events = world.events()
    attacker.cut([len(events)])
    attacker.rewrite(events[30:], previous=events[28].sha256, first=30)
    return bundle_key(events[-1].deployment, events[-1].seq)


@attack("journal: the last event cut off")
def _(world: World, attacker: Attacker) -> str:
    event = world.events()[-1]
    attacker.cut([event.seq])
    return bundle_key(event.deployment, event.seq)


@attack("journal: the last deployment cut off")
def _(world: World, attacker: Attacker) -> str:
    last = world.events()[-1]
    attacker.cut(event.seq for event in world.events() if event.deployment == last.deployment)
    return bundle_key(last.deployment, last.seq)


@attack("journal: the last deployment cut off, and its bundle with it")
def _(world: World, attacker: Attacker) -> str:
    last = world.events()[-1]
    own = [event.seq for event in world.events() if event.deployment == last.deployment]
    attacker.cut(own)
    attacker.erase(bundle_key(last.deployment, last.seq))
    return checkpoint_key(own[0])


@attack("journal: a deployment that runs cut off")
def _(world: World, attacker: Attacker) -> str:
    began = next(event for event in reversed(world.events()) if event.kind == "began")
    running = world.record.anchored(_journal(world)).append("d-20261108-120000-000008", "began", began.data)
    attacker.cut([running.seq])
    return checkpoint_key(running.seq)


@attack("journal: a broken lock at the end cut off")
def _(world: World, attacker: Attacker) -> str:
    facts = {"by": "pat@laptop", "holder": "ana@laptop", "since": "2026-11-08T12:00:00+00:00", "reason": "died"}
    broken = _journal(world).append("", "lock-broken", facts)
    world.record.anchor(broken)
    assert world.verify().holds
    attacker.cut([broken.seq])
    return checkpoint_key(broken.seq)


@attack("journal: all of it cut off")
def _(world: World, attacker: Attacker) -> str:
    last = world.events()[-1]
    attacker.cut(range(1, last.seq + 1))
    return bundle_key(last.deployment, last.seq)


@attack("journal: two events changed places")
def _(world: World, attacker: Attacker) -> str:
    one, other = attacker.items()[8:10]
    attacker.put({**one, "seq": other["seq"]})
    attacker.put({**other, "seq": one["seq"]})
    return "journal #9"


@attack("journal: two events changed places, the chain made anew")
def _(world: World, attacker: Attacker) -> str:
    events = world.events()
    attacker.rewrite([events[9], events[8], *events[10:]], previous=events[7].sha256, first=9)
    return bundle_key(events[0].deployment, _end(events, events[0].deployment))


@attack("journal: an event inserted, the chain after it made anew")
def _(world: World, attacker: Attacker) -> str:
    events = world.events()
    attacker.rewrite([events[10], *events[10:]], previous=events[10].sha256, first=12)
    return bundle_key(events[0].deployment, _end(events, events[0].deployment))


@attack("journal: an event inserted between two numbers")
def _(world: World, attacker: Attacker) -> str:
    item = attacker.items()[10]
    attacker.put({**item, "seq": {"N": "11.5"}})
    return "journal #11"


@attack("journal: an event inserted before the first")
def _(world: World, attacker: Attacker) -> str:
    attacker.put({**attacker.items()[0], "seq": {"N": "0"}})
    return "journal #0"


@attack("journal: rewritten from an event to the end, every digest made anew")
def _(world: World, attacker: Attacker) -> str:
    events = world.events()
    told = events[40].model_copy(update={"data": {**events[40].data, "note": "all went well"}})
    attacker.rewrite([told, *events[41:]], previous=events[39].sha256, first=41)
    return bundle_key(told.deployment, _end(events, told.deployment))


@attack("journal: rewritten from the beginning, every digest made anew")
def _(world: World, attacker: Attacker) -> str:
    events = world.events()
    told = events[0].model_copy(update={"data": {**events[0].data, "by": "someone else"}})
    attacker.rewrite([told, *events[1:]], previous=events[0].previous, first=1)
    return checkpoint_key(1)


@attack("journal: an approval claimed that nobody gave, the chain made anew")
def _(world: World, attacker: Attacker) -> str:
    events = world.events()
    began = next(event for event in reversed(events) if event.kind == "began")
    claimed = [{"sha256": "ab" * 32, "person": "ben", "kind": "approval", "reason": "of course"}]
    told = began.model_copy(update={"data": {**began.data, "approvals": claimed}})
    attacker.rewrite([told, *events[began.seq :]], previous=began.previous, first=began.seq)
    return f"journal #{began.seq}"


@attack("journal: a deployment that nobody approved, sealed as every other")
def _(world: World, attacker: Attacker) -> str:
    began = [event for event in world.events() if event.kind == "began" and len(event.data["approvals"]) == 2][-1]
    journal = world.record.anchored(_journal(world))
    journal.append("d-20261108-120000-000008", "began", {**began.data, "approvals": [], "breaks_glass": False})
    journal.append("d-20261108-120000-000008", "verifying", {})
    journal.append("d-20261108-120000-000008", "succeeded", {})
    (key,) = world.record.seal_what_ended(journal.events())
    assert {one.where for one in world.verify().findings} == {key}
    return key


# ---- bundles -----------------------------------------------------------------------------------------------------


@attack("bundle: a byte changed")
def _(world: World, attacker: Attacker) -> str:
    key = world.bundles()[1]
    attacker.replace(key, flipped(attacker.content(key), 2000))
    return key


@attack("bundle: a signature of another bundle")
def _(world: World, attacker: Attacker) -> str:
    key, other = world.bundles()[:2]
    envelope = json.loads(attacker.content(key))
    envelope["signatures"] = json.loads(attacker.content(other))["signatures"]
    attacker.replace(key, canonical(envelope))
    return key


@attack("bundle: signed again with another key")
def _(world: World, attacker: Attacker) -> str:
    key = world.bundles()[0]
    attacker.replace(key, signed(_payload(attacker.content(key)), PAYLOAD_TYPE, _own_key(world)))
    return key


@attack("bundle: signed again with another key, under the name of the right one")
def _(world: World, attacker: Attacker) -> str:
    key = world.bundles()[0]
    envelope = json.loads(signed(_payload(attacker.content(key)), PAYLOAD_TYPE, _own_key(world)))
    envelope["signatures"][0]["keyid"] = json.loads(attacker.content(key))["signatures"][0]["keyid"]
    attacker.replace(key, canonical(envelope))
    return key


@attack("bundle: signed with the approvers' key")
def _(world: World, attacker: Attacker) -> str:
    key = world.bundles()[0]
    content = signed(_payload(attacker.content(key)), PAYLOAD_TYPE, world.site.signer("approvals"))
    attacker.replace(key, content)
    return key


@attack("bundle: a second version, unsigned")
def _(world: World, attacker: Attacker) -> str:
    key = world.bundles()[0]
    attacker.overwrite(key, b"{}")
    return key


@attack("bundle: a second version, signed with the deployer's key")
def _(world: World, attacker: Attacker) -> str:
    key = world.bundles()[0]
    attacker.overwrite(key, signed(_payload(attacker.content(key)), PAYLOAD_TYPE, world.site.signer("evidence")))
    return key


@attack("bundle: another one under its name, the first erased")
def _(world: World, attacker: Attacker) -> str:
    key, other = world.bundles()[:2]
    attacker.replace(key, attacker.content(other))
    return key


@attack("bundle: a copy under another deployment's name")
def _(world: World, attacker: Attacker) -> str:
    key = bundle_key("d-20261109-120000-000009", 15)
    attacker.overwrite(key, attacker.content(world.bundles()[0]))
    return key


@attack("bundle: removed (hidden by a delete marker)")
def _(world: World, attacker: Attacker) -> str:
    key = world.bundles()[2]
    attacker.remove(key)
    return key


@attack("bundle: erased around its retention")
def _(world: World, attacker: Attacker) -> str:
    key = world.bundles()[2]
    attacker.erase(key)
    _, deployment, file = key.split("/")
    return f"{deployment} #{int(file[:8])}"


@attack("bundle: properly signed anew, with another outcome")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 2, lambda told: told.update(outcome="succeeded"))


@attack("bundle: properly signed anew, with another event")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told["events"][1]["data"].update(summary="nothing"))


@attack("bundle: properly signed anew, with an event left out")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told["events"].pop(2))


@attack("bundle: properly signed anew, with no events")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told["events"].clear())


@attack("bundle: properly signed anew, with another plan")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told["plan"].update(dag_ids=[]))


@attack("bundle: properly signed anew, with no plan")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told["plan"].clear())


@attack("bundle: properly signed anew, with another policy")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told["policy"].update(timezone="Asia/Tokyo"))


@attack("bundle: properly signed anew, with an approval that counted dropped")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 6, lambda told: told["approvals"].pop())


@attack("bundle: properly signed anew, with an approval that did not count added")
def _(world: World, attacker: Attacker) -> str:
    other = json.loads(attacker.content(world.approvals()[-1]))
    return _sealed_anew(world, attacker, 1, lambda told: told["approvals"].append(other))


@attack("bundle: properly signed anew, with an approval told twice")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told["approvals"].append(told["approvals"][0]))


@attack("bundle: properly signed anew, with a key of the deployer's own for its approvals")
def _(world: World, attacker: Attacker) -> str:
    own = world.site.signer("evidence").verification_key.pem
    return _sealed_anew(world, attacker, 1, lambda told: told.update(approvals_key=own))


@attack("bundle: properly signed anew, with another environment")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told.update(environment="staging"))


@attack("bundle: properly signed anew, with something that is no bundle")
def _(world: World, attacker: Attacker) -> str:
    return _sealed_anew(world, attacker, 1, lambda told: told.clear())


# ---- checkpoints -------------------------------------------------------------------------------------------------


@attack("checkpoint: a byte changed")
def _(world: World, attacker: Attacker) -> str:
    key = checkpoint_key(_second(world))
    attacker.replace(key, flipped(attacker.content(key), 100))
    return key


@attack("checkpoint: a second version, signed with the deployer's key")
def _(world: World, attacker: Attacker) -> str:
    key = checkpoint_key(_second(world))
    attacker.overwrite(
        key, _checkpoint(world, Head(seq=_second(world), sha256=world.events()[_second(world) - 1].sha256))
    )
    return key


@attack("checkpoint: another head, signed with the deployer's key, the first erased")
def _(world: World, attacker: Attacker) -> str:
    key = checkpoint_key(_second(world))
    attacker.replace(key, _checkpoint(world, Head(seq=_second(world), sha256="0" * 64)))
    return key


@attack("checkpoint: erased around its retention")
def _(world: World, attacker: Attacker) -> str:
    key = checkpoint_key(_second(world))
    attacker.erase(key)
    return key


@attack("checkpoint: moved to another number")
def _(world: World, attacker: Attacker) -> str:
    place = checkpoint_key(_second(world) + 1)
    attacker.overwrite(place, attacker.content(checkpoint_key(_second(world))))
    return place


@attack("checkpoint: something else, signed with the deployer's key, the first erased")
def _(world: World, attacker: Attacker) -> str:
    key = checkpoint_key(_second(world))
    attacker.replace(key, signed(canonical({"head": "tails"}), CHECKPOINT_TYPE, world.site.signer("evidence")))
    return key


# ---- approvals and reviews ---------------------------------------------------------------------------------------


@attack("approval: a byte changed")
def _(world: World, attacker: Attacker) -> str:
    key = world.approvals()[0]
    attacker.replace(key, flipped(attacker.content(key), 150))
    return key


@attack("approval: moved to another plan")
def _(world: World, attacker: Attacker) -> str:
    key, other = world.approvals()[0], world.approvals()[-1].split("/")[1]
    moved = f"approvals/{other}/{key.split('/', 2)[2]}"
    attacker.overwrite(moved, attacker.content(key))
    attacker.erase(key)
    return moved


@attack("approval: moved to another person's name")
def _(world: World, attacker: Attacker) -> str:
    key = next(one for one in world.approvals() if one.endswith(":ben.dsse.json"))
    moved = key.replace(":ben.", ":chris.")
    attacker.overwrite(moved, attacker.content(key))
    return moved


@attack("approval: given for another environment with the same key")
def _(world: World, attacker: Attacker) -> str:
    found = Approval.from_mapping(json.loads(_payload(attacker.content(world.approvals()[0]))), origin="approval")
    elsewhere = found.model_copy(update={"environment": "staging"})
    key = approval_key(elsewhere.model_copy(update={"at": "2026-11-20T08:00:00+00:00"}))
    attacker.overwrite(key, signed(elsewhere.to_bytes(), APPROVAL_TYPE, world.site.signer("approvals")))
    attacker.replace(world.approvals()[0], attacker.content(key))
    attacker.erase(key)
    return world.approvals()[0]


@attack("approval: given by a person in another's name")
def _(world: World, attacker: Attacker) -> str:
    ben, chris = world.people["ben"], world.people["chris"]
    told = (json.loads(_payload(attacker.content(key))) for key in world.approvals())
    approvals = (Approval.from_mapping(one, origin="approval") for one in told)
    # Not one of two that broke the glass together: the other's stands under the name that the lie would get.
    found = next(one for one in approvals if (one.kind, one.identity) == ("approval", ben.caller().arn))
    lie = found.model_copy(update={"user_id": chris.caller().user_id})
    return EvidenceBucket(chris.s3, attacker.evidence).approve(lie, world.approvals_key(chris))


@attack("approval: made with the deployer's key")
def _(world: World, attacker: Attacker) -> str:
    found = Approval.from_mapping(json.loads(_payload(attacker.content(world.approvals()[0]))), origin="approval")
    forged = found.model_copy(update={"at": "2026-11-20T08:00:00+00:00"})
    EvidenceBucket(world.site.aws.s3, attacker.evidence).approve(forged, world.site.signer("evidence"))
    return approval_key(forged)


@attack("approval: replaced by another of the same person, the first erased")
def _(world: World, attacker: Attacker) -> str:
    key = world.approvals()[0]
    told = {**json.loads(_payload(attacker.content(key))), "reason": "I was never asked"}
    attacker.replace(key, signed(canonical(told), APPROVAL_TYPE, world.site.signer("approvals")))
    return f"journal #{_began_with(world, key)}"


@attack("approval: removed (hidden by a delete marker)")
def _(world: World, attacker: Attacker) -> str:
    attacker.remove(world.approvals()[0])
    return world.approvals()[0]


@attack("approval: erased around its retention")
def _(world: World, attacker: Attacker) -> str:
    key = world.approvals()[0]
    attacker.erase(key)
    return f"journal #{_began_with(world, key)}"


@attack("review: a byte changed")
def _(world: World, attacker: Attacker) -> str:
    key = world.reviews()[0]
    attacker.replace(key, flipped(attacker.content(key), 60))
    return key


@attack("review: moved to another deployment")
def _(world: World, attacker: Attacker) -> str:
    key = world.reviews()[0]
    moved = key.replace("d-20261104-120000-000004", "d-20261102-120000-000002")
    attacker.overwrite(moved, attacker.content(key))
    attacker.erase(key)
    return moved


@attack("review: a second version")
def _(world: World, attacker: Attacker) -> str:
    key = world.reviews()[0]
    attacker.overwrite(key, attacker.content(key))
    return key


# ---- plans -------------------------------------------------------------------------------------------------------


@attack("plan: a byte changed")
def _(world: World, attacker: Attacker) -> str:
    key = _plan_key(world)
    attacker.overwrite(key, flipped(attacker.content(key, bucket=attacker.releases), 50), bucket=attacker.releases)
    return key


@attack("plan: replaced by another")
def _(world: World, attacker: Attacker) -> str:
    key, other = _plan_key(world), _plan_key(world, deployment=4)
    attacker.overwrite(key, attacker.content(other, bucket=attacker.releases), bucket=attacker.releases)
    return key


@attack("plan: removed")
def _(world: World, attacker: Attacker) -> str:
    attacker.remove(_plan_key(world), bucket=attacker.releases)
    return _plan_key(world)


@attack("policy: replaced by another")
def _(world: World, attacker: Attacker) -> str:
    key = _policy_key(world)
    told = {**json.loads(attacker.content(key, bucket=attacker.releases)), "automation": ["ana@finedge.example"]}
    attacker.overwrite(key, canonical(told), bucket=attacker.releases)
    return key


@attack("policy: removed")
def _(world: World, attacker: Attacker) -> str:
    attacker.remove(_policy_key(world), bucket=attacker.releases)
    return _policy_key(world)


# ---- what a deployment refuses to go on top of -------------------------------------------------------------------


def test_a_journal_that_holds_what_was_signed_of_it_is_gone_on_with(world: World, attacker: Attacker) -> None:
    world.record.require_anchored(_journal(world).events())


def test_a_journal_whose_tail_was_cut_is_not_gone_on_with(world: World, attacker: Attacker) -> None:
    last = _last_anchored(world)
    attacker.cut(range(last, world.events()[-1].seq + 1))
    events = _journal(world).events()  # what is left of it has no seam

    with pytest.raises(JournalError, match=checkpoint_key(last)) as refused:
        world.record.require_anchored(events)
    assert (refused.value.fix or "").startswith("invoke audit.verify --env prod")


def test_a_journal_whose_tail_was_told_otherwise_is_not_gone_on_with(world: World, attacker: Attacker) -> None:
    last, events = _last_anchored(world), world.events()
    told = events[last - 1].model_copy(update={"data": {**events[last - 1].data, "by": "someone else"}})
    attacker.rewrite([told, *events[last:]], previous=told.previous, first=last)

    with pytest.raises(JournalError, match=checkpoint_key(last)):
        world.record.require_anchored(_journal(world).events())


def test_a_head_that_the_wrong_key_signed_anchors_nothing(world: World, attacker: Attacker) -> None:
    last = _last_anchored(world)
    head = Checkpoint(environment=NAME, head=Head(seq=last, sha256=world.events()[last - 1].sha256))
    key = checkpoint_key(last)
    attacker.replace(key, signed(head.to_bytes(), CHECKPOINT_TYPE, world.site.signer("approvals")))

    with pytest.raises(JournalError, match=key):
        world.record.require_anchored(_journal(world).events())


def test_a_journal_whose_evidence_is_nowhere_is_not_gone_on_with(world: World) -> None:
    site = copy(world.site)
    site.__dict__["evidence"] = EvidenceBucket(world.site.aws.s3, "finedge-nowhere-evidence")

    Record(site).require_anchored(())  # nothing was ever sealed there
    with pytest.raises(JournalError, match="where deployments were sealed"):
        Record(site).require_anchored(world.events())
    ended = [one for one in Record(site).audit().findings if "ended without a bundle" in one.what]
    assert len(ended) >= len(world.bundles())


def test_a_journal_none_of_whose_signed_heads_is_left_is_not_gone_on_with(world: World, attacker: Attacker) -> None:
    keys = [key for key in world.signed() if key.startswith("checkpoints/")]
    assert keys
    for key in keys:
        attacker.erase(key)
    events = world.events()
    first_success = next(place for place, one in enumerate(events) if one.kind == "succeeded")

    world.record.require_anchored(events[: first_success + 1])  # it may have made the place for them
    with pytest.raises(JournalError, match="every head of the journal that was signed is gone"):
        world.record.require_anchored(events)


def test_what_began_may_not_go_on_once_its_approvals_are_gone(world: World, attacker: Attacker) -> None:
    deployment = next(one for one in world.site.history() if len(one.consents) == 2 and not one.breaks_glass)
    plan = world.site.bucket.plan(deployment.plan)
    assert world.record.may_go_on(deployment, plan)
    for key in world.approvals():
        if key.startswith(f"approvals/{plan.id}/"):
            attacker.erase(key)

    assert not world.record.may_go_on(deployment, plan)


def test_what_began_may_not_go_on_under_another_configuration(world: World, attacker: Attacker) -> None:
    """Also what needs nobody's approval, as a rollback."""
    rollback = world.site.history()[-1]
    plan = world.site.bucket.plan(rollback.plan)

    assert world.record.may_go_on(rollback, plan)
    assert not world.record.may_go_on(rollback, plan.model_copy(update={"configuration": "0" * 64}))


# ---- means -------------------------------------------------------------------------------------------------------


def _payload(envelope: bytes) -> bytes:
    return base64.b64decode(json.loads(envelope)["payload"])


def _journal(world: World) -> DynamoJournal:
    """Return the journal, read anew."""
    return DynamoJournal(world.site.aws.dynamodb, world.site.environment.deployments_table)


def _last_anchored(world: World) -> int:
    """Return the number of the last event that was signed as the journal's head."""
    last = max(key for key in world.signed() if key.startswith("checkpoints/"))
    return int(last.split("/")[1][:8])


def _own_key(world: World) -> KmsSigner:
    """Return a signer with a key of the attacker's own."""
    made = world.site.aws.kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
    return KmsSigner(world.site.aws.kms, made["KeyMetadata"]["KeyId"])


def _sealed_anew(world: World, attacker: Attacker, number: int, change: Callable[[dict[str, Any]], object]) -> str:
    """Put another story in a bundle's place, signed as the deployer signs; return its key."""
    key = world.bundles()[number]
    statement = json.loads(_payload(attacker.content(key)))
    change(statement["predicate"])
    attacker.replace(key, signed(canonical(statement), PAYLOAD_TYPE, world.site.signer("evidence")))
    return key


def _checkpoint(world: World, head: Head) -> bytes:
    said = Checkpoint(environment=NAME, head=head).to_bytes()
    return signed(said, CHECKPOINT_TYPE, world.site.signer("evidence"))


def _began_with(world: World, key: str) -> int:
    """Return the number of the event that began what an approval's plan says."""
    plan = key.split("/")[1]
    return next(event.seq for event in world.events() if event.data.get("plan") == plan)


def _plan_key(world: World, *, deployment: int = 2) -> str:
    began = [event for event in world.events() if event.kind == "began"]
    return f"plans/{began[deployment - 1].data['plan']}.json"


def _policy_key(world: World) -> str:
    began = next(event for event in world.events() if event.kind == "began")
    return f"policies/{began.data['policy']}.json"
