"""Releases reach a real Airflow: flips, runs in flight, refusals. Times are printed (`pytest -s`), never asserted."""

from __future__ import annotations

import time

import pytest

from slipway.errors import ConfigurationError, StepFailed
from tests.airflow.conftest import BUCKET, DAGS, FILES, FLIP_S, Bench, archive_of, wait_until

pytestmark = pytest.mark.airflow


def versions(bench: Bench) -> dict[str, str | None]:
    return {dag_id: dag.version for dag_id, dag in bench.client.dags().items()}


def test_every_dag_reports_the_version_the_pointer_names_there_and_back(bench: Bench) -> None:
    print(f"\nAirflow healthy from nothing in {bench.first_start_s:.1f} s")
    first, second = bench.release(), bench.release()
    for wanted in (first, second, first):
        print(f"{wanted.version} live in {bench.flip(wanted):.1f} s")

        assert versions(bench) == dict.fromkeys(DAGS, wanted.version)
        assert bench.parsed_from() == {dag_id: {wanted.version} for dag_id in DAGS}
        assert bench.client.import_errors() == ()
        assert not any(dag.has_import_errors or dag.is_paused for dag in bench.client.dags().values())


def test_a_run_in_flight_ends_on_the_code_and_library_it_began_with(bench: Bench) -> None:
    first, second = bench.release(), bench.release()
    bench.flip(first)
    date = bench.new_date()
    run = bench.client.trigger("long", date)
    wait_until(lambda: "first" in bench.notes(run.run_id), "the first task to begin")
    assert run.run_id in [one.run_id for one in bench.client.open_runs()]

    print(f"\nflip under a run in flight: {bench.flip(second):.1f} s")
    later = bench.client.trigger("brief", bench.new_date())
    assert bench.finished("brief", later.logical_date or "").version == second.version
    assert set(bench.client.task_states("long", run.run_id).values()) == {"running", None}
    (bench.evidence / f"go-{run.run_id}").touch()

    ended = bench.finished("long", date)
    assert (ended.state, ended.version) == ("success", first.version)
    assert bench.notes(run.run_id) == dict.fromkeys(("first", "second"), (first.version,) * 3)
    assert bench.notes(later.run_id) == {"only": (second.version,) * 3}
    assert bench.client.task_states("long", run.run_id) == {"first": "success", "second": "success"}


def test_a_cleared_run_is_run_again_on_its_own_version(bench: Bench) -> None:
    first, second = bench.release(), bench.release()
    bench.flip(first)
    date = bench.new_date()
    run = bench.client.trigger("brief", date)
    assert bench.finished("brief", date).state == "success"
    bench.flip(second)
    (bench.evidence / "notes.jsonl").unlink()

    bench.client.clear("brief", run.run_id)

    wait_until(lambda: bench.notes(run.run_id) != {}, "the task to run again")
    assert bench.notes(run.run_id) == {"only": (first.version,) * 3}
    assert bench.finished("brief", date).version == first.version


def test_a_logical_date_is_run_once_however_often_it_is_asked_for(bench: Bench) -> None:
    bench.flip(bench.release())
    date = bench.new_date()
    run = bench.client.trigger("brief", date)

    assert bench.client.trigger("brief", date).run_id == run.run_id
    assert bench.client.run_at("brief", date).run_id == run.run_id
    with pytest.raises(ConfigurationError, match=r"it has: .*2026-02-01T"):
        bench.client.run_at("brief", "2027-01-01")


