"""What scripts take away, and what models, pipelines and views are read to need."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from slipway.adapters.column_use import (
    needs_of_manifest,
    needs_of_model,
    needs_of_pipelines,
    needs_of_sql,
    sources_in,
    taken_by,
)
from slipway.lineage import ANY, Need, Taken, needed_by

PROJECT = Path(__file__).parents[2]
RAW = "{{ raw_database }}"
FILES = {
    str(path.relative_to(PROJECT)): path.read_bytes()
    for folder in ("dags", "dbt")
    for path in (PROJECT / folder).rglob("*")
    if path.is_file() and path.suffix in (".py", ".sql", ".yml")
}


@pytest.mark.parametrize(
    ("statement", "wanted"),
    [
        (f"ALTER TABLE {RAW}.CORE.T DROP COLUMN IF EXISTS NOTE", [("CORE", "T", "NOTE")]),
        (f"ALTER TABLE {RAW}.CORE.T DROP COLUMN a, b", [("CORE", "T", "A"), ("CORE", "T", "B")]),
        (f"ALTER TABLE {RAW}.CORE.T RENAME COLUMN NOTE TO REMARK", [("CORE", "T", "NOTE")]),
        (f"ALTER TABLE {RAW}.CORE.T RENAME TO {RAW}.CORE.U", [("CORE", "T", None)]),
        (f"ALTER TABLE {RAW}.CORE.T SWAP WITH {RAW}.CORE.U", [("CORE", "T", None)]),
        (f"DROP TABLE IF EXISTS {RAW}.core.t", [("CORE", "T", None)]),
        (f"DROP VIEW IF EXISTS {RAW}.OPS.V", [("OPS", "V", None)]),
        (f"DROP SCHEMA IF EXISTS {RAW}.CORE", [("CORE", ANY, None)]),
        (f"CREATE OR REPLACE TABLE {RAW}.CORE.T (A NUMBER)", [("CORE", "T", None)]),
        (f"ALTER TABLE {RAW}.CORE.T DROP NOTE", [("CORE", "T", "NOTE")]),
        (f"ALTER TABLE {RAW}.CORE.T DROP IF EXISTS a, b", [("CORE", "T", "A"), ("CORE", "T", "B")]),
        (f"EXECUTE IMMEDIATE $$ BEGIN ALTER TABLE {RAW}.CORE.T DROP COLUMN Y; END $$", [("CORE", "T", "Y")]),
        (f"EXECUTE IMMEDIATE 'ALTER TABLE {RAW}.CORE.T DROP COLUMN Y'", [("CORE", "T", "Y")]),
        (f"BEGIN DROP TABLE {RAW}.CORE.T; END", [("CORE", "T", None)]),
        (f"ALTER SCHEMA {RAW}.CORE RENAME TO {RAW}.OLD", [("CORE", ANY, None)]),
        (f"DROP EXTERNAL TABLE {RAW}.CORE.T", [("CORE", "T", None)]),
        (f"DROP DYNAMIC TABLE IF EXISTS {RAW}.CORE.T", [("CORE", "T", None)]),
        (f"DROP DATABASE IF EXISTS {RAW}", [(ANY, ANY, None)]),
        (f"ALTER TABLE {RAW}.CORE.T DROP CLUSTERING KEY", []),
        (f"ALTER TABLE {RAW}.CORE.T DROP SEARCH OPTIMIZATION", []),
        (f"DROP TASK {RAW}.CORE.K", []),
        (f"CREATE OR REPLACE VIEW {RAW}.CORE.V AS SELECT 1 AS A", []),
        (f"ALTER TABLE {RAW}.CORE.T ADD COLUMN IF NOT EXISTS B NUMBER", []),
        (f"ALTER TABLE {RAW}.CORE.T DROP PRIMARY KEY", []),
        (f"DELETE FROM {RAW}.CORE.T WHERE A = 1", []),
    ],
)
def test_what_a_statement_takes_away(statement: str, wanted: list[tuple[str, str, str | None]]) -> None:
    found = taken_by("V2__x.sql", f"-- slipway: contract\n{statement};\n")
    assert [(one.schema, one.relation, one.column) for one in found] == wanted


def test_a_script_says_that_it_ends_rollbacks_and_why() -> None:
    drop = f"DROP TABLE IF EXISTS {RAW}.CORE.T;"
    assert [one.ends_rollbacks for one in taken_by("V", f"-- slipway: ends rollbacks: agreed, INC-7\n{drop}")] == [True]
    assert [one.ends_rollbacks for one in taken_by("V", f"-- slipway: ends rollbacks:\n{drop}")] == [False]


@pytest.mark.parametrize(
    ("sql", "column", "wanted"),
    [
        ("select id, note from RAW.CORE.T", "NOTE", True),
        ("select id from RAW.CORE.T", "NOTE", False),
        ("select * from RAW.CORE.T", "NOTE", True),
        ("select t.* from RAW.CORE.T as t", "NOTE", True),
        ("select count(*) as n from RAW.CORE.T", "NOTE", False),
        ("select id from RAW.CORE.T where note is null", "NOTE", True),
        ("with a as (select id from raw.core.t) select id from a", "NOTE", False),
        ("with a as (select * from raw.core.t) select id from a", "NOTE", True),
        ("select id from ANALYTICS.CORE.T where note = 1", "NOTE", False),
        ("insert into RAW.CORE.T (id, note) select 1, 2", "NOTE", True),
        ("select id from RAW.CORE.T union all select note from RAW.CORE.U", "NOTE", True),  # rather too much
    ],
)
def test_which_columns_sql_needs(sql: str, column: str, wanted: bool) -> None:
    taken = Taken(script="s", schema="CORE", relation="T", column=column)
    assert bool(needed_by(taken, needs_of_sql("x", sql, database="RAW"))) == wanted


def manifest(**node: object) -> bytes:
    source = {"source_name": "core", "name": "t", "database": "RAW", "schema": "CORE", "identifier": "t"}
    named = {"resource_type": "model", "name": "stg", "depends_on": {"nodes": ["source.t"]}, **node}
    return json.dumps({"sources": {"source.t": source}, "nodes": {"model.stg": named}}).encode()


@pytest.mark.parametrize(
    ("node", "columns"),
    [
        ({"compiled_code": "select id from RAW.CORE.T"}, frozenset({"ID"})),
        ({"compiled_code": "select ((("}, None),
        ({"raw_code": "{{ config(tags=['a']) }} select id from {{ source('core', 't') }}"}, frozenset({"ID"})),
        (
            {"raw_code": "select id from {{ source('core', 't') }} join {{ ref('x') }} using (id) where a = '{{ v }}'"},
            frozenset({"ID", "A"}),
        ),
        ({"raw_code": "select id from {{ source('core', 't') }} where {{ to_eur('note') }} > 1"}, None),
        ({"raw_code": "select {{ var('columns') }} from {{ source('core', 't') }}"}, None),
        ({"raw_code": "{{ union(source('core', 't'), ref('x')) }}"}, None),
        ({"raw_code": "{% set t = source('core', 't') %} select id from {{ t }}"}, None),
        ({"raw_code": "select {{ columns() from {{ source('core', 't') }}"}, None),
    ],
    ids=[
        "compiled",
        "unreadable",
        "raw",
        "raw, beside a relation and a text",
        "raw with a macro",
        "raw with a variable",
        "raw, nothing but a macro",
        "raw, by another name",
        "raw and unreadable",
    ],
)
def test_a_node_of_a_manifest_needs_what_its_code_says_or_everything(node, columns) -> None:  # type: ignore[no-untyped-def]
    assert list(needs_of_manifest(manifest(**node), database="RAW")) == [
        Need(by="model stg", schema="CORE", relation="T", columns=columns)
    ]


def test_a_model_that_was_not_compiled_needs_every_column_of_what_it_names_itself_once_a_macro_is_called() -> None:
    text = "select {{ columns() }} from {{ env_var('SLIPWAY_RAW_DATABASE') }}.core.t"
    assert list(needs_of_model("m", text, {})) == [Need(by="m", schema="CORE", relation="T")]


def test_a_model_that_was_not_compiled_may_name_the_database_itself() -> None:
    text = "select note from {{ env_var('SLIPWAY_RAW_DATABASE') }}.CORE.T"
    assert list(needs_of_model("m", text, {})) == [
        Need(by="m", schema="CORE", relation="T", columns=frozenset({"NOTE"}))
    ]


def test_every_source_of_this_project_is_needed_by_a_model_and_every_column_of_it_that_is_read() -> None:
    sources = sources_in(FILES)
    assert sources["core", "card_transactions"] == ("CORE", "CARD_TRANSACTIONS")
    needs = [
        need
        for path, text in FILES.items()
        if path.endswith(".sql")
        for need in needs_of_model(Path(path).stem, text.decode(), sources)
    ]
    assert {(need.schema, need.relation) for need in needs} == set(sources.values())
    taken = Taken(script="s", schema="CORE", relation="CARD_TRANSACTIONS", column="MERCHANT_CATEGORY")
    assert needed_by(taken, needs) == ("stg_core__card_transactions",)
    unused = Taken(script="s", schema="OPS", relation="LOAD_LEDGER", column="NOBODY_READS_THIS")
    assert needed_by(unused, needs) == ()


@pytest.mark.parametrize(
    ("relation", "column", "wanted"),
    [
        (("CORE", "CARD_TRANSACTIONS"), "COUNTRY", True),
        (("CORE", "CARD_TRANSACTIONS"), "_BATCH", True),
        (("CORE", "CARD_TRANSACTIONS"), "RATE", False),  # another dataset of the same file has it
        (("CORE", "CARD_TRANSACTIONS"), "SOURCE_FILE", False),  # a table is its source
        (("MARKET", "FX_RATES"), "SOURCE_FILE", True),  # files are; no text of its DAG names the column
        (("CORE", "CARD_TRANSACTIONS"), None, True),
        (("OPS", "LOAD_LEDGER"), "CONTENT_SHA256", True),
        (("OPS", "LOAD_LEDGER"), "NOBODY_READS_THIS", False),
        (("CORE", "NOT_THERE"), None, False),
    ],
)
def test_what_the_pipelines_of_this_project_need(relation: tuple[str, str], column: str | None, wanted: bool) -> None:
    taken = Taken(script="s", schema=relation[0], relation=relation[1], column=column)
    assert bool(needed_by(taken, needs_of_pipelines(FILES))) == wanted
