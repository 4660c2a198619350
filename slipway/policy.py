"""The policy: what a change needs before it may go where, as `config/policy.toml` says it.

Rules:
- What a plan contains (its lanes) decides which gates are asked, how many people must approve, in which hours it may
  go, and how long it may take. The strictest lane of a plan counts.
- People are named here with the identities AWS knows them by and the addresses git knows them by, because the author
  of a change must not be the one who approves it.
- A lane cannot do without the gates that keep broken code out (`INDISPENSABLE`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, tzinfo
from pathlib import Path
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, Field, model_validator

from slipway.documents import Document, read_toml
from slipway.retention import RetentionRules
from slipway.threshold import ComparisonRules

Lane = Literal["dags", "dbt", "migration", "config", "infra"]
LANES: tuple[Lane, ...] = ("infra", "migration", "dbt", "dags", "config")
GateId = Literal[
    "dags.import",
    "dbt.compile",
    "migration.edited",
    "migration.order",
    "migration.undo",
    "migration.lint",
    "migration.contract",
    "infra.destroys-data",
    "stage",
    "review",
    "window",
    "budget",
    "approvals",
]
CHECKS: tuple[GateId, ...] = (
    "dags.import",
    "dbt.compile",
    "migration.edited",
    "migration.order",
    "migration.undo",
    "migration.lint",
    "migration.contract",
    "infra.destroys-data",
)
INDISPENSABLE: dict[Lane, frozenset[GateId]] = {
    "dags": frozenset({"dags.import"}),
    "dbt": frozenset({"dbt.compile"}),
    "migration": frozenset({"migration.edited"}),
    "config": frozenset({"dags.import"}),
    "infra": frozenset(),
}

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_WINDOW = re.compile(
    r"(?P<first>Mon|Tue|Wed|Thu|Fri|Sat|Sun)(?:-(?P<last>Mon|Tue|Wed|Thu|Fri|Sat|Sun))? "
    r"(?P<begin>[01]\d:[0-5]\d|2[0-3]:[0-5]\d)-(?P<end>[01]\d:[0-5]\d|2[0-3]:[0-5]\d|24:00)"
)
_ADDRESS = re.compile(r"<([^<>]*)>\s*$")


def _is_window(value: str) -> str:
    found = _WINDOW.fullmatch(value)
    if found is None or found["begin"] >= found["end"]:
        raise ValueError(f"{value!r} is no window; write one as 'Mon-Fri 07:00-17:00'")
    return value


def _is_zone(value: str) -> str:
    try:
        _zone(value)
    except (ZoneInfoNotFoundError, ValueError) as error:
        raise ValueError(f"{value!r} is no time zone; write one as 'Europe/Dublin' or 'UTC'") from error
    return value


Window = Annotated[str, AfterValidator(_is_window)]
Zone = Annotated[str, AfterValidator(_is_zone)]


class Person(Document):
    """Someone who writes or approves changes.

    Attributes:
        identities: names AWS knows the person by: an IAM user's name, or the name of a role session.
        emails: addresses git knows the person by.
    """

    identities: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()


class ApprovalRules(Document):
    """How long an approval is good for."""

    ttl_hours: int = Field(ge=1, le=24 * 14)


class BreakGlass(Document):
    """What an emergency needs in place of what it lifts: several people, a reason, and an end."""

    people: int = Field(ge=2, le=5)
    minutes: int = Field(ge=5, le=240)


class DbtRules(Document):
    """What the dbt project may cost every run that builds it.

    Attributes:
        parse_seconds: that dbt may take to read it; parsing is given up after two minutes.
    """

    parse_seconds: int = Field(default=60, ge=1, le=110)


class LaneGates(Document):
    """The checks a lane is asked for in every environment."""

    gates: tuple[GateId, ...]


class LaneRule(Document):
    """What one lane needs in one environment.

    Attributes:
        approvals: how many different people must approve.
        approvers: who may; empty means every person of the policy.
        windows: when it may begin; empty means at any time.
        budget_minutes: how long it may be expected to take; absent means as long as it takes.
    """

    approvals: int = Field(default=0, ge=0, le=5)
    approvers: tuple[str, ...] = ()
    windows: tuple[Window, ...] = ()
    budget_minutes: int | None = Field(default=None, ge=1)


class EnvironmentRules(Document):
    """What an environment asks of the changes that come to it.

    Attributes:
        after: the environment in which a release must have succeeded before.
        lanes: what each lane needs; all are named where `after` is, elsewhere one that is not needs only its gates.
        rollback: what going back needs.
        backfill: what running past dates again needs.
    """

    after: Literal["dev", "staging"] | None = None
    lanes: dict[Lane, LaneRule] = Field(default_factory=dict)
    rollback: LaneRule = LaneRule()
    backfill: LaneRule = LaneRule()


class Policy(Document):
    """Everything `config/policy.toml` says."""

    timezone: Zone = "UTC"
    people: dict[str, Person]
    automation: tuple[str, ...] = ()  # addresses of committers that are no people, such as a forge's merge button
    approvals: ApprovalRules
    break_glass: BreakGlass
    retention: RetentionRules = RetentionRules()
    dbt: DbtRules = DbtRules()
    lanes: dict[Lane, LaneGates]
    environments: dict[Literal["dev", "staging", "prod"], EnvironmentRules]
    comparison: ComparisonRules = ComparisonRules()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if problems := (*self._lane_problems(), *self._rule_problems(), *self._people_problems()):
            raise ValueError("; ".join(problems))
        return self

    def _lane_problems(self) -> Iterator[str]:
        for lane in LANES:
            if lane not in self.lanes:
                yield f"lanes.{lane}: required key is missing"
                continue
            for gate in sorted(INDISPENSABLE[lane] - set(self.lanes[lane].gates)):
                yield f"lanes.{lane}.gates: {gate!r} cannot be left out"

    def _rule_problems(self) -> Iterator[str]:
        for environment in ("dev", "staging", "prod"):
            if environment not in dict(self.environments):
                yield f"environments.{environment}: required key is missing"
        for environment, rules in self.environments.items():
            for lane in LANES if rules.after else ():
                if lane not in rules.lanes:
                    yield f"environments.{environment}.lanes.{lane}: required key is missing"
            named: dict[str, LaneRule] = {f"lanes.{lane}": rule for lane, rule in rules.lanes.items()}
            for place, rule in {**named, "rollback": rules.rollback, "backfill": rules.backfill}.items():
                for stranger in sorted(set(rule.approvers) - set(self.people)):
                    yield f"environments.{environment}.{place}.approvers: {stranger!r} is nobody"
                able = len(rule.approvers or self.people)
                if rule.approvals > able:
                    where = f"environments.{environment}.{place}.approvals"
                    yield f"{where}: {rule.approvals} cannot be had from {able} people"

    def _people_problems(self) -> Iterator[str]:
        owners: dict[tuple[str, str], str] = {}
        for name, person in self.people.items():
            for kind, values in (("identities", person.identities), ("emails", person.emails)):
                for value in values:
                    other = owners.setdefault((kind, value.lower()), name)
                    if other != name:
                        yield f"people.{name}.{kind}: {value!r} belongs to {other!r} too"

    def rules(self, environment: str) -> EnvironmentRules:
        """Return what `environment` asks; nothing when the policy does not name it."""
        found: EnvironmentRules | None = dict(self.environments).get(environment)  # type: ignore[call-overload]
        return found or EnvironmentRules()

    def asks(
        self, environment: str, *, purpose: Literal["deploy", "rollback", "backfill"], lanes: Iterable[Lane]
    ) -> tuple[tuple[str, LaneRule], ...]:
        """Return what each lane of a plan needs in `environment`; a rollback or a backfill needs one thing whatever its
        lanes."""
        rules = self.rules(environment)
        if purpose == "backfill":
            return (("backfill", rules.backfill),)
        if purpose == "rollback":
            return (("rollback", rules.rollback),)
        return tuple((lane, rules.lanes.get(lane, LaneRule())) for lane in lanes)

    def person_of_identity(self, arn: str) -> str | None:
        """Return the person who is `arn` in AWS, or None. The last part of an ARN names a user or a role session."""
        name = arn.rpartition("/")[2].lower()
        return next(
            (who for who, one in self.people.items() if name in {identity.lower() for identity in one.identities}), None
        )

    def person_of_author(self, author: str) -> str | None:
        """Return the person who is `author` ("Name <address>") in git, or None."""
        address = address_of(author)
        return next((who for who, one in self.people.items() if address in {mail.lower() for mail in one.emails}), None)

    def is_automation(self, author: str) -> bool:
        """Return whether `author` is a committer that is no person."""
        return address_of(author) in {mail.lower() for mail in self.automation}

    def gates_of(self, lanes: Iterable[Lane]) -> tuple[GateId, ...]:
        """Return the checks that `lanes` ask for, in the order of `CHECKS`."""
        wanted = {gate for lane in lanes for gate in self.lanes[lane].gates}
        return tuple(gate for gate in CHECKS if gate in wanted)

    def is_open(self, rule: LaneRule, now: datetime) -> bool:
        """Return whether `now` is inside one of the rule's windows, or it has none."""
        return not rule.windows or any(
            _contains(window, now.astimezone(_zone(self.timezone))) for window in rule.windows
        )


def address_of(author: str) -> str:
    """Return the address in "Name <address>", in lower case; the whole text when there is none."""
    found = _ADDRESS.search(author)
    return (found[1] if found else author).strip().lower()


def load_policy(path: Path) -> Policy:
    """Return the policy in `path`; raise `ConfigurationError` that lists everything wrong with it."""
    return Policy.from_mapping(read_toml(path), origin=f"config/{path.name}")


def _zone(name: str) -> tzinfo:
    return UTC if name == "UTC" else ZoneInfo(name)


def _contains(window: str, now: datetime) -> bool:
    found = _WINDOW.fullmatch(window)
    if found is None:
        raise AssertionError("windows are validated")
    first = _DAYS.index(found["first"])
    last = _DAYS.index(found["last"] or found["first"])
    days = range(first, last + 1) if first <= last else (*range(first, 7), *range(last + 1))
    return now.weekday() in days and found["begin"] <= now.strftime("%H:%M") < found["end"]
