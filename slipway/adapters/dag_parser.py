"""Parses a folder of DAG files as Airflow would, and writes what it found as one JSON document.

Run by Airflow's own Python: it imports Airflow and the standard library, nothing of Slipway. Airflow is imported once;
each file is then parsed in a forked child of its own, so that a file that hangs, exits or crashes takes nothing with
it, and what it leaves running is ended. No metadata database is needed; reaching for one, or for a variable or a
connection, is an error of the file.

Report: {"files": N, "dags": {id: {"file", "tasks", "schedule"}}, "problems": [{"file", "kind", "message"}]}, where kind
is one of
    import     does not import, or asks Airflow for a variable or connection while it does
    hang       does not import in time
    died       ends the process that imports it
    unstable   gives other DAGs when it is parsed again
    duplicate  a DAG id that was defined before
    pool       a task in a pool that does not exist
    empty      defines no DAG; of the folder: no file is read at all
    skipped    Airflow does not read it, because its text names neither Airflow nor a DAG
"""

from __future__ import annotations

import argparse
import ast
import faulthandler
import importlib
import json
import os
import re
import select
import signal
import sys
import time
import traceback
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

NO_DATABASE = "sqlite:////nonexistent/slipway.db"
SETTINGS = {
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__DAGBAG_IMPORT_TIMEOUT": "0",  # seconds; none, for the parent watches the time
    "AIRFLOW__CORE__DAGBAG_IMPORT_ERROR_TRACEBACK_DEPTH": "200",  # frames; the file's own are the outermost
    "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": NO_DATABASE,
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "CRITICAL",
    "AIRFLOW__SECRETS__BACKEND": "dag_parser.Refusal",
}
GRACE_S = 0.5  # between a late file's saying where it is and its end
FOLDER = "."  # the file of a problem of the whole folder
_OWN_FRAME = re.compile(r'File "(?P<file>[^"]+)", line (?P<line>\d+)')


@dataclass
class Child:
    """One file being parsed in a process of its own."""

    pid: int
    file: str
    began: float
    output: bytearray = field(default_factory=bytearray)


class Refusal:
    """A secrets backend that refuses: a DAG file must not ask for values while it is imported, every few seconds.

    Asked before every other backend (https://airflow.apache.org/docs/apache-airflow/stable/security/secrets/secrets-backend/).
    """

    def get_variable(self, key: str, **_: Any) -> NoReturn:
        """Refuse."""
        self._refuse(f"variable {key!r}")

    def get_connection(self, conn_id: str, **_: Any) -> NoReturn:
        """Refuse."""
        self._refuse(f"connection {conn_id!r}")

    def get_config(self, key: str, **_: Any) -> None:
        """Return that there is no such option here."""

    def _set_connection_class(self, _: type) -> None:
        """Airflow tells a backend which class connections are of. (Its own base class cannot be imported so early.)"""

    def _refuse(self, what: str) -> NoReturn:
        from airflow.sdk.exceptions import AirflowSecretsBackendAccessDenied

        raise AirflowSecretsBackendAccessDenied(f"asks for the {what} while it is imported")


