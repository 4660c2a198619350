"""The backfill of a dbt model: past days are as the source has them, no row is doubled or lost, whenever it is killed.

One project with a microbatch model, one built from it, and two that have nothing to do with either.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from slipway.adapters.comparer import SlotComparer
from slipway.adapters.dbt_backfill import ModelBackfills
from slipway.adapters.publisher import SlotPublisher
from slipway.adapters.snowflake import Session, SnowflakeFacts
from slipway.backfill import model_steps
from slipway.engine import perform
from slipway.errors import ConfigurationError, Differs
from slipway.model import model_in
from slipway.observation import InfrastructureFacts, Observation, OrchestratorFacts
from slipway.ports import Effects, Outcome, Progress
from slipway.request import ModelRequest
from slipway.step import AdoptModel, BuildSlot, RebuildModel
from slipway.threshold import ComparisonRules
from tests.dbt.warehouse import PROJECT, Server
from tests.ports.contract.effects import Kept, through
from tests.warehouse.place import Place, bare_place
from tests.warehouse.test_build import Manifests

SLOT = "BBBB0001"
RULES = ComparisonRules.model_validate({"distinct_percent": 500, "sum_percent": 50})  # a day is much of a week
TODAY = datetime.now(UTC).date()
BEGIN = TODAY - timedelta(days=6)  # the source's first day
SETTINGS = """
name: events
version: "1.0"
config-version: 2
profile: finedge
models:
  events:
    +materialized: table
    staging: {+schema: staging, +materialized: view}
    finance: {+schema: finance}
    customer: {+schema: customer}
