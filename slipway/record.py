"""The record of an environment: plans and policies kept, approvals found, ends sealed, everything read for an audit.

Rules:
- Every end of a deployment is sealed from what the journal and the release bucket hold, so that a process which died
  before it could sign leaves nothing open: the next command seals the same.
- Every beginning anchors the journal's head.
- An environment whose evidence bucket is not there yet is one that a deployment is about to give it; one whose
  deployments were sealed, and whose evidence is gone, is deployed to no more.
"""

from __future__ import annotations

import gc
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from slipway import config
from slipway.adapters.evidence_bucket import EvidenceBucket, checked
from slipway.adapters.signing import PublicKey
from slipway.approval import Signed, authors_of, is_reviewed, lacking
from slipway.audit import JournalItem, Kept, Records, Verification, verify
from slipway.deployment import Deployment, Event, EventKind, Forecast, fold, forecast
from slipway.errors import ConfigurationError, JournalError, NotBootstrapped
from slipway.evidence import (
    APPROVAL_TYPE,
    BEGINNINGS,
    CHECKPOINT_TYPE,
    PAYLOAD_TYPE,
    REVIEW_TYPE,
    Checkpoint,
    Head,
    bundle_of,
    copies_in,
    ended,
)
from slipway.operation import Operation
from slipway.patience import Patience
from slipway.plan import Plan
from slipway.policy import Policy
from slipway.ports import Journal
from slipway.site import Site
from slipway.step import ApplyInfrastructure, StepKind


