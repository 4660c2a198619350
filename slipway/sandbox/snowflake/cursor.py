"""Runs one statement: reads its first words, lets the module that knows it answer, and names every error."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import duckdb
import pyarrow as pa
from fakesnow import transforms
from fakesnow.cursor import FakeSnowflakeCursor
from fakesnow.dialect import parse_one
from fakesnow.expr import key_command
from fakesnow.rowtype import describe_as_result_metadata
from snowflake.connector.cursor import ResultMetadata
from snowflake.connector.errors import Error
from sqlglot import exp

from slipway.sandbox.snowflake import (
    catalog,
    definition,
    error,
    grant,
    load,
    merge,
    principal,
    resolution,
    script,
    show,
)
from slipway.sandbox.snowflake import session as sessions
from slipway.sandbox.snowflake.history import Entry
from slipway.sandbox.snowflake.reader import Reader
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.session import Session

Parameters = Sequence[Any] | dict[Any, Any] | None
Handler = Callable[["Cursor", Reader], Result | None]

_DDL = frozenset({"CREATE", "ALTER", "DROP", "UNDROP", "GRANT", "REVOKE", "COMMENT"})
_DML = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE", "COPY", "TRUNCATE"})

# first word -> the modules asked in turn; one that does not know the statement returns None
_HANDLERS: dict[str, tuple[Handler, ...]] = {
    "USE": (lambda cursor, reader: sessions.handle_use(cursor.session, reader),),
    "CREATE": (catalog.handle_create, principal.handle_create),
    "DROP": (catalog.handle_drop, principal.handle_drop),
    "ALTER": (catalog.handle_alter, principal.handle_alter, definition.handle_alter),
    "UNDROP": (catalog.handle_undrop,),
    "GRANT": (grant.handle,),
    "REVOKE": (grant.handle,),
    "SHOW": (show.handle_show,),
    "DESCRIBE": (show.handle_describe,),
    "DESC": (show.handle_describe,),
    "COMMENT": (definition.handle_comment,),
    "MERGE": (merge.handle,),
    "COPY": (load.handle,),
    "TRUNCATE": (definition.handle_truncate,),
    "EXECUTE": (script.handle_execute_immediate,),
    "CALL": (script.handle_call,),
    "DECLARE": (script.handle_block,),
}


class Cursor(FakeSnowflakeCursor):
    """A cursor of the embedded Snowflake, over the wire and in process."""

    def __init__(self, session: Session, *, as_dict: bool = False) -> None:
        super().__init__(session, session._duck_conn, use_dict_result=as_dict)
        self.session = session
        self.result = Result.status()
        self._rows: list[tuple[Any, ...]] | None = None
        self._fetched = 0

    # running -------------------------------------------------------------------------------------------------------

    def execute(self, command: str, params: Parameters = None, *args: Any, **kwargs: Any) -> Cursor:
        """Run one statement. Raises `ProgrammingError` for whatever goes wrong. Side effects: the statement's."""
        started = time.time()
        failure: Error | None = None
        self._sfqid, self._rows, self._fetched = str(uuid.uuid4()), None, 0
        self._last_transformed = None
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
        transformed = self._last_transformed
        if transformed is not None and not kwargs.get("server") and (put := transformed.args.get("put_stage_data")):
            self._put_files(put)
            table = self._arrow_table
            assert table is not None
            self.result = Result(
                columns=tuple((f.name, "VARCHAR") for f in table.schema), table=table.cast(_texts(table)), rowcount=table.num_rows
            )

    def _record(self, command: str, started: float, failure: Error | None) -> None:
        session = self.session
        session.instance.history.record(
            Entry(
                query_id=str(self._sfqid),
                text=command,
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
            sql = self._inline_variables(sql)
        reader = Reader(sql)
        if not reader.words:
            raise error.syntax("Empty SQL statement.")
        if (answer := self._control_transaction(reader)) is not None:
            return answer
        if reader.verb == "BEGIN":
            return script.handle_block(self, reader)
        if reader.verb in ("EXECUTE", "CALL", "DECLARE"):
            answer = self._ask(_HANDLERS[reader.verb], reader)
            assert answer is not None
            return answer
        self._prepare_transaction(reader.verb)
        with catalog.holding(self.session, reader):
            try:
                return self._answer(reader, values)
            except BaseException as failure:
                if isinstance(failure, duckdb.Error) or isinstance(failure.__cause__, duckdb.Error):
                    self.session.transaction.restore(failure)
                raise

    def _control_transaction(self, reader: Reader) -> Result | None:
        transaction, verb, more = self.session.transaction, reader.verb, len(reader.words) > 1
        if verb == "BEGIN" and (not more or reader.peek(1) in ("WORK", "TRANSACTION", "NAME")):
            transaction.begin()
        elif verb == "START" and reader.peek(1) == "TRANSACTION":
            transaction.begin()
        elif verb == "COMMIT" and (not more or reader.peek(1) == "WORK"):
            transaction.commit()
        elif verb == "ROLLBACK" and (not more or reader.peek(1) == "WORK"):
            transaction.rollback()
        else:
            return None
        return Result.status()

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
        return answer if answer is not None else self.run_parsed(parse_one(reader.sql))

    # parsed statements ---------------------------------------------------------------------------------------------

    def run_parsed(self, expression: exp.Expression) -> Result:
        """Run a statement that sqlglot understands, through fakesnow's transforms, on DuckDB."""
        expression = resolution.normalize(expression)
        name_columns(expression)
        answer = definition.handle_parsed(self, expression)
        if answer is not None:
            return answer
        self.authorize(resolution.resolve(self.session, expression))
        result: Result | None = None
        for statement in self._transform_explode(expression):
            result = self.run_transformed(self.transform(statement))
        assert result is not None
        return result

    def authorize(self, references: Sequence[resolution.Reference]) -> None:
        """Refuse what the role may not do, and note which databases the open transaction has touched."""
        session = self.session
        for reference in references:
            session.instance.access.require(session, "TABLE", reference.name, *reference.privileges)
        if session.transaction.is_open:
            session.transaction.touched.update(catalog.databases_behind(session, [r.name for r in references]))

    def transform(self, expression: exp.Expression) -> exp.Expression:
        """Return the DuckDB form of a Snowflake statement."""
        return self._transform(expression, self._bindings())

    def _bindings(self) -> Any:
        values = getattr(self, "values", None)
        return list(values) if isinstance(values, tuple) else values

    def run_transformed(self, transformed: exp.Expression) -> Result:
        """Run a DuckDB statement and return its answer in Snowflake's words."""
        values = self._bindings() if transformed.find(exp.Placeholder) else None
        self._last_transformed = transformed
        if _is_special(transformed):
            self._execute(transformed, values)
            return self._special_result()
        sql = transformed.sql(dialect="duckdb")
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

    def _special_result(self) -> Result:
        table = self._arrow_table
        assert table is not None
        return Result.fetched(self._duck_conn.description or [], table)

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
        described = [(name, kind, None, None, None, None) for name, kind in self.result.columns]
        return describe_as_result_metadata(described)

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


def name_columns(expression: exp.Expression) -> None:
    """Give the unnamed columns of a query the names Snowflake gives them: their own text. Changes it in place."""
    if not isinstance(expression, exp.Select):
        return
    for column in expression.expressions:
        if isinstance(column, (exp.Alias, exp.Column, exp.Star, exp.Identifier, exp.Aliases)) or column.is_star:
            continue
        if isinstance(column, (exp.Anonymous, exp.Func, exp.Literal, exp.Binary, exp.Case, exp.Boolean, exp.Null, exp.Paren)):
            text = column.sql(dialect="snowflake")
            column.replace(exp.alias_(column.copy(), text.upper() if "'" not in text else text, quoted=True))


def _is_special(transformed: exp.Expression) -> bool:
    marks = ("create_stage_name", "create_file_format_name", "list_stage_name", "put_stage_name", "set_autocommit")
    if any(mark in transformed.args for mark in marks):
        return True
    return not isinstance(transformed, (exp.Query, exp.Insert, exp.Update, exp.Delete)) and key_command(transformed) not in (
        "CREATE TABLE",
        "CREATE VIEW",
    )


def _texts(table: pa.Table) -> pa.Schema:
    return pa.schema([(field.name, pa.string()) for field in table.schema])


__all__ = ["Cursor", "name_columns", "transforms"]
