"""One environment: its configuration, its accounts, and the readers that need no release.

With `operation` and `record` the only modules that know core and adapters both.
"""

from __future__ import annotations

import getpass
import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal, Self, get_args

import botocore.exceptions

from slipway.adapters.airflow import Airflow, TokenTransport
from slipway.adapters.aws import Aws, code_of, translated
from slipway.adapters.comparer import SlotComparer
from slipway.adapters.evidence_bucket import EvidenceBucket
from slipway.adapters.git import Git
from slipway.adapters.journal import DynamoJournal
from slipway.adapters.lease import DynamoLease
from slipway.adapters.observer import orchestrator_facts
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.signing import KmsSigner
from slipway.adapters.snowflake import Address, Session, SnowflakeFacts
from slipway.config import Environment, Principal
from slipway.deployment import Deployment, fold, published_slots
from slipway.errors import Blocked, ConfigurationError, NotBootstrapped
from slipway.observation import InfrastructureFacts, Observation
from slipway.patience import Patience
from slipway.policy import Policy, load_policy
from slipway.release import short
from slipway.sandbox.platform import Platform

Progress = Callable[[str], None]
Bootstrapped = Literal["not at all", "partly", "whole"]
Role = Literal["deployer", "approver"]
Purpose = Literal["evidence", "approvals"]  # of a key that signs


