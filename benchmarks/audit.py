"""How long `audit.verify` takes: `.venv/bin/python -m benchmarks.audit [DEPLOYMENTS]`.

Makes the records of many deployments (each with a plan, an approval, a checkpoint, 15 events and a bundle of its own)
on the embedded AWS: the events are one deployment's, told by the engine and told again under other names; the journal
is written in batches; everything signed is signed in KMS. Then it reads and verifies them as `audit.verify` does.

The embedded AWS answers one request after the other, in Python, on the same machine; its share is named apart.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from slipway.adapters.signing import signed
from slipway.approval import Approval
from slipway.audit import Records, approval_key, bundle_key, checkpoint_key, verify
from slipway.deployment import GENESIS, Event
from slipway.documents import canonical, digest_of
from slipway.evidence import (
    APPROVAL_TYPE,
    CHECKPOINT_TYPE,
    PAYLOAD_TYPE,
    Checkpoint,
    Copy,
    Head,
    Stored,
    bundle_of,
    statement_of,
)
from slipway.plan import Plan
from slipway.record import Record
from slipway.sandbox.aws.instance import running
from tests.tamper.attacker import item_of
from tests.tamper.world import CHANGES, NAME, World, made

WRITERS = 8
BATCH = 25  # items, the most that DynamoDB takes at once
GOAL_S = 10.0  # for 1,000 deployments on 2 cores
RESULT = Path(__file__).parents[1] / ".build" / "bench-audit.json"


@dataclass
class Clock:
    """Seconds by part: on the clock, and of the embedded AWS's processor."""

    server: psutil.Process
    parts: dict[str, tuple[float, float]] = field(default_factory=dict)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        began, busy = time.monotonic(), self._busy()
        yield
        self.parts[name] = (time.monotonic() - began, self._busy() - busy)

    def _busy(self) -> float:
        times = self.server.cpu_times()
        return float(times.user + times.system)


def main(deployments: int) -> int:
    """Print the figures and return 0, or 1 when it took longer than it may or the records do not hold."""
    with TemporaryDirectory(prefix="slipway-bench-") as folder, running(Path(folder)) as instance:
        world = made(f"http://127.0.0.1:{instance.port}", Path(folder))
        began = time.monotonic()
        kept = tell_many(world, deployments)
        print(f"made {deployments} deployments, {kept} objects in {time.monotonic() - began:.0f} s", flush=True)
        clock = Clock(psutil.Process(instance.pid))
        record = Record(world.site)
        with clock.part("audit.verify"):
            found = record.audit()
        records = record.read()
        with clock.part("  alone, what was read is verified"):
            verify(records)
        parts_of(world, records, clock)
    return report(deployments, found.holds, (found.events, found.signatures), clock)


def parts_of(world: World, records: Records, clock: Clock) -> None:
    """Read everything once more, part by part."""
    evidence, signer = world.site.evidence, world.site.signer("evidence").verification_key
    approver = world.site.signer("approvals").verification_key
    parts: dict[str, Callable[[], Any]] = {
        "journal": world.site.journal.items,
        "bundles": lambda: evidence.kept("deployments/", PAYLOAD_TYPE, signer),
        "checkpoints": lambda: evidence.kept("checkpoints/", CHECKPOINT_TYPE, signer),
        "approvals": lambda: evidence.kept("approvals/", APPROVAL_TYPE, approver),
        "plans": lambda: world.site.bucket.digests("plans", sorted(records.plans)),
    }
    for name, read in parts.items():
        with clock.part(f"  alone, {name} read"):
            read()


def report(deployments: int, holds: bool, counts: tuple[int, int], clock: Clock) -> int:
    total = clock.parts["audit.verify"][0]
    for name, (seconds, busy) in clock.parts.items():
        print(f"{name:34} {seconds:6.2f} s, of which the embedded AWS was busy {busy:6.2f} s")
    RESULT.parent.mkdir(exist_ok=True)
    parts = {
        name.strip(): {"seconds": round(one, 3), "server": round(busy, 3)} for name, (one, busy) in clock.parts.items()
    }
    RESULT.write_text(json.dumps({"deployments": deployments, "seconds": round(total, 3), "parts": parts}, indent=1))
    verdict = "holds" if holds else "DOES NOT HOLD"
    goal = GOAL_S * deployments / 1000
    print(
        f"audit.verify of {deployments} deployments ({counts[0]} events, {counts[1]} signed objects): {verdict}, "
        f"{total:.1f} s (goal {goal:.0f} s)"
    )
    return 0 if holds and total <= goal else 1


# ---- the records ---------------------------------------------------------------------------------------------------


