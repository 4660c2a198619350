"""One supervised process of the embedded platform: started detached, recorded on disk, stopped with all it started.

Rules:
- A process leads its own session, so that nothing typed into a terminal reaches it and its offspring can be found.
- `<root>/parts/<name>.json` says which process it is: process id and start time together, because ids are used again.
- Output goes to `<root>/logs/<name>.log`. Environment values may be secrets: only a digest of them is recorded.
- Stopping ends the leader, its session, its descendants (some lead sessions of their own, as the commands of Airflow's
  BashOperator do) and whatever carries its mark in the environment. What a killed leader left behind is ended before
  the next start, without ceremony: it must not act on its own meanwhile.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import psutil

from slipway.documents import Document
from slipway.errors import ConfigurationError, StepFailed, Unavailable

LOOPBACK = "127.0.0.1"
MARK = "SLIPWAY_PART"
LOG_LIMIT_BYTES = 20 * 1024 * 1024
_started: dict[int, subprocess.Popen[bytes]] = {}  # by this interpreter; kept so that the dead are reaped


class Record(Document):
    """Which process a part of the platform is."""

    pid: int
    birth: str  # see `birth_of`
    ports: dict[str, int]
    command_sha256: str  # of command, environment, ports and user
    started_at: str  # ISO 8601, UTC


class Process:
    """A named process under `root`. The name is the key: two objects of one name and root are the same process."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.root = root.resolve()
        self.log = self.root / "logs" / f"{name}.log"
        self._file = self.root / "parts" / f"{name}.json"
        self._mark = f"{self.root}#{name}"

    @property
    def record(self) -> Record | None:
        """What is noted of the process, alive or not; None when nothing readable is."""
        try:
            return Record.from_bytes(self._file.read_bytes(), origin=str(self._file))
        except (FileNotFoundError, ConfigurationError):
            return None

    def is_alive(self) -> bool:
        """True when the recorded process runs: same id, same start time, not a zombie."""
        record = self.record
        return record is not None and _leader(record) is not None

    def port(self, name: str) -> int:
        """Return a port recorded at the start; raise `Unavailable` when there is none."""
        record = self.record
        if record is None or name not in record.ports:
            raise Unavailable(f"{self.name} has not been started", fix="invoke sandbox.up")
        return record.ports[name]

    def ensure(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        ports: Mapping[str, int] | None = None,
        cwd: Path | None = None,
        user: tuple[int, int] | None = None,
    ) -> bool:
        """Have this very command running; return True when it had to be started.

        A running process with another command or environment is replaced; a stale record is mended.

        Args:
            environment: the whole environment of the process, nothing is inherited.
            ports: name -> loopback port it will listen on; recorded, and checked to be free.
            user: user and group id to run as.

        Side effects: starts a process, ends what an earlier one left, writes the record and the log.

        Raises:
            Unavailable: a port is taken by another process, or the command cannot be executed.
        """
        digest = _digest(command, environment, ports or {}, user)
        with self._guard():
            record = self.record
            if record is not None and record.command_sha256 == digest and _leader(record) is not None:
                return False
            self._end(grace_s=10.0, how=signal.SIGTERM)
            self._start(command, environment=environment, ports=ports or {}, cwd=cwd, user=user, digest=digest)
            return True

    def ask(self, *, patience_s: float, how: signal.Signals = signal.SIGTERM) -> bool:
        """Ask the process to end, and give it time; return True when it runs no more. Its offspring is left alone.

        Side effects: a signal.
        """
        record = self.record
        leader = _leader(record) if record else None
        if leader is None:
            return True
        _send([leader], how)
        _wait([leader], patience_s)
        return not _runs(leader)

    def stop(self, *, grace_s: float = 10.0, how: signal.Signals = signal.SIGTERM) -> bool:
        """End the process and everything it started; return True when something was ended.

        The leader gets `how` and `grace_s` seconds to go in order; then all that is left gets SIGTERM, then SIGKILL.

        Side effects: signals; removes the record.
        """
        with self._guard():
            return self._end(grace_s=grace_s, how=how)

    def wait_ready(
        self,
        check: Callable[[], bool],
        *,
        timeout_s: float,
        on_tick: Callable[[float], None] = lambda elapsed_s: None,
        every_s: float = 0.1,
    ) -> float:
        """Return the seconds until `check` said True.

        Args:
            on_tick: told the seconds waited so far, about once a second.

        Raises:
            Unavailable: the process died (at once, with the last lines of its log), or the time is over.
        """
        began = time.monotonic()
        ticked = 0
        while True:
            alive = self.is_alive()
            elapsed = time.monotonic() - began
            if alive and check():
                return elapsed
            if not alive:
                raise Unavailable(f"{self.name} ended while starting:\n{self.tail()}", fix=f"read {self.log}")
            if elapsed > timeout_s:
                raise Unavailable(f"{self.name} was not ready after {timeout_s:.0f} s:\n{self.tail()}")
            if int(elapsed) > ticked:
                ticked = int(elapsed)
                on_tick(elapsed)
            time.sleep(every_s)

    def tail(self, lines: int = 12) -> str:
        """Return the last lines of the log, indented; a note when it is empty."""
        try:
            with self.log.open("rb") as log:
                log.seek(max(0, self.log.stat().st_size - 16_384))
                content = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            content = []
        return "\n".join(f"  {line}" for line in content[-lines:]) or "  (its log is empty)"

    def members(self) -> list[psutil.Process]:
        """Return every process that belongs to the recorded one, itself first when it still runs."""
        record = self.record
        leader = _leader(record) if record else None
        found: dict[int, psutil.Process] = {}
        if leader is not None:
            found[leader.pid] = leader
            with contextlib.suppress(psutil.Error):
                found |= {child.pid: child for child in leader.children(recursive=True)}
        session = record.pid if record and (leader or not psutil.pid_exists(record.pid)) else None
        for process in psutil.process_iter():
            if process.pid not in found and process.pid != os.getpid() and self._owns(process, session):
                found[process.pid] = process
        return [process for process in found.values() if _runs(process)]

    def _owns(self, process: psutil.Process, session: int | None) -> bool:
        try:
            if session is not None and os.getsid(process.pid) == session:
                return True
            return bool(process.environ().get(MARK) == self._mark)
        except (psutil.Error, OSError):
            return False

    def _start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        ports: Mapping[str, int],
        cwd: Path | None,
        user: tuple[int, int] | None,
        digest: str,
    ) -> None:
        for name, port in ports.items():
            if owner := taken_by(port):
                raise Unavailable(f"{self.name}: port {port} ({name}) is taken by {owner}")
        with self._open_log() as log:
            try:
                child = subprocess.Popen(
                    list(command),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    cwd=cwd or self.root,
                    env={**environment, MARK: self._mark},
                    start_new_session=True,
                    umask=0o077,
                    user=user[0] if user else None,
                    group=user[1] if user else None,
                    extra_groups=[] if user else None,
                )
            except OSError as error:
                raise Unavailable(f"{self.name} cannot be started: {error}") from error
        _started[child.pid] = child
        self._write(child.pid, ports, digest)

    def _write(self, pid: int, ports: Mapping[str, int], digest: str) -> None:
        record = Record(
            pid=pid,
            birth=birth_of(pid) or "",  # empty when it ended at once: `wait_ready` shows its log
            ports=dict(ports),
            command_sha256=digest,
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_private(self._file, record.to_bytes())

    def _open_log(self) -> BinaryIO:
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if self.log.stat().st_size > LOG_LIMIT_BYTES:
                self.log.replace(self.log.with_suffix(".log.1"))
        return os.fdopen(os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "ab")

    def _end(self, *, grace_s: float, how: signal.Signals) -> bool:
        members = self.members()
        signals = [(signal.SIGTERM, 2.0), (signal.SIGKILL, 5.0)]
        if self.is_alive():
            self.ask(patience_s=grace_s, how=how)
        else:
            del signals[0]
        for sent, patience_s in signals:
            left = _union(members, self.members())
            if not left:
                break
            _send(left, sent)
            _wait(left, patience_s)
        self._file.unlink(missing_ok=True)
        if survivors := [process.pid for process in members if _runs(process)]:
            raise StepFailed(f"{self.name}: processes {survivors} do not end")
        return bool(members)

    @contextlib.contextmanager
    def _guard(self) -> Iterator[None]:
        """Hold off every other command that starts or stops this process."""
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def birth_of(pid: int) -> str | None:
    """Return when a process was started, as text to compare; None when there is no such process.

    On Linux the boot's id and the clock ticks since that boot (proc(5): stat, field 22), which no setting of the clock
    moves; elsewhere the time of day.
    """
    try:
        ticks = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19]
        return f"{Path('/proc/sys/kernel/random/boot_id').read_text().strip()}/{ticks}"
    except (OSError, IndexError):
        pass
    try:
        return f"{psutil.Process(pid).create_time():.2f}"
    except psutil.Error:
        return None


