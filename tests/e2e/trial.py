"""Trials: a deployment or a rollback is disturbed, the command is given again, and all is as if nothing had been."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import psutil

from slipway.deployment import Deployment, fold
from slipway.operation import open_site
from slipway.record import Record
from slipway.step import StepKind
from tests.e2e import change, snapshot
from tests.e2e.matrix import LOST, SHARES, Cell, deaths
from tests.e2e.mortal import Purpose
from tests.e2e.snapshot import Difference, Snapshot
from tests.e2e.verdict import Result, Verdict

if TYPE_CHECKING:
    from tests.e2e.conftest import House, Said

KILL_S = 300  # seconds a process may take to die
REPEATED: frozenset[StepKind] = frozenset({"compare"})  # only read, so nobody asks whether they were done
CHILDREN = ("dbt", "schemachange")  # that must not outlive it


@dataclass(frozen=True, kw_only=True)
class Undisturbed:
    """What a deployment or a rollback does that nobody kills.

    Attributes:
        seconds: that each effect took.
        words: how many lines each effect told.
        kept: the kinds of the steps whose ports kept their contract.
    """

    difference: Difference
    kinds: tuple[str, ...]
    kept: tuple[str, ...]
    serials: int
    seconds: Mapping[str, float]
    words: Mapping[str, int]


@dataclass(kw_only=True)
class Disturbance:
    """One deployment that is disturbed from outside.

    Attributes:
        before: what was there.
        seconds: that the command took which came to the end.
        more_serials: whether Terraform, cut short, may have written its state more often.
    """

    before: Snapshot
    seconds: float = 0.0
    note: str = ""
    more_serials: bool = False
    problems: list[str] = field(default_factory=list)


class Trials:
    """Carries cells out, one after the other, in one house.

    Attributes:
        is_settled: whether all that was committed went live undisturbed; otherwise it does before the next cell.
    """

    def __init__(self, house: House) -> None:
        self.house, self.results, self.verdicts = house, list[Result](), list[Verdict]()
        self._undisturbed: dict[Purpose, Undisturbed] = {}
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget what is there, because others may have changed it."""
        self._now: Snapshot | None = None
        self._can_go_back = self.is_settled = False

    def undisturbed(self, purpose: Purpose) -> Undisturbed:
        """Return what nobody kills; it is done once, the way that the cells go.

        Side effects: the first time, one deployment or rollback.
        """
        if purpose not in self._undisturbed:
            self.prepare(purpose)
            before = self.now()
            ended = self._mortal(purpose)
            if ended.code:
                raise AssertionError(f"an undisturbed {purpose} ended with {ended.code}:\n{ended.err}")
            self.done(purpose)
            told, after = ended.json, self.now()
            self._undisturbed[purpose] = Undisturbed(
                difference=snapshot.difference(before, after),
                kinds=tuple(step.kind for step in self.last().steps),
                kept=tuple(told["kept"]),
                serials=after.serial - before.serial,
                seconds=told["seconds"],
                words={kind: len(lines) for kind, lines in told["words"].items()},
            )
        return self._undisturbed[purpose]

    def now(self) -> Snapshot:
        """Return what is there, looked at anew only when something was done since."""
        if self._now is None:
            self._now = snapshot.take(self.house.root)
        return self._now

    def last(self) -> Deployment:
        """Return the last deployment that the journal tells of."""
        with open_site(self.house.root, "staging", start=False) as site:
            return site.history()[-1]

    @contextmanager
    def disturbed(self, family: Literal["stop", "outage"], case: str) -> Iterator[Disturbance]:
        """Have a change ready to deploy, and note as a verdict how it ends; whatever is raised inside is a problem.

        Side effects: a commit.
        """
        self.undisturbed("deploy")
        self.prepare("deploy")
        one = Disturbance(before=self.now())
        self.is_settled = False
        try:
            yield one
            one.problems += self.problems("deploy", one.before, more_serials=one.more_serials)
        except BaseException as error:  # what is interrupted has not converged
            one.problems.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            verdict = Verdict(family=family, case=case, seconds=one.seconds, problems=one.problems, note=one.note)
            self.verdicts.append(verdict)
        self.is_settled = not one.problems

    def carry_out(self, cell: Cell) -> Result:
        """Disturb a process as the cell says, give the command, and return what is not as it would be undisturbed."""
        wanted, result, began = self.undisturbed(cell.purpose), Result(cell=cell), time.monotonic()
        self.results.append(result)
        try:
            self.prepare(cell.purpose)
            self.is_settled = False
            self._carry_out(cell, wanted, result)
        except BaseException as error:  # what is interrupted has not converged
            result.problems.append(f"{type(error).__name__}: {error}")
            raise
        finally:
            result.seconds = time.monotonic() - began
            self.verdicts.append(result.verdict())
        self.is_settled = not result.problems
        return result

    def _carry_out(self, cell: Cell, wanted: Undisturbed, result: Result) -> None:
        before = self.now()
        plan = self.house.invoke("plan", "--env", "staging", "--json").json["id"] if cell.reviewed else ""
        for number, death in enumerate(deaths(cell, seconds=wanted.seconds, words=wanted.words)):
            if number and cell.column == "abandoned":
                self._commit_otherwise()
            ended = self._mortal(cell.purpose, *death.arguments(), *((f"--plan={plan}",) if plan else ()))
            if ended.code != -signal.SIGKILL:
                result.problems.append(f"did not die but ended with {ended.code}: {ended.err[-2000:]}")
            if "ended first" in ended.err:
                result.note = "the effect ended first"
            result.problems += [f"outlived its parent: {line}" for line in self._orphans()]
        if cell.column == "began" and not self.house.invoke("history", "--env", "staging", "--json").json["left_alone"]:
            result.problems.append("history does not say that nobody works at it")
        said = self._go_on(cell, plan)
        self.done(cell.purpose)
        result.resume_s = said.seconds
        if said.code:
            result.problems.append(f"the command that went on ended with {said.code}: {said.err[-2000:]}")
        is_inside = cell.row == "infra" and (cell.column in SHARES or cell.column == "last word")
        # What dies while the slot catches up leaves one that is not complete, which is built anew.
        repeated = REPEATED | {"build"} if cell.row == "catchup" else REPEATED
        result.problems += self.problems(cell.purpose, before, plan=plan, more_serials=is_inside, repeated=repeated)
        if cell.column == LOST:
            heard = [one.kind for one in self.last().steps if one.state != "found done" and one.kind not in REPEATED]
            result.problems += [f"the answer of {kind} was heard" for kind in heard]

    def _go_on(self, cell: Cell, plan: str) -> Said:
        """Give the command again; where no process died, give it to one that the answers do not reach."""
        if cell.column == LOST:
            return self._mortal(cell.purpose, "--lost")
        again = ("--plan", plan) if plan else ()
        return self.house.run(cell.purpose, "--env", "staging", *again)

    # ---- the way there ---------------------------------------------------------------------------------------------

    def prepare(self, purpose: Purpose) -> None:
        """Commit a change to deploy, or have one live that can be taken back. Side effects: a commit, a deployment."""
        if not self.is_settled:
            self._settle()
        if purpose == "deploy":
            change.write(self.house, change.next_number(self.house))
        elif not self._can_go_back:
            change.write(self.house, change.next_number(self.house))
            self.house.invoke("deploy", "--env", "staging")
            self.done("deploy")

    def _settle(self) -> None:
        """Have everything live that was committed, and a change among it: the first makes what the others change.

        It is not taken back, so that a rollback of a later change ends here and not before the first one.
        """
        if change.next_number(self.house) == 1:
            change.write(self.house, 1)
        self.house.invoke("deploy", "--env", "staging")
        self._now, self._can_go_back, self.is_settled = None, False, True

    def done(self, purpose: Purpose) -> None:
        """Note that something was done: what is there is another, and whether it can be taken back."""
        self._now, self._can_go_back = None, purpose == "deploy"

    def _commit_otherwise(self) -> None:
        """Replace the last commit by one that makes the same change and is another version."""
        number = change.next_number(self.house) - 1
        self.house.git("reset", "-q", "--hard", "HEAD~1")
        self.house.write("dags/latest_change.md", f"Change {number}, thought over.\n")
        change.write(self.house, number)

    def _mortal(self, purpose: Purpose, *arguments: str) -> Said:
        """Run `tests.e2e.mortal` in the house."""
        program = str(self.house.root / ".venv" / "bin" / "python")
        return self.house.execute(program, "-m", "tests.e2e.mortal", purpose, *arguments, timeout_s=KILL_S)

    def _orphans(self) -> Iterator[str]:
        """Yield what still works for a process that is dead; a moment is given to the kernel."""
        deadline = time.monotonic() + 3
        while (found := working_for(self.house.root)) and time.monotonic() < deadline:
            time.sleep(0.1)
        yield from found

    # ---- what must be true -----------------------------------------------------------------------------------------

    def problems(
        self,
        purpose: Purpose,
        before: Snapshot,
        *,
        plan: str = "",
        more_serials: bool = False,
        repeated: frozenset[StepKind] = REPEATED,
    ) -> list[str]:
        """Return what is not as it would be if nobody had disturbed the last deployment; nothing when it converged.

        Args:
            plan: that it had to be done by, if any.
            more_serials: whether Terraform, cut short, may have written its state more often.
            repeated: kinds of steps that may have been done more than once.
        """
        wanted, after = self.undisturbed(purpose), self.now()
        found = snapshot.difference(before, after).against(wanted.difference)
        serials = after.serial - before.serial
        if serials != wanted.serials and not (more_serials and serials > 0):
            found.append(f"Terraform's serial rose by {serials}, undisturbed by {wanted.serials}")
        with open_site(self.house.root, "staging", start=False) as site:
            events = site.journal.events()
            found += [f"{one.where} {one.what}" for one in Record(site).audit().findings]
        return [*found, *_journal_problems(fold(events)[-1], purpose, wanted, plan, repeated)]


