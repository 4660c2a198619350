"""Errors as Snowflake words them: every failure leaves the embedded Snowflake as a `ProgrammingError` with a number.

The connector retries an HTTP 500 for minutes, so nothing may escape untranslated: `translate` is the one choke point.
Numbers and states follow what the Snowflake server sends (https://docs.snowflake.com/en/developer-guide/sql-api/reference).
"""

from __future__ import annotations

import re

import duckdb
from snowflake.connector.errors import DatabaseError, Error, IntegrityError, ProgrammingError
from sqlglot.errors import SqlglotError, UnsupportedError

UNSUPPORTED = 391900  # a number Snowflake does not use, so that a limit of the emulation is never taken for its answer
TIMED_OUT = 630
TRANSACTION_ABORTED = 90100
LOCK_CONFLICT = 625


class UnrecognisedError(ProgrammingError):  # type: ignore[misc]  # the connector is not typed here
    """An error that an account may not give at all: what is unknown here, or DuckDB's word for something."""


def is_final(failure: Error) -> bool:
    """Tell whether no handler of a block may catch an error, lest the block take another branch than on an account."""
    return failure.errno in (UNSUPPORTED, TIMED_OUT) or isinstance(failure, UnrecognisedError)


def syntax(detail: str) -> ProgrammingError:
    """Return the error for a statement that cannot be parsed."""
    return ProgrammingError(msg=f"SQL compilation error:\n{detail}", errno=1003, sqlstate="42000")


def not_permanent() -> ProgrammingError:
    """Return the error for a permanent clone of what is transient."""
    return ProgrammingError(
        msg="SQL compilation error:\nTransient object cannot be cloned to a permanent object.",
        errno=2120,
        sqlstate="0A000",
    )


def missing(kind: str, name: str) -> ProgrammingError:
    """Return the error for an object that is absent or may not be seen: Snowflake does not say which."""
    state = "42S02" if kind in ("Object", "Table", "View") else "02000"
    return ProgrammingError(
        msg=f"SQL compilation error:\n{kind} '{name}' does not exist or not authorized.", errno=2003, sqlstate=state
    )


def already_exists(name: str) -> ProgrammingError:
    """Return the error for a name that is taken."""
    return ProgrammingError(
        msg=f"SQL compilation error:\nObject '{name}' already exists.", errno=2002, sqlstate="42710"
    )


def insufficient(kind: str, name: str) -> ProgrammingError:
    """Return the error for an object that may be seen but not used this way."""
    return ProgrammingError(
        msg=f"SQL access control error:\nInsufficient privileges to operate on {kind.lower()} '{name}'",
        errno=3001,
        sqlstate="42501",
    )


def unsupported(feature: str) -> ProgrammingError:
    """Return the loud refusal of something Snowflake has and the embedded Snowflake does not."""
    return ProgrammingError(
        msg=f"Unsupported by the embedded Snowflake: {feature}. Nothing was done.", errno=UNSUPPORTED, sqlstate="0A000"
    )


def locked(detail: str) -> ProgrammingError:
    """Return the error for a lock that another session keeps too long."""
    return ProgrammingError(msg=f"Lock wait timeout: {detail}", errno=LOCK_CONFLICT, sqlstate="57014")


def not_expanded(view: str, name: str) -> ProgrammingError:
    """Return the error of a view whose owner may not read what it reads."""
    return ProgrammingError(
        msg=f"SQL compilation error:\nFailure during expansion of view '{view}': SQL compilation error:\n"
        f"Object '{name}' does not exist or not authorized.",
        errno=2037,
        sqlstate="42601",
    )


def dependent_grant(privilege: str, name: str, role: str) -> ProgrammingError:
    """Return the refusal to hand over an object on which others hold privileges, while nothing is said of these."""
    return ProgrammingError(
        msg=f"SQL execution error: Dependent grant of privilege '{privilege}' on securable '{name}' to role '{role}' "
        "exists.  It must be revoked first.  More than one dependent grant may exist: use 'SHOW GRANTS' command to "
        "view them.  To revoke all dependent grants while transferring object ownership, use convenience command "
        "'GRANT OWNERSHIP ON <target_objects> TO <target_role> REVOKE CURRENT GRANTS'.",
        errno=3036,
        sqlstate="23001",
    )


