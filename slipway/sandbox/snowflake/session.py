"""One session: its role, warehouse, current schema, parameters, transaction and temporary tables."""

from __future__ import annotations

import contextlib
import itertools
import re
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import duckdb
from fakesnow.conn import FakeSnowflakeConnection
from fakesnow.cursor import FakeSnowflakeCursor
from snowflake.connector.cursor import DictCursor, SnowflakeCursor

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.reader import Name, Reader, literal, quote, quote_name, split_statements
from slipway.sandbox.snowflake.result import Result
from slipway.sandbox.snowflake.scope import Value
from slipway.sandbox.snowflake.transaction import Transaction

if TYPE_CHECKING:
    from collections.abc import Iterable

    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.instance import Instance

Stand = tuple[str, str | None, str | None, bool, dict[str, Value], bool]

KEPT_RESULTS = 50  # results RESULT_SCAN can reach back to, per session
_DEFAULTS = {
    "QUERY_TAG": "",
    "TIMEZONE": "Etc/UTC",
    "AUTOCOMMIT": "true",
    "STATEMENT_TIMEOUT_IN_SECONDS": "172800",
    "QUOTED_IDENTIFIERS_IGNORE_CASE": "false",
    "ERROR_ON_NONDETERMINISTIC_MERGE": "true",
    "WEEK_START": "0",
}
# Parameters whose other values would change what statements mean, which the emulation would not honour.
_FIXED = {
    "QUOTED_IDENTIFIERS_IGNORE_CASE": "false",
    "ERROR_ON_NONDETERMINISTIC_MERGE": "true",
    "TIMEZONE": "UTC|Etc/UTC|GMT",
}
_numbers = itertools.count(int(time.time() * 1000))


class _Recent(OrderedDict[str, Any]):
    """Keeps the newest results only."""

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        while len(self) > KEPT_RESULTS:
            self.popitem(last=False)


