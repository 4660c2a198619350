"""One release in one environment: every adapter in its place, to check, plan and apply it."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from secrets import token_hex
from typing import TypeVar

from slipway import config
from slipway.adapters import dag_gate, migration_lint
from slipway.adapters.dag_pointer import DagPointer
from slipway.adapters.dbt import DbtSlots
from slipway.adapters.dbt_tree import Parsed, check_project
from slipway.adapters.dbt_tree import variables as dbt_variables
from slipway.adapters.dependents import Dependents
from slipway.adapters.git import Git
from slipway.adapters.infrastructure import EnvironmentInfrastructure
from slipway.adapters.observer import EnvironmentObserver
from slipway.adapters.publisher import SlotPublisher
from slipway.adapters.release_bucket import differing
from slipway.adapters.schemachange import Schemachange, variables_of
from slipway.adapters.snowflake import statements_in
from slipway.config import Environment
from slipway.contraction import contraction_of
from slipway.deployment import Deployment, published_slots, refused_slots
from slipway.documents import canonical
from slipway.errors import ConfigurationError
from slipway.gate import CheckReport, Problem
from slipway.lineage import Contraction
from slipway.node import made_by, nodes_in, orphans
from slipway.observation import InfrastructureFacts, Observation
from slipway.plan import Plan, Purpose, build_plan
from slipway.ports import Effects
from slipway.release import Provenance, Release, Version, version_of
from slipway.sandbox.environment import ensure_airflow
from slipway.sandbox.platform import Platform
from slipway.site import Role, Site
from slipway.step import ApplyInfrastructure

Progress = Callable[[str], None]
_Slots = TypeVar("_Slots", bound=DbtSlots)
DAG_GATE_TIMEOUT_S = 30  # a file may take to import
CHECKED_BY = (
    "requirements/airflow.txt",
    "requirements/tools.txt",
    "slipway/adapters/dag_parser.py",
    "slipway/adapters/dbt_process.py",
    "slipway/adapters/dbt_tree.py",
    "slipway/node.py",
    "slipway/adapters/migration_lint.py",
    "slipway/adapters/script_block.py",
)


class Operation:
    """One release in one environment: what is needed to check, plan and apply it.

    Args:
        commits: that make it differ from what is live, oldest first.
    """

    def __init__(self, site: Site, release: Release, version: Version, commits: tuple[Provenance, ...] = ()) -> None:
        self.site, self.release, self.version, self.commits = site, release, version, commits
        self.tree = extract(release, site.build / "releases")  # compared with the release, not trusted as it lies
        self._report: CheckReport | None = None
        self._contractions: dict[str, Contraction] = {}
        site.bucket.choose(release, version)
        self.infrastructure = EnvironmentInfrastructure(
            site.environment,
            self.tree,
            site.build / site.environment.name,
            s3=site.aws.s3,
            shelf=site.bucket,
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

    @cached_property
    def migrations(self) -> Schemachange:
        """Runs the release's migrations."""
        site, environment = self.site, self.site.environment
        return Schemachange(
            environment,
            self.release,
            self.tree,
            session=site.session,
            facts=site.warehouse,
            address=site.address,
            key_file=site.secret_file(environment.warehouse.deployer.private_key),
        )

    def effects(self) -> Effects:
        """Return every port that changes something."""
        site, environment = self.site, self.site.environment
        return Effects(
            infrastructure=self.infrastructure,
            releases=site.bucket,
            migrations=self.migrations,
            slots=self.slots(DbtSlots),
            orchestrator=DagPointer(site.bucket, site.airflow, timeout_s=environment.timeouts.flip_s),
        )

    def slots(self, kind: type[_Slots]) -> _Slots:
        """Return what builds the release's dbt project into slots, as one of the adapters that do."""
        site, environment = self.site, self.site.environment
        dependents = Dependents(site.session, environment.warehouse, elsewhere=databases_elsewhere(site))
        return kind(
            environment,
            self.tree / "dbt",
            site.build / environment.name / "dbt",
            session=site.session,
            facts=site.warehouse,
            comparer=site.comparer(),
            publisher=SlotPublisher(site.session, environment.warehouse, site.warehouse, dependents),
            dependents=dependents,
            bucket=site.bucket,
            address=site.address,
            key_file=site.secret_file(environment.warehouse.transformer.private_key),
        )

    def examine(self, purpose: Purpose, *, reviewed: Plan | None = None) -> tuple[Observation, Plan]:
        """Check the release and observe the environment at the same time, and return the plan that follows.

        Args:
            reviewed: a plan whose infrastructure step stands as it was reviewed; Terraform does not plan again.

        Raises:
            Blocked: a backfill that did not end shows readers what it built aside.
        """
        with ThreadPoolExecutor(max_workers=2) as pool:
            checked = pool.submit(self.checks)
            seen = self.observer.observe(infrastructure=purpose == "deploy" and reviewed is None)
            dag_ids = checked.result().dag_ids
        if purpose == "deploy":
            shown = seen.warehouse.published
            self.site.refuse_between_swaps(shown.slot if shown else None)
        if reviewed is not None:
            seen = seen.model_copy(update={"infrastructure": _as_reviewed(reviewed, seen.infrastructure)})
        return seen, self.plan_on(seen, dag_ids, purpose)

    def look_again(self, plan: Plan) -> tuple[Observation, Plan]:
        """Observe the environment, and return what is left to do once the plan was applied."""
        seen = self.observer.observe(infrastructure=any(step.kind == "infra" for step in plan.steps))
        return seen, self.plan_on(seen, plan.dag_ids, plan.purpose)

    def goes_on_with(self, plan: Plan) -> bool:
        """Return whether an unfinished plan of the same purpose and version is this operation's."""
        return True

    def plan_on(self, seen: Observation, dag_ids: tuple[str, ...], purpose: Purpose) -> Plan:
        """Return the plan that follows from an observation."""
        return build_plan(
            self.release,
            self.version,
            seen,
            dag_ids=dag_ids,
            policy=self.site.policy.digest,
            rules=self.site.policy.comparison.digest,
            configuration=self.site.environment.digest,
            after=next((one.id for one in reversed(self.site.history())), None),
            commits=self.commits,
            purpose=purpose,
            asked_by=self._asker if purpose == "rollback" else None,
            once_live=self._old_slots(),
            ends_rollbacks=self.contraction(seen).ends if purpose == "deploy" else (),
            orphans=self._orphans(seen),
        )

    @cached_property
    def _asker(self) -> str:
        return self.site.asker()

    def _old_slots(self) -> frozenset[str]:
        """Return the slots that are not published as they stand: readers saw them once, or they were refused."""
        history = self.site.history()
        refused = refused_slots(history) - self.site.policy.comparison.acknowledged_slots()
        return published_slots(history) | refused

    def contraction(self, seen: Observation) -> Contraction:
        """Return what the pending scripts take that releases need; found once for the same facts."""
        key = seen.base.digest
        if key not in self._contractions:
            self._contractions[key] = contraction_of(self.site, self.release, seen)
        return self._contractions[key]

    def _orphans(self, seen: Observation) -> tuple[str, ...]:
        """Return what the live slot has and this release's project does not make; nothing when that is not known."""
        live, made = seen.warehouse.published, self.checks().relations
        if live is None or live.slot == self.version.slot or not made:
            return ()
        kept = self.site.bucket.dbt_manifest(live.slot)
        return orphans(nodes_in(kept, live.slot), made) if kept else ()

    def checks(self) -> CheckReport:
        """Return what the checks find in the release; kept by content, so that the same content is checked once.

        Side effects: files under the build folder.
        """
        if self._report is None:
            self._report = self._kept_report() or self._check()
        return self._report

    def _kept_report(self) -> CheckReport | None:
        kept = self._kept_file
        try:
            return CheckReport.from_bytes(kept.read_bytes(), origin=str(kept)) if kept.exists() else None
        except ConfigurationError:  # another Slipway kept it
            return None

    @property
    def _kept_file(self) -> Path:
        return self.site.build / "checks" / f"{self._check_key()}.json"

    def _check(self) -> CheckReport:
        with ThreadPoolExecutor(max_workers=2) as pool:
            compiled = pool.submit(self._check_dbt)
            dags = self._check_dags()
            parsed = compiled.result()
            report = CheckReport(
                dag_ids=tuple(sorted(dags.dags)),
                dag_problems=tuple(Problem(file=one.file, message=one.message) for one in dags.problems),
                dbt_problems=parsed.problems,
                dbt_parse_ms=parsed.parse_ms,
                migration_problems=self._read_migrations(),
                relations=made_by(nodes_in(self._compiled.read_bytes(), self.version.slot))
                if not parsed.problems
                else (),
            )
        self._kept_file.parent.mkdir(parents=True, exist_ok=True)
        is_slow = (parsed.parse_ms or 0) > self.site.policy.dbt.parse_seconds * 1000  # a busy machine may have been
        if not (is_slow or report.dag_problems or report.dbt_problems or report.migration_problems):
            _write(self._kept_file, report.to_bytes())
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

    def _check_dbt(self) -> Parsed:
        environment = self.site.environment
        profile = dbt_variables(
            environment,
            self.version.slot,
            address=self.site.address,
            key_file=self.site.secret_file(environment.warehouse.transformer.private_key),
        )
        return check_project(self.tree / "dbt", self._compiled.parents[1], profile)

    @property
    def _compiled(self) -> Path:
        """The manifest that the check of the dbt project leaves."""
        return self.site.build / self.site.environment.name / "dbt-check" / "target" / "manifest.json"

    def _read_migrations(self) -> tuple[Problem, ...]:
        found = migration_lint.lint(self.tree / "snowflake_migrations", variables_of(self.site.environment))
        return tuple(Problem(file=one.file, message=str(one)) for one in found if one.rule != "undo")  # a gate's own

    def _check_key(self) -> str:
        parts = {
            "dags": self.release.manifest.component_digest("dags"),
            "dbt": self.release.manifest.component_digest("dbt"),
            "migrations": self.release.manifest.component_digest("migrations"),
            "settings": self.version.config_digest,
            **{path: hashlib.sha256((self.site.project / path).read_bytes()).hexdigest() for path in CHECKED_BY},
        }
        return hashlib.sha256(canonical(parts)).hexdigest()


