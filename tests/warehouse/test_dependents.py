"""What hangs on slots and published schemas is refused before readers see anything, all at once."""

from __future__ import annotations

import pytest

from slipway.adapters.dependents import names_in
from slipway.adapters.snowflake import Session
from slipway.errors import StepFailed
from tests.warehouse.place import Place

OLD, NEW = "AAAA0001", "AAAA0002"


@pytest.fixture
def published(place: Place) -> Place:
    """A place that shows slot OLD and whose slot NEW is ready."""
    for slot in (OLD, NEW):
        place.fill(slot, "STAGING.STG", "FINANCE.F", "CUSTOMER.C")
    place.publish(OLD)
    return place


def test_everything_that_would_show_a_mixture_or_be_swapped_away_is_named_at_once(
    published: Place, admin: Session
) -> None:
    analytics, marts, raw = (published.database(kind) for kind in ("ANALYTICS", "MARTS", "RAW"))
    admin.run("CREATE DATABASE IF NOT EXISTS PROD_RAW", "CREATE TABLE IF NOT EXISTS PROD_RAW.PUBLIC.T (A INT)")
    admin.run("GRANT USAGE ON DATABASE PROD_RAW TO ROLE STAGING_DEPLOYER")
    admin.run("GRANT USAGE ON SCHEMA PROD_RAW.PUBLIC TO ROLE STAGING_DEPLOYER")
    admin.run("GRANT SELECT ON TABLE PROD_RAW.PUBLIC.T TO ROLE STAGING_DEPLOYER")
    finance = f"{analytics}.FINANCE__{NEW}"
    published.deployer.run(
        f"CREATE TABLE {raw}.PUBLIC.T (A INT)",
        f"CREATE VIEW {finance}.LEFT_OVER AS SELECT * FROM {analytics}.STAGING__{OLD}.STG",
        f"CREATE VIEW {finance}.CIRCLE AS WITH f AS (SELECT * FROM {marts}.FINANCE.F) SELECT * FROM f",
        f"CREATE VIEW {finance}.LITERAL AS SELECT * FROM PROD_RAW.PUBLIC.T",
        f"CREATE VIEW {finance}.GOOD AS SELECT * FROM {analytics}.STAGING__{NEW}.STG, {raw}.PUBLIC.T",
        f"CREATE STREAM {raw}.PUBLIC.ON_VIEW ON VIEW {marts}.FINANCE.F",
        f"CREATE STREAM {raw}.PUBLIC.ON_LOADS ON TABLE {raw}.PUBLIC.T",
        f"CREATE TASK {marts}.FINANCE.NIGHTLY WAREHOUSE = STAGING_WH SCHEDULE = '60 MINUTE' AS SELECT 1",
        f"CREATE VIEW {marts}.FINANCE.BY_HAND AS SELECT 1 AS A",
    )
    with pytest.raises(StepFailed, match=r"6 thing\(s\) would not survive") as stopped:
        published.publish(NEW, replaces=OLD)
    said = stopped.value.message
    assert f"{finance}.LEFT_OVER names {analytics}.STAGING__{OLD}.STG, of slot {OLD}" in said
    assert f"{finance}.CIRCLE names {marts}.FINANCE.F, which is published from another slot" in said
    assert f"{finance}.LITERAL names PROD_RAW.PUBLIC.T, of prod" in said
    assert f"stream {raw}.PUBLIC.ON_VIEW follows {marts}.FINANCE.F" in said
    assert f"task {marts}.FINANCE.NIGHTLY (suspended)" in said
    assert f"{marts}.FINANCE.BY_HAND was made there by somebody else" in said
    assert "GOOD" not in said
    assert "ON_LOADS" not in said
    assert published.live_slot == OLD
    published.deployer.run(
        *(f"DROP VIEW {finance}.{name}" for name in ("LEFT_OVER", "CIRCLE", "LITERAL")),
        f"DROP STREAM {raw}.PUBLIC.ON_VIEW",
        f"DROP TASK {marts}.FINANCE.NIGHTLY",
        f"DROP VIEW {marts}.FINANCE.BY_HAND",
    )
    published.publish(NEW, replaces=OLD)
    assert published.live_slot == NEW


def test_a_report_that_names_a_slot_is_refused_before_a_build_and_does_not_hold_up_a_rollback(published: Place) -> None:
    analytics = published.database("ANALYTICS")
    published.deployer.run(
        f"CREATE SCHEMA {analytics}.REPORTS",
        f"CREATE VIEW {analytics}.REPORTS.R AS SELECT * FROM {analytics}.FINANCE__{OLD}.F",
    )
    with pytest.raises(StepFailed, match=rf"REPORTS\.R names {analytics}\.FINANCE__{OLD}\.F, of slot {OLD}") as stopped:
        published.dependents.refuse_before_build()
    assert f"have it name {published.database('MARTS')}" in stopped.value.message
    published.publish(NEW, replaces=OLD)
    assert published.live_slot == NEW


def test_whoever_may_make_what_nobody_else_sees_beside_what_is_published_is_named_before_a_build(
    published: Place, admin: Session
) -> None:
    finance = f"{published.database('MARTS')}.FINANCE"
    admin.run("CREATE ROLE IF NOT EXISTS MAKERS")
    published.deployer.run(
        f"GRANT USAGE, CREATE VIEW ON SCHEMA {finance} TO ROLE MAKERS",
        f"GRANT USAGE ON DATABASE {published.database('MARTS')} TO ROLE MAKERS",
    )
    with pytest.raises(StepFailed, match=rf"{finance} lets MAKERS make objects there \(CREATE VIEW\)") as stopped:
        published.dependents.refuse_before_build()
    assert "1 thing(s)" in stopped.value.message, "to use it is no harm"
    published.deployer.run(f"REVOKE CREATE VIEW ON SCHEMA {finance} FROM ROLE MAKERS")
    published.dependents.refuse_before_build()


def test_names_are_read_from_sql_and_not_from_what_it_only_mentions() -> None:
    text = "create view a.b.c as -- from X.Y.Z\nwith q as (select 1) select 'D.E.F', t.x from g.h.i t, q, \"j\".k"
    assert names_in(text) == {("G", "H", "I"), ("Q",), ("j", "K")}
    assert ("FINANCE__AAAA0001", "F") in names_in('select ((( from "FINANCE__AAAA0001".f')
