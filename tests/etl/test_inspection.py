"""What counts of a delivered file, what does not, and why: line, column, reason."""

from __future__ import annotations

import gzip
from dataclasses import replace
from datetime import date
from decimal import Decimal

import pytest
from etl import catalog, inspection
from etl.dataset import Column, Dataset, Tolerance, Type
from etl.inspection import Inspection, inspect
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.etl.conftest import Platform

STRICT = catalog.SETTLEMENT_FILES
LENIENT = replace(STRICT, source=replace(STRICT.drop, tolerance=Tolerance(faulty_percent=100)))
HEADER = STRICT.header
LINE = "visa,2026-03-01,VISA-1,T1,10.00,0.05,9.95,EUR"
WHOLE = gzip.compress(f"{HEADER}\n{LINE}\n".encode(), mtime=0)


def judged(*lines: str, dataset: Dataset = LENIENT, end: str = "\n") -> Inspection:
    return inspect("".join(line + end for line in (HEADER, *lines)).encode(), dataset=dataset, name="f.csv")


def line(number: int, **values: str) -> str:
    """A sound line with a key of its own, but for the values given."""
    fields = dict(zip(STRICT.names, LINE.split(","), strict=True)) | {"TRANSACTION_ID": f"T{number}"}
    return ",".join((fields | {name.upper(): value for name, value in values.items()}).values())


def test_a_sound_file_counts_with_exact_amounts_and_is_left_as_it_is() -> None:
    found = judged(line(1), line(2, gross_amount="0.10"), line(3, gross_amount="-0.30"), dataset=STRICT)
    assert (found.whole, found.lines, found.faulty, found.faults) == (False, 3, 0, ())
    assert (found.rows, found.amount, found.cleaned) == (3, Decimal("9.80"), None)


def test_repeated_lines_count_once_also_when_they_are_written_another_way() -> None:
    found = judged(line(1), line(1), line(1, gross_amount="10"), line(1, gross_amount="10.000"), line(2))
    assert (found.rows, found.amount, found.faulty) == (2, Decimal("20.00"), 0)


def test_blank_lines_byte_order_mark_and_windows_line_ends_are_nothing_to_complain_about() -> None:
    assert judged(line(1), "", line(2), "", "", end="\r\n").rows == 2
    content = b"\xef\xbb\xbf" + f"{HEADER}\n{line(1)}\n".encode()
    assert inspect(content, dataset=STRICT, name="f.csv").rows == 1


def test_a_file_without_lines_counts_as_none() -> None:
    for content in (f"{HEADER}\n", f"{HEADER}\r\n\r\n"):
        found = inspect(content.encode(), dataset=STRICT, name="f.csv")
        assert (found.whole, found.rows, found.amount) == (False, 0, Decimal("0.00"))


@pytest.mark.parametrize(
    ("body", "name", "reason"),
    [
        (b"", "f.csv", "the file is empty, 0 bytes"),
        (b"", "f.csv.gz", "the file is empty, 0 bytes"),
        (f"{HEADER}\n{LINE}".encode(), "f.csv", "the last line does not end: the file may be cut off"),
        (gzip.compress(f"{HEADER}\n{LINE}\n".encode(), mtime=0)[:-9], "f.csv.gz", "not a whole gzip file: "),
        (
            gzip.compress(f"{HEADER}\n{LINE}\n".encode(), mtime=0)[:-4] + b"\0\0\0\0",
            "f.csv.gz",
            "not a whole gzip file: ",
        ),
        (f"{HEADER}\n{LINE}\n".encode(), "f.csv.gz", "not a whole gzip file: "),
        (gzip.compress(b"", mtime=0), "f.csv.gz", "line 1: expected the header scheme,"),
        (b"a,b\n1,2\n", "f.csv", "line 1: expected the header scheme,"),
        (f"\n{HEADER}\n{LINE}\n".encode(), "f.csv", "line 1: expected the header scheme,"),
        (f"{LINE}\n".encode(), "f.csv", "line 1: expected the header scheme,"),
        (f"{HEADER}\n{LINE}\n".encode() + b"Z\xfcrich\n", "f.csv", "line 3: not UTF-8: byte 0xfc"),
        (f"{HEADER}\n{LINE}\n".encode("utf-16-be"), "f.csv", "line 1: control character NUL"),
        (f"{HEADER}\n{LINE}\nx\x1fy\n".encode(), "f.csv", "line 3: control character US"),
        (f"{HEADER}\n{LINE}\r{LINE}\n".encode(), "f.csv", "line 2: a carriage return without line feed"),
        (f"{HEADER}\n{'x' * (3 * inspection.BLOCK)}\n".encode(), "f.csv", "cannot be read as CSV: "),
    ],
)
def test_a_file_that_is_not_what_it_should_be_is_refused_as_a_whole(body: bytes, name: str, reason: str) -> None:
    found = inspect(body, dataset=LENIENT, name=name)
    assert (found.whole, found.rows, found.lines, found.faulty) == (True, 0, 0, 0)
    (fault,) = found.faults
    assert str(fault).startswith(reason)


