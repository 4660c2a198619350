"""What is wrong in a CSV file that could not be loaded: how many rows, and the first error in Snowflake's words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from snowflake.connector.errors import Error, IntegrityError, ProgrammingError

from slipway.sandbox.snowflake.conversion import Target
from slipway.sandbox.snowflake.fileformat import FileFormat

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

_ADVICE = (
    "\n  If you would like to continue loading when an error is encountered, use other values such as 'SKIP_FILE' or "
    "'CONTINUE' for the ON_ERROR option."
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """The first error of a file. Lines and characters count from 1."""

    message: str
    number: int = 100132
    state: str = "P0000"
    line: int | None = None
    character: int | None = None
    column: str | None = None
    file: str = ""
    row: int | None = None

    def as_error(self) -> Error:
        """Return the error an aborted COPY ends with."""
        place = f"\n  File '{self.file}', line {self.line}, character {self.character or 1}"
        where = f"\n  Row {self.row}, column {self.column}" if self.column else ""
        kind = IntegrityError if self.number == 100072 else ProgrammingError
        return kind(msg=f"{self.message}{place}{where}{_ADVICE}", errno=self.number, sqlstate=self.state)


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """How many rows a file has, how many of them cannot be loaded, and the first error."""

    parsed: int
    errors: int
    first: Finding | None


def inspect(session: Session, file_format: FileFormat, target: Target, path: Path, *, name: str) -> Inspection:
    """Read a CSV file once more, tolerantly, on a connection of its own: no transaction is touched."""
    connection = session.instance.cursor()
    try:
        source = file_format.csv_sql(path, len(target.columns), tolerant=True)
        connection.execute(f"CREATE TEMP TABLE parsed AS SELECT row_number() OVER () AS n, * FROM {source}")
        malformed = _malformed(connection, file_format, target, name)
        (rows, wrong) = connection.execute(
            f"SELECT count(*), count(*) FILTER (WHERE {target.wrong_row(file_format)}) FROM parsed"
        ).fetchall()[0]
        first = _first_wrong(connection, file_format, target, name) if wrong else None
    finally:
        connection.close()
    lines = [finding for finding in (*malformed[:1], first) if finding is not None]
    earliest = min(lines, key=lambda finding: finding.line or 0, default=None)
    return Inspection(parsed=rows + len(malformed), errors=wrong + len(malformed), first=earliest)


def _malformed(
    connection: duckdb.DuckDBPyConnection, file_format: FileFormat, target: Target, name: str
) -> list[Finding]:
    rows = connection.execute(
        "SELECT line, byte_position - line_byte_position + 1, error_type, csv_line, error_message "
        "FROM reject_errors ORDER BY line"
    ).fetchall()
    findings: list[Finding] = []
    for line, character, kind, text, detail in rows:
        number, message = 100016, f"{detail} in '{text}'"
        if kind in ("TOO MANY COLUMNS", "MISSING COLUMNS"):
            count = detail.rpartition("Found: ")[2]
            number = 100080
            message = (
                f"Number of columns in file ({count}) does not match that of the corresponding table "
                f"({len(target.columns)}), use file format option error_on_column_count_mismatch=false to ignore this "
                "error"
            )
        # one row may be noted more than once
        if not findings or findings[-1].line != line:
            findings.append(
                Finding(
                    message=message,
                    number=number,
                    state="22000",
                    line=line,
                    character=max(int(character or 1), 1),
                    file=name,
                    row=line - file_format.skip_header,
                )
            )
    return findings


def _first_wrong(
    connection: duckdb.DuckDBPyConnection, file_format: FileFormat, target: Target, name: str
) -> Finding | None:
    number, *fields = connection.execute(
        f"SELECT * FROM parsed WHERE {target.wrong_row(file_format)} ORDER BY n LIMIT 1"
    ).fetchall()[0]
    for index, column in enumerate(target.columns, start=1):
        for problem in column.problems(file_format, f"c{index}"):
            found = connection.execute(f"SELECT 1 FROM parsed WHERE n = ? AND ({problem.test})", [number]).fetchall()
            if found:
                (before,) = connection.execute(
                    "SELECT count(DISTINCT line) FROM reject_errors WHERE line <= ?", [number + file_format.skip_header]
                ).fetchall()[0]
                row = number + before
                return Finding(
                    message=problem.message(fields[index - 1]),
                    number=problem.number,
                    state=problem.state,
                    line=row + file_format.skip_header,
                    character=1 + sum(len(field or "") + 1 for field in fields[: index - 1]),
                    column=f'"{target.name[2]}"["{column.name}":{column.position}]',
                    file=name,
                    row=row,
                )
    return None