"""
MODELS = {
    "staging/stg_events.sql": "{{ config(event_time='happened_at') }} "
    "select id, happened_at, amount from {{ env_var('SLIPWAY_RAW_DATABASE') }}.FEED.EVENTS",
    "finance/fct_event.sql": "{{ config(materialized='incremental', incremental_strategy='microbatch', "
    f"event_time='happened_at', begin='{BEGIN}', batch_size='day', lookback=1) }}}} "
    "select id, happened_at, amount from {{ ref('stg_events') }}",
    "finance/agg_day.sql": "select happened_at::date as day, count(*) as events, sum(amount)::number(38, 2) as amount "
    "from {{ ref('fct_event') }} group by 1",
    "finance/fct_view.sql": "{{ config(materialized='view') }} select id, amount from {{ ref('fct_event') }}",
    "customer/dim_one.sql": "select 1 as one",
    "customer/dim_view.sql": "{{ config(materialized='view') }} select one from {{ ref('dim_one') }}",
}
TESTS = {
    f"no_debt_in_{model}.sql": f"select id from {{{{ ref('{model}') }}}} where amount < 0"
    for model in ("stg_events", "fct_view")
}


class Died(BaseException):
    """The process is dead."""


class MortalSession:
    """A session after one statement of which nothing more is done."""

    def __init__(self, real: Session, after: str) -> None:
        self._real, self._after = real, after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def rows(self, statement: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        found = self._real.rows(statement, values)
        if self._after in statement:
            raise Died
        return found

    def run(self, *statements: str) -> None:
        for statement in statements:
            self.rows(statement)

    def change(self, statement: str, values: Sequence[Any] = ()) -> None:
        self.rows(statement, values)

    def clone(self, statement: str, *, seconds: int) -> None:
        self.rows(statement)


@dataclass(frozen=True)
class Events:
    """A project over one source table, live in a slot."""

    place: Place
    folder: Path
    manifests: Manifests

    def write(self) -> None:
        project = self.folder / "dbt"
        for name, text in MODELS.items():
            file = project / "models" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        (project / "tests").mkdir()
        for name, text in TESTS.items():
            (project / "tests" / name).write_text(text)
        (project / "macros").mkdir()
        shutil.copy(PROJECT / "dbt/macros/generate_schema_name.sql", project / "macros")
        shutil.copy(PROJECT / "dbt/profiles.yml", project)
        (project / "dbt_project.yml").write_text(SETTINGS)

    def add(self, day: int, *amounts: int) -> None:
        """Add events to a day of the source, counted from the first."""
        at = BEGIN + timedelta(days=day)
        table = f"{self.place.database('RAW')}.FEED.EVENTS"
        for amount in amounts:
            self.place.deployer.run(
                f"INSERT INTO {table} (ID, HAPPENED_AT, AMOUNT) "
                f"SELECT COUNT(*) + 1, '{at} 10:00:00'::TIMESTAMP_NTZ, {amount} FROM {table}"
            )

    def slots(self, after: str | None = None) -> ModelBackfills:
        """Return what backfills; with `after` it dies behind the first statement that holds the text."""
        session: Any = self.place.deployer if after is None else MortalSession(self.place.deployer, after)
        warehouse = self.place.environment.warehouse
        facts = SnowflakeFacts(self.place.deployer, warehouse)
        return ModelBackfills(
            self.place.environment,
            self.folder / "dbt",
            self.folder / "work",
            session=session,
            facts=facts,
            comparer=SlotComparer(
                lambda: Session(
                    warehouse,
                    warehouse.deployer,
                    address=self.place.server.address,
                    key_file=self.place.server.key_of(warehouse.deployer),
                ),
                warehouse,
                self.manifests,  # type: ignore[arg-type]
                RULES,
            ),
            publisher=SlotPublisher(session, warehouse, facts, self.place.dependents),
            dependents=self.place.dependents,
            bucket=self.manifests,  # type: ignore[arg-type]
            address=self.place.server.address,
            key_file=self.place.server.key_of(warehouse.transformer),
        )

    def effects(self) -> Effects:
        """Return the ports of a backfill, as a process of its own finds them."""
        return through(None, backfills=self.slots())

    def observe(self) -> Observation:
        return Observation(
            infrastructure=InfrastructureFacts(serial=0, lineage="", plan_sha256=None),
            warehouse=self.place.facts.read(),
            pointer=None,
            orchestrator=OrchestratorFacts(),
        )

    def steps(self, model: str, first: int, last: int, *, after: str) -> tuple[RebuildModel, AdoptModel]:
        request = ModelRequest(
            model=model, since=BEGIN + timedelta(days=first), until=BEGIN + timedelta(days=last), chunk_days=2
        )
        found = model_in(json.loads(self.manifests.dbt_manifest(SLOT) or b"{}"), model)
        return model_steps(request, found, slot=SLOT, release=SLOT * 8, version="v", after=after, rules=RULES.digest)

    def seen(self) -> dict[int, tuple[int, int, int]]:
        """Return what readers see of each day: rows of the fact, and rows and amount of what is built from it."""
        marts = f"{self.place.database('MARTS')}.FINANCE"
        rows = self.place.deployer.rows(
            f"SELECT a.DAY, COUNT(*), MAX(a.EVENTS), MAX(a.AMOUNT) FROM {marts}.FCT_EVENT f "
            f"JOIN {marts}.AGG_DAY a ON f.HAPPENED_AT::DATE = a.DAY GROUP BY a.DAY"
        )
        return {_number(day): (int(facts), int(events), int(amount)) for day, facts, events, amount in rows}

    def source(self) -> dict[int, tuple[int, int, int]]:
        """Return the same as the source has it."""
        rows = self.place.deployer.rows(
            f"SELECT HAPPENED_AT::DATE, COUNT(*), SUM(AMOUNT) FROM {self.place.database('RAW')}.FEED.EVENTS GROUP BY 1"
        )
        return {_number(day): (int(count), int(count), int(amount)) for day, count, amount in rows}

    def is_tidy(self) -> bool:
        """Return whether readers see the slot, it is complete, and nothing else is left."""
        found = self.place.facts.read()
        shown = found.published.slot if found.published else None
        return (shown, found.slots, found.complete_slots) == (SLOT, (SLOT,), (SLOT,))


def _number(day: date) -> int:
    return (day - BEGIN).days


@pytest.fixture(scope="module")
def events(
    server: Server, deployer: Session, admin: Session, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Events]:
    """A week of events, of which the slot that is live holds all."""
    with bare_place(server, deployer, admin, "EVENTS") as place:
        made = Events(place, tmp_path_factory.mktemp("events"), Manifests())
        made.write()
        raw, role = place.database("RAW"), place.environment.warehouse.transformer.role
        deployer.run(
            f"CREATE SCHEMA {raw}.FEED",
            f"CREATE TABLE {raw}.FEED.EVENTS (ID NUMBER, HAPPENED_AT TIMESTAMP_NTZ, AMOUNT NUMBER(18, 2))",
            f"GRANT USAGE ON DATABASE {raw} TO ROLE {role}",
            f"GRANT USAGE ON SCHEMA {raw}.FEED TO ROLE {role}",
            f"GRANT SELECT ON TABLE {raw}.FEED.EVENTS TO ROLE {role}",
        )
        for day in range(6):
            made.add(day, 10, 20)
        made.slots().build(BuildSlot(slot=SLOT, release=SLOT * 8, clone_from=None), lambda line: None)
        place.publish(SLOT)
        assert made.seen() == made.source()
        yield made


def both(slots: ModelBackfills, rebuild: RebuildModel, adopt: AdoptModel) -> tuple[Outcome, Outcome]:
    return slots.rebuild(rebuild, lambda line: None), slots.adopt(adopt, lambda line: None)


def backfill(events: Events, steps: tuple[RebuildModel, AdoptModel]) -> tuple[Outcome, Outcome]:
    """Have both steps done, by ports that are held to the contract."""
    kept = Kept(events.effects(), anew=events.effects, observe=events.observe).effects()
    rebuilt, adopted = (perform(step, kept, lambda line: None) for step in steps)
    return rebuilt, adopted


def test_the_days_asked_for_are_as_the_source_has_them_and_no_other_day_is_touched(events: Events) -> None:
    before = events.seen()
    events.add(0, 1)
    events.add(1, 2)  # late, and behind what a daily build looks back at
    rebuilt, adopted = backfill(events, events.steps("fct_event", 1, 2, after="first"))
    assert rebuilt.evidence["microbatch"]
    source = events.source()
    assert events.seen() == {**source, 0: before[0]}, "the first day was not asked for"
    assert events.is_tidy()
    compared = {one["relation"]: one for one in adopted.evidence["compared"]["relations"]}
    fact, stranger = compared["FINANCE.FCT_EVENT"], compared["CUSTOMER.DIM_ONE"]
    assert (fact["before"]["rows"], fact["after"]["rows"]) == (12, 13)
    assert list(fact["because"]) == ["the backfill of fct_event"]
    assert not stranger["because"], "it has nothing to do with the model"


def test_a_model_that_is_no_microbatch_is_built_whole_with_what_it_stands_on(events: Events) -> None:
    events.add(5, 7)  # within the look-back of a daily build
    rebuilt, _ = backfill(events, events.steps("agg_day", 0, 0, after="second"))
    assert not rebuilt.evidence["microbatch"]
    assert events.seen() == events.source()
    assert events.is_tidy()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE OR REPLACE SCHEMA",  # while the slot is cloned
        "INSERT INTO EVENTS_OPS.SLIPWAY.SLOTS",  # the clone is built
        "CREATE OR REPLACE DATABASE",  # readers are about to be shown it
        "SWAP WITH",  # readers see it
        "CREATE OR REPLACE TRANSIENT TABLE",  # a table was taken over
        "INSERT INTO EVENTS_OPS.SLIPWAY.BACKFILLS",  # all tables were
        "DROP SCHEMA",  # it is over but for what is left to clear away
    ],
)
def test_killed_anywhere_readers_see_one_whole_state_and_the_next_process_ends_it(
    events: Events, statement: str
) -> None:
    before = events.seen()
    events.add(2, 3)
    rebuild, adopt = events.steps("agg_day", 2, 2, after=statement)
    mortal = events.slots(after=statement)
    with pytest.raises(Died):
        both(mortal, rebuild, adopt)
    assert events.seen() in (before, events.source())
    slots = events.slots()
    if not slots.is_rebuilt(rebuild):
        slots.rebuild(rebuild, lambda line: None)
    if not slots.is_adopted(adopt):
        slots.adopt(adopt, lambda line: None)
    assert slots.is_rebuilt(rebuild)
    assert slots.is_adopted(adopt)
    assert events.seen() == events.source()
    assert events.is_tidy()


def test_a_source_that_goes_bad_once_readers_see_the_clone_neither_reaches_the_slot_nor_keeps_them_there(
    events: Events,
) -> None:
    events.add(3, 5)
    compared, raw = events.source(), f"{events.place.database('RAW')}.FEED.EVENTS"
    rebuild, adopt = events.steps("agg_day", 3, 3, after="gone bad")
    assert not events.slots().was_swapped_in(adopt)
    with pytest.raises(Died):
        both(events.slots(after="SWAP WITH"), rebuild, adopt)
    assert events.slots().was_swapped_in(adopt), "readers see it"
    events.add(3, -1)  # a data test finds it
    try:
        slots = events.slots()
        slots.adopt(adopt, lambda line: None)
        assert slots.is_adopted(adopt)
        assert events.seen() == compared
        assert events.is_tidy()
    finally:
        events.place.deployer.run(f"DELETE FROM {raw} WHERE AMOUNT < 0")


def test_scheduled_builds_are_waited_for_before_the_clone_is_made_and_before_readers_see_it(events: Events) -> None:
    slots, seen = events.slots(), list[tuple[bool, str | None]]()
    rebuild, adopt = events.steps("agg_day", 0, 0, after="waited")

    def wait(mark: str, progress: Progress) -> None:
        shown, schemas = events.place.facts.published(), events.place.facts.schemas()
        seen.append((f"FINANCE__{adopt.aside}" in schemas, shown.slot if shown else None))

    slots.wait_for_builds = wait
    both(slots, rebuild, adopt)
    assert seen == [(False, SLOT), (True, SLOT)]


def test_a_view_on_the_model_is_tested_once_its_days_are_built_again(events: Events) -> None:
    fact = f"{events.place.database('ANALYTICS')}.FINANCE__{SLOT}.FCT_EVENT"
    events.place.deployer.run(f"UPDATE {fact} SET AMOUNT = -10 WHERE ID = 1")  # what the backfill is to mend
    backfill(events, events.steps("fct_event", 0, 0, after="mended"))
    assert events.seen() == events.source()
    assert events.is_tidy()


def test_what_lost_rows_is_not_shown(events: Events) -> None:
    before = events.seen()
    rebuild, adopt = events.steps("fct_event", 0, 3, after="emptied")
    raw = events.place.database("RAW")
    events.place.deployer.run(
        f"CREATE TABLE {raw}.FEED.KEPT AS SELECT * FROM {raw}.FEED.EVENTS", f"DELETE FROM {raw}.FEED.EVENTS"
    )
    try:
        slots = events.slots()
        slots.rebuild(rebuild, lambda line: None)
        with pytest.raises(Differs, match=r"FINANCE\.FCT_EVENT rows: \d+ -> \d+"):
            slots.adopt(adopt, lambda line: None)
        assert events.seen() == before
    finally:
        events.place.deployer.run(
            f"INSERT INTO {raw}.FEED.EVENTS SELECT * FROM {raw}.FEED.KEPT", f"DROP TABLE {raw}.FEED.KEPT"
        )


def test_a_model_that_is_not_there_or_holds_no_rows_is_refused(events: Events) -> None:
    with pytest.raises(ConfigurationError, match="there is no dbt model 'fct_events'") as refused:
        events.steps("fct_events", 0, 0, after="none")
    assert "--model fct_event" in (refused.value.fix or "")
    with pytest.raises(ConfigurationError, match="materialized as view"):
        events.steps("stg_events", 0, 0, after="none")
