"""infra.plan, bootstrap, unlock: the environment's Terraform root by itself."""

from __future__ import annotations

from invoke import Context, task

from slipway import render
from slipway.adapters.git import Git
from slipway.operation import bootstrap as bootstrap_environment
from slipway.operation import open_site, operate
from slipway.tasks.boundary import PROJECT, boundary, progress

_ENV = "the environment: dev, staging or prod"


@task(help={"env": _ENV, "json": "print one JSON document on standard output"})
@boundary
def plan(_: Context, env: str, json: bool = False) -> None:
    """Show what Terraform would change, destroys first.

    Example: invoke infra.plan --env prod
    """
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        operation = operate(site)
        shown("terraform plan")
        facts = operation.infrastructure.facts(plan=True)
    if json:
        render.print_json(facts.model_dump(mode="json"))
    else:
        render.show_infrastructure(env, facts)


@task(help={"env": _ENV})
@boundary
def bootstrap(_: Context, env: str) -> None:
    """Make, once, what a first deployment needs in an account.

    Example: invoke infra.bootstrap --env prod
    """
    git = Git(PROJECT)
    git.refuse_dirty()
    with progress() as shown, open_site(PROJECT, env, start=True, progress=shown) as site:
        operation = operate(site)
        with shown.phase(f"{env} bootstrapped: Terraform root, databases, roles"):
            bootstrap_environment(site, operation, shown)


@task(help={"env": _ENV, "lock-id": "the lock's id, as Terraform's error names it"})
@boundary
def unlock(_: Context, env: str, lock_id: str) -> None:
    """Take Terraform's lock from a process that is gone.

    Example: invoke infra.unlock --env prod --lock-id ID
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        operate(site).infrastructure.unlock(lock_id)
    render.out().print(f"{env}: the lock {lock_id} is gone; invoke infra.plan --env {env} shows what is left to do")
