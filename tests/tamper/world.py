"""A small environment's records on a real AWS API: real keys and people, a journal, and what seven deployments left."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest

from slipway import config, engine, gate, launch
from slipway.adapters.aws import Aws
from slipway.adapters.evidence_bucket import EvidenceBucket
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.signing import KmsSigner
from slipway.approval import Approval, ApprovalKind, Review
from slipway.audit import Verification, verify
from slipway.deployment import Deployment, Event, fold
from slipway.errors import StepFailed
from slipway.gate import CheckReport
from slipway.plan import Plan
from slipway.ports import Journal, Outcome, Progress
from slipway.record import Record
from slipway.release import Release, Version
from slipway.sandbox.aws.environment import REGION
from slipway.sandbox.aws.people import OPERATOR, ensure_people, enter, read_people
from slipway.site import Site
from slipway.step import UploadVersion
from tests.core.conftest import commit_by, release_of
from tests.core.test_engine import Silent
from tests.ports.environment import DAG_IDS, MemoryEnvironment

PROJECT = Path(__file__).parents[2]
NAME = "prod"
PREFIX = f"finedge-{NAME}"
APPROVER = f"{PREFIX}-approver"
PLACE = {"LocationConstraint": REGION}
FIRST_DAY = datetime(2026, 11, 2, 12, 0, tzinfo=UTC)


class Account(Site):
    """An environment of which there is the AWS account alone."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(PROJECT, config.load(NAME, folder=PROJECT / "config"), None)
        self.endpoint = endpoint

    @cached_property
    def aws(self) -> Aws:
        return Aws(region=REGION, endpoint=self.endpoint, credentials=OPERATOR)


class Killed(BaseException):
    """The process ends here, without a word."""


@dataclass
class Target(MemoryEnvironment):
    """What is deployed to: in memory, but for the releases, which are kept."""

    bucket: ReleaseBucket | None = None
    killed_at: str | None = None

    def upload(self, step: UploadVersion, progress: Progress) -> Outcome:
        super().upload(step, progress)
        if self.bucket is None:
            raise AssertionError("a bucket is given")
        return self.bucket.upload(step, progress)

    def _count(self, kind: str) -> None:
        if self.killed_at == kind:
            raise Killed
        super()._count(kind)


