"""The columns a COPY fills, and how the text of a field becomes a value of each.

Errors carry the numbers and words Snowflake gives for a field that cannot be converted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError

from slipway.sandbox.snowflake.fileformat import FileFormat
from slipway.sandbox.snowflake.reader import Name
from slipway.sandbox.snowflake.store import GLOBAL

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

_TRUE, _FALSE = "('true', 't', 'yes', 'y', 'on', '1')", "('false', 'f', 'no', 'n', 'off', '0')"
# kind -> (number, state, word) of the error for a text that is none
_UNRECOGNIZED = {
    "number": (100038, "22018", "Numeric value"),
    "boolean": (100037, "22018", "Boolean value"),
    "date": (100040, "22007", "Date"),
    "time": (100108, "22007", "Time"),
    "timestamp": (100035, "22007", "Timestamp"),
    "binary": (100115, "22018", "Binary value"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Problem:
    """One way a field can be wrong: the SQL that finds it, and Snowflake's words for it given the field's text."""

    test: str
    number: int
    state: str
    message: Callable[[str | None], str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Column:
    """One column of the target. `type` is DuckDB's; `length` in characters, None where none was declared."""

    name: str
    position: int
    type: str
    nullable: bool
    length: int | None
    truncates: bool

    @property
    def kind(self) -> str:
        """What its texts are read as: a key of `_UNRECOGNIZED`, text, or json."""
        known = {
            "VARCHAR": "text",
            "JSON": "json",
            "BOOLEAN": "boolean",
            "BLOB": "binary",
            "DATE": "date",
            "TIME": "time",
        }
        if self.type in known:
            return known[self.type]
        if self.type.startswith("TIMESTAMP"):
            return "timestamp"
        return "json" if self.type.endswith("]") or self.type.startswith(("STRUCT", "MAP")) else "number"

    def converted(self, file_format: FileFormat, field: str) -> str:
        """Return the SQL of the value for a field, NULL where it cannot be converted."""
        text = file_format.clean_sql(field)
        if self.kind == "text":
            return f"left({text}, {self.length})" if self.truncates and self.length else text
        if self.kind == "json":
            return f"to_json({text})"
        if self.kind == "binary":
            return f"try(unhex({text}))"
        if self.kind == "boolean":
            word = f"lower(trim({text}))"
            return f"CASE WHEN {word} IN {_TRUE} THEN true WHEN {word} IN {_FALSE} THEN false END"
        return f"try_cast({text} AS {self.type})"

    def problems(self, file_format: FileFormat, field: str) -> tuple[Problem, ...]:
        """Return what can be wrong with a field, in the order it is looked for."""
        text = file_format.clean_sql(field)
        found = [
            Problem(
                test=file_format.has_escape_sql(field),
                number=391900,
                state="0A000",
                message=lambda value: (
                    f"Unsupported by the embedded Snowflake: the backslash in '{value}', which "
                    "ESCAPE_UNENCLOSED_FIELD makes an escape. ESCAPE_UNENCLOSED_FIELD = NONE reads it as it stands."
                ),
            )
        ]
        if self.kind in _UNRECOGNIZED:
            number, state, word = _UNRECOGNIZED[self.kind]
            found.append(
                Problem(
                    test=f"{text} IS NOT NULL AND {self.converted(file_format, field)} IS NULL",
                    number=number,
                    state=state,
                    message=lambda value: f"{word} '{value}' is not recognized",
                )
            )
        if self.kind == "text" and self.length and not self.truncates:
            found.append(
                Problem(
                    test=f"length({text}) > {self.length}",
                    number=100074,
                    state="54000",
                    message=lambda value: f"User character length limit ({self.length}) exceeded by string '{value}'",
                )
            )
        if not self.nullable:
            found.append(
                Problem(
                    test=f"{text} IS NULL",
                    number=100072,
                    state="22000",
                    message=lambda value: f"NULL result in a non-nullable column, field value '{value or ''}'",
                )
            )
        return tuple(found)


@dataclass(frozen=True, kw_only=True, slots=True)
class Target:
    """The table a COPY fills, with the columns it fills in the order of the fields."""

    name: Name
    stored: str  # the quoted DuckDB name
    temporary: bool
    columns: tuple[Column, ...]

    def wrong_row(self, file_format: FileFormat) -> str:
        """Return the SQL test for a row of texts `c1` .. `cN` that cannot be loaded. Never NULL."""
        tests = [
            problem.test
            for index, column in enumerate(self.columns, start=1)
            for problem in column.problems(file_format, f"c{index}")
            if problem.test != "false"
        ]
        return "coalesce(" + " OR ".join(f"({test})" for test in tests) + ", false)" if tests else "false"


def read_target(session: Session, name: Name, columns: Sequence[str], *, truncates: bool) -> Target:
    """Return the target of a COPY. Raises 904 for a column the table has not."""
    temporary = name in session.temporary
    stored: Name = ("temp", "main", ".".join(name)) if temporary else name
    rows = session._duck_conn.execute(
        "SELECT c.column_name, c.data_type, c.is_nullable, x.ext_character_maximum_length FROM duckdb_columns() c "
        f"LEFT JOIN {GLOBAL}._fs_information_schema._fs_columns_ext x ON x.ext_table_catalog = c.database_name "
        "AND x.ext_table_schema = c.schema_name AND x.ext_table_name = c.table_name "
        "AND x.ext_column_name = c.column_name "
        "WHERE c.database_name = ? AND c.schema_name = ? AND c.table_name = ? ORDER BY c.column_index",
        list(stored),
    ).fetchall()
    known = {
        column: Column(name=column, position=index, type=kind, nullable=nullable, length=length, truncates=truncates)
        for index, (column, kind, nullable, length) in enumerate(rows, start=1)
    }
    if strange := [column for column in columns if column not in known]:
        raise ProgrammingError(
            msg=f"SQL compilation error:\ninvalid identifier '{strange[0]}'", errno=904, sqlstate="42000"
        )
    wanted = [known[column] for column in columns] if columns else list(known.values())
    return Target(name=name, stored=session.stored_name(name), temporary=temporary, columns=tuple(wanted))
