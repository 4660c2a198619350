"""4 TB a day on paper: `.venv/bin/python -m benchmarks.volumes [--json | --write]`.

From the volumes that the pipelines declare (`dags/etl/catalog.py`), how many files of which size a day makes, how large
a warehouse brings them in, in which time and for how many credits, and what is stored. `--write` puts the tables into
docs/guides/volumes.md; a test fails while page and declarations differ.

Every assumption is a constant here, with where it comes from. `OURS` says that nobody has measured it yet.
"""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "dags"))

from etl import catalog
from etl.dataset import GZIP_RATIO, PART_BYTES, Dataset, Drop, Feed, Volume

PAGE = Path(__file__).parents[1] / "docs" / "guides" / "volumes.md"
MARKS = ("<!-- computed by benchmarks/volumes.py: do not edit -->", "<!-- end -->")

# The platform
DAYS = 30  # of a month
GOAL_TB = 4.0  # a day, plain
WINDOW_H = 4.0  # in which a day must be loaded, from 00:00 UTC: finance_daily is to be green by 07:00
BUSY = 0.75  # share of the window that loading may take; the rest is for retries
RAW_DAYS = 395  # kept in RAW: 13 months (OURS)
LANDING_DAYS = 14  # kept in the landing bucket: twice the longest look-back (OURS)
BUDGET_USD = 8_000  # the line for tooling, taken as a month's

# Snowflake
CREDITS = {"XS": 1, "S": 2, "M": 4, "L": 8, "XL": 16, "2XL": 32, "3XL": 64}
NODES = CREDITS  # a size has as many nodes as it costs credits an hour
FILES_PER_NODE = 8  # loaded at a time, one for each core of a node (OURS, as commonly observed)
COPY_BYTES_PER_CREDIT = 4.7e12 / 8.2
MINIMUM_S = 60  # billed whenever a warehouse starts
SUSPEND_S = 60  # idle before it stops: snowflake_migrations/bootstrap.sql
STATEMENTS_S = 10.0  # of one load beside its data: session, staging table, ledger (OURS)
STORED_RATIO = 4.7 / 1.3
CREDIT_USD = 3.90
STORED_USD = 23.0  # a TB and month

# How often a load goes over its data, one COPY of the same data being 1 (OURS)
PASSES = {"copy": 1.0, "mark": 1.0, "verify": 0.25}
WRITES = {
    "versioned": 3.0,
    "grown": 1.5,
    "files": 1.0,
}  # MERGE that updates, MERGE that only inserts, DELETE and INSERT

# AWS, eu-west-1
S3_USD = 0.023  # a GB and month
PUT_USD = 0.005  # a thousand
GET_USD = 0.0004  # a thousand
KEY_USD = 1.0  # a KMS key and month
KEYS = 9  # three environments, each with its data key, evidence key and approvals key

# Workers
AIRFLOW_USD_H = 0.74  # mw1.medium
WORKER_USD_H = 0.11  # each beyond the first
WORKER_CORES = 2
EXTRACT_MB_S = 80.0  # plain, compressed at level 1 by one core of a worker; no benchmark repeats it
INSPECT_LINES_S = 250_000  # by one core of a worker: benchmarks/inspection.py