def _journal_problems(
    last: Deployment, purpose: Purpose, wanted: Undisturbed, plan: str, repeated: frozenset[StepKind]
) -> Iterator[str]:
    """Yield what the journal says of the last deployment that it does not say of an undisturbed one."""
    if (last.purpose, last.state) != (purpose, "succeeded"):
        yield f"the last deployment is a {last.purpose} that is {last.state}"
    ends = {step.kind: step.state for step in last.steps}
    if tuple(ends) != wanted.kinds:
        yield f"its steps are {', '.join(ends)}"
    yield from (f"{kind} is {state}" for kind, state in ends.items() if state not in ("done", "found done"))
    done = Counter(step.kind for step in last.steps if step.state == "done")
    yield from (f"{kind} was done {count} times" for kind, count in done.items() if count > 1 and kind not in repeated)
    if plan and last.plan != plan:
        yield f"it was done by plan {last.plan[:12]}, not by {plan[:12]}"


def working_for(root: Path, command: str = "") -> list[str]:
    """Return the command lines of programs that a deployment in the house at `root` started and that still run.

    Args:
        command: a word of it, such as `build`.
    """
    found = []
    for process in psutil.process_iter():
        try:
            words = process.cmdline()
            started = any(Path(word).name in CHILDREN for word in words[:4])
            if not started or (command and command not in words) or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if Path(process.cwd()) == root:
                found.append(" ".join(words)[:200])
        except psutil.Error:
            continue
    return found
