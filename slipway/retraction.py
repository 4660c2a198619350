"""Taking a migration script back: a V script that stands half, or the newest that stands whole and nobody needs.

Rules:
- Nobody deploys meanwhile: the environment's lease is held, and asked before every statement.
- The journal says before it begins that it does, and that it ended, each signed by a checkpoint: one that died in the
  middle shows in the history, and the same command goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from slipway.errors import NotBootstrapped
from slipway.migration import UNDO_FOLDER, scripts_in, undo_of
from slipway.operation import Operation, operate
from slipway.ports import Journal, Progress
from slipway.record import Record
from slipway.script_state import ScriptState, require_retractable
from slipway.site import Site


def examine(site: Site, name: str) -> tuple[Operation, ScriptState]:
    """Return the operation that holds a script's undo, and what stands of the script.

    Raises:
        ConfigurationError, Blocked: it may not be taken back; see `require_retractable`.
    """
    operation = operate(site)
    state = require_retractable(
        name, operation.migrations.states(), live_scripts=_live_scripts(site), environment=site.environment.name
    )
    return operation, state


def retract(site: Site, name: str, *, reason: str, confirm: Callable[[ScriptState], None], tell: Progress) -> None:
    """Take a script back with its undo.

    Args:
        confirm: returns when it may begin; called once the environment is held.

    Raises:
        Locked: another deployment holds the environment.
        StepFailed: a statement of the undo failed; the same command begins it anew.

    Side effects: those of the undo, two events of the journal, and their checkpoints.
    """
    record = Record(site)
    with site.lease(tell=tell) as lease:
        journal = site.journal = site.journal.fenced_by(lease)
        record.require_anchored(journal.events())
        operation, state = examine(site, name)
        confirm(state)
        site.session.guard = lease.check
        facts = _facts(site, operation, name, state, reason)
        _note(record, journal, "script-undoing", facts)
        operation.migrations.runner.undo(name, tell)
        _note(record, journal, "script-undone", facts)


def _note(record: Record, journal: Journal, kind: Any, facts: Mapping[str, Any]) -> None:
    record.anchor(journal.append("", kind, facts))


def _facts(site: Site, operation: Operation, name: str, state: ScriptState, reason: str) -> dict[str, Any]:
    return {
        "by": site.who(),
        "reason": reason.strip(),
        "script": name,
        "state": state.state,
        "done": len(state.standing.done) if state.standing else None,
        "undo_sha256": operation.release.manifest.components["migrations"][f"{UNDO_FOLDER}/{undo_of(name)}"],
        "release": operation.release.id,
    }


def _live_scripts(site: Site) -> tuple[str, ...]:
    """Return the names of the scripts that the live release holds."""
    pointer = site.bucket.pointer()
    manifest = site.bucket.manifest(pointer.release) if pointer else None
    if pointer is not None and manifest is None:
        raise NotBootstrapped(
            f"the live release {pointer.release[:12]} is not in the release bucket", fix="invoke audit.verify --env ENV"
        )
    return tuple(one.name for one in scripts_in(manifest.components["migrations"])) if manifest else ()
