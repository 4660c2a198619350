"""infra.plan, infra.bootstrap: the environment's Terraform root by itself."""

from __future__ import annotations

from invoke import Context, task

from slipway import render
from slipway.adapters.git import Git
from slipway.tasks.boundary import PROJECT, boundary, progress
from slipway.wiring import bootstrap as bootstrap_environment
from slipway.wiring import open_site, operate

_ENV = "the environment: dev, staging or prod"


@task(help={"env": _ENV, "json": "print one JSON document on standard output"})
@boundary
def plan(_: Context, env: str, json: bool = False) -> None:
    """Show what Terraform would change, destroys first: invoke infra.plan --env prod"""
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        operation = operate(site, Git(PROJECT).release_at("HEAD"))
        shown("terraform plan")
        facts = operation.infrastructure.facts(plan=True)
    if json:
        render.print_json(facts.model_dump(mode="json"))
    else:
        render.show_infrastructure(env, facts)


@task(help={"env": _ENV})
@boundary
def bootstrap(_: Context, env: str) -> None:
    """Make, once, what a first deployment needs in an account: invoke infra.bootstrap --env prod"""
    with progress() as shown, open_site(PROJECT, env, start=True, progress=shown) as site:
        operation = operate(site, Git(PROJECT).release_at("HEAD"))
        with shown.phase(f"{env} bootstrapped: Terraform root, databases, roles"):
            bootstrap_environment(site, operation, shown)
