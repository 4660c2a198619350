"""One environment's infrastructure: its Terraform root in a release tree, its state, its saved plans.

Rules:
- A plan is named by the digest of what it would change, so that the same change has the same name on every machine and
  every day. Terraform's own file differs each time; which file has which name is remembered here, or asked of the file.
- A saved plan may hold secrets in clear: only its owner may read it, and only the newest few are kept. One that people
  review is kept in the release bucket too, where only deployers read it, so that any machine can apply it.
- A saved plan is applied to the state it was made on and to no other; Terraform itself does not notice when that state
  was empty. Of an apply that was cut short the rest is planned again, and must be a part of what was reviewed.
  https://github.com/hashicorp/terraform/issues/24078
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, TypeVar

import botocore.exceptions

from slipway.adapters.aws import code_of, translated
from slipway.adapters.terraform import Terraform, TerraformPlan
from slipway.adapters.terraform_failure import LockVanished
from slipway.adapters.terraform_state import ensure_state_bucket
from slipway.adapters.terraform_summary import Summary
from slipway.config import Environment
from slipway.errors import Blocked, Stale
from slipway.observation import InfrastructureFacts
from slipway.ports import Outcome, Progress
from slipway.step import ApplyInfrastructure

_T = TypeVar("_T")
STATE_KEY = "terraform.tfstate"
KEPT_PLANS = 5
_SHOWN = 8  # addresses in one message
_LOCK_ATTEMPTS = 5  # each takes terraform's start, so that they do not follow upon each other too fast
_DRAFT = ".draft-"
_DRAFT_AGE_S = 24 * 3600  # after which a draft is one that a killed process left


@dataclass(frozen=True, kw_only=True)
class State:
    """The two numbers that say which state Terraform left."""

    serial: int
    lineage: str


class Shelf(Protocol):
    """Keeps reviewed plan files."""

    def terraform_plan(self, digest: str) -> bytes | None: ...

    def put_terraform_plan(self, digest: str, content: bytes) -> None: ...


class EnvironmentInfrastructure:
    """Plans and applies; implements `ports.Infrastructure`.

    Args:
        tree: the release tree that holds `terraform/`.
        work: where plan files and Terraform's own data go.
        shelf: where reviewed plan files are kept for other machines.
        variables: what Terraform's children must see besides the surroundings; the embedded platform's addresses.
    """

    def __init__(
        self, environment: Environment, tree: Path, work: Path, *, s3: Any, shelf: Shelf, variables: Mapping[str, str]
    ) -> None:
        self._environment, self._s3, self._shelf, self._variables = environment, s3, shelf, variables
        self._root = tree / "terraform" / "environments" / environment.name
        self._work = work
        self._probed_s = 0.0  # that the last probe took, in Terraform
        # by the digest of what they would change, none of them tried
        self._planned: dict[str, TerraformPlan] = {}

    # ---- reading -----------------------------------------------------------------------------------------------

    def state(self) -> State | None:
        """Return what the state object says, or None before the first apply."""
        bucket = self._environment.bucket("tfstate")
        with translated(f"s3://{bucket}/{STATE_KEY}", self._s3):
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
        planned = self._plan(self._terraform())
        state = self.state()  # after the refresh: what the plan was made on
        summary = planned.summary
        return InfrastructureFacts(
            serial=state.serial if state else 0,
            lineage=state.lineage if state else "",
            plan_sha256=summary.digest if planned.has_changes else None,
            creates=summary.creates,
            updates=summary.updates,
            replaces=summary.replaces,
            deletes=summary.deletes,
            destroys_data=summary.destroys_data,
        )

    def _plan(self, terraform: Terraform) -> TerraformPlan:
        """Return a new plan; saved under the digest of what it would change, if it would change something."""
        # A folder of its own: other commands plan at the same time, and terraform makes the file readable for all.
        with tempfile.TemporaryDirectory(dir=self._work, prefix=_DRAFT) as folder:
            draft = Path(folder) / "draft.tfplan"
            planned = again_if_the_lock_vanished(lambda: terraform.plan(draft, variables=self._inputs()))
            if not planned.has_changes:
                return planned
            saved = self._work / f"{planned.summary.digest}.{planned.file_sha256[:16]}.tfplan"
            planned = replace(planned, file=planned.file.replace(saved))
        self._planned[planned.summary.digest] = planned
        self._forget_old_plans()
        return planned

    def shelve(self, digest: str) -> None:
        """Keep the plan file of exactly these changes where other machines find it.

        Side effects: an object of the release bucket.
        """
        self._shelf.put_terraform_plan(digest, self._saved(digest, self._terraform()).file.read_bytes())

    def _saved(self, digest: str, terraform: Terraform) -> TerraformPlan:
        """Return the newest saved plan of exactly these changes; raise `Stale` when there is none."""
        known = self._planned.get(digest)
        if known is not None and known.file.is_file():
            return known
        if not any(self._work.glob(f"{digest}.*.tfplan")) and (content := self._shelf.terraform_plan(digest)):
            self._keep(digest, content)
        for file in newest_first(self._work.glob(f"{digest}.*.tfplan")):
            summary = terraform.show(file)
            if summary.digest == digest:  # asked of the file itself: its name is no proof
                sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
                return TerraformPlan(file=file, file_sha256=sha256, has_changes=True, summary=summary)
        raise Stale("the saved Terraform plan is not there any more", fix="plan again: invoke plan --env ENV")

    def _keep(self, digest: str, content: bytes) -> None:
        file = self._work / f"{digest}.{hashlib.sha256(content).hexdigest()[:16]}.tfplan"
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as opened:
            opened.write(content)

    def _forget_old_plans(self) -> None:
        for file in newest_first(self._work.glob("*.tfplan"))[KEPT_PLANS:]:
            file.unlink(missing_ok=True)
        for folder in self._work.glob(f"{_DRAFT}*"):
            if time.time() - _modified_at(folder) > _DRAFT_AGE_S:
                shutil.rmtree(folder, ignore_errors=True)

    # ---- effects -----------------------------------------------------------------------------------------------

    def is_applied(self, step: ApplyInfrastructure) -> bool:
        """Probe of the infra step: Terraform, asked again, has nothing to do.

        It is not asked again about a plan that was made right here, on the state as it stands, and not tried since.
        Afterwards only Terraform knows: an apply that repairs what was changed by hand leaves the state as it was.
        """
        if step.plan_sha256 in self._planned and self._is_untouched(step):
            return False
        began = time.monotonic()
        has_changes = self.facts(plan=True).has_changes
        self._probed_s = time.monotonic() - began
        return not has_changes

    def apply(self, step: ApplyInfrastructure, progress: Progress) -> Outcome:
        """Apply the saved plan that the step names, or what an apply of it that was cut short left to do.

        Raises:
            Stale: the plan is gone, its file is not the one that was planned, or the state moved and what is left to do
                is not a part of it.
        """
        terraform = self._terraform()
        is_untouched = self._is_untouched(step)
        planned = self._saved(step.plan_sha256, terraform) if is_untouched else self._rest_of(step, terraform)
        self._planned.clear()  # from here on they may have been tried
        began = time.monotonic()
        self._apply(terraform, planned, progress)
        outside_s = time.monotonic() - began + self._probed_s
        state = self.state()
        changed = len(step.creates) + len(step.updates) + len(step.replaces) + len(step.deletes)
        return Outcome(
            summary=f"{changed} resources, state serial {state.serial if state else 0}",
            evidence={
                "serial": state.serial if state else 0,
                "plan_sha256": step.plan_sha256,
                "file_sha256": planned.file_sha256,
            },
            outside_s=outside_s,
        )

    def _is_untouched(self, step: ApplyInfrastructure) -> bool:
        """Return whether the state is the one that the step's plan was made on."""
        now = self.state() or State(serial=0, lineage="")
        return (now.serial, now.lineage) == (step.serial, step.lineage)

    def _rest_of(self, step: ApplyInfrastructure, terraform: Terraform) -> TerraformPlan:
        """Return a new plan of what is left of the step; raise `Stale` unless all of it was reviewed."""
        planned = self._plan(terraform)
        beyond = beyond_review(planned.summary, step)
        if not planned.has_changes or beyond:
            said = ", ".join(beyond[:_SHOWN]) or "nothing that is left to do was in it"
            raise Stale(
                f"Terraform's state moved to serial {self._serial()} since the plan was made, and what is left is not "
                f"the rest of that plan: {said}",
                fix="invoke plan --env ENV",
            )
        return planned

    def _serial(self) -> int:
        state = self.state()
        return state.serial if state else 0

    def bootstrap(self, progress: Progress) -> bool:
        """Make the state bucket and everything in the environment's root; return whether anything was made.

        Needed once: the lock and the journal of deployments live in what it makes. Terraform's own lock guards it.
        Nothing that exists is changed: there are no gates here, so a plan that does more than create is refused.

        Raises:
            Blocked: something exists already and differs; nothing but the state bucket was made.
        """
        ensure_state_bucket(self._s3, self._environment.bucket("tfstate"), self._environment.aws.region)
        terraform = self._terraform()
        planned = self._plan(terraform)
        if not planned.has_changes:
            return False
        _refuse_more_than_creates(planned.summary, self._environment.name)
        progress(f"terraform: {len(planned.summary.creates)} resources to create")
        self._apply(terraform, planned, progress)
        return True

    def unlock(self, lock_id: str) -> None:
        """Take the state's lock away from a holder that is gone for certain.

        Raises:
            StepFailed: there is no lock, or it has another id.

        Side effects: the state's lock. Whoever still held it goes on without.
        """
        self._terraform().unlock(lock_id)

    def _apply(self, terraform: Terraform, planned: TerraformPlan, progress: Progress) -> None:
        again_if_the_lock_vanished(
            lambda: terraform.apply(
                planned.file,
                file_sha256=planned.file_sha256,
                on_event=_telling(progress),
                timeout_s=self._environment.timeouts.infra_s,
            )
        )
        planned.file.unlink(missing_ok=True)  # of no use any more, and it may hold secrets

    def _terraform(self) -> Terraform:
        self._work.mkdir(parents=True, exist_ok=True)
        terraform = Terraform(self._root, build=self._work, environment=self._variables)
        bucket, region = self._environment.bucket("tfstate"), self._environment.aws.region
        # Of commands that begin at the same time one prepares the folder; terraform refuses the others.
        with (self._work / ".init.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            terraform.init(bucket=bucket, key=STATE_KEY, region=region)
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


def again_if_the_lock_vanished(call: Callable[[], _T]) -> _T:
    """Return what `call` returns, tried some times while it only missed the end of someone else's lock."""
    for _ in range(_LOCK_ATTEMPTS - 1):
        with suppress(LockVanished):  # terraform changed nothing
            return call()
    return call()


def newest_first(files: Iterable[Path]) -> list[Path]:
    """Return the files, the one that was changed last first; one that vanishes meanwhile comes last."""
    return sorted(files, key=_modified_at, reverse=True)


def _modified_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # another command removed it
        return 0.0


def beyond_review(summary: Summary, step: ApplyInfrastructure) -> tuple[str, ...]:
    """Return what a plan would do that the step does not name, as "action address". No side effects.

    What was half created is replaced by Terraform when it goes on; what was half replaced is created.
    """
    may = {
        "create": {*step.creates, *step.replaces},
        "update": {*step.updates, *step.creates, *step.replaces},
        "replace": {*step.replaces, *step.creates},
        "delete": {*step.deletes, *step.replaces},
    }
    return tuple(
        f"{one.action} {one.address}" for one in summary.changes if one.address not in may.get(one.action, frozenset())
    )


def _refuse_more_than_creates(summary: Summary, environment: str) -> None:
    others = [
        f"{one.action} {one.address}" + (f" ({one.reason})" if one.reason else "")
        for one in summary.changes
        if one.action != "create"
    ]
    if others:
        more = f" and {len(others) - _SHOWN} more" if len(others) > _SHOWN else ""
        raise Blocked(
            f"{environment} exists already, and the bootstrap only makes what is not there; it would also: "
            f"{', '.join(others[:_SHOWN])}{more}",
            fix=f"see invoke infra.plan --env {environment}; changes go through invoke deploy --env {environment}",
        )


def _telling(progress: Progress) -> Callable[[Mapping[str, Any]], None]:
    def tell(event: Mapping[str, Any]) -> None:
        if event.get("type") in ("apply_start", "apply_complete", "apply_errored"):
            progress(str(event.get("@message", "")))

    return tell
