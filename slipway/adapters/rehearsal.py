"""Rehearsals of migrations: on clones of the databases they touch, up, undo, and up again, the catalogs compared.

Rules:
- A clone copies no data and no grant on the database itself, so that nobody but the deployer reaches what is in it.
  https://docs.snowflake.com/en/sql-reference/sql/create-clone
- Future grants on a database are not copied either: what one of them gives on the live database is not compared.
  https://docs.snowflake.com/en/sql-reference/sql/grant-privilege (considerations: future grants and cloning)
- What stands of a script on the live databases stands on the clones too, the statement journal included: a script of
  which a part stands is rehearsed from there.
- Where a column stands among the others is not compared: one that was dropped comes back as the last.
- R scripts run once. A scripts are not rehearsed: what they say is who may reach the database.
- The names of the clones are always the same, and whoever rehearses holds the environment: what a process that died
  left behind is dropped by the next.
- What would reach beyond the clones, in a script or in its undo, is not rehearsed, and neither is what comes after it;
  why is said. A clone stands for the variable, so that a live database is named only where its name is written out.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from slipway.adapters.catalog import Catalog, catalog_of, differing
from slipway.adapters.script_runner import ScriptRunner, Text
from slipway.adapters.snowflake import OPS_SCHEMA, STATEMENT_TABLE, Session
from slipway.config import Environment
from slipway.errors import StepFailed, Unavailable
from slipway.migration import SCRIPTS_FOLDER, UNDO_FOLDER, kind_of, undo_of
from slipway.ports import Progress
from slipway.statement import Standing, bare

SUFFIX = "__REHEARSAL"
_ACCOUNT = (  # objects that no database holds
    r"ACCOUNT|ROLE|USER|WAREHOUSE|DATABASE|SHARE|RESOURCE\s+MONITOR|NETWORK\s+POLICY|COMPUTE\s+POOL|FAILOVER\s+GROUP|"
    r"REPLICATION\s+GROUP|CONNECTION|(?:\w+\s+)*INTEGRATION|EXTERNAL\s+VOLUME"
)
_BEYOND: tuple[tuple[str, re.Pattern[str]], ...] = (
    ("it changes the account", re.compile(rf"(?:CREATE|ALTER|DROP)\s+(?:OR\s+REPLACE\s+)?(?:{_ACCOUNT})\b")),
    ("it grants outside of schemas", re.compile(rf"(?:GRANT|REVOKE)\s+(?:ROLE\b|.*\bON\s+(?:{_ACCOUNT})\b)")),
    ("it writes files", re.compile(r"COPY\s+INTO\s+['@]|(?:PUT|REMOVE|RM)\b")),
    ("it loads by itself", re.compile(r"CREATE\s+(?:OR\s+REPLACE\s+)?PIPE\b|EXECUTE\s+TASK\b")),
    (
        "it cannot be looked into",
        re.compile(r"CALL\b|EXECUTE\s+IMMEDIATE\b|BEGIN\s+(?!TRANSACTION|WORK)|DECLARE\b|.*\bIDENTIFIER\s*\(\s*[$:?]"),
    ),
)
_HELD_NAME = re.compile(r"\b(?:IDENTIFIER|TABLE)\s*\(\s*'([^']*)'\s*\)", re.IGNORECASE)
_TEXTS = re.compile(r"'(?:[^'\\]|''|\\.)*'|--[^\n]*|//[^\n]*|/\*.*?\*/", re.DOTALL)
_BODIES = re.compile(r"\$\$.*?\$\$", re.DOTALL)
_PART = r"(\w[\w$]*)"
_DATABASES: tuple[re.Pattern[str], ...] = (  # by its place, a word is the name of a database
    re.compile(rf"\bUSE\s+(?!ROLE\b|WAREHOUSE\b|SECONDARY\b|SCHEMA\b|DATABASE\b){_PART}"),
    re.compile(
        r"\b(?:IN|ON|USE|CREATE|ALTER|DROP|UNDROP|REPLACE|TRANSIENT|CLONE)\s+"
        rf"(?:DATABASE\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?{_PART}|SCHEMA\s+(?:IF\s+(?:NOT\s+)?EXISTS\s+)?{_PART}\s*\.)"
    ),
    re.compile(rf"@{_PART}\s*\.\s*\w[\w$]*\s*\.\s*\w"),
)
_THREE = re.compile(rf"(?<![\w$.:@]){_PART}\s*\.\s*\w[\w$]*\s*\.\s*\w")


@dataclass(kw_only=True, slots=True)
class Rehearsed:
    """What came of it.

    Attributes:
        took_ms: script -> how long its first run took.
        left_out: script -> why it was not rehearsed.
    """

    took_ms: dict[str, int] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)


class Rehearsal:
    """Rehearses scripts of one tree on clones of one environment's databases.

    Args:
        live: runs scripts on the live databases; asked what stands of them.
        variables: what `{{ name }}` stands for in an environment.
    """

    def __init__(
        self,
        environment: Environment,
        migrations: Path,
        *,
        session: Session,
        live: ScriptRunner,
        variables: Callable[[Environment], Mapping[str, str]],
    ) -> None:
        warehouse = environment.warehouse
        self._session, self._live, self._clone_s = session, live, environment.timeouts.clone_s
        self._ops = warehouse.ops_database
        self._raw = f"{warehouse.raw_database}{SUFFIX}"
        self._clones = {name: f"{name}{SUFFIX}" for name in (warehouse.raw_database, warehouse.ops_database)}
        self._databases = (*self._clones, warehouse.analytics_database, warehouse.marts_database)
        cloned = warehouse.model_copy(
            update={
                "raw_database": self._clones[warehouse.raw_database],
                "ops_database": self._clones[warehouse.ops_database],
            }
        )
        self._runner = ScriptRunner(
            environment.model_copy(update={"warehouse": cloned}),
            migrations,
            session=session,
            variables=variables(environment.model_copy(update={"warehouse": cloned})),
        )

    def run(self, scripts: Sequence[str], tag: str, progress: Progress) -> Rehearsed:
        """Rehearse V and R scripts, in order.

        Raises:
            StepFailed: a statement failed, or an undo does not lead back; the live databases are as they were.
            Unavailable: the warehouse was lost; the next rehearsal drops the clones.
            Locked: the guard of the session does not allow it any more.

        Side effects: clones, which are gone in the end; a statement in doubt is settled in the live journal.
        """
        done = Rehearsed()
        chosen = self._chosen(scripts, done)
        standings = self._live.standings()
        for name in chosen:
            if name in standings:
                self._live.settle(name, progress)
        if not chosen:
            return done
        with self._cloned(progress):
            try:
                self._translate(name for name in chosen if name in standings)
                self._rehearse(chosen, self._live.standings(), tag, done, progress)
            except Unavailable:
                raise
            except StepFailed as error:
                raise StepFailed(
                    f"rehearsal on a clone: {error.message}; the live databases are as they were",
                    fix="mend what it names, commit, then the same command again",
                ) from error
        return done

    def _chosen(self, scripts: Sequence[str], done: Rehearsed) -> list[str]:
        """Return the scripts that can be rehearsed, and note the others."""
        chosen: list[str] = []
        reason = ""
        for name in scripts:
            reason = reason and f"it comes after {next(iter(done.left_out))}"
            reason = reason or self._beyond(self._runner.read(SCRIPTS_FOLDER, name))
            if kind_of(name) == "V" and not reason:
                reason = self._beyond(self._runner.read(UNDO_FOLDER, undo_of(name)))
                reason = reason and f"in its undo, {reason}"
            if reason:
                done.left_out[name] = reason
            else:
                chosen.append(name)
        return chosen

    def _beyond(self, text: Text) -> str:
        """Return why a script reaches beyond the clones; nothing when it does not."""
        clones = tuple(self._clones.values())
        statements = (one for unit in text.units for one in unit.statements)
        return next(filter(None, (reach_of(one, clones, self._databases) for one in statements)), "")

    def _rehearse(
        self,
        scripts: Sequence[str],
        standings: Mapping[str, Standing],
        tag: str,
        done: Rehearsed,
        progress: Progress,
    ) -> None:
        versioned = [name for name in scripts if kind_of(name) == "V"]
        before, after = list[Catalog](), list[Catalog]()
        now, own = self._catalog(), self._own_catalog()
        for name in versioned:
            before.append(now)
            done.took_ms[name] = self._up(name, tag, progress)
            now = self._catalog()
            after.append(now)
        for name, wanted in reversed(list(zip(versioned, before, strict=True))):
            self._runner.undo(name, lambda line: progress(f"rehearsal: undo of {line}"))
            if name not in standings:  # what a part of it changed is not in the catalog before it
                _require_same(wanted, self._catalog(), f"the undo of {name} does not lead back")
        if not standings.keys() & set(versioned):
            _require_same(own, self._own_catalog(), f"the undos leave something in {self._ops}.{OPS_SCHEMA}")
        for name, wanted in zip(versioned, after, strict=True):
            self._up(name, tag, progress)
            _require_same(wanted, self._catalog(), f"{name} does otherwise after its undo")
        for name in scripts:
            if name not in versioned:
                done.took_ms[name] = self._up(name, tag, progress)

    def _up(self, name: str, tag: str, progress: Progress) -> int:
        began = time.monotonic()

        def tell(line: str) -> None:
            progress(f"rehearsal: {line}")

        if kind_of(name) == "V":
            self._runner.apply(name, tag, tell)
        else:
            self._runner.repeat(name, tell)
        return round((time.monotonic() - began) * 1000)

    def _own_catalog(self) -> Catalog:
        """Return what is where names without a database lead."""
        return catalog_of(self._session, self._clones[self._ops])

    def _catalog(self) -> Catalog:
        return frozenset(
            _unplaced(row)
            for row in catalog_of(self._session, self._raw)
            if row[0] != "grant" or (row[1], *row[4:]) not in self._future
        )

    @cached_property
    def _future(self) -> frozenset[tuple[str, ...]]:
        """The type, privilege and role of each future grant on the live database."""
        rows = self._session.rows(f"SHOW FUTURE GRANTS IN DATABASE {self._raw.removesuffix(SUFFIX)}")
        return frozenset((str(row[2]), str(row[1]), str(row[5])) for row in rows)

    @contextmanager
    def _cloned(self, progress: Progress) -> Iterator[None]:
        """Have the clones in the block, and none of them after it, unless nothing can be said to the warehouse."""
        try:
            for name, clone in self._clones.items():
                progress(f"rehearsal: clone of {name}")
                statement = f"CREATE OR REPLACE DATABASE {clone} CLONE {name}"
                self._session.clone(statement, seconds=self._clone_s)
            yield
        except BaseException:
            with suppress(StepFailed):
                self._drop()
            raise
        self._drop()

    def _drop(self) -> None:
        self._session.run(f"USE SCHEMA {self._ops}.{OPS_SCHEMA}")
        self._session.run(*(f"DROP DATABASE IF EXISTS {clone}" for clone in self._clones.values()))

    def _translate(self, names: Iterable[str]) -> None:
        """Have the journal on the clone name statements by what they say there."""
        table = f"{self._clones[self._ops]}.{OPS_SCHEMA}.{STATEMENT_TABLE}"
        for name in names:
            there, here = (one.read(SCRIPTS_FOLDER, name).units for one in (self._live, self._runner))
            for live, cloned in zip(there, here, strict=True):
                self._session.change(
                    f"UPDATE {table} SET SHA256 = %s WHERE SCRIPT = %s AND SHA256 = %s",
                    [cloned.sha256, name, live.sha256],
                )


def reach_of(statement: str, clones: Collection[str], live: Collection[str] = ()) -> str:
    """Return why a statement reaches beyond clones; nothing when it does not.

    Args:
        clones: the names of the databases that are clones.
        live: the names of the environment's own databases, none of which may be written out.
    """
    words = " ".join(bare(statement).upper().split())
    for said, pattern in _BEYOND:
        if pattern.match(words):
            return f"{said}: {words.split(' ON ')[0][:40].strip()}"
    named = _TEXTS.sub(" ", _HELD_NAME.sub(r"\1", statement)).upper()
    for name in live:
        if re.search(rf'(?<![\w$."])"?{re.escape(name.upper())}"?(?![\w$])', named):
            return f"it names {name}, which is live"
    others = sorted(_databases_in(statement, named) - {one.upper() for one in clones})
    return f"it names {others[0]}, which is not cloned" if others else ""


def _databases_in(statement: str, named: str) -> set[str]:
    """Return the databases that a statement names.

    Args:
        named: its text in capitals, without what is quoted as text.
    """
    plain = _BODIES.sub(" ", named).replace('"', "").strip()
    found = {next(filter(None, one.groups())) for pattern in _DATABASES for one in pattern.finditer(plain)}
    try:
        tree = sqlglot.parse_one(statement, dialect="snowflake")
    except SqlglotError:
        tree = exp.Command()  # the warehouse may read it all the same
    if isinstance(tree, exp.Command | exp.Use | exp.Grant | exp.Revoke):
        return found | {one[1] for one in _THREE.finditer(plain)}
    parts = (one.args.get("catalog") for one in tree.find_all(exp.Table, exp.Column))
    return found | {part.name.upper() for part in parts if part is not None}


def _unplaced(row: tuple[str, ...]) -> tuple[str, ...]:
    """Return a row of a catalog; of a column without the place it stands at."""
    return (*row[:3], *row[4:]) if row[0] == "column" else row


def _require_same(wanted: Catalog, found: Catalog, said: str) -> None:
    if difference := differing(wanted, found):
        raise StepFailed(f"{said}: {difference}")
