"""Isolated checks: `./nox -l` lists them, and CI runs `./nox -s tests`. Invoke operates systems, nox checks code."""

from __future__ import annotations

import json
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True

TOOLS = ("--require-hashes", "-r", "requirements/tools.txt")


def _install(session: nox.Session) -> None:
    """Have everything installed, Airflow in its own environment included."""
    session.install(*TOOLS)
    session.env.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled modules make every process of the tests start faster
    session.run("python", "-m", "slipway.sandbox.environment", "airflow")


def _pytest(session: nox.Session, *paths: str) -> None:
    """Run pytest where everything is installed."""
    _install(session)
    session.run("python", "-m", "pytest", *(session.posargs or paths))


@nox.session(python="3.11")
def tests(session: nox.Session) -> None:
    """Every test but the long stories, on real parts: `./nox -s tests -- tests/core -k plan`."""
    _pytest(session, "-n", "2", "--no-loadscope-reorder", "-m", "not long", "tests")


@nox.session(python="3.11")
def dags(session: nox.Session) -> None:
    """The DAG files under the Airflow they will run on, and the library they share."""
    _pytest(session, "tests/dags", "tests/etl")


@nox.session(python="3.11")
def dbt(session: nox.Session) -> None:
    """The dbt project: structure, builds, and every data test against a planted fault."""
    _pytest(session, "tests/dbt")


@nox.session(python="3.11")
def migrations(session: nox.Session) -> None:
    """The migration scripts: from nothing to the top, each undone, repeated."""
    _pytest(session, "tests/migrations")


@nox.session(python="3.11")
def contract(session: nox.Session) -> None:
    """The embedded Snowflake against what Snowflake documents: over the wire and in process, or on a real account."""
    _pytest(session, "tests/snowflake")


@nox.session(python="3.11")
def e2e(session: nox.Session) -> None:
    """The commands as a person gives them, on a platform of its own, the long stories included."""
    _pytest(session, "tests/e2e")


@nox.session(python="3.11")
def faults(session: nox.Session) -> None:
    """Faults that real teams suffered, injected: a row for each, open ones with their reason."""
    _install(session)
    session.run("python", "-m", "tests.fault", *session.posargs)


@nox.session(python="3.11")
def tamper(session: nox.Session) -> None:
    """Every record bent in every way, on real storage: what an audit finds, and where."""
    _pytest(session, "tests/tamper")


@nox.session(python="3.11")
def kill(session: nox.Session) -> None:
    """Deployments killed at every point, stopped, left by parts of the platform: `./nox -s kill -- -k rollback`."""
    _install(session)
    session.env["KILL_CASES"] = "all"
    found = Path(".build/kill.json")
    found.unlink(missing_ok=True)
    try:
        families = (f"tests/e2e/test_{family}.py" for family in ("kill", "stop", "outage"))
        session.run("python", "-m", "pytest", *families, *session.posargs)
    finally:
        if found.exists():
            print(json.loads(found.read_text())["summary"])  # noqa: T201


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Ruff on Python, sqlfluff on models and migrations."""
    session.install(*TOOLS)
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", "--check", ".")
    session.run("sqlfluff", "lint", "dbt", "snowflake_migrations", "--disable-progress-bar")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """Mypy, strict, over slipway/."""
    session.install(*TOOLS)
    session.run("mypy", *session.posargs)