def main() -> None:
    """Parse the command line's folder and write the report."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=Path)
    arguments.add_argument("--timeout", type=float, required=True, help="seconds one file may take")
    arguments.add_argument("--report", type=Path, required=True, help="file; what DAG files print cannot mix with it")
    arguments.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = arguments.parse_args()
    os.environ.update(SETTINGS)
    sys.modules["dag_parser"] = sys.modules[__name__]  # where Airflow finds the backend of the settings
    folder = chosen.folder.resolve()
    found = parse_folder(folder, timeout_s=chosen.timeout, jobs=chosen.jobs)
    chosen.report.write_text(json.dumps(merge(found, skipped=skipped_files(folder))))


def parse_folder(folder: Path, *, timeout_s: float, jobs: int) -> list[dict[str, Any]]:
    """Return what every DAG file of `folder` gave, at most `jobs` of them at a time."""
    sys.path.append(str(folder))  # last, as Airflow does
    waiting = _listed(folder, safe_mode=True)
    _warm_up(waiting)
    running: dict[int, Child] = {}
    found: list[dict[str, Any]] = []
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                descriptor, child = _fork(waiting.pop(0), folder, timeout_s)
                running[descriptor] = child
            for descriptor in select.select(list(running), [], [], 0.05)[0]:
                child = running[descriptor]
                if chunk := os.read(descriptor, 1 << 16):
                    child.output.extend(chunk)
                    continue
                del running[descriptor]
                found.append(_result(child, _end(child, descriptor)))
            for descriptor, child in list(running.items()):
                if time.monotonic() - child.began > timeout_s + GRACE_S:
                    del running[descriptor]
                    _end(child, descriptor)
                    where = _place(child.output.decode(errors="replace"), folder, innermost=0)
                    found.append(_trouble(child.file, "hang", f"does not import within {timeout_s:g} s{where}"))
    finally:
        for descriptor, child in running.items():
            _end(child, descriptor)
    return sorted(found, key=lambda one: str(one["file"]))


def skipped_files(folder: Path) -> list[Path]:
    """Return the files of the folder itself that Airflow does not read although nothing tells it to ignore them."""
    read = set(_listed(folder, safe_mode=True))
    known = [path for path in _listed(folder, safe_mode=False) if path not in read]
    return [path for path in known if path.parent == folder and path.suffix == ".py" and path.name != "__init__.py"]


def merge(found: list[dict[str, Any]], *, skipped: list[Path] | tuple[Path, ...] = ()) -> dict[str, Any]:
    """Return one report of the files' results; a DAG id that two files define is a problem of the second."""
    dags: dict[str, dict[str, Any]] = {}
    problems: list[dict[str, str]] = [_unread(path) for path in skipped]
    if not found:
        message = "holds no DAG file that Airflow reads; what is there is ignored (.airflowignore) or skipped"
        problems.append({"file": FOLDER, "kind": "empty", "message": message})
    for one in found:
        file = one["file"]
        problems += one["problems"]
        for dag_id, facts in one["dags"].items():
            if dag_id in dags:
                message = f"DAG id {dag_id!r} is also defined in {dags[dag_id]['file']}"
                problems.append({"file": file, "kind": "duplicate", "message": message})
            else:
                dags[dag_id] = {"file": file, **facts}
        if not one["dags"] and not one["problems"]:
            problems.append({"file": file, "kind": "empty", "message": "defines no DAG"})
    return {"files": len(found), "dags": dags, "problems": problems}


def parse_file(path: Path, folder: Path) -> dict[str, Any]:
    """Return the DAGs of one file and what is wrong with it. Parses twice: a DAG must be the same each time."""
    file = str(path.relative_to(folder))
    first, problems = _parse(path, folder)
    if not problems:
        second, problems = _parse(path, folder)
        hashes = [{dag_id: facts["hash"] for dag_id, facts in parse.items()} for parse in (first, second)]
        problems += [
            {"file": file, "kind": "unstable", "message": f"DAG {dag_id!r} differs between two parses of the same file"}
            for dag_id in sorted(first.keys() | second.keys())
            if hashes[0].get(dag_id) != hashes[1].get(dag_id)
        ]
    shown = {dag_id: {"tasks": facts["tasks"], "schedule": facts["schedule"]} for dag_id, facts in first.items()}
    return {"file": file, "dags": shown, "problems": problems}


def _parse(path: Path, folder: Path) -> tuple[dict[str, dict[str, Any]], list[dict[str, str]]]:
    from airflow.dag_processing.dagbag import DagBag
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    file = str(path.relative_to(folder))
    bag = DagBag(str(path), bundle_path=folder, bundle_name="gate", collect_dags=False, known_pools={"default_pool"})
    named = Counter(dag.dag_id for dag in bag.process_file(str(path), only_if_updated=False, safe_mode=True))
    problems = [
        {"file": file, "kind": "import", "message": _telling(error, folder)} for error in bag.import_errors.values()
    ]
    problems += [{"file": file, "kind": "pool", "message": warning.message} for warning in bag.dag_warnings]
    problems += [
        {"file": file, "kind": "duplicate", "message": f"DAG id {dag_id!r} is defined {times} times"}
        for dag_id, times in sorted(named.items())
        if times > 1
    ]
    dags: dict[str, dict[str, Any]] = {}
    for dag_id, dag in bag.dags.items():
        try:
            serialised = LazyDeserializedDAG.from_dag(dag)
            dags[dag_id] = {"hash": serialised.hash, "tasks": len(dag.tasks), "schedule": str(dag.schedule)}
        except Exception as error:
            message = f"DAG {dag_id!r} cannot be serialised: {type(error).__name__}: {error}"
            problems.append({"file": file, "kind": "import", "message": message})
    return dags, problems


