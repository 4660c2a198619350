"""Runs blocks of Snowflake Scripting, statement by statement, in the session that sent them.

Rules (https://docs.snowflake.com/en/developer-guide/snowflake-scripting/index):
- every SQL statement runs as if it had been sent by itself: DDL commits, rights are checked, the history tells of it;
- an exception that no block catches fails the whole with the number of what went wrong and where it was;
- what the embedded Snowflake cannot do or does not recognise is no exception: no block may catch it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, assert_never

from snowflake.connector.errors import Error, ProgrammingError

from slipway.sandbox.snowflake import block, error, grammar
from slipway.sandbox.snowflake.block import Text
from slipway.sandbox.snowflake.reader import Reader
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.scope import (
    Declared,
    Row,
    Rows,
    Scope,
    Value,
    fill_expression,
    fill_marks,
    fill_statement,
)

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

_COUNTED = frozenset({"INSERT", "UPDATE", "DELETE", "MERGE"})
_RAISED_STATE = "P0001"
_QUERIES = (block.Sql, block.Immediate, block.LetResults, block.Open)  # whose failure is a STATEMENT_ERROR


class _Left(Exception):  # no error: BREAK or CONTINUE on its way out
    def __init__(self, label: str, *, again: bool) -> None:
        super().__init__(label)
        self.label, self.again = label, again


class _Returned(Exception):  # no error: RETURN on its way out
    def __init__(self, result: Result) -> None:
        super().__init__("returned")
        self.result = result


class _RaisedError(Exception):
    """An exception of the block, from where it was raised to where it is caught."""

    def __init__(self, name: str, number: int, message: str, state: str, at: int, *, final: type[Error] | None) -> None:
        super().__init__(message)
        self.name, self.number, self.message, self.state, self.at = name, number, message, state, at
        self.final = final  # the class of an error that says that the emulation ends here, which is not to be caught


class Interpreter:
    """Runs one block, for a session, under the name its result has."""

    def __init__(
        self, session: Session, text: str, *, name: str = "anonymous block", returns: str | None = None
    ) -> None:
        self._session, self._text = session, text
        self._name, self._returns = name, returns
        limit = float(session.parameters.get("STATEMENT_TIMEOUT_IN_SECONDS", "172800") or 0)
        self._limit = limit
        self._deadline = time.monotonic() + limit if limit else float("inf")
        self._handled: list[_RaisedError] = []

    def run(self, parsed: block.Block, arguments: dict[str, Value] | None = None) -> Result:
        """Run a block and return what it returned, else NULL. Raises `ProgrammingError` for what nothing caught."""
        system = {name: Value.of(None) for name in ("SQLROWCOUNT", "SQLFOUND", "SQLNOTFOUND", "SQLID")}
        scope = Scope(outer=Scope(names={**system}), names={**(arguments or {})})
        try:
            self._block(parsed, scope)
        except _Returned as returned:
            return returned.result
        except _RaisedError as raised:
            raise self._uncaught(raised) from raised
        except _Left as left:
            raise error.syntax(
                f"BREAK or CONTINUE outside of a loop{f' named {left.label}' if left.label else ''}."
            ) from left
        return self._compute("NULL", self._returns, self._name)

    def _uncaught(self, raised: _RaisedError) -> Error:
        if raised.final is not None:
            return raised.final(msg=raised.message, errno=raised.number, sqlstate=raised.state)
        line = self._text.count("\n", 0, raised.at) + 1
        position = raised.at - (self._text.rfind("\n", 0, raised.at) + 1)
        return ProgrammingError(
            msg=f"Uncaught exception of type '{raised.name}' on line {line} at position {position} : {raised.message}",
            errno=raised.number,
            sqlstate=raised.state,
        )

    # statements ----------------------------------------------------------------------------------------------------

    def _block(self, parsed: block.Block, outer: Scope) -> None:
        scope = Scope(outer=outer)
        try:
            for declaration in parsed.declarations:
                self._statement(declaration, scope)
            self._all(parsed.body, scope)
        except _RaisedError as raised:
            catch = None if raised.final else _catching(parsed.catches, raised.name)
            if catch is None:
                raise
            told = {"SQLERRM": raised.message, "SQLCODE": raised.number, "SQLSTATE": raised.state}
            self._handled.append(raised)
            try:
                self._all(catch.body, Scope(outer=scope, names={k: Value.of(v) for k, v in told.items()}))
            finally:
                self._handled.pop()

    def _all(self, statements: Sequence[block.Statement], scope: Scope) -> None:
        for statement in statements:
            self._statement(statement, scope)

    def _statement(self, statement: block.Statement | block.Declaration, scope: Scope) -> None:
        """Run one statement; what fails is raised as an exception of the block, at this place."""
        name = "STATEMENT_ERROR" if isinstance(statement, _QUERIES) else "EXPRESSION_ERROR"
        try:
            self._perform(statement, scope)
        except (_RaisedError, _Left, _Returned):
            raise
        except Exception as failure:
            told = error.translate(failure)
            message, final = told.raw_msg or str(told), type(told) if error.is_final(told) else None
            raise _RaisedError(
                name, told.errno or 0, message, told.sqlstate or "", statement.at, final=final
            ) from failure

    def _perform(self, statement: block.Statement | block.Declaration, scope: Scope) -> None:
        match statement:
            case block.Let():
                first = (
                    Value.of(None) if statement.value is None else self._value(statement.value, scope, statement.kind)
                )
                scope.names[statement.name] = Value(python=first.python, sql=first.sql, kind=statement.kind)
            case block.LetCursor():
                scope.names[statement.name] = Rows(source=statement.source, is_cursor=True)
            case block.LetResults():
                result = None if statement.query is None else self._query(statement.query, scope)
                scope.names[statement.name] = Rows(source=None, is_cursor=False, result=result)
            case block.LetException():
                scope.names[statement.name] = Declared(number=statement.number, message=statement.message)
            case block.Assign():
                self._assign(statement, scope)
            case block.Return():
                raise _Returned(self._returned(statement, scope))
            case block.Raise():
                raise self._raised(statement, scope)
            case block.Leave():
                raise _Left(statement.label, again=statement.again)
            case block.Nothing():
                pass
            case block.Block():
                self._block(statement, scope)
            case block.If():
                self._all(self._branch(statement, scope), scope)
            case block.Count() | block.Each() | block.Loop():
                self._repeat(statement, scope)
            case block.Sql():
                self._sql(statement, scope)
            case block.Immediate():
                self._immediate(statement, scope)
            case block.Open() | block.Fetch() | block.Close():
                self._move_cursor(statement, scope)
            case _:
                assert_never(statement)

    def _assign(self, statement: block.Assign, scope: Scope) -> None:
        held = scope.need(statement.name)
        if isinstance(held, Rows) and not held.is_cursor:
            held.result, held.fetched = self._query(statement.value, scope), 0
            return
        if not isinstance(held, Value):
            raise error.syntax(f"'{statement.name}' is no variable.")
        found = self._value(statement.value, scope, held.kind)
        scope.assign(statement.name, Value(python=found.python, sql=found.sql, kind=held.kind))

    def _returned(self, statement: block.Return, scope: Scope) -> Result:
        if statement.table:
            held = scope.need(statement.table)
            if not isinstance(held, Rows):
                raise error.syntax(f"'{statement.table}' is no result set.")
            return self._opened(held, scope)
        if statement.value is None:
            return self._compute("NULL", self._returns, self._name)
        return self._compute(fill_expression(statement.value, scope), self._returns, self._name)

    def _raised(self, statement: block.Raise, scope: Scope) -> _RaisedError:
        if not statement.name:
            if not self._handled:
                raise error.syntax("RAISE without a name outside of an exception handler.")
            return self._handled[-1]
        held = scope.need(statement.name)
        if not isinstance(held, Declared):
            raise error.syntax(f"'{statement.name}' is no exception.")
        return _RaisedError(statement.name, held.number, held.message, _RAISED_STATE, statement.at, final=None)

    # branches and loops --------------------------------------------------------------------------------------------

    def _branch(self, statement: block.If, scope: Scope) -> Sequence[block.Statement]:
        subject = None if statement.subject is None else self._value(statement.subject, scope).sql
        for condition, body in statement.branches:
            if condition is None:
                return body
            test = fill_expression(condition, scope)
            if self._compute(test if subject is None else f"{subject} = ({test})").rows()[0][0]:
                return body
        if statement.is_case and not any(condition is None for condition, _ in statement.branches):
            raise error.syntax("no WHEN of the CASE statement matched, and it has no ELSE.")
        return ()

    def _repeat(self, statement: block.Count | block.Each | block.Loop, scope: Scope) -> None:
        match statement:
            case block.Count():
                first, last = self._number(statement.first, scope), self._number(statement.last, scope)
                turns = range(first, last + 1)
                for number in reversed(turns) if statement.reverse else turns:
                    if not self._turn(
                        statement.body, Scope(outer=scope, names={statement.name: Value.of(number)}), statement.label
                    ):
                        return
            case block.Each():
                held = scope.need(statement.source)
                if not isinstance(held, Rows):
                    raise error.syntax(f"'{statement.source}' is neither a cursor nor a result set.")
                result = self._opened(held, scope)
                if held.is_cursor:
                    held.result = None  # the loop closes what it opened
                for row in result.rows():
                    names: dict[str, Value | Row] = {statement.name: _row(result, row)}
                    if not self._turn(statement.body, Scope(outer=scope, names={**names}), statement.label):
                        return
            case block.Loop():
                while statement.before is None or self._holds(statement.before, scope):
                    if not self._turn(statement.body, Scope(outer=scope), statement.label):
                        return
                    if statement.after is not None and self._holds(statement.after, scope):
                        return
            case _:
                assert_never(statement)

    def _turn(self, body: Sequence[block.Statement], scope: Scope, label: str) -> bool:
        """Run the body of a loop once, and tell whether the loop goes on."""
        if time.monotonic() > self._deadline:
            raise error.timed_out(self._limit)
        try:
            self._all(body, scope)
        except _Left as left:
            if left.label not in ("", label):
                raise
            return left.again
        return True

    def _holds(self, condition: Text, scope: Scope) -> bool:
        return bool(self._compute(fill_expression(condition, scope)).rows()[0][0])

    def _number(self, text: Text, scope: Scope) -> int:
        return int(self._value(text, scope, "NUMBER(38,0)").python)

    # values --------------------------------------------------------------------------------------------------------

    def _value(self, text: Text, scope: Scope, kind: str | None = None) -> Value:
        sql = fill_expression(text, scope)
        if kind is None and sql.isdecimal():
            return Value.of(int(sql))
        result = self._compute(sql, kind)
        return Value.of(result.rows()[0][0], result.columns[0][1])

    def _compute(self, sql: str, kind: str | None = None, name: str = "value") -> Result:
        """Return the one row of an expression, cast to a type; no side effects beyond those of its functions."""
        expression = f"({sql})" if kind is None else f"CAST(({sql}) AS {kind})"
        return self._session.cursor().compute(f'SELECT {expression} AS "{name}"')

    # SQL -----------------------------------------------------------------------------------------------------------

    def _sql(self, statement: block.Sql, scope: Scope) -> None:
        result = self._run_sql(fill_statement(statement.statement, scope), scope)
        if not statement.into:
            return
        rows = result.rows()
        if len(rows) > 1:
            raise error.several_rows(len(rows))
        if len(result.columns) != len(statement.into):
            raise error.syntax(f"INTO has {len(statement.into)} variables for {len(result.columns)} columns.")
        row = rows[0] if rows else (None,) * len(statement.into)
        self._store(statement.into, result, row, scope)

    def _store(self, names: Sequence[str], result: Result, row: Sequence[object], scope: Scope) -> None:
        for name, value, (_, kind) in zip(names, row, result.columns, strict=True):
            held = scope.need(name)
            if not isinstance(held, Value):
                raise error.syntax(f"'{name}' is no variable.")
            found = Value.of(value, kind)
            if held.kind is not None and value is not None:
                found = self._value(Text(sql=found.sql), Scope(), held.kind)
            scope.assign(name, Value(python=found.python, sql=found.sql, kind=held.kind))

    def _run_sql(self, sql: str, scope: Scope) -> Result:
        self._session.check_statement(Reader(sql))
        cursor = self._session.cursor()
        result = cursor.execute(sql).result
        told = scope.root().names
        told["SQLID"] = Value.of(cursor.sfqid)
        if Reader(sql).verb in _COUNTED:
            told["SQLROWCOUNT"] = Value.of(result.rowcount)
            told["SQLFOUND"], told["SQLNOTFOUND"] = Value.of(result.rowcount > 0), Value.of(result.rowcount == 0)
        return result

    def _immediate(self, statement: block.Immediate, scope: Scope) -> Result:
        values = [self._value(text, scope) for text in statement.using]
        return self._run_sql(fill_marks(str(self._value(statement.statement, scope).python), values), scope)

    def _query(self, text: Text, scope: Scope) -> Result:
        """Run the query of a result set: `(SELECT ..)`, `(EXECUTE IMMEDIATE ..)`, or the same without brackets."""
        sql = text.sql.strip()
        if sql.startswith("(") and sql.endswith(")"):
            sql = sql[1:-1].strip()
        if Reader(sql).verb == "EXECUTE":
            return self._immediate(grammar.parse_immediate(sql), scope)
        return self._run_sql(fill_statement(Text(sql=sql), scope), scope)

    # cursors -------------------------------------------------------------------------------------------------------

    def _move_cursor(self, statement: block.Open | block.Fetch | block.Close, scope: Scope) -> None:
        held = scope.need(statement.name)
        if not isinstance(held, Rows) or not held.is_cursor:
            raise error.syntax(f"'{statement.name}' is no cursor.")
        match statement:
            case block.Open():
                held.result = None
                self._opened(held, scope, [self._value(text, scope) for text in statement.using])
            case block.Close():
                held.result = None
            case block.Fetch():
                if held.result is None:
                    raise error.syntax(f"cursor '{statement.name}' is not open.")
                rows = held.result.rows()
                row = rows[held.fetched] if held.fetched < len(rows) else (None,) * len(held.result.columns)
                held.fetched += 1
                self._store(statement.into, held.result, row, scope)
            case _:
                assert_never(statement)

    def _opened(self, held: Rows, scope: Scope, using: list[Value] | None = None) -> Result:
        if held.result is None:
            if held.source is None:
                raise error.syntax("the result set has no query.")
            named = scope.find(held.source.sql.upper())
            if isinstance(named, Rows):
                held.result = self._opened(named, scope)
            else:
                sql = fill_statement(held.source, scope)
                held.result = self._run_sql(fill_marks(sql, using or []), scope)
            held.fetched = 0
        return held.result


def _catching(catches: Sequence[block.Catch], name: str) -> block.Catch | None:
    return next((catch for catch in catches if name in catch.names or "OTHER" in catch.names), None)


def _row(result: Result, row: Sequence[object]) -> Row:
    return Row(columns={name: Value.of(value, kind) for value, (name, kind) in zip(row, result.columns, strict=True)})