def no_privilege_of(kind: str, privilege: str) -> ProgrammingError:
    """Return the error of a privilege that this kind of object does not have."""
    return ProgrammingError(
        msg=f"SQL compilation error:\nInvalid object type '{kind.replace(' ', '_')}' for privilege '{privilege}'.",
        errno=3008,
        sqlstate="42601",
    )


def task_not_executable() -> ProgrammingError:
    """Return the refusal to resume a task whose owner may not run tasks."""
    return ProgrammingError(
        msg="Cannot execute task , EXECUTE TASK privilege must be granted to owner role", errno=91089, sqlstate="23001"
    )


def task_not_suspended(root: str) -> ProgrammingError:
    """Return the refusal to change a graph of tasks whose first is started."""
    return ProgrammingError(
        msg=f"Unable to update graph with root task {root} since that root task is not suspended.",
        errno=91088,
        sqlstate="55000",
    )


def _unchanged(column: str, old: str, new: str, reason: str, number: int) -> ProgrammingError:
    return ProgrammingError(
        msg=f"SQL compilation error:\ncannot change column {column} from type {old} to {new}{reason}",
        errno=number,
        sqlstate="22000",
    )


def not_convertible(column: str, old: str, new: str) -> ProgrammingError:
    """Return the refusal to give a column a type of another kind."""
    return _unchanged(column, old, new, "", 2108)


def not_shortened(column: str, old: str, new: str) -> ProgrammingError:
    """Return the refusal to make a text column shorter."""
    return _unchanged(column, old, new, " because reducing the byte-length of a varchar is not supported.", 40050)


def not_rescaled(column: str, old: str, new: str) -> ProgrammingError:
    """Return the refusal to change the scale of a number."""
    return _unchanged(column, old, new, " because changing the scale of a number is not supported.", 40052)


def not_narrowed(column: str, old: str, new: str) -> ProgrammingError:
    """Return the refusal to take digits from a number while there are values that need them."""
    return _unchanged(column, old, new, " because there are values that need more digits.", 40051)


def no_such_feature(feature: str) -> ProgrammingError:
    """Return Snowflake's own refusal of something it does not have."""
    return ProgrammingError(msg=f"SQL compilation error:\nUnsupported feature '{feature}'.", errno=2, sqlstate="0A000")


def timed_out(seconds: float | None) -> ProgrammingError:
    """Return the end of what ran longer than STATEMENT_TIMEOUT_IN_SECONDS; None where that is not known."""
    limit = "" if seconds is None else f" of {seconds:g} second(s)"
    return ProgrammingError(
        msg=f"Statement reached its statement or warehouse timeout{limit} and was canceled.",
        errno=TIMED_OUT,
        sqlstate="57014",
    )


def several_rows(count: int) -> ProgrammingError:
    """Return the error of a SELECT .. INTO that found more than one row."""
    return ProgrammingError(
        msg=f"A SELECT INTO statement expects exactly 1 returned row, but got {count}.", errno=100335, sqlstate="22000"
    )


def wrong_arguments(name: str) -> ProgrammingError:
    """Return the error of a call no procedure of that name takes."""
    return ProgrammingError(
        msg=f"SQL compilation error:\nInvalid argument types for function '{name}'", errno=1044, sqlstate="42P13"
    )


def _in_procedure(detail: str, number: int) -> ProgrammingError:
    return ProgrammingError(msg=f"Stored procedure execution error: {detail}", errno=number, sqlstate="42601")


def incomplete_transaction() -> ProgrammingError:
    """Return the error of a procedure that leaves a transaction open."""
    return _in_procedure("Scoped transaction started in stored procedure is incomplete and it was rolled back.", 90232)


def foreign_transaction() -> ProgrammingError:
    """Return the error of a procedure that would end the transaction of its caller."""
    return ProgrammingError(
        msg="Modifying a transaction that has started at a different scope is not allowed.",
        errno=90234,
        sqlstate="42601",
    )


def not_in_procedure(verb: str) -> ProgrammingError:
    """Return the refusal of a statement that a procedure with its owner's rights may not run."""
    return _in_procedure(f"Unsupported statement type '{verb}'.", 90236)


def too_long(text: str) -> ProgrammingError:
    """Return the error for a text longer than its column."""
    return ProgrammingError(
        msg=f"String '{text[:50]}' is too long and would be truncated", errno=100078, sqlstate="22000"
    )


