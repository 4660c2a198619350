"""Gates: rules that pass or block, each with an id, a reason and the command that mends it. Pure.

Rules:
- Which gates are asked is the policy's: the checks of the plan's lanes, and what the environment wants besides.
- Every gate is asked, so that all that stands in the way shows at once. One that only time or people can open is
  "waiting"; the plan itself is in order.
- A change of the policy is judged by the policy that is live and by the new one (`judge`): nobody lowers a gate with
  the very change that passes under it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import ceil
from typing import Literal

from slipway.approval import (
    LIFTED,
    TO_BEGIN,
    Counted,
    Signed,
    authors_of,
    is_glass_broken,
    share_in,
    tally,
    tally_break_glass,
)
from slipway.documents import Document
from slipway.lineage import NOTHING_TAKEN, Contraction
from slipway.migration import edited_scripts, late_scripts, pending_scripts, scripts_without_undo, undo_of
from slipway.observation import Observation
from slipway.plan import Plan
from slipway.policy import GateId, LaneRule, Policy
from slipway.release import Release, short
from slipway.step import ApplyInfrastructure, StepKind

State = Literal["passed", "blocked", "waiting", "lifted"]


class Problem(Document):
    """One thing a check found in a release."""

    file: str
    message: str


class CheckReport(Document):
    """What the checks found before anything was touched: DAGs imported, dbt project compiled, scripts read."""

    dag_ids: tuple[str, ...] = ()
    dag_problems: tuple[Problem, ...] = ()
    dbt_problems: tuple[Problem, ...] = ()
    dbt_parse_ms: int | None = None  # that dbt takes to read the project, at the beginning of each of its commands
    migration_problems: tuple[Problem, ...] = ()  # of every script, applied or not
    relations: tuple[str, ...] = ()  # LAYER.NAME of everything that the dbt project makes


class Result(Document):
    """What one gate said. A gate that refuses for several reasons says several of these."""

    id: GateId
    state: State
    reason: str
    fix: str | None = None

    @property
    def stands_in_the_way(self) -> bool:
        """True unless the plan may pass it."""
        return self.state in ("blocked", "waiting")


@dataclass(frozen=True, kw_only=True)
class Case:
    """Everything the gates judge.

    Attributes:
        forecast_ms: how long the plan is expected to take; None when nothing like it was ever done.
        never_done: kinds of its steps that the forecast knows nothing of.
        staged: environment -> the deployment that proves the release succeeded there.
        unreviewed: deployments that broke the glass and wait for a review.
        breaks_glass: whether the one who deploys asked for it.
        contraction: what the pending scripts take that releases need.
    """

    plan: Plan
    release: Release
    checks: CheckReport
    seen: Observation
    policy: Policy
    now: datetime
    signed: tuple[Signed, ...] = ()
    forecast_ms: int | None = None
    never_done: tuple[StepKind, ...] = ()
    staged: Mapping[str, str] = field(default_factory=dict)
    unreviewed: tuple[str, ...] = ()
    breaks_glass: bool = False
    contraction: Contraction = NOTHING_TAKEN


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the gates said together, and whose approvals counted."""

    results: tuple[Result, ...]
    counted: tuple[Counted, ...] = ()
    glass_broken: bool = False
    obstacles: tuple[Result, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "obstacles", tuple(one for one in self.results if one.stands_in_the_way))

    @property
    def is_open(self) -> bool:
        """True when the plan may be applied."""
        return not self.obstacles

    @property
    def only_waits(self) -> bool:
        """True when nothing but time or people stands in the way."""
        return all(one.state == "waiting" for one in self.obstacles)


def judge(case: Case, live: Policy | None) -> Verdict:
    """Return the verdict under the case's policy, with what the live one would refuse and whom it counts besides.

    No side effects.
    """
    verdict = evaluate(case)
    if live is None or live == case.policy:
        return verdict
    before = evaluate(replace(case, policy=live))
    known = {(one.id, one.reason) for one in verdict.results}
    more = tuple(
        one.model_copy(update={"reason": f"{one.reason} (says the policy that is live)"})
        for one in before.obstacles
        if (one.id, one.reason) not in known
    )
    counted = {one.sha256: one for one in (*verdict.counted, *before.counted)}
    return replace(
        verdict,
        results=(*verdict.results, *more),
        counted=tuple(counted.values()),
        glass_broken=verdict.glass_broken and before.glass_broken,
    )


