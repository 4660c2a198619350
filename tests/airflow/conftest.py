"""A real Airflow with a PostgreSQL and an AWS of its own, and versions of tiny DAGs to flip between."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import count
from pathlib import Path
from typing import Any

import boto3
import pytest

from slipway.adapters.airflow import Airflow, TokenTransport
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.observation import Pointer
from slipway.sandbox import airflow, postgres
from slipway.sandbox.aws.environment import python_environment
from slipway.sandbox.environment import ensure_airflow
from slipway.sandbox.process import LOOPBACK, Process, port_for

PROJECT = Path(__file__).parents[2]
PLUGINS = PROJECT / "airflow_plugins"
ENVIRONMENT = "dev"
BUCKET = "finedge-dev-releases"
FLIP_S = 60.0
DAGS = ("brief", "long", "mapped", "retired")

sys.path.insert(0, str(PLUGINS))  # as Airflow does with its plugins folder

LIBRARY = '''
import json, os, time
from pathlib import Path

LIBRARY = "{version}"
FILED = json.loads(Path(__file__).parents[2].joinpath("version.json").read_text())["version"]
EVIDENCE = Path(os.environ["EVIDENCE"])

def note(code, context):
    """Say which code, library and settings a task ran with."""
    task = context["ti"]
    line = {"run": task.run_id, "task": task.task_id, "code": code, "library": LIBRARY, "filed": FILED}
    with (EVIDENCE / "notes.jsonl").open("a") as notes:
        notes.write(json.dumps(line) + "\\n")

def wait_for(name):
    while not (EVIDENCE / name).exists():
        time.sleep(0.05)
'''

HEAD = """
from datetime import datetime
from airflow.sdk import dag, get_current_context, task
from etl.library import LIBRARY, note, wait_for

CODE = "{version}"
"""

FILES = {
    "dags/brief.py": HEAD
    + """
@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, tags=[CODE, LIBRARY])
def brief():
    @task
    def only():
        note(CODE, get_current_context())
    only()
brief()
""",
    "dags/long.py": HEAD
    + """
@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, tags=[CODE, LIBRARY])
def long():
    @task
    def first():
        context = get_current_context()
        note(CODE, context)
        wait_for("go-" + context["ti"].run_id)
    @task
    def second():
        note(CODE, get_current_context())
    first() >> second()
long()
""",
    "dags/mapped.py": HEAD
    + """
@dag(
    schedule="@daily",
    start_date=datetime(2026, 1, 1),
    end_date=datetime(2026, 1, 2),
    catchup=True,
    tags=[CODE, LIBRARY],
)
def mapped():
    @task
    def each(number):
        note(CODE, get_current_context())
    each.expand(number=[1, 2])
mapped()
""",
    "dags/retired.py": HEAD
    + """
@dag(schedule=None, start_date=datetime(2026, 1, 1), catchup=False, tags=[CODE, LIBRARY])
def retired():
    @task
    def only():
        note(CODE, get_current_context())
    only()