def _telling(error: str, folder: Path) -> str:
    """Return the last line of a traceback, with the innermost line of the folder's own code that it passed."""
    last = next((line.strip() for line in reversed(error.splitlines()) if line.strip()), "unknown error")
    return f"{last}{_place(error, folder, innermost=-1)}"


def _place(trace: str, folder: Path, *, innermost: int) -> str:
    """Return ` (file:line)` of the innermost of the folder's own lines in a trace, or nothing.

    Args:
        innermost: which of the lines it is: 0 in what `faulthandler` writes, -1 in a traceback.
    """
    own = [match for match in _OWN_FRAME.finditer(trace) if match["file"].startswith(f"{folder}/")]
    return f" ({Path(own[innermost]['file']).relative_to(folder)}:{own[innermost]['line']})" if own else ""


def _fork(path: Path, folder: Path, timeout_s: float) -> tuple[int, Child]:
    reader, writer = os.pipe()
    pid = os.fork()
    if pid:
        os.close(writer)
        with suppress(OSError):  # the child may be first
            os.setpgid(pid, pid)
        return reader, Child(pid=pid, file=str(path.relative_to(folder)), began=time.monotonic())
    with suppress(OSError):
        os.setpgid(0, 0)  # a group of its own, that ends with it
    os.close(reader)
    faulthandler.dump_traceback_later(timeout_s, file=writer)
    try:
        result = parse_file(path, folder)
    except BaseException as error:
        lines = "".join(traceback.format_exception(error))
        result = _trouble(str(path.relative_to(folder)), "import", _telling(lines, folder))
    faulthandler.cancel_dump_traceback_later()
    with os.fdopen(writer, "w") as stream:
        stream.write("\n" + json.dumps(result))
    os._exit(0)


def _end(child: Child, descriptor: int) -> int:
    """Return how the child ended, as `waitpid` says it.

    Side effects: the child's process group is killed, and with it what the file has started. The child is waited for
    after that: until then its number is nobody else's, and the way it had already ended stays.
    """
    os.close(descriptor)
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    return os.waitpid(child.pid, 0)[1]


def _result(child: Child, status: int) -> dict[str, Any]:
    try:
        result: dict[str, Any] = json.loads(bytes(child.output).rpartition(b"\n")[2])
    except ValueError:
        code = os.waitstatus_to_exitcode(status)
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return _trouble(child.file, "died", f"ends the process that imports it ({how})")
    return result


def _listed(folder: Path, *, safe_mode: bool) -> list[Path]:
    """Return the files that Airflow reads, or without `safe_mode` those that it would if it did not look inside."""
    from airflow.dag_processing.importers import get_importer_registry

    return sorted(Path(name) for name in get_importer_registry().list_dag_files(str(folder), safe_mode=safe_mode))


def _unread(path: Path) -> dict[str, str]:
    if not path.read_bytes().strip():
        return {"file": path.name, "kind": "empty", "message": "the file is empty"}
    message = (
        "Airflow does not read it: its text holds not both 'airflow' and 'dag'; import from airflow.sdk in it when it "
        "defines a DAG, name it in .airflowignore when it is a library"
    )
    return {"file": path.name, "kind": "skipped", "message": message}


def _trouble(file: str, kind: str, message: str) -> dict[str, Any]:
    return {"file": file, "dags": {}, "problems": [{"file": file, "kind": kind, "message": message}]}


def _warm_up(files: list[Path]) -> None:
    """Import here, once, what every child would import again; a failure shows in the child that needs it."""
    from airflow.dag_processing.dagbag import DagBag
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import LazyDeserializedDAG

    for name in sorted(_airflow_modules(files)):
        with suppress(Exception):
            importlib.import_module(name)
    with DAG("warm_up", schedule="@daily", start_date=datetime(2026, 1, 1, tzinfo=UTC)) as dag:
        from airflow.providers.standard.operators.empty import EmptyOperator

        EmptyOperator(task_id="nothing")
    _ = LazyDeserializedDAG.from_dag(dag).hash
    DagBag(os.devnull, collect_dags=False).bag_dag(dag)


def _airflow_modules(files: list[Path]) -> set[str]:
    names: set[str] = set()
    for file in files:
        with suppress(SyntaxError, OSError, ValueError):
            for node in ast.walk(ast.parse(file.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module:
                    names.add(node.module)
                elif isinstance(node, ast.Import):
                    names.update(alias.name for alias in node.names)
    return {name for name in names if name.split(".")[0] == "airflow"}


if __name__ == "__main__":
    main()
