"""One COPY INTO statement, understood: what is read, how, into which columns, and what becomes of errors."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fakesnow.dialect import parse_one
from snowflake.connector.errors import ProgrammingError
from sqlglot import exp

from slipway.sandbox.snowflake import error, option, resolution, stage
from slipway.sandbox.snowflake.conversion import Target, read_target
from slipway.sandbox.snowflake.fileformat import FileFormat, is_pattern
from slipway.sandbox.snowflake.reader import Reader
from slipway.sandbox.snowflake.storage import Location, StagedFile

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor

_KNOWN = frozenset(
    {
        "FILES",
        "PATTERN",
        "FILE_FORMAT",
        "ON_ERROR",
        "FORCE",
        "PURGE",
        "SIZE_LIMIT",
        "RETURN_FAILED_ONLY",
        "MATCH_BY_COLUMN_NAME",
        "ENFORCE_LENGTH",
        "TRUNCATECOLUMNS",
        "LOAD_UNCERTAIN_FILES",
        "VALIDATION_MODE",
    }
)
_REFUSED = ("SIZE_LIMIT", "VALIDATION_MODE", "RETURN_FAILED_ONLY")
ON_ERROR = re.compile(r"ABORT_STATEMENT|CONTINUE|SKIP_FILE(_(?P<count>\d+)(?P<percent>%)?)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyPlan:
    """One COPY statement, understood."""

    target: Target
    location: Location
    path: str
    files: tuple[str, ...]
    pattern: str | None
    format: FileFormat
    query: exp.Select | None  # the transformation, if any
    on_error: str
    force: bool
    purge: bool
    match: str


# understanding -----------------------------------------------------------------------------------------------------


def read_plan(cursor: Cursor, reader: Reader) -> CopyPlan:
    """Return what a COPY INTO statement asks for. Raises for what is wrong, unsupported or not allowed to the role."""
    session = cursor.session
    reader.expect("COPY", "INTO")
    if reader.location() is not None:
        raise error.unsupported("COPY INTO a location (unloading)")
    name = session.object_name(reader.name(), "COPY")
    columns = _names(reader) if reader.peek() == "(" else ()
    reader.expect("FROM")
    query = _query(reader) if reader.take("(") else None
    reference = reader.location()
    if reference is None:
        raise error.unsupported("COPY INTO from anything but a stage or an s3:// location")
    if query is not None:
        _close_query(reader)
    options = option.read_options(reader)
    option.refuse_unknown(options, _KNOWN, "COPY INTO")
    for key in _REFUSED:
        if key in options and option.text(options, key).upper() != "FALSE":
            raise error.unsupported(f"COPY INTO with {key}")
    if name not in session.temporary and session.instance.relation_kind(name) != "TABLE":
        raise error.missing("Table", ".".join(name))
    cursor.authorize([resolution.Reference(name=name, privileges=("INSERT",))])
    own = option.group(options, "FILE_FORMAT")
    if reference.startswith("@"):
        found, path = stage.resolve(session, reference)
        found.require(session)
        location, file_format = found.location(session), stage.format_of(session, found.format, own)
    else:
        bucket, _, path = reference.split("://", 1)[1].partition("/")
        location = session.instance.storage.at(f"{reference.split('://')[0]}://{bucket}/")
        file_format = stage.format_of(session, own)
    truncates = option.flag(
        options, "TRUNCATECOLUMNS", default=not option.flag(options, "ENFORCE_LENGTH", default=True)
    )
    return CopyPlan(
        target=read_target(session, name, columns, truncates=truncates),
        location=location,
        path=path,
        files=option.several(options, "FILES"),
        pattern=option.text(options, "PATTERN") or None,
        format=file_format,
        query=query,
        on_error=_on_error(options),
        force=option.flag(options, "FORCE", default=False),
        purge=option.flag(options, "PURGE", default=False),
        match=option.text(options, "MATCH_BY_COLUMN_NAME", "NONE").upper(),
    )


def _on_error(options: option.Options) -> str:
    value = option.text(options, "ON_ERROR", "ABORT_STATEMENT").upper()
    if ON_ERROR.fullmatch(value) is None:
        raise error.syntax(f"invalid value [{value}] for parameter 'ON_ERROR'.")
    return value


def _names(reader: Reader) -> tuple[str, ...]:
    reader.expect("(")
    names = []
    while not reader.take(")"):
        if not reader.take(","):
            names.append(reader.name()[0])
    return tuple(names)


def _query(reader: Reader) -> exp.Select:
    """Read `SELECT ... FROM` of a transformation, up to the location."""
    start = reader.tokens[reader.position].start
    depth = 0
    while not (depth == 0 and reader.peek() == "FROM"):
        if reader.at_end:
            raise reader.unexpected()
        depth += (reader.peek() == "(") - (reader.peek() == ")")
        reader.position += 1
    text = reader.sql[start : reader.tokens[reader.position].start]
    reader.expect("FROM")
    parsed = resolution.normalize(parse_one(text))
    if not isinstance(parsed, exp.Select):
        raise error.syntax("a transformation of COPY is a SELECT.")
    return parsed


def _close_query(reader: Reader) -> None:
    """Read what may stand between the location and the bracket: an alias, or options of the location."""
    if reader.take("("):
        raise error.unsupported("COPY transformations with options on the location: give FILE_FORMAT to COPY itself")
    reader.take("AS")
    if reader.peek() not in (")", "WHERE", "LIMIT", "JOIN"):
        reader.name()
    if not reader.take(")"):
        raise error.syntax(f"a transformation of COPY has no {reader.peek()}.")


def find_files(copy: CopyPlan) -> tuple[list[StagedFile], list[str]]:
    """Return the files to load, and the names under FILES that are not there."""
    if copy.files:
        found = {name: copy.location.find(copy.path + name) for name in copy.files}
        return [file for file in found.values() if file], [name for name, file in found.items() if file is None]
    files = copy.location.list(copy.path)
    if copy.pattern is not None:
        pattern = is_pattern(copy.pattern)
        files = [file for file in files if pattern.fullmatch(file.path) or pattern.fullmatch(file.shown)]
    return files, []


def not_found(copy: CopyPlan, names: Sequence[str]) -> ProgrammingError:
    """Return the error for files under FILES that are not there."""
    shown = ", ".join(copy.path + name for name in names)
    return ProgrammingError(
        msg=f"Remote file '{shown}' was not found. There are several potential causes. The file might not exist. The "
        "required credentials may be missing or invalid.",
        errno=91016,
        sqlstate="22000",
    )
