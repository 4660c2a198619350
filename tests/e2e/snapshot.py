"""Everything that a deployment may change, as lines; and what came and went between two looks at it.

Names that differ from one deployment to the next (slot, version, release, number of the change) are told by their part:
`<new>` and `<old>`, so that two deployments of the same kind have the same differences, line by line.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from slipway.adapters.airflow import Airflow, TokenTransport
from slipway.adapters.infrastructure import STATE_KEY
from slipway.adapters.release_bucket import POINTER
from slipway.adapters.snowflake import Session
from slipway.operation import open_site
from slipway.sandbox.airflow import USERNAME
from slipway.sandbox.process import Process
from slipway.site import Site
from tests.e2e.change import NUMBERED

DATABASES = ("RAW", "ANALYTICS", "MARTS", "OPS")
ROLES = ("DEPLOYER", "LOADER", "TRANSFORMER", "READER")
FOLDERS = ("airflow/", "releases/", "dbt/")  # of the release bucket: what a deployment brings, once
SWAP = "swapped at "


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What was there, each line as often as it was there.

    Attributes:
        names: what the deployment that is live calls itself: slot, version and release.
    """

    lines: Counter[str]
    serial: int
    names: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """What came and what went. Two of them are equal when they say the same."""

    came: Counter[str]
    went: Counter[str]

    def against(self, wanted: Difference) -> list[str]:
        """Return, line by line, where this difference is not the wanted one."""
        return [
            f"{said}: {count} x {line}"
            for said, found in (
                ("came too often", self.came - wanted.came),
                ("did not come", wanted.came - self.came),
                ("went too often", self.went - wanted.went),
                ("did not go", wanted.went - self.went),
            )
            for line, count in sorted(found.items())
        ]


def take(root: Path) -> Snapshot:
    """Look at the staging environment of the house at `root`. No side effects."""
    with open_site(root, "staging", start=False) as site:
        admin = site.environment.warehouse.admin
        if admin is None:
            raise AssertionError("the embedded warehouse has an admin")
        session = site.session_of(admin)
        try:
            lines = Counter(_warehouse(session))
        finally:
            session.close()
        state = json.loads(
            site.aws.s3.get_object(Bucket=site.environment.bucket("tfstate"), Key=STATE_KEY)["Body"].read()
        )
        lines.update(_aws(site, state))
        airflow = _airflow(root)
        lines.update(f"DAG {dag_id} of {dag.version}" for dag_id, dag in airflow.dags().items())
        lines.update(f"DAG import error in {error.file}" for error in airflow.import_errors())
        pointer, published = site.bucket.pointer(), site.warehouse.published()
        names = {}
        if pointer is not None and published is not None:
            names = {"version": pointer.version, "release": pointer.release, "slot": published.slot}
        return Snapshot(lines=lines, serial=int(state["serial"]), names=names)


def _airflow(root: Path) -> Airflow:
    """Return staging's Airflow as it runs; `Site.airflow` would first have it run as this process wants it."""
    sandbox = root / ".sandbox"
    port = Process(sandbox, "airflow-staging-api-server").port("http")
    password = json.loads((sandbox / "airflow-staging" / "passwords.json").read_text())[USERNAME]
    return Airflow(TokenTransport(f"http://127.0.0.1:{port}", USERNAME, password))


def difference(before: Snapshot, after: Snapshot) -> Difference:
    """Return what came and went, in names that do not depend on the deployment. No side effects."""
    came, went = after.lines - before.lines, before.lines - after.lines
    newest = max((int(found[2]) for line in (came | went) for found in NUMBERED.finditer(line)), default=0)

    def plain(lines: Counter[str]) -> Counter[str]:
        told: Counter[str] = Counter()
        for line, count in lines.items():
            told[_plain(line, before.names, after.names, newest)] += count
        return told

    went = Counter({line: count for line, count in went.items() if not line.startswith(SWAP)})  # history forgets
    return Difference(came=plain(came), went=plain(went))


def _plain(line: str, before: Mapping[str, str], after: Mapping[str, str], newest: int) -> str:
    for said, names in (("new", after), ("old", before)):
        for name in ("version", "release", "slot"):  # a version begins as its release does
            if name in names:
                line = line.replace(names[name], f"<{said} {name}>")
    line = re.sub(rf"^{SWAP}.*", SWAP.strip(), line)
    return NUMBERED.sub(lambda found: f"{found[1]}<{'new' if int(found[2]) == newest else 'old'}>", line)


