"""Whether a version is live: the DAGs that are behind it, and the broken files that are its own.

Rules:
- A DAG is of a version once it was parsed from it after the pointer was written; an earlier parse may be of the last
  time that version was live.
- An import error found before the version became live belongs to the version that is replaced, perhaps to be mended.
  The version is live from the first of its parses on.
- A file that failed before the first that could be parsed cannot be told from the version before: what failed since the
  pointer was written, and still fails after some patience, counts.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from slipway.adapters.airflow_record import BrokenFile, DagState

ALL_BROKEN_S = 10.0  # for Airflow to have noticed the pointer and parsed something


@dataclass(frozen=True, kw_only=True, slots=True)
class Liveness:
    """What makes one version live. No method has side effects.

    Attributes:
        dag_ids: the DAGs that must report the version.
        since: when the pointer was written, in whole seconds as S3 says it: a parse counts from the next second on.
            Without it a DAG counts that has the version from an earlier time, although another may be live.
    """

    version: str
    dag_ids: Collection[str]
    since: datetime | None

    def behind(self, dags: Mapping[str, DagState]) -> tuple[str, ...]:
        """Return the DAGs that were not yet parsed from the version, sorted."""
        return tuple(sorted(one for one in self.dag_ids if one not in dags or not self._reports(dags[one])))

    def refused(
        self,
        before: Mapping[str, DagState],
        now: Mapping[str, DagState],
        broken: Collection[BrokenFile],
        *,
        elapsed_s: float,
    ) -> tuple[BrokenFile, ...]:
        """Return the files of the version that do not import.

        Args:
            before: the DAGs as they were when the wait began.
        """
        parsed = [
            dag.last_parsed
            for dag_id, dag in now.items()
            if self._reports(dag)
            and dag.last_parsed
            and (dag_id not in before or dag.last_parsed != before[dag_id].last_parsed)
        ]
        if certain := tuple(one for one in broken if parsed and one.at >= min(parsed)):
            return certain
        return tuple(one for one in broken if self.since and one.at >= self.since and elapsed_s > ALL_BROKEN_S)

    def overdue(self, dags: Mapping[str, DagState], broken: Collection[BrokenFile], *, timeout_s: float) -> str:
        """Return the lines that tell what is missing when the time is over."""
        lines = [f"{self.version} is not live everywhere after {timeout_s:.0f} s"]
        lines += [f"  {one}: {dags[one].version if one in dags else 'no such DAG'}" for one in self.behind(dags)]
        return "\n".join(lines) + (f"\n{listed(broken)}" if broken else "")

    def _reports(self, dag: DagState) -> bool:
        if dag.version != self.version:
            return False
        return self.since is None or (
            dag.last_parsed is not None and dag.last_parsed >= self.since + timedelta(seconds=1)
        )


def listed(broken: Collection[BrokenFile]) -> str:
    """Return a line for each broken file."""
    return "\n".join(f"  {one.file}: {one.message}" for one in broken)
