"""Settings of a version: read from the file beside it, complete or refused."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from etl.error import SettingsError
from etl.settings import read

from tests.dags.conftest import VERSION


def write(folder: Path, content: str) -> Path:
    path = folder / "version.json"
    path.write_text(content)
    return path


def test_the_settings_are_those_of_the_file(tmp_path: Path) -> None:
    settings = read(write(tmp_path, json.dumps(VERSION)))
    assert (settings.root, settings.slot, settings.raw_database) == (tmp_path, "3F2A9C1B", "STAGING_RAW")
    assert settings.start == datetime(2026, 3, 1, tzinfo=UTC)


def test_everything_missing_is_named_at_once(tmp_path: Path) -> None:
    without = {key: value for key, value in VERSION.items() if key != "slot"} | {"settings": {"landing_bucket": "x"}}
    with pytest.raises(SettingsError, match=r"missing slot, settings\.sources_bucket, .*settings\.dbt_threads"):
        read(write(tmp_path, json.dumps(without)))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"version": "v1"'])
def test_a_file_that_is_no_document_is_refused_by_its_name(tmp_path: Path, content: str) -> None:
    with pytest.raises(SettingsError, match=r"version\.json"):
        read(write(tmp_path, content))


def test_a_missing_file_is_refused_by_its_name(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"version\.json"):
        read(tmp_path / "version.json")


def test_a_date_that_is_none_is_refused(tmp_path: Path) -> None:
    settings = {**VERSION["settings"], "schedule_start": "yesterday"}  # type: ignore[dict-item]
    with pytest.raises(SettingsError, match="schedule_start"):
        read(write(tmp_path, json.dumps({**VERSION, "settings": settings})))
