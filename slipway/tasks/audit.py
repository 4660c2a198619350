"""audit.verify, show, evidence, check, key: what happened, proven."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

from invoke import Context, task

from slipway import render
from slipway.adapters import evidence_file
from slipway.adapters.signing import keys_in
from slipway.deployment import Deployment, fold
from slipway.errors import Blocked, ConfigurationError, Tampered
from slipway.operation import open_site
from slipway.record import Record
from slipway.site import Purpose
from slipway.story import story
from slipway.tasks.boundary import PROJECT, boundary

_ENV = "the environment: dev, staging or prod"
_JSON = "print one JSON document on standard output"
_DEPLOYMENT = "the deployment's id; the last one when not given"


@task(help={"env": _ENV, "json": _JSON})
@boundary
def verify(_: Context, env: str, json: bool = False) -> None:
    """Hold journal, plans, approvals and evidence against each other.

    Example: invoke audit.verify --env prod
    """
    began = time.monotonic()
    with open_site(PROJECT, env, start=False) as site:
        site.require_journal()
        found = Record(site).audit()
    if json:
        render.print_json(render.verification_document(env, found))
    else:
        render.show_verification(env, found, seconds=time.monotonic() - began)
    if not found.holds:
        raise Tampered(
            f"{len(found.findings)} contradiction(s) in the records of {env}",
            fix="see docs/runbooks/tampered-records.md; deploy nothing before it is understood",
        )


@task(help={"env": _ENV, "deployment": _DEPLOYMENT})
@boundary
def show(_: Context, env: str, deployment: str = "") -> None:
    """Tell a deployment as a story, from its signed evidence.

    Example: invoke audit.show --env prod
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_journal()
        journal = site.journal.events()
        name = deployment or _newest(fold(journal), env)
        bundle, _envelope = site.evidence.bundle(name, site.signer("evidence").verification_key)
    render.show_story(bundle, story(bundle, journal))


@task(help={"env": _ENV, "deployment": _DEPLOYMENT, "out": "the file to write; it must not exist"})
@boundary
def evidence(_: Context, env: str, out: str, deployment: str = "") -> None:
    """Write a deployment's signed evidence into one file that verifies offline.

    Example: invoke audit.evidence --env prod --deployment d-... --out evidence.zip
    """
    path = Path(out)
    with open_site(PROJECT, env, start=False) as site:
        site.require_journal()
        name = deployment or _newest(site.history(), env)
        bundle, envelope = site.evidence.bundle(name, site.signer("evidence").verification_key)
    try:
        with path.open("xb") as file:
            file.write(evidence_file.pack(bundle, envelope))
    except FileExistsError as error:
        raise ConfigurationError(f"{out} exists", fix="give a name that is free: --out FILE.zip") from error
    except OSError as error:
        raise ConfigurationError(f"{out} cannot be written: {error.strerror}", fix="give another name") from error
    render.out().print(f"{out}: {name}, which {bundle.outcome}; README.txt inside says how to check it", markup=False)


@task(
    help={"file": "what audit.evidence wrote", "key": "the public keys in PEM, as audit.key prints them", "json": _JSON}
)
@boundary
def check(_: Context, file: str, key: str, json: bool = False) -> None:
    """Check an evidence file, without a network.

    Example: invoke audit.check --file evidence.zip --key KEY.pem
    """
    try:
        pem = Path(key).read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{key} cannot be read: {error}", fix="invoke audit.key --env prod > KEY.pem"
        ) from error
    bundle, findings = evidence_file.check(Path(file), keys_in(pem, origin=key))
    if json:
        render.print_json(
            {
                "file": file,
                "deployment": bundle.deployment if bundle else None,
                "holds": not findings,
                "findings": [{"where": one.where, "what": one.what} for one in findings],
            }
        )
    elif bundle is not None and not findings:
        render.out().print(
            f"{file} holds: {bundle.deployment} to {bundle.environment} {bundle.outcome}, {len(bundle.events)} events, "
            f"{len(bundle.approvals)} approvals, plan, policy and signature",
            markup=False,
        )
    if findings:
        said = "\n  ".join(f"{one.where} {one.what}" for one in findings)
        raise Tampered(
            f"{file} does not hold:\n  {said}", fix="ask for the file again; compare where the key came from"
        )


@task(help={"env": _ENV})
@boundary
def key(_: Context, env: str) -> None:
    """Print the public keys: that of the evidence, then that of the approvals.

    Example: invoke audit.key --env prod > KEY.pem
    """
    with open_site(PROJECT, env, start=False) as site:
        site.require_journal()
        for purpose in get_args(Purpose):
            render.out().print(site.signer(purpose).verification_key.pem, end="", markup=False)


def _newest(past: Sequence[Deployment], env: str) -> str:
    if not past:
        raise Blocked(f"{env} has no deployment to tell of", fix=f"invoke deploy --env {env}")
    return past[-1].id
