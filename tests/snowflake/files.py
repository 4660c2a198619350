"""The files the contract loads: what stands in the bucket, and what PUT takes from this machine."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

BUCKET = "contract"

PLAIN = b"id,v\n10,x\n11,y\n"
QUOTED = b'id,v\n1,"a,b"\n2,"say ""hi"""\n3,\n4,""\n5,"two\nlines"\n'
ONE_BAD = b"id,v\n1,a\nnope,b\n3,c\n"
TWO_BAD = b"id,v\n1,a\nnope,b\n3,c\nworse,d\n"
RAGGED = b"id,v\n1,a\n2,b,c\n3,d\n"
SHORT = b"id,v\n1,a\n2\n"


def _parquet() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"V": ["a", "b"], "ID": [1, 2], "EXTRA": [0.5, 1.5]}), buffer)
    return buffer.getvalue()


def staged_files() -> dict[str, bytes]:
    """Return key -> content of what the bucket holds."""
    return {
        "in/plain.csv": PLAIN,
        "in/packed.csv.gz": gzip.compress(PLAIN),
        "in/quoted.csv": QUOTED,
        "in/one_bad.csv": ONE_BAD,
        "in/two_bad.csv": TWO_BAD,
        "in/ragged.csv": RAGGED,
        "in/short.csv": SHORT,
        "in/null.csv": b"1,\\N\n2,NA\n3, z \n",
        "in/backslash.csv": b"1,a\\tb\n",
        "in/money.csv": b"1.239\n-0.005\n 12 \n",
        "in/dates.csv": b"2024-02-29,2024-02-29 13:14:15.123456,true,yes\n",
        "in/not_a_date.csv": b"2024-02-30,2024-02-29 13:14:15,true,no\n",
        "in/long.csv": b"1,abcdef\n",
        "in/pipe.txt": b"1|a\n2|b\n",
        "in/docs.json": b'{"a": 1, "b": {"c": "x"}}\n{"a": 2, "b": {"c": "y"}}\n',
        "in/list.json": b'[{"a": 1}, {"a": 2}, {"a": 3}]',
        "in/rows.parquet": _parquet(),
        "many/part-1.csv": b"1,a\n2,b\n",
        "many/part-2.csv": b"3,c\n",
        "many/other.txt": b"9,z\n",
        "mixed/1.csv": b"1,a\n2,b\n",
        "mixed/2.csv": b"3,c\nx,d\n",
    }


def write_local_files(folder: Path) -> None:
    """Write what PUT takes."""
    (folder / "plain.csv").write_bytes(PLAIN)
    (folder / "docs.json").write_bytes(staged_files()["in/docs.json"])