def unknown_function(name: str) -> ProgrammingError:
    """Return the error for a function that is not there; SYSTEM$ functions and GET_DDL Snowflake certainly has."""
    word = name.upper()
    if word.startswith("SYSTEM$") or word in ("GET_DDL", "GET_PRESIGNED_URL", "GET_STAGE_LOCATION"):
        return unsupported(f"{word}()")
    return UnrecognisedError(
        msg=f"SQL compilation error:\nUnknown function {word}, or one the embedded Snowflake does not have.",
        errno=2140,
        sqlstate="42601",
    )


def unknown_procedure(name: str) -> ProgrammingError:
    """Return the error of a CALL of what is not there or may not be called."""
    return ProgrammingError(
        msg=f"SQL compilation error:\nUnknown function {name.upper()}", errno=2140, sqlstate="42601"
    )


def null_refused(detail: str) -> IntegrityError:
    """Return the error for a NULL in a NOT NULL column, of the class the connector gives it."""
    return IntegrityError(msg=f"NULL result in a non-nullable column{detail}", errno=100072, sqlstate="22000")


def no_current(kind: str, action: str) -> ProgrammingError:
    """Return the error for an unqualified name in a session without a current database or schema."""
    number = 90105 if kind == "database" else 90106
    return ProgrammingError(
        msg=f"Cannot perform {action}. This session does not have a current {kind}. "
        f"Call 'USE {kind.upper()}', or use a qualified name.",
        errno=number,
        sqlstate="22000",
    )


def aborted(cause: str) -> ProgrammingError:
    """Return the refusal of a statement in a transaction that an earlier error has ended."""
    return ProgrammingError(
        msg=f"The transaction was ended by an earlier error ({cause}) and has been rolled back: nothing in it was "
        "committed. Send ROLLBACK. (Snowflake would keep it open; the embedded Snowflake could not restore it.)",
        errno=TRANSACTION_ABORTED,
        sqlstate="25000",
    )


def _first_line(failure: BaseException) -> str:
    text = str(failure).strip()
    return text.split("\n")[0] if text else type(failure).__name__


def _named(text: str) -> str | None:
    found = re.search(r'with name "?([^"\s!]+)"? does not exist', text)
    return found.group(1) if found else None


def _translate_catalog(failure: duckdb.Error) -> ProgrammingError:
    text = _first_line(failure)
    if text.startswith("Catalog Error: Type with name"):
        return unsupported(f"the type {text.split()[5]}")
    if "already exists" in text:
        found = re.search(r'with name "([^"]+)"', text)
        return already_exists(found.group(1) if found else text)
    if name := _named(text):
        if "Function" in text:
            return unknown_function(name)
        return missing("Schema" if "Schema" in text else "Object", name)
    return UnrecognisedError(msg=f"SQL compilation error:\n{text}", errno=2003, sqlstate="42S02")


_GROUPED = re.compile(r'column "([^"]+)" must appear in the GROUP BY')
_AMBIGUOUS = re.compile(r'Ambiguous reference to column name "([^"]+)"')
_COUNTED = re.compile(r"has (\d+) columns but (\d+) values were supplied")


def _translate_binder(failure: duckdb.Error) -> ProgrammingError:
    text = _first_line(failure)
    compilation = "SQL compilation error:\n"
    if found := _GROUPED.search(text):
        return ProgrammingError(
            msg=f"{compilation}'{found[1]}' in select clause is neither an aggregate nor in the group by clause. "
            "(GROUP BY)",
            errno=979,
            sqlstate="42601",
        )
    if found := _AMBIGUOUS.search(text):
        return ProgrammingError(msg=f"{compilation}ambiguous column name '{found[1]}'", errno=2028, sqlstate="42601")
    if found := _COUNTED.search(text):
        return ProgrammingError(
            msg=f"{compilation}Insert value list does not match column list expecting {found[1]} but got {found[2]}",
            errno=2020,
            sqlstate="21S01",
        )
    if found := re.search(r'does not have a column (?:with name|named) "([^"]+)"', text):
        return ProgrammingError(msg=f"{compilation}invalid identifier '{found[1]}'", errno=904, sqlstate="42000")
    if found := re.search(r'[Cc]olumn "([^"]+)"', text):
        return ProgrammingError(
            msg=f"SQL compilation error:\ninvalid identifier '{found.group(1)}' ({text})", errno=904, sqlstate="42000"
        )
    if found := re.search(r'Catalog "([^"]+)" does not exist', text):
        return missing("Database", found.group(1))
    return UnrecognisedError(msg=f"SQL compilation error:\n{text}", errno=2043, sqlstate="42601")