def databases_elsewhere(site: Site) -> dict[str, str]:
    """Return the databases of the other environments: name -> environment. One that cannot be read has none."""
    found: dict[str, str] = {}
    for name in set(config.ENVIRONMENTS) - {site.environment.name}:
        with suppress(ConfigurationError):  # what is wrong with it is not this environment's affair
            found |= dict.fromkeys(_databases(config.load(name, folder=site.project / "config")), name)
    return {name: other for name, other in found.items() if name not in _databases(site.environment)}


def _databases(environment: Environment) -> tuple[str, ...]:
    warehouse = environment.warehouse
    return (
        warehouse.raw_database,
        warehouse.analytics_database,
        warehouse.marts_database,
        warehouse.ops_database,
    )


def open_site(
    project: Path, name: str, *, start: bool, progress: Progress = lambda line: None, role: Role = "deployer"
) -> Site:
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
    return Site(project, environment, platform, role=role)


def operate(site: Site, revision: str = "HEAD") -> Operation:
    """Return the operation of the commit `revision` in the environment, with the environment's settings as they are."""
    git = Git(site.project)
    release = git.release_at(revision)
    return Operation(site, release, version_of(release, site.environment), _commits(site, git, release))


def operate_earlier(site: Site, deployment: Deployment) -> Operation:
    """Return the operation that goes back to what an earlier deployment made live, its settings included."""
    release = site.bucket.release(deployment.release)
    version = site.bucket.version(deployment.version)
    return Operation(site, release, version)


