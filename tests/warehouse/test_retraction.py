"""A script is taken back while the environment is held, noted in the journal, and anchored."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any

import pytest

from slipway.adapters.snowflake import bookkeeping
from slipway.errors import Blocked, Interrupted
from slipway.operation import operate
from slipway.retraction import retract
from slipway.sandbox.aws.instance import running
from slipway.script_state import ScriptState
from tests.tamper import world
from tests.warehouse.place import Place

FIRST, SECOND = "V1.0.0__create_schemas.sql", "V1.1.0__create_load_ledger.sql"


def refuse(state: ScriptState) -> None:
    raise Interrupted(f"{state.name} is {state.state}")


def test_the_newest_script_is_taken_back_held_noted_and_anchored(place: Place, tmp_path: Path) -> None:
    with running(tmp_path) as instance:
        made = world.made(f"http://127.0.0.1:{instance.port}", tmp_path)
        site: Any = made.site
        settings = site.environment.settings.model_copy(update={"schedule_start": date(2026, 11, 1)})
        changes = {"warehouse": place.environment.warehouse, "settings": settings}
        site.environment = site.environment.model_copy(update=changes)
        site.session, site.warehouse = place.deployer, place.facts
        place.deployer.run(*bookkeeping(place.database("OPS")))
        runner = operate(site).migrations.runner
        for script in (FIRST, SECOND):
            runner.apply(script, "test:retract", lambda line: None)

        def take_back(script: str, confirm: Any = lambda state: None) -> None:
            try:
                retract(site, script, reason="not wanted", confirm=confirm, tell=lambda line: None)
            finally:
                del place.deployer.guard

        with pytest.raises(Blocked, match=f"{SECOND} came after it"):
            retract(site, FIRST, reason="", confirm=refuse, tell=lambda line: None)
        with pytest.raises(Interrupted, match=f"{SECOND} is applied"):
            retract(site, SECOND, reason="", confirm=refuse, tell=lambda line: None)
        assert site.journal.events() == ()

        take_back(SECOND)
        events = site.journal.events()
        assert [(one.kind, one.data["script"], one.data["reason"]) for one in events] == [
            (kind, SECOND, "not wanted") for kind in ("script-undoing", "script-undone")
        ]
        assert len(list(site.evidence.names("checkpoints/"))) == len(events)
        made.record.require_anchored(events)
        assert [one.name for one in operate(site).migrations.states() if one.state == "applied"] == [FIRST]
        assert site.lease().holder() is None
