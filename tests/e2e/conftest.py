"""A house of its own: a copy of the project as a repository, with its own embedded platform, used as a person would."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO, Any, get_args

import psutil
import psycopg
import pytest

from slipway import config
from slipway.adapters.snowflake import Address, Session
from slipway.config import Principal
from slipway.operation import open_site
from slipway.sandbox import postgres
from slipway.sandbox.platform import SOURCE_DATABASE, Platform
from slipway.site import Site
from tests.e2e.mortal import Purpose
from tests.e2e.sample import IS_WHOLE, SEED
from tests.e2e.trial import Trials
from tests.e2e.verdict import summary, table
from tests.report import tell

PROJECT = Path(__file__).parents[2]
COMMAND_S = 600  # seconds one command may take
SOON = 2  # days away: no run is scheduled while tests go on that are not about runs


@dataclass(frozen=True, kw_only=True)
class Said:
    """What a command printed, how it ended, and how long it took."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def json(self) -> Any:
        return json.loads(self.out)


@dataclass
class House:
    """One copy of the project."""

    root: Path
    timings: list[str] = field(default_factory=list)

    def invoke(self, *arguments: str, expect: int = 0, variables: dict[str, str] | None = None) -> Said:
        """Run `./invoke ARGUMENTS` and assert its exit code."""
        said = self.run(*arguments, variables=variables)
        assert said.code == expect, f"invoke {arguments} ended with {said.code}:\n{said.err}\n{said.out}"
        assert "Traceback" not in said.err
        return said

    def run(self, *arguments: str, variables: dict[str, str] | None = None) -> Said:
        """Run `./invoke ARGUMENTS`, however it ends."""
        return self.execute(str(self.root / "invoke"), *arguments, variables=variables)

    def execute(self, *command: str, variables: dict[str, str] | None = None, timeout_s: float = COMMAND_S) -> Said:
        """Run a command in the house, however it ends."""
        began = time.monotonic()
        done = subprocess.run(
            command,
            cwd=self.root,
            env={**os.environ, **(variables or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=timeout_s,
        )
        said = Said(code=done.returncode, out=done.stdout, err=done.stderr, seconds=time.monotonic() - began)
        words = " ".join(Path(word).name if word.startswith("/") else word for word in command)
        self.timings.append(f"{said.seconds:6.1f} s  exit {said.code}  {words}")
        return said

    def start(self, *arguments: str, stderr: IO[str]) -> subprocess.Popen[str]:
        """Start `./invoke ARGUMENTS`: a context that ends when it does; what it tells goes to a file."""
        return subprocess.Popen(
            [str(self.root / "invoke"), *arguments],
            cwd=self.root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
        )

    def wait_for(self, condition: Callable[[], bool], *, timeout_s: float) -> None:
        """Return when the condition holds; fail when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while not condition():
            assert time.monotonic() < deadline, f"did not come within {timeout_s:.0f} s"
            time.sleep(0.05)

    def schedule_from(self, days: int) -> None:
        """Have the first logical date of every DAG so many days away from today, unless the platform was started."""
        sandbox = self.root / ".sandbox"
        if not (sandbox / "keys").exists():
            sandbox.mkdir(exist_ok=True)
            start = datetime.now(UTC).date() + timedelta(days=days)
            (sandbox / "schedule.json").write_text(json.dumps({"start": start.isoformat()}))

    def site(self) -> Site:
        """Return staging as this process sees it, to read it."""
        return open_site(self.root, "staging", start=False)

    def commit(self, subject: str) -> None:
        """Commit everything in the work tree."""
        self.git("add", "-A")
        self.git("commit", "-q", "--allow-empty", "-m", subject)

    def git(self, *arguments: str) -> str:
        """Run git and return what it printed."""
        identity = ("-c", "user.name=Ada", "-c", "user.email=ada@finedge.test")
        done = subprocess.run(["git", *identity, *arguments], cwd=self.root, check=True, capture_output=True, text=True)
        return done.stdout

    def write(self, path: str, content: str) -> None:
        """Write a file of the work tree."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)

    def replace(self, path: str, old: str, new: str) -> None:
        """Replace text that must be there once in a file of the work tree."""
        content = (self.root / path).read_text()
        assert content.count(old) == 1, f"{path} holds {old!r} {content.count(old)} times"
        self.write(path, content.replace(old, new))

    def session(self, service: str) -> Session:
        """Return a session in staging's warehouse as READER, LOADER or DEPLOYER."""
        environment = config.load("staging", folder=self.root / "config")
        user = f"STAGING_SVC_{service}"
        return Session(
            environment.warehouse,
            Principal(user=user, role=f"STAGING_{service}", private_key=f"file:.sandbox/keys/{user}.p8"),
            address=Address(host="127.0.0.1", port=Platform(self.root).snowflake_port, protocol="http"),
            key_file=self.root / ".sandbox" / "keys" / f"{user}.p8",
        )

    def rows(self, service: str, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement in a session of its own."""
        session = self.session(service)
        try:
            return session.rows(statement)
        finally:
            session.close()

    def source_rows(self, statement: str) -> list[tuple[Any, ...]]:
        """Run one statement on the source database."""
        endpoint = postgres.ensure(self.root / ".sandbox")
        with psycopg.connect(endpoint.dsn(SOURCE_DATABASE)) as connection:
            return connection.execute(statement).fetchall()  # type: ignore[arg-type]

    @contextmanager
    def source_held(self, table: str, *, seconds: float) -> Iterator[None]:
        """Keep others from reading a table of the source database in the block, for so long at most."""
        endpoint = postgres.ensure(self.root / ".sandbox")
        held, over = threading.Event(), threading.Event()

        def hold() -> None:
            with psycopg.connect(endpoint.dsn(SOURCE_DATABASE)) as connection:
                connection.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
                held.set()
                over.wait(seconds)

        holder = threading.Thread(target=hold)
        holder.start()
        try:
            assert held.wait(timeout=30)
            yield
        finally:
            over.set()
            holder.join()

    def processes(self) -> list[psutil.Process]:
        """Return every process that runs out of this house."""
        found = []
        for process in psutil.process_iter():
            try:
                if any(str(self.root) in word for word in process.cmdline()):
                    found.append(process)
            except psutil.Error:
                continue
        return found


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    """Give the house, built from the work tree as it is; everything it started is gone afterwards."""
    root = tmp_path_factory.mktemp("house") / "slipway"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    ).stdout
    for name in filter(None, listed.decode().split("\0")):
        if (PROJECT / name).is_file():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(PROJECT / name, root / name)
    for environment in (".venv", ".venv-airflow"):  # the locked environments, made once for all houses
        (root / environment).symlink_to(PROJECT / environment)
    built = House(root)
    built.schedule_from(days=-2)
    built.git("init", "-q", "-b", "main")
    built.commit("The project as it is")
    yield built
    built.invoke("sandbox.down")
    left = built.processes()
    for process in left:
        process.kill()
    assert not left, f"sandbox.down left {left}"


@dataclass
class Reader:
    """Reads two relations of the published FINANCE schema in one statement, over and over."""

    house: House
    reads: int = 0
    mixed: int = 0
    failed: list[str] = field(default_factory=list)
    seen: list[Any] = field(default_factory=list)
    longest_s: float = 0.0

    def __enter__(self) -> Reader:
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._ending.set()
        self._thread.join()

    def _read(self) -> None:
        session = self.house.session("READER")
        statement = (
            "SELECT (SELECT MAX(BUILT_BY) FROM STAGING_MARTS.FINANCE.DIM_ACCOUNT),"
            " (SELECT MAX(BUILT_BY) FROM STAGING_MARTS.FINANCE.DIM_MERCHANT_CATEGORY),"
            " (SELECT SLOT FROM STAGING_MARTS.SLIPWAY.PUBLISHED)"
        )
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                accounts, categories, slot = session.rows(statement)[0]
            except Exception as error:
                self.failed.append(str(error))
                continue
            self.longest_s = max(self.longest_s, time.monotonic() - began)
            self.reads += 1
            self.mixed += accounts != categories
            if not self.seen or self.seen[-1] != (accounts, slot):
                self.seen.append((accounts, slot))
        session.close()


@pytest.fixture(scope="module")
def trials(all_trials: Trials) -> Trials:
    """Give the trials of the run; other tests may have changed what they work on."""
    all_trials.begin_anew()
    return all_trials


@pytest.fixture(scope="session")
def all_trials(house: House, request: pytest.FixtureRequest) -> Iterator[Trials]:
    """Disturb deployments, on a platform with nothing else to do; `.build/kill.json` says in the end how they ended."""
    if not IS_WHOLE:
        house.schedule_from(days=SOON)
    if house.run("status", "--env", "staging", "--json").code:
        house.invoke("deploy", "--env", "staging")
    house.invoke("dags.status", "--env", "staging", "--wait")
    built = Trials(house)
    yield built
    for purpose in get_args(Purpose):
        if lines := table(built.results, purpose):
            tell(request.config, "seconds to go on after a kill", *lines)
    said = summary(built.verdicts)
    document = {"seed": SEED, "summary": said, "verdicts": [one.document() for one in built.verdicts]}
    (PROJECT / ".build").mkdir(exist_ok=True)
    (PROJECT / ".build" / "kill.json").write_text(json.dumps(document, indent=2))
    lines = [f"{one.seconds:6.1f} s  {one.case}  {one.note}" for one in built.verdicts if one.family != "kill"]
    scope = "everything" if IS_WHOLE else f"a sample; again with KILL_SEED={SEED}"
    tell(request.config, "deployments that were disturbed", *lines, f"{said} ({scope})")


@pytest.fixture(scope="session", autouse=True)
def timings(house: House, request: pytest.FixtureRequest) -> Iterator[None]:
    """Have it printed at the end how long every command took."""
    yield
    tell(request.config, "commands of the end-to-end tests", *house.timings)
