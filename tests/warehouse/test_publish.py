"""Publishing: nobody loses a privilege by it, and nothing empty is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from slipway.adapters.grant import quoted, statement_of
from slipway.adapters.snowflake import Session
from slipway.errors import StepFailed
from slipway.privilege import Grant
from slipway.step import PublishSlot
from tests.dbt.warehouse import READER, Server
from tests.warehouse.place import Place

OLD, NEW = "AAAA0001", "AAAA0002"


@pytest.fixture
def published(place: Place) -> Place:
    """A place that shows slot OLD and whose slot NEW has one view less and one more."""
    place.fill(OLD, "FINANCE.KEPT", "FINANCE.GONE", "CUSTOMER.C")
    place.fill(NEW, "FINANCE.KEPT", "FINANCE.ADDED", "CUSTOMER.C")
    place.publish(OLD)
    return place


@pytest.fixture(scope="module")
def analysts(admin: Session) -> Iterator[str]:
    """A role nobody but the account knows of."""
    admin.run('CREATE ROLE "Analysts"', "CREATE USER ANN", "CREATE ROLE CFO", 'GRANT ROLE "Analysts" TO ROLE CFO')
    yield '"Analysts"'
    admin.run("DROP ROLE CFO", 'DROP ROLE "Analysts"', "DROP USER ANN")


@pytest.fixture
def managing(place: Place, admin: Session) -> Iterator[str]:
    """The deployer's role, which may manage grants once a test lets it, and may not after it."""
    role = place.environment.warehouse.deployer.role
    yield role
    admin.run(f"REVOKE MANAGE GRANTS ON ACCOUNT FROM ROLE {role}")


def test_what_others_were_granted_stands_after_a_publishing(published: Place, analysts: str) -> None:
    marts = published.database("MARTS")
    published.deployer.run(
        f"GRANT USAGE ON DATABASE {marts} TO ROLE {analysts}",
        f"GRANT USAGE ON SCHEMA {marts}.FINANCE TO ROLE {analysts}",
        f"GRANT SELECT, REFERENCES ON VIEW {marts}.FINANCE.KEPT TO ROLE {analysts}",
        f"GRANT SELECT ON VIEW {marts}.FINANCE.GONE TO ROLE {analysts}",
        f"GRANT SELECT ON VIEW {marts}.CUSTOMER.C TO USER ANN",
    )
    before = privileges(published)
    published.publish(NEW, replaces=OLD)
    assert published.facts.published() is not None
    lost = {one for one in before - privileges(published) if "GONE" not in one}
    assert lost == set()
    assert ("FINANCE", "KEPT", "REFERENCES", "ROLE", "Analysts") in privileges(published)


def test_future_grants_reach_what_is_new_now_and_next_time(
    published: Place, analysts: str, admin: Session, managing: str
) -> None:
    marts = published.database("MARTS")
    admin.run(
        f"GRANT USAGE ON DATABASE {marts} TO ROLE {analysts}",
        f"GRANT USAGE ON FUTURE SCHEMAS IN DATABASE {marts} TO ROLE {analysts}",
        f"GRANT SELECT ON FUTURE VIEWS IN SCHEMA {marts}.FINANCE TO ROLE {analysts}",
        f"GRANT MANAGE GRANTS ON ACCOUNT TO ROLE {managing}",
    )
    for slot, view in ((NEW, "ADDED"), (OLD, "GONE")):
        published.publish(slot)
        found = privileges(published)
        assert ("FINANCE", view, "SELECT", "ROLE", "Analysts") in found
        assert (marts, "CUSTOMER", "USAGE", "ROLE", "Analysts") in {(marts, *one[1:]) for one in found}


def test_without_the_privilege_to_give_future_grants_again_nothing_is_published(
    published: Place, analysts: str, admin: Session
) -> None:
    marts = published.database("MARTS")
    admin.run(f"GRANT SELECT ON FUTURE VIEWS IN SCHEMA {marts}.FINANCE TO ROLE {analysts}")
    with pytest.raises(StepFailed, match=r"SELECT on future views in FINANCE to role Analysts") as stopped:
        published.publish(NEW)
    assert "GRANT MANAGE GRANTS ON ACCOUNT TO ROLE STAGING_DEPLOYER" in str(stopped.value.fix)
    assert published.live_slot == OLD


def test_the_reader_reads_everything_that_is_published(server: Server, published: Place) -> None:
    published.publish(NEW)
    with server.session(READER) as reader:
        for view in ("FINANCE.KEPT", "FINANCE.ADDED", "CUSTOMER.C"):
            assert reader.rows(f"SELECT MADE_IN FROM {published.database('MARTS')}.{view}") == [(NEW,)]


def test_a_grant_that_cannot_follow_stops_the_publishing_before_readers_see_anything(
    published: Place, analysts: str, admin: Session
) -> None:
    marts = published.database("MARTS")
    admin.run(f"GRANT OWNERSHIP ON FUTURE VIEWS IN SCHEMA {marts}.FINANCE TO ROLE {analysts}")
    with pytest.raises(StepFailed, match=r"OWNERSHIP on future views in FINANCE to role Analysts") as stopped:
        published.publish(NEW)
    assert "revoke it" in str(stopped.value.fix)
    assert published.live_slot == OLD


