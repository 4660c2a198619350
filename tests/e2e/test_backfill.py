"""Backfills on the whole platform: killed, paused, cancelled and gone on with, no row is doubled or lost."""

from __future__ import annotations

import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from slipway.adapters.airflow_backfill import AirflowBackfills
from slipway.errors import Unavailable
from slipway.site import Site
from tests.e2e.conftest import House

pytestmark = [pytest.mark.e2e, pytest.mark.long, pytest.mark.timeout(1800)]

DAG = "card_transactions"
MODEL = "fct_card_transactions"
WAIT_S = 300
HELD_S = 60  # that a run waits for its source at most, while the one who began it is stopped
TOTALS = "SELECT COUNT(*), COUNT(DISTINCT TRANSACTION_ID), SUM(AMOUNT) FROM "


@pytest.fixture(scope="module")
def live(house: House) -> House:
    """The project as it is, live and loaded."""
    house.invoke("deploy", "--env", "staging")
    house.invoke("dags.status", "--env", "staging", "--wait")
    return house


@pytest.fixture(scope="module")
def days(live: House) -> tuple[str, str]:
    """The first and the last logical date that has succeeded."""
    document = live.invoke("dags.status", "--env", "staging", "--json").json
    (runs,) = [one["runs"] for one in document["dags"] if one["dag_id"] == DAG]
    found = sorted(run["logical_date"][:10] for run in runs if run["state"] == "success")
    assert len(found) >= 2
    return found[0], found[-1]


def totals(house: House) -> dict[str, list[tuple[str, ...]]]:
    """Return what source, RAW, ledger and marts say of the transactions, as text."""
    loader, reader = "LOADER", "READER"
    activity = "SELECT SUM(TRANSACTION_COUNT) FROM STAGING_MARTS.CUSTOMER.FCT_CUSTOMER_ACTIVITY"
    ledger = f"SELECT COUNT(*), SUM(LOADED_ROWS) FROM STAGING_RAW.OPS.LOAD_LEDGER WHERE PIPELINE = '{DAG}'"
    found = {
        "raw": house.rows(loader, f"{TOTALS} STAGING_RAW.CORE.CARD_TRANSACTIONS"),
        "ledger": house.rows(loader, ledger),
        "mart": house.rows(reader, f"{TOTALS} STAGING_MARTS.FINANCE.FCT_CARD_TRANSACTIONS"),
        "activity": house.rows(reader, activity),
    }
    return {name: [tuple(map(str, row)) for row in rows] for name, rows in found.items()}


def source_totals(house: House, until: str) -> tuple[str, ...]:
    """Return rows and the sum of the newest versions that the source had at the end of a day."""
    (row,) = house.source_rows(
        "SELECT count(*), count(DISTINCT transaction_id), sum(amount) FROM ("
        "SELECT DISTINCT ON (transaction_id) transaction_id, amount FROM core.card_transactions "
        f"WHERE updated_at < date '{until}' + 1 ORDER BY transaction_id, updated_at DESC) newest"
    )
    return tuple(map(str, row))


def answers(reached: Callable[[Site], bool], site: Site) -> bool:
    """Return whether something is so; what does not answer on a busy machine is asked again by who waits."""
    try:
        return reached(site)
    except Unavailable:
        return False


@contextmanager
def killed_when(house: House, reached: Callable[[Site], bool], tmp_path: Path, *options: str) -> Iterator[None]:
    """Run a backfill and kill it as soon as something is so."""
    command = ("backfill.run", "--env", "staging", *options)
    with (tmp_path / "said").open("w") as said, house.start(*command, stderr=said) as running:
        with house.site() as site:
            house.wait_for(lambda: running.poll() is not None or answers(reached, site), timeout_s=WAIT_S)
        assert running.poll() is None, (tmp_path / "said").read_text()
        running.send_signal(signal.SIGKILL)
        assert running.wait() == -signal.SIGKILL
    yield


def last(house: House) -> Any:
    return house.invoke("backfill.status", "--env", "staging", "--json").json["backfills"][0]


def marked_done(site: Site) -> int:
    """Return how many dates of the last backfill are done."""
    one = next(reversed(site.history()))
    backfills = AirflowBackfills(site.airflow)
    steps = site.bucket.plan(one.plan).steps if one.purpose == "backfill" else ()
    return sum(state == "done" for step in steps for state in backfills.progress(step).values())  # type: ignore[arg-type]


