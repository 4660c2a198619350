"""A warehouse that is lost in the middle: told as what it is, not repeated blindly, and gone on with when it is back.

The server is killed as a power cut would, and started again on the port and the state it had.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from slipway.adapters.loss import is_loss
from slipway.adapters.process import WATCH_S
from slipway.adapters.snowflake import Session, SessionEnded
from slipway.adapters.snowflake_failure import PATIENCE_S
from slipway.errors import StepFailed, Unavailable
from slipway.sandbox.key import ensure_keys
from slipway.step import BuildSlot, PublishSlot
from tests.dbt.warehouse import ADMIN, ENVIRONMENT, Server
from tests.snowflake.server import Server as Power
from tests.warehouse.place import Place, bare_place
from tests.warehouse.test_build import Manifests, Small
from tests.warehouse.test_migration import FIRST, SCRIPTS, SECOND, Scripts

SLOT, NEXT = "AAAA0001", "AAAA0002"
LONG = "SELECT COUNT(*) AS N FROM TABLE(GENERATOR(ROWCOUNT => 3000000)) A, TABLE(GENERATOR(ROWCOUNT => 30000)) B"
SHORT = "SELECT 1 AS N"
TOLD_S = 8 * (WATCH_S + PATIENCE_S)  # far below the time of a migration or a build, however busy the machine is


@dataclass(frozen=True)
class Site:
    """A place in a warehouse whose power can be cut."""

    power: Power
    place: Place

    @property
    def session(self) -> Session:
        return self.place.deployer

    def cut(self) -> None:
        self.power.kill()

    def flicker(self) -> None:
        """Cut the power, and have it back at once."""
        self.power.kill()
        self.power.start()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("loss")
    services = (f"{ENVIRONMENT}_SVC_{name}" for name in ("DEPLOYER", "LOADER", "TRANSFORMER", "READER"))
    ensure_keys(folder / "keys", (ADMIN.user, *services))
    with Power(folder, keys=folder / "keys") as power:
        server = Server(port=power.port, keys=folder / "keys")
        server.bootstrap()
        deployer = server.environment.warehouse.deployer
        with (
            server.session(deployer) as session,
            server.session(ADMIN) as admin,
            bare_place(server, session, admin, "LOST") as place,
        ):
            yield Site(power, place)
            session.require_answer()
            admin.require_answer()


@pytest.fixture(autouse=True)
def powered(site: Site) -> Iterator[None]:
    """Every test begins and ends with a warehouse that answers."""
    site.session.require_answer()
    yield
    if not site.power.is_on:
        site.power.start()


@contextmanager
def told() -> Iterator[None]:
    """Expect to be told of a warehouse that is away, long before the time of the work is over."""
    began = time.monotonic()
    with pytest.raises(Unavailable) as said:
        yield
    took_s = time.monotonic() - began
    print(f"\ntold after {took_s:.1f} s: {said.value.message.splitlines()[0][:100]}")
    assert took_s < TOLD_S
    assert said.value.fix


def test_a_statement_whose_session_ended_is_not_repeated_and_the_next_one_logs_in(site: Site) -> None:
    table = f"{site.place.database('RAW')}.PUBLIC.ENDED"
    site.session.run(f"CREATE TABLE {table} AS SELECT 1 AS A")
    site.flicker()
    with pytest.raises(SessionEnded, match="ended the session"):
        site.session.run(f"INSERT INTO {table} SELECT 2")
    assert site.session.rows(f"SELECT A FROM {table}") == [(1,)]


def test_a_statement_the_warehouse_died_in_is_told_and_the_same_session_goes_on_afterwards(
    site: Site, capfd: pytest.CaptureFixture[str]
) -> None:
    table = f"{site.place.database('RAW')}.PUBLIC.DIED"
    site.session.run(f"CREATE TABLE {table} AS SELECT 1 AS A")
    cut = threading.Timer(1.0, site.cut)
    cut.start()
    with told():
        site.session.rows(LONG)
    cut.join()
    with told():
        site.session.rows(f"SELECT A FROM {table}")
    site.power.start()
    assert site.session.rows(f"SELECT A FROM {table}") == [(1,)]
    assert "Traceback" not in capfd.readouterr().err, "the connector has threads of its own"


def test_what_the_warehouse_refuses_is_no_loss(site: Site) -> None:
    for statement in ("SELECT NO_SUCH_COLUMN", "SELECT 1/0", "INSERT INTO NOWHERE.A.B SELECT 1"):
        with pytest.raises(StepFailed) as refused:
            site.session.run(statement)
        assert not isinstance(refused.value, Unavailable)


@pytest.fixture
def small(site: Site, tmp_path: Path) -> Small:
    """A dbt project with a model that does not come to its end by itself, so that the power goes while it is built."""
    made = Small(site.place, tmp_path, Manifests())
    made.write()
    long_model(made).write_text(LONG)
    return made


def long_model(small: Small) -> Path:
    return small.project / "models" / "finance" / "fct_rate.sql"


def once(act: Callable[[], None], word: str) -> Callable[[str], None]:
    """Return a listener that acts at the first line with a word in it."""
    done: list[str] = []

    def listen(line: str) -> None:
        if word in line and not done:
            done.append(line)
            act()

    return listen


def test_a_build_that_lost_its_sessions_is_told_and_succeeds_when_it_is_tried_again(site: Site, small: Small) -> None:
    step = BuildSlot(slot=SLOT, release=SLOT * 8, clone_from=None)
    with told():
        small.build(SLOT, progress=once(site.flicker, "created sql"))
    assert not small.slots().is_built(step)

    long_model(small).write_text(SHORT)
    small.build(SLOT)
    assert small.slots().is_built(step)


def is_dbt(process: psutil.Process) -> bool:
    """Return whether a process is dbt's and alive: one that has ended may not have been waited for yet."""
    try:
        return "dbt" in " ".join(process.cmdline())
    except psutil.Error:
        return False