def test_what_a_role_inherits_is_compared_and_told_of_in_the_evidence(published: Place, analysts: str) -> None:
    marts = published.database("MARTS")
    published.deployer.run(
        f"GRANT USAGE ON DATABASE {marts} TO ROLE {analysts}",
        f"GRANT USAGE ON SCHEMA {marts}.FINANCE TO ROLE {analysts}",
        f"GRANT SELECT ON VIEW {marts}.FINANCE.KEPT TO ROLE {analysts}",
    )
    done = published.publish(NEW, replaces=OLD)
    before, after = done.evidence["privileges_before"], done.evidence["privileges_after"]
    assert done.evidence["gone"] == ["FINANCE.GONE"]
    assert before["grantees"] == after["grantees"]
    assert {before["count"], after["count"]} != {0}
    again = published.publish(NEW, replaces=NEW)
    assert again.evidence["privileges_before"] == again.evidence["privileges_after"] == after
    published.deployer.run(f"REVOKE SELECT ON VIEW {marts}.FINANCE.KEPT FROM ROLE {analysts}")
    fewer = published.publish(NEW, replaces=NEW)
    assert fewer.evidence["privileges_after"]["count"] == after["count"] - 2, "of the role, and of the one above it"


def test_a_privilege_that_would_be_lost_refuses_the_publishing_with_role_object_and_privilege(
    published: Place, analysts: str
) -> None:
    marts = published.database("MARTS")
    published.deployer.run(
        f"GRANT USAGE ON DATABASE {marts} TO ROLE {analysts}",
        f"GRANT USAGE ON SCHEMA {marts}.FINANCE TO ROLE {analysts}",
        f"GRANT OWNERSHIP ON VIEW {marts}.FINANCE.KEPT TO ROLE {analysts} COPY CURRENT GRANTS",
    )
    with pytest.raises(StepFailed, match="2 privilege") as stopped:
        published.publish(NEW, replaces=OLD)
    assert "role Analysts: OWNERSHIP on view FINANCE.KEPT" in stopped.value.message
    assert "role CFO: OWNERSHIP on view FINANCE.KEPT" in stopped.value.message, "it inherits"
    assert published.live_slot == OLD


def test_a_publishing_that_died_after_the_swap_is_brought_to_its_end_without_another(published: Place) -> None:
    step = PublishSlot(slot=NEW, release=NEW * 8, replaces=OLD)
    published.publish(NEW, replaces=OLD)
    assert published.publisher.is_published(step)
    published.deployer.run(f"CREATE DATABASE {published.database('MARTS')}__NEXT")  # what stood aside
    assert not published.publisher.is_published(step)
    published.publish(NEW, replaces=OLD)
    assert published.publisher.is_published(step)


def test_grants_to_what_lives_in_the_replaced_database_cannot_follow() -> None:
    role = Grant(
        kind="VIEW",
        path=("FINANCE", "a b"),
        privilege="SELECT",
        grantee_kind="ROLE",
        grantee="READERS",
        may_pass_on=True,
        is_future=False,
    )
    assert statement_of(role, "M") == 'GRANT SELECT ON VIEW M.FINANCE."a b" TO ROLE READERS WITH GRANT OPTION'
    future = replace(role, kind="MATERIALIZED_VIEW", path=(), may_pass_on=False, is_future=True)
    assert statement_of(future, "M") == "GRANT SELECT ON FUTURE MATERIALIZED VIEWS IN DATABASE M TO ROLE READERS"
    for kind in ("SHARE", "DATABASE_ROLE"):
        with pytest.raises(StepFailed):
            statement_of(replace(role, grantee_kind=kind), "M")


@pytest.mark.parametrize(("name", "written"), [("A_1$", "A_1$"), ("a", '"a"'), ('A"B', '"A""B"'), ("1A", '"1A"')])
def test_identifiers_are_quoted_when_they_must_be(name: str, written: str) -> None:
    assert quoted(name) == written


def test_a_published_layer_without_anything_in_it_is_refused_by_name(published: Place) -> None:
    published.fill("AAAA0003", "FINANCE.KEPT", "RISK.R")
    with pytest.raises(StepFailed, match="CUSTOMER__AAAA0003: nothing to publish"):
        published.publish("AAAA0003")
    assert published.live_slot == OLD


def privileges(place: Place) -> set[tuple[str, str, str, str, str]]:
    """Return schema, object, privilege, kind of grantee and grantee of all grants in the published database."""
    rows = place.admin.rows(
        "SELECT COALESCE(OBJECT_SCHEMA, ''), OBJECT_NAME, PRIVILEGE_TYPE, GRANTED_TO, GRANTEE "
        f"FROM {place.database('MARTS')}.INFORMATION_SCHEMA.OBJECT_PRIVILEGES"
    )
    return {(str(a), str(b), str(c), str(d), str(e)) for a, b, c, d, e in rows}
