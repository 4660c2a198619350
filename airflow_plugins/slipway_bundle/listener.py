"""Airflow calls this when a DAG file does not import or a DAG run fails; the events are told once each.

Airflow repeats an import error at every parse of the file (`on_existing_dag_import_error`).
"""

from __future__ import annotations

from typing import Any

from airflow.listeners import hookimpl

from slipway_bundle.event import Events, last_line


class Listener:
    """The hooks of Airflow that Slipway reports."""

    def __init__(self) -> None:
        self._events = Events()

    @hookimpl
    def on_new_dag_import_error(self, filename: str, stacktrace: str) -> None:
        self._events.forget("import_error", filename)  # it was mended in between
        self._events.tell("import_error", filename, last_line(stacktrace))

    @hookimpl
    def on_existing_dag_import_error(self, filename: str, stacktrace: str) -> None:
        self._events.tell("import_error", filename, last_line(stacktrace))

    @hookimpl
    def on_dag_run_failed(self, dag_run: Any, msg: str) -> None:
        self._events.tell("dag_run_failed", f"{dag_run.dag_id} {dag_run.run_id}", msg or "failed")