_TOO_LONG = re.compile(r"String '.*' is too long and would be truncated", re.DOTALL)
_NO_DATE = re.compile(
    r'(date|timestamp|time) field value out of range: "([^"]*)"|invalid (date|timestamp|time) field format: "([^"]*)"'
)
_DATES = {"date": 100040, "timestamp": 100035, "time": 100108}


def _translate_duckdb(failure: duckdb.Error) -> Error:
    text = _first_line(failure)
    if found := _TOO_LONG.search(str(failure)):
        return ProgrammingError(msg=found[0], errno=100078, sqlstate="22000")
    if "attempting to write to database" in text.lower():
        return unsupported("writing two databases in one transaction")
    if isinstance(failure, duckdb.BinderException):
        return _translate_binder(failure)
    if isinstance(failure, duckdb.InterruptException):
        return timed_out(None)
    if isinstance(failure, duckdb.CatalogException):
        return _translate_catalog(failure)
    if isinstance(failure, duckdb.ParserException):  # Snowflake's grammar took it
        return unsupported(f"this statement ({text})")
    if isinstance(failure, duckdb.TransactionException) and "onflict" in text:
        return ProgrammingError(
            msg=f"Statement waits for a lock of another: {text}", errno=LOCK_CONFLICT, sqlstate="57014"
        )
    if isinstance(failure, duckdb.ConstraintException) and "NOT NULL" in text:
        return null_refused(f" ({text})")
    if isinstance(failure, duckdb.ConversionException) and (found := _NO_DATE.search(text)):
        kind, value = found[1] or found[3], found[2] or found[4]
        return ProgrammingError(
            msg=f"{kind.capitalize()} '{value}' is not recognized", errno=_DATES[kind], sqlstate="22007"
        )
    if isinstance(failure, duckdb.ConversionException) and "to DECIMAL(" in text:
        return ProgrammingError(msg=f"Number out of representable range: {text}", errno=100039, sqlstate="22003")
    if isinstance(failure, duckdb.ConversionException):
        return ProgrammingError(msg=text, errno=100038, sqlstate="22018")
    if isinstance(failure, duckdb.OutOfRangeException):
        return ProgrammingError(msg=f"Number out of representable range: {text}", errno=100039, sqlstate="22003")
    if "Division by zero" in text:
        return ProgrammingError(msg="Division by zero", errno=100051, sqlstate="22012")
    if isinstance(failure, duckdb.NotImplementedException):
        return unsupported(text)
    return UnrecognisedError(msg=f"{type(failure).__name__}: {text}", errno=100132, sqlstate="P0000")


def is_conflict(failure: BaseException) -> bool:
    """Tell whether `failure` says that another transaction changed the same thing first."""
    return isinstance(failure, duckdb.TransactionException) and "onflict" in str(failure)


def translate(failure: BaseException) -> Error:
    """Return the connector error that stands for `failure`; connector errors are returned as they are.

    An error of an unexpected type is a gap of the emulation, and says so instead of pretending to be Snowflake's.
    """
    if isinstance(failure, (ProgrammingError, IntegrityError)):
        return failure if failure.errno and failure.errno != -1 else _numbered(failure)
    if isinstance(failure, DatabaseError):
        return ProgrammingError(msg=failure.raw_msg or str(failure), errno=failure.errno, sqlstate=failure.sqlstate)
    if isinstance(failure, duckdb.Error):
        return _translate_duckdb(failure)
    if isinstance(failure, (UnsupportedError, NotImplementedError)):  # the first is a SqlglotError too
        return unsupported(_first_line(failure))
    if isinstance(failure, SqlglotError):
        plain = re.sub(r"\x1b\[\d+m", "", str(failure))
        return syntax(plain)
    return unsupported(f"this statement ({type(failure).__name__}: {_first_line(failure)[:400]})")


def _numbered(failure: Error) -> ProgrammingError:
    """Return the error of a session variable that is not set, the one fakesnow gives no number."""
    return ProgrammingError(msg=failure.raw_msg or str(failure), errno=2211, sqlstate="02000")
