"""What people and programs see in the end: tables and summaries, or one JSON document, on standard output."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from slipway.audit import Verification
from slipway.console import Outlet, let_go
from slipway.deployment import Deployment, Event, median_durations_ms
from slipway.evidence import Bundle
from slipway.gate import Result
from slipway.observation import InfrastructureFacts, Observation
from slipway.plan import Plan
from slipway.release import short
from slipway.step import StepKind, is_reversible, summarise
from slipway.story import sentences

if TYPE_CHECKING:
    from slipway.adapters.airflow import DagRun, DagState
    from slipway.sandbox.platform import PartStatus

PLAIN_WIDTH = 200  # columns of a table where there is no terminal
_STATES: Mapping[str, str] = {
    "passed": "[green]passed[/]",
    "blocked": "[red]blocked[/]",
    "waiting": "[yellow]waiting[/]",
    "lifted": "[red]LIFTED[/]",
}


def print_json(document: Mapping[str, Any] | Sequence[Any]) -> None:
    """Print one JSON document on standard output."""
    try:
        sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        let_go(sys.stdout)


def out() -> Console:
    """Return the console results go to; a file or a pipe has no width, and nothing is cut there."""
    console = Outlet(highlight=False, soft_wrap=True)
    if not console.is_terminal:
        console.width = PLAIN_WIDTH
    return console


def plan_document(
    plan: Plan,
    obstacles: Iterable[Result],
    history: Sequence[Deployment],
    measured: Mapping[StepKind, int] = MappingProxyType({}),
) -> dict[str, Any]:
    """Return the plan as `plan --json` prints it; see docs/guides/json.md.

    Args:
        measured: how long steps of this very plan will take, in milliseconds, where it was measured.
    """
    forecast = {**median_durations_ms(history), **measured}
    return {
        "id": plan.id,
        "environment": plan.environment,
        "purpose": plan.purpose,
        "base": plan.base.digest,
        "release": plan.release,
        "version": plan.version,
        "replaces": plan.replaces,
        "reason": plan.reason,
        "lanes": list(plan.lanes),
        "steps": [
            {
                "id": number,
                "kind": step.kind,
                "summary": summarise(step),
                "reversible": is_reversible(step),
                "forecast_s": round(forecast[step.kind] / 1000, 1) if step.kind in forecast else None,
            }
            for number, step in enumerate(plan.steps, start=1)
        ],
        "ends_rollbacks": [one for step in plan.steps if step.kind == "migrate" for one in step.ends_rollbacks],
        "blockers": blockers_document(obstacles),
    }


def blockers_document(obstacles: Iterable[Result]) -> list[dict[str, Any]]:
    """Return the gates that are not open, as every `plan --json` prints them."""
    return [_gate(one) for one in obstacles]


def show_obstacles(obstacles: Iterable[Result]) -> None:
    """Print the gates that are not open, for people."""
    for one in obstacles:
        out().print(f"{_STATES[one.state]} {one.id}: {escape(one.reason)}\n  fix: {escape(one.fix or '')}")


def _gate(result: Result) -> dict[str, Any]:
    return {"id": result.id, "state": result.state, "reason": result.reason, "fix": result.fix}


def show_plan(
    plan: Plan,
    obstacles: Sequence[Result],
    history: Sequence[Deployment],
    measured: Mapping[StepKind, int] = MappingProxyType({}),
) -> None:
    """Print a plan for people."""
    console, document = out(), plan_document(plan, obstacles, history, measured)
    console.print(f"Plan [bold]{short(plan.id)}[/] for [bold]{plan.environment}[/]: {escape(plan.reason)}")
    if plan.steps:
        table = Table(box=None, pad_edge=False, header_style="dim")
        for heading in ("", "step", "what", "forecast", "undone by rollback"):
            table.add_column(heading, justify="right" if heading in ("", "forecast") else "left")
        for step in document["steps"]:
            seconds = f"{step['forecast_s']:.0f} s" if step["forecast_s"] is not None else "-"
            table.add_row(
                str(step["id"]), step["kind"], escape(step["summary"]), seconds, "yes" if step["reversible"] else "no"
            )
        console.print(table)
    for version in document["ends_rollbacks"]:
        console.print(f"[red]ends the rollback to {version}[/]: it needs what these migrations take away")
    for commit in plan.commits if plan.steps else ():
        console.print(
            f"  [dim]{commit.commit[:12]}[/] {escape(commit.subject)} [dim]{escape(', '.join(commit.authors))}[/]"
        )
    show_obstacles(obstacles)


def plan_lines(plan: Plan) -> list[str]:
    """Return what a plan would do and whose work it is, as plain lines for a message."""
    lines = [f"{plan.purpose} of release {short(plan.release)} to {plan.environment}: {plan.reason}"]
    lines += [f"{number}. {summarise(step)}" for number, step in enumerate(plan.steps, start=1)]
    lines += [f"{one.commit[:12]} {one.subject} ({', '.join(one.authors)})" for one in plan.commits]
    return [*lines, f"asked for by {plan.asked_by}"] if plan.asked_by else lines


def show_signed_plan(plan: Plan) -> None:
    """Print what was signed, for the person who signed it."""
    out().print("\n".join(plan_lines(plan)), markup=False)


def verification_document(environment: str, found: Verification) -> dict[str, Any]:
    """Return what an audit found, as `audit.verify --json` prints it; see docs/guides/json.md."""
    return {
        "environment": environment,
        "holds": found.holds,
        "deployments": found.deployments,
        "events": found.events,
        "signatures": found.signatures,
        "findings": [{"where": one.where, "what": one.what} for one in found.findings],
    }


def show_verification(environment: str, found: Verification, *, seconds: float) -> None:
    """Print what an audit found, for people."""
    console = out()
    for one in found.findings:
        console.print(f"[red]✗[/] {escape(one.where)} {escape(one.what)}")
    verdict = "[green]holds[/]" if found.holds else "[red]does not hold[/]"
    console.print(
        f"{environment}: {verdict}; {found.deployments} deployments, {found.events} events, "
        f"{found.signatures} signed records in {seconds:.1f} s"
    )


def show_story(bundle: Bundle, lines: Sequence[str]) -> None:
    """Print a deployment as a story."""
    console = out()
    console.print(f"[bold]{bundle.deployment}[/] to {bundle.environment}, which {bundle.outcome}")
    console.print("\n".join(lines), markup=False)
    console.print(f"[dim]signed; journal up to event {bundle.head.seq}[/]")


def explain_document(plan: Plan, results: Iterable[Result]) -> dict[str, Any]:
    """Return what every gate says, as `explain --json` prints it; see docs/guides/json.md."""
    found = list(results)
    return {
        "environment": plan.environment,
        "plan": plan.id,
        "lanes": list(plan.lanes),
        "open": not any(one.stands_in_the_way for one in found),
        "gates": [_gate(one) for one in found],
    }


def show_explained(plan: Plan, results: Sequence[Result]) -> None:
    """Print what every gate says, for people."""
    console = out()
    console.print(f"Plan [bold]{short(plan.id)}[/] for [bold]{plan.environment}[/]: {escape(plan.reason)}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("gate", "", "why", "what opens it"):
        table.add_column(heading)
    for one in results:
        table.add_row(one.id, _STATES[one.state], escape(one.reason), escape(one.fix or ""))
    console.print(table if results else "nothing to do, so no gate is asked")


def status_document(
    environment: str,
    target: str,
    seen: Observation,
    dag_ids: Sequence[str],
    history: Sequence[Deployment],
    previous: str | None,
    unreviewed: Sequence[str] = (),
) -> dict[str, Any]:
    """Return what is live as `status --json` prints it; see docs/guides/json.md.

    Args:
        unreviewed: deployments that broke the glass and wait for a review.
    """
    live, published = seen.pointer, seen.warehouse.published
    last = history[-1] if history else None
    versions = seen.orchestrator.versions
    on_release = sum(live is not None and versions.get(dag_id) == live.version for dag_id in dag_ids)
    return {
        "environment": environment,
        "target": target,
        "release": live.release if live else None,
        "version": live.version if live else None,
        "slots": {
            "published": published.slot if published else None,
            "complete": list(seen.warehouse.complete_slots),
            "present": list(seen.warehouse.slots),
        },
        "dags": {
            "expected": len(dag_ids),
            "on_release": on_release,
            "import_errors": list(seen.orchestrator.import_errors),
            "open_runs": [run.model_dump(mode="json") for run in seen.orchestrator.open_runs],
        },
        "migrations": sum(one.succeeded for one in seen.warehouse.migrations),
        "last_deployment": deployment_document(last) if last else None,
        "previous_release": previous,
        "unreviewed": list(unreviewed),
    }


def show_status(document: Mapping[str, Any]) -> None:
    """Print what is live for people."""
    console = out()
    if document["release"] is None:
        console.print(f"{document['environment']}: nothing is live yet")
        return
    dags, slots, last = document["dags"], document["slots"], document["last_deployment"]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_row("environment", f"{document['environment']} ({document['target']})")
    table.add_row("release", f"[bold]{short(document['release'])}[/] as version {document['version']}")
    table.add_row("slot", f"{slots['published']} published, {len(slots['complete'])} complete")
    table.add_row("migrations", f"{document['migrations']} applied")
    table.add_row(
        "DAGs", f"{dags['on_release']} of {dags['expected']} on the release, {len(dags['import_errors'])} import errors"
    )
    table.add_row("open runs", str(len(dags["open_runs"])))
    if last:
        took = f" in {last['duration_s']:.1f} s" if last["duration_s"] is not None else ""
        table.add_row(
            "last deployment",
            f"{last['id']} {last['state']}{took}, by {escape(last['by'])} at {last['started_at'][:19]}Z",
        )
        table.add_row("commit", (last["commit"] or "-")[:12])
        if last["approved_by"]:
            table.add_row("approved by", escape(", ".join(last["approved_by"])))
        if last["message"]:
            table.add_row("because", f"[red]{escape(last['message'].splitlines()[0])}[/]")
    table.add_row(
        "rollback to", short(document["previous_release"]) if document["previous_release"] else "nothing earlier"
    )
    console.print(table)
    for deployment in document["unreviewed"]:
        name = document["environment"]
        console.print(
            f"[bold white on red] BREAK-GLASS [/] {deployment} went live with gates lifted and was not reviewed; "
            "nothing else is deployed before: "
            f"invoke approval.review --env {name} --deployment {deployment} --reason WHY"
        )
    _tell_left_alone(console, document.get("left_alone"))
    for error in dags["import_errors"]:
        console.print(f"[red]import error[/] {escape(error)}")


def deployment_document(deployment: Deployment) -> dict[str, Any]:
    """Return a deployment as `history --json` prints it; see docs/guides/json.md."""
    total = deployment.duration_ms
    outside = sum(step.outside_ms for step in deployment.steps) + deployment.looked_ms
    return {
        "id": deployment.id,
        "purpose": deployment.purpose,
        "state": deployment.state,
        "plan": deployment.plan,
        "release": deployment.release,
        "version": deployment.version,
        "replaces": deployment.replaces,
        "by": deployment.by,
        "commit": deployment.commit,
        "approved_by": list(deployment.approved_by),
        "breaks_glass": deployment.breaks_glass,
        "started_at": deployment.started_at,
        "duration_s": total / 1000 if total is not None else None,
        "own_s": round((total - outside) / 1000, 1) if total is not None else None,
        "message": deployment.message,
        "steps": [
            {
                "kind": step.kind,
                "state": step.state,
                "summary": step.summary,
                "duration_s": step.duration_ms / 1000,
                "outside_s": step.outside_ms / 1000,
                "message": step.message,
            }
            for step in deployment.steps
        ],
    }


def note_document(note: Event) -> dict[str, Any]:
    """Return what the journal notes of no deployment, as `history --json` prints it."""
    named = ("by", "holder", "script", "reason", "quarantined", "dropped", "released")
    return {"at": note.at, "kind": note.kind, **{name: note.data.get(name) for name in named}}


def show_history(deployments: Sequence[Deployment], notes: Sequence[Event], left_alone: str | None) -> None:
    """Print deployments for people, newest first, and what the journal notes besides.

    Args:
        left_alone: the deployment that did not end and that nobody works at.
    """
    console = out()
    if not deployments:
        console.print("no deployment yet")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("started (UTC)", "deployment", "what", "release", "state", "took", "steps", "by"):
        table.add_column(heading, justify="right" if heading == "took" else "left", no_wrap=heading != "steps")
    colour = {"succeeded": "green", "failed": "red"}
    for one in deployments:
        took = f"{one.duration_ms / 1000:.1f} s" if one.duration_ms is not None else "-"
        steps = " ".join(
            f"{step.kind} {step.duration_ms / 1000:.0f}s" for step in one.steps if step.state != "found done"
        )
        state = f"[{colour.get(one.state, 'yellow')}]{one.state}[/]"
        table.add_row(one.started_at[:19], one.id, one.purpose, short(one.release), state, took, steps, escape(one.by))
    console.print(table)
    _tell_left_alone(console, left_alone)
    for note in notes:
        console.print("\n".join(f"{note.at[:19]}  {line}" for line in sentences(note)), markup=False)


def _tell_left_alone(console: Console, deployment: str | None) -> None:
    if deployment is not None:
        console.print(
            f"[yellow]unfinished[/] {deployment} did not end, and nobody works at it any more: the same command goes on"
        )


def show_live(document: Mapping[str, Any], deployment: Deployment, *, seconds: float) -> None:
    """Print the end of a deployment: what is live, how long it took, what to try next."""
    console, shown, name = out(), deployment_document(deployment), document["environment"]
    console.print()
    show_status(document)
    console.print(
        f"\n{deployment.purpose} took {shown['duration_s']:.1f} s, of which Slipway's own {shown['own_s']:.1f} s; "
        f"the command {seconds:.1f} s"
    )
    console.print("\ntry next:")
    hints = [
        (f"invoke dags.status --env {name} --wait", "watch the pipelines load and dbt build"),
        (f"invoke history --env {name}", "every deployment, step by step"),
    ]
    if document["previous_release"]:
        hints.append((f"invoke rollback --env {name}", "the release before, back in seconds"))
    for hint, what in hints:
        console.print(f"  {hint:<42} [dim]{what}[/]")


def show_infrastructure(environment: str, facts: InfrastructureFacts) -> None:
    """Print what Terraform would change, for people; what destroys comes first."""
    console = out()
    if not facts.has_changes:
        console.print(f"{environment}: no changes, state serial {facts.serial}")
        return
    for sign, addresses in (
        ("[red]-[/]", facts.deletes),
        ("[red]-/+[/]", facts.replaces),
        ("[yellow]~[/]", facts.updates),
        ("[green]+[/]", facts.creates),
    ):
        for address in addresses:
            holds = "  [red]holds data[/]" if address in facts.destroys_data else ""
            console.print(f"{sign} {escape(address)}{holds}")
    console.print(
        f"{environment}: {len(facts.creates)} to create, {len(facts.updates)} to update, "
        f"{len(facts.replaces)} to replace, {len(facts.deletes)} to delete"
    )


def show_parts(parts: Sequence[PartStatus]) -> None:
    """Print what of the embedded platform runs where."""
    console = out()
    if not parts:
        console.print("nothing of the embedded platform runs; start it: invoke sandbox.up")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("part", "state", "address", "process", ""):
        table.add_column(heading)
    for part in parts:
        colour = "green" if part.state == "running" else "red"
        table.add_row(part.name, f"[{colour}]{part.state}[/]", part.address, str(part.pid or "-"), part.note)
    console.print(table)


def dags_document(environment: str, dags: Mapping[str, DagState], runs: Iterable[DagRun]) -> dict[str, Any]:
    """Return the DAGs and their runs as `dags.status --json` prints them; see docs/guides/json.md."""
    by_dag: dict[str, list[DagRun]] = {dag_id: [] for dag_id in sorted(dags)}
    for run in runs:
        by_dag.setdefault(run.dag_id, []).append(run)
    return {
        "environment": environment,
        "dags": [
            {
                "dag_id": dag_id,
                "version": dags[dag_id].version if dag_id in dags else None,
                "paused": dags[dag_id].is_paused if dag_id in dags else None,
                "runs": [
                    {"logical_date": run.logical_date, "run_id": run.run_id, "state": run.state, "version": run.version}
                    for run in found
                ],
            }
            for dag_id, found in by_dag.items()
        ],
    }


def show_dags(document: Mapping[str, Any]) -> None:
    """Print the DAGs with their runs, for people."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("DAG", "version", "runs: logical date and state"):
        table.add_column(heading)
    colour = {"success": "green", "failed": "red"}
    for dag in document["dags"]:
        runs = "  ".join(
            f"[{colour.get(run['state'], 'yellow')}]{(run['logical_date'] or run['run_id'])[:10]} {run['state']}[/]"
            for run in dag["runs"]
        )
        table.add_row(dag["dag_id"], dag["version"] or "-", runs or "none yet")
    out().print(table)
