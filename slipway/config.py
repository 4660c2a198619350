"""Environments: what `config/<env>.toml` may say, and where every value of it is checked.

Rules:
- Configuration is apart from code: the same release goes to every environment, each with its own file and digest.
- A file holds references to secrets (`file:PATH`), never secrets.
- Unknown keys are refused; every problem of a file is reported at once with the path to its key.
"""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, StringConstraints

from slipway.documents import Document, read_toml
from slipway.errors import ConfigurationError

ENVIRONMENTS = ("dev", "staging", "prod")

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9-]{1,30}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Z][A-Z0-9_]{0,60}$")]


def _is_reference(value: str) -> str:
    scheme, _, rest = value.partition(":")
    if scheme != "file" or not rest:
        raise ValueError("a secret is named by a reference such as 'file:keys/deployer.p8', never written here")
    return value


SecretReference = Annotated[str, AfterValidator(_is_reference)]


class Principal(Document):
    """Who Slipway or a job is in the warehouse: a service user with a key pair, acting in one role."""

    user: Identifier
    role: Identifier
    private_key: SecretReference


class Aws(Document):
    """The AWS account and the names in it."""

    region: str
    prefix: Name
    account_id: Annotated[str, StringConstraints(pattern=r"^\d{12}$")] | None = None


class Warehouse(Document):
    """The Snowflake account and the names in it."""

    account: str
    warehouse: Identifier
    raw_database: Identifier
    analytics_database: Identifier
    marts_database: Identifier
    ops_database: Identifier
    reader_role: Identifier
    storage_integration: Identifier | None = None  # through which real accounts read the landing bucket
    deployer: Principal
    loader: Principal
    transformer: Principal
    admin: Principal | None = None  # needed once, by infra.bootstrap


class Airflow(Document):
    """The Airflow that runs the pipelines. `url` is absent where the platform itself says it (embedded)."""

    url: str | None = None
    user: str | None = None
    password: SecretReference | None = None


class Settings(Document):
    """What pipelines of this environment are told; travels with the release to Airflow and back with a rollback."""

    sources_bucket: str
    source_schema: str
    schedule_start: date | None = None  # first logical date of every DAG; the embedded platform has its own
    dbt_threads: int = Field(ge=1, le=64)


class Timeouts(Document):
    """How long Slipway waits before it says a part has failed."""

    infra_s: int = Field(default=1800, ge=10)
    migrate_s: int = Field(default=900, ge=10)
    build_s: int = Field(default=3600, ge=10)
    clone_s: int = Field(default=300, ge=1)  # one statement: a layer of a slot, a database, a table
    flip_s: int = Field(default=300, ge=5)


class Environment(Document):
    """One environment, as `config/<name>.toml` describes it."""

    name: Literal["dev", "staging", "prod"]
    target: Literal["embedded", "cloud"]
    aws: Aws
    warehouse: Warehouse
    airflow: Airflow
    settings: Settings
    timeouts: Timeouts = Timeouts()

    def bucket(self, purpose: str) -> str:
        """Return the name of one of the environment's buckets: `releases`, `landing` or `tfstate`."""
        return f"{self.aws.prefix}-{self.name}-{purpose}"

    @property
    def deployments_table(self) -> str:
        """The DynamoDB table that holds the lock and the journal."""
        return f"{self.aws.prefix}-{self.name}-deployments"

    def missing_for_cloud(self) -> tuple[str, ...]:
        """Return the keys that real accounts need and the file does not give; empty on the embedded platform."""
        if self.target == "embedded":
            return ()
        wanted: dict[str, object] = {
            "aws.account_id": self.aws.account_id,
            "warehouse.storage_integration": self.warehouse.storage_integration,
            "airflow.url": self.airflow.url,
            "airflow.user": self.airflow.user,
            "airflow.password": self.airflow.password,
            "settings.schedule_start": self.settings.schedule_start,
        }
        return tuple(key for key, value in wanted.items() if value is None)

    def runtime_settings(self) -> dict[str, str | int]:
        """Return the settings a version carries to Airflow: no secrets, plain values."""
        assert self.settings.schedule_start is not None  # noqa: S101 - given by the platform, or required by `load`
        return {
            "landing_bucket": self.bucket("landing"),
            "sources_bucket": self.settings.sources_bucket,
            "source_schema": self.settings.source_schema,
            "raw_database": self.warehouse.raw_database,
            "analytics_database": self.warehouse.analytics_database,
            "ops_database": self.warehouse.ops_database,
            "schedule_start": self.settings.schedule_start.isoformat(),
            "dbt_threads": self.settings.dbt_threads,
        }


def load(name: str, *, folder: Path) -> Environment:
    """Return the environment `name` from `folder`.

    Raises:
        ConfigurationError: unknown environment, missing file, bad TOML, or any key that is missing, unknown or wrong.
    """
    if name not in ENVIRONMENTS:
        known = ", ".join(ENVIRONMENTS)
        raise ConfigurationError(
            f"unknown environment {name!r}", fix=f"give one of {known}: invoke deploy --env staging"
        )
    content = read_toml(folder / f"{name}.toml")
    environment = Environment.from_mapping(content, origin=f"config/{name}.toml")
    if environment.name != name:
        raise ConfigurationError(
            f"config/{name}.toml: name is {environment.name!r}, expected {name!r}", fix=f"write name = {name!r}"
        )
    if missing := environment.missing_for_cloud():
        lines = "\n".join(f"  {key}: required for target 'cloud'" for key in missing)
        raise ConfigurationError(f"config/{name}.toml is not valid:\n{lines}", fix="see docs/guides/accounts.md")
    return environment
