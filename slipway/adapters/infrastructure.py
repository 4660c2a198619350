"""One environment's infrastructure: its Terraform root in a release tree, its state, its saved plan."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.adapters.terraform import Terraform
from slipway.adapters.terraform_state import ensure_state_bucket
from slipway.config import Environment
from slipway.errors import Stale
from slipway.observation import InfrastructureFacts
from slipway.ports import Outcome, Progress
from slipway.step import ApplyInfrastructure

STATE_KEY = "terraform.tfstate"


@dataclass(frozen=True, kw_only=True)
class State:
    """The two numbers that say which state Terraform left."""

    serial: int
    lineage: str


class EnvironmentInfrastructure:
    """Plans and applies; implements `ports.Infrastructure`.

    Args:
        tree: the release tree that holds `terraform/`.
        work: where plan files and Terraform's own data go.
        variables: what Terraform's children must see besides the surroundings; the embedded platform's addresses.
    """

    def __init__(
        self, environment: Environment, tree: Path, work: Path, *, s3: Any, variables: Mapping[str, str]
    ) -> None:
        self._environment, self._s3, self._variables = environment, s3, variables
        self._root = tree / "terraform" / "environments" / environment.name
        self._work = work

    # ---- reading -----------------------------------------------------------------------------------------------

    def state(self) -> State | None:
        """Return what the state object says, or None before the first apply."""
        bucket = self._environment.bucket("tfstate")
        with translated(f"s3://{bucket}/{STATE_KEY}"):
            try:
                body = self._s3.get_object(Bucket=bucket, Key=STATE_KEY)["Body"].read()
            except botocore.exceptions.ClientError as error:
                if code_of(error) in ("NoSuchKey", "NoSuchBucket"):
                    return None
                raise
        content = json.loads(body)
        return State(serial=int(content["serial"]), lineage=str(content["lineage"]))

    def facts(self, *, plan: bool) -> InfrastructureFacts:
        """Return the state, and with `plan` what Terraform would change; the plan is saved under its digest.

        Side effects: with `plan`, files under the work folder.
        """
        if not plan:
            state = self.state()
            return InfrastructureFacts(
                serial=state.serial if state else 0, lineage=state.lineage if state else "", plan_sha256=None
            )
        terraform = self._terraform()
        draft = self._work / "draft.tfplan"
        planned = terraform.plan(draft, variables=self._inputs())
        state = self.state()  # after the refresh: what the plan was made on
        summary = planned.summary
        if planned.has_changes:
            draft.replace(self._saved(planned.file_sha256))
        return InfrastructureFacts(
            serial=state.serial if state else 0,
            lineage=state.lineage if state else "",
            plan_sha256=planned.file_sha256 if planned.has_changes else None,
            creates=summary.creates,
            updates=summary.updates,
            replaces=summary.replaces,
            deletes=summary.deletes,
            destroys_data=summary.destroys_data,
        )

    # ---- effects -----------------------------------------------------------------------------------------------

    def is_applied(self, step: ApplyInfrastructure) -> bool:
        """Probe of the infra step: Terraform, asked again, has nothing to do."""
        return not self.facts(plan=True).has_changes

    def apply(self, step: ApplyInfrastructure, progress: Progress) -> Outcome:
        """Apply the saved plan file that the step names.

        Raises:
            Stale: the file is gone, is not the one that was planned, or the state moved.
        """
        saved = self._saved(step.plan_sha256)
        if not saved.is_file():
            raise Stale("the saved Terraform plan is not there any more", fix="plan again: invoke plan --env ENV")
        terraform = self._terraform()
        began = time.monotonic()
        terraform.apply(
            saved,
            file_sha256=step.plan_sha256,
            on_event=_telling(progress),
            timeout_s=self._environment.timeouts.infra_s,
        )
        outside_s = time.monotonic() - began
        state = self.state()
        changed = len(step.creates) + len(step.updates) + len(step.replaces) + len(step.deletes)
        return Outcome(
            summary=f"{changed} resources, state serial {state.serial if state else 0}",
            evidence={"serial": state.serial if state else 0, "plan_sha256": step.plan_sha256},
            outside_s=outside_s,
        )

    def bootstrap(self, progress: Progress) -> bool:
        """Make the state bucket and everything in the environment's root; return whether anything was made.

        Needed once: the lock and the journal of deployments live in what it makes. Terraform's own lock guards it.
        """
        ensure_state_bucket(self._s3, self._environment.bucket("tfstate"), self._environment.aws.region)
        facts = self.facts(plan=True)
        if facts.plan_sha256 is None:
            return False
        progress(f"terraform: {len(facts.creates)} resources to create")
        self._terraform().apply(self._saved(facts.plan_sha256), on_event=_telling(progress))
        return True

    def _terraform(self) -> Terraform:
        self._work.mkdir(parents=True, exist_ok=True)
        terraform = Terraform(self._root, build=self._work, environment=self._variables)
        terraform.init(bucket=self._environment.bucket("tfstate"), key=STATE_KEY, region=self._environment.aws.region)
        return terraform

    def _inputs(self) -> dict[str, str]:
        """Return the root's input variables: what the environment's file says, so that no name is written twice."""
        aws = self._environment.aws
        known = {
            "prefix": aws.prefix,
            "region": aws.region,
            "sources_bucket": self._environment.settings.sources_bucket,
        }
        return known | ({"account_id": aws.account_id} if aws.account_id else {})

    def _saved(self, sha256: str) -> Path:
        return self._work / f"{sha256}.tfplan"


def _telling(progress: Progress) -> Callable[[Mapping[str, Any]], None]:
    def tell(event: Mapping[str, Any]) -> None:
        if event.get("type") in ("apply_start", "apply_complete", "apply_errored"):
            progress(str(event.get("@message", "")))

    return tell
