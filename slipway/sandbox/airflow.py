"""A real Airflow for one environment: api-server, scheduler and DAG processor, each supervised on its own.

Rules:
- Metadata in the embedded PostgreSQL, tasks by the LocalExecutor, DAGs by the release bundle that production uses.
- Everything on loopback; the log server, which would listen on every interface, is off.
- A new database is a copy of one that was migrated once for this version of Airflow: migrating takes ten seconds.
- Settings come from environment variables only; secrets are made once per environment and kept in a 0600 file.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
import secrets
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import httpx
import psycopg
from psycopg import sql

from slipway.errors import ConfigurationError, Unavailable
from slipway.sandbox.postgres import PostgresEndpoint
from slipway.sandbox.process import LOOPBACK, Process, port_for, write_private

Progress = Callable[[str], None]

USERNAME = "admin"
BUNDLE = "slipway"
READY_TIMEOUT_S = 120.0
MIGRATE_TIMEOUT_S = 180.0
STOP_GRACE_S = 4.0  # for running tasks; what is left then is ended, and begun again after the next start
PARTS = ("api-server", "scheduler", "dag-processor")
HEALTHY = ("metadatabase", "scheduler", "dag_processor")
HEARTBEATS = {"scheduler": "latest_scheduler_heartbeat", "dag-processor": "latest_dag_processor_heartbeat"}


@dataclass(frozen=True, kw_only=True, slots=True)
class AirflowEndpoint:
    """Where an environment's Airflow answers, and as whom."""

    base_url: str
    username: str
    password: str = field(repr=False)


@dataclass(frozen=True, kw_only=True, slots=True)
class Secrets:
    """What one environment's Airflow keeps to itself."""

    password: str
    jwt_secret: str
    api_secret_key: str
    fernet_key: str

    @classmethod
    def make(cls) -> Secrets:
        """Return new ones. The JWT secret must have 64 bytes: it signs with HS512."""
        return cls(
            password=secrets.token_urlsafe(18),
            jwt_secret=secrets.token_hex(48),
            api_secret_key=secrets.token_hex(32),
            fernet_key=base64.urlsafe_b64encode(os.urandom(32)).decode(),
        )


def ensure(
    root: Path,
    environment: str,
    *,
    postgres: PostgresEndpoint,
    extra_env: Mapping[str, str],
    airflow_bin: Path,
    plugins: Path,
    source: str | None = None,
    on_progress: Progress = lambda line: None,
) -> AirflowEndpoint:
    """Return the environment's Airflow, healthy; what does not run of it is started, the rest is left alone.

    Args:
        root: the platform's folder.
        extra_env: what tasks see besides: connections, where AWS answers. A change restarts the processes.
        airflow_bin: the `airflow` program.
        plugins: the folder that production ships in plugins.zip.
        source: where releases are; `s3://finedge-<environment>-releases/airflow` unless given.

    Side effects: processes, a database, files under `<root>/airflow-<environment>` and `<root>/secrets`.

    Raises:
        Unavailable: a process ended or did not become healthy; the message holds the end of its log.
    """
    root = root.resolve()
    with _guard(root, f"airflow-{environment}"):
        kept = _secrets(root, environment)
        port = port_for(root, f"airflow-{environment}")
        endpoint = AirflowEndpoint(base_url=f"http://{LOOPBACK}:{port}", username=USERNAME, password=kept.password)
        home = root / f"airflow-{environment}"
        variables = {
            **_basics(airflow_bin, home),
            **settings(
                home,
                database=postgres.dsn(f"airflow_{environment}"),
                port=port,
                kept=kept,
                plugins=plugins.resolve(),
                source=source or f"s3://finedge-{environment}-releases/airflow",
            ),
            **extra_env,
        }
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(home / "passwords.json", json.dumps({USERNAME: kept.password}).encode())
        _have_database(root, environment, postgres, airflow_bin, on_progress)
        started = _start(root, environment, airflow_bin, variables, port, home)
        if started:
            on_progress(f"airflow-{environment}: starting {', '.join(started)}")
        _wait(endpoint, {part: Process(root, part_name(environment, part)) for part in PARTS}, on_progress)
        return endpoint


def prepare(
    root: Path, *, postgres: PostgresEndpoint, airflow_bin: Path, on_progress: Progress = lambda line: None
) -> None:
    """Have the database that those of environments are copied from.

    `ensure` does it when it needs it; doing it earlier, beside other work, takes the longest part out of a first start.

    Side effects: a database; a log.

    Raises:
        Unavailable: the database cannot be migrated; the message holds the end of the log.
    """
    root = root.resolve()
    with _guard(root, "airflow-template"):
        name = _template(airflow_bin)
        postgres.create_database(name)
        _migrate(root, postgres, name, airflow_bin, on_progress)


