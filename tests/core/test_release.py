"""Releases are their files: the same content is the same release, whoever committed it and in whatever order."""

from __future__ import annotations

import gzip
import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slipway.errors import ConfigurationError
from slipway.release import Manifest, Provenance, archive_of, build_release, files_in, version_archive

from .conftest import FILES, release_of, version_in_staging

NAMES = st.text(alphabet="abcdefg_", min_size=1, max_size=8)
TREES = st.dictionaries(NAMES.map(lambda name: f"dags/{name}.py"), st.binary(max_size=200), max_size=8)


@given(TREES)
def test_an_archive_gives_back_the_files_and_depends_on_nothing_else(files: dict[str, bytes]) -> None:
    packed = archive_of(files)
    assert files_in(packed, origin="memory") == files
    assert archive_of(dict(reversed(files.items()))) == packed


def test_the_commit_is_not_part_of_a_release() -> None:
    other = Provenance(commit="d" * 40, committed_at="2027-01-01T00:00:00+00:00", subject="t", authors=("B <b@x>",))
    assert build_release(dict(reversed(FILES.items())), other).id == release_of().id


@given(path=st.sampled_from(sorted(FILES)), content=st.binary(max_size=20))
def test_any_changed_byte_is_another_release(path: str, content: bytes) -> None:
    changed = release_of({path: content})
    assert (changed.id == release_of().id) == (content == FILES[path])


def test_only_the_dbt_component_decides_the_slot() -> None:
    release = release_of()
    assert release_of({"dags/customers.py": b"new"}).slot == release.slot
    assert release_of({"dbt/models/finance/dim_account.sql": b"new"}).slot != release.slot


def test_readmes_change_no_release() -> None:
    assert release_of({"dags/README.md": b"words"}).id == release_of().id


def test_a_manifest_reads_back_the_same() -> None:
    manifest = release_of().manifest
    assert Manifest.from_bytes(manifest.to_bytes(), origin="memory") == manifest


def test_a_commit_without_a_component_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="no files under terraform/"):
        release_of({"terraform/environments/staging/main.tf": None})


def test_settings_make_another_version_of_the_same_release() -> None:
    release = release_of()
    one, two = version_in_staging(release), version_in_staging(release, dbt_threads=8)
    assert one.version.split("-")[0] == two.version.split("-")[0] == release.short_id
    assert one.version != two.version
    assert version_archive(release, one) != version_archive(release, two)


def test_what_airflow_unpacks_holds_dags_models_and_settings_and_nothing_else() -> None:
    release = release_of()
    files = files_in(version_archive(release, version_in_staging(release)), origin="memory")
    assert sorted(files) == [
        "dags/card_transactions.py",
        "dags/customers.py",
        "dbt/models/finance/dim_account.sql",
        "version.json",
    ]


@pytest.mark.parametrize("content", [b"", b"not an archive", b"\x1f\x8b\x08\x00broken"])
def test_a_broken_archive_is_one_error(content: bytes) -> None:
    with pytest.raises(ConfigurationError, match="is not a release archive"):
        files_in(content, origin="s3://bucket/key")


def test_an_archive_has_the_same_bytes_on_every_machine() -> None:
    archive = archive_of({"a": b"x" * 70_000, "b/c": b""})
    assert hashlib.sha256(archive).hexdigest() == "e35719a7566489d2fcc4e5b4bfe7d88f1cb48e28640fa7b277042073ce6fb262"
    assert gzip.decompress(archive).endswith(b"\0" * 1024)
