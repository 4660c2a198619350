"""How disturbed deployments ended: one by one, as tables, and in one line."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from tests.e2e.matrix import KINDS, STEP_POINTS, Cell
from tests.e2e.mortal import Purpose


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """How one disturbance of a deployment ended.

    Attributes:
        seconds: that the command took which came to the end.
    """

    family: Literal["kill", "stop", "outage"]
    case: str
    seconds: float
    problems: list[str]
    note: str = ""

    def document(self) -> dict[str, Any]:
        """Return it for `kill.json`."""
        return {
            "family": self.family,
            "case": self.case,
            "converged": not self.problems,
            "seconds": round(self.seconds, 1),
            "note": self.note,
            "problems": self.problems,
        }


@dataclass(kw_only=True)
class Result:
    """How a cell ended.

    Attributes:
        resume_s: seconds that the command took which went on.
        note: what was different from what the cell is about.
    """

    cell: Cell
    resume_s: float = 0.0
    seconds: float = 0.0
    note: str = ""
    problems: list[str] = field(default_factory=list)

    def verdict(self) -> Verdict:
        """Return the result as all disturbances are told."""
        return Verdict(family="kill", case=self.cell.id, seconds=self.resume_s, problems=self.problems, note=self.note)


def summary(verdicts: list[Verdict]) -> str:
    """Return the one line that says how all of it ended."""
    return f"KILL: {sum(not one.problems for one in verdicts)}/{len(verdicts)} converged"


def table(results: list[Result], purpose: Purpose) -> list[str]:
    """Return the results of one purpose as a table: seconds of the command that went on, or what did not converge."""
    own = {(one.cell.row, one.cell.column): one for one in results if one.cell.purpose == purpose}
    lines = []
    rows = [kind for kind in KINDS[purpose] if any(row == kind for row, _ in own)]
    if rows:
        lines.append(f"{purpose:<10}" + "".join(f"{column:>12}" for column in STEP_POINTS))
        lines += [f"{row:<10}" + "".join(_cell(own.get((row, column))) for column in STEP_POINTS) for row in rows]
    for (row, column), one in own.items():
        if column not in STEP_POINTS:
            name = column if row == "-" else f"{row}: {column}"
            lines.append(f"{purpose:<10}{name:<26}{_cell(one).strip()}")
    return lines


def _cell(result: Result | None) -> str:
    if result is None:
        return f"{'.':>12}"
    said = f"{result.resume_s:.1f} s" if not result.problems else "DIVERGED"
    return f"{said + ('*' if result.note else ''):>12}"