retired()
""",
    "dags/etl/__init__.py": "",
    "dags/etl/library.py": LIBRARY,
    "dbt/dbt_project.yml": "name: finedge\n",
}


@dataclass(frozen=True, kw_only=True)
class Released:
    """A version that stands in the bucket."""

    version: str
    sha256: str


class Bench:
    """One Airflow, what it follows, and what its tasks said."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.evidence = root / "evidence"
        self.evidence.mkdir()
        self.events_file = root / "events.jsonl"
        self._aws = Process(root, "aws")
        self._numbers = count(1)
        self._dates = count(1)
        self.first_start_s = 0.0

    # ---- parts

    def start_aws(self) -> None:
        """Have an AWS, on the same ports every time, with an empty bucket when it is new."""
        ports = {"http": port_for(self.root, "aws"), "proxy": port_for(self.root, "aws-proxy")}
        ready = self.root / "aws-ready.json"
        command = [sys.executable, "-m", "slipway.sandbox.aws", "serve", "--ready-file", str(ready)]
        command += ["--port", str(ports["http"]), "--proxy-port", str(ports["proxy"])]
        environment = {"PYTHONPATH": str(PROJECT), "PATH": "/usr/bin:/bin"}
        ready.unlink(missing_ok=True)
        if self._aws.ensure(command, environment=environment, ports=ports, cwd=self.root):
            self._aws.wait_ready(ready.exists, timeout_s=60)
            self.s3.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})

    def stop_aws(self) -> None:
        """End the AWS; it forgets everything."""
        self._aws.stop()

    def start_airflow(self, progress: Callable[[str], None] = lambda line: None) -> float:
        """Have Airflow healthy; return the seconds it took."""
        began = time.monotonic()
        endpoint = airflow.ensure(
            self.root,
            ENVIRONMENT,
            postgres=postgres.ensure(self.root),
            extra_env={
                **python_environment(port_for(self.root, "aws")),
                "EVIDENCE": str(self.evidence),
                "SLIPWAY_AIRFLOW_EVENTS": str(self.events_file),
            },
            airflow_bin=ensure_airflow(PROJECT) / "airflow",
            plugins=PLUGINS,
            source=f"s3://{BUCKET}/airflow",
            on_progress=progress,
        )
        self.transport = TokenTransport(endpoint.base_url, endpoint.username, endpoint.password)
        self.client = Airflow(self.transport)
        return time.monotonic() - began

    def part(self, name: str) -> Process:
        """Return one of Airflow's processes."""
        return Process(self.root, airflow.part_name(ENVIRONMENT, name))

    def down(self) -> None:
        """End everything and delete the databases."""
        airflow.stop(self.root, ENVIRONMENT)
        self.stop_aws()
        postgres.remove(self.root)

    # ---- releases

    @property
    def s3(self) -> Any:
        """A client of the bucket."""
        return boto3.client(
            "s3",
            endpoint_url=f"http://{LOOPBACK}:{port_for(self.root, 'aws')}",
            region_name="eu-west-1",
            aws_access_key_id="embedded",
            aws_secret_access_key="embedded",
        )

    @property
    def bucket(self) -> ReleaseBucket:
        """The bucket as Slipway writes it."""
        return ReleaseBucket(self.s3, BUCKET)

    def release(self, *, changed: Mapping[str, str] | None = None, without: tuple[str, ...] = ()) -> Released:
        """Put a new version of all DAGs into the bucket; nothing follows it yet."""
        version = f"version-{next(self._numbers)}"
        files = {name: text for name, text in {**FILES, **(changed or {})}.items() if name not in without}
        return self.put(version, archive_of(version, files))

    def put(self, version: str, content: bytes) -> Released:
        """Put an archive and its digest under a version."""
        sha256 = hashlib.sha256(content).hexdigest()
        self.s3.put_object(Bucket=BUCKET, Key=f"airflow/versions/{version}.tar.gz", Body=content)
        self.s3.put_object(Bucket=BUCKET, Key=f"airflow/versions/{version}.sha256", Body=sha256.encode())
        return Released(version=version, sha256=sha256)

    def point(self, to: Released) -> None:
        """Write the pointer as a deployment does."""
        wanted = Pointer(version=to.version, sha256=to.sha256, release="r" * 64, config="c" * 64, etag="")
        self.bucket.put_pointer(wanted, expected=self.bucket.pointer())

    @property
    def pointed_at(self) -> datetime:
        """When the pointer was written."""
        return self.s3.head_object(Bucket=BUCKET, Key="airflow/CURRENT")["LastModified"]

    def flip(self, to: Released, dag_ids: tuple[str, ...] = DAGS) -> float:
        """Point at a version and wait until every DAG reports it; return the seconds."""
        self.point(to)
        return self.client.wait_for_version(to.version, dag_ids, timeout_s=FLIP_S, since=self.pointed_at)

    # ---- what happened

    def new_date(self) -> str:
        """Return a logical date that no run has."""
        return f"2026-02-01T00:00:{next(self._dates):02d}"

    def parsed_from(self) -> dict[str, set[str]]:
        """Return DAG -> the versions that its code and its library had when Airflow parsed it: their tags."""
        answer = self.transport.request("GET", "/dags", params={"limit": 100})
        return {row["dag_id"]: {tag["name"] for tag in row["tags"]} for row in answer.body["dags"]}

    def notes(self, run_id: str) -> dict[str, tuple[str, str, str]]:
        """Return task -> (code, library, settings) versions that the tasks of a run noted."""
        file = self.evidence / "notes.jsonl"
        lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
        return {line["task"]: (line["code"], line["library"], line["filed"]) for line in lines if line["run"] == run_id}

    def events(self, kind: str) -> list[dict[str, str]]:
        """Return what the plugin told, of one kind."""
        lines = self.events_file.read_text().splitlines() if self.events_file.exists() else []
        return [event for event in map(json.loads, lines) if event["kind"] == kind]

    def finished(self, dag_id: str, date: str) -> Any:
        """Return the run of a logical date when it is over."""
        wait_until(lambda: self.client.run_at(dag_id, date).state in ("success", "failed"), f"{dag_id} {date} to end")
        return self.client.run_at(dag_id, date)


def archive_of(version: str, files: Mapping[str, str]) -> bytes:
    """Return the tar.gz of a version; `{version}` in a file becomes its name."""
    content = io.BytesIO()
    named = {**files, "version.json": json.dumps({"version": version})}
    with tarfile.open(fileobj=content, mode="w:gz") as archive:
        for name, text in sorted(named.items()):
            data = text.replace("{version}", version).encode()
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return content.getvalue()


def wait_until(reached: Callable[[], bool], what: str, timeout_s: float = 60.0) -> float:
    """Return the seconds until something is so; fail when it does not come."""
    began = time.monotonic()
    while not reached():
        assert time.monotonic() - began < timeout_s, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.1)
    return time.monotonic() - began


@pytest.fixture(scope="package")
def running_bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    bench = Bench(tmp_path_factory.mktemp("platform"))
    try:
        bench.start_aws()
        bench.first_start_s = bench.start_airflow()
        yield bench
    finally:
        bench.down()


@pytest.fixture
def bench(running_bench: Bench) -> Bench:
    """The bench with every part up, whatever the last test did to it."""
    running_bench.start_aws()
    return running_bench