def _commits(site: Site, git: Git, release: Release) -> tuple[Provenance, ...]:
    """Return what makes the release differ from the live one, its own commit always with it."""
    live, own = site.live_commit(), release.provenance
    between = git.commits_between(live, own.commit) if live else ()
    return between if own in between else (*between, own)


def _as_reviewed(plan: Plan, now: InfrastructureFacts) -> InfrastructureFacts:
    """Return what Terraform said when the plan was made, on the state there is now."""
    step = next((one for one in plan.steps if isinstance(one, ApplyInfrastructure)), None)
    if step is None:
        return now
    return InfrastructureFacts(
        serial=now.serial,
        lineage=now.lineage,
        plan_sha256=step.plan_sha256,
        creates=step.creates,
        updates=step.updates,
        replaces=step.replaces,
        deletes=step.deletes,
        destroys_data=step.destroys_data,
    )


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
    """Return a folder that holds the release's files and nothing else; what was changed there is left alone.

    Side effects: a folder below `<folder>/<id>`.
    """
    home = folder / release.id
    target = home / "tree"
    if target.is_dir():
        if not differing(release.manifest, _files_below(target)):
            return target
        target = home / f"tree-{token_hex(4)}"  # somebody edited the other one, or still uses it
    home.mkdir(parents=True, exist_ok=True)
    draft = Path(tempfile.mkdtemp(dir=home, prefix=".draft-"))
    for path, content in release.files.items():
        file = draft / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    try:
        draft.rename(target)
    except OSError:  # another command was first
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _files_below(tree: Path) -> dict[str, bytes]:
    """Return every file of a tree but Python's own leftovers; a link, which no release holds, as its target's name."""
    found = {}
    for path in tree.rglob("*"):
        name = str(path.relative_to(tree))
        if path.is_symlink():
            found[name] = f"link to {os.readlink(path)}".encode()
        elif path.is_file() and not (path.suffix == ".pyc" and path.parent.name == "__pycache__"):
            found[name] = path.read_bytes()
    return found


def _write(path: Path, content: bytes) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(content)
    draft.replace(path)