SOURCES = (
    ("Size of files", "https://docs.snowflake.com/en/user-guide/data-load-considerations-prepare"),
    ("Credits of a warehouse, 60 s at least", "https://docs.snowflake.com/en/user-guide/cost-understanding-compute"),
    (
        "4.7 TB of CSV in 926 s and 8.2 credits on 2XL",
        "https://www.snowflake.com/en/engineering-blog/loading-terabytes-into-snowflake-speeds-feeds-techniques/",
    ),
    (
        "4.7 TB of CSV stored as 1.3 TB",
        "https://www.snowflake.com/blog/how-to-load-terabytes-into-snowflake-speeds-feeds-and-techniques/",
    ),
    ("Price of a credit (Enterprise, AWS Ireland) and of storage", "Snowflake's Service Consumption Table"),
    (
        "Prices of S3, KMS and MWAA",
        "https://aws.amazon.com/s3/pricing/, .../kms/pricing/, .../managed-workflows-for-apache-airflow/pricing/",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Family:
    """Pipelines of one kind, each with the volume of its kind.

    Attributes:
        now: of the 25 pipelines the platform begins with.
        planned: of the 80 it grows to.
        writes: how their loads change the table, a key of WRITES.
        files_a_day: that a partner sends each pipeline; 0 for feeds, whose parts are cut by size.
    """

    name: str
    like: str
    now: int
    planned: int
    volume: Volume
    writes: str
    files_a_day: int = 0

    @classmethod
    def of(cls, name: str, dataset: Dataset, *, now: int, planned: int) -> Family:
        """Return the family of pipelines that are like `dataset`, with the volume that it declares."""
        match dataset.source:
            case Feed(versioned=versioned):
                writes, files = ("versioned" if versioned else "grown"), 0
            case Drop(series=series):
                writes, files = "files", len(series)
        return cls(
            name=name,
            like=dataset.pipeline,
            now=now,
            planned=planned,
            volume=dataset.volume,
            writes=writes,
            files_a_day=files,
        )


FAMILIES = (
    Family.of("card transactions", catalog.CARD_TRANSACTIONS, now=4, planned=14),
    Family.of("ledgers", catalog.LEDGER_POSTINGS, now=3, planned=10),
    Family.of("customers, accounts", catalog.CUSTOMERS, now=6, planned=18),
    Family.of("settlement files", catalog.SETTLEMENT_FILES, now=5, planned=16),
    Family.of("rates, reference data", catalog.FX_RATES, now=5, planned=14),
    Family(
        name="app and device events",
        like="(none yet)",
        now=2,
        planned=8,
        volume=Volume(rows=600_000_000, row_bytes=310),
        writes="grown",
    ),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """A family's loads, computed. Figures of files are of one pipeline and batch, the rest is of the family.

    Attributes:
        warehouse: smallest size with which all of its pipelines are through within BUSY of the window.
        busy_s: seconds of a batch window that it loads.
        credits: of a batch window.
    """

    family: str
    pipelines: int
    plain_gb: float
    files: int
    file_mb: float
    rows_a_file: int
    warehouse: str
    busy_s: float
    credits: float


def load_of(family: Family, *, batches: int = 1) -> Load:
    """Return what one batch of a family takes, a day being loaded in `batches`. No side effects."""
    plain = family.volume.rows * family.volume.row_bytes / batches
    packed = plain / GZIP_RATIO
    files = max(math.ceil(packed / PART_BYTES), math.ceil(family.files_a_day / batches))
    window_s = WINDOW_H * 3600 if batches == 1 else 86_400 / batches
    for size in CREDITS:
        busy_s = family.planned * (STATEMENTS_S + _seconds(family, plain=plain, files=files, size=size))
        if busy_s <= BUSY * window_s:
            break
    return Load(
        family=family.name,
        pipelines=family.planned,
        plain_gb=family.planned * plain / 1e9,
        files=files,
        file_mb=packed / files / 1e6,
        rows_a_file=math.ceil(family.volume.rows / batches / files),
        warehouse=size,
        busy_s=busy_s,
        credits=CREDITS[size] * (max(busy_s, MINIMUM_S) + SUSPEND_S) / 3600,
    )


def _seconds(family: Family, *, plain: float, files: int, size: str) -> float:
    """Return how long the data of one load takes: COPY on as many nodes as have a file, all else on all nodes."""
    copy_s = plain / COPY_BYTES_PER_CREDIT * 3600  # on one node
    loading = min(NODES[size], math.ceil(files / FILES_PER_NODE))
    rest = PASSES["mark"] + PASSES["verify"] + WRITES[family.writes]
    return copy_s * (PASSES["copy"] / loading + rest / NODES[size])


def computed() -> dict[str, Any]:
    """Return everything the page shows. No side effects."""
    loads = [load_of(family) for family in FAMILIES]
    plain_tb = sum(load.plain_gb for load in loads) / 1e3
    files = sum(load.files * load.pipelines for load in loads)
    credits = sum(load.credits for load in loads)
    return {
        "pipelines": {"now": sum(f.now for f in FAMILIES), "planned": sum(f.planned for f in FAMILIES)},
        "plain_tb_a_day": plain_tb,
        "files_a_day": files,
        "loads": [asdict(load) for load in loads],
        "batches": [_batched(batches) for batches in (1, 4, 24)],
        "workers": _workers(),
        "costs": _costs(plain_tb, files=files, credits=credits),
    }


def _batched(batches: int) -> dict[str, Any]:
    loads = [load_of(family, batches=batches) for family in FAMILIES]
    return {
        "batches": batches,
        "files": sum(load.files * load.pipelines for load in loads) * batches,
        "smallest_file_mb": min(load.file_mb for load in loads),
        "largest_warehouse": max((load.warehouse for load in loads), key=lambda size: CREDITS[size]),
        "credits_a_window": sum(load.credits for load in loads),
        "credits_a_day": sum(load.credits for load in loads) * batches,
    }


def _workers() -> dict[str, float]:
    """Return core hours a day, and the cores that are busy throughout BUSY of the window."""
    feeds = sum(f.planned * f.volume.rows * f.volume.row_bytes for f in FAMILIES if not f.files_a_day)
    lines = sum(f.planned * f.volume.rows for f in FAMILIES if f.files_a_day)
    extract_h, inspect_h = feeds / 1e6 / EXTRACT_MB_S / 3600, lines / INSPECT_LINES_S / 3600
    return {"extract_h": extract_h, "inspect_h": inspect_h, "cores": (extract_h + inspect_h) / (BUSY * WINDOW_H)}


def _costs(plain_tb: float, *, files: int, credits: float) -> dict[str, float]:
    """Return dollars a month; `tooling_usd` is what the budget line is held against."""
    landing_gb = plain_tb * 1e3 / GZIP_RATIO * LANDING_DAYS
    landing = landing_gb * S3_USD + files * DAYS * (PUT_USD + GET_USD) / 1e3
    statements_s = sum(f.planned for f in FAMILIES) * STATEMENTS_S
    proof = statements_s / 3600 * CREDITS["XS"] * DAYS * CREDIT_USD  # ledger, quarantine, checks
    extra = max(math.ceil(_workers()["cores"] / WORKER_CORES) - 1, 0)
    airflow = DAYS * (24 * AIRFLOW_USD_H + extra * WORKER_USD_H * BUSY * WINDOW_H)
    return {
        "loading_usd": credits * DAYS * CREDIT_USD,
        "stored_tb": plain_tb / STORED_RATIO * RAW_DAYS,
        "storage_usd": plain_tb / STORED_RATIO * RAW_DAYS * STORED_USD,
        "landing_tb": landing_gb / 1e3,
        "landing_usd": landing,
        "proof_usd": proof,
        "airflow_usd": airflow,
        "keys_usd": KEYS * KEY_USD,
        "tooling_usd": landing + proof + airflow + KEYS * KEY_USD,
        "budget_usd": float(BUDGET_USD),
    }


# the page ----------------------------------------------------------------------------------------------------------


def tables() -> str:
    """Return the computed part of the page."""
    facts = computed()
    costs, workers = facts["costs"], facts["workers"]
    declared = [
        (
            family.name,
            family.like,
            f"{family.now}",
            f"{family.planned}",
            f"{family.volume.rows / 1e6:,.0f}",
            f"{family.volume.row_bytes}",
            f"{family.planned * family.volume.rows * family.volume.row_bytes / 1e12:.3f}",
        )
        for family in FAMILIES
    ]
    total = ("**all**", "", f"{facts['pipelines']['now']}", f"{facts['pipelines']['planned']}", "", "")
    loads = [load_of(family) for family in FAMILIES]
    money = (
        ("loading, credits", f"{costs['loading_usd']:,.0f}", ""),
        (f"RAW, {costs['stored_tb']:,.0f} TB stored after {RAW_DAYS} days", f"{costs['storage_usd']:,.0f}", ""),
        (
            f"landing bucket, {costs['landing_tb']:.1f} TB over {LANDING_DAYS} days, and its requests",
            f"{costs['landing_usd']:,.0f}",
            "yes",
        ),
        ("ledger, quarantine and checks, credits", f"{costs['proof_usd']:,.0f}", "yes"),
        ("Airflow, mw1.medium, more workers within the window", f"{costs['airflow_usd']:,.0f}", "yes"),
        (f"keys, {KEYS}", f"{costs['keys_usd']:,.0f}", "yes"),
        ("**against the budget**", f"**{costs['tooling_usd']:,.0f} of {costs['budget_usd']:,.0f}**", ""),
    )
    return "\n\n".join(
        (
            "### Declared",
            _table(
                ("pipelines", "like", "now", "planned", "million rows a day, each", "bytes a row", "TB a day"),
                [*declared, (*total, f"**{facts['plain_tb_a_day']:.2f}**")],
            ),
            "### Files and warehouses, one batch a day",
            _table(
                ("pipelines", "files, each", "MB a file", "rows a file", "warehouse", "minutes", "credits a window"),
                [_row(load) for load in loads]
                + [("**all**", f"**{facts['files_a_day']:,}** in all", "", "", "", "", f"**{_credits(loads):.1f}**")],
            ),
            "### The same day in more batches",
            _table(
                ("batches a day", "files a day", "smallest file, MB", "largest warehouse", "credits a window", "a day"),
                [_batch_row(one) for one in facts["batches"]],
            ),
            "### Workers",
            _table(
                ("extract, core hours a day", "inspect files, core hours a day", "cores in the window"),
                [(f"{workers['extract_h']:.1f}", f"{workers['inspect_h']:.1f}", f"{workers['cores']:.1f}")],
            ),
            "### Dollars a month",
            _table(("what", "USD", "tooling"), money),
        )
    )


def _row(load: Load) -> tuple[str, ...]:
    return (
        load.family,
        f"{load.files:,}",
        f"{load.file_mb:,.0f}",
        f"{load.rows_a_file:,}",
        load.warehouse,
        f"{load.busy_s / 60:,.0f}",
        f"{load.credits:.1f}",
    )


def _batch_row(one: dict[str, Any]) -> tuple[str, ...]:
    return (
        f"{one['batches']}",
        f"{one['files']:,}",
        f"{one['smallest_file_mb']:.1f}",
        one["largest_warehouse"],
        f"{one['credits_a_window']:.1f}",
        f"{one['credits_a_day']:.1f}",
    )


def _credits(loads: list[Load]) -> float:
    return sum(load.credits for load in loads)


def _table(head: tuple[str, ...], rows: Any) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join(f"| {' | '.join(row)} |" for row in lines)


def page_with(text: str) -> str:
    """Return the page `text` with its computed part as it is now."""
    before, _, rest = text.partition(MARKS[0])
    _, end, after = rest.partition(MARKS[1])
    if not end:
        raise ValueError(f"{PAGE} lacks the marks {MARKS}")
    sources = "\n".join(f"- {what}: {where}" for what, where in SOURCES)
    return f"{before}{MARKS[0]}\n\n{tables()}\n\n### Sources\n\n{sources}\n\n{MARKS[1]}{after}"


def main(arguments: list[str]) -> int:
    """Print the tables, or with --json everything as one document; with --write change the page."""
    match arguments:
        case []:
            print(tables())
        case ["--json"]:
            print(json.dumps(computed(), indent=1))
        case ["--write"]:
            PAGE.write_text(page_with(PAGE.read_text()))
        case _:
            print(__doc__, file=sys.stderr)
            return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
