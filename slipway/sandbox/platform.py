"""The embedded platform: PostgreSQL, AWS, Snowflake, the sources, and one Airflow per environment, as one thing.

Rules:
- Loopback only; ports are chosen once and noted under `<root>`, so that restarts keep every address.
- `up` starts what does not run and mends what is half there; `down` ends all of it.
- Every part keeps what it holds on disk: a platform that was stopped or killed goes on where it was.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

from slipway import config
from slipway.adapters.aws import Aws
from slipway.config import ENVIRONMENTS, Environment
from slipway.errors import Unavailable
from slipway.sandbox import airflow, environment, postgres, sources
from slipway.sandbox.aws.environment import REGION, python_environment, terraform_environment
from slipway.sandbox.aws.people import OPERATOR, ensure_people, enter, read_people
from slipway.sandbox.key import ensure_keys
from slipway.sandbox.process import LOOPBACK, Process, port_for

Progress = Callable[[str], None]

SOURCE_DATABASE = "finedge_core"
SOURCE_BUCKET = "finedge-sources"
CATCH_UP_DAYS = 3  # logical dates before the first day that the schedules catch up on
SERVICES = ("SVC_DEPLOYER", "SVC_LOADER", "SVC_TRANSFORMER", "SVC_READER")
ADMIN = "ADMIN"  # the embedded warehouse's ACCOUNTADMIN
READY_S = 60  # seconds a part may take to answer
_PYTHON = Path(sys.executable)
PROGRAMS = _PYTHON.parent.resolve()  # by one name, whatever link led to them: another name would restart every part
PYTHON = str(PROGRAMS / _PYTHON.name)


@dataclass(frozen=True, kw_only=True)
class PartStatus:
    """One part of the platform, for people and for `--json`."""

    name: str
    state: str  # running, stopped or died
    address: str
    pid: int | None
    note: str = ""


class Platform:
    """The embedded platform of one project folder."""

    def __init__(self, project: Path) -> None:
        self.project = project
        self.root = project / ".sandbox"
        self._aws = Process(self.root, "aws")
        self._snowflake = Process(self.root, "snowflake")

    # ---- addresses ---------------------------------------------------------------------------------------------

    @property
    def aws_endpoint(self) -> str:
        """Where the embedded AWS answers Python."""
        return f"http://{LOOPBACK}:{self._aws.port('http')}"

    def aws_variables(self) -> dict[str, str]:
        """What a Python child must see to find the embedded AWS."""
        return python_environment(self._aws.port("http"))

    def terraform_variables(self) -> dict[str, str]:
        """What a Terraform child must see to find the embedded AWS."""
        return terraform_environment(self._aws.port("proxy"))

    @property
    def people_file(self) -> Path:
        """The access keys of the platform's people, as profiles that every AWS tool reads."""
        return self.root / "aws-credentials"

    def aws_credentials(self, profile: str | None, role: str | None) -> Mapping[str, str]:
        """Return the credentials by which a person acts: their own, or those of a new session of a role.

        Args:
            profile: one of the platform's people; None or anyone else is the operator, who enters no role.
            role: name of a role, e.g. `finedge-prod-approver`; its session is called like the person.

        Returns:
            `aws_access_key_id`, `aws_secret_access_key` and, of a session, `aws_session_token`.

        Raises:
            NotBootstrapped: there is no such role yet.
            StepFailed: the role does not let this person in.
        """
        person = read_people(self.people_file).get(profile or "")
        if profile is None or person is None:
            return OPERATOR
        return person if role is None else enter(self.aws_endpoint, person, role=role, session_name=profile)

    @property
    def snowflake_port(self) -> int:
        """The loopback port of the embedded Snowflake."""
        return self._snowflake.port("http")

    @property
    def schedule_start(self) -> date:
        """The first logical date of every DAG: noted when the sources were first made."""
        try:
            return date.fromisoformat(json.loads((self.root / "schedule.json").read_text())["start"])
        except FileNotFoundError as error:
            raise Unavailable("the embedded platform has not been started", fix="invoke sandbox.up") from error

    # ---- up and down -------------------------------------------------------------------------------------------

    def up(self, progress: Progress) -> None:
        """Start what does not run, and load the sources.

        Side effects: processes, and files under the project's `.sandbox` and `.venv-airflow`.

        Raises:
            Unavailable: a part does not start; the message holds the end of its log.
        """
        self.root.mkdir(exist_ok=True)
        users = (ADMIN, *(f"{name.upper()}_{service}" for name in ENVIRONMENTS for service in SERVICES))
        ensure_keys(self.root / "keys", users)
        with ThreadPoolExecutor(max_workers=4) as pool:
            aws = pool.submit(self._start_aws, progress)
            database = pool.submit(postgres.ensure, self.root, on_progress=progress)
            installed = pool.submit(environment.ensure_airflow, self.project, progress=progress)
            aws.result()
            self._start_snowflake(progress)
            programs, endpoint = installed.result(), database.result()
            prepared = pool.submit(
                airflow.prepare, self.root, postgres=endpoint, airflow_bin=programs / "airflow", on_progress=progress
            )
            self._load_sources(endpoint, progress)
            prepared.result()
        for name in self._broken_airflows():
            self.airflow(config.load(name, folder=self.project / "config"), progress)

    def airflow(self, environment_: Environment, progress: Progress) -> airflow.AirflowEndpoint:
        """Have the environment's Airflow running, and return where it answers.

        Side effects: processes, a metadata database, files under `.sandbox`.
        """
        return airflow.ensure(
            self.root,
            environment_.name,
            postgres=postgres.ensure(self.root),
            extra_env=self._task_variables(environment_),
            airflow_bin=environment.ensure_airflow(self.project, progress=progress) / "airflow",
            plugins=self.project / "airflow_plugins",
            source=f"s3://{environment_.bucket('releases')}/airflow",
            on_progress=progress,
        )

    def down(self, progress: Progress) -> None:
        """End every part: first what uses the others.

        Side effects: no process of the platform is left.
        """
        for name in ENVIRONMENTS:
            if airflow.stop(self.root, name):
                progress(f"airflow-{name} stopped")
        for part in (self._snowflake, self._aws):
            if part.stop():
                progress(f"{part.name} stopped")
        if postgres.stop(self.root):
            progress("postgres stopped")

    def status(self) -> tuple[PartStatus, ...]:
        """Return what runs where. No side effects."""
        found = []
        for file in sorted((self.root / "parts").glob("*.json")):
            part = Process(self.root, file.stem)
            record = part.record
            if record is None:
                continue
            alive = part.is_alive()
            ports = ", ".join(f"{name} {LOOPBACK}:{port}" for name, port in sorted(record.ports.items()))
            found.append(
                PartStatus(
                    name=part.name,
                    state="running" if alive else "died",
                    address=ports,
                    pid=record.pid if alive else None,
                    note=self._note(part) if alive else f"see {part.log.relative_to(self.project)}",
                )
            )
        return tuple(found)

    def _note(self, part: Process) -> str:
        """Return how a person gets in, where one can."""
        if part.name == "snowflake":
            return f"account embedded, user {ADMIN}, key in .sandbox/keys/{ADMIN}.p8"
        home, found, _ = part.name.partition("-api-server")
        return f"user {airflow.USERNAME}, password in .sandbox/{home}/passwords.json" if found else ""

    def require(self, environment: str) -> None:
        """Return when every part that an environment needs runs; raise `Unavailable` that names those that do not."""
        own = f"airflow-{environment}-"
        found = [part for part in self.status() if not part.name.startswith("airflow-") or part.name.startswith(own)]
        if not found:
            raise Unavailable("the embedded platform does not run", fix="invoke sandbox.up")
        if down := [part.name for part in found if part.state != "running"]:
            raise Unavailable(f"the embedded platform is not whole: {', '.join(down)} died", fix="invoke sandbox.up")

    def _broken_airflows(self) -> tuple[str, ...]:
        """Return the environments whose Airflow ran and has lost a part."""
        died = [part.name for part in self.status() if part.state != "running"]
        return tuple(name for name in ENVIRONMENTS if any(part.startswith(f"airflow-{name}-") for part in died))

    def logs(self, part: str, lines: int) -> str:
        """Return the last lines of one part's log; raise `Unavailable` for an unknown part."""
        known = sorted(path.stem for path in (self.root / "logs").glob("*.log"))
        if part not in known:
            raise Unavailable(f"no part {part!r}; there are: {', '.join(known) or 'none'}", fix="invoke sandbox.status")
        return Process(self.root, part).tail(lines)

    # ---- parts -------------------------------------------------------------------------------------------------

    def _start_aws(self, progress: Progress) -> None:
        ports = {"http": port_for(self.root, "aws"), "proxy": port_for(self.root, "aws-proxy")}
        ready = self.root / "aws-ready.json"
        command = [PYTHON, "-m", "slipway.sandbox.aws", "serve", "--port", str(ports["http"])]
        command += ["--proxy-port", str(ports["proxy"]), "--ready-file", str(ready), "--state", str(self.root / "aws")]
        started = self._aws.ensure(command, environment=self._child(), ports=ports, cwd=self.project)
        self._aws.wait_ready(lambda: answers(f"http://{LOOPBACK}:{ports['http']}/moto-api/"), timeout_s=READY_S)
        if started or not self.people_file.exists():
            ensure_people(f"http://{LOOPBACK}:{ports['http']}", self.people_file)
        if started:
            progress("aws ready")

    def _start_snowflake(self, progress: Progress) -> None:
        port = port_for(self.root, "snowflake")
        state = self.root / "snowflake"
        command = [PYTHON, "-m", "slipway.sandbox.snowflake", "serve", "--port", str(port)]
        command += ["--state", str(state), "--ready-file", str(self.root / "snowflake-ready")]
        command += ["--keys", str(self.root / "keys")]
        started = self._snowflake.ensure(
            command, environment={**self._child(), **self.aws_variables()}, ports={"http": port}, cwd=self.project
        )
        self._snowflake.wait_ready(lambda: answers(f"http://{LOOPBACK}:{port}/healthz"), timeout_s=READY_S)
        if started:
            progress("snowflake ready")

    def _load_sources(self, database: postgres.PostgresEndpoint, progress: Progress) -> None:
        database.create_database(SOURCE_DATABASE)
        today = datetime.now(UTC).date()
        summary = sources.load(
            postgres_dsn=database.dsn(SOURCE_DATABASE),
            s3=Aws(region=REGION, endpoint=self.aws_endpoint, credentials=OPERATOR).s3,  # whatever AWS_PROFILE says
            bucket=SOURCE_BUCKET,
            day0=today,
            on_progress=progress,
        )
        note = self.root / "schedule.json"
        if not note.exists():
            start = summary.day0 - timedelta(days=CATCH_UP_DAYS)
            note.write_text(json.dumps({"start": start.isoformat()}))

    def _child(self) -> dict[str, str]:
        """What a part's process sees: the same whatever shell starts it, so that no other shell restarts it."""
        return {
            "HOME": str(Path.home()),
            "LANG": "C.UTF-8",
            "PATH": os.defpath,
            "PYTHONPATH": str(self.project),
            "PYTHONUNBUFFERED": "1",
            "PYTHONWARNINGS": "ignore",
        }

    def _task_variables(self, of: Environment) -> Mapping[str, str]:
        """What tasks of one environment's Airflow see: the connections they name, and where AWS answers."""
        database = postgres.ensure(self.root)
        return {
            **self.aws_variables(),
            "SLIPWAY_ENV": of.name,
            "SLIPWAY_DBT": str(PROGRAMS / "dbt"),
            "AIRFLOW_CONN_AWS_DEFAULT": json.dumps({"conn_type": "aws"}),
            "AIRFLOW_CONN_POSTGRES_CORE": json.dumps(
                {
                    "conn_type": "postgres",
                    "host": database.host,
                    "port": database.port,
                    "login": database.user,
                    "password": database.password,
                    "schema": SOURCE_DATABASE,
                }
            ),
            "AIRFLOW_CONN_WAREHOUSE_LOADER": self._warehouse_connection(of, "loader"),
            "AIRFLOW_CONN_WAREHOUSE_TRANSFORMER": self._warehouse_connection(of, "transformer"),
        }

    def _warehouse_connection(self, of: Environment, service: str) -> str:
        principal = of.warehouse.loader if service == "loader" else of.warehouse.transformer
        return json.dumps(
            {
                "conn_type": "snowflake",
                "login": principal.user,
                "extra": {
                    "account": of.warehouse.account,
                    "warehouse": of.warehouse.warehouse,
                    "database": of.warehouse.raw_database if service == "loader" else of.warehouse.analytics_database,
                    "role": principal.role,
                    "private_key_file": str(self.root / "keys" / f"{principal.user}.p8"),
                    "host": LOOPBACK,
                    "port": self.snowflake_port,
                    "protocol": "http",
                },
            }
        )


def answers(url: str) -> bool:
    """Return whether a GET on loopback is answered at all."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:  # noqa: S310 - loopback only
            return bool(response.status < 500)
    except urllib.error.HTTPError as error:
        return error.code < 500
    except (OSError, urllib.error.URLError):
        return False
