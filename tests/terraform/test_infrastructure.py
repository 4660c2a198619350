"""One environment's infrastructure: how its plans are named, kept and applied, and what a bootstrap refuses."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import stat
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from slipway import config
from slipway.adapters.infrastructure import (
    KEPT_PLANS,
    STATE_KEY,
    EnvironmentInfrastructure,
    again_if_the_lock_vanished,
)
from slipway.adapters.terraform_failure import LockVanished
from slipway.config import Environment
from slipway.errors import Blocked, Stale, StepFailed
from slipway.observation import InfrastructureFacts
from slipway.plan import infrastructure_step
from slipway.sandbox.aws import terraform_environment
from slipway.sandbox.aws.instance import Instance
from slipway.step import ApplyInfrastructure
from tests.terraform.conftest import ROOT

ROOT_FILE = """
terraform {
  required_version = ">= 1.11"
  backend "s3" {
    encrypt      = true
    use_lockfile = true
  }
}
variable "prefix" { type = string }
variable "region" { type = string }
variable "sources_bucket" { type = string }
"""
LOCK_ID = "5a2b7c1e-0000-4000-8000-000000000000"


def resources(**inputs: str) -> str:
    """Return a root whose resources hold their own inputs: one that differs is an update in place."""
    blocks = (f'resource "terraform_data" "{name}" {{\n  input = "{value}"\n}}\n' for name, value in inputs.items())
    return ROOT_FILE + "".join(blocks)


class Shelf:
    """Keeps reviewed plan files in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def terraform_plan(self, digest: str) -> bytes | None:
        return self.kept.get(digest)

    def put_terraform_plan(self, digest: str, content: bytes) -> None:
        self.kept[digest] = content


@dataclass(frozen=True)
class Bench:
    """An environment of no provider, whose root a test writes."""

    environment: Environment
    folder: Path
    s3: Any
    variables: dict[str, str]
    shelf: Shelf = field(default_factory=Shelf)

    def write(self, content: str) -> None:
        root = self.folder / "terraform/environments/staging"
        root.mkdir(parents=True, exist_ok=True)
        (root / "main.tf").write_text(content)

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def infrastructure(self) -> EnvironmentInfrastructure:
        """Return it as a new command would see it."""
        return EnvironmentInfrastructure(
            self.environment, self.folder, self.work, s3=self.s3, shelf=self.shelf, variables=self.variables
        )

    def plans(self) -> list[Path]:
        return sorted(self.work.glob("*.tfplan"))


@pytest.fixture
def bench(instance: Instance, client: Callable[[str], Any], tmp_path: Path) -> Bench:
    staging = config.load("staging", folder=ROOT / "config")
    prefix = f"t{zlib.crc32(tmp_path.name.encode()):x}"
    made = Bench(
        environment=staging.model_copy(update={"aws": staging.aws.model_copy(update={"prefix": prefix})}),
        folder=tmp_path,
        s3=client("s3"),
        variables=terraform_environment(instance.proxy_port),
    )
    made.write(resources(one="a"))
    made.infrastructure().bootstrap(quiet)
    return made


def quiet(line: str) -> None: ...


def step_of(facts: InfrastructureFacts) -> ApplyInfrastructure:
    step = infrastructure_step(facts)
    assert step is not None
    return step


def test_a_bootstrap_makes_what_is_not_there_and_then_nothing(bench: Bench) -> None:
    assert bench.infrastructure().bootstrap(quiet) is False
    bench.write(resources(one="a", two="b"))
    assert bench.infrastructure().bootstrap(quiet) is True
    assert bench.plans() == []


def test_a_bootstrap_refuses_to_change_or_to_end_what_exists(bench: Bench) -> None:
    bench.write(resources(one="other", two="b"))
    with pytest.raises(Blocked, match=r"also: update terraform_data\.one\n") as refused:
        bench.infrastructure().bootstrap(quiet)
    assert "invoke deploy --env staging" in (refused.value.fix or "")
    bench.write(resources(two="b"))
    with pytest.raises(Blocked, match=r"delete terraform_data\.one"):
        bench.infrastructure().bootstrap(quiet)

    facts = bench.infrastructure().facts(plan=True)
    assert (facts.creates, facts.deletes) == (("terraform_data.two",), ("terraform_data.one",))


