"""A release laid out in a folder: what is deployed from there is the release, whatever somebody did to the folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from slipway.operation import extract

from .conftest import FILES, release_of

EDITED = "dags/customers.py"


def held_by(tree: Path) -> dict[str, bytes]:
    return {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}


def _edit(tree: Path) -> None:
    (tree / EDITED).write_bytes(b"nobody reviewed this")


def _add(tree: Path) -> None:
    (tree / "dags/more.py").write_bytes(b"nobody reviewed this")


def _remove(tree: Path) -> None:
    (tree / EDITED).unlink()


def _rename(tree: Path) -> None:
    (tree / EDITED).rename(tree / "dags/clients.py")


def test_a_release_is_laid_out_as_it_is_and_once(tmp_path: Path) -> None:
    tree = extract(release_of(), tmp_path)

    assert held_by(tree) == FILES
    assert extract(release_of(), tmp_path) == tree
    assert [path.name for path in tree.parent.iterdir()] == [tree.name]


@pytest.mark.parametrize("bend", [_edit, _add, _remove, _rename], ids=lambda bend: bend.__name__.strip("_"))
def test_a_folder_that_somebody_changed_is_left_alone_and_another_one_is_used(
    bend: Callable[[Path], None], tmp_path: Path
) -> None:
    kept = extract(release_of(), tmp_path)
    bend(kept)
    bent = held_by(kept)
    fresh = extract(release_of(), tmp_path)

    assert fresh != kept
    assert held_by(fresh) == FILES
    assert held_by(kept) == bent != FILES
    assert not [path for path in kept.parent.iterdir() if path.name.startswith(".")]


def test_what_python_leaves_beside_a_file_is_no_change(tmp_path: Path) -> None:
    tree = extract(release_of(), tmp_path)
    (tree / "dags/__pycache__").mkdir()
    (tree / "dags/__pycache__/customers.cpython-311.pyc").write_bytes(b"x")

    assert extract(release_of(), tmp_path) == tree


def test_releases_that_begin_alike_and_differ_do_not_share_a_folder(tmp_path: Path) -> None:
    one, other = release_of(), release_of({EDITED: b"new"})

    assert held_by(extract(one, tmp_path)) == one.files
    assert held_by(extract(other, tmp_path)) == other.files
    assert {path.name for path in tmp_path.iterdir()} == {one.id, other.id}


def test_a_link_to_a_folder_is_a_change(tmp_path: Path) -> None:
    kept = extract(release_of(), tmp_path / "releases")
    (tmp_path / "more.py").write_text("nobody reviewed this")
    (kept / "dags/more").symlink_to(tmp_path)

    assert extract(release_of(), tmp_path / "releases") != kept
