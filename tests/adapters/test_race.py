"""Two deployers at once, each a process of its own; one of them, or the server, asleep at the wrong moment."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import boto3
import pytest
from botocore.config import Config

from slipway.adapters.aws import Aws
from slipway.adapters.holder import machine_id
from slipway.adapters.journal import DynamoJournal, now_iso
from slipway.adapters.lease import _KEY, DynamoLease
from slipway.errors import Locked
from slipway.patience import Patience
from slipway.sandbox.aws.instance import running
from tests.report import tell

from .conftest import CREDENTIALS, TABLE

RACES = 50
SLEEPS = 3
NAMES = ("ann", "bob")
WAIT_S = 30  # seconds for the other process to say something
RUN_OUT_S = 120  # seconds for a lease of one second to run out, on a machine that is busy with others
START_S = 0.005  # seconds from the word to the start: both are waiting by then

Before = Literal["given back", "run out", "of a dead process"]


@dataclass(frozen=True, kw_only=True)
class Told:
    """What a deployer says of one race."""

    won: bool
    message: str = ""
    at_write: bool = False  # both had found it free, and DynamoDB judged


def account(endpoint: str) -> Aws:
    return Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS)


def contend(endpoint: str, who: str, line: Connection) -> None:
    """Try to take the lease at each moment named, until None comes."""
    aws = account(endpoint)
    DynamoLease(aws.dynamodb, TABLE, environment="staging", by=who).holder()
    line.send("the way is open")
    while (start := line.recv()) is not None:
        lease = DynamoLease(aws.dynamodb, TABLE, environment="staging", by=who)
        while time.monotonic() < start:
            pass
        try:
            with lease:
                line.send(Told(won=True))
                line.recv()
                lease.check()
            line.send(None)
        except Locked as error:
            line.send(Told(won=False, message=error.message, at_write=error.__cause__ is not None))


def work(endpoint: str, who: str, line: Connection) -> None:
    """Hold the lease and write to the journal until it is lost; then say what was refused."""
    aws = account(endpoint)
    lease = DynamoLease(aws.dynamodb, TABLE, environment="staging", by=who, ttl_s=1.0)
    journal = DynamoJournal(aws.dynamodb, TABLE).fenced_by(lease)
    refused: dict[str, str] = {}
    with lease:
        for number in itertools.count():
            try:
                lease.check()
                journal.append("d-sleeper", "step-started", {"kind": "infra", "summary": str(number)})
            except Locked:
                break
            line.send(number)
        for name, do in attempts(lease, journal).items():
            try:
                do()
            except Locked as error:
                refused[name] = error.message
    line.send(refused)


def attempts(lease: DynamoLease, journal: DynamoJournal) -> dict[str, Callable[[], Any]]:
    return {"check": lease.check, "append": lambda: journal.append("d-sleeper", "failed", {"message": "too late"})}


@contextmanager
def process(target: Callable[..., None], endpoint: str, who: str) -> Iterator[tuple[Any, Connection]]:
    """Run `target` in a process of its own, with a line to it; ended after the block."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    started = context.Process(target=target, args=(endpoint, who, there), daemon=True)
    started.start()
    there.close()
    try:
        yield started, here
    finally:
        started.kill()
        started.join(WAIT_S)
        here.close()


def hear(line: Connection) -> Any:
    """Return what the other process says next."""
    assert line.poll(WAIT_S), "nothing was heard"
    return line.recv()


@pytest.fixture(scope="module")
def dead() -> int:
    """The number of a process that is gone."""
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    return gone.pid


def arrange(aws: Aws, before: Before, dead: int) -> None:
    """Leave the lease as a third deployer may."""
    expires = {"given back": 0.0, "run out": time.time() - 1, "of a dead process": time.time() + 60}[before]
    values = {
        ":expires": {"N": str(expires)},
        ":who": {"S": "carl"},
        ":since": {"S": "2026-11-01T00:00:00.000+00:00"},
        ":machine": {"S": machine_id() or "unknown"},
        ":process": {"S": f"{dead} 1"},
        ":claim": {"S": "0"},
        ":one": {"N": "1"},
    }
    change = "SET " + ", ".join(f"{name[1:]} = {name}" for name in values if name != ":one") + " ADD #token :one"
    aws.dynamodb.update_item(
        TableName=TABLE,
        Key=_KEY,
        UpdateExpression=change,
        ExpressionAttributeNames={"#token": "token"},
        ExpressionAttributeValues=values,
    )


def race(lines: tuple[Connection, ...]) -> dict[str, Told]:
    """Return what each said of one race; the lease is given back after it."""
    start = time.monotonic() + START_S
    for line in lines:
        line.send(start)
    told = {name: hear(line) for name, line in zip(NAMES, lines, strict=True)}
    for name, line in zip(NAMES, lines, strict=True):
        if told[name].won:
            line.send("let go")
            assert hear(line) is None
    return told


