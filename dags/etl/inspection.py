"""Judge a delivered file before anything is landed: which of its lines count, which are faulty and why, the totals.

Rules:
- a file that cannot be read as what it should be (cut off, another header, not UTF-8, empty) is faulty as a whole;
- a line is faulty by its number of fields, a value that is missing or that its column does not take, or a key that
  comes with other values in the same file: which of two such lines is right is not ours to say;
- more faulty lines than the dataset tolerates make the whole file faulty;
- what passes is what the warehouse takes: the forms are stricter than Snowflake's casts, never looser;
- lines are judged by the column, in Arrow. Only faulty ones, a bounded number of them, become objects of Python.
"""

from __future__ import annotations

import gzip
import io
import re
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pyarrow
import pyarrow.compute as compute
import pyarrow.csv

from etl.batch import Fault
from etl.dataset import Column, Dataset, Type

PLAIN_LIMIT = 256 * 1024**2  # bytes a file may unpack to: a worker holds up to eight times as much
IN_PARTS = "a series is one file a day: have it sent in parts, each as a series of its own in dags/etl/catalog.py"
KEPT_FAULTS = 100  # per file: beyond, faulty lines are only counted
KEPT_TEXT = 200  # characters of a faulty line
BLOCK = 16 * 1024**2  # bytes that Arrow reads at a time, and the longest line
NUMBER, TEXT, KEY = "\x1fnumber", "\x1ftext", "\x1fkey"  # columns beside the dataset's own
SEPARATOR = "\x1f"  # in no file that passes: it keeps a line in one piece, and the values of a key apart
_FORBIDDEN = {b"\0": "NUL", SEPARATOR.encode(): "US"}
_FIELD = r'(?:"(?:[^"]|"")*"|[^",]*)'
_LEAP_YEAR = r"[1-9]\d(?:0[48]|[2468][048]|[13579][26])|(?:[2468][048]|[13579][26])00"
_DATE = (
    r"[1-9]\d{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12]\d|3[01])|(?:0[469]|11)-(?:0[1-9]|[12]\d|30)"
    rf"|02-(?:0[1-9]|1\d|2[0-8]))|(?:{_LEAP_YEAR})-02-29"
)
_FORMS: Mapping[Type, tuple[str, str]] = {  # zeros behind the last decimal are bounded: Arrow takes 38 digits in all
    Type.MONEY: (r"-?\d{1,16}(?:\.\d{1,2}0{0,10})?", "a number of at most 16 digits and 2 decimals"),
    Type.RATE: (r"-?\d{1,10}(?:\.\d{1,8}0{0,10})?", "a number of at most 10 digits and 8 decimals"),
    Type.INTEGER: (r"0|-?[1-9]\d{0,17}", "a whole number of at most 18 digits"),
    Type.DATE: (_DATE, "a date, YYYY-MM-DD"),
    Type.TIME: (
        rf"(?:{_DATE}) (?:[01]\d|2[0-3]):[0-5]\d:[0-5]\d(?:\.\d{{1,6}})?",
        "a time, YYYY-MM-DD HH:MM:SS",
    ),
}
_MEANINGS: Mapping[Type, pyarrow.DataType] = {  # of forms that write one value in several ways
    Type.MONEY: pyarrow.decimal128(38, 2),
    Type.RATE: pyarrow.decimal128(38, 8),
    Type.TIME: pyarrow.timestamp("us"),
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Inspection:
    """One file, judged.

    Attributes:
        whole: True when nothing of the file counts.
        lines: data lines, blank ones left out; 0 when the file cannot be read.
        faulty: how many of them are faulty, also beyond the faults that are kept.
        rows: distinct lines that count.
        amount: sum of the amount over those, exact; None where the dataset has no amount.
        cleaned: header and lines that count, as delivered; None when every line does, or none.
    """

    whole: bool
    lines: int
    faulty: int
    faults: tuple[Fault, ...]
    rows: int
    amount: Decimal | None
    cleaned: bytes | None = None


def inspect(body: bytes, *, dataset: Dataset, name: str) -> Inspection:
    """Return what counts of a file as delivered, unpacked first if its name says that it is packed. No side effects."""
    try:
        content = _plain(body, packed=name.endswith(".gz"))
        _refuse_unreadable(content, dataset=dataset)
        return _judged(content, dataset=dataset)
    except _UnreadableError as error:
        return _refused(dataset, faults=(error.fault,))
    except pyarrow.ArrowInvalid as error:
        fault = Fault(line=None, column=None, reason=f"cannot be read as CSV: {str(error)[:KEPT_TEXT]}")
        return _refused(dataset, faults=(fault,))


class _UnreadableError(Exception):
    def __init__(self, reason: str, *, line: int | None = None, text: str | None = None) -> None:
        self.fault = Fault(line=line, column=None, reason=reason, text=text)
        super().__init__(str(self.fault))


def _plain(body: bytes, *, packed: bool) -> bytes:
    """Return the content; raise _UnreadableError when it is empty, cut off or too large."""
    if not body:
        raise _UnreadableError("the file is empty, 0 bytes")
    if len(body) > PLAIN_LIMIT:  # packed, it unpacks to more still
        raise _UnreadableError(f"more than {PLAIN_LIMIT // 1024**2} MiB, and {IN_PARTS}")
    content = _unpacked(body) if packed else body
    if len(content) > PLAIN_LIMIT:
        raise _UnreadableError(f"more than {PLAIN_LIMIT // 1024**2} MiB unpacked, and {IN_PARTS}")
    if not packed and not content.endswith(b"\n"):  # gzip ends with a checksum, a plain file has only this
        raise _UnreadableError("the last line does not end: the file may be cut off")
    return content.removeprefix(b"\xef\xbb\xbf")


def _unpacked(body: bytes) -> bytes:
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as file:
            return file.read(PLAIN_LIMIT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise _UnreadableError(f"not a whole gzip file: {error}") from error


def _refuse_unreadable(content: bytes, *, dataset: Dataset) -> None:
    """Raise _UnreadableError for content that is no UTF-8 text under the dataset's header."""
    try:
        content.decode()
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise _UnreadableError(f"not UTF-8: byte 0x{content[error.start]:02x}", line=line) from error
    for byte, called in _FORBIDDEN.items():
        if (place := content.find(byte)) >= 0:
            raise _UnreadableError(f"control character {called}", line=content.count(b"\n", 0, place) + 1)
    if found := re.search(rb"\r(?!\n)", content):  # Snowflake ends a record at a line feed
        raise _UnreadableError("a carriage return without line feed", line=content.count(b"\n", 0, found.start()) + 1)
    header = next(iter(content[:10_000].splitlines()), b"").decode(errors="replace")
    if header != dataset.header:
        raise _UnreadableError(f"expected the header {dataset.header}", line=1, text=header[:KEPT_TEXT])


def _judged(content: bytes, *, dataset: Dataset) -> Inspection:
    """Leave out faulty lines, first by their shape, then by their values, then by their keys; add up the rest."""
    lines = _lines(content)
    count = len(lines)
    fields = f"^{_FIELD}(?:,{_FIELD}){{{len(dataset.columns) - 1}}}$"
    shaped = compute.match_substring_regex(lines[TEXT], fields)
    faults = _faults(lines, compute.invert(shaped), lambda row: _misshape(row[TEXT], len(dataset.columns)))
    if faults:
        lines = lines.filter(shaped)
        content = _joined(lines, dataset)
    table = _read(content, dataset.names, quoted=True)
    for name in (NUMBER, TEXT):
        table = table.append_column(name, lines[name])
    table = _fitting(table, dataset, faults)
    table = _meant(table, dataset)
    distinct = _distinct(table, dataset)
    doubled = _contradicting(distinct)
    if doubled is not None:
        reason = "comes in another line too, with other values"
        wrong = compute.is_in(table[KEY], value_set=doubled)
        faults += _faults(table, wrong, lambda row: reason, column=dataset.key[-1])
        table = table.filter(compute.invert(wrong))
        distinct = _distinct(table, dataset)
    faulty = count - len(table)
    first = tuple(sorted(faults, key=lambda fault: fault.line or 0)[:KEPT_FAULTS])
    if faulty * 100 > dataset.drop.tolerance.faulty_percent * count:
        return _refused(dataset, faults=first, lines=count, faulty=faulty)
    return Inspection(
        whole=False,
        lines=count,
        faulty=faulty,
        faults=first,
        rows=len(distinct),
        amount=_total(distinct, dataset),
        cleaned=_joined(table, dataset) if faulty else None,
    )


def _refused(dataset: Dataset, *, faults: tuple[Fault, ...], lines: int = 0, faulty: int = 0) -> Inspection:
    amount = None if dataset.amount is None else Decimal("0.00")
    return Inspection(whole=True, lines=lines, faulty=faulty, faults=faults, rows=0, amount=amount)


# reading -----------------------------------------------------------------------------------------------------------


def _lines(content: bytes) -> pyarrow.Table:
    """Return the lines after the header that are not blank, with their numbers."""
    text = _read(content, (TEXT,), quoted=False)[TEXT]
    filled = compute.not_equal(text, "")
    numbers = compute.add(compute.indices_nonzero(filled), pyarrow.scalar(2, pyarrow.uint64()))
    return pyarrow.table({NUMBER: numbers, TEXT: text.filter(filled)})


def _read(content: bytes, names: tuple[str, ...], *, quoted: bool) -> pyarrow.Table:
    """Return what follows the header as text: fields, with null for an empty one as in Snowflake, or whole lines."""
    if re.search(rb"[\r\n][^\r\n]", content) is None:  # the header alone: Arrow takes that for no file at all
        return pyarrow.table({name: pyarrow.array([], pyarrow.string()) for name in names})
    return pyarrow.csv.read_csv(
        pyarrow.BufferReader(content),
        read_options=pyarrow.csv.ReadOptions(column_names=list(names), skip_rows=1, block_size=BLOCK),
        parse_options=pyarrow.csv.ParseOptions(
            delimiter="," if quoted else SEPARATOR, quote_char='"' if quoted else False, ignore_empty_lines=quoted
        ),
        convert_options=pyarrow.csv.ConvertOptions(
            column_types=dict.fromkeys(names, pyarrow.string()),
            strings_can_be_null=quoted,
            quoted_strings_can_be_null=False,
            null_values=[""],
        ),
    )


def _joined(lines: pyarrow.Table, dataset: Dataset) -> bytes:
    return "\n".join([dataset.header, *lines[TEXT].to_pylist(), ""]).encode()


# judging -----------------------------------------------------------------------------------------------------------


def _fitting(table: pyarrow.Table, dataset: Dataset, faults: list[Fault]) -> pyarrow.Table:
    """Return the lines whose every value its column takes; add to `faults` why the others do not."""
    wrong = pyarrow.chunked_array([pyarrow.nulls(len(table), pyarrow.bool_()).fill_null(False)])
    for column in dataset.columns:
        values = table[column.name]
        absent = compute.or_(compute.is_null(values), compute.equal(values, "").fill_null(False))
        if not dataset.is_required(column):
            absent = compute.and_(absent, False)
        misfit = compute.and_not(_misfit(column, values).fill_null(False), absent)
        faults += _faults(table, absent, lambda row: "is missing", column=column.name)
        faults += _faults(table, misfit, _unlike(column), column=column.name)
        wrong = compute.or_(wrong, compute.or_(absent, misfit))
    return table.filter(compute.invert(wrong))


def _misfit(column: Column, values: pyarrow.ChunkedArray) -> pyarrow.ChunkedArray:
    """Return where a value is not of the column's form, null where there is none."""
    if column.type is not Type.TEXT:
        return compute.invert(compute.match_substring_regex(values, f"^(?:{_FORMS[column.type][0]})$"))
    return compute.greater(compute.utf8_length(values), column.length or PLAIN_LIMIT)


def _unlike(column: Column) -> Callable[[dict[str, Any]], str]:
    wanted = f"at most {column.length} characters" if column.type is Type.TEXT else _FORMS[column.type][1]
    return lambda row: f"is {row[column.name][:40]!r}, expected {wanted}"


def _misshape(text: str, expected: int) -> str:
    if re.fullmatch(f"{_FIELD}(?:,{_FIELD})*", text) is None:
        return "a quote is not closed, or stands within a value"
    fields = len(re.findall(f",{_FIELD}", "," + text))
    return f"{fields} fields, expected {expected}"


def _faults(
    table: pyarrow.Table, wrong: Any, reason: Callable[[dict[str, Any]], str], *, column: str | None = None
) -> list[Fault]:
    """Return a fault for each of the first KEPT_FAULTS lines where `wrong` is true."""
    first = table.take(compute.indices_nonzero(wrong).slice(0, KEPT_FAULTS))
    return [
        Fault(line=row[NUMBER], column=column, reason=reason(row), text=row[TEXT][:KEPT_TEXT])
        for row in first.to_pylist()
    ]


# adding up ---------------------------------------------------------------------------------------------------------


def _meant(table: pyarrow.Table, dataset: Dataset) -> pyarrow.Table:
    """Return the columns as what they mean, 1.5 and 1.50 being one, and the key as one text beside them."""
    key = compute.binary_join_element_wise(*(table[name] for name in dataset.key), SEPARATOR)
    for place, column in enumerate(dataset.columns):
        if column.type in _MEANINGS:
            table = table.set_column(place, column.name, compute.cast(table[column.name], _MEANINGS[column.type]))
    return table.append_column(KEY, key)


def _distinct(table: pyarrow.Table, dataset: Dataset) -> pyarrow.Table:
    """Return each line once. Lines that all have keys of their own are that already, at a third of the cost."""
    if compute.count_distinct(table[KEY]).as_py() == len(table):
        return table
    return table.group_by([*dataset.names, KEY]).aggregate([])


def _contradicting(distinct: pyarrow.Table) -> pyarrow.Array | None:
    """Return keys that more than one of the distinct lines has, None when there is no such key."""
    if compute.count_distinct(distinct[KEY]).as_py() == len(distinct):
        return None
    counted = distinct.group_by(KEY).aggregate([([], "count_all")])
    return counted.filter(compute.greater(counted["count_all"], 1))[KEY].combine_chunks()


def _total(distinct: pyarrow.Table, dataset: Dataset) -> Decimal | None:
    if dataset.amount is None:
        return None
    total = compute.sum(distinct[dataset.amount]).as_py()
    return Decimal("0.00") if total is None else total