def evaluate(case: Case) -> Verdict:
    """Return what every gate says about the case. No side effects."""
    if case.plan.is_empty:
        return Verdict(results=())
    broken = tally_break_glass(case.signed, case.plan, case.policy, now=case.now, ahead=TO_BEGIN)
    glass_broken = case.breaks_glass and is_glass_broken(broken, case.plan, case.policy)
    results = [
        lifted(one) if glass_broken and one.id in LIFTED and one.stands_in_the_way else one
        for gate in asked(case)
        for one in gate(case)
    ]
    if case.breaks_glass and not glass_broken:
        results.append(_glass_is_whole(case, broken.people, broken.refused))
    return Verdict(results=tuple(results), counted=_counted(case), glass_broken=glass_broken)


def asked(case: Case) -> tuple[Callable[[Case], Sequence[Result]], ...]:
    """Return the gates the case is asked, in their order."""
    checks = [GATES[name] for name in case.policy.gates_of(case.plan.lanes)]
    return (*checks, GATES["stage"], GATES["review"], GATES["window"], GATES["budget"], GATES["approvals"])


def lifted(result: Result) -> Result:
    """Return the result of a gate that was lifted in an emergency."""
    return result.model_copy(update={"state": "lifted", "reason": f"break-glass: {result.reason}", "fix": None})


def rules_of(case: Case) -> tuple[tuple[str, LaneRule], ...]:
    """Return what each lane of the plan needs."""
    return case.policy.asks(case.plan.environment, purpose=case.plan.purpose, lanes=case.plan.lanes)


def _alike(case: Case, of: Callable[[LaneRule], object]) -> tuple[tuple[str, LaneRule], ...]:
    """Return what each lane needs, with lanes that need the same, as `of` tells it, put together under one name."""
    grouped: dict[object, tuple[list[str], LaneRule]] = {}
    for lane, rule in rules_of(case):
        grouped.setdefault(of(rule), ([], rule))[0].append(lane)
    return tuple((", ".join(lanes), rule) for lanes, rule in grouped.values())


# ---- checks of the release -------------------------------------------------------------------------------------


def _dags_import(case: Case) -> Sequence[Result]:
    return _told(
        "dags.import",
        [f"{one.file}: {one.message}" for one in case.checks.dag_problems],
        fix="./nox -s dags, mend the file and commit",
        passed=f"{len(case.checks.dag_ids)} DAGs import",
    )


def _dbt_compile(case: Case) -> Sequence[Result]:
    took_ms, most_s = case.checks.dbt_parse_ms or 0, case.policy.dbt.parse_seconds
    if took_ms > most_s * 1000 and any(step.kind == "build" for step in case.plan.steps):
        return [
            Result(
                id="dbt.compile",
                state="blocked",
                reason=f"dbt reads the project for {ceil(took_ms / 100) / 10} s, in every run that builds it; "
                f"{most_s} s are allowed",
                fix="give the command again on a machine with less to do; or take out what no node needs (packages, "
                "macros); or raise dbt.parse_seconds in config/policy.toml, in a release before this one",
            )
        ]
    return _told(
        "dbt.compile",
        [f"{one.file}: {one.message}" for one in case.checks.dbt_problems],
        fix="./nox -s dbt, mend the file and commit",
        passed="the dbt project compiles",
    )


def _migration_edited(case: Case) -> Sequence[Result]:
    found = [
        Result(
            id="migration.edited",
            state="blocked",
            reason=f"{name} was applied with other content",
            fix=f"restore snowflake_migrations/scripts/{name} and put the change in a new V script",
        )
        for name in edited_scripts(_migrations(case), case.seen.warehouse.migrations)
    ]
    return found or [_passed("migration.edited", "no applied script was edited")]


