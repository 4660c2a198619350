"""sandbox.up, status, logs, down: the embedded platform on this machine."""

from __future__ import annotations

from dataclasses import asdict

from invoke import Context, task

from slipway import render
from slipway.errors import Unavailable
from slipway.operation import open_site
from slipway.sandbox.platform import Platform
from slipway.tasks.boundary import PROJECT, boundary, progress


@task(help={"env": "also start this environment's Airflow"})
@boundary
def up(_: Context, env: str | None = None) -> None:
    """Start or mend the embedded platform, and say where it runs.

    Example: invoke sandbox.up
    """
    platform = Platform(PROJECT)
    with progress() as shown, shown.phase("platform ready"):
        platform.up(shown)
        if env is not None:
            with open_site(PROJECT, env, start=False) as site:
                _require_healthy(site.airflow.health(), env)
    render.show_parts(platform.status())


@task(help={"json": "print one JSON document on standard output"})
@boundary
def status(_: Context, json: bool = False) -> None:
    """Show what of the embedded platform runs where.

    Example: invoke sandbox.status
    """
    parts = Platform(PROJECT).status()
    if json:
        render.print_json({"parts": [asdict(part) for part in parts]})
    else:
        render.show_parts(parts)


@task(help={"part": "which part, as sandbox.status names it", "lines": "how many lines from the end"})
@boundary
def logs(_: Context, part: str, lines: int = 40) -> None:
    """Show the end of one part's log.

    Example: invoke sandbox.logs --part snowflake
    """
    render.out().print(Platform(PROJECT).logs(part, lines), markup=False)


@task
@boundary
def down(_: Context) -> None:
    """Stop every part of the embedded platform.

    Example: invoke sandbox.down
    """
    with progress() as shown, shown.phase("platform stopped"):
        Platform(PROJECT).down(shown)


def _require_healthy(parts: dict[str, str], env: str) -> None:
    sick = [f"{name} is {state}" for name, state in parts.items() if state != "healthy"]
    if sick:
        raise Unavailable(
            f"airflow-{env}: {', '.join(sick)}", fix=f"invoke sandbox.logs --part airflow-{env}-scheduler"
        )