class Record:
    """What is kept about the deployments of one environment, and who allowed them."""

    def __init__(self, site: Site) -> None:
        self.site = site

    @property
    def _evidence(self) -> EvidenceBucket:
        return self.site.evidence

    # ---- plans and who allowed them ----------------------------------------------------------------------------

    def keep_plan(self, operation: Operation, plan: Plan) -> None:
        """Keep a plan, the policy it is judged by, and Terraform's plan file, where approvers and deployers look."""
        self.site.bucket.put_plan(plan, self.site.policy)
        for step in plan.steps:
            if isinstance(step, ApplyInfrastructure) and self.site.bucket.terraform_plan(step.plan_sha256) is None:
                operation.infrastructure.shelve(step.plan_sha256)

    def approvals_of(self, plan: Plan) -> tuple[Signed, ...]:
        """Return the approvals of a plan, good or not."""
        try:
            return self._evidence.approvals(plan.id, self.site.signer("approvals").verification_key)
        except NotBootstrapped:
            return ()

    @cached_property
    def live_policy(self) -> Policy | None:
        """The policy that the last deployment was judged by, as it was when first asked; None before there was one.

        A rollback changes no rule: it needs nobody's approval.
        """
        past = reversed(self.site.history())
        live = next((one for one in past if (one.state, one.purpose) == ("succeeded", "deploy")), None)
        if live is None:
            return None
        found = self.site.bucket.policy(live.policy) if live.policy else None
        if found is None:
            raise JournalError(
                f"the policy that {live.id} was judged by is not kept any more",
                fix=f"invoke audit.verify --env {self.site.environment.name}, and bring the object back",
            )
        return found

    def forecast(self, plan: Plan) -> Forecast:
        """Return how long the plan is expected to take, from what its steps took before."""
        return forecast([step.kind for step in plan.steps], self.site.history(), measured=self.measured_ms(plan))

    def measured_ms(self, plan: Plan) -> dict[StepKind, int]:
        """Return how long steps of the plan will take that were measured: migrations that were rehearsed."""
        step = next((one for one in plan.steps if one.kind == "rehearse"), None)
        took_ms = next(iter(self.site.warehouse.rehearsals(step.content)), None) if step else None
        return {} if took_ms is None else {"migrate": took_ms}

    def staged(self, plan: Plan, components: Mapping[str, str]) -> dict[str, str]:
        """Return where the plan's release succeeded of the environments that a policy wants before: name -> deployment.

        The proof is that environment's signed bundle, with the same digests of the same components.
        """
        if plan.purpose != "deploy" or plan.is_empty:
            return {}
        wanted = {one.rules(plan.environment).after for one in self.policies}
        found = {before: self._success_in(before, plan, components) for before in wanted if before is not None}
        return {before: deployment for before, deployment in found.items() if deployment is not None}

    @property
    def policies(self) -> tuple[Policy, ...]:
        """The policies that judge: that of the work tree, and that of the live release."""
        return tuple(filter(None, (self.site.policy, self.live_policy)))

    def _success_in(self, before: str, plan: Plan, components: Mapping[str, str]) -> str | None:
        environment = config.load(before, folder=self.site.project / "config")
        other = Site(self.site.project, environment, self.site.platform)
        try:
            for one in reversed(other.history()):
                if one.state == "succeeded" and one.release == plan.release:
                    bundle, _ = other.evidence.bundle(one.id, other.signer("evidence").verification_key)
                    if (bundle.outcome, bundle.components) == ("succeeded", dict(components)):
                        return one.id
        except (NotBootstrapped, ConfigurationError):  # never made, or its evidence does not hold
            return None
        return None

    def unreviewed(self) -> tuple[str, ...]:
        """Return the deployments that broke the glass and that nobody else has reviewed."""
        broke = [one for one in self.site.history() if one.breaks_glass]
        if not broke:
            return ()
        key = self.site.signer("approvals").verification_key
        return tuple(
            one.id for one in broke if not all(self._is_reviewed(one, key, policy) for policy in self.policies)
        )

    def _is_reviewed(self, deployment: Deployment, key: PublicKey, policy: Policy) -> bool:
        """Return whether somebody who took no part reviewed it, in the eyes of one policy."""
        plan = self.site.bucket.plan(deployment.plan)
        authors, _ = authors_of(plan, policy)
        named = {one.sha256 for one in deployment.consents}
        broke = {
            policy.person_of_identity(one.approval.identity) for one in self.approvals_of(plan) if one.sha256 in named
        }
        return is_reviewed(
            self._evidence.reviews(deployment.id, key),
            deployment=deployment.id,
            environment=self.site.environment.name,
            signers=(*deployment.approved_by, *sorted(authors | {one for one in broke if one})),
            policy=policy,
        )

    # ---- what is signed ----------------------------------------------------------------------------------------

    def anchored(self, journal: Journal, patience: Patience | None = None) -> Journal:
        """Return the journal, with its head signed whenever a deployment begins or goes on.

        Args:
            patience: with what signs and keeps it; without, it is asked once.
        """
        return _Anchored(journal, self, patience or Patience(limit_s=0))

    def anchor(self, event: Event) -> None:
        """Sign the head of the journal. Side effects: an object of the evidence bucket, if there is one."""
        head = Head(seq=event.seq, sha256=event.sha256)
        try:
            self._evidence.anchor(
                Checkpoint(environment=self.site.environment.name, head=head), self.site.signer("evidence")
            )
        except NotBootstrapped:
            return  # the plan is about to make it; the end of this deployment is sealed

    def require_anchored(self, events: Sequence[Event]) -> None:
        """Return when the journal holds the newest head that was signed; raise `JournalError` when it does not."""
        look = f"invoke audit.verify --env {self.site.environment.name}, before anything else is deployed"
        try:
            names = sorted(self._evidence.names("checkpoints/"))
        except NotBootstrapped as error:
            if _is_sealed(events):
                raise JournalError(f"{error.message}, where deployments were sealed", fix=look) from error
            return
        if not names:
            if _is_anchored(events):
                raise JournalError("every head of the journal that was signed is gone", fix=look)
            return
        key = self.site.signer("evidence").verification_key
        found = checked(names[-1], self._evidence.content(names[-1]) or b"", payload_type=CHECKPOINT_TYPE, key=key)
        head = Checkpoint.from_mapping(found.statement, origin=names[-1]).head if found.statement else None
        if head is None or not any((one.seq, one.sha256) == (head.seq, head.sha256) for one in reversed(events)):
            raise JournalError(f"the journal is not the one whose head {names[-1]} signs", fix=look)

    def may_go_on(self, deployment: Deployment, plan: Plan) -> bool:
        """Return whether what allowed a deployment when it began is still there, and would still be good."""
        policy = self.site.bucket.policy(plan.policy)
        began = datetime.fromisoformat(deployment.started_at)
        if policy is None or plan.configuration != self.site.environment.digest:
            return False
        good_for = (
            timedelta(minutes=policy.break_glass.minutes)
            if deployment.breaks_glass
            else timedelta(hours=policy.approvals.ttl_hours)
        )
        if datetime.now(UTC) - began > good_for:
            return False
        named = {one.sha256 for one in deployment.consents}
        signed = [one for one in self.approvals_of(plan) if one.sha256 in named]
        return not any(
            lacking(signed, plan, asked, breaks_glass=deployment.breaks_glass, now=began)
            for asked in filter(None, (policy, self.live_policy))
        )

    def seal_what_ended(self, events: Iterable[Event]) -> tuple[str, ...]:
        """Seal every end of a deployment that is not, and return the names of the new bundles.

        Raises:
            NotBootstrapped: there is no evidence bucket.
        """
        events = tuple(events)
        sealed = self._evidence.sealed()
        by_seq = {event.seq: event for event in events}
        missing = sorted(seq for name, seqs in ended(events).items() for seq in seqs if (name, seq) not in sealed)
        return tuple(self._seal(by_seq[seq], events) for seq in missing)

    def _seal(self, ending: Event, events: tuple[Event, ...]) -> str:
        own = [event for event in events if event.deployment == ending.deployment and event.seq <= ending.seq]
        data = next((event.data for event in reversed(own) if event.kind in BEGINNINGS), None)
        if data is None:
            raise JournalError(
                f"{ending.deployment} ended without a beginning",
                fix=f"invoke audit.verify --env {self.site.environment.name}, before anything else is deployed",
            )
        bucket = self.site.bucket
        manifest = bucket.manifest(data["release"])
        plan = bucket.stored(f"plans/{data['plan']}.json")
        policy = bucket.stored(f"policies/{data['policy']}.json") if data.get("policy") else None
        envelopes = self._evidence.envelopes(data["plan"], [one["sha256"] for one in data.get("approvals", ())])
        begun = [event.seq for event in own if event.kind in BEGINNINGS]
        checkpoints = self._evidence.checkpoints(begun, self.site.signer("evidence").verification_key)
        bundle = bundle_of(
            events,
            environment=self.site.environment.name,
            ending=ending,
            plan=bucket.document(plan) if plan else {},
            policy=bucket.document(policy) if policy else None,
            approvals=[json.loads(one.content) for one in envelopes],
            approvals_key=self.site.signer("approvals").verification_key.pem if envelopes else None,
            checkpoints=[json.loads(one.content) for one in checkpoints],
            copies=[one.copy for one in (plan, policy, *envelopes, *checkpoints) if one and one.version],
            components={name: manifest.component_digest(name) for name in manifest.components} if manifest else {},
        )
        return self._evidence.seal(bundle, self.site.signer("evidence"))

    # ---- audit -------------------------------------------------------------------------------------------------

    def audit(self) -> Verification:
        """Read everything that is kept and hold it against each other. Raises as `read`."""
        with _collecting_nothing():
            return verify(self.read())

    def read(self) -> Records:
        """Return everything that is kept, each signature checked. Evidence that is gone altogether is none.

        Raises:
            NotBootstrapped: the environment was never deployed to.
        """
        evidence, signer = self._evidence, self.site.signer("evidence").verification_key
        approver = self.site.signer("approvals").verification_key
        bucket = self.site.bucket
        with ThreadPoolExecutor(max_workers=4) as pool:
            reading = pool.submit(evidence.kept, "deployments/", PAYLOAD_TYPE, signer)
            items = self.site.journal.items()
            bundles = _found(reading, or_none=bool(items))
            copies: dict[tuple[str, str], bytes] = {}
            for one in bundles:
                copies |= copies_in(one.statement or {})
            others = {
                "checkpoints": pool.submit(evidence.kept, "checkpoints/", CHECKPOINT_TYPE, signer, copies),
                "approvals": pool.submit(evidence.kept, "approvals/", APPROVAL_TYPE, approver, copies),
                "reviews": pool.submit(evidence.kept, "reviews/", REVIEW_TYPE, approver),
            }
            return Records(
                environment=self.site.environment.name,
                journal=items,
                plans=bucket.digests("plans", _named("plan", items), copies),
                policies=bucket.digests("policies", _named("policy", items), copies),
                bundles=bundles,
                **{name: _found(one, or_none=bool(items)) for name, one in others.items()},
                approvals_key=approver.pem,
            )