def test_of_two_deployers_one_wins_and_the_other_says_who_holds_it_since_when(
    aws: Aws, endpoint: str, dead: int, pytestconfig: pytest.Config
) -> None:
    ways: list[Before] = ["given back", "run out", "of a dead process"] if machine_id() else ["given back", "run out"]
    won: Counter[str] = Counter()
    winners: Counter[str] = Counter()
    at_write = 0
    began = time.monotonic()
    with process(contend, endpoint, "ann") as (_, ann), process(contend, endpoint, "bob") as (_, bob):
        lines = (ann, bob)
        assert all(hear(line) for line in lines)
        for before in itertools.islice(itertools.cycle(ways), RACES):
            arrange(aws, before, dead)
            told = race(lines)
            winner, *others = [name for name in NAMES if told[name].won]
            (loser,) = [name for name in NAMES if name != winner]
            assert not others
            assert re.fullmatch(rf"staging is held by {winner} since 20\d\d-\S+\+00:00", told[loser].message)
            won[before] += 1
            winners[winner] += 1
            at_write += told[loser].at_write
        for line in lines:
            line.send(None)
    seconds = time.monotonic() - began
    assert won.total() == RACES
    assert at_write > 0, "they never collided"
    tell(
        pytestconfig,
        "two deployers",
        f"races: {won.total()}/{RACES} one winner"
        f" ({', '.join(f'{count} on a lease {before}' for before, count in won.items())});"
        f" won by {', '.join(f'{name} {count}' for name, count in sorted(winners.items()))};"
        f" {at_write} decided by the conditional write; {seconds:.1f} s",
    )


def test_a_paused_deployer_that_wakes_after_its_lease_was_taken_does_nothing_more(
    aws: Aws, endpoint: str, pytestconfig: pytest.Config
) -> None:
    """Paused anywhere: between a check and a write, or while a request of its own is under way."""
    refused: Counter[str] = Counter()
    for turn in range(SLEEPS):
        with process(work, endpoint, "ann") as (sleeper, line):
            for _ in range(3 + turn):
                hear(line)
            os.kill(sleeper.pid, signal.SIGSTOP)
            with taken_by_bob(aws) as bob:
                journal = DynamoJournal(aws.dynamodb, TABLE).fenced_by(bob)
                last = journal.append(f"d-{turn}", "began", {})
                os.kill(sleeper.pid, signal.SIGCONT)
                while not isinstance(said := hear(line), dict):
                    pass  # what it wrote before it was paused
                bob.check()
        assert set(said) == {"check", "append"}
        assert all("lost its hold" in message for message in said.values())
        assert DynamoJournal(aws.dynamodb, TABLE).events()[-1] == last
        refused.update(said.keys())
    counts = ", ".join(f"{name} refused {count}/{SLEEPS}" for name, count in sorted(refused.items()))
    tell(pytestconfig, "two deployers", f"paused until its lease was taken, then woken: {counts}")


def test_requests_that_were_held_up_and_arrive_together_write_one_event(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    """The server sleeps, the writer asks again and again, the server wakes and finds all of it."""
    with running(tmp_path) as instance:
        patient = account(f"http://127.0.0.1:{instance.port}").dynamodb
        hasty = boto3.client(
            "dynamodb",
            endpoint_url=patient.meta.endpoint_url,
            region_name="eu-west-1",
            config=Config(read_timeout=0.5, retries={"total_max_attempts": 1}),
            **CREDENTIALS,
        )
        make_table(patient)
        told: list[str] = []

        def waken(line: str) -> None:
            told.append(line)
            if len(told) == 3:
                os.kill(instance.pid, signal.SIGCONT)

        def doze() -> str:
            os.kill(instance.pid, signal.SIGSTOP)  # the event is about to be written
            told.clear()
            return now_iso()

        patience = Patience(tell=waken, tell_every_s=0)
        with DynamoLease(patient, TABLE, environment="staging", by="ann", patience=patience) as lease:
            event = DynamoJournal(hasty, TABLE, clock=doze).fenced_by(lease).append("d-1", "began", {})
            lease.check()
        assert len(told) >= 3
        assert DynamoJournal(patient, TABLE).events() == (event,)
    tell(pytestconfig, "two deployers", f"one event asked for {len(told) + 1} times while the server slept: there once")


def make_table(client: Any) -> None:
    client.create_table(
        TableName=TABLE,
        KeySchema=[{"AttributeName": "stream", "KeyType": "HASH"}, {"AttributeName": "seq", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "stream", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )


@contextmanager
def taken_by_bob(aws: Aws) -> Iterator[DynamoLease]:
    """Take the lease as soon as it has run out, and give it back after the block."""
    until = time.monotonic() + RUN_OUT_S
    with ExitStack() as stack:
        while True:
            try:
                lease = stack.enter_context(DynamoLease(aws.dynamodb, TABLE, environment="staging", by="bob"))
            except Locked:
                assert time.monotonic() < until, f"it never ran out: {_as_it_stands(aws)}"
            else:
                break
        yield lease


def _as_it_stands(aws: Aws) -> str:
    """Return what the table holds of the lease, and what time it is here."""
    item = aws.dynamodb.get_item(TableName=TABLE, Key=_KEY, ConsistentRead=True).get("Item")
    return f"at {time.time():.3f}, {now_iso()}: {item}"
