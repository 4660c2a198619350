"""approve, approval.request, approval.review: who allows a plan, and who looks at an emergency afterwards."""

from __future__ import annotations

from datetime import UTC, datetime

from invoke import Context, task

from slipway import render
from slipway.approval import Approval, Review, authors_of, refuse_overtaken, share_in
from slipway.errors import Blocked, ConfigurationError
from slipway.operation import open_site
from slipway.plan import Plan
from slipway.policy import Policy
from slipway.release import short
from slipway.tasks.boundary import PROJECT, boundary

_ENV = "the environment: dev, staging or prod"
_PLAN = "the plan's id, or its first 8 digits or more"
_REASON = "why, for the record"


@task(
    help={
        "env": _ENV,
        "plan": _PLAN,
        "reason": _REASON,
        "break-glass": "an emergency: lift what can wait, together with others, for a short time",
        "json": "print one JSON document on standard output",
    }
)
@boundary
def approve(_: Context, env: str, plan: str, reason: str, break_glass: bool = False, json: bool = False) -> None:
    """Sign a plan, so that it may be applied. Who signs is whom AWS knows the caller as.

    Example: AWS_PROFILE=ben invoke approve --env prod --plan 3f2a9c1b04de --reason "reviewed with Ana"
    """
    _require_reason(reason, f'invoke approve --env {env} --plan {plan} --reason "what you looked at"')
    with open_site(PROJECT, env, start=False, role="approver") as site:
        site.require_journal()
        found = site.bucket.plan(plan)
        if found.environment != env:
            raise ConfigurationError(
                f"plan {short(found.id)} is for {found.environment}",
                fix=f"invoke approve --env {found.environment} --plan {short(found.id)} --reason WHY",
            )
        refuse_overtaken(found, site.history())
        caller = site.aws.caller()
        person = _person(site.policy, caller.arn, env)
        _refuse_author(site.policy, found, person, breaks_glass=break_glass)
        approval = Approval(
            kind="break-glass" if break_glass else "approval",
            plan=found.id,
            environment=env,
            identity=caller.arn,
            user_id=caller.user_id,
            reason=reason.strip(),
            at=_now(),
        )
        key = site.evidence.approve(approval, site.signer("approvals"))
    if json:
        render.print_json({**approval.model_dump(mode="json"), "person": person, "key": key})
        return
    render.show_signed_plan(found)
    verb = "broke the glass for" if break_glass else "approved"
    flag = " --break-glass" if break_glass else ""
    command = {
        "deploy": f"deploy --env {env} --plan {short(found.id)}{flag}",
        "backfill": f"backfill.run --env {env} --plan {short(found.id)}",
        "rollback": f"rollback --env {env}, to {found.version}",
    }[found.purpose]
    render.out().print(
        f"{person} {verb} plan {short(found.id)} for {env}, good until it changes or for "
        f"{_good_for(site.policy, break_glass)}\nnext: invoke {command}"
    )


@task(help={"env": _ENV, "plan": _PLAN})
@boundary
def request(_: Context, env: str, plan: str) -> None:
    """Send what a plan would do to the people who may approve it.

    Example: invoke approval.request --env prod --plan 3f2a9c1b04de
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_journal()
        found = site.bucket.plan(plan)
        message = site.publish(
            subject=f"Approval wanted: {found.purpose} to {env}, plan {short(found.id)}",
            text="\n".join(render.plan_lines(found))
            + f'\n\ninvoke approve --env {env} --plan {short(found.id)} --reason "..."\n',
        )
    render.out().print(f"asked for approval of plan {short(found.id)}: message {message}")


@task(help={"env": _ENV, "deployment": "the deployment's id", "reason": _REASON})
@boundary
def review(_: Context, env: str, deployment: str, reason: str) -> None:
    """Sign that you looked at a deployment which broke the glass; the next one may go again.

    Example: AWS_PROFILE=chris invoke approval.review --env prod --deployment d-... --reason "INC-12 closed"
    """
    _require_reason(reason, f'invoke approval.review --env {env} --deployment {deployment} --reason "what you found"')
    with open_site(PROJECT, env, start=False, role="approver") as site:
        site.require_journal()
        found = next((one for one in site.history() if one.id == deployment), None)
        if found is None or not found.breaks_glass:
            raise ConfigurationError(
                f"{deployment} is no deployment to {env} that broke the glass", fix=f"invoke status --env {env}"
            )
        if found.state in ("applying", "verifying"):
            raise Blocked(
                f"{deployment} has not come to its end",
                fix=f"invoke status --env {env}; when its process is gone, the same command goes on with it",
            )
        caller = site.aws.caller()
        person = _person(site.policy, caller.arn, env)
        authors, _strangers = authors_of(site.bucket.plan(found.plan), site.policy)
        if person in (*found.approved_by, *authors):
            raise Blocked(f"{person} took part in {deployment}", fix="have someone review it who did not")
        said = Review(
            deployment=deployment,
            environment=env,
            identity=caller.arn,
            user_id=caller.user_id,
            reason=reason.strip(),
            at=_now(),
        )
        site.evidence.review(said, site.signer("approvals"))
    render.out().print(f"{person} reviewed {deployment}: {reason.strip()}", markup=False)


def _person(policy: Policy, arn: str, env: str) -> str:
    person = policy.person_of_identity(arn)
    if person is None:
        raise Blocked(
            f"AWS knows you as {arn}, and that is nobody in config/policy.toml",
            fix=f"act as one of {', '.join(sorted(policy.people))}: set AWS_PROFILE to your approver profile of {env}",
        )
    return person


def _refuse_author(policy: Policy, plan: Plan, person: str, *, breaks_glass: bool) -> None:
    """Tell an author at once that the signature would not count; gates judge it again when the plan is applied."""
    authors, _strangers = authors_of(plan, policy)
    if person in authors and not breaks_glass:
        raise Blocked(
            f"{person} {share_in(plan)} plan {short(plan.id)}, and nobody approves their own change",
            fix=f"ask one of {', '.join(sorted(set(policy.people) - authors)) or 'the others'}",
        )


def _require_reason(reason: str, fix: str) -> None:
    if not reason.strip():
        raise ConfigurationError("a reason is required; it is signed and kept", fix=fix)


def _good_for(policy: Policy, breaks_glass: bool) -> str:
    return f"{policy.break_glass.minutes} min" if breaks_glass else f"{policy.approvals.ttl_hours} h"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
