"""One world for all attacks, and the table of what was found."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

import pytest

from slipway.audit import Finding
from slipway.sandbox.aws.instance import running
from tests.report import tell

from . import world as made
from .attacker import Attacker
from .world import PROJECT, World

RESULT = PROJECT / ".build" / "tamper.json"


@dataclass
class Row:
    """One attack, and what an audit said of it; None: it said nothing."""

    attack: str
    where: str | None = None
    what: str | None = None


ROWS = pytest.StashKey[list[Row]]()


@pytest.fixture(scope="package")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("aws")
    with running(folder) as instance:
        found = made.made(f"http://127.0.0.1:{instance.port}", folder)
        made.tell(found)
        yield found


@pytest.fixture(scope="package")
def everything(world: World) -> Attacker:
    """The attacker, who saw everything before anything was bent."""
    return Attacker(world.site)


@pytest.fixture
def attacker(everything: Attacker) -> Iterator[Attacker]:
    """The attacker; what they do is undone after the test."""
    yield everything
    everything.undo()


@pytest.fixture
def note(request: pytest.FixtureRequest) -> Callable[[Finding | None], None]:
    """Write what was found into the test's row of the table."""
    said = request.node.callspec.id if hasattr(request.node, "callspec") else request.node.name.removeprefix("test_")
    row = Row(attack=said.replace("_", " "))
    request.config.stash.setdefault(ROWS, []).append(row)

    def write(finding: Finding | None) -> None:
        if finding is not None:
            row.where, row.what = finding.where, finding.what

    return write


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Keep the table, and have it printed."""
    rows = session.config.stash.get(ROWS, [])
    if not rows:
        return
    found = [one for one in rows if one.where is not None]
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps({"found": len(found), "of": len(rows), "attacks": [*map(asdict, rows)]}, indent=1))
    width = max(len(one.attack) for one in rows)
    for one in rows:
        said = f"{_short(one.where)} {one.what}" if one.where is not None else "NOT FOUND"
        tell(session.config, "tampering: attack -> found where, and what was said", f"{one.attack:{width}}  {said}")


def pytest_unconfigure(config: pytest.Config) -> None:
    """End in one line."""
    rows = config.stash.get(ROWS, [])
    if rows and not hasattr(config, "workerinput"):
        print(f"TAMPER: {sum(one.where is not None for one in rows)}/{len(rows)} found")


def _short(where: str | None) -> str:
    """Return a place with its digests cut, as people read it."""
    return re.sub(r"[0-9a-f]{64}", lambda found: f"{found[0][:12]}…", where or "")
