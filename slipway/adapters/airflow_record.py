"""What Airflow tells of its DAGs, files and runs, as records. Each is made of one row of an answer of its REST API."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Self


@dataclass(frozen=True, kw_only=True, slots=True)
class DagState:
    """A DAG as Airflow last parsed it."""

    version: str | None
    is_paused: bool
    has_import_errors: bool
    last_parsed: datetime | None
    file: str
    file_token: str

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Return a row of `/dags`."""
        return cls(
            version=row["bundle_version"],
            is_paused=row["is_paused"],
            has_import_errors=row["has_import_errors"],
            last_parsed=_time(row["last_parsed_time"]),
            file=row["relative_fileloc"] or "",
            file_token=row["file_token"],
        )


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenFile:
    """A DAG file that does not import; `message` is the last line of the error."""

    file: str
    message: str
    at: datetime

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Return a row of `/importErrors`; one without a time is of now."""
        at = _time(row["timestamp"]) or datetime.now(UTC)
        return cls(file=row["filename"], message=_last_line(row["stack_trace"]), at=at)


@dataclass(frozen=True, kw_only=True, slots=True)
class DagRun:
    """A run of a DAG and the version it is pinned to. Times are ISO 8601, UTC."""

    dag_id: str
    run_id: str
    state: str
    version: str | None
    logical_date: str | None
    started_at: str | None
    ended_at: str | None

    @classmethod
    def from_row(cls, row: Mapping[str, Any]) -> Self:
        """Return a row of `/dags/{dag_id}/dagRuns`."""
        return cls(
            dag_id=row["dag_id"],
            run_id=row["dag_run_id"],
            state=row["state"],
            version=row["bundle_version"],
            logical_date=row["logical_date"],
            started_at=row["start_date"],
            ended_at=row["end_date"],
        )


def _last_line(stacktrace: str | None) -> str:
    lines = [line.strip() for line in (stacktrace or "").splitlines() if line.strip()]
    return lines[-1] if lines else "(no message)"


def _time(value: str | None) -> datetime | None:
    return datetime.fromisoformat(value) if value else None
