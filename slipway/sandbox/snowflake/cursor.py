"""Runs one statement: reads its first words, lets the module that knows it answer, and names every error."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import sqlglot
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.dialect import parse_one
from fakesnow.rowtype import describe_as_result_metadata
from snowflake.connector.cursor import ResultMetadata
from snowflake.connector.errors import Error
from sqlglot import exp

from slipway.sandbox.snowflake import (
    catalog,
    definition,
    describe,
    error,
    grant,
    load,
    merge,
    move,
    principal,
    procedure,
    relation,
    resolution,
    script,
    sequence,
    show,
    stage,
    stream,
    task,
    text,
    translation,
    variable,
)
from slipway.sandbox.snowflake import session as sessions
from slipway.sandbox.snowflake.history import Entry
from slipway.sandbox.snowflake.limit import limited
from slipway.sandbox.snowflake.reader import Reader
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.session import Session

Parameters = Sequence[Any] | dict[Any, Any] | None
# that the history of queries does not keep: https://docs.getdbt.com/reference/project-configs/query-comment
_LEADING_COMMENTS = re.compile(r"\A(?:\s+|--[^\n]*|//[^\n]*|/\*.*?\*/)+", re.DOTALL)
Handler = Callable[["Cursor", Reader], Result | None]

_DDL = frozenset({"CREATE", "ALTER", "DROP", "UNDROP", "GRANT", "REVOKE", "COMMENT"})
# what is understood by parsing the whole statement
_PARSED = frozenset({"SELECT", "WITH", "(", "VALUES", "INSERT", "UPDATE", "DELETE", "CREATE", "ALTER", "DROP"})
_UNSUPPORTED = frozenset({"EXPLAIN", "UNDROP", "DESCRIBE", "DESC"})
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE", "TRUNCATE"})  # privileges that a change of rows takes
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE"})

# first word -> the modules asked in turn; one that does not know the statement returns None
_HANDLERS: dict[str, tuple[Handler, ...]] = {
    "SET": (variable.handle,),
    "UNSET": (variable.handle,),
    "USE": (sessions.handle_use,),
    "CREATE": (
        catalog.handle_create,
        stage.handle_create,
        sequence.handle_create,
        stream.handle_create,
        task.handle_create,
        procedure.handle_create,
        principal.handle_create,
    ),
    "DROP": (
        catalog.handle_drop,
        stage.handle_drop,
        sequence.handle_drop,
        procedure.handle_drop,
        principal.handle_drop,
    ),
    "ALTER": (
        move.handle_alter,
        stream.handle_alter,
        task.handle_alter,
        procedure.handle_alter,
        principal.handle_alter,
        definition.handle_alter,
    ),
    "UNDROP": (catalog.handle_undrop,),
    "GRANT": (grant.handle,),
    "REVOKE": (grant.handle,),
    "SHOW": (show.handle_show,),
    "DESCRIBE": (describe.handle_describe,),
    "DESC": (describe.handle_describe,),
    "COMMENT": (definition.handle_comment,),
    "MERGE": (merge.handle,),
    "COPY": (load.handle,),
    "LIST": (stage.handle_list,),
    "LS": (stage.handle_list,),
    "REMOVE": (stage.handle_remove,),
    "RM": (stage.handle_remove,),
    "PUT": (stage.handle_put,),
    "GET": (stage.handle_get,),
    "TRUNCATE": (definition.handle_truncate,),
    "EXECUTE": (script.handle_execute,),
    "CALL": (script.handle_call,),
    "DECLARE": (script.handle_block,),
    "BEGIN": (script.handle_block,),
}


class Cursor(FakeSnowflakeCursor):  # type: ignore[misc]  # fakesnow is not typed here
    """A cursor of the embedded Snowflake, over the wire and in process."""

    def __init__(self, session: Session, *, as_dict: bool = False) -> None:
        super().__init__(session, session._duck_conn, use_dict_result=as_dict)
        self.session = session
        self.result = Result.status()
        self._rows: list[tuple[Any, ...]] | None = None
        self._fetched = 0
        self.upload: dict[str, Any] | None = None  # what a PUT tells its client to do

    # running -------------------------------------------------------------------------------------------------------

    def execute(self, command: str, params: Parameters = None, *args: Any, **kwargs: Any) -> Cursor:
        """Run one statement. Raises `ProgrammingError` for whatever goes wrong. Side effects: the statement's."""
        started = time.time()
        failure: Error | None = None
        self._sfqid, self._rows, self._fetched = str(uuid.uuid4()), None, 0
        self.upload = None
        try:
            self.result = self._run(command, params, kwargs.get("binding_params"))
            self._finish(kwargs)
        except BaseException as raised:
            failure = error.translate(raised)
            failure.sfqid = self._sfqid
            self._sqlstate = failure.sqlstate
            if failure is raised:
                raise
            raise failure from raised
        finally:
            self._record(command, started, failure)
        return self

    def _finish(self, kwargs: dict[str, Any]) -> None:
        self._rowcount = self.result.rowcount
        self._arrow_table = self.result.table
        self.session.last_query_id = self._sfqid
        self.session.results_cache[str(self._sfqid)] = self.result
        if self.upload is not None and not kwargs.get("server"):
            self.result = stage.put_here(self.upload)

    def _record(self, command: str, started: float, failure: Error | None) -> None:
        session = self.session
        session.instance.history.record(
            Entry(
                query_id=str(self._sfqid),
                text=_LEADING_COMMENTS.sub("", command),
                database=session.database,
                schema=session.schema,
                verb=command.split(None, 1)[0].upper()[:40] if command.split() else "",
                session_id=session.session_id,
                user=session.user,
                role=session.role,
                warehouse=session.warehouse,
                tag=session.parameters.get("QUERY_TAG", ""),
                error_code=None if failure is None else f"{failure.errno or 0:06d}",
                error_message=None if failure is None else (failure.raw_msg or str(failure))[:2000],
                started=started,
                ended=time.time(),
                rows=None if failure else self.result.rowcount,
            )
        )

    def _run(self, command: str, params: Parameters, bound: Parameters) -> Result:
        sql, values = (command, bound) if bound else self._rewrite_with_params(command, params)
        if "$" in sql:
            sql = variable.fill(sql, self.session.session_variables)
        reader = Reader(sql)
        if not reader.words:
            raise error.syntax("Empty SQL statement.")
        if (answer := self._control_transaction(reader)) is not None:
            self._keep_changes()
            return answer
        if reader.verb in ("EXECUTE", "CALL", "DECLARE", "BEGIN"):
            with limited(self.session):
                answer = self._ask(_HANDLERS[reader.verb], reader)
            if answer is None:
                raise error.unsupported(reader.verb)
            return answer
        self._prepare_transaction(reader.verb)
        with move.holding(self.session, reader):
            try:
                with limited(self.session):
                    answer = self._answer(reader, values)
                self._keep_changes()
                return answer
            except BaseException as failure:
                if isinstance(failure, duckdb.Error) or isinstance(failure.__cause__, duckdb.Error):
                    self.session.transaction.restore(failure)
                raise

    def _control_transaction(self, reader: Reader) -> Result | None:
        transaction, verb, more = self.session.transaction, reader.verb, len(reader.words) > 1
        if (verb == "BEGIN" and (not more or reader.peek(1) in ("WORK", "TRANSACTION", "NAME"))) or (
            verb == "START" and reader.peek(1) == "TRANSACTION"
        ):
            transaction.begin()
        elif verb == "COMMIT" and (not more or reader.peek(1) == "WORK"):
            transaction.commit()
        elif verb == "ROLLBACK" and (not more or reader.peek(1) == "WORK"):
            transaction.rollback()
        else:
            return None
        return Result.status()

    def _keep_changes(self) -> None:
        """Record which tables were written, once that is committed."""
        transaction = self.session.transaction
        if transaction.changed and not transaction.is_open:
            self.session.instance.registry.changed(transaction.changed)
            transaction.changed.clear()

    def _prepare_transaction(self, verb: str) -> None:
        transaction = self.session.transaction
        if verb in _DDL:
            transaction.commit_before_ddl()
        elif verb in _DML and self.session.implicit:
            transaction.begin()
        transaction.check()

    def _ask(self, handlers: tuple[Handler, ...], reader: Reader) -> Result | None:
        for handler in handlers:
            reader.position = 0
            if (answer := handler(self, reader)) is not None:
                return answer
        return None

    def _answer(self, reader: Reader, values: Parameters) -> Result:
        self.values = values
        answer = self._ask(_HANDLERS.get(reader.verb, ()), reader)
        if answer is not None:
            return answer
        if reader.verb in _UNSUPPORTED:
            raise error.unsupported(reader.verb)
        if reader.verb not in _PARSED:
            raise error.syntax(f"syntax error line 1 at position 0 unexpected '{reader.verb}'.")
        return self.run_parsed(parse_one(reader.sql))

    # parsed statements ---------------------------------------------------------------------------------------------

    def run_parsed(self, expression: exp.Expr) -> Result:
        """Run a statement that sqlglot understands, through fakesnow's transforms, on DuckDB."""
        expression = resolution.normalize(expression)
        name_columns(expression)
        resolution.refuse_unknown(expression)
        answer = definition.handle_parsed(self, expression)
        if answer is not None:
            return answer
        if not isinstance(expression, (exp.Query, exp.Insert, exp.Update, exp.Delete)):
            raise error.unsupported(expression.sql(dialect="snowflake")[:80])
        self.authorize(resolution.resolve(self.session, expression))
        text.enforce_lengths(self.session, expression)
        *first, last = self._transform_explode(expression)
        for statement in first:
            self.run_transformed(self.transform(statement))
        return self.run_transformed(self.transform(last))

    def authorize(self, references: Sequence[resolution.Reference]) -> None:
        """Refuse what the role may not do, and note which databases the open transaction has touched."""
        session = self.session
        for reference in references:
            stream.refuse_reading(session, reference.name)
            session.instance.access.require(session, "TABLE", reference.name, *reference.privileges)
            if reference.name not in session.temporary and session.instance.relation_kind(reference.name) == "VIEW":
                session.instance.expansions.require(session, reference.name)
        session.transaction.changed.update(
            one.name for one in references if _WRITING & {*one.privileges} and one.name not in session.temporary
        )
        if session.transaction.is_open:
            session.transaction.touched.update(relation.databases_behind(session, [r.name for r in references]))

    def transform(self, expression: exp.Expr) -> exp.Expr:
        """Return the DuckDB form of a Snowflake statement."""
        return translation.translate(expression, self._duck_conn)

    def _bindings(self) -> Any:
        values = getattr(self, "values", None)
        return list(values) if isinstance(values, tuple) else values

    def run_transformed(self, transformed: exp.Expr) -> Result:
        """Run a DuckDB statement and return its answer in Snowflake's words."""
        values = self._bindings() if transformed.find(exp.Placeholder) else None
        sql = transformed.sql(dialect="duckdb", unsupported_level=sqlglot.ErrorLevel.RAISE)
        if isinstance(transformed, exp.Insert):
            count = self._count(sql, values)
            return Result.counts(count, inserted=count)
        if isinstance(transformed, exp.Update):
            count = self._count(sql, values)
            return Result.of(
                [("number of rows updated", "BIGINT"), ("number of multi-joined rows updated", "BIGINT")],
                [(count, 0)],
                rowcount=count,
            )
        if isinstance(transformed, exp.Delete):
            count = self._count(sql, values)
            return Result.counts(count, deleted=count)
        return self.fetch(sql, values)

    def _count(self, sql: str, values: Any) -> int:
        return int(self.session.transaction.write(sql, values)[0][0])

    def fetch(self, sql: str, values: Any = None) -> Result:
        """Run a DuckDB query and return all of its rows."""
        connection = self._duck_conn
        connection.execute(sql, values)
        description = connection.description or []
        return Result.fetched(description, connection.to_arrow_table())

    def compute(self, sql: str) -> Result:
        """Return the answer of a query that is part of another statement: no entry in the history, no query id."""
        try:
            return self._run(sql, None, None)
        except duckdb.Error as failure:
            raise error.translate(failure) from failure

    def describe_only(self, command: str) -> Result | None:
        """Return the columns a statement would answer with, without running it; None when it must be run for that."""
        reader = Reader(command)
        if reader.verb in ("INSERT", "UPDATE", "DELETE"):
            name = {"INSERT": "inserted", "UPDATE": "updated", "DELETE": "deleted"}[reader.verb]
            return Result.counts(0, **{name: 0})
        if reader.verb not in ("SELECT", "WITH"):
            return None
        query = parse_one(command).transform(lambda node: exp.Null() if isinstance(node, exp.Placeholder) else node)
        empty = exp.select("*").from_(query.subquery("described")).limit(0)
        self.execute(empty.sql(dialect="snowflake"))
        return self.result

    # fetching ------------------------------------------------------------------------------------------------------

    @property
    def description(self) -> list[ResultMetadata]:
        """The columns of the last result."""
        columns = [(name, kind, None, None, None, None) for name, kind in self.result.columns]
        described: list[ResultMetadata] = describe_as_result_metadata(columns)
        return described

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """Return the next rows, as the Python values the connector would give."""
        if self._rows is None:
            self._rows = self.result.rows()
        chunk = self._rows[self._fetched : self._fetched + (size or self.arraysize)]
        self._fetched += len(chunk)
        if not self._use_dict_result:
            return list(chunk)
        names = [name for name, _ in self.result.columns]
        return [dict(zip(names, row, strict=True)) for row in chunk]

    def fetchall(self) -> list[Any]:
        """Return the rows that are left."""
        return self.fetchmany(max(self.result.table.num_rows, 1))

    def fetchone(self) -> Any:
        """Return the next row, or None."""
        rows = self.fetchmany(1)
        return rows[0] if rows else None

    def __iter__(self) -> Iterator[Any]:
        while (row := self.fetchone()) is not None:
            yield row


def name_columns(expression: exp.Expr) -> None:
    """Give the unnamed columns of a query the names Snowflake gives them: their own text. Changes it in place."""
    if not isinstance(expression, exp.Select):
        return
    for column in expression.expressions:
        if isinstance(column, (exp.Alias, exp.Column, exp.Star, exp.Identifier, exp.Aliases)) or column.is_star:
            continue
        if isinstance(
            column, (exp.Anonymous, exp.Func, exp.Literal, exp.Binary, exp.Case, exp.Boolean, exp.Null, exp.Paren)
        ):
            text = column.sql(dialect="snowflake")
            column.replace(exp.alias_(column.copy(), text.upper() if "'" not in text else text, quoted=True))


__all__ = ["Cursor", "name_columns"]