def tell_many(world: World, deployments: int) -> int:
    """Write the records of many deployments and return how many objects they are."""
    template, plan = told_once(world)
    ben = world.people["ben"].caller()
    evidence, approvals = world.site.signer("evidence"), world.site.signer("approvals")
    pem = approvals.verification_key.pem
    policy = world.site.policy.model_dump(mode="json")

    def put(bucket: str, key: str, content: bytes) -> Copy:
        answer = world.site.aws.s3.put_object(Bucket=bucket, Key=key, Body=content)
        return Stored(key=key, version=answer["VersionId"], content=content).copy

    def keep(job: tuple[list[Event], Plan, str, bytes]) -> None:
        own, planned, key, envelope = job
        bucket = world.site.evidence.bucket
        head = Checkpoint(environment=NAME, head=Head(seq=own[0].seq, sha256=own[0].sha256))
        anchor = signed(head.to_bytes(), CHECKPOINT_TYPE, evidence)
        copies = (
            put(world.site.bucket.bucket, f"plans/{planned.id}.json", planned.to_bytes()),
            put(bucket, key, envelope),
            put(bucket, checkpoint_key(own[0].seq), anchor),
        )
        bundle = bundle_of(
            own,
            environment=NAME,
            ending=own[-1],
            plan=planned.model_dump(mode="json"),
            policy=policy,
            approvals=[json.loads(envelope)],
            approvals_key=pem,
            checkpoints=[json.loads(anchor)],
            copies=copies,
            components={},
        )
        put(bucket, bundle_key(own[0].deployment, own[-1].seq), signed(statement_of(bundle), PAYLOAD_TYPE, evidence))

    with ThreadPoolExecutor(WRITERS) as pool:
        plans = [plan.model_copy(update={"commit": f"{number:040x}"}) for number in range(deployments)]
        approved = list(pool.map(lambda one: _approve(one, ben, approvals, at=template[0].at), plans))
        events: list[Event] = []
        jobs = []
        for number, (one, (key, envelope)) in enumerate(zip(plans, approved, strict=True)):
            previous = events[-1].sha256 if events else GENESIS
            own = _told_again(template, number, one, envelope, previous=previous)
            events += own
            jobs.append((own, one, key, envelope))
        list(pool.map(keep, jobs))
        batches = [events[at : at + BATCH] for at in range(0, len(events), BATCH)]
        list(pool.map(lambda batch: _write(world, batch), batches))
    return 4 * deployments


def told_once(world: World) -> tuple[tuple[Event, ...], Plan]:
    """Return the events of one deployment by the engine, taken out of the world again, and its plan."""
    plan = world.plan(CHANGES[0])
    world.approve(plan, "ben")
    world.deploy("d-template", CHANGES[0], plan)
    events = world.site.journal.events()
    key = {"TableName": world.site.environment.deployments_table}
    for event in events:
        world.site.aws.dynamodb.delete_item(**key, Key={"stream": {"S": "journal"}, "seq": {"N": str(event.seq)}})
    for name in world.site.evidence.names(""):
        for one in world.site.aws.s3.list_object_versions(Bucket=world.site.evidence.bucket, Prefix=name)["Versions"]:
            version = {"Key": name, "VersionId": one["VersionId"]}
            world.site.aws.s3.delete_object(
                Bucket=world.site.evidence.bucket, **version, BypassGovernanceRetention=True
            )
    return events, plan


def _approve(plan: Plan, caller: Any, signer: Any, *, at: str) -> tuple[str, bytes]:
    approval = Approval(
        kind="approval",
        plan=plan.id,
        environment=NAME,
        identity=caller.arn,
        user_id=caller.user_id,
        reason="read with Ana",
        at=at,
    )
    return approval_key(approval), signed(approval.to_bytes(), APPROVAL_TYPE, signer)


def _told_again(template: tuple[Event, ...], number: int, plan: Plan, envelope: bytes, *, previous: str) -> list[Event]:
    """Return the same events under another name, after the ones that were told before."""
    found: list[Event] = []
    sha256 = digest_of(json.loads(envelope))
    for place, event in enumerate(template, start=1):
        data = dict(event.data)
        if event.kind == "began":
            data |= {"plan": plan.id, "commit": plan.commit}
            data["approvals"] = [{"sha256": sha256, "person": "ben", "kind": "approval", "reason": "read with Ana"}]
        told = event.model_copy(
            update={
                "seq": number * len(template) + place,
                "previous": previous,
                "deployment": f"d-{20260101 + number // 100}-{number % 100:06d}-{number:06x}",
                "data": json.loads(canonical(data)),
            }
        )
        previous = told.sha256
        found.append(told)
    return found


def _write(world: World, events: list[Event]) -> None:
    requests = [
        {"PutRequest": {"Item": item_of(event.seq, event.to_bytes().decode(), event.sha256)}} for event in events
    ]
    table = world.site.environment.deployments_table
    answer = world.site.aws.dynamodb.batch_write_item(RequestItems={table: requests})
    assert not answer["UnprocessedItems"]


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 1000))
