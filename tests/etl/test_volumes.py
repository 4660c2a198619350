"""The page of volumes: what the pipelines declare, computed; four terabytes, eighty pipelines, files of a sane size."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from etl import catalog
from etl.dataset import Volume

from benchmarks import volumes


def test_the_page_is_what_the_declarations_come_to() -> None:
    text = volumes.PAGE.read_text()
    assert volumes.tables() in text
    assert volumes.page_with(text) == text, "run .venv/bin/python -m benchmarks.volumes --write"


def test_the_declared_volumes_come_to_the_goal() -> None:
    facts = volumes.computed()
    assert facts["pipelines"] == {"now": 25, "planned": 80}
    assert facts["plain_tb_a_day"] == pytest.approx(volumes.GOAL_TB, rel=0.01)
    assert facts["costs"]["tooling_usd"] < facts["costs"]["budget_usd"]


def test_every_dataset_is_in_the_plan_with_the_volume_it_declares() -> None:
    planned = {family.like: family for family in volumes.FAMILIES}
    for dataset in catalog.LOADED:
        family = planned[dataset.pipeline]
        assert family.volume is dataset.volume
        assert family.planned >= family.now > 0


@pytest.mark.parametrize("family", volumes.FAMILIES, ids=lambda family: family.name)
def test_parts_are_of_the_size_that_loads_best_and_fit_the_window(family: volumes.Family) -> None:
    load = volumes.load_of(family)
    assert load.file_mb <= 250
    assert load.busy_s <= volumes.BUSY * volumes.WINDOW_H * 3600
    if not family.files_a_day:  # a partner's file comes as large as it is
        assert load.file_mb >= 100
        assert abs(family.volume.part_rows - load.rows_a_file) / load.rows_a_file < 0.1  # as the extract cuts them


def test_a_partners_file_stays_within_what_may_be_unpacked() -> None:
    from etl.inspection import PLAIN_LIMIT

    partners = [family for family in volumes.FAMILIES if family.files_a_day]
    assert partners
    for family in partners:
        assert family.volume.rows * family.volume.row_bytes / family.files_a_day < PLAIN_LIMIT


def test_more_data_takes_a_larger_warehouse_and_more_credits() -> None:
    family = volumes.FAMILIES[0]
    one = volumes.load_of(family)
    twice = volumes.load_of(replace(family, volume=Volume(rows=2 * family.volume.rows, row_bytes=120)))
    assert volumes.CREDITS[twice.warehouse] == 2 * volumes.CREDITS[one.warehouse]
    assert twice.credits == pytest.approx(2 * one.credits, rel=0.05)


def test_the_script_prints_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert volumes.main(["--json"]) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(json.dumps(volumes.computed()))
    assert volumes.main(["--what"]) == 2