def test_a_build_whose_warehouse_stays_away_does_not_wait_for_the_time_of_a_build(site: Site, small: Small) -> None:
    others = psutil.Process().children(recursive=True)
    with told():
        small.build(NEXT, progress=once(site.cut, "created sql"))
    left = [one for one in psutil.Process().children(recursive=True) if one not in others and is_dbt(one)]
    _, alive = psutil.wait_procs(left, timeout=10)
    assert not alive


def cut_soon(site: Site) -> None:
    """Cut the power while the statement that follows runs."""
    threading.Timer(1.0, site.cut).start()


def scripts(long: str) -> Mapping[str, str]:
    return {**SCRIPTS, SECOND: f"{long};"}


def test_a_migration_that_lost_its_session_keeps_what_it_applied_and_goes_on_when_it_is_tried_again(
    site: Site, tmp_path: Path
) -> None:
    work = Scripts(site.place, tmp_path)
    with told():
        work.migrate(scripts(LONG), once(site.flicker, f"{SECOND}: statement 1"))
    assert FIRST not in work.pending(scripts(LONG)), "its content is known"
    assert SECOND in work.pending(scripts(LONG))

    work.migrate(scripts(SHORT))
    assert work.pending(scripts(SHORT)) == ()


def test_a_migration_whose_warehouse_stays_away_does_not_wait_for_the_time_of_a_migration(
    site: Site, tmp_path: Path
) -> None:
    third = {"V1.2.0__long.sql": f"{LONG};"}
    with told():
        Scripts(site.place, tmp_path).migrate(third, once(lambda: cut_soon(site), "V1.2.0__long.sql: statement 1"))


def test_a_publishing_that_lost_its_session_leaves_what_readers_saw_and_succeeds_when_it_is_tried_again(
    site: Site,
) -> None:
    place = site.place
    for slot in (SLOT, NEXT):
        for layer in ("FINANCE", "CUSTOMER"):
            place.fill(slot, f"{layer}.PUBLISHED_{slot}")
    place.publish(SLOT)
    step = PublishSlot(slot=NEXT, release=NEXT * 8, replaces=SLOT)
    with told():
        place.publisher.publish(step, once(site.flicker, "making"))
    assert not place.publisher.is_published(step)

    place.publish(NEXT, replaces=SLOT)
    assert place.publisher.is_published(step)


@pytest.mark.parametrize(
    ("message", "wanted"),
    [
        ("Database Error in model a (models/a.sql)\n  390111: Session no longer exists. New login required", True),
        ("Database Error\n  250001: Could not connect to Snowflake backend after 7 attempt(s).Aborting", True),
        ("250003 (n/a): Failed to execute request: HTTPSConnectionPool(host='x', port=443)", True),
        ("Runtime Error\n  290503: 503 Service Unavailable", True),
        ("SQL execution error  a_script_name=V1.sql error_code=390111 error_msg='390111: Session no longer'", True),
        ("Snowflake connection/authentication error: 250001: Could not connect to Snowflake backend", True),
        ("Database Error in model a (models/a.sql)\n  000904 (42000): invalid identifier 'X'", False),
        ("Database Error\n  100038 (22018): Numeric value '250001: x' is not recognized", False),
        ("Got 250001 results, configured to fail if != 0", False),
        ("Database Error\n  390144 (08004): JWT token is invalid.", False),
        ("SQL execution error  a_script_name=V1.sql error_code=1003 error_msg='syntax error'", False),
    ],
)
def test_errors_of_the_connection_are_told_from_the_others(message: str, wanted: bool) -> None:
    assert is_loss(message) is wanted