def test_killed_again_and_again_a_backfill_comes_to_its_end_and_no_row_is_doubled_or_lost(
    live: House, days: tuple[str, str], tmp_path: Path
) -> None:
    options = ("--dag", DAG, "--from", days[0], "--to", days[1], "--reprocess", "completed", "--chunk-days", "1")
    before = totals(live)
    assert before["raw"] == [source_totals(live, days[1])]
    planned = live.invoke("backfill.plan", "--env", "staging", *options, "--json").json
    assert len(planned["chunks"]) == len(planned["dates"]) >= 2
    assert planned["estimate"]["usual_s"] > 0
    with killed_when(live, lambda site: AirflowBackfills(site.airflow).active(DAG) is not None, tmp_path, *options):
        pass
    with killed_when(live, lambda site: marked_done(site) >= 1, tmp_path, *options):
        pass
    done = live.invoke("backfill.run", "--env", "staging", *options, "--json").json
    assert done["plan"] == planned["id"], "the plan it began with"
    assert done["backfill"]["state"] == "succeeded"
    assert done["backfill"]["dates"] == {"done": len(planned["dates"]), "open": 0, "failed": 0, "missing": 0}
    assert totals(live) == before
    again = live.invoke("backfill.run", "--env", "staging", *options[:6]).out
    assert "nothing is left to backfill" in again


def test_a_backfill_is_paused_gone_on_with_and_cancelled_by_others(
    live: House, days: tuple[str, str], tmp_path: Path
) -> None:
    options = ("--dag", DAG, "--from", days[0], "--to", days[1], "--reprocess", "completed", "--chunk-days", "9")
    before = totals(live)

    def begun(site: Site) -> bool:
        return AirflowBackfills(site.airflow).active(DAG) is not None

    for command, word in (("backfill.pause", "paused by"), ("backfill.cancel", "cancelled by")):
        with (tmp_path / "said").open("w") as said:
            running: subprocess.Popen[str]
            with live.start("backfill.run", "--env", "staging", *options, stderr=said) as running:
                with live.site() as site:
                    live.wait_for(lambda: running.poll() is not None or answers(begun, site), timeout_s=WAIT_S)  # noqa: B023
                with live.source_held("core.card_transactions", seconds=HELD_S):  # no date ends meanwhile
                    live.invoke(command, "--env", "staging")
                assert running.wait(timeout=WAIT_S) == 130, (tmp_path / "said").read_text()
        assert word in (tmp_path / "said").read_text()
        assert last(live)["state"] == "failed"
        assert (last(live)["airflow"] or {"paused": None})["paused"] is (True if word == "paused by" else None)
    live.invoke("dags.status", "--env", "staging", "--wait")
    left = live.invoke("backfill.run", "--env", "staging", *options[:6], "--reprocess", "failed", "--json").json
    assert left["backfill"] is None or left["backfill"]["state"] == "succeeded"
    assert totals(live) == before


def test_readers_see_a_model_whole_while_it_is_backfilled_and_killed(
    live: House, days: tuple[str, str], tmp_path: Path
) -> None:
    options = ("--model", MODEL, "--from", days[0], "--to", days[1])
    before, slots = totals(live), live.invoke("status", "--env", "staging", "--json").json["slots"]
    ending, seen, failed = threading.Event(), set[tuple[str, ...]](), list[str]()

    def read() -> None:
        session = live.session("READER")
        statement = (
            "SELECT (SELECT COUNT(*) FROM STAGING_MARTS.FINANCE.FCT_CARD_TRANSACTIONS), "
            "(SELECT SUM(TRANSACTION_COUNT) FROM STAGING_MARTS.CUSTOMER.FCT_CUSTOMER_ACTIVITY)"
        )
        while not ending.wait(0.05):
            try:
                seen.add(tuple(map(str, session.rows(statement)[0])))
            except Exception as error:
                failed.append(str(error))
        session.close()

    def shows_the_clone(site: Site) -> bool:
        published = site.warehouse.published()
        return published is not None and published.slot != slots["published"]

    reader = threading.Thread(target=read)
    reader.start()
    try:
        with killed_when(live, shows_the_clone, tmp_path, *options):
            assert totals(live) == before
        refused = live.invoke("deploy", "--env", "staging", expect=3).err
        assert "built aside: its tables are to be taken over first" in refused
        assert "invoke backfill.run --env staging --plan" in refused
        done = live.invoke("backfill.run", "--env", "staging", *options, "--json").json
    finally:
        ending.set()
        reader.join()
    assert done["backfill"]["state"] == "succeeded"
    assert not failed
    assert seen == {(before["mart"][0][0], before["activity"][0][0])}
    assert totals(live) == before
    assert live.invoke("status", "--env", "staging", "--json").json["slots"] == slots


def test_backfills_are_in_the_history_proven_and_no_release_to_go_back_to(live: House) -> None:
    newest = live.invoke("history", "--env", "staging", "--json").json["deployments"]
    assert {one["purpose"] for one in newest} == {"deploy", "backfill"}
    assert live.invoke("audit.verify", "--env", "staging", "--json").json["holds"]
    assert "the backfill of version" in live.invoke("audit.show", "--env", "staging").out
    assert "nothing to roll back to" in live.invoke("rollback", "--env", "staging", expect=3).err
    live.invoke("deploy", "--env", "staging")