@dataclass
class World:
    """The environment, the people who act in it, and what they do, by the same code as everywhere."""

    site: Account
    people: Mapping[str, Aws]
    target: Target = field(init=False)

    def __post_init__(self) -> None:
        self.target = Target(bucket=self.site.bucket)

    # ---- what people do ----------------------------------------------------------------------------------------

    @property
    def record(self) -> Record:
        """The record, as a new command would see it."""
        return Record(self.site)

    def approve(self, plan: Plan, person: str, kind: ApprovalKind = "approval") -> str:
        """Have a person sign a plan, as themselves; return the key."""
        aws = self.people[person]
        caller = aws.caller()
        approval = Approval(
            kind=kind,
            plan=plan.id,
            environment=NAME,
            identity=caller.arn,
            user_id=caller.user_id,
            reason=f"gelesen — und für gut befunden von {person}",
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        return EvidenceBucket(aws.s3, self.site.evidence.bucket).approve(approval, self.approvals_key(aws))

    def review(self, deployment: str, person: str) -> None:
        """Have a person sign that they looked at a deployment."""
        aws = self.people[person]
        caller = aws.caller()
        said = Review(
            deployment=deployment,
            environment=NAME,
            identity=caller.arn,
            user_id=caller.user_id,
            reason="INC-12 is closed",
            at=datetime.now(UTC).isoformat(timespec="milliseconds"),
        )
        EvidenceBucket(aws.s3, self.site.evidence.bucket).review(said, self.approvals_key(aws))

    def approvals_key(self, aws: Aws) -> KmsSigner:
        return KmsSigner(aws.kms, f"alias/{PREFIX}-approvals")

    # ---- deployments -------------------------------------------------------------------------------------------

    def release(self, changes: Mapping[str, bytes | None]) -> tuple[Release, Version]:
        release = release_of(changes)
        version = Version(environment=NAME, release=release.id, slot=release.slot, settings={"dbt_threads": 4})
        self.site.bucket.choose(release, version)
        return release, version

    def plan(self, changes: Mapping[str, bytes | None], **options: Any) -> Plan:
        """Return a plan that Ana wrote the change of, kept where approvers find it."""
        release, version = self.release(changes)
        commits = (commit_by("Ana <ana@finedge.example>"),)
        plan = self.target.plan(
            release,
            version,
            policy=self.site.policy.digest,
            configuration=self.site.environment.digest,
            after=next((one.id for one in reversed(self.site.history())), None),
            commits=commits,
            **options,
        )
        self.site.bucket.put_plan(plan, self.site.policy)
        return plan

    def deploy(
        self,
        deployment: str,
        changes: Mapping[str, bytes | None],
        plan: Plan,
        *,
        breaks_glass: bool = False,
        journal: Journal | None = None,
    ) -> Deployment:
        """Apply a plan once its gates are open, and seal how it ended."""
        release, version = self.release(changes)
        case = gate.Case(
            plan=plan,
            release=release,
            checks=CheckReport(dag_ids=DAG_IDS),
            seen=self.target.observe(),
            policy=self.site.policy,
            now=datetime.now(UTC),
            signed=self.record.approvals_of(plan),
            staged={"staging": "d-20261101-120000-5a5a5a"},
            unreviewed=self.record.unreviewed(),
            breaks_glass=breaks_glass,
        )
        verdict = gate.judge(case, self.record.live_policy)
        assert verdict.is_open, verdict.obstacles
        work = engine.Assignment(
            plan=plan, deployment=deployment, by=self.site.who(), permission=launch.permission_of(verdict)
        )
        return self.apply(work, release, version, journal or self.site.journal)

    def apply(self, work: engine.Assignment, release: Release, version: Version, journal: Journal) -> Deployment:
        def look_again() -> tuple[Any, Plan]:
            return self.target.observe(), self.target.plan(release, version, policy=work.plan.policy)

        around = engine.Surroundings(
            effects=self.target.effects(),
            journal=self.record.anchored(journal),
            lease=_Held(),
            observe_base=lambda: self.target.observe(infrastructure=False),
            look_again=look_again,
            listener=Silent(),
            is_stopping=lambda: False,
            patience_s=0,
        )
        try:
            return engine.apply(work, around)
        finally:
            self.record.seal_what_ended(journal.events())

    # ---- what an auditor sees ----------------------------------------------------------------------------------

    def verify(self) -> Verification:
        """Read everything anew and hold it against each other."""
        return verify(self.record.read())

    def events(self) -> tuple[Event, ...]:
        return self._events

    def signed(self) -> tuple[str, ...]:
        """Return the keys of everything that was signed, in their order."""
        return self._signed

    def bundles(self) -> list[str]:
        return [key for key in self._signed if key.startswith("deployments/")]

    def approvals(self) -> list[str]:
        return [key for key in self._signed if key.startswith("approvals/")]

    def reviews(self) -> list[str]:
        return [key for key in self._signed if key.startswith("reviews/")]

    def remember(self) -> None:
        """Note what there is, for those who bend it."""
        self._events = self.site.journal.events()
        self._signed = tuple(sorted(self.site.evidence.names("")))


class _Held:
    """A lease that nobody else wants."""

    def check(self) -> None: ...


def made(endpoint: str, folder: Path) -> World:
    """Return a world with its account, people and keys, and nothing deployed yet."""
    site = Account(endpoint)
    _make_buckets(site)
    _make_table(site)
    for purpose in ("evidence", "approvals"):
        made = site.aws.kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")
        site.aws.kms.create_alias(AliasName=f"alias/{PREFIX}-{purpose}", TargetKeyId=made["KeyMetadata"]["KeyId"])
    return World(site=site, people=_people(site, folder))


def _make_buckets(site: Account) -> None:
    """Make the buckets as Terraform does: the release bucket with versions, the evidence bucket with Object Lock."""
    s3, releases, evidence = site.aws.s3, site.bucket.bucket, site.evidence.bucket
    s3.create_bucket(Bucket=releases, CreateBucketConfiguration=PLACE)
    s3.put_bucket_versioning(Bucket=releases, VersioningConfiguration={"Status": "Enabled"})
    s3.create_bucket(Bucket=evidence, CreateBucketConfiguration=PLACE, ObjectLockEnabledForBucket=True)
    s3.put_object_lock_configuration(
        Bucket=evidence,
        ObjectLockConfiguration={
            "ObjectLockEnabled": "Enabled",
            # As in staging: the attacker of these tests may go around it. In prod (COMPLIANCE) nobody may.
            "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 30}},
        },
    )


def _make_table(site: Account) -> None:
    site.aws.dynamodb.create_table(
        TableName=site.environment.deployments_table,
        KeySchema=[{"AttributeName": "stream", "KeyType": "HASH"}, {"AttributeName": "seq", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "stream", "AttributeType": "S"},
            {"AttributeName": "seq", "AttributeType": "N"},
        ],
        BillingMode="PAY_PER_REQUEST",
    )


def _people(site: Account, folder: Path) -> dict[str, Aws]:
    """Return everyone in the approver's role, which lets each write under their own name only."""
    file = folder / "aws-credentials"
    ensure_people(site.endpoint, file)
    iam, bucket = site.aws.client("iam"), f"arn:aws:s3:::{site.evidence.bucket}"
    anyone = {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"AWS": "*"}}
    may = [
        {"Action": "s3:PutObject", "Resource": [f"{bucket}/{kind}/*/${{aws:userid}}.dsse.json" for kind in _SIGNED]},
        {"Action": ["kms:Sign", "kms:GetPublicKey"], "Resource": "*"},
    ]
    iam.create_role(RoleName=APPROVER, AssumeRolePolicyDocument=_document(anyone))
    iam.put_role_policy(
        RoleName=APPROVER, PolicyName="own", PolicyDocument=_document(*({"Effect": "Allow", **one} for one in may))
    )
    return {
        name: Aws(
            region=REGION,
            endpoint=site.endpoint,
            credentials=enter(site.endpoint, person, role=APPROVER, session_name=name),
        )
        for name, person in read_people(file).items()
    }


