"""What moves while a command works: a live line on a terminal, plain lines elsewhere. It goes to standard error."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

from slipway.console import Outlet
from slipway.plan import Plan
from slipway.ports import Outcome
from slipway.release import short
from slipway.step import Step, summarise

PLAIN_SAME_S = 30.0  # seconds after which the same line is told again
PLAIN_EVERY_S = 5.0  # seconds between two lines of movement where there is no terminal


class Progress:
    """Tells what moves. Implements the engine's `Listener`; called with a line it is a `ports.Progress`."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Outlet(stderr=True, highlight=False, soft_wrap=True)
        self._began = time.monotonic()
        self._status = self._console.status("") if self._console.is_terminal else None
        self._spoke_at = 0.0
        self._phase = ""
        self._told = ""
        self._running = False

    def __call__(self, line: str) -> None:
        """Tell that something moved."""
        if self._status is not None:
            self._status.update(f"{self._clock()} {self._phase}  [dim]{escape(line)}[/]")
        elif time.monotonic() - self._spoke_at > (PLAIN_EVERY_S if line != self._told else PLAIN_SAME_S):
            self._told = line
            self._say(f"  {line}")

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Show that `name` is being done, and how long it took."""
        began = time.monotonic()
        self._start(name)
        yield
        self._end(f"[green]✓[/] {name} [dim]{time.monotonic() - began:.1f} s[/]")

    def examining(self) -> None:
        """Tell that the release is checked and the environment observed."""
        self._start("checking the release, observing the environment")

    def examined(self, plan: Plan) -> None:
        """Tell what the plan is."""
        steps = ", ".join(step.kind for step in plan.steps) or "nothing to do"
        self._end(f"[green]✓[/] plan {short(plan.id)}: {steps} [dim]({escape(plan.reason)})[/]")

    def step_started(self, number: int, step: Step) -> None:
        """Tell that a step of the plan begins."""
        self._start(f"{number}. {summarise(step)}")

    def step_moved(self, line: str) -> None:
        """Tell that something moved inside a step."""
        self(line)

    def step_ended(self, number: int, step: Step, outcome: Outcome, *, found: bool, seconds: float) -> None:
        """Tell what a step did."""
        mark = "[yellow]=[/]" if found else "[green]✓[/]"
        self._end(f"{mark} {number}. {step.kind}: {escape(outcome.summary)} [dim]{seconds:.1f} s[/]")

    def resuming(self, plan: Plan, deployment: str) -> None:
        """Tell that an unfinished deployment is gone on with, by its own plan."""
        self._end(f"[green]✓[/] {deployment} did not end: going on with its plan {short(plan.id)}")

    def waiting(self, line: str) -> None:
        """Tell that something does not answer and is asked again."""
        self._end(f"[yellow]…[/] {escape(line)}")

    def verifying(self) -> None:
        """Tell that the environment is looked at again."""
        self._start("verifying")

    def note(self, line: str) -> None:
        """Tell something that stays on the screen."""
        self._end(f"[yellow]![/] {escape(line)}")

    def close(self) -> None:
        """Take the live line away."""
        if self._status is not None and self._running:
            self._status.stop()
            self._running = False

    def _start(self, phase: str) -> None:
        self._phase = escape(phase)
        if self._status is None:
            self._say(f"{self._phase} ...")
            return
        self._status.update(f"{self._clock()} {self._phase}")
        if not self._running:
            self._status.start()
            self._running = True

    def _end(self, line: str) -> None:
        self.close()
        self._say(line)

    def _say(self, line: str) -> None:
        self._spoke_at = time.monotonic()
        self._console.print(f"{self._clock()} {line}")

    def _clock(self) -> str:
        return f"[dim]{time.monotonic() - self._began:6.1f} s[/]"