class Site:
    """One environment: its configuration and the readers that need no release.

    Args:
        role: what the caller does here; on real accounts the caller's own credentials decide what that may be.
    """

    def __init__(
        self, project: Path, environment: Environment, platform: Platform | None, *, role: Role = "deployer"
    ) -> None:
        self.project, self.environment, self.platform, self.role = project, environment, platform, role
        self.build = project / ".build"

    @cached_property
    def aws(self) -> Aws:
        """The environment's AWS account."""
        if self.platform is None:
            return Aws(region=self.environment.aws.region)
        name = f"{self.environment.aws.prefix}-{self.environment.name}-approver" if self.role == "approver" else None
        profile = os.environ.get("AWS_PROFILE") if self.role == "approver" else None
        return Aws(
            region=self.environment.aws.region,
            endpoint=self.platform.aws_variables()["AWS_ENDPOINT_URL"],
            credentials=self.platform.aws_credentials(profile, name),
        )

    @cached_property
    def address(self) -> Address:
        """Where the warehouse answers."""
        if self.platform is None:
            return Address()
        return Address(host="127.0.0.1", port=self.platform.snowflake_port, protocol="http")

    @cached_property
    def bucket(self) -> ReleaseBucket:
        """The release bucket."""
        return ReleaseBucket(self.aws.s3, self.environment.bucket("releases"))

    @cached_property
    def journal(self) -> DynamoJournal:
        """The journal of deployments."""
        return DynamoJournal(self.aws.dynamodb, self.environment.deployments_table)

    @cached_property
    def evidence(self) -> EvidenceBucket:
        """The evidence bucket."""
        return EvidenceBucket(self.aws.s3, self.environment.bucket("evidence"))

    @cached_property
    def policy(self) -> Policy:
        """What changes need, as the work tree says it."""
        return load_policy(self.project / "config" / "policy.toml")

    @cached_property
    def _signers(self) -> Mapping[Purpose, KmsSigner]:
        name = f"{self.environment.aws.prefix}-{self.environment.name}"
        return {purpose: KmsSigner(self.aws.kms, f"alias/{name}-{purpose}") for purpose in get_args(Purpose)}

    def signer(self, purpose: Purpose) -> KmsSigner:
        """Return what signs with one of the environment's keys; only its public half is open to everybody."""
        return self._signers[purpose]

    def publish(self, *, subject: str, text: str) -> str:
        """Send a message to the environment's topic and return its id. Side effects: one message.

        Raises:
            SlipwayError: the topic is not there, or this identity may not publish.
        """
        account = self.aws.identity().split(":")[4]
        name = f"{self.environment.aws.prefix}-{self.environment.name}-deployments"
        topic = f"arn:aws:sns:{self.environment.aws.region}:{account}:{name}"
        with translated(f"SNS {name}", self.aws.sns):
            return str(self.aws.sns.publish(TopicArn=topic, Subject=subject[:100], Message=text)["MessageId"])

    @cached_property
    def airflow(self) -> Airflow:
        """The environment's Airflow; the embedded one is started when it does not run."""
        if self.platform is not None:
            endpoint = self.platform.airflow(self.environment, lambda line: None)
            return Airflow(TokenTransport(endpoint.base_url, endpoint.username, endpoint.password))
        settings = self.environment.airflow
        if settings.url is None or settings.user is None or settings.password is None:
            raise AssertionError("config.load requires these for real accounts")
        file = self.secret_file(settings.password)
        try:
            password = file.read_text().strip()
        except OSError as error:
            raise ConfigurationError(
                f"config/{self.environment.name}.toml: airflow.password: {file} cannot be read: {error.strerror}",
                fix="put the password into that file, or point the reference at the right one",
            ) from error
        return Airflow(TokenTransport(settings.url, settings.user, password))

    @cached_property
    def session(self) -> Session:
        """The deployer's session in the warehouse."""
        return self.session_of(self.environment.warehouse.deployer)

    @cached_property
    def warehouse(self) -> SnowflakeFacts:
        """What the warehouse holds."""
        return SnowflakeFacts(self.session, self.environment.warehouse)

    def comparer(self) -> SlotComparer:
        """Return what compares slots, by the policy of the work tree."""
        warehouse = self.environment.warehouse
        return SlotComparer(
            lambda: self.session_of(warehouse.deployer),
            warehouse,
            self.bucket,
            self.policy.comparison,
            tag=f"slipway:{self.environment.name}",
        )

    def session_of(self, principal: Principal) -> Session:
        """Return a session of one of the environment's principals."""
        return Session(
            self.environment.warehouse,
            principal,
            address=self.address,
            key_file=self.secret_file(principal.private_key),
            query_tag=f"slipway:{self.environment.name}",
        )

    def secret_file(self, reference: str) -> Path:
        """Return the file a secret reference names; relative to the project."""
        return self.project / reference.removeprefix("file:")

    def lease(self, tell: Progress | None = None) -> DynamoLease:
        """Return the lease on the environment, not yet taken; `tell` is told while its table does not answer."""
        return DynamoLease(
            self.aws.dynamodb,
            self.environment.deployments_table,
            environment=self.environment.name,
            by=self.who(),
            patience=Patience(tell=tell),
        )

    def who(self) -> str:
        """Return who deploys: the caller's AWS identity, or on the embedded platform the user of this machine."""
        if self.platform is None or self.role == "approver":
            return self.aws.identity()
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a uid without a name, as containers have
            user = f"uid-{os.getuid()}"
        return f"{user}@{socket.gethostname()}"

    def asker(self) -> str:
        """Return who asks for what no commit brings: the caller's AWS identity when it is a person of the policy,
        otherwise the author that git would name, if it knows one."""
        identity = self.aws.identity()
        if self.policy.person_of_identity(identity):
            return identity
        try:
            return Git(self.project).author()
        except ConfigurationError:
            return self.who()  # nobody in the policy: it matters where approvals are counted

    def history(self) -> tuple[Deployment, ...]:
        """Return the deployments the journal tells of, oldest first."""
        return fold(self.journal.events())

    def open_backfill(self) -> Deployment | None:
        """Return the last deployment when it is a backfill that has not succeeded: it goes on, or was stopped."""
        last = next(reversed(self.history()), None)
        return last if last is not None and last.purpose == "backfill" and last.state != "succeeded" else None

    def slots_aside(self, backfill: Deployment) -> tuple[str, ...]:
        """Return the slots that a backfill builds aside; none when its plan cannot be read, as an earlier Slipway's."""
        try:
            return self.bucket.plan(backfill.plan).slots_aside
        except ConfigurationError:
            return ()

    def refuse_between_swaps(self, shown: str | None) -> None:
        """Raise `Blocked` when readers see a slot that a backfill built aside: its tables are to be taken over first.

        Args:
            shown: the slot that readers see.
        """
        found = self.open_backfill()
        if found is None or shown is None:
            return
        try:
            is_aside = shown in self.bucket.plan(found.plan).slots_aside
        except ConfigurationError:  # an earlier Slipway's, or gone: what no deployment published is no slot of theirs
            is_aside = shown not in published_slots(self.history())
        if is_aside:
            raise Blocked(
                f"readers see {shown}, which {found.id} built aside: its tables are to be taken over first",
                fix=f"invoke backfill.run --env {self.environment.name} --plan {short(found.plan)} ends it",
            )

    def live_commit(self) -> str | None:
        """Return the commit of the last deployment that succeeded, or None before there was one."""
        if not self.has_journal():
            return None
        return next((one.commit for one in reversed(self.history()) if one.state == "succeeded" and one.commit), None)

    def observe_live(self) -> Observation:
        """Return what is live, without asking Terraform for a plan."""
        pointer = self.bucket.pointer()
        return Observation(
            infrastructure=InfrastructureFacts(serial=0, lineage="", plan_sha256=None),
            warehouse=self.warehouse.read(),
            pointer=pointer,
            orchestrator=orchestrator_facts(self.airflow),
        )

    def expected_dags(self, history: Sequence[Deployment]) -> tuple[str, ...]:
        """Return the DAGs of the last success."""
        return next((one.dags for one in reversed(history) if one.state == "succeeded"), ())

    def bootstrapped(self) -> Bootstrapped:
        """Return how much of what a first deployment needs is there.

        Raises:
            Unavailable: a part does not answer, or the warehouse refuses the deployer of an account that was made.
        """
        if not self.bucket_exists("tfstate"):
            return "not at all"
        if not self.has_journal():
            return "partly"
        if self.platform is None:
            self.session.rows("SELECT 1")  # a refused login is an error there, not a sign of a new account
        return "whole" if self.warehouse.is_bootstrapped() else "partly"

    def has_journal(self) -> bool:
        """Return whether the lock and the journal have a place: Terraform's part of the bootstrap was done."""
        try:
            self.journal.events()
        except NotBootstrapped:
            return False
        return True

    def bucket_exists(self, purpose: str) -> bool:
        """Return whether one of the environment's buckets is there."""
        with translated(f"s3://{self.environment.bucket(purpose)}"):
            try:
                self.aws.s3.head_bucket(Bucket=self.environment.bucket(purpose))
            except botocore.exceptions.ClientError as error:
                if code_of(error) in ("404", "NoSuchBucket"):
                    return False
                raise
            return True

    def is_new(self) -> bool:
        """Return whether the environment was never made; raise `NotBootstrapped` when making it was not finished."""
        found = self.bootstrapped()
        if found == "partly":
            raise NotBootstrapped(f"{self.environment.name} was not made to the end", fix=self.bootstrap_command())
        return found == "not at all"

    def require_bootstrapped(self) -> None:
        """Return when the environment was made; raise `NotBootstrapped` that says how to make it."""
        if self.is_new():
            raise NotBootstrapped(f"{self.environment.name} was never deployed to", fix=self.bootstrap_command())

    def require_journal(self) -> None:
        """Return when there is a record of deployments to read; raise `NotBootstrapped` that says how to make it."""
        if not self.has_journal():
            raise NotBootstrapped(f"{self.environment.name} was never deployed to", fix=self.bootstrap_command())

    def bootstrap_command(self) -> str:
        """Return the command that makes the environment; on the embedded platform every deployment does it."""
        name = self.environment.name
        return f"invoke infra.bootstrap --env {name}" if self.platform is None else f"invoke deploy --env {name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if "session" in self.__dict__:
            self.session.close()