class Session(FakeSnowflakeConnection):  # type: ignore[misc]  # fakesnow is not typed here
    """A connection to the embedded Snowflake; also the object `in_process` hands out as one."""

    def __init__(
        self,
        instance: Instance,
        *,
        user: str,
        role: str,
        database: str | None,
        schema: str | None,
        warehouse: str | None,
        parameters: dict[str, Any],
        autocommit: bool,
        paramstyle: str,
        account: str = "embedded",
    ) -> None:
        """Open a session. A database or schema that does not exist is left unset, as Snowflake does."""
        super().__init__(
            instance.cursor(), _Recent(), create_database=False, create_schema=False, paramstyle=paramstyle
        )
        self._is_closed = False
        self.database: str | None = None
        self._schema: str | None = None
        self.instance = instance
        self.user, self.role, self.account = user, role, account
        self.warehouse = warehouse
        self.session_id = next(_numbers)
        self.transaction = Transaction(self._duck_conn)
        self.implicit = not autocommit  # True: DML opens a transaction that COMMIT must end
        self.temporary: dict[Name, str] = {}
        self.temporary_lengths: dict[str, dict[str, int]] = {}  # by the name DuckDB stores the table under
        self.temporary_stages: set[Name] = set()
        self.parameters: dict[str, str] = {}
        self.last_query_id: str | None = None
        self.session_variables: dict[str, Value] = {}
        self.outer_transaction = False  # in a procedure: whether its caller has a transaction open
        self._in_owners_name = False
        for key, value in parameters.items():
            self.set_parameter(key.upper(), str(value), strict=False)
        if database:
            self.choose(database, schema, strict=False)

    # names ---------------------------------------------------------------------------------------------------------

    def choose(self, database: str, schema: str | None, *, strict: bool = True) -> None:
        """Make `database.schema` current; without a schema PUBLIC becomes current if the database has one.

        Raises error 2003 when something is missing, unless `strict` is False: then it is left unset.
        """
        if database not in self.instance.registry.databases or not self.instance.access.may_see(
            self, "DATABASE", (database,)
        ):
            if strict:
                raise error.missing("Database", database)
            return
        wanted = schema or "PUBLIC"
        found = self.instance.has_schema((database, wanted)) or wanted == "INFORMATION_SCHEMA"
        if found and schema and wanted != "INFORMATION_SCHEMA":
            found = self.instance.access.may_see(self, "SCHEMA", (database, wanted))
        if schema and not found and strict:
            raise error.missing("Schema", f"{database}.{schema}")
        self.database, self._schema = database, wanted if found else None
        self.database_set, self.schema_set = True, found
        self.point()

    def leave(self) -> None:
        """Have no current database."""
        self.database = self._schema = None
        self.database_set = self.schema_set = False
        self.point()

    def point(self) -> None:
        """Let DuckDB look for unqualified names where this session stands."""
        places = ((self.database, self._schema), (self.database, "main"), ("memory", "main"))
        for path in ((d, s) for d, s in places if d and s):  # a schema or database may just have been dropped
            with contextlib.suppress(duckdb.CatalogException):
                self._duck_conn.execute(f"SET schema = {literal(quote_name(path))}")
                return

    def schema_name(self, name: Name, action: str = "this operation") -> Name:
        """Return (database, schema) for a schema name; raises error 90105 without a current database."""
        if len(name) == 1:
            if not self.database:
                raise error.no_current("database", action)
            return (self.database, *name)
        return name

    def object_name(self, name: Name, action: str = "this operation") -> Name:
        """Return (database, schema, object) for an object name; raises 90105 or 90106 when it cannot be completed."""
        if len(name) == 3 and name[1] == "":
            return (name[0], "PUBLIC", name[2])
        if len(name) == 1:
            if not self.database:
                raise error.no_current("database", action)
            if not self._schema:
                raise error.no_current("schema", action)
            return (self.database, self._schema, *name)
        return name if len(name) == 3 else (*self.schema_name(name[:1], action), name[1])

    def stored_name(self, name: Name) -> str:
        """Return the quoted DuckDB name of an object, which for a temporary one is private to the session."""
        return f"temp.main.{quote('.'.join(name))}" if name in self.temporary else quote_name(name)

    # procedures ----------------------------------------------------------------------------------------------------

    def stand(self) -> Stand:
        """Return where the session stands and with which role, for `take_back`."""
        return (self.role, self.database, self._schema, self.schema_set, self.session_variables, self._in_owners_name)

    def take_stand(self, schema: Name, role: str) -> None:
        """Stand in a schema with a role and without session variables, as a procedure with its owner's rights does."""
        self.role, self.session_variables, self._in_owners_name = role, {}, True
        self.database, self._schema = schema
        self.database_set = self.schema_set = True
        self.point()

    def take_back(self, stand: Stand) -> None:
        """Stand where the session stood before `take_stand`."""
        self.role, self.database, self._schema, self.schema_set, self.session_variables, self._in_owners_name = stand
        self.database_set = self.database is not None
        self.point()

    def check_statement(self, reader: Reader) -> None:
        """Refuse, inside a procedure, what it may not do to its caller's session and transaction."""
        verb = " ".join(reader.words[:2]) if reader.verb == "ALTER" else reader.verb
        if self._in_owners_name and verb in ("USE", "SET", "UNSET", "ALTER SESSION"):
            raise error.not_in_procedure(verb)
        if self.outer_transaction and reader.verb in ("COMMIT", "ROLLBACK"):
            raise error.foreign_transaction()
        if self.outer_transaction and reader.verb in ("BEGIN", "START"):
            raise error.unsupported("a transaction inside a procedure that was called inside another transaction")

    # parameters ----------------------------------------------------------------------------------------------------

    def set_parameter(self, key: str, value: str, *, strict: bool = True) -> None:
        """Set one session parameter; refuses values that would need another engine."""
        if key == "AUTOCOMMIT":
            self.autocommit(value.lower() in ("true", "1", "on"))
        elif strict and key in _FIXED and not re.fullmatch(_FIXED[key], value, re.IGNORECASE):
            raise error.unsupported(f"ALTER SESSION SET {key} = {value}")
        self.parameters[key] = value

    def shown_parameters(self) -> dict[str, tuple[str, str]]:
        """Return name -> (value, default) of the parameters SHOW PARAMETERS lists."""
        names = sorted({*_DEFAULTS, *self.parameters})
        return {n: (self.parameters.get(n, _DEFAULTS.get(n, "")), _DEFAULTS.get(n, "")) for n in names}

    def autocommit(self, mode: bool) -> None:
        """Switch autocommit; what is open is committed first."""
        self.transaction.commit_before_ddl()
        self.implicit = not mode

    # the connection ------------------------------------------------------------------------------------------------

    def cursor(self, cursor_class: type[SnowflakeCursor] = SnowflakeCursor) -> Cursor:
        """Return a cursor; `DictCursor` gives rows as dictionaries."""
        from slipway.sandbox.snowflake.cursor import Cursor

        return Cursor(self, as_dict=cursor_class is DictCursor)

    def execute_string(self, sql_text: str, *args: Any, **kwargs: Any) -> Iterable[FakeSnowflakeCursor]:
        """Run every statement of `sql_text` and return their cursors."""
        return [self.cursor().execute(statement) for statement in split_statements(sql_text)]

    def close(self, retry: bool = True) -> None:
        """End the session: roll back what is open and drop its temporary tables."""
        if self._is_closed:
            return
        from slipway.sandbox.snowflake.stage import drop_temporary

        self._is_closed = True
        self.instance.forget(self)
        with self.instance.gate.shared():
            self.transaction.rollback()
            drop_temporary(self)
            self._duck_conn.close()


def handle_use(cursor: Cursor, reader: Reader) -> Result:
    """Run USE ROLE | WAREHOUSE | SECONDARY ROLES | DATABASE | SCHEMA | <name>."""
    session = cursor.session
    reader.expect("USE")
    if reader.take("ROLE"):
        session.role = session.instance.access.assume(session.user, reader.name()[0])
    elif reader.take("WAREHOUSE"):
        session.warehouse = reader.name()[0]
    elif reader.take("SECONDARY"):
        if reader.peek(1) not in ("NONE", "ALL"):
            raise error.unsupported("USE SECONDARY ROLES with a list of roles")
    elif reader.take("DATABASE"):
        session.choose(reader.name()[0], None)
    elif reader.take("SCHEMA"):
        session.choose(*session.schema_name(reader.name(), "USE SCHEMA"))
    else:
        name = reader.name()
        session.choose(name[0], name[1] if len(name) > 1 else None)
    return Result.status()


def handle_alter_session(session: Session, reader: Reader) -> Result:
    """Run ALTER SESSION SET a = b [, c = d] or UNSET a [, b]."""
    reader.expect("ALTER", "SESSION")
    if reader.take("UNSET"):
        while not reader.at_end:
            session.parameters.pop(reader.value().upper(), None)
            reader.take(",")
        return Result.status()
    reader.expect("SET")
    while not reader.at_end:
        key = reader.value().upper()
        reader.expect("=")
        session.set_parameter(key, reader.value())
        reader.take(",")
    return Result.status()