def _warehouse(session: Session) -> Iterator[str]:
    yield from (f"database {row[1]}" for row in session.rows("SHOW DATABASES"))
    for name in DATABASES:
        yield from _catalog(session, f"STAGING_{name}")
    for role in (f"STAGING_{name}" for name in ROLES):
        for word in ("", "FUTURE "):
            for row in session.rows(f"SHOW {word}GRANTS TO ROLE {role}"):
                yield f"{word.lower()}grant {row[1]} on {row[2]} {row[3]} to {row[5]}, may pass on: {row[6]}"
    ops = "STAGING_OPS.SLIPWAY"
    for script, kind, status in session.rows(f"SELECT SCRIPT, SCRIPT_TYPE, STATUS FROM {ops}.CHANGE_HISTORY"):
        yield f"migration {kind} {script} {status}"
    for row in session.rows(f"SELECT DISTINCT SCRIPT, RELEASE FROM {ops}.SCRIPT_DIGESTS"):
        yield f"digest of {row[0]} by {row[1]}"
    yield from (f"slot {row[0]} of {row[1]}" for row in session.rows(f"SELECT SLOT, RELEASE FROM {ops}.SLOTS"))
    yield from (
        f"{SWAP}{row[0]}"
        for row in session.rows(
            "SELECT START_TIME FROM TABLE(STAGING_OPS.INFORMATION_SCHEMA.QUERY_HISTORY(RESULT_LIMIT => 10000)) "
            "WHERE EXECUTION_STATUS = 'SUCCESS' AND QUERY_TEXT ILIKE 'ALTER DATABASE%SWAP WITH%'"
        )
    )


def _catalog(session: Session, database: str) -> Iterator[str]:
    catalog = f"{database}.INFORMATION_SCHEMA"
    for (schema,) in session.rows(f"SELECT SCHEMA_NAME FROM {catalog}.SCHEMATA"):
        yield f"schema {database}.{schema}"
    for schema, name, kind in session.rows(f"SELECT TABLE_SCHEMA, TABLE_NAME, TABLE_TYPE FROM {catalog}.TABLES"):
        yield f"{kind} {database}.{schema}.{name}"
        if NUMBERED.fullmatch(name) or name == "LATEST_CHANGE":
            yield from (f"row {row} of {database}.{schema}.{name}" for row in _numbers(session, database, schema, name))
    columns = (
        "SELECT TABLE_SCHEMA, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, DATA_TYPE, IS_NULLABLE "
        f"FROM {catalog}.COLUMNS WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'"
    )
    for schema, name, *column in session.rows(columns):
        yield f"column {database}.{schema}.{name} {column}"
    views = f"SELECT TABLE_SCHEMA, TABLE_NAME, VIEW_DEFINITION FROM {catalog}.VIEWS"
    for schema, name, text in session.rows(f"{views} WHERE TABLE_SCHEMA <> 'INFORMATION_SCHEMA'"):
        yield f"view {database}.{schema}.{name} is {text}"


def _numbers(session: Session, database: str, schema: str, name: str) -> Iterator[str]:
    column = "CHANGE_NUMBER" if name == "LATEST_CHANGE" else "NUMBER"
    for (number,) in session.rows(f'SELECT {column} FROM {database}."{schema}".{name}'):
        yield f"change-{number}"


def _aws(site: Site, state: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"terraform has {address}" for address in _addresses(state))
    topics = site.aws.sns.get_paginator("list_topics").paginate()
    yield from (f"topic {one['TopicArn'].rpartition(':')[2]}" for page in topics for one in page["Topics"])
    pages = site.aws.s3.get_paginator("list_objects_v2").paginate(Bucket=site.bucket.bucket)
    keys = (one["Key"] for page in pages for one in page.get("Contents", ()))
    yield from (f"object {key}" for key in keys if key.startswith(FOLDERS))
    versions = site.aws.s3.list_object_versions(Bucket=site.bucket.bucket, Prefix=POINTER).get("Versions", ())
    yield from ("a version of the pointer" for one in versions if one["Key"] == POINTER)
    pointer = site.bucket.pointer()
    if pointer is not None:
        yield f"pointer at {pointer.version} of {pointer.release}, settings {pointer.config}"
    left = site.aws.s3.list_objects_v2(Bucket=site.environment.bucket("tfstate")).get("Contents", ())
    yield from (f"state object {one['Key']}" for one in left)
    holder = site.lease().holder()
    yield f"the lease is held: {holder is not None}"


def _addresses(state: Mapping[str, Any]) -> Iterator[str]:
    for one in state.get("resources", ()):
        for instance in one.get("instances", ()):
            place = ".".join(part for part in (one.get("module"), one["type"], one["name"]) if part)
            yield f"{one['mode']} {place}[{instance.get('index_key', '')}]"
