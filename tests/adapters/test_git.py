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


def run(repository: Path, *arguments: str, by: str = "Ann") -> str:
    who = ("-c", f"user.name={by}", "-c", f"user.email={by.lower()}@example.com", "-c", "commit.gpgsign=false")
    done = subprocess.run(["git", "-C", str(repository), *who, *arguments], check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def commit(repository: Path, *, by: str = "Ann", subject: str = "a change") -> str:
    """Commit everything, be it nothing, and return the commit."""
    run(repository, "add", "--all")
    run(repository, "commit", "--quiet", "--allow-empty", "--message", subject, by=by)
    return run(repository, "rev-parse", "HEAD")


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


# ---- what makes a release differ from the live one -----------------------------------------------------------------


def test_the_commits_since_the_live_one_are_told_oldest_first(repository: Path) -> None:
    live, *since = [commit(repository, by=one, subject=f"by {one}") for one in ("Ann", "Ben", "Pat")]
    found = Git(repository).commits_between(live, since[-1])

    assert [one.commit for one in found] == since
    assert [one.authors for one in found] == [("Ben <ben@example.com>",), ("Pat <pat@example.com>",)]
    assert Git(repository).commits_between(live, live) == ()


def test_what_a_release_takes_back_is_a_change_of_it_too(repository: Path) -> None:
    """Of an earlier commit, and of one beside: what the live release has and this one has not goes away with it."""
    base, live = commit(repository), commit(repository, by="Ben", subject="live")
    run(repository, "checkout", "--quiet", base)
    beside = commit(repository, by="Pat", subject="beside")
    git = Git(repository)

    assert [one.subject for one in git.commits_between(live, base)] == ["live"]
    assert {one.subject for one in git.commits_between(live, beside)} == {"live", "beside"}
    assert set(git.commits_between(live, beside)) == set(git.commits_between(beside, live))


def test_a_shallow_clone_does_not_know_who_wrote_what(
    repository: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    live, _, head = (commit(repository, by=one) for one in ("Ann", "Ben", "Pat"))
    clone = tmp_path_factory.mktemp("clone") / "shallow"
    run(repository, "clone", "--quiet", "--depth", "1", repository.as_uri(), str(clone))

    with pytest.raises(ConfigurationError, match="shallow clone") as refused:
        Git(clone).commits_between(live, head)
    assert refused.value.fix == "git fetch --unshallow origin"
    run(clone, "fetch", "--quiet", "--unshallow", "origin")
    assert len(Git(clone).commits_between(live, head)) == 2


def test_a_commit_that_was_replaced_on_this_machine_is_told_as_it_is(repository: Path) -> None:
    """`git replace` shows another commit under the same name; who wrote it, and what is in it, must not follow."""
    live, head = commit(repository), commit(repository, by="Ben", subject="by Ben")
    (repository / "dags/customers.py").write_bytes(b"nobody saw this")
    other = commit(repository, by="Pat", subject="by Pat")
    run(repository, "replace", head, other)
    run(repository, "reset", "--quiet", "--hard", live)
    assert "by Pat" in run(repository, "show", "--no-patch", head)

    (found,) = Git(repository).commits_between(live, head)
    release = Git(repository).release_at(head)
    assert (found.commit, found.subject, found.authors) == (head, "by Ben", ("Ben <ben@example.com>",))
    assert release.provenance == found
    assert release.files == dict(sorted(FILES.items()))


def test_a_commit_that_is_not_here_is_said_so(repository: Path) -> None:
    head = commit(repository)
    with pytest.raises(ConfigurationError, match="commit 000000000000 is not in this repository"):
        Git(repository).commits_between("0" * 40, head)


def test_a_parent_that_was_grafted_on_this_machine_is_told_as_it_is(repository: Path) -> None:
    live, middle, head = (commit(repository, by=one) for one in ("Ann", "Ben", "Pat"))
    grafts = repository / ".git/info/grafts"
    grafts.parent.mkdir(exist_ok=True)
    grafts.write_text(f"{head} {live}\n")

    assert [one.commit for one in Git(repository).commits_between(live, head)] == [middle, head]


def test_who_asks_is_whom_git_would_name_and_never_a_guess(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(repository))  # without the settings of whoever runs this
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")
    with pytest.raises(ConfigurationError, match="who you are"):
        Git(repository).author()

    run(repository, "config", "user.name", "Ben")
    run(repository, "config", "user.email", "ben@finedge.example")
    assert Git(repository).author() == "Ben <ben@finedge.example>"
