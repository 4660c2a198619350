"""Wiring: one environment with every adapter in its place; the only module that knows core and adapters both."""

from __future__ import annotations

import getpass
import hashlib
import os
import shutil
import socket
import tempfile
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

import botocore.exceptions

from slipway import config
from slipway.adapters import dag_gate
from slipway.adapters.airflow import Airflow, TokenTransport
from slipway.adapters.aws import Aws, code_of, translated
from slipway.adapters.dag_pointer import DagPointer
from slipway.adapters.dbt import DbtSlots, check_project
from slipway.adapters.dbt import variables as dbt_variables
from slipway.adapters.infrastructure import EnvironmentInfrastructure
from slipway.adapters.journal import DynamoJournal
from slipway.adapters.lease import DynamoLease
from slipway.adapters.observer import EnvironmentObserver, orchestrator_facts
from slipway.adapters.release_bucket import ReleaseBucket
from slipway.adapters.schemachange import Schemachange
from slipway.adapters.snowflake import Address, Session, SlotPublisher, SnowflakeFacts, statements_in
from slipway.config import Environment, Principal
from slipway.deployment import Deployment, fold, published_slots
from slipway.documents import canonical
from slipway.errors import ConfigurationError, NotBootstrapped
from slipway.gate import CheckReport, Problem
from slipway.observation import InfrastructureFacts, Observation
from slipway.plan import Plan, build_plan
from slipway.ports import Effects
from slipway.release import Release, Version, version_of
from slipway.sandbox.environment import ensure_airflow
from slipway.sandbox.platform import Platform

Progress = Callable[[str], None]
Bootstrapped = Literal["not at all", "partly", "whole"]
DAG_GATE_TIMEOUT_S = 30  # a file may take to import
CHECKED_BY = ("requirements/airflow.txt", "requirements/tools.txt", "slipway/adapters/dag_parser.py")


