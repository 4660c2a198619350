"""Git: which files a commit gives to a release."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from slipway.adapters.git import Git
from slipway.errors import ConfigurationError
from tests.core.conftest import FILES


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose work tree holds the files of a release, not committed yet."""
    for path, content in FILES.items():
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    run(tmp_path, "init", "--quiet")
    return tmp_path


def run(repository: Path, *arguments: str) -> None:
    who = ("-c", "user.name=Ann", "-c", "user.email=ann@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(repository), *who, *arguments], check=True)


def commit(repository: Path) -> None:
    run(repository, "add", "--all")
    run(repository, "commit", "--quiet", "--message", "a change")


def test_a_release_holds_every_file_of_its_commit(repository: Path) -> None:
    commit(repository)

    assert Git(repository).release_at().files == dict(sorted(FILES.items()))


def test_a_symbolic_link_is_refused_by_its_name(repository: Path) -> None:
    (repository / "dags/shared.py").symlink_to("customers.py")
    (repository / "dbt/models/größe.sql").symlink_to("finance/dim_account.sql")
    (repository / "dags/README.md").symlink_to("../README.md")  # not deployed
    (repository / "elsewhere").symlink_to("dags")
    commit(repository)

    with pytest.raises(ConfigurationError) as refused:
        Git(repository).release_at()
    named = refused.value.message.partition(" has ")[2]
    assert named == "dags/shared.py (symbolic link), dbt/models/größe.sql (symbolic link)"
    assert refused.value.fix


def test_a_submodule_is_refused_by_its_name(repository: Path) -> None:
    commit(repository)
    run(repository, "update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},dbt/packages")
    run(repository, "commit", "--quiet", "--message", "a submodule")

    with pytest.raises(ConfigurationError, match=r"dbt/packages \(submodule\)"):
        Git(repository).release_at()