_SIGNED = ("approvals", "reviews")


def _document(*statements: Mapping[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": list(statements)})


CHANGES: tuple[Mapping[str, bytes | None], ...] = (
    {},
    {"dags/customers.py": b"three"},
    {"dbt/models/finance/dim_account.sql": b"select 3"},
    {"dags/card_transactions.py": b"an emergency"},
    {"dags/card_transactions.py": b"half done"},
    {"dags/customers.py": b"four", "dbt/models/finance/dim_account.sql": b"select 4"},
)


def tell(world: World) -> None:
    """Make seven deployments: two that succeed, one that fails and is resumed, one that breaks the glass and is
    reviewed, one that dies and whose lock is broken, one that follows it, with two approvals, and a rollback."""
    for number in (1, 2):
        plan = world.plan(CHANGES[number - 1])
        world.approve(plan, "ben")
        world.deploy(_name(number), CHANGES[number - 1], plan)
    _fail_and_resume(world)
    _break_the_glass(world)
    _die(world)
    plan = world.plan(CHANGES[5])
    launch.settle(world.site.journal)
    world.approve(plan, "ben")
    world.approve(plan, "pat")
    world.deploy(_name(6), CHANGES[5], plan)
    world.deploy(_name(7), CHANGES[1], world.plan(CHANGES[1], purpose="rollback"))
    world.remember()


def _name(number: int) -> str:
    return f"d-2026110{number}-120000-{number:06x}"


def _fail_and_resume(world: World) -> None:
    plan, (release, version) = world.plan(CHANGES[2]), world.release(CHANGES[2])
    world.approve(plan, "chris")
    world.target.fails_at = "build"
    with pytest.raises(StepFailed):
        world.deploy(_name(3), CHANGES[2], plan)
    world.target.fails_at = None
    last = fold(world.site.journal.events())[-1]
    assert world.record.may_go_on(last, plan)
    allowed = {
        "approvals": [one.model_dump(mode="json") for one in last.consents],
        "breaks_glass": last.breaks_glass,
        "gates": [],
        "slipway": launch.own_digest(),
    }
    work = engine.Assignment(
        plan=plan, deployment=last.id, by=world.site.who(), resumes=True, begun=last.begun, permission=allowed
    )
    world.apply(work, release, version, world.site.journal)


def _break_the_glass(world: World) -> None:
    plan = world.plan(CHANGES[3])
    for person in ("ben", "chris"):
        world.approve(plan, person, "break-glass")
    world.deploy(_name(4), CHANGES[3], plan, breaks_glass=True)
    world.review(_name(4), "pat")


def _die(world: World) -> None:
    plan = world.plan(CHANGES[4])
    world.approve(plan, "ben")
    world.target.killed_at = "flip"
    with pytest.raises(Killed):
        world.deploy(_name(5), CHANGES[4], plan)
    world.target.killed_at = None
    facts = {"by": "pat@laptop", "holder": "ana@laptop", "since": "2026-11-05T12:00:00+00:00", "reason": "died"}
    world.record.anchor(world.site.journal.append("", "lock-broken", facts))
