"""The Python environment of the embedded Airflow: `.venv-airflow`, from its own lock, because its pins and those of
the tools do not fit in one.

`python -m slipway.sandbox.environment airflow` makes it when it is missing or stale.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from slipway.errors import ConfigurationError

STAMP = ".installed"


def ensure_airflow(root: Path, *, progress: Callable[[str], None] = lambda line: None) -> Path:
    """Return the folder of the environment's programs, after making the environment if it is missing or stale.

    Side effects: `<root>/.venv-airflow`, under a lock, so that two commands at once make it once.

    Raises:
        ConfigurationError: the locked requirements could not be installed.
    """
    folder, lock = root / ".venv-airflow", root / "requirements" / "airflow.txt"
    wanted = hashlib.sha256(lock.read_bytes()).hexdigest()
    if _stamp(folder) == wanted:
        return folder / "bin"
    (root / ".build").mkdir(exist_ok=True)
    with (root / ".build" / "airflow-environment.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if _stamp(folder) != wanted:
            progress("installing Airflow into .venv-airflow")
            _install(folder, lock)
            (folder / STAMP).write_text(wanted)
    return folder / "bin"


def _stamp(folder: Path) -> str | None:
    try:
        return (folder / STAMP).read_text()
    except FileNotFoundError:
        return None


def _install(folder: Path, lock: Path) -> None:
    uv = str(Path(sys.executable).parent / "uv")
    shutil.rmtree(folder, ignore_errors=True)
    environment = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    for command in (
        [uv, "venv", "--python", sys.executable, str(folder)],
        [uv, "pip", "install", "--python", str(folder / "bin" / "python"), "--require-hashes", "-r", str(lock)],
    ):
        done = subprocess.run(command, capture_output=True, text=True, env=environment)
        if done.returncode:
            raise ConfigurationError(
                f"Airflow's environment could not be installed:\n{done.stderr.strip()[-1500:]}",
                fix="check that the package index can be reached, then run the same command again",
            )


if __name__ == "__main__":
    if sys.argv[1:] != ["airflow"]:
        sys.exit("usage: python -m slipway.sandbox.environment airflow")
    try:
        ensure_airflow(Path.cwd(), progress=lambda line: print(line, file=sys.stderr))  # noqa: T201
    except ConfigurationError as error:
        sys.exit(str(error))
