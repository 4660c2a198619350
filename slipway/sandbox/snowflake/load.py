"""COPY INTO a table: files of a stage or bucket become rows, all or (as ON_ERROR says) some of them.

Rules (https://docs.snowflake.com/en/sql-reference/sql/copy-into-table):
- a statement is atomic: with ABORT_STATEMENT nothing of any file stays when one fails;
- every field is text until it is converted to its column's type; what cannot be converted is an error of its row;
- a file already loaded into the table with the same content is skipped, unless FORCE; a truncated, dropped or cloned
  table has no such memory, and neither have temporary tables here;
- a load is one INSERT reading the file. Only when it fails is the file read again to find out which rows are wrong.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import sqlglot
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.conversion import Column, Target
from slipway.sandbox.snowflake.copyplan import ON_ERROR, CopyPlan, find_files, not_found, read_plan
from slipway.sandbox.snowflake.fileformat import first_fields
from slipway.sandbox.snowflake.inspection import Finding, Inspection, inspect
from slipway.sandbox.snowflake.reader import Reader, literal, quote
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.storage import StagedFile

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

_COLUMNS = (
    ("file", "VARCHAR"),
    ("status", "VARCHAR"),
    ("rows_parsed", "BIGINT"),
    ("rows_loaded", "BIGINT"),
    ("error_limit", "BIGINT"),
    ("errors_seen", "BIGINT"),
    ("first_error", "VARCHAR"),
    ("first_error_line", "BIGINT"),
    ("first_error_character", "BIGINT"),
    ("first_error_column_name", "VARCHAR"),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Outcome:
    file: StagedFile
    status: str
    parsed: int = 0
    loaded: int = 0
    limit: int | None = None
    seen: int = 0
    first: Finding | None = None

    def row(self) -> tuple[object, ...]:
        first = self.first
        facts = (None,) * 4 if first is None else (first.message, first.line, first.character, first.column)
        return (self.file.shown, self.status, self.parsed, self.loaded, self.limit, self.seen, *facts)


def handle(cursor: Cursor, reader: Reader) -> Result | None:
    """Run COPY INTO <table>. Side effects: rows, the load history, and with PURGE the files are deleted."""
    copy = read_plan(cursor, reader)
    session = cursor.session
    files, absent = find_files(copy)
    if absent:
        raise not_found(copy, absent)
    alone = not session.transaction.is_open
    if alone:
        session.transaction.begin()
    mark = session.transaction.mark()
    try:
        outcomes = [_load(cursor, copy, file, mark) for file in files]
    except BaseException:
        if alone:
            session.transaction.rollback()
        raise
    if alone:
        session.transaction.commit()
    if copy.purge:
        for outcome in outcomes:
            if outcome.status == "LOADED":
                copy.location.remove(outcome.file)
    shown = [o for o in outcomes if o.status != "LOAD_SKIPPED" or copy.files]
    if not shown:
        return Result.status("Copy executed with 0 files processed.")
    return Result.of(_COLUMNS, [o.row() for o in shown], rowcount=sum(o.loaded for o in outcomes))


# loading -----------------------------------------------------------------------------------------------------------


def _load(cursor: Cursor, copy: CopyPlan, file: StagedFile, mark: int) -> _Outcome:
    session, target = cursor.session, copy.target
    if not copy.force and _is_loaded(session, target, file):
        return _Outcome(file=file, status="LOAD_SKIPPED", seen=1, first=Finding(message="File was loaded before."))
    path = _fetched(session, copy, file)
    source = _Source(cursor, copy, file, path)
    before = session.transaction.mark()
    try:
        count = source.insert(tolerant=False)
        outcome = _Outcome(file=file, status="LOADED", parsed=count, loaded=count, limit=1)
    except duckdb.Error as failure:
        if copy.format.type != "CSV" or copy.query is not None:
            session.transaction.restore(failure, to=mark)
            raise
        session.transaction.restore(failure, to=before)
        found = inspect(session, copy.format, target, path, name=file.path)
        if found.first is None:
            session.transaction.restore(failure, to=mark)
            raise
        partial = _after_errors(copy, file, source, found)
        if partial is None:
            session.transaction.restore(failure, to=mark)
            raise found.first.as_error() from failure
        outcome = partial
    _remember(session, target, outcome)
    return outcome


def _after_errors(copy: CopyPlan, file: StagedFile, source: _Source, found: Inspection) -> _Outcome | None:
    """Return what ON_ERROR makes of a file with errors, or None when the statement is to fail."""
    rule = ON_ERROR.fullmatch(copy.on_error)
    if rule is None or copy.on_error == "ABORT_STATEMENT":
        return None
    limit = found.parsed
    if copy.on_error.startswith("SKIP_FILE"):
        limit = int(rule["count"] or 1)
        seen = found.errors * 100 / max(found.parsed, 1) if rule["percent"] else found.errors
        if seen >= limit:
            return _Outcome(
                file=file, status="LOAD_FAILED", parsed=found.parsed, limit=limit, seen=found.errors, first=found.first
            )
    loaded = source.insert(tolerant=True)
    return _Outcome(
        file=file,
        status="PARTIALLY_LOADED",
        parsed=found.parsed,
        loaded=loaded,
        limit=limit,
        seen=found.errors,
        first=found.first,
    )


def _fetched(session: Session, copy: CopyPlan, file: StagedFile) -> Path:
    """Return the file on this machine; it is kept until the transaction ends, which may have to read it again."""
    path = session.instance.scratch / uuid.uuid4().hex
    session.transaction.keep_file(path)
    return copy.location.fetch(file, path)


class _Source:
    """One file as the INSERT statement that loads it."""

    def __init__(self, cursor: Cursor, copy: CopyPlan, file: StagedFile, path: Path) -> None:
        self._cursor, self._copy, self._file, self._path = cursor, copy, file, path

    def insert(self, *, tolerant: bool) -> int:
        """Load the rows and return how many; those with errors fail the statement unless `tolerant`."""
        copy = self._copy
        if copy.query is not None:
            columns, rows = copy.target.columns, self._transformed(copy.query)
            if len(rows.expressions) != len(columns):
                raise error.syntax(
                    f"Insert value list does not match column list expecting {len(columns)} but got "
                    f"{len(rows.expressions)}"
                )
            query = rows.sql(dialect="duckdb")
        elif copy.format.type == "CSV":
            columns, query = copy.target.columns, self._csv(tolerant=tolerant)
        else:
            columns, query = self._documents()
        names = ", ".join(quote(column.name) for column in columns)
        sql = f"INSERT INTO {copy.target.stored} ({names}) {query}"
        return int(self._cursor.session.transaction.write(sql)[0][0])

    def _csv(self, *, tolerant: bool) -> str:
        copy, columns = self._copy, self._copy.target.columns
        if copy.match != "NONE":
            raise error.unsupported("MATCH_BY_COLUMN_NAME for CSV files")
        width = len(columns)
        if not copy.format.exact_columns:
            width = max(width, first_fields(self._path, copy.format))
        fields = ", ".join(c.converted(copy.format, f"c{i}") for i, c in enumerate(columns, start=1))
        wrong = copy.target.wrong_row(copy.format)
        kept = f"NOT ({wrong})" if tolerant else f"CASE WHEN {wrong} THEN error('a row cannot be loaded') ELSE true END"
        return f"SELECT {fields} FROM {copy.format.csv_sql(self._path, width, tolerant=tolerant)} WHERE {kept}"

    def _documents(self) -> tuple[tuple[Column, ...], str]:
        copy = self._copy
        columns = copy.target.columns
        if copy.match != "NONE":
            return self._matched()
        if len(columns) != 1 or columns[0].type != "JSON":
            raise ProgrammingError(
                msg=f"SQL compilation error:\n{copy.format.type} file format can produce one and only one column of "
                "type variant, object, or array. Load data into separate columns using the MATCH_BY_COLUMN_NAME copy "
                "option or copy with transformation.",
                errno=2019,
                sqlstate="0A000",
            )
        return columns, f"SELECT c1 FROM {copy.format.document_sql(self._path)}"

    def _matched(self) -> tuple[tuple[Column, ...], str]:
        copy = self._copy
        if copy.format.type != "PARQUET" or copy.match not in ("CASE_SENSITIVE", "CASE_INSENSITIVE"):
            raise error.unsupported(f"MATCH_BY_COLUMN_NAME = {copy.match} for {copy.format.type} files")
        connection, source = self._cursor.session.instance.cursor(), f"read_parquet({literal(self._path)})"
        try:
            present = [row[0] for row in connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        finally:
            connection.close()
        fold = str if copy.match == "CASE_SENSITIVE" else str.upper
        known = {fold(name): name for name in present}
        columns = tuple(column for column in copy.target.columns if fold(column.name) in known)
        if not columns:
            raise error.syntax("no column of the file matches a column of the table.")
        fields = ", ".join(quote(known[fold(column.name)]) for column in columns)
        return columns, f"SELECT {fields} FROM {source}"

    def _transformed(self, query: exp.Select) -> exp.Select:
        """Return the transformation in DuckDB's words, over the rows of this file."""
        copy = self._copy
        width = max((int(p.this.name) for p in query.find_all(exp.Parameter)), default=1)
        if copy.format.type == "CSV":
            loose = replace(copy.format, exact_columns=False)
            width = max(width, first_fields(self._path, copy.format))
            read = f"SELECT * FROM {loose.csv_sql(self._path, width, tolerant=False)}"
            fields = ", ".join(f"{copy.format.clean_sql(f'c{i}')} AS c{i}" for i in range(1, width + 1))
            rows = f"SELECT {fields}, row_number() OVER () AS file_row FROM ({read})"
        else:
            rows = f"SELECT c1, row_number() OVER () AS file_row FROM {copy.format.document_sql(self._path)}"
        selected = query.transform(self._field)
        found = self._cursor.transform(selected)
        if not isinstance(found, exp.Select):
            raise error.unsupported("this transformation of COPY")
        return found.from_(exp.alias_(sqlglot.parse_one(f"({rows})", read="duckdb"), "staged"), copy=False)

    def _field(self, node: exp.Expr) -> exp.Expr:
        if isinstance(node, exp.Parameter):
            return exp.column(exp.to_identifier(f"c{node.this.name}", quoted=True))
        if isinstance(node, exp.Column):
            if isinstance(node.this, exp.Parameter):
                return exp.column(exp.to_identifier(f"c{node.this.this.name}", quoted=True))
            name = node.name.upper()
            if name == "METADATA$FILENAME":
                return exp.Literal.string(self._file.path)
            if name == "METADATA$FILE_ROW_NUMBER":
                return exp.column(exp.to_identifier("file_row", quoted=True))
            if name.startswith("METADATA$"):
                raise error.unsupported(f"{name} in COPY")
        return node


# the memory of what was loaded -------------------------------------------------------------------------------------


def _history(target: Target) -> str:
    return f"{quote(target.name[0])}._fs_information_schema._fs_load_history"


def _is_loaded(session: Session, target: Target, file: StagedFile) -> bool:
    if target.temporary:
        return False
    rows = session._duck_conn.execute(
        f"SELECT 1 FROM {_history(target)} WHERE schema_name = ? AND table_name = ? AND file_name = ? AND digest = ? "
        "AND status <> 'LOAD_FAILED'",
        [*target.name[1:], file.shown, file.digest],
    ).fetchall()
    return bool(rows)


def _remember(session: Session, target: Target, outcome: _Outcome) -> None:
    if target.temporary:
        return
    first = outcome.first or Finding(message="")
    session.transaction.write(
        f"INSERT INTO {_history(target)} SELECT ?, ?, ?, now(), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?",
        [
            target.name[1],
            outcome.file.shown,
            target.name[2],
            outcome.status,
            outcome.loaded,
            outcome.parsed,
            first.message or None,
            first.line,
            first.character,
            first.column,
            outcome.seen,
            outcome.limit,
            outcome.file.digest,
        ],
    )