@contextmanager
def _collecting_nothing() -> Iterator[None]:
    """Leave Python's cyclic garbage alone for a while. What an audit reads it keeps: looking through it again and again
    for what could be thrown away takes a third of its time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _is_sealed(events: Sequence[Event]) -> bool:
    """Return whether a deployment came to its end with a place for its evidence, as each does that succeeds."""
    return any(one.state == "succeeded" and one.policy for one in fold(events))


def _is_anchored(events: Sequence[Event]) -> bool:
    """Return whether a deployment began that had a place for its evidence from the beginning."""
    first = next((place for place, one in enumerate(events) if one.kind == "succeeded"), len(events))
    return _is_sealed(events[: first + 1]) and any(one.kind in BEGINNINGS for one in events[first:])


def _found(reading: Future[tuple[Kept, ...]], *, or_none: bool) -> tuple[Kept, ...]:
    try:
        return reading.result()
    except NotBootstrapped:
        if or_none:  # the verification tells what should be there
            return ()
        raise


class _Anchored:
    """A journal that signs its head at every beginning."""

    def __init__(self, journal: Journal, record: Record, patience: Patience) -> None:
        self._journal, self._record, self._patience = journal, record, patience

    def events(self) -> tuple[Event, ...]:
        return self._journal.events()

    def append(self, deployment: str, kind: EventKind, data: Mapping[str, Any]) -> Event:
        event = self._journal.append(deployment, kind, data)
        if kind in BEGINNINGS:
            self._patience.ask(lambda: self._record.anchor(event))
        return event


def _named(key: str, items: Iterable[JournalItem]) -> list[str]:
    """Return what events name under a key, each once; what is no event is for the verification to tell."""
    found = set()
    for item in items:
        try:
            value = json.loads(item.text)["data"].get(key)
        except (ValueError, KeyError, AttributeError, TypeError, RecursionError):
            continue
        if isinstance(value, str):
            found.add(value)
    return sorted(found)
