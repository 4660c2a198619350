"""The policy: every mistake named with its place, windows across days and time zones, and who is who."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import ConfigurationError
from slipway.policy import INDISPENSABLE, LANES, LaneRule, Policy, address_of, load_policy

from .conftest import policy_of

PROJECT = Path(__file__).parents[2]
ENVIRONMENTS: dict[str, Any] = {"staging": {}}
ACKNOWLEDGED = {"model": "orders", "what": "rows", "reason": "a test order", "slot": "D16BA260"}
GATES = {lane: {"gates": sorted(INDISPENSABLE[lane])} for lane in LANES}


def test_the_projects_own_policy_is_valid_and_reads_back_the_same() -> None:
    policy = load_policy(PROJECT / "config" / "policy.toml")

    assert set(policy.people) == {"ana", "ben", "chris", "pat"}
    assert policy.rules("prod").after == "staging"
    assert Policy.from_bytes(policy.to_bytes(), origin="memory") == policy


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"timezone": "Mars/Olympus"}, "timezone: Value error, 'Mars/Olympus' is no time zone"),
        ({"surprise": 1}, "surprise: unknown key"),
        ({"approvals": {}}, "approvals.ttl_hours: required key is missing"),
        ({"approvals": {"ttl_hours": 0}}, "approvals.ttl_hours: Input should be greater than or equal to 1"),
        ({"approvals": {"ttl_hours": 337}}, "approvals.ttl_hours: Input should be less than or equal to 336"),
        (
            {"break_glass": {"people": 1, "minutes": 60}},
            "break_glass.people: Input should be greater than or equal to 2",
        ),
        (
            {"break_glass": {"people": 2, "minutes": 241}},
            "break_glass.minutes: Input should be less than or equal to 240",
        ),
        ({"lanes": {}}, "lanes.dbt: required key is missing"),
        ({"lanes": {**GATES, "dbt": {"gates": []}}}, "lanes.dbt.gates: 'dbt.compile' cannot be left out"),
        ({"lanes": {**GATES, "dags": {"gates": []}}}, "lanes.dags.gates: 'dags.import' cannot be left out"),
        ({"lanes": {**GATES, "config": {"gates": []}}}, "lanes.config.gates: 'dags.import' cannot be left out"),
        (
            {"lanes": {**GATES, "migration": {"gates": ["migration.undo"]}}},
            "lanes.migration.gates: 'migration.edited' cannot be left out",
        ),
        ({"lanes": {**GATES, "dbt": {"gates": ["hope"]}}}, "lanes.dbt.gates.0: Input should be"),
        ({"environments": {"moon": {}}}, "environments.moon.[key]: Input should be"),
        ({"environments": {"prod": {"after": "prod"}}}, "environments.prod.after: Input should be"),
        ({"environments": {"prod": {"lanes": {"coffee": {}}}}}, "environments.prod.lanes.coffee.[key]"),
        ({"environments": {"prod": {"lanes": {"dbt": {"approvals": 6}}}}}, "environments.prod.lanes.dbt.approvals"),
        (
            {"environments": {"prod": {"lanes": {"dbt": {"budget_minutes": 0}}}}},
            "environments.prod.lanes.dbt.budget_minutes",
        ),
        (
            {"environments": {"prod": {"lanes": {"dbt": {"approvers": ["zoe"]}}}}},
            "environments.prod.lanes.dbt.approvers: 'zoe' is nobody",
        ),
        (
            {"environments": {"prod": {"lanes": {"dbt": {"approvals": 2, "approvers": ["ben"]}}}}},
            "environments.prod.lanes.dbt.approvals: 2 cannot be had from 1 people",
        ),
        (
            {"environments": {"prod": {"rollback": {"approvals": 5}}}},
            "environments.prod.rollback.approvals: 5 cannot be had from 4 people",
        ),
        (
            {"people": {"ana": {"emails": ["a@x"]}, "ben": {"emails": ["A@x"]}}},
            "people.ben.emails: 'A@x' belongs to 'ana' too",
        ),
        (
            {"people": {"ana": {"identities": ["ana"]}, "ben": {"identities": ["Ana"]}}},
            "people.ben.identities: 'Ana' belongs to 'ana' too",
        ),
        ({"comparison": {"row_percent": 1}}, "comparison.row_percent: unknown key"),
        ({"comparison": {"rows_percent": -1}}, "comparison.rows_percent: Input should be greater than or equal to 0"),
        ({"comparison": {"sum_percent": "much"}}, "comparison.sum_percent: Input should be a valid decimal"),
        ({"comparison": {"sum_percent": "NaN"}}, "comparison.sum_percent: Input should be a finite number"),
        ({"comparison": {"duplicate_keys": "0.5"}}, "comparison.duplicate_keys: Input should be a valid integer"),
        ({"comparison": {"unexplained": {"hope": 1}}}, "comparison.unexplained.hope: unknown key"),
        ({"comparison": {"models": {"orders": {"hope": 1}}}}, "comparison.models.orders.hope: unknown key"),
        ({"comparison": {"models": {"a b": {}}}}, "comparison.models.a b.[key]: String should match pattern"),
        *(
            (
                {"comparison": {"acknowledgements": [{**ACKNOWLEDGED, **changes}]}},
                f"comparison.acknowledgements.0{said}",
            )
            for changes, said in (
                ({"slot": None}, ": Value error, it would stay for ever"),
                ({"slot": "d16ba260"}, ": Value error, slot 'd16ba260' is no slot"),
                ({"slot": "D16BA26"}, ": Value error, slot 'D16BA26' is no slot"),
                ({"what": "everything"}, ".what: Input should be"),
                ({"reason": "  "}, ".reason: String should have at least 1 character"),
                ({"until": "soon"}, ".until: Input should be a valid date"),
                ({"colum": "amount"}, ".colum: unknown key"),
                ({"model": ""}, ".model: String should match pattern"),
            )
        ),
        *(
            ({"environments": {"prod": {"lanes": {"dbt": {"windows": [window]}}}}}, f"{window!r} is no window")
            for window in (
                "always",
                "Mon-Fri",
                "Mon-Fri 9:00-17:00",
                "Mon-Fri 17:00-09:00",
                "Mon-Fri 09:00-09:00",
                "Mon-Fri 09:00-24:01",
                "Mon-Fri 24:00-24:00",
                "Mo 09:00-17:00",
                "Mon-Fri 09:00-17:00 ",
            )
        ),
    ],
)
def test_a_mistake_is_named_with_its_place(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        policy_of(**{"environments": ENVIRONMENTS, **changes})

    assert said in str(refused.value)


def test_what_is_said_of_comparisons_reads_back_the_same_and_has_no_floats() -> None:
    """A percentage may be written as a number with decimals; as a float it would have no canonical form."""
    said = {"sum_percent": 0.5, "acknowledgements": [{**ACKNOWLEDGED, "until": date(2026, 12, 31)}]}
    policy = policy_of(comparison=said)

    assert policy.comparison.sum_percent == Decimal("0.5")
    assert Policy.from_bytes(policy.to_bytes(), origin="memory") == policy
    assert policy.comparison.digest != policy_of(comparison={"sum_percent": 0.5}).comparison.digest


def test_a_policy_that_says_nothing_of_comparisons_compares_as_the_projects_own_does() -> None:
    assert policy_of().comparison == load_policy(PROJECT / "config" / "policy.toml").comparison


@pytest.mark.parametrize("left_out", ["dev", "staging", "prod"])
def test_an_environment_that_is_left_out_is_missed(left_out: str) -> None:
    """It would ask for nothing, and nobody would have said so."""
    content = policy_of().model_dump(mode="json")
    del content["environments"][left_out]
    with pytest.raises(ConfigurationError) as refused:
        Policy.from_mapping(content, origin="policy")

    assert f"environments.{left_out}: required key is missing" in str(refused.value)


@pytest.mark.parametrize("left_out", LANES)
def test_a_lane_that_is_left_out_of_an_environment_others_come_before_is_missed(left_out: str) -> None:
    lanes = {lane: {"approvals": 1} for lane in LANES if lane != left_out}
    with pytest.raises(ConfigurationError) as refused:
        policy_of(environments={"prod": {"after": "staging", "lanes": lanes}})

    assert str(refused.value).count("required key is missing") == 1
    assert f"environments.prod.lanes.{left_out}: required key is missing" in str(refused.value)
    assert dict(policy_of(environments={"prod": {"lanes": lanes}}).environments)["prod"].lanes.keys() == lanes.keys()


def test_all_mistakes_of_a_policy_are_named_at_once() -> None:
    rule = {"approvers": ["zoe"], "approvals": 3}
    with pytest.raises(ConfigurationError) as refused:
        policy_of(
            lanes={**GATES, "dbt": {"gates": []}},
            environments={"prod": {"lanes": {"dbt": rule}, "rollback": {"approvals": 5}}},
        )

    for said in ("'dbt.compile' cannot be left out", "'zoe' is nobody", "3 cannot be had from 1", "5 cannot be had"):
        assert said in str(refused.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [(None, "does not exist"), (b"people = [", "config/policy.toml is not TOML"), (b"\xff", "is not TOML")],
    ids=["missing", "no TOML", "no text"],
)
def test_a_file_that_cannot_be_read_says_how_to_bring_it_back(tmp_path: Path, content: bytes | None, said: str) -> None:
    path = tmp_path / "policy.toml"
    if content is not None:
        path.write_bytes(content)

    with pytest.raises(ConfigurationError, match=said) as refused:
        load_policy(path)
    assert refused.value.fix is not None
    assert refused.value.fix.startswith("git ")


# ---- windows ---------------------------------------------------------------------------------------------------


def at(said: str) -> datetime:
    return datetime.fromisoformat(said).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("window", "open_", "shut"),
    [
        # 2026-11-02 is a Monday
        (
            "Mon-Fri 07:00-17:00",
            ["2026-11-02T07:00", "2026-11-06T16:59:59"],
            ["2026-11-02T06:59:59", "2026-11-06T17:00"],
        ),
        ("Mon-Fri 07:00-17:00", ["2026-11-04T12:00"], ["2026-11-07T12:00", "2026-11-08T12:00"]),
        ("Wed 09:00-10:00", ["2026-11-04T09:30"], ["2026-11-03T09:30", "2026-11-05T09:30"]),
        ("Mon-Sun 00:00-24:00", ["2026-11-08T23:59:59", "2026-11-09T00:00"], []),
        ("Sat-Mon 00:00-24:00", ["2026-11-07T00:00", "2026-11-08T23:59:59", "2026-11-09T00:00"], ["2026-11-10T00:00"]),
        ("Fri-Tue 22:00-24:00", ["2026-11-08T22:00", "2026-11-03T23:59"], ["2026-11-04T22:00", "2026-11-05T22:00"]),
        ("Sun-Sun 12:00-13:00", ["2026-11-08T12:00"], ["2026-11-07T12:00", "2026-11-09T12:00"]),
    ],
)
def test_a_window_is_open_from_its_first_minute_until_before_its_last(
    window: str, open_: list[str], shut: list[str]
) -> None:
    policy, rule = policy_of(), LaneRule(windows=(window,))

    assert [one for one in open_ if not policy.is_open(rule, at(one))] == []
    assert [one for one in shut if policy.is_open(rule, at(one))] == []


def test_two_windows_make_a_night_across_the_end_of_the_week() -> None:
    policy, rule = policy_of(), LaneRule(windows=("Sun 22:00-24:00", "Mon 00:00-02:00"))
    begin = at("2026-11-08T21:00")
    found = [policy.is_open(rule, begin + timedelta(minutes=30 * number)) for number in range(12)]

    assert found == [False] * 2 + [True] * 8 + [False] * 2


def test_no_window_is_always_open() -> None:
    assert policy_of().is_open(LaneRule(), at("2026-11-08T03:00"))


@pytest.mark.parametrize(
    ("zone", "moment", "is_open"),
    [
        ("UTC", "2026-07-06T07:30", False),
        ("Europe/Dublin", "2026-07-06T07:30", True),  # summer: an hour ahead
        ("Europe/Dublin", "2026-11-02T07:30", False),
        ("Asia/Tokyo", "2026-11-01T23:30", True),  # Monday there already
        ("Asia/Tokyo", "2026-11-06T08:30", False),  # Friday evening there
        ("Pacific/Auckland", "2026-10-31T23:30", False),  # Sunday there
        ("America/New_York", "2026-11-01T13:30", False),  # the night the clocks went back was Sunday's
        ("America/New_York", "2026-11-02T13:30", True),
    ],
)
def test_a_window_is_read_in_the_policys_time_zone(zone: str, moment: str, is_open: bool) -> None:
    rule = LaneRule(windows=("Mon-Fri 08:00-17:00",))

    assert policy_of(timezone=zone).is_open(rule, at(moment)) is is_open


@given(moment=st.datetimes(min_value=datetime(2000, 1, 1), max_value=datetime(2100, 1, 1)), days=st.data())
def test_a_range_of_days_and_its_rest_make_the_whole_week(moment: datetime, days: st.DataObject) -> None:
    names = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
    first, length = days.draw(st.integers(0, 6)), days.draw(st.integers(1, 6))
    one = f"{names[first]}-{names[(first + length - 1) % 7]} 00:00-24:00"
    rest = f"{names[(first + length) % 7]}-{names[(first + 6) % 7]} 00:00-24:00"
    policy, now = policy_of(), moment.replace(tzinfo=UTC)

    assert policy.is_open(LaneRule(windows=(one,)), now) != policy.is_open(LaneRule(windows=(rest,)), now)


# ---- who is who ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arn", "person"),
    [
        ("arn:aws:iam::123456789012:user/ben", "ben"),
        ("arn:aws:iam::123456789012:user/team/data/ben", "ben"),
        ("arn:aws:sts::123456789012:assumed-role/finedge-prod-approver/ben", "ben"),
        ("arn:aws:sts::123456789012:assumed-role/finedge-prod-approver/Ben", "ben"),
        ("arn:aws:sts::123456789012:assumed-role/ben/someone", None),
        ("arn:aws:iam::123456789012:user/benny", None),
        ("arn:aws:iam::123456789012:root", None),
        ("", None),
    ],
)
def test_a_person_is_the_last_part_of_an_identity(arn: str, person: str | None) -> None:
    assert policy_of().person_of_identity(arn) == person


@pytest.mark.parametrize(
    ("author", "person"),
    [
        ("Ana <ana@finedge.example>", "ana"),
        ("ana@finedge.example", "ana"),
        ("Ana <ANA@Finedge.Example>", "ana"),
        ("Ben <ana@finedge.example>", "ana"),
        ("<ana@finedge.example> <ben@finedge.example>", "ben"),
        ("Ana <ana@finedge.example.org>", None),
        ("ana", None),
    ],
)
def test_an_author_is_the_person_with_the_address_whatever_the_name(author: str, person: str | None) -> None:
    assert policy_of().person_of_author(author) == person


def test_the_address_of_an_author_without_one_is_the_whole_of_it() -> None:
    assert address_of("  Someone Else ") == "someone else"


def test_gates_of_lanes_are_asked_once_and_in_one_order() -> None:
    policy = policy_of()

    assert policy.gates_of(("config", "dags", "migration")) == policy.gates_of(("migration", "dags"))
    assert policy.gates_of(LANES)[0] == "dags.import"


def test_an_environment_of_which_nothing_is_said_asks_for_nothing() -> None:
    assert policy_of().rules("dev").lanes == {}