class Site:
    """One environment: its configuration and the readers that need no release."""

    def __init__(self, project: Path, environment: Environment, platform: Platform | None) -> None:
        self.project, self.environment, self.platform = project, environment, platform
        self.build = project / ".build"

    @cached_property
    def aws(self) -> Aws:
        """The environment's AWS account."""
        if self.platform is None:
            return Aws(region=self.environment.aws.region)
        variables = self.platform.aws_variables()
        return Aws(
            region=self.environment.aws.region,
            endpoint=variables["AWS_ENDPOINT_URL"],
            credentials={
                "aws_access_key_id": variables["AWS_ACCESS_KEY_ID"],
                "aws_secret_access_key": variables["AWS_SECRET_ACCESS_KEY"],
            },
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

    def lease(self) -> DynamoLease:
        """Return the lease on the environment, not yet taken."""
        return DynamoLease(
            self.aws.dynamodb, self.environment.deployments_table, environment=self.environment.name, by=self.who()
        )

    def who(self) -> str:
        """Return who deploys: the caller's AWS identity, or on the embedded platform the user of this machine."""
        if self.platform is None:
            return self.aws.identity()
        try:
            user = getpass.getuser()
        except (KeyError, OSError):  # a uid without a name, as containers have
            user = f"uid-{os.getuid()}"
        return f"{user}@{socket.gethostname()}"

    def history(self) -> tuple[Deployment, ...]:
        """Return the deployments the journal tells of, oldest first."""
        return fold(self.journal.events())

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


class Operation:
    """One release in one environment: what is needed to check, plan and apply it."""

    def __init__(self, site: Site, release: Release, version: Version) -> None:
        self.site, self.release, self.version = site, release, version
        self.tree = extract(release, site.build / "releases")
        site.bucket.choose(release, version)
        self.infrastructure = EnvironmentInfrastructure(
            site.environment,
            self.tree,
            site.build / site.environment.name,
            s3=site.aws.s3,
            variables=site.platform.terraform_variables() if site.platform else {},
        )

    @cached_property
    def observer(self) -> EnvironmentObserver:
        """Reads the environment."""
        return EnvironmentObserver(
            infrastructure=self.infrastructure,
            warehouse=self.site.warehouse,
            bucket=self.site.bucket,
            airflow=self.site.airflow,
            version=self.version.version,
        )

    def effects(self) -> Effects:
        """Return every port that changes something."""
        site, environment = self.site, self.site.environment
        return Effects(
            infrastructure=self.infrastructure,
            releases=site.bucket,
            migrations=Schemachange(
                environment,
                self.release,
                self.tree,
                session=site.session,
                facts=site.warehouse,
                address=site.address,
                key_file=site.secret_file(environment.warehouse.deployer.private_key),
            ),
            slots=DbtSlots(
                environment,
                self.tree / "dbt",
                site.build / environment.name / "dbt",
                session=site.session,
                facts=site.warehouse,
                publisher=SlotPublisher(site.session, environment.warehouse, site.warehouse),
                bucket=site.bucket,
                address=site.address,
                key_file=site.secret_file(environment.warehouse.transformer.private_key),
            ),
            orchestrator=DagPointer(site.bucket, site.airflow, timeout_s=environment.timeouts.flip_s),
        )

    def examine(self, purpose: Literal["deploy", "rollback"]) -> tuple[CheckReport, Observation, Plan]:
        """Check the release and observe the environment at the same time, and return the plan that follows."""
        with ThreadPoolExecutor(max_workers=2) as pool:
            checked = pool.submit(self.checks)
            seen = self.observer.observe(infrastructure=purpose == "deploy")
            report = checked.result()
        return report, seen, self.plan_on(seen, report, purpose)

    def plan_on(self, seen: Observation, report: CheckReport, purpose: Literal["deploy", "rollback"]) -> Plan:
        """Return the plan that follows from an observation."""
        return build_plan(
            self.release,
            self.version,
            seen,
            dag_ids=report.dag_ids,
            purpose=purpose,
            once_live=published_slots(self.site.history()),
        )

    def checks(self) -> CheckReport:
        """Return what the checks find in the release; kept by content, so that the same content is checked once.

        Side effects: files under the build folder.
        """
        kept = self.site.build / "checks" / f"{self._check_key()}.json"
        if kept.exists():
            return CheckReport.from_bytes(kept.read_bytes(), origin=str(kept))
        with ThreadPoolExecutor(max_workers=2) as pool:
            compiled = pool.submit(self._check_dbt)
            dags = self._check_dags()
            report = CheckReport(
                dag_ids=tuple(sorted(dags.dags)),
                dag_files={dag_id: dag.file for dag_id, dag in sorted(dags.dags.items())},
                dag_problems=tuple(Problem(file=one.file, message=one.message) for one in dags.problems),
                dbt_problems=compiled.result(),
            )
        kept.parent.mkdir(parents=True, exist_ok=True)
        if not (report.dag_problems or report.dbt_problems):
            _write(kept, report.to_bytes())
        return report

    def _check_dags(self) -> dag_gate.GateReport:
        version_file = self.tree.parent / f"{self.version.version}.json"
        _write(version_file, canonical({"version": self.version.version, **self.version.model_dump(mode="json")}))
        return dag_gate.check(
            self.tree / "dags",
            airflow_python=ensure_airflow(self.site.project) / "python",
            version_file=version_file,
            timeout_s=DAG_GATE_TIMEOUT_S,
        )

    def _check_dbt(self) -> tuple[Problem, ...]:
        environment = self.site.environment
        profile = dbt_variables(
            environment,
            self.version.slot,
            address=self.site.address,
            key_file=self.site.secret_file(environment.warehouse.transformer.private_key),
        )
        return check_project(self.tree / "dbt", self.site.build / environment.name / "dbt-check", profile)

    def _check_key(self) -> str:
        parts = {
            "dags": self.release.manifest.component_digest("dags"),
            "dbt": self.release.manifest.component_digest("dbt"),
            "settings": self.version.config_digest,
            **{path: hashlib.sha256((self.site.project / path).read_bytes()).hexdigest() for path in CHECKED_BY},
        }
        return hashlib.sha256(canonical(parts)).hexdigest()


def open_site(project: Path, name: str, *, start: bool, progress: Progress = lambda line: None) -> Site:
    """Return the environment `name`, wired; on the embedded platform with its own start of the schedules.

    Args:
        start: whether the embedded platform is started when it does not run; otherwise that is an error.

    Raises:
        ConfigurationError: the environment's file is not fit.
        Unavailable: the embedded platform does not run, or does not start.
    """
    environment = config.load(name, folder=project / "config")
    platform = Platform(project) if environment.target == "embedded" else None
    if platform is not None:
        if start:
            platform.up(progress)
        else:
            platform.require(name)
        if environment.settings.schedule_start is None:
            settings = environment.settings.model_copy(update={"schedule_start": platform.schedule_start})
            environment = environment.model_copy(update={"settings": settings})
    return Site(project, environment, platform)


def operate(site: Site, release: Release) -> Operation:
    """Return the operation of `release` in the environment, with the environment's settings as they are now."""
    return Operation(site, release, version_of(release, site.environment))


def operate_earlier(site: Site, deployment: Deployment) -> Operation:
    """Return the operation that goes back to what an earlier deployment made live, its settings included."""
    release = site.bucket.release(deployment.release)
    version = site.bucket.version(deployment.version)
    return Operation(site, release, version)


def bootstrap(site: Site, operation: Operation, progress: Progress) -> None:
    """Make what a first deployment needs: the Terraform root, and databases, roles and users in the warehouse.

    Side effects: the environment's AWS resources and warehouse objects; nothing that exists is changed.
    """
    if not site.has_journal():  # otherwise its changes belong to a deployment, with its gates and its record
        operation.infrastructure.bootstrap(progress)
    admin = site.environment.warehouse.admin
    if admin is None:
        raise ConfigurationError(
            f"config/{site.environment.name}.toml: warehouse.admin is required to make databases and roles",
            fix=f"add [warehouse.admin] in config/{site.environment.name}.toml for the time of the bootstrap",
        )
    session = site.session_of(admin)
    script = (operation.tree / "snowflake_migrations" / "bootstrap.sql").read_text()
    for statement in statements_in(script, {"env": site.environment.name.upper()}):
        session.run(statement)
    session.close()
    progress("warehouse: databases, roles and users are there")


def extract(release: Release, folder: Path) -> Path:
    """Return the folder that holds the release's files; written once, whole or not at all.

    Side effects: `<folder>/<short id>/tree`.
    """
    target = folder / release.short_id / "tree"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=target.parent, prefix=".draft-"))
    for path, content in release.files.items():
        file = draft / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    try:
        draft.rename(target)
    except OSError:  # another command was first
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)
