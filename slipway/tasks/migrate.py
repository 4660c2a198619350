"""migrate.new, lint, status, rehearse, apply, undo: the migration scripts of the warehouse by themselves."""

from __future__ import annotations

import sys
from typing import Any

from invoke import Context, task
from rich.markup import escape
from rich.table import Table

from slipway import config, render
from slipway.adapters.git import Git
from slipway.adapters.migration_lint import Finding
from slipway.adapters.migration_lint import lint as look_into
from slipway.adapters.schemachange import variables_of
from slipway.draft import draft
from slipway.errors import Blocked, ConfigurationError, Interrupted
from slipway.launch import Order, launch
from slipway.operation import open_site, operate
from slipway.plan import rehearsal_step
from slipway.retraction import retract
from slipway.script_state import ScriptState
from slipway.step import StepKind
from slipway.tasks.boundary import PROJECT, boundary, progress, seconds_since_start, stops_at_boundaries
from slipway.tasks.deploy import show_launch

FOLDER = PROJECT / "snowflake_migrations"
ANYWHERE = {"environment": "ENVIRONMENT", "raw_database": "RAW", "landing_bucket": "landing"}  # where none is named
MIGRATING: tuple[StepKind, ...] = ("upload", "rehearse", "migrate", "flip")  # every release is a version of its own
_ENV = "the environment: dev, staging or prod"
_JSON = "print one JSON document on standard output"
_COLOUR = {"applied": "green", "pending": "yellow", "half done": "red", "failed": "red"}


@task(
    help={
        "title": "what it does, in a few words",
        "kind": "V: once; R: again whenever it changed; A: after the others, always",
        "contract": "it takes away what no release uses any more",
    }
)
@boundary
def new(_: Context, title: str, kind: str = "V", contract: bool = False) -> None:
    """Write a new script with the next version, and its undo, to be filled in.

    Example: invoke migrate.new --title "add merchant risk"
    """
    names = {str(path.relative_to(FOLDER)) for path in FOLDER.rglob("*.sql")}
    for name, text in draft(names, title, kind=kind.upper(), is_contract=contract).items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:  # somebody may have written it since
            file.write(text)
        render.out().print(f"wrote {path.relative_to(PROJECT)}", markup=False)
    render.out().print("fill in and commit; invoke migrate.lint says what is wrong with it", markup=False)


@task(help={"env": f"{_ENV}; without, names that stand for any", "json": _JSON})
@boundary
def lint(_: Context, env: str = "", json: bool = False) -> None:
    """Show everything that scripts and undos do unsaid: file, line, rule and what.

    Example: invoke migrate.lint
    """
    variables = variables_of(config.load(env, folder=PROJECT / "config")) if env else ANYWHERE
    found = look_into(FOLDER, variables)
    count = len(list(FOLDER.glob("*/*.sql")))
    if json:
        render.print_json({"environment": env or None, "files": count, "findings": [_finding(one) for one in found]})
    else:
        for one in found:
            said = f"snowflake_migrations/{one.file}:{one.line}: [red]{one.rule}[/]: {escape(one.message)}"
            render.out().print(said)
        render.out().print(f"{count} files, {len(found)} findings")
    if found:
        raise Blocked(
            f"{len(found)} findings in {len({one.file for one in found})} of {count} files",
            fix="mend the statement, or say why in the script: -- slipway: allow RULE: WHY",
        )


@task(help={"env": _ENV, "json": _JSON})
@boundary
def status(_: Context, env: str, json: bool = False) -> None:
    """Show every script: applied when and by which release, pending, half done, failed, edited or late.

    Example: invoke migrate.status --env staging
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        states = operate(site).migrations.states()
    if json:
        render.print_json({"environment": env, "scripts": [one.document() for one in states]})
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("script", "state", "last run (UTC)", "release", "note"):
        table.add_column(heading)
    for one in states:
        table.add_row(
            one.name,
            f"[{_COLOUR[one.state]}]{one.state}[/]",
            f"{one.at:%Y-%m-%d %H:%M:%S}" if one.at else "-",
            one.release[:12] if one.release else "-",
            escape("; ".join(one.notes())),
        )
    render.out().print(table)


@task(help={"env": _ENV, "json": _JSON})
@boundary
def rehearse(_: Context, env: str, json: bool = False) -> None:
    """Run what is pending on clones of the databases: up, undo, up; tell how long it takes, and drop the clones.

    Example: invoke migrate.rehearse --env staging
    """
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        with site.lease(tell=shown.waiting) as lease:
            site.session.guard = lease.check
            operation = operate(site)
            step = rehearsal_step(operation.release, site.warehouse.migrations())
            done = operation.migrations.rehearse(step, shown) if step else None
    document = {
        "environment": env,
        "content": step.content if step else None,
        "took_s": {name: ms / 1000 for name, ms in done.evidence["took_ms"].items()} if done else {},
        "not_rehearsed": dict(done.evidence["not_rehearsed"]) if done else {},
    }
    if json:
        render.print_json(document)
    else:
        render.out().print("\n".join(_rehearsed(document)), markup=False)


@task(help={"env": _ENV, "json": _JSON})
@boundary
def apply(_: Context, env: str, json: bool = False) -> None:
    """Deploy a commit that brings nothing but migrations: rehearsed, through every gate, by the ordinary plan.

    Example: invoke migrate.apply --env staging
    """
    git = Git(PROJECT)
    git.refuse_dirty()
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        order = Order(purpose="deploy", choose=lambda: operate(site), only=MIGRATING)
        with stops_at_boundaries(shown.note) as is_stopping:
            done = launch(site, order, listener=shown, is_stopping=is_stopping)
        show_launch(site, done, seconds=seconds_since_start(), as_json=json)


@task(
    help={
        "env": _ENV,
        "script": "the V script's file name",
        "reason": "why, for the journal",
        "yes": "do not ask; required where there is no terminal",
    }
)
@boundary
def undo(_: Context, env: str, script: str, reason: str = "", yes: bool = False) -> None:
    """Take a V script back with its undo: one that stands half, or the newest when the live release does without.

    Example: invoke migrate.undo --env staging --script V2.0.0__merchant_risk.sql
    """
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        retract(
            site,
            script,
            reason=reason,
            confirm=lambda state: None if yes else _confirm(env, state),
            tell=shown,
        )
    render.out().print(f"{env}: {script} is taken back; invoke migrate.status --env {env}", markup=False)


def _confirm(environment: str, state: ScriptState) -> None:
    """Return when the person at the terminal says yes; anything else is no."""
    said = "; ".join((state.state, *state.notes()))
    if not sys.stdin.isatty():
        raise ConfigurationError(
            f"{state.name} ({said}): there is no terminal to ask on; nothing was changed",
            fix=f"invoke migrate.undo --env {environment} --script {state.name} --yes",
        )
    print(
        f"take {state.name} back in {environment} ({said})? What its undo drops is gone. [y/N] ",
        end="",
        file=sys.stderr,
    )
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise Interrupted(f"not confirmed; {state.name} stands in {environment} as it did")


def _rehearsed(document: dict[str, Any]) -> list[str]:
    """Return a rehearsal as people read it."""
    if document["content"] is None:
        return [f"{document['environment']}: nothing is pending that can be rehearsed"]
    lines = [f"{name}  up, undo, up: {seconds:.1f} s" for name, seconds in document["took_s"].items()]
    return lines + [f"{name}  not rehearsed: {why}" for name, why in document["not_rehearsed"].items()]


def _finding(one: Finding) -> dict[str, Any]:
    return {"file": one.file, "line": one.line, "rule": one.rule, "message": one.message}