def stop(root: Path, environment: str) -> bool:
    """End the environment's Airflow, tasks included; return True when something ran.

    Tasks get a little time to end and report. Those that do not are ended when the api-server is gone: so they cannot
    report a failure, and the next start begins them again.

    Side effects: ends processes. Database and files stay.
    """
    api_server, scheduler, dag_processor = (Process(root, part_name(environment, part)) for part in PARTS)
    with ThreadPoolExecutor(max_workers=2) as pool:
        others = pool.submit(dag_processor.stop, grace_s=STOP_GRACE_S)
        scheduler.ask(patience_s=STOP_GRACE_S)
        ended = [api_server.stop(how=signal.SIGKILL), scheduler.stop(grace_s=1.0), others.result()]
    return any(ended)


def part_name(environment: str, part: str) -> str:
    """Return the name of one of the environment's processes."""
    return f"airflow-{environment}-{part}"


def settings(home: Path, *, database: str, port: int, kept: Secrets, plugins: Path, source: str) -> dict[str, str]:
    """Return Airflow's configuration as environment variables. No side effects.

    What differs from the defaults is for loopback, for two cores shared by up to three Airflows, or because the release
    bundle relies on it (`slipway_bundle.bundle`).
    """
    bundle = {
        "name": BUNDLE,
        "classpath": "slipway_bundle.bundle.ReleaseBundle",
        "kwargs": {"source": source, "refresh_interval": 1},
    }
    chosen: dict[str, dict[str, object]] = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": 4,
            "dags_are_paused_at_creation": False,
            "load_examples": False,
            "fernet_key": kept.fernet_key,
            "simple_auth_manager_users": f"{USERNAME}:admin",
            "simple_auth_manager_passwords_file": home / "passwords.json",
            "execution_api_server_url": f"http://{LOOPBACK}:{port}/execution/",
            "min_serialized_dag_update_interval": 0,
            "plugins_folder": plugins,
            "hostname_callable": "socket.gethostname",
        },
        "database": _database(database),
        "api": {
            "host": LOOPBACK,
            "port": port,
            "workers": 1,
            "base_url": f"http://{LOOPBACK}:{port}",
            "secret_key": kept.api_secret_key,
        },
        "api_auth": {"jwt_secret": kept.jwt_secret},
        "scheduler": {"orphaned_tasks_check_interval": 30, "parsing_cleanup_interval": 30},
        "dag_processor": {
            "dag_bundle_config_list": json.dumps([bundle]),
            "dag_bundle_storage_path": home / "bundles",
            "bundle_refresh_check_interval": 1,
            "refresh_interval": 1,
            "parsing_processes": 1,
            "min_file_process_interval": 120,
            "dag_file_processor_timeout": 60,
            "print_stats_interval": 600,
        },
        "workers": {  # a task outlives a restart of the api-server
            "execution_api_timeout": 30,
            "execution_api_retries": 20,
            "execution_api_retry_wait_max": 3,
            "max_failed_heartbeats": 20,
        },
        "logging": {
            "base_log_folder": home / "logs",
            "colored_console_log": False,
            "namespace_levels": "airflow.dag_processing.manager=WARNING",  # else a line a second: it refreshes
        },
    }
    return _variables(chosen)


def _basics(airflow_bin: Path, home: Path) -> dict[str, str]:
    """Return what a program needs of its surroundings; nothing else of the caller's environment gets in."""
    return {
        "PATH": f"{airflow_bin.parent}:{os.defpath}",
        "HOME": str(home),
        "LANG": "C.UTF-8",
        "TZ": "UTC",
        "AIRFLOW_HOME": str(home),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": LOOPBACK,
    }


def _commands(port: int) -> dict[str, tuple[str, ...]]:
    return {
        "api-server": ("api-server", "--host", LOOPBACK, "--port", str(port), "--workers", "1"),
        "scheduler": ("scheduler", "--skip-serve-logs"),
        "dag-processor": ("dag-processor",),
    }


def _have_database(
    root: Path, environment: str, postgres: PostgresEndpoint, airflow_bin: Path, on_progress: Progress
) -> None:
    """Have the environment's database, of this version of Airflow."""
    name = f"airflow_{environment}"
    if not postgres.has_database(name):
        prepare(root, postgres=postgres, airflow_bin=airflow_bin, on_progress=on_progress)
        with _guard(root, "airflow-template"):  # nobody may be connected to what is copied
            postgres.create_database(name, template=_template(airflow_bin))
            _set_note(postgres, name, _version(airflow_bin))
    _migrate(root, postgres, name, airflow_bin, on_progress)


def _template(airflow_bin: Path) -> str:
    return f"airflow_template_{_version(airflow_bin).replace('.', '_')}"


