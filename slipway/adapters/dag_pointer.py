"""The flip: one conditional write of the pointer, then patience until every DAG reports the version."""

from __future__ import annotations

import time

from slipway.adapters.airflow import Airflow
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.errors import StepFailed, Unavailable
from slipway.observation import Pointer
from slipway.ports import Outcome, Progress
from slipway.step import FlipPointer

_BACK = "invoke rollback --env ENV"
_FIRST = "mend the DAG and commit, then: invoke deploy --env ENV"  # there is nothing to go back to


class DagPointer:
    """Points one environment's Airflow at a version; implements `ports.Orchestrator`."""

    def __init__(self, bucket: ReleaseBucket, airflow: Airflow, *, timeout_s: float) -> None:
        self._bucket, self._airflow, self._timeout_s = bucket, airflow, timeout_s

    def is_live(self, step: FlipPointer) -> bool:
        """Probe of the flip step: the pointer names the version and every DAG was parsed from it."""
        pointer = self._bucket.pointer()
        if pointer is None or pointer.version != step.version or self._airflow.import_errors():
            return False
        return not self._airflow.behind(step.version, step.dag_ids, since=self._bucket.pointer_moved_at())

    def flip(self, step: FlipPointer, progress: Progress) -> Outcome:
        """Write the pointer and wait.

        Raises:
            Stale: someone else moved the pointer meanwhile.
            StepFailed: a DAG does not report the version in time, or fails to import. The pointer stays where it is.
        """
        pointer = self._bucket.pointer()
        if pointer is None or pointer.version != step.version:
            wanted = Pointer(
                version=step.version,
                release=step.release,
                config=step.config,
                sha256=step.archive_sha256,
                etag="",
            )
            self._bucket.put_pointer(wanted, expected=pointer)
        began = time.monotonic()
        try:
            self._airflow.wait_for_version(
                step.version,
                step.dag_ids,
                timeout_s=self._timeout_s,
                since=self._bucket.pointer_moved_at(),
                on_tick=progress,
            )
        except Unavailable as error:
            fix = "once Airflow answers, give the command again: it goes on from here"
            raise Unavailable(_flipped(error, step), fix=fix) from error
        except StepFailed as error:
            raise StepFailed(_flipped(error, step), fix=_BACK if pointer else _FIRST) from error
        waited_s = time.monotonic() - began
        return Outcome(
            summary=f"{len(step.dag_ids)} DAGs report {step.version}, no import error",
            evidence={"version": step.version, "dags": list(step.dag_ids), "replaces": step.replaces},
            outside_s=waited_s,
        )


def _flipped(error: StepFailed, step: FlipPointer) -> str:
    """Return what went wrong after the pointer was written, and how things stand."""
    return (
        f"{error.message}\n"
        f"  the DAG pointer names {step.version}: DAGs that import run it; runs in flight go on with the version they "
        "began with"
    )