def test_scheduled_runs_of_the_past_are_made_and_their_mapped_tasks_are_listed(bench: Bench) -> None:
    bench.flip(bench.release())
    wait_until(lambda: len(bench.client.dag_runs("mapped", state=["success"])) == 2, "both days to be run")

    first, second = bench.client.dag_runs("mapped")
    assert [run.logical_date for run in (first, second)] == ["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]
    assert bench.client.task_states("mapped", first.run_id) == {"each[0]": "success", "each[1]": "success"}
    assert [run for run in bench.client.latest_runs(1) if run.dag_id == "mapped"] == [second]
    assert [run for run in bench.client.latest_runs(2) if run.dag_id == "mapped"] == [first, second]


def test_a_dag_that_a_version_no_longer_has_goes_and_its_history_stays(bench: Bench) -> None:
    first, second = bench.release(), bench.release(without=("dags/retired.py",))
    bench.flip(first)
    date = bench.new_date()
    bench.client.trigger("retired", date)
    assert bench.finished("retired", date).state == "success"
    rest = tuple(dag_id for dag_id in DAGS if dag_id != "retired")

    bench.flip(second, rest)
    print(f"\na removed DAG is gone after {wait_until(lambda: 'retired' not in bench.client.dags(), 'it to go'):.1f} s")

    assert versions(bench) == dict.fromkeys(rest, second.version)
    assert bench.client.run_at("retired", date).state == "success"
    bench.flip(first)
    assert versions(bench)["retired"] == first.version


DAMAGES = {  # what is wrong -> what must be told
    "other bytes": "has sha256",
    "no archive": "there is no archive of",
    "files of another version": "says it is",
    "a pointer that is none": "the pointer is not JSON",
    "no pointer": "there is no pointer",
}


def damage(bench: Bench, how: str) -> None:
    wanted, pointer = bench.release(), "airflow/CURRENT"
    archive = f"airflow/versions/{wanted.version}.tar.gz"
    match how:
        case "other bytes":
            bench.s3.put_object(Bucket=BUCKET, Key=archive, Body=archive_of(wanted.version, {"dags/brief.py": ""}))
        case "no archive":
            bench.s3.delete_object(Bucket=BUCKET, Key=archive)
        case "files of another version":
            wanted = bench.put(wanted.version, archive_of("version-of-another-name", {"dags/brief.py": ""}))
        case "a pointer that is none":
            return bench.s3.put_object(Bucket=BUCKET, Key=pointer, Body=b"version-1")
        case "no pointer":
            return bench.s3.delete_object(Bucket=BUCKET, Key=pointer)
    return bench.point(wanted)


def test_what_cannot_be_verified_is_refused_and_the_live_version_goes_on(bench: Bench) -> None:
    live = bench.release()
    bench.flip(live)

    for how, said in DAMAGES.items():
        before = len(bench.events("release_refused"))
        damage(bench, how)
        wait_until(lambda before=before: len(bench.events("release_refused")) > before, f"{how} to be refused")

        told = bench.events("release_refused")[-1]["message"]
        assert said in told
        assert told.endswith(f"live: {live.version}")
        assert versions(bench) == dict.fromkeys(DAGS, live.version)

    date = bench.new_date()
    run = bench.client.trigger("brief", date)
    assert bench.finished("brief", date).version == live.version
    assert bench.notes(run.run_id) == {"only": (live.version,) * 3}
    bench.flip(bench.release())


def test_a_file_that_does_not_import_is_named_at_once_and_gone_after_the_flip_back(bench: Bench) -> None:
    broken = FILES["dags/brief.py"].replace("CODE =", "import no_such_library\nCODE =")
    good, bad = bench.release(), bench.release(changed={"dags/brief.py": broken})
    bench.flip(good)
    bench.point(bad)

    began = time.monotonic()
    with pytest.raises(StepFailed, match=rf"{bad.version} does not import:\n  brief.py: .*no_such_library"):
        bench.client.wait_for_version(bad.version, DAGS, timeout_s=FLIP_S, since=bench.pointed_at)
    print(f"\nthe import error was told after {time.monotonic() - began:.1f} s")

    assert [(one.file, "no_such_library" in one.message) for one in bench.client.import_errors()] == [
        ("brief.py", True)
    ]
    assert "no_such_library" in bench.events("import_error")[-1]["message"]
    print(f"flip back from it: {bench.flip(good):.1f} s")
    assert bench.client.import_errors() == ()


def test_a_version_whose_library_is_broken_is_refused_before_the_time_is_over(bench: Bench) -> None:
    good, bad = bench.release(), bench.release(changed={"dags/etl/library.py": "import no_such_library\n"})
    bench.flip(good)
    bench.point(bad)

    with pytest.raises(
        StepFailed, match=rf"{bad.version} does not import:\n  brief.py: .*\n  long.py: .*\n  mapped.py"
    ):
        bench.client.wait_for_version(bad.version, DAGS, timeout_s=FLIP_S, since=bench.pointed_at)

    bench.flip(good)


def test_a_flip_taken_back_at_once_is_over_only_when_the_first_version_is_live_again(bench: Bench) -> None:
    first, second = bench.release(), bench.release()
    bench.flip(first)
    for partly_live in (False, True):
        bench.point(second)
        if partly_live:
            wait_until(lambda: second.version in versions(bench).values(), "the second version to begin")
        print(f"\nback after {bench.flip(first):.1f} s")

        dags = bench.client.dags()
        assert {dag.version for dag in dags.values()} == {first.version}
        assert all(dag.last_parsed and dag.last_parsed > bench.pointed_at for dag in dags.values())
        assert bench.client.behind(first.version, DAGS, since=bench.pointed_at) == ()
        assert bench.client.behind(second.version, DAGS) == DAGS


def test_without_the_store_the_last_version_goes_on_and_the_next_one_comes_when_it_is_back(bench: Bench) -> None:
    live = bench.release()
    bench.flip(live)
    bench.client.trigger("brief", first := bench.new_date())
    assert bench.finished("brief", first).state == "success"  # the worker has the version from now on
    before = len(bench.events("release_store"))

    bench.stop_aws()
    wait_until(lambda: len(bench.events("release_store")) > before, "the silence of the store to be told")
    bench.client.trigger("brief", second := bench.new_date())

    assert bench.finished("brief", second).state == "success"
    assert versions(bench) == dict.fromkeys(DAGS, live.version)
    bench.start_aws()  # it forgot everything: there is no pointer
    bench.flip(bench.release())


def test_a_dag_can_be_parsed_before_others_and_paused(bench: Bench) -> None:
    bench.flip(bench.release())
    before = bench.client.dags()["brief"]

    bench.client.request_parse(before)
    bench.client.request_parse(before)
    wait_until(lambda: bench.client.dags()["brief"].last_parsed != before.last_parsed, "the file to be parsed")

    for is_paused in (True, False):
        bench.client.set_paused("brief", is_paused)
        assert bench.client.dags()["brief"].is_paused is is_paused


def test_a_version_that_lacks_an_expected_dag_is_overdue_and_names_it(bench: Bench) -> None:
    released = bench.release()
    bench.flip(released)
    with pytest.raises(
        StepFailed, match=rf"{released.version} is not live everywhere after 1 s\n  unheard_of: no such"
    ):
        bench.client.wait_for_version(released.version, ("brief", "unheard_of"), timeout_s=1)