def _migrate(root: Path, postgres: PostgresEndpoint, name: str, airflow_bin: Path, on_progress: Progress) -> None:
    """Bring a database to this version of Airflow; a comment on it says which one it has."""
    version = _version(airflow_bin)
    if _note(postgres, name) == version:
        return
    on_progress(f"migrating {name} to Airflow {version}")
    home = root / "airflow-migration"
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = root / "logs" / f"{name}-migrate.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as output:
        done = subprocess.run(
            [str(airflow_bin), "db", "migrate"],
            env={**_basics(airflow_bin, home), **_variables({"database": _database(postgres.dsn(name))})},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            timeout=MIGRATE_TIMEOUT_S,
        )
    if done.returncode:
        raise Unavailable(
            f"Airflow's database {name} cannot be migrated:\n{log.read_text()[-1500:]}", fix=f"read {log}"
        )
    _set_note(postgres, name, version)


def _database(address: str) -> dict[str, object]:
    return {"sql_alchemy_conn": address.replace("postgresql://", "postgresql+psycopg2://", 1)}


def _variables(options: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Return section -> option -> value as the environment variables that Airflow reads."""
    return {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
        for section, chosen in options.items()
        for name, value in chosen.items()
    }


def _note(postgres: PostgresEndpoint, name: str) -> str | None:
    query = "select shobj_description(oid, 'pg_database') from pg_database where datname = %s"
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        row = connection.execute(query, [name]).fetchone()
    return row[0] if row else None


def _set_note(postgres: PostgresEndpoint, name: str, note: str) -> None:
    with psycopg.connect(postgres.dsn(), autocommit=True) as connection:
        connection.execute(sql.SQL("comment on database {} is {}").format(sql.Identifier(name), sql.Literal(note)))


def _version(airflow_bin: Path) -> str:
    pattern = "lib/python*/site-packages/apache_airflow_core-*.dist-info"
    for folder in airflow_bin.parent.parent.glob(pattern):
        return folder.name.removesuffix(".dist-info").partition("-")[2]
    raise ConfigurationError(
        f"there is no Airflow in {airflow_bin.parent.parent}",
        fix="python -m slipway.sandbox.environment airflow",
    )


def _start(
    root: Path, environment: str, airflow_bin: Path, variables: Mapping[str, str], port: int, home: Path
) -> list[str]:
    """Have the three processes running; return those that had to be started."""
    return [
        part
        for part, arguments in _commands(port).items()
        if Process(root, part_name(environment, part)).ensure(
            [str(airflow_bin), *arguments],
            environment=variables,
            ports={"http": port} if part == "api-server" else {},
            cwd=home,
        )
    ]


def _wait(endpoint: AirflowEndpoint, processes: Mapping[str, Process], on_progress: Progress) -> None:
    """Return when the three say they are healthy; raise `Unavailable` at once when one of them ended."""
    began = time.monotonic()
    told = 0.0
    while not _is_healthy(endpoint, processes):
        elapsed = time.monotonic() - began
        for process in processes.values():
            if not process.is_alive():
                raise Unavailable(f"{process.name} ended while starting:\n{process.tail()}", fix=f"read {process.log}")
        if elapsed > READY_TIMEOUT_S:
            tails = "\n".join(f"{process.name}:\n{process.tail(4)}" for process in processes.values())
            raise Unavailable(f"Airflow was not healthy after {READY_TIMEOUT_S:.0f} s:\n{tails}")
        if elapsed - told >= 5:
            told = elapsed
            on_progress(f"waiting for Airflow ({elapsed:.0f} s)")
        time.sleep(0.25)


def _is_healthy(endpoint: AirflowEndpoint, processes: Mapping[str, Process]) -> bool:
    """Return whether each part is healthy by its own word: what a dead predecessor said last counts for nothing."""
    try:
        answer = httpx.get(f"{endpoint.base_url}/api/v2/monitor/health", timeout=5.0, trust_env=False)
        parts = answer.json()
        return (
            answer.status_code == 200
            and all(parts[name]["status"] == "healthy" for name in HEALTHY)
            and all(
                _is_since(parts[part.replace("-", "_")][heartbeat], processes[part])
                for part, heartbeat in HEARTBEATS.items()
            )
        )
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return False


def _is_since(heartbeat: str, process: Process) -> bool:
    record = process.record
    return record is not None and datetime.fromisoformat(heartbeat) >= datetime.fromisoformat(record.started_at)


def _secrets(root: Path, environment: str) -> Secrets:
    file = root / "secrets" / f"airflow-{environment}.json"
    with contextlib.suppress(FileNotFoundError, ValueError, TypeError):
        return Secrets(**json.loads(file.read_bytes()))
    made = Secrets.make()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    content = {name: getattr(made, name) for name in Secrets.__slots__}
    write_private(file, json.dumps(content).encode())
    return made


@contextlib.contextmanager
def _guard(root: Path, name: str) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
