"""lock.show, break: who may change an environment now, and taking that from one who will not come back."""

from __future__ import annotations

import sys
from typing import Any

from invoke import Context, task

from slipway import render
from slipway.adapters.holder import Holder, machine_id
from slipway.adapters.lease import require_reason
from slipway.errors import ConfigurationError, Interrupted
from slipway.operation import open_site
from slipway.record import Record
from slipway.tasks.boundary import PROJECT, boundary

_ENV = "the environment: dev, staging or prod"


@task(help={"env": _ENV, "json": "print one JSON document on standard output"})
@boundary
def show(_: Context, env: str, json: bool = False) -> None:
    """Show who holds the environment since when, and whether that process still lives.

    Example: invoke lock.show --env prod
    """
    with open_site(PROJECT, env, start=False) as site:
        document = lock_document(env, site.lease().holder())
    if json:
        render.print_json(document)
    else:
        render.out().print("\n".join(lines_of(document)), markup=False)


@task(
    name="break",
    help={
        "env": _ENV,
        "reason": "why, for the journal",
        "yes": "do not ask; required where there is no terminal",
    },
)
@boundary
def break_(_: Context, env: str, reason: str = "", yes: bool = False) -> None:
    """Take the lock from its holder, who then does nothing more, and record it in the journal.

    Example: invoke lock.break --env prod --reason "laptop stolen, INC-12"
    """
    require_reason(reason, environment=env)
    with open_site(PROJECT, env, start=False) as site:
        lease = site.lease()
        holder = lease.holder()
        if holder is not None and not yes:
            confirm(env, holder)
        broken = lease.break_hold(holder, journal=site.journal, reason=reason) if holder is not None else None
        if broken is not None:
            Record(site).anchor(broken)
    if holder is None or broken is None:
        render.out().print(f"{env}: nobody holds it; nothing to break")
        return
    render.out().print(
        f"{env}: the lock of {holder.who} since {holder.since} is broken, and {env} is free; "
        f"event {broken.seq} of the journal says so\nits deployment is unfinished: invoke history --env {env}",
        markup=False,
    )


def lock_document(environment: str, holder: Holder | None) -> dict[str, Any]:
    """Return the lock as `lock.show --json` prints it; every key but the first two is null when it is free."""
    return {
        "environment": environment,
        "held": holder is not None,
        "who": holder and holder.who,
        "since": holder and holder.since,
        "machine": holder and holder.machine,
        "process": holder and holder.process[0],
        "token": holder and holder.token,
        "heartbeat_age_s": _seconds(holder.heartbeat_age_s) if holder else None,
        "remaining_s": _seconds(holder.remaining_s) if holder else None,
        "has_run_out": holder and holder.has_run_out,
        "known_dead": holder and holder.is_known_dead(),
    }


def lines_of(document: dict[str, Any]) -> list[str]:
    """Return the lock as people read it."""
    name = document["environment"]
    if not document["held"]:
        return [f"{name} is free"]
    name_of_machine = document["machine"].split()[0] if document["machine"] else "unknown"
    here = " (this one)" if document["machine"] and document["machine"] == machine_id() else ""
    beat = document["heartbeat_age_s"]
    return [
        f"{name} is held by {document['who']} since {document['since']}",
        f"machine          {name_of_machine}{here}, process {document['process']}",
        f"fencing token    {document['token']}",
        f"last heartbeat   {f'{beat:.0f} s ago' if beat is not None else 'none'}",
        f"state            {_state(document)}",
    ]


def confirm(environment: str, holder: Holder) -> None:
    """Return when the person at the terminal says yes; anything else is no.

    Raises:
        ConfigurationError: there is no terminal to ask on.
        Interrupted: the answer was not yes.
    """
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"{environment} is held by {holder.who} since {holder.since}, and there is no terminal to ask on; "
            "nothing was changed",
            fix=f'invoke lock.break --env {environment} --reason "..." --yes',
        )
    print("\n".join(lines_of(lock_document(environment, holder))), file=sys.stderr)
    print(f"break the lock of {holder.who}? It stops before its next effect. [y/N] ", end="", file=sys.stderr)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Interrupted(f"not confirmed; {holder.who} goes on holding {environment}")


def _state(document: dict[str, Any]) -> str:
    if document["known_dead"]:
        return "its process on this machine is dead; the next deployment from here takes it at once"
    if document["has_run_out"]:
        return "it has run out; the next deployment takes it"
    return f"alive; without a heartbeat it runs out in {document['remaining_s']:.0f} s"


def _seconds(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