def test_the_same_change_has_the_same_name_and_is_applied_from_either_plan(bench: Bench) -> None:
    bench.write(resources(one="b"))
    first, again = (bench.infrastructure().facts(plan=True) for _ in range(2))
    assert first == again
    assert bench.plans()
    assert {stat.S_IMODE(path.stat().st_mode) for path in bench.plans()} == {0o600}

    later = bench.infrastructure()  # another command, which has not planned itself
    done = later.apply(step_of(first), quiet)
    assert done.evidence["plan_sha256"] == first.plan_sha256
    assert done.evidence["file_sha256"] != first.plan_sha256
    assert not later.facts(plan=True).has_changes


def test_what_was_planned_right_here_and_not_tried_is_known_not_to_be_applied(bench: Bench) -> None:
    bench.write(resources(one="b"))
    planner = bench.infrastructure()
    step = step_of(planner.facts(plan=True))
    for saved in bench.plans():
        saved.unlink()  # the next one may be the same to the byte: it is known by the second it was made in
    assert not planner.is_applied(step)
    assert bench.plans() == [], "Terraform was not asked again"
    assert not bench.infrastructure().is_applied(step)
    assert bench.plans() != [], "another process asks it"
    planner.apply(step, quiet)
    assert planner.is_applied(step)
    assert bench.infrastructure().is_applied(step)


def test_after_a_try_only_terraform_knows_for_a_repair_leaves_the_state_where_it_stood(bench: Bench) -> None:
    """As it does when somebody had changed a resource by hand: serial and lineage are what they were before."""
    bench.write(resources(one="b"))
    planner = bench.infrastructure()
    step = step_of(planner.facts(plan=True))
    planner.apply(step, quiet)
    now = planner.state()
    assert now is not None
    as_if = step.model_copy(update={"serial": now.serial, "lineage": now.lineage})
    assert planner.is_applied(as_if)
    assert bench.infrastructure().is_applied(as_if)


def test_another_change_has_another_name(bench: Bench) -> None:
    names = set()
    for value in ("b", "c"):
        bench.write(resources(one=value))
        names.add(bench.infrastructure().facts(plan=True).plan_sha256)
    assert len(names) == 2


def test_plans_at_the_same_time_do_not_take_each_others_place(bench: Bench) -> None:
    bench.write(resources(one="b"))
    planners = [bench.infrastructure() for _ in range(2)]
    with ThreadPoolExecutor(max_workers=2) as pool:
        facts = list(pool.map(lambda planner: planner.facts(plan=True), planners))
    assert facts[0] == facts[1]
    assert bench.plans()
    assert not list(bench.work.glob(".draft-*"))
    planners[0].apply(step_of(facts[0]), quiet)
    with pytest.raises(Stale, match=r"moved to serial \d+ since the plan was made"):
        planners[1].apply(step_of(facts[1]), quiet)


def test_a_saved_plan_that_is_gone_or_was_exchanged_is_not_applied(bench: Bench) -> None:
    bench.write(resources(one="reviewed"))
    reviewed = bench.infrastructure().facts(plan=True)
    (file,) = bench.plans()
    file.unlink()
    with pytest.raises(Stale, match="not there any more"):
        bench.infrastructure().apply(step_of(reviewed), quiet)

    bench.write(resources(one="another"))
    bench.infrastructure().facts(plan=True)
    bench.plans()[0].rename(file)
    with pytest.raises(Stale, match="not there any more"):
        bench.infrastructure().apply(step_of(reviewed), quiet)


