"""sandbox.up, status, logs, down: the embedded platform on this machine."""

from __future__ import annotations

from dataclasses import asdict

from invoke import Context, task

from slipway import render
from slipway.sandbox.platform import Platform
from slipway.tasks.boundary import PROJECT, boundary, progress
from slipway.wiring import open_site


@task(help={"env": "also start this environment's Airflow"})
@boundary
def up(_: Context, env: str | None = None) -> None:
    """Start the embedded platform, or mend what is half there, and say what runs where: invoke sandbox.up"""
    platform = Platform(PROJECT)
    with progress() as shown, shown.phase("platform ready"):
        platform.up(shown)
        if env is not None:
            with open_site(PROJECT, env, start=False) as site:
                site.airflow.health()
    render.show_parts(platform.status())


@task(help={"json": "print one JSON document on standard output"})
@boundary
def status(_: Context, json: bool = False) -> None:
    """Show what of the embedded platform runs, and where it answers: invoke sandbox.status"""
    parts = Platform(PROJECT).status()
    if json:
        render.print_json({"parts": [asdict(part) for part in parts]})
    else:
        render.show_parts(parts)


@task(help={"part": "which part, as sandbox.status names it", "lines": "how many lines from the end"})
@boundary
def logs(_: Context, part: str, lines: int = 40) -> None:
    """Show the end of one part's log: invoke sandbox.logs --part snowflake"""
    render.out().print(Platform(PROJECT).logs(part, lines), markup=False)


@task
@boundary
def down(_: Context) -> None:
    """Stop every part of the embedded platform: invoke sandbox.down"""
    with progress() as shown, shown.phase("platform stopped"):
        Platform(PROJECT).down(shown)