def _migration_order(case: Case) -> Sequence[Result]:
    found = [
        Result(
            id="migration.order",
            state="blocked",
            reason=f"{name} has no higher version than every script that was applied",
            fix=f"rename snowflake_migrations/scripts/{name} to a version above it, and its undo",
        )
        for name in late_scripts(_migrations(case), case.seen.warehouse.migrations)
    ]
    return found or [_passed("migration.order", "no script comes late")]


def _migration_undo(case: Case) -> Sequence[Result]:
    found = [
        Result(
            id="migration.undo",
            state="blocked",
            reason=f"{name} has no undo beside it",
            fix=f"add snowflake_migrations/undo/U{name[1:]}",
        )
        for name in scripts_without_undo(_migrations(case))
    ]
    return found or [_passed("migration.undo", "every V script has an undo")]


def _migration_lint(case: Case) -> Sequence[Result]:
    """Judge what is about to run; what was applied is as it is."""
    names = pending_scripts(_migrations(case), case.seen.warehouse.migrations)
    pending = {*names, *map(undo_of, names)}
    return _told(
        "migration.lint",
        [
            f"{one.file}: {one.message}"
            for one in case.checks.migration_problems
            if one.file.rpartition("/")[2] in pending
        ],
        fix="invoke migrate.lint, mend the script or say why in it, and commit",
        passed="what the scripts do is said in them",
    )


def _migration_contract(case: Case) -> Sequence[Result]:
    ends = ", ".join(case.contraction.ends)
    return _told(
        "migration.contract",
        [f"{script}: {said}" for script, said in case.contraction.conflicts],
        fix="deploy a release that does without first; what is only retained may be given up by saying why in the "
        "script: -- slipway: ends rollbacks: WHY",
        passed=f"it ends the rollbacks to {ends}" if ends else "nothing is taken that a release needs",
    )


def _destroys_data(case: Case) -> Sequence[Result]:
    doomed = [one for step in case.plan.steps if isinstance(step, ApplyInfrastructure) for one in step.destroys_data]
    return _told(
        "infra.destroys-data",
        [f"terraform would destroy {address}, which holds data" for address in doomed],
        fix=f"invoke infra.plan --env {case.plan.environment}, and take the deletion out of the release",
        passed="nothing that holds data is destroyed",
    )


# ---- what the environment wants --------------------------------------------------------------------------------


def _stage(case: Case) -> Sequence[Result]:
    before = case.policy.rules(case.plan.environment).after
    if before is None or case.plan.purpose != "deploy":
        return ()
    if before in case.staged:
        return [_passed("stage", f"this very release succeeded in {before}: {case.staged[before]}")]
    return [
        Result(
            id="stage",
            state="blocked",
            reason=f"release {short(case.plan.release)} has no signed success in {before}",
            fix=f"invoke deploy --env {before}",
        )
    ]


def _review(case: Case) -> Sequence[Result]:
    if case.plan.purpose == "rollback":
        return ()
    return [
        Result(
            id="review",
            state="waiting",
            reason=f"{one} broke the glass and was not reviewed",
            fix=f"invoke approval.review --env {case.plan.environment} --deployment {one} --reason WHY",
        )
        for one in case.unreviewed
    ]


def _window(case: Case) -> Sequence[Result]:
    found = []
    for lanes, rule in _alike(case, lambda rule: rule.windows):
        if not rule.windows:
            continue
        said = f"{lanes}: {', '.join(rule.windows)} {case.policy.timezone}"
        if case.policy.is_open(rule, case.now):
            found.append(_passed("window", f"inside {said}"))
        else:
            fix = f"wait for it, or break the glass: invoke deploy --env {case.plan.environment} --break-glass"
            found.append(Result(id="window", state="waiting", reason=f"outside {said}", fix=fix))
    return found


