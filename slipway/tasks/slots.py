"""slots.status, clean: what the warehouse keeps beside the live slot, why, and until when."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any

from invoke import Context, task

from slipway import render
from slipway.adapters.dependents import Dependents
from slipway.adapters.janitor import Janitor
from slipway.deployment import fold
from slipway.errors import StepFailed, Unavailable
from slipway.observation import Observation
from slipway.operation import databases_elsewhere, open_site
from slipway.record import Record
from slipway.retention import Holdings, Retention, Use, retain, widest
from slipway.rollback import live_in
from slipway.site import Site
from slipway.tasks.boundary import PROJECT, boundary, progress

_ENV = "the environment: dev, staging or prod"
_JSON = "print one JSON document on standard output"


@task(help={"env": _ENV, "json": _JSON})
@boundary
def status(_: Context, env: str, json: bool = False) -> None:
    """Show every slot, why it is kept, and what slots.clean would quarantine or drop.

    Example: invoke slots.status --env prod
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        now = datetime.now(UTC)
        _, retention = look(site, now)
    _show(document_of(env, retention), as_json=json)


@task(help={"env": _ENV, "json": _JSON})
@boundary
def clean(_: Context, env: str, json: bool = False) -> None:
    """Quarantine what nothing needs any more, and drop what was long enough in quarantine.

    Example: invoke slots.clean --env prod
    """
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        retention = carry_out(site, tell=shown.note)
    _show(document_of(env, retention), as_json=json)


def look(site: Site, now: datetime) -> tuple[Holdings, Retention]:
    """Return what there is and what follows from the policies, the live one and the work tree's. No side effects."""
    seen, holdings = site.observe_live(), _janitor(site).holdings()
    rules = widest(one.retention for one in Record(site).policies)
    return holdings, retain(holdings, _use(site, seen), rules, now=now)


def carry_out(site: Site, *, tell: Callable[[str], None]) -> Retention:
    """Do what follows now and return it, with the environment held.

    What is set out to be done stands in the journal before anything is, and its head is signed. A process that dies
    leaves the rest to the next one: everything is asked again.

    Raises:
        Locked: a deployment holds the environment; nothing was changed.
        StepFailed: something hangs on what was to be dropped; it stands.

    Side effects: schemas and databases of the warehouse, Slipway's own tables, one event of the journal.
    """
    record = Record(site)
    with site.lease(tell=tell) as lease:
        journal = site.journal = site.journal.fenced_by(lease)
        record.require_anchored(journal.events())
        site.session.guard = lease.check
        now = datetime.now(UTC)
        _, found = look(site, now)
        if found.changes_nothing:
            return found
        facts = {"quarantined": list(found.quarantine), "dropped": list(found.drop), "released": list(found.release)}
        record.anchor(journal.append("", "cleaned", {"by": site.who(), **facts}))
        janitor = _janitor(site)
        janitor.release(found.release)
        janitor.quarantine(found.quarantine, now=now)
        _drop(janitor, found.drop, tell)
        return found


def _drop(janitor: Janitor, names: Iterable[str], tell: Callable[[str], None]) -> None:
    """Drop what may go; what something hangs on stays, stops no other, and is raised in the end."""
    left: list[StepFailed] = []
    for name in names:
        try:
            tell(f"{name}: {janitor.drop(name)} dropped")
        except Unavailable:
            raise
        except StepFailed as error:
            left.append(error)
    if left:
        raise StepFailed("\n  ".join(one.message for one in left), fix=left[0].fix)


def document_of(environment: str, retention: Retention) -> dict[str, Any]:
    """Return what is kept and what goes, as `slots.status --json` prints it."""
    return {
        "environment": environment,
        "kept": [{"name": name, "reason": why} for name, why in retention.kept.items()],
        "quarantine": list(retention.quarantine),
        "waiting": [{"name": name, "drop_at": at.isoformat()} for name, at in retention.waiting.items()],
        "drop": list(retention.drop),
        "release": list(retention.release),
    }


def _use(site: Site, seen: Observation) -> Use:
    pinned = {run.version for run in seen.orchestrator.open_runs if run.version}
    history = fold(site.journal.events())
    asides = {one.id: site.slots_aside(one) for one in history if one.purpose == "backfill"}
    return Use(history=history, live=live_in(seen), pinned=tuple(sorted(pinned)), asides=asides)


def _janitor(site: Site) -> Janitor:
    warehouse = site.environment.warehouse
    dependents = Dependents(site.session, warehouse, elsewhere=databases_elsewhere(site))
    return Janitor(site.session, warehouse, site.warehouse, dependents)


def _show(document: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        render.print_json(document)
        return
    lines = [f"{one['name']:<28} kept: {one['reason']}" for one in document["kept"]]
    lines += [f"{name:<28} quarantined" for name in document["quarantine"]]
    lines += [f"{one['name']:<28} dropped after {one['drop_at'][:16]}" for one in document["waiting"]]
    lines += [f"{name:<28} dropped" for name in document["drop"]]
    lines += [f"{name:<28} out of quarantine" for name in document["release"]]
    render.out().print("\n".join(lines) or "no slot yet", markup=False)
