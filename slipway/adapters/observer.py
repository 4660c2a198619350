"""Observing an environment: every reader asked at the same time, their answers put together."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from slipway.adapters.airflow import Airflow
from slipway.adapters.infrastructure import EnvironmentInfrastructure
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.snowflake import SnowflakeFacts
from slipway.observation import Observation, OpenRun, OrchestratorFacts


class EnvironmentObserver:
    """Reads one environment; implements `ports.Observer`. No side effects but Terraform's saved plan."""

    def __init__(
        self,
        *,
        infrastructure: EnvironmentInfrastructure,
        warehouse: SnowflakeFacts,
        bucket: ReleaseBucket,
        airflow: Airflow,
        version: str,
    ) -> None:
        self._infrastructure, self._warehouse, self._bucket = infrastructure, warehouse, bucket
        self._airflow, self._version = airflow, version

    def observe(self, *, infrastructure: bool) -> Observation:
        """Return what is there; with `infrastructure` Terraform plans, without only its state is read."""
        with ThreadPoolExecutor(max_workers=5) as pool:
            infra = pool.submit(self._infrastructure.facts, plan=infrastructure)
            warehouse = pool.submit(self._warehouse.read)
            pointer = pool.submit(self._bucket.pointer)
            uploaded = pool.submit(self._bucket.version_sha256, self._version)
            orchestrator = pool.submit(orchestrator_facts, self._airflow)
            live, stored = pointer.result(), uploaded.result()
            manifest = self._bucket.manifest(live.release) if live else None
            return Observation(
                infrastructure=infra.result(),
                warehouse=warehouse.result(),
                pointer=live,
                orchestrator=orchestrator.result(),
                uploaded={self._version: stored} if stored else {},
                live_components={name: manifest.component_digest(name) for name in manifest.components}
                if manifest
                else {},
            )


def orchestrator_facts(airflow: Airflow) -> OrchestratorFacts:
    """Return what Airflow reports of itself."""
    return OrchestratorFacts(
        versions={dag_id: dag.version for dag_id, dag in sorted(airflow.dags().items())},
        import_errors=tuple(f"{error.file}: {error.message}" for error in airflow.import_errors()),
        open_runs=tuple(
            OpenRun(dag_id=run.dag_id, run_id=run.run_id, state=run.state, version=run.version)
            for run in airflow.open_runs()
        ),
    )
