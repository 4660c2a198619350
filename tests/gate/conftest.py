"""Folders of DAG files, good and broken, and what the gate says of them, with the Airflow that production runs."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from slipway.adapters.dag_gate import GateReport, check
from slipway.sandbox.environment import ensure_airflow
from tests.version import VERSION

PROJECT = Path(__file__).parents[2]
TIMEOUT_S = 4.0  # a file may take; the endless ones take all of it
LEAKS = {  # what a deployer's shell may hold, and no DAG may see
    "TOKEN": "t0p-secret",
    "PYTHONPATH": "/nonexistent/library",
    "AIRFLOW__CORE__DEFAULT_TIMEZONE": "Asia/Tokyo",
    "AIRFLOW_VAR_X": "from the shell",
    "AWS_PROFILE": "production",
    "http_proxy": "http://127.0.0.1:9",
}

HEAD = """
import os, random, subprocess, sys, time
from datetime import datetime
from pathlib import Path
from airflow.sdk import DAG, BaseHook, Variable
from airflow.providers.standard.operators.empty import EmptyOperator

def make(dag_id, *, notes="", pool="default_pool", task_id="nothing"):
    with DAG(dag_id, schedule="@daily", start_date=datetime(2026, 1, 1), doc_md=notes) as dag:
        EmptyOperator(task_id=task_id, pool=pool)
    return dag

def leave_running():
    child = subprocess.Popen(["sleep", "600"])
    with (Path(__file__).parent / "left.txt").open("a") as left:
        left.write(f"{os.getpid()} {child.pid}\\n")
"""
LINES = HEAD.count("\n")  # a file's own code begins on the next one

FILES = {
    "good.py": "dag = make('good')",
    "another.py": "dag = make('another')",
    "import_error.py": "\nimport no_such_library",
    "library_error.py": "import json\njson.loads('{no')",
    "syntax_error.py": "dag = make('syntax_error'",
    "exits.py": "os._exit(7)",
    "exits_politely.py": "sys.exit('enough')",
    "kills.py": "leave_running()\nos.kill(os.getpid(), 9)",
    "endless.py": "dag = make('endless')\nleave_running()\nwhile True:\n    pass",
    "sleeps.py": "leave_running()\ntry:\n    time.sleep(600)\nfinally:\n    time.sleep(600)",
    "leaves.py": "leave_running()\ndag = make('leaves')",
    "random_notes.py": "dag = make('random_notes', notes=str(random.random()))",
    "random_id.py": "dag = make(f'random_id_{random.randrange(10**9)}')",
    "good_again.py": "dag = make('good')",
    "twice.py": "one = make('twice')\ntwo = make('twice', task_id='other')",
    "pool.py": "dag = make('pool', pool='deep_end')",
    "variable.py": "X = Variable.get('x')\ndag = make('variable')",
    "variable_default.py": "X = Variable.get('x', default='y')\ndag = make('variable_default')",
    "connection.py": "X = BaseHook.get_connection('warehouse')\ndag = make('connection')",
    "prints.py": (
        'sys.stdout.write(\'{"files": 0, "dags": {}, "problems": []}\\n\')\n'
        "print('no end of line', end='', flush=True)\nos.write(1, b'nor here')\ndag = make('prints')"
    ),
    "surroundings.py": "raise RuntimeError(' '.join(sorted(os.environ)))",
    "no_dag.py": "",
}
BARE = {  # files without the head
    "empty.py": "",
    "unread.py": "from etl.factory import load\n\nload('unread')\n",
    "library_of_others.py": "def load(name): ...\n",
    ".airflowignore": "etl/\nlibrary_of_others.py\n",
    "etl/factory.py": "import no_such_library\n",
    "__init__.py": "",
}


@dataclass(frozen=True, kw_only=True)
class Checked:
    """A folder and what the gate said of it."""

    folder: Path
    report: GateReport

    def of(self, file: str) -> list[tuple[str, str]]:
        """Return kind and message of every problem of a file."""
        return [(one.kind, one.message) for one in self.report.problems if one.file == file]

    def left(self) -> list[psutil.Process]:
        """Return the processes that the files said they are or started, those that still run."""
        pids = [int(pid) for pid in (self.folder / "left.txt").read_text().split()]
        assert pids
        _, alive = psutil.wait_procs([psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)], timeout=5)
        return [one for one in alive if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]


def gate(folder: Path, *, python: Path | None = None) -> GateReport:
    """Return what the gate says of a folder, with a version's settings beside it."""
    version_file = folder.parent / "version.json"
    version_file.write_text(json.dumps(VERSION))
    return check(
        folder,
        airflow_python=python or ensure_airflow(PROJECT) / "python",
        version_file=version_file,
        timeout_s=TIMEOUT_S,
    )


def write(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files of a folder and return it."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture(scope="package")
def checked(tmp_path_factory: pytest.TempPathFactory) -> Checked:
    """Every broken file beside two good ones, checked from a shell that holds what must not leak."""
    folder = write(
        tmp_path_factory.mktemp("broken") / "dags", {name: f"{HEAD}{text}\n" for name, text in FILES.items()} | BARE
    )
    before = dict(os.environ)
    os.environ.update(LEAKS)
    try:
        return Checked(folder=folder, report=gate(folder))
    finally:
        os.environ.clear()
        os.environ.update(before)


@pytest.fixture
def dags(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Give what writes a folder of DAG files."""
    return lambda files: write(tmp_path / "dags", files)