def test_a_file_that_unpacks_beyond_the_limit_is_refused_before_it_fills_the_memory() -> None:
    bomb = gzip.compress(b"0" * 1024**2, mtime=0) * (inspection.PLAIN_LIMIT // 1024**2 + 1)
    (fault,) = inspect(bomb, dataset=LENIENT, name="f.csv.gz").faults
    assert fault.reason == f"more than 256 MiB unpacked, and {inspection.IN_PARTS}"


@pytest.mark.parametrize("name", ["f.csv", "f.csv.gz"])
def test_a_file_beyond_the_limit_as_it_is_is_not_even_unpacked(name: str) -> None:
    (fault,) = inspect(b"0" * (inspection.PLAIN_LIMIT + 1), dataset=LENIENT, name=name).faults
    assert fault.reason.startswith("more than 256 MiB, and a series is one file a day: have it sent in parts, each as")


@pytest.mark.parametrize(
    ("wrong", "column", "reason"),
    [
        (
            line(9, gross_amount="ten"),
            "GROSS_AMOUNT",
            "is 'ten', expected a number of at most 16 digits and 2 decimals",
        ),
        (line(9, gross_amount="1e3"), "GROSS_AMOUNT", "is '1e3', expected a number"),
        (line(9, gross_amount="10.005"), "GROSS_AMOUNT", "is '10.005', expected a number"),
        (line(9, gross_amount='"1,000.00"'), "GROSS_AMOUNT", "is '1,000.00', expected a number"),
        (line(9, gross_amount="1.1" + "0" * 60), "GROSS_AMOUNT", f"is '1.1{'0' * 37}', expected a number"),
        (line(9, fee_amount=" 1"), "FEE_AMOUNT", "is ' 1', expected a number"),
        (line(9, net_amount="99999999999999999"), "NET_AMOUNT", "is '99999999999999999', expected a number"),
        (line(9, gross_amount=""), "GROSS_AMOUNT", "is missing"),
        (line(9, transaction_id=""), "TRANSACTION_ID", "is missing"),
        (line(9, batch_id='""'), "BATCH_ID", "is missing"),
        (line(9, settlement_date="2026-02-29"), "SETTLEMENT_DATE", "is '2026-02-29', expected a date, YYYY-MM-DD"),
        (line(9, settlement_date="01.03.2026"), "SETTLEMENT_DATE", "is '01.03.2026', expected a date"),
        (line(9, currency="EURO"), "CURRENCY", "is 'EURO', expected at most 3 characters"),
        (line(9, currency="€€€€"), "CURRENCY", "is '€€€€', expected at most 3 characters"),
        (line(9) + ",x", None, "9 fields, expected 8"),
        ("visa,2026-03-01", None, "2 fields, expected 8"),
        (line(9, batch_id='"V,1"') + ',"x"', None, "9 fields, expected 8"),
        (line(9, batch_id='"V'), None, "a quote is not closed, or stands within a value"),
        (line(9, batch_id='V"1'), None, "a quote is not closed, or stands within a value"),
        (line(9, batch_id='"V"1'), None, "a quote is not closed, or stands within a value"),
    ],
)
def test_a_faulty_line_is_told_with_its_number_and_the_others_count(
    wrong: str, column: str | None, reason: str
) -> None:
    found = judged(line(1), "", wrong, line(2, batch_id='"a ""b"", c"'))
    (fault,) = found.faults
    assert (fault.line, fault.column, fault.text) == (4, column, wrong)
    assert fault.reason.startswith(reason)
    assert (found.whole, found.lines, found.faulty, found.rows) == (False, 3, 1, 2)
    assert found.cleaned == "\n".join([HEADER, line(1), line(2, batch_id='"a ""b"", c"'), ""]).encode()


def test_every_faulty_column_of_a_line_is_told_and_the_line_counted_once() -> None:
    found = judged(line(1, gross_amount="x", settlement_date="y"), line(2))
    assert [fault.column for fault in found.faults] == ["SETTLEMENT_DATE", "GROSS_AMOUNT"]
    assert (found.faulty, found.rows) == (1, 1)


def test_of_lines_that_share_a_key_and_nothing_else_none_counts() -> None:
    found = judged(line(1), line(2), line(1, gross_amount="11.00"), line(1))
    assert [(fault.line, fault.column) for fault in found.faults] == [(n, "TRANSACTION_ID") for n in (2, 4, 5)]
    assert (found.faulty, found.rows, found.amount) == (3, 1, Decimal("10.00"))


def test_faults_are_kept_up_to_a_bound_and_counted_beyond() -> None:
    found = judged(*(line(n, gross_amount="x" * 500) for n in range(1_000)), line(1_001))
    assert (len(found.faults), found.faulty, found.rows) == (inspection.KEPT_FAULTS, 1_000, 1)
    assert [fault.line for fault in found.faults] == list(range(2, 102))
    assert {len(fault.text or "") for fault in found.faults} == {inspection.KEPT_TEXT}


@pytest.mark.parametrize(
    ("percent", "faulty", "whole"), [(0, 1, True), (10, 1, False), (10, 2, True), (100, 10, False)]
)
def test_more_faulty_lines_than_the_dataset_tolerates_condemn_the_file(percent: int, faulty: int, whole: bool) -> None:
    dataset = replace(STRICT, source=replace(STRICT.drop, tolerance=Tolerance(faulty_percent=percent)))
    found = judged(*(line(n, gross_amount="x" if n < faulty else "1") for n in range(10)), dataset=dataset)
    assert (found.whole, found.faulty, found.rows) == (whole, faulty, 0 if whole else 10 - faulty)
    assert found.faults


@given(st.dates())
def test_a_date_passes_if_there_is_such_a_day_and_no_other_text_like_it_does(day: date) -> None:
    texts = {
        str(day),
        f"{day.year:04}-{day.month:02}-{day.day + 1:02}",
        f"{day.year:04}-{day.month + 1:02}-{day.day:02}",
    }
    sound = {text for text in texts if _is_date(text)}
    found = judged(*(line(n, settlement_date=text) for n, text in enumerate(sorted(texts))))
    assert found.rows == len(sound)


def _is_date(text: str) -> bool:
    try:
        return date.fromisoformat(text).year >= 1000
    except ValueError:
        return False


VALUES = st.one_of(
    st.sampled_from(
        ["", '""', "1", "-1.5", "1.50", "2026-03-01", "x", "é", '"a,b"', '"', "a b", "1e5", "0x1", "NaN", "+1"]
    ),
    st.text(alphabet='a1,". -é', max_size=6),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(VALUES, min_size=7, max_size=9).map(",".join), max_size=12))
