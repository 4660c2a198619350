"""What was made is never taken for absent: Snowflake says the same of what a role may not see."""

from __future__ import annotations

import pytest

from slipway.adapters.snowflake import MissingObject, bookkeeping
from slipway.slot import layers_among, slots_among
from tests.warehouse.place import Place

SLOT = "AAAA0001"


def test_a_new_environment_holds_nothing(place: Place) -> None:
    found = place.facts.read()
    assert (found.migrations, found.slots, found.complete_slots, found.published) == ((), (), (), None)


def test_migrations_that_the_deployer_may_not_see_any_more_are_not_pending(place: Place) -> None:
    migrated(place)
    assert [one.script for one in place.facts.migrations()] == ["V1.0.0__a.sql"]
    hide(place, "TABLE", f"{place.database('OPS')}.SLIPWAY.CHANGE_HISTORY")
    with pytest.raises(MissingObject, match=r"CHANGE_HISTORY is not to be seen"):
        place.facts.read()


def test_digests_that_the_deployer_may_not_see_any_more_are_not_forgotten(place: Place) -> None:
    migrated(place)
    hide(place, "TABLE", f"{place.database('OPS')}.SLIPWAY.SCRIPT_DIGESTS")
    with pytest.raises(MissingObject, match=r"SCRIPT_DIGESTS is not to be seen"):
        place.facts.migrations()


def test_a_table_that_is_listed_and_cannot_be_read_is_an_error(place: Place) -> None:
    migrated(place)
    table = f"{place.database('OPS')}.SLIPWAY.CHANGE_HISTORY"
    hide(place, "TABLE", table)
    place.admin.run(f"GRANT INSERT ON TABLE {table} TO ROLE STAGING_DEPLOYER")
    with pytest.raises(Exception, match="Snowflake refused"):
        place.facts.migrations()


def test_complete_slots_that_the_deployer_may_not_see_any_more_are_not_built_again(place: Place) -> None:
    place.fill(SLOT, "FINANCE.F", "CUSTOMER.C")
    place.complete(SLOT)
    place.publish(SLOT)
    hide(place, "TABLE", f"{place.database('OPS')}.SLIPWAY.SLOTS")
    with pytest.raises(MissingObject, match=r"SLOTS is not to be seen, and slot AAAA0001 is published"):
        place.facts.read()


def test_a_marker_that_the_deployer_may_not_see_any_more_is_no_empty_environment(place: Place) -> None:
    place.fill(SLOT, "FINANCE.F", "CUSTOMER.C")
    place.publish(SLOT)
    hide(place, "VIEW", f"{place.database('MARTS')}.SLIPWAY.PUBLISHED")
    with pytest.raises(MissingObject, match=r"PUBLISHED is not to be seen"):
        place.facts.published()


def test_a_slot_is_known_by_any_schema_that_ends_in_its_name() -> None:
    schemas = {"RISK__AAAA0001", "FINANCE__AAAA0001", "MY__LAYER__AAAA0002", "PUBLIC", "X__aaaa0003", "__AAAA0004"}
    assert slots_among(schemas) == {"AAAA0001", "AAAA0002"}
    assert layers_among(schemas, "AAAA0001") == ("FINANCE", "RISK")
    assert layers_among(schemas, "AAAA0002") == ("MY__LAYER",)


def migrated(place: Place) -> None:
    """Leave what a run of migrations leaves: one script, applied."""
    schema = f"{place.database('OPS')}.SLIPWAY"
    place.deployer.run(
        *bookkeeping(place.database("OPS")),
        f"INSERT INTO {schema}.SCRIPT_DIGESTS (SCRIPT, SHA256, SINCE) "
        "SELECT 'V1.0.0__a.sql', 'ff', CURRENT_TIMESTAMP()",
        f"INSERT INTO {schema}.CHANGE_HISTORY (SCRIPT, STATUS, INSTALLED_ON) "
        "SELECT 'V1.0.0__a.sql', 'Success', CURRENT_TIMESTAMP()",
    )


def hide(place: Place, kind: str, name: str) -> None:
    """Take an object from the deployer."""
    place.admin.run(f"GRANT OWNERSHIP ON {kind} {name} TO ROLE ACCOUNTADMIN REVOKE CURRENT GRANTS")
