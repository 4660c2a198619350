"""Configuration: what is refused, and that every message names the path to its key."""

from __future__ import annotations

from pathlib import Path

import pytest

from slipway.config import ENVIRONMENTS, load
from slipway.errors import ConfigurationError

CONFIG = Path(__file__).parents[2] / "config"


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_every_environment_loads_and_names_only_what_is_its_own(name: str) -> None:
    environment = load(name, folder=CONFIG)
    assert environment.warehouse.raw_database == f"{name.upper()}_RAW"
    assert environment.bucket("releases") == f"finedge-{name}-releases"


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ('region = "eu-west-1"\n', "", "aws.region: required key is missing"),
        ('region = "eu-west-1"', 'region = "eu-west-1"\nregoin = "x"', "aws.regoin: unknown key"),
        ("dbt_threads = 4", 'dbt_threads = "many"', "settings.dbt_threads"),
        ('"file:.sandbox/keys/STAGING_SVC_LOADER.p8"', '"hunter2"', "warehouse.loader.private_key"),
        ('target = "embedded"', 'target = "moon"', "target"),
        ("[aws]", "[aws", "is not TOML"),
    ],
)
def test_a_wrong_file_is_refused_with_the_path_to_the_key(before: str, after: str, said: str, tmp_path: Path) -> None:
    text = (CONFIG / "staging.toml").read_text()
    assert before in text
    (tmp_path / "staging.toml").write_text(text.replace(before, after, 1))
    with pytest.raises(ConfigurationError, match=r"staging\.toml") as caught:
        load("staging", folder=tmp_path)
    assert said in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_what_real_accounts_need_is_said_at_once(tmp_path: Path) -> None:
    text = (CONFIG / "staging.toml").read_text().replace('target = "embedded"', 'target = "cloud"')
    (tmp_path / "staging.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load("staging", folder=tmp_path)
    for key in ("aws.account_id", "airflow.url", "airflow.user", "airflow.password", "settings.schedule_start"):
        assert f"{key}: required" in str(caught.value)


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "staging.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        load("staging", folder=tmp_path)


def test_all_problems_of_a_file_are_said_at_once(tmp_path: Path) -> None:
    text = (CONFIG / "staging.toml").read_text().replace("dbt_threads = 4", "dbt_threads = 0\nx = 1")
    (tmp_path / "staging.toml").write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        load("staging", folder=tmp_path)
    assert "settings.dbt_threads" in str(caught.value)
    assert "settings.x: unknown key" in str(caught.value)


def test_an_unknown_environment_is_refused_with_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match="dev, staging, prod"):
        load("stagin", folder=CONFIG)