def test_every_line_counts_or_is_faulty_and_what_is_left_is_sound(lines: list[str]) -> None:
    found = judged(*lines, line(1))
    again = inspect(found.cleaned or f"{HEADER}\n{line(1)}\n".encode(), dataset=STRICT, name="f.csv")
    assert (again.whole, again.faults) == (False, ())
    assert found.cleaned is None or (again.rows, again.amount) == (found.rows, found.amount)
    assert found.lines == again.lines + found.faulty or found.cleaned is None
    assert {fault.line for fault in found.faults} <= {n for n, text in enumerate(lines, start=2) if text}


def test_what_passes_is_taken_by_the_warehouse_as_it_is_counted(platform: Platform) -> None:
    """The forms against Snowflake's casts, column type by column type."""
    texts = {
        Type.MONEY: ("0", "-0.00", "1.5", "0001.10", "-9999999999999999.99", "1.1000"),
        Type.RATE: ("1.08500000", "9999999999.99999999", "-0.00000001", "3"),
        Type.INTEGER: ("0", "-1", "999999999999999999"),
        Type.DATE: ("2024-02-29", "9999-12-31", "1000-01-01"),
        Type.TIME: ("2026-03-01 23:59:59", "2026-03-01 00:00:00.123456"),
    }
    for kind, values in texts.items():
        dataset = replace(LENIENT, columns=(Column("ID"), Column("VALUE", kind)), key=("ID",), amount=None)
        content = "id,value\n" + "".join(f"{n},{value}\n" for n, value in enumerate(values))
        assert inspect(content.encode(), dataset=dataset, name="f.csv").faults == ()
        for value in values:
            ((cast,),) = platform.query(f"SELECT '{value}'::{kind.value}")
            assert cast is not None


def test_the_lengths_of_texts_are_those_of_the_tables(platform: Platform) -> None:
    drops = (catalog.FX_RATES, catalog.SETTLEMENT_FILES)
    for dataset in drops:
        limits = dict(
            platform.query(
                "SELECT COLUMN_NAME, CHARACTER_MAXIMUM_LENGTH FROM "
                f"{platform.raw}.INFORMATION_SCHEMA.COLUMNS WHERE TABLE_SCHEMA = '{dataset.schema}' "
                f"AND TABLE_NAME = '{dataset.table}' AND DATA_TYPE = 'TEXT'"
            )
        )
        short = {name: limit for name, limit in limits.items() if limit is not None and limit < 1_000}
        assert short == {column.name: column.length for column in dataset.columns if column.length}
        assert short