def _budget(case: Case) -> Sequence[Result]:
    budgets = [rule.budget_minutes for _, rule in rules_of(case) if rule.budget_minutes is not None]
    if not budgets:
        return ()
    budget = min(budgets)
    if case.forecast_ms is None:
        return [_passed("budget", f"nothing like it was done before; {budget} min are allowed")]
    said = f"about {case.forecast_ms / 60_000:.1f} min expected of {budget}"
    if case.never_done:
        said += f", besides what was never done here: {', '.join(case.never_done)}"
    if case.forecast_ms <= budget * 60_000:
        return [_passed("budget", said)]
    fix = "make the change smaller, or raise budget_minutes in config/policy.toml"
    return [Result(id="budget", state="blocked", reason=said, fix=fix)]


def _approvals(case: Case) -> Sequence[Result]:
    found: list[Result] = []
    for lanes, rule in _alike(case, lambda rule: (rule.approvals, rule.approvers)):
        if rule.approvals == 0:
            continue
        _, strangers = authors_of(case.plan, case.policy)
        if strangers:
            said = f"{share_in(case.plan)} this and is nobody in config/policy.toml, so may be anybody"
            return [
                Result(
                    id="approvals",
                    state="blocked",
                    reason=f"{author} {said}",
                    fix="add the address to the person it belongs to, under [people] in config/policy.toml, and commit",
                )
                for author in strangers
            ]
        sum_ = tally(case.signed, case.plan, case.policy, rule, now=case.now, ahead=TO_BEGIN)
        said = f"{lanes}: {len(sum_.people)} of {rule.approvals} approvals"
        said += f" ({', '.join(sum_.people)})" if sum_.people else ""
        if len(sum_.people) >= rule.approvals:
            found.append(_passed("approvals", said))
        else:
            said += "".join(f"; not counted: {one}" for one in sum_.refused)
            found.append(Result(id="approvals", state="waiting", reason=said, fix=_how_to_approve(case)))
    return found


GATES: Mapping[GateId, Callable[[Case], Sequence[Result]]] = {
    "dags.import": _dags_import,
    "dbt.compile": _dbt_compile,
    "migration.edited": _migration_edited,
    "migration.order": _migration_order,
    "migration.undo": _migration_undo,
    "migration.lint": _migration_lint,
    "migration.contract": _migration_contract,
    "infra.destroys-data": _destroys_data,
    "stage": _stage,
    "review": _review,
    "window": _window,
    "budget": _budget,
    "approvals": _approvals,
}


def _counted(case: Case) -> tuple[Counted, ...]:
    """Return every approval that counts for one of the plan's lanes, and those that break the glass."""
    found: dict[str, Counted] = {}
    for _, rule in rules_of(case):
        for one in tally(case.signed, case.plan, case.policy, rule, now=case.now, ahead=TO_BEGIN).counted:
            found.setdefault(one.sha256, one)
    if case.breaks_glass:
        for one in tally_break_glass(case.signed, case.plan, case.policy, now=case.now, ahead=TO_BEGIN).counted:
            found.setdefault(one.sha256, one)
    return tuple(found.values())


def _glass_is_whole(case: Case, people: Sequence[str], refused: Sequence[str]) -> Result:
    said = f"{len(people)} of {case.policy.break_glass.people} people broke the glass"
    said += f" ({', '.join(people)})" if people else ""
    said += "".join(f"; not counted: {one}" for one in refused)
    if len(people) >= case.policy.break_glass.people:
        said += "; one of them must not be an author of the change"
    return Result(id="approvals", state="waiting", reason=said, fix=f"{_how_to_approve(case)} --break-glass")


def _how_to_approve(case: Case) -> str:
    return f"invoke approve --env {case.plan.environment} --plan {short(case.plan.id)} --reason WHY"


def _migrations(case: Case) -> Mapping[str, str]:
    return case.release.manifest.components["migrations"]


def _told(gate: GateId, problems: Iterable[str], *, fix: str, passed: str) -> Sequence[Result]:
    found = [Result(id=gate, state="blocked", reason=one, fix=fix) for one in problems]
    return found or [_passed(gate, passed)]


def _passed(gate: GateId, said: str) -> Result:
    return Result(id=gate, state="passed", reason=said)
