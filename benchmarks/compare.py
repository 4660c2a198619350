"""How long the comparison of two slots takes: `.venv/bin/python -m benchmarks.compare [ROWS]`.

On an embedded Snowflake of its own: sixty relations of twelve columns, two thirds of them published; a tenth of the
built ones differ. It is held against the least there is to do: one COUNT(*) for each relation and side, over as many
sessions.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from slipway.adapters.comparer import Sessions, SlotComparer, at_once
from slipway.adapters.snowflake import Session, bookkeeping
from slipway.comparison import Comparison
from slipway.threshold import ComparisonRules
from tests.dbt.warehouse import ADMIN, Server, serve

RELATIONS, ROWS = 60, 300_000
GOAL = 8.0  # times as long as counting
BUILT, LIVE = "AAAA0002", "AAAA0001"
LAYERS = ("FINANCE", "CUSTOMER", "SEEDS")
COLUMNS = """
    'k' || n AS id, mod(n, 97) AS kind, n AS position, 'text ' || mod(n, 1000) AS label,
    (n * 1.25)::number(18, 2) AS amount, (mod(n, 500) * 0.75)::number(18, 2) AS fee,
    (n * 3)::number(38, 2) AS balance, n / 7.0 AS ratio, mod(n, 2) = 0 AS is_even,
    dateadd(day, mod(n, 365), '2026-01-01'::date) AS booked_on,
    dateadd(second, n, '2026-01-01 00:00:00'::timestamp_ntz) AS loaded_at,
    CASE WHEN mod(n, 10) = 0 THEN NULL ELSE 'x' END AS note
"""
RESULT = Path(__file__).parents[1] / ".build" / "bench-compare.json"


class Manifests:
    """What was built into the slots, as dbt's manifests say it."""

    def dbt_manifest(self, slot: str) -> bytes:
        nodes: dict[str, Any] = {}
        for number in range(RELATIONS):
            name = f"model.bench.m{number}"
            nodes[name] = {
                "resource_type": "model",
                "name": f"m{number}",
                "alias": f"m{number}",
                "schema": f"{LAYERS[number % 3]}__{slot}",
                "relation_name": name,
                "checksum": {"checksum": slot if number % 10 == 0 else "same"},
                "depends_on": {"nodes": []},
                "constraints": [{"type": "primary_key", "columns": ["id"]}],
            }
        return json.dumps({"nodes": nodes}).encode()


def main(rows: int) -> int:
    """Make the slots, compare them, and return 0 when the goal was met."""
    with slots(rows) as (server, database):
        warehouse = server.environment.warehouse.model_copy(
            update={"analytics_database": database, "ops_database": "BENCH_OPS"}
        )

        def open_session() -> Session:
            return Session(warehouse, ADMIN, address=server.address, key_file=server.key_of(ADMIN))

        counted_s = counting(open_session, database)
        comparer = SlotComparer(open_session, warehouse, Manifests(), ComparisonRules())  # type: ignore[arg-type]
        began = time.monotonic()
        found, _, queries = comparer.look(BUILT, LIVE, lambda line: None)
        compared_s = time.monotonic() - began
        began = time.monotonic()
        _, samples, _ = comparer.look(BUILT, LIVE, lambda line: None, rows=20)
        sampled_s = time.monotonic() - began
    assert len(samples) == RELATIONS // 10
    return report(found, queries.count, counted_s, compared_s, sampled_s)


def counting(open_session: Any, database: str) -> float:
    """Return the seconds that counting every relation of both slots takes."""
    places = [
        f"{database}.{LAYERS[number % 3]}__{slot}.M{number}" for number in range(RELATIONS) for slot in (LIVE, BUILT)
    ]
    began = time.monotonic()
    with Sessions(open_session, tag="bench") as sessions:
        at_once(
            {place: lambda place=place: sessions.rows(f"SELECT COUNT(*) FROM {place}") for place in places},
            lambda name, done: None,
        )
    return time.monotonic() - began


@contextmanager
def slots(rows: int) -> Iterator[tuple[Server, str]]:
    """Give a server with two slots, and the database they are in."""
    with tempfile.TemporaryDirectory() as folder, serve(Path(folder)) as server, server.session(ADMIN) as session:
        began = time.monotonic()
        session.run("CREATE DATABASE BENCH", "CREATE DATABASE BENCH_OPS", *bookkeeping("BENCH_OPS"))
        each = rows // RELATIONS
        tens = " CROSS JOIN ".join(
            f"(VALUES (0),(1),(2),(3),(4),(5),(6),(7),(8),(9)) AS t{at}(d{at})" for at in range(6)
        )
        number = " + ".join(f"d{at} * {10**at}" for at in range(6))
        session.run(
            "CREATE SCHEMA BENCH.WORK",
            f"CREATE TABLE BENCH.WORK.N AS SELECT {number} AS n FROM {tens} WHERE {number} < {each}",
            f"CREATE TABLE BENCH.WORK.WIDE AS SELECT {COLUMNS} FROM BENCH.WORK.N",
            *(f"CREATE SCHEMA BENCH.{layer}__{LIVE}" for layer in LAYERS),
        )
        for place in range(RELATIONS):
            session.run(f"CREATE TABLE BENCH.{LAYERS[place % 3]}__{LIVE}.M{place} AS SELECT * FROM BENCH.WORK.WIDE")
        session.run(*(f"CREATE SCHEMA BENCH.{layer}__{BUILT} CLONE BENCH.{layer}__{LIVE}" for layer in LAYERS))
        for place in range(0, RELATIONS, 10):
            session.run(f"UPDATE BENCH.{LAYERS[place % 3]}__{BUILT}.M{place} SET AMOUNT = AMOUNT + 0.01 WHERE KIND = 1")
        print(f"made {2 * RELATIONS} tables of {each:,} rows in {time.monotonic() - began:.0f} s", flush=True)
        yield server, "BENCH"


def report(found: Comparison, queries: int, counted_s: float, compared_s: float, sampled_s: float) -> int:
    """Print the figures, keep them, and return 0 when the goal was met."""
    ratio = compared_s / counted_s
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(
        json.dumps(
            {
                "relations": len(found.relations),
                "queries": queries,
                "counted_s": round(counted_s, 2),
                "compared_s": round(compared_s, 2),
                "sampled_s": round(sampled_s, 2),
                "ratio": round(ratio, 2),
            },
            indent=1,
        )
    )
    print(
        f"COMPARE: {len(found.relations)} relations, {queries} queries, {len(found.findings)} differences: "
        f"{compared_s:.1f} s, {sampled_s:.1f} s with samples of rows; counting alone {counted_s:.1f} s, "
        f"ratio {ratio:.1f} (goal {GOAL:.0f})"
    )
    return 0 if ratio <= GOAL and len(found.differing) == RELATIONS // 10 else 1


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else ROWS))
