"""Isolated checks: `./nox -l` lists them, and CI runs `./nox -s tests`. Invoke operates systems, nox checks code."""

from __future__ import annotations

from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "uv"
nox.options.reuse_existing_virtualenvs = True

ROOT = Path(__file__).parent
TOOLS = ("--require-hashes", "-r", "requirements/tools.txt")


@nox.session(python="3.11")
def tests(session: nox.Session) -> None:
    """Every test, on real parts: `./nox -s tests -- tests/core -k plan`."""
    session.install(*TOOLS)
    session.env.pop("PYTHONDONTWRITEBYTECODE", None)
    session.run("python", "-m", "slipway.sandbox.environment", "airflow")
    session.run("python", "-m", "pytest", *(session.posargs or ["tests"]))


@nox.session(python="3.11")
def lint(session: nox.Session) -> None:
    """Ruff on Python, terraform fmt, sqlfluff on models and migrations."""
    session.install(*TOOLS)
    session.run("ruff", "check", *session.posargs, ".")
    session.run("ruff", "format", "--check", ".")
    session.run("sqlfluff", "lint", "dbt", "snowflake_migrations", "--disable-progress-bar")


@nox.session(python="3.11")
def types(session: nox.Session) -> None:
    """Mypy, strict, over slipway/."""
    session.install(*TOOLS)
    session.run("mypy", *session.posargs)
