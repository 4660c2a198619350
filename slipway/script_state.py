"""What there is to say of each migration script of an environment, and whether one may be taken back. Pure.

Rules:
- A script is half done when the statement journal says that a part of it may stand, whatever else is told of it.
- The content of an applied script is known by Slipway's digest. schemachange's own checksum is of the text with its
  variables filled in, and of the version of schemachange: that it changed while the content did not is said, because
  schemachange then runs an R script again.
- Only what nothing was built upon is taken back: no later V script, and not the release that is live.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from slipway.errors import Blocked, ConfigurationError
from slipway.migration import (
    ScriptRun,
    SetOut,
    applied_migrations,
    is_later,
    kind_of,
    late_scripts,
    pending_scripts,
    scripts_in,
    scripts_without_undo,
)
from slipway.statement import Standing

State = Literal["applied", "pending", "half done", "failed"]
Content = Literal["same", "edited", "changed", "unknown", "not in this commit"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptState:
    """One script.

    Attributes:
        content: of an applied script, against that of the commit checked out: "edited" is an error, "changed" is how an
            R script comes to run again; None of one that was not applied.
        at: of its last run, well or not.
        release: that the last run set out with it from.
        standing: how far it came, when only a part of it may stand.
        statements: that the script has.
        is_late: its version is not above all that were applied.
        other_checksum: schemachange would call it changed, and its content is the same.
    """

    name: str
    state: State
    content: Content | None = None
    at: datetime | None = None
    release: str | None = None
    standing: Standing | None = None
    statements: int | None = None
    is_late: bool = False
    lacks_undo: bool = False
    other_checksum: bool = False

    def document(self) -> dict[str, Any]:
        """Return it as `migrate.status --json` prints it; see docs/guides/json.md."""
        standing = self.standing
        return {
            "script": self.name,
            "state": self.state,
            "content": self.content,
            "at": self.at.isoformat() if self.at else None,
            "release": self.release,
            "statements": self.statements,
            "done": len(standing.done) if standing else None,
            "in_doubt": standing.doubt.place if standing and standing.doubt else None,
            "undoing": standing.is_undoing if standing else False,
            "late": self.is_late,
            "lacks_undo": self.lacks_undo,
            "other_checksum": self.other_checksum,
        }

    def notes(self) -> tuple[str, ...]:
        """Return what a person must know of it besides."""
        said = []
        if self.standing is not None:
            said.append(f"{len(self.standing.done)} of {self.statements or '?'} statements stand")
            if self.standing.doubt is not None:
                said.append(f"statement {self.standing.doubt.place} in doubt")
            if self.standing.is_undoing:
                said.append("its undo did not end")
        if self.content in ("edited", "not in this commit"):
            said.append(str(self.content))
        if self.content == "changed":
            said.append("changed: runs again")
        if self.is_late:
            said.append("late: a higher version was applied")
        if self.lacks_undo:
            said.append("no undo beside it")
        if self.other_checksum:
            again = "runs again with the next migration" if kind_of(self.name) == "R" else "not run again"
            said.append(f"same content, other checksum of schemachange: {again}")
        return tuple(said)


def states_of(
    component: Mapping[str, str],
    last_runs: Sequence[ScriptRun],
    set_out: Sequence[SetOut],
    *,
    standings: Mapping[str, Standing],
    counts: Mapping[str, int],
    checksums: Mapping[str, str],
) -> tuple[ScriptState, ...]:
    """Return what there is to say of every script of a component, in the order they run, and then of those that only
    the history names. No side effects.

    Args:
        counts: how many statements the scripts of the component have.
        checksums: what schemachange would say of them now.
    """
    applied = applied_migrations(last_runs, set_out)
    known = {one.script: one for one in applied}
    runs = {one.script: one for one in last_runs}
    late, lacking = late_scripts(component, applied), scripts_without_undo(component)
    pending = pending_scripts(component, applied)
    found = []
    for script in scripts_in(component):
        run, one = runs.get(script.name), known.get(script.name)
        content = _content(script.kind, script.sha256, one.sha256) if one and one.succeeded else None
        checksum = run.checksum if run and content == "same" else None
        found.append(
            ScriptState(
                name=script.name,
                state=_state(standings.get(script.name), run, is_pending=script.name in pending),
                content=content,
                at=run.at if run else None,
                release=_release(script.name, run, set_out),
                standing=standings.get(script.name),
                statements=counts.get(script.name),
                is_late=script.name in late,
                lacks_undo=script.name in lacking,
                other_checksum=checksum is not None and checksum != checksums.get(script.name),
            )
        )
    own = {one.name for one in found}
    return (*found, *_strangers((one for one in last_runs if one.script not in own), set_out, standings, own=own))


def require_retractable(
    name: str,
    states: Sequence[ScriptState],
    *,
    live_scripts: Iterable[str],
    environment: str,
) -> ScriptState:
    """Return a V script that may be taken back now, or raise why it may not. No side effects.

    Args:
        live_scripts: names of the scripts that the live release holds.

    Raises:
        ConfigurationError: it is no V script of the commit checked out, or has no undo.
        Blocked: nothing of it stands, a later one stands, or the live release needs it.
    """
    look = f"invoke migrate.status --env {environment}"
    state = next((one for one in states if one.name == name), None)
    if state is None or state.content == "not in this commit":
        raise ConfigurationError(f"the commit checked out holds no script {name}", fix="check out one that does")
    if kind_of(name) != "V":
        raise ConfigurationError(f"{name} has no undo: only V scripts do", fix="change the script, commit, deploy")
    if state.lacks_undo:
        raise ConfigurationError(f"{name} has no undo beside it", fix=f"add snowflake_migrations/undo/U{name[1:]}")
    if state.standing is None and state.content is None:
        raise Blocked(f"{name}: nothing of it stands in {environment}", fix=look)
    standing = [one.name for one in states if one.standing is not None or one.content is not None]
    if later := [other for other in standing if is_later(other, than=name)]:
        raise Blocked(
            f"{name}: {', '.join(later)} came after it, and may rest on it",
            fix=f"invoke migrate.undo --env {environment} --script {later[-1]}",
        )
    if state.standing is None and name in live_scripts:
        raise Blocked(
            f"{name}: the release that is live in {environment} holds it, and needs what it made",
            fix=f"invoke rollback --env {environment}, then this again",
        )
    return state


def _state(standing: Standing | None, run: ScriptRun | None, *, is_pending: bool) -> State:
    if standing is not None:
        return "half done"
    if run is not None and run.status == "Failed":
        return "failed"
    return "pending" if is_pending else "applied"


def _content(kind: str, now: str, applied: str | None) -> Content:
    if applied is None:
        return "unknown"
    if applied == now:
        return "same"
    return "edited" if kind == "V" else "changed"


def _release(name: str, run: ScriptRun | None, set_out: Iterable[SetOut]) -> str | None:
    """Return the release that the last run of a script set out with it from."""
    before = sorted(
        (one for one in set_out if one.script == name and run is not None and one.since <= run.at),
        key=lambda one: one.since,
    )
    return (before[-1].release or None) if before else None


def _strangers(
    runs: Iterable[ScriptRun], set_out: Sequence[SetOut], standings: Mapping[str, Standing], *, own: Collection[str]
) -> Iterable[ScriptState]:
    told = {run.script: run for run in runs}
    for name, standing in standings.items():
        if name not in told and name not in own:
            yield ScriptState(name=name, state="half done", content="not in this commit", standing=standing)
    for run in told.values():
        if run.succeeded or run.script in standings:
            yield ScriptState(
                name=run.script,
                state="half done" if run.script in standings else "applied",
                content="not in this commit",
                at=run.at,
                release=_release(run.script, run, set_out),
                standing=standings.get(run.script),
            )