def test_a_plan_that_was_reviewed_is_applied_on_a_machine_that_never_planned(bench: Bench) -> None:
    bench.write(resources(one="reviewed"))
    planner = bench.infrastructure()
    reviewed = planner.facts(plan=True)
    planner.shelve(str(reviewed.plan_sha256))
    for file in bench.plans():
        file.unlink()
    done = bench.infrastructure().apply(step_of(reviewed), quiet)
    assert done.evidence["file_sha256"] == hashlib.sha256(bench.shelf.kept[str(reviewed.plan_sha256)]).hexdigest()
    assert not bench.infrastructure().facts(plan=True).has_changes


def test_a_plan_made_on_an_empty_state_is_not_applied_a_second_time(bench: Bench) -> None:
    state = bench.environment.bucket("tfstate")
    bench.s3.delete_object(Bucket=state, Key=STATE_KEY)
    planner = bench.infrastructure()
    empty = planner.facts(plan=True)
    assert (empty.serial, empty.lineage) == (0, "")
    planner.shelve(str(empty.plan_sha256))
    planner.apply(step_of(empty), quiet)
    serial = bench.infrastructure().facts(plan=False).serial
    with pytest.raises(Stale, match=f"moved to serial {serial} since the plan was made"):
        bench.infrastructure().apply(step_of(empty), quiet)
    assert bench.infrastructure().facts(plan=False).serial == serial


def test_what_an_apply_that_was_cut_short_left_is_done_and_nothing_beyond(bench: Bench) -> None:
    bench.write(resources(one="a", two="b", three="c"))
    reviewed = bench.infrastructure().facts(plan=True)
    bench.write(resources(one="a", two="b"))  # as if the apply had come as far as this
    halfway = bench.infrastructure()
    halfway.apply(step_of(halfway.facts(plan=True)), quiet)
    bench.write(resources(one="a", two="b", three="c"))
    bench.infrastructure().apply(step_of(reviewed), quiet)
    assert not bench.infrastructure().facts(plan=True).has_changes

    bench.write(resources(one="other", two="b", three="c", four="d"))
    with pytest.raises(Stale, match=r"update terraform_data\.one"):
        bench.infrastructure().apply(step_of(reviewed), quiet)


def test_only_the_newest_plans_are_kept_and_what_a_killed_one_left_is_removed(bench: Bench) -> None:
    old = [bench.work / f"{number}.tfplan" for number in range(KEPT_PLANS)]
    for number, path in enumerate(old):
        path.write_bytes(b"secret")
        os.utime(path, (number + 1, number + 1))
    left, drafted = bench.work / ".draft-left", bench.work / ".draft-now"
    for folder in (left, drafted):
        folder.mkdir()
        (folder / "draft.tfplan").write_bytes(b"secret")
    os.utime(left, (1, 1))

    bench.write(resources(one="b"))
    bench.infrastructure().facts(plan=True)
    assert len(bench.plans()) == KEPT_PLANS
    assert [path.exists() for path in old] == [False] + [True] * (KEPT_PLANS - 1)
    assert not left.exists()
    assert drafted.exists()


def test_a_lock_that_was_given_back_meanwhile_is_no_reason_to_stop() -> None:
    missed = iter([True, True, False])

    def call() -> str:
        if next(missed):
            raise LockVanished("gone")
        return "planned"

    assert again_if_the_lock_vanished(call) == "planned"
    missed = itertools.repeat(True)
    with pytest.raises(LockVanished):
        again_if_the_lock_vanished(call)


def test_a_lock_is_taken_away_by_the_id_that_the_refusal_named(bench: Bench) -> None:
    lock = {"ID": LOCK_ID, "Operation": "OperationTypeApply", "Who": "gone@host"}
    state = bench.environment.bucket("tfstate")
    bench.s3.put_object(Bucket=state, Key="terraform.tfstate.tflock", Body=json.dumps(lock).encode())
    bench.write(resources(one="b"))
    infrastructure = bench.infrastructure()
    with pytest.raises(StepFailed):
        infrastructure.unlock("00000000-0000-4000-8000-000000000000")
    infrastructure.unlock(LOCK_ID)

    assert infrastructure.facts(plan=True).has_changes