def free_port() -> int:
    """Return a loopback port that nothing listens on at this moment."""
    with socket.socket() as probe:
        probe.bind((LOOPBACK, 0))
        return int(probe.getsockname()[1])


def taken_by(port: int) -> str | None:
    """Return who listens on a port of this machine, in words; None when it can be bound on loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return _listener(port) or "another process"
    return None


def port_for(root: Path, name: str) -> int:
    """Return the port kept for `name` in `<root>/ports.json`, choosing and noting a free one the first time.

    Kept ports survive restarts, so that what was configured with an address stays right. A kept port that a stranger
    has taken meanwhile is replaced; one whose part of the platform listens on it is not.
    """
    file = root / "ports.json"
    root.mkdir(parents=True, exist_ok=True)
    with (root / "ports.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = _kept(file)
        if name in kept and (taken_by(kept[name]) is None or _is_ours(root, kept[name])):
            return kept[name]
        while (port := free_port()) in kept.values():
            continue
        write_private(file, json.dumps({**kept, name: port}, sort_keys=True, indent=2).encode())
        return port


def write_private(path: Path, content: bytes) -> None:
    """Write a file only its owner can read, whole or not at all.

    Side effects: creates or replaces `path`.
    """
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)


def _digest(
    command: Sequence[str], environment: Mapping[str, str], ports: Mapping[str, int], user: tuple[int, int] | None
) -> str:
    content = json.dumps([list(command), dict(environment), dict(ports), user], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def _leader(record: Record) -> psutil.Process | None:
    try:
        process = psutil.Process(record.pid)
    except psutil.Error:
        return None
    return process if birth_of(record.pid) == record.birth and _runs(process) else None


def _runs(process: psutil.Process) -> bool:
    if (child := _started.get(process.pid)) is not None and child.poll() is not None:
        del _started[process.pid]
        return False
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.Error:
        return False


def _send(processes: Iterable[psutil.Process], what: signal.Signals) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.send_signal(what)


def _wait(processes: Iterable[psutil.Process], patience_s: float) -> None:
    deadline = time.monotonic() + patience_s
    while any(_runs(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(0.02)


def _union(*groups: Iterable[psutil.Process]) -> list[psutil.Process]:
    return [process for process in {one.pid: one for group in groups for one in group}.values() if _runs(process)]


def _listener(port: int) -> str | None:
    with contextlib.suppress(psutil.Error):
        for connection in psutil.net_connections("tcp"):
            if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port and connection.pid:
                return f"{psutil.Process(connection.pid).name()} (process {connection.pid})"
    return None


def _kept(file: Path) -> dict[str, int]:
    try:
        content = json.loads(file.read_bytes())
    except (FileNotFoundError, ValueError):
        return {}
    return {name: port for name, port in content.items() if isinstance(port, int)} if isinstance(content, dict) else {}


def _is_ours(root: Path, port: int) -> bool:
    parts = (Process(root, file.stem) for file in (root / "parts").glob("*.json"))
    return any((record := part.record) is not None and port in record.ports.values() for part in parts)
