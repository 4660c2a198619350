"""A faulty file, on a real warehouse: it stops nothing, none of it is loaded half, and somebody is told."""

from __future__ import annotations

import gzip
import hashlib
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import date, timedelta
from typing import Any

import pytest
from etl import catalog, files, inspection, quarantine
from etl.batch import NOTHING, Batch
from etl.checks import check_quarantine, obstacles
from etl.dataset import Dataset
from etl.error import QuarantineError
from etl.window import Window

from tests.etl.conftest import FIRST, LANDING, SOURCES, Platform, body, changed_file, delivered, withheld

ROWS = int(os.environ.get("LOADS_ROWS", "50000"))  # read before tests get an environment of their own
SECOND, THIRD = FIRST + timedelta(days=1), FIRST + timedelta(days=2)
RATES, SETTLEMENTS = catalog.FX_RATES, catalog.SETTLEMENT_FILES


def rates(day: date, version: str = "") -> str:
    return f"fx/fx_rates_{day}{version}.csv"


def visa(day: date) -> str:
    return f"settlement/visa/visa_{day}.csv.gz"


def entered(platform: Platform) -> list[tuple[Any, ...]]:
    """The quarantine, open entries first: source, whole, lines, faulty, cleared, by."""
    return platform.query(
        "SELECT SOURCE, WHOLE_FILE, LINES, FAULTY_LINES, CLEARED_AT IS NOT NULL, CLEARED_BY "
        f"FROM {platform.raw}.{quarantine.TABLE} ORDER BY 5, 1"
    )


def told(platform: Platform) -> list[tuple[Any, ...]]:
    return platform.query(
        f"SELECT SOURCE, LINE, COLUMN_NAME, REASON, TEXT FROM {platform.raw}.{quarantine.LINES} ORDER BY 1, 2, 3"
    )


def complaint(platform: Platform, dataset: Dataset, day: date) -> str:
    with pytest.raises(QuarantineError) as raised:
        check_quarantine(
            platform.warehouse, dataset=dataset, window=Window.of_day(day, first=FIRST), database=platform.raw
        )
    return str(raised.value)


def is_quiet(platform: Platform, dataset: Dataset, day: date) -> bool:
    window = Window.of_day(day, first=FIRST)
    return check_quarantine(platform.warehouse, dataset=dataset, window=window, database=platform.raw) == {"files": 0}


def waiting(platform: Platform, *datasets: Dataset, day: date) -> dict[str, str]:
    with platform.warehouse.cursor() as cursor:
        window = Window.of_day(day, first=FIRST)
        return obstacles(cursor, datasets=datasets, window=window, database=platform.raw)


FAULTS: dict[str, Callable[[bytes], bytes]] = {
    "truncated": lambda content: content[: len(content) // 2],
    "another header": lambda content: gzip.compress(b"a,b\n1,2\n", mtime=0),
    "bad encoding": lambda content: gzip.compress(gzip.decompress(content) + b"\xff\n", mtime=0),
    "0 bytes": lambda content: b"",
    "numbers as text": lambda content: gzip.compress(gzip.decompress(content).replace(b".", b"x", 1), mtime=0),
    "a line cut short": lambda content: gzip.compress(gzip.decompress(content) + b"visa,2026\n", mtime=0),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_faulty_file_stops_no_other_and_none_of_it_is_loaded(
    platform: Platform, fault: Callable[[bytes], bytes]
) -> None:
    key = visa(SECOND)
    platform.run(SETTLEMENTS, FIRST)
    broken = fault(body(platform, key))
    with delivered(platform, key, broken):
        result = platform.run(SETTLEMENTS, SECOND)
        assert result.loaded == (f"{SECOND}/mastercard",)
        assert (result.awaited, result.quarantined) == ((f"{SECOND}/visa",), (key,))
        platform.check(SETTLEMENTS, SECOND)
        assert [(row[0], row[1], row[4]) for row in entered(platform)] == [(key, True, False)]
        assert key in complaint(platform, SETTLEMENTS, SECOND)
        ((copy,),) = platform.query(f"SELECT LANDING_KEY FROM {platform.raw}.{quarantine.TABLE}")
        assert copy.startswith(f"quarantine/settlement_files/{SECOND}/visa-")
        assert platform.s3.get_object(Bucket=LANDING, Key=copy)["Body"].read() == broken
    assert not [row for row in platform.rows(SETTLEMENTS) if row[8] == key]
    assert platform.entries(SETTLEMENTS)[(SECOND, "visa")].content_sha256 == NOTHING


def test_of_a_file_that_is_too_large_no_more_is_held_than_shows_it_and_all_of_it_is_kept(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = visa(SECOND)
    for module in (files, inspection):
        monkeypatch.setattr(module, "PLAIN_LIMIT", 20)
    large = body(platform, key)
    read = files._Buckets(s3=platform.s3, sources=SOURCES, landing=LANDING).read(key)
    assert (len(read.head), read.sha256) == (21, hashlib.sha256(large).hexdigest())
    result = platform.run(SETTLEMENTS, SECOND)
    assert key in result.quarantined
    ((copy,),) = platform.query(f"SELECT LANDING_KEY FROM {platform.raw}.{quarantine.TABLE} WHERE SOURCE = '{key}'")
    assert platform.s3.get_object(Bucket=LANDING, Key=copy)["Body"].read() == large


def test_one_faulty_line_condemns_a_file_whose_sum_is_paid_and_is_told_with_its_text(platform: Platform) -> None:
    key = visa(SECOND)
    wrong = "visa,2026-02-27,V,T-x,ten,0.10,9.90,EUR"
    with delivered(platform, key, changed_file(platform, key, lambda lines: [lines[0], wrong, *lines[1:]])):
        platform.run(SETTLEMENTS, SECOND)
    reason = "is 'ten', expected a number of at most 16 digits and 2 decimals"
    assert told(platform) == [(key, 2, "GROSS_AMOUNT", reason, wrong)]
    ((_, whole, lines, faulty, *_),) = entered(platform)
    assert (whole, faulty) == (True, 1)
    assert lines > 1


def test_of_rates_the_good_ones_are_loaded_and_the_faulty_ones_told(platform: Platform) -> None:
    key = rates(SECOND)
    broken = changed_file(platform, key, lambda lines: [line.replace("USD,", "USD,~") for line in lines])
    with delivered(platform, key, broken):
        platform.run(RATES, FIRST)
        result = platform.run(RATES, SECOND)
        assert f"{SECOND}/fx_rates" in result.loaded
        assert platform.check(RATES, SECOND)["rows"] == len(platform.rows(RATES))
        loaded = {row[2] for row in platform.rows(RATES) if row[0] == SECOND}
        assert loaded == {"CHF", "GBP", "PLN", "SEK"}
        assert platform.entries(RATES)[(SECOND, "fx_rates")].loaded_rows == 4
        assert entered(platform) == [(key, False, 5, 1, False, None)]
        said = complaint(platform, RATES, SECOND)
        assert "loaded without its faulty lines: 1 of 5 lines faulty, first line 6: RATE is '~" in said
        assert said.endswith("Everything else is loaded and used.")
        assert waiting(platform, RATES, day=SECOND) == {}
        again = platform.run(RATES, SECOND)
        assert (again.loaded, again.rows) == ((), 0)
        assert entered(platform) == [(key, False, 5, 1, False, None)]


def test_a_corrected_file_clears_the_entry_and_the_entry_says_by_what(platform: Platform) -> None:
    key, corrected = rates(SECOND), rates(SECOND, "_v2")
    sound = body(platform, key)
    with delivered(platform, key, b"not rates\n"):
        platform.run(RATES, SECOND)
        assert key in complaint(platform, RATES, SECOND)
        with delivered(platform, corrected, sound):
            assert f"{SECOND}/fx_rates" in platform.run(RATES, THIRD).loaded  # the run of the next day finds it
            assert entered(platform) == [(key, True, 0, 0, True, corrected)]
            assert is_quiet(platform, RATES, SECOND)
            assert is_quiet(platform, RATES, THIRD)


def test_a_file_sent_again_under_its_name_clears_its_entry(platform: Platform) -> None:
    key = visa(SECOND)
    with delivered(platform, key, b""):
        platform.run(SETTLEMENTS, SECOND)
    assert platform.run(SETTLEMENTS, SECOND).loaded == (f"{SECOND}/visa",)
    assert entered(platform) == [(key, True, 0, 0, True, key)]
    assert is_quiet(platform, SETTLEMENTS, SECOND)


def test_a_file_that_is_withdrawn_clears_its_entry(platform: Platform) -> None:
    key = rates(SECOND, "_v2")
    with delivered(platform, key, b"rubbish\n"):
        platform.run(RATES, SECOND)
    platform.run(RATES, SECOND)
    assert entered(platform) == [(key, True, 0, 0, True, rates(SECOND))]


def test_an_entry_stays_open_while_raw_holds_the_good_lines_of_a_file_that_was_removed(platform: Platform) -> None:
    newer = rates(SECOND, "_v2")
    broken = changed_file(platform, rates(SECOND), lambda lines: [one.replace("USD,", "USD,~") for one in lines])
    with delivered(platform, newer, broken):
        platform.run(RATES, SECOND)
    for _ in range(2):  # the version before is there, and older than what is held
        platform.run(RATES, SECOND)
        assert platform.entries(RATES)[(SECOND, "fx_rates")].source == newer
        assert [(row[0], *row[4:]) for row in entered(platform)] == [(newer, False, None)]
    with withheld(platform, rates(SECOND)):  # and not even that
        platform.run(RATES, THIRD)
        assert [(row[0], *row[4:]) for row in entered(platform)] == [(newer, False, None)]
    with delivered(platform, newer, body(platform, rates(SECOND))):
        platform.run(RATES, SECOND)
        assert [(row[0], *row[4:]) for row in entered(platform)] == [(newer, True, newer)]


def test_of_two_misspelt_files_one_is_not_cleared_by_the_other(platform: Platform) -> None:
    with delivered(platform, "fx/fx_rates_y.csv", b"y"):
        with delivered(platform, "fx/fx_rates_x.csv", b"x"):
            platform.run(RATES, SECOND)
        platform.run(RATES, SECOND)
        found = [(row[0], *row[4:]) for row in entered(platform)]
        assert found == [("fx/fx_rates_y.csv", False, None), ("fx/fx_rates_x.csv", True, None)]


def test_another_faulty_file_in_its_place_is_another_entry(platform: Platform) -> None:
    key = visa(SECOND)
    for content in (b"", b"still no gzip"):
        with delivered(platform, key, content):
            platform.run(SETTLEMENTS, SECOND)
    assert [row[4:] for row in entered(platform)] == [(False, None), (True, key)]
    with delivered(platform, key, b""):  # the first one again
        platform.run(SETTLEMENTS, SECOND)
    assert len(entered(platform)) == 2
    ((reason,),) = platform.query(f"SELECT REASON FROM {platform.raw}.{quarantine.TABLE} WHERE CLEARED_AT IS NULL")
    assert reason == "the file is empty, 0 bytes"


def test_while_a_correction_is_faulty_the_version_before_counts(platform: Platform) -> None:
    with delivered(platform, rates(SECOND, "_v2"), b"rubbish\n"):
        for _ in range(2):
            platform.run(RATES, SECOND)
            assert platform.entries(RATES)[(SECOND, "fx_rates")].source == rates(SECOND)
        assert entered(platform) == [(rates(SECOND, "_v2"), True, 0, 0, False, None)]
        assert len([row for row in platform.rows(RATES) if row[0] == SECOND]) == 5


def test_what_was_loaded_stays_when_its_file_is_overwritten_by_a_faulty_one(platform: Platform) -> None:
    key = visa(SECOND)
    platform.run(SETTLEMENTS, SECOND)
    rows, entries = platform.rows(SETTLEMENTS), platform.entries(SETTLEMENTS)
    with delivered(platform, key, body(platform, key)[:-20]):
        platform.run(SETTLEMENTS, SECOND)
        platform.check(SETTLEMENTS, SECOND)
        assert key in complaint(platform, SETTLEMENTS, SECOND)
    assert (platform.rows(SETTLEMENTS), platform.entries(SETTLEMENTS)) == (rows, entries)


def test_a_name_that_cannot_be_read_is_quarantined_and_the_run_goes_on(platform: Platform) -> None:
    key = "fx/fx_rates_2026-13-01.csv"
    with delivered(platform, key, b"rate_date\n"):
        assert f"{FIRST}/fx_rates" in platform.run(RATES, FIRST).loaded
        assert "rename or remove it" in complaint(platform, RATES, FIRST)
        platform.run(RATES, SECOND)
        assert len(entered(platform)) == 1
    platform.run(RATES, THIRD)
    assert is_quiet(platform, RATES, FIRST)


def test_a_file_under_another_day_s_name_is_not_loaded_beside_the_first(platform: Platform) -> None:
    key = visa(SECOND)
    platform.run(SETTLEMENTS, FIRST)
    lines = platform.entries(SETTLEMENTS)[(FIRST, "visa")].loaded_rows
    with delivered(platform, key, body(platform, visa(FIRST))):
        for loaded in ((f"{SECOND}/mastercard",), ()):  # nor by a rerun
            result = platform.run(SETTLEMENTS, SECOND)
            assert (result.loaded, result.quarantined) == (loaded, (key,))
            platform.check(SETTLEMENTS, SECOND)
            assert entered(platform) == [(key, True, lines, 0, False, None)]
        assert told(platform) == [(key, None, None, f"{lines} of {lines} lines have keys of {visa(FIRST)}", None)]
        assert key in complaint(platform, SETTLEMENTS, SECOND)
        assert platform.entries(SETTLEMENTS)[(SECOND, "visa")].content_sha256 == NOTHING
    assert platform.run(SETTLEMENTS, SECOND).loaded == (f"{SECOND}/visa",)
    assert [row[4:] for row in entered(platform)] == [(True, key)]
    platform.check(SETTLEMENTS, SECOND)


def test_of_two_series_with_the_same_lines_in_one_run_the_first_counts_however_they_are_packed(
    platform: Platform,
) -> None:
    key = visa(SECOND).replace("visa", "mastercard")
    platform.run(SETTLEMENTS, FIRST)
    turned = changed_file(platform, visa(SECOND), lambda lines: [lines[0], *reversed(lines[1:]), lines[-1]])
    with delivered(platform, key, turned):
        result = platform.run(SETTLEMENTS, SECOND)
        assert (result.loaded, result.awaited) == ((f"{SECOND}/visa",), (f"{SECOND}/mastercard",))
        assert f"lines have keys of {visa(SECOND)}" in complaint(platform, SETTLEMENTS, SECOND)
        platform.check(SETTLEMENTS, SECOND)


def test_a_file_that_repeats_lines_of_another_stays_out_when_the_other_is_corrected(platform: Platform) -> None:
    platform.run(SETTLEMENTS, FIRST)
    lines = platform.entries(SETTLEMENTS)[(FIRST, "visa")].loaded_rows
    corrected = changed_file(platform, visa(FIRST), lambda lines: [lines[0], lines[1]])
    with delivered(platform, visa(SECOND), body(platform, visa(FIRST))):
        platform.run(SETTLEMENTS, SECOND)
        with delivered(platform, visa(FIRST), corrected):
            result = platform.run(SETTLEMENTS, SECOND)
            assert (result.loaded, result.quarantined) == ((f"{FIRST}/visa",), (visa(SECOND),))
            platform.check(SETTLEMENTS, SECOND)
            assert f"1 of {lines} lines have keys of {visa(FIRST)}" in complaint(platform, SETTLEMENTS, SECOND)


def test_files_that_came_under_each_other_s_names_change_places(platform: Platform) -> None:
    bodies = [body(platform, visa(day)) for day in (FIRST, SECOND)]
    with delivered(platform, visa(FIRST), bodies[1]), delivered(platform, visa(SECOND), bodies[0]):
        platform.run(SETTLEMENTS, SECOND)
    result = platform.run(SETTLEMENTS, SECOND)
    assert (set(result.loaded), result.quarantined) == ({f"{FIRST}/visa", f"{SECOND}/visa"}, ())
    platform.check(SETTLEMENTS, SECOND)
    with delivered(platform, visa(FIRST), bodies[1]):  # and one alone does not
        result = platform.run(SETTLEMENTS, SECOND)
        assert (result.loaded, result.quarantined) == ((), (visa(FIRST),))
        platform.check(SETTLEMENTS, SECOND)


def test_of_a_file_with_lines_of_another_not_even_the_good_ones_are_loaded_and_all_is_told(platform: Platform) -> None:
    key = rates(SECOND)
    platform.run(RATES, FIRST)
    with delivered(platform, key, body(platform, rates(FIRST)) + b"x\n"):
        result = platform.run(RATES, SECOND)
        assert (result.awaited, result.quarantined) == ((f"{SECOND}/fx_rates",), (key,))
        platform.check(RATES, SECOND)
    assert entered(platform) == [(key, True, 6, 1, False, None)]
    assert [(row[1], row[3]) for row in sorted(told(platform), key=lambda row: row[1] or 0)] == [
        (None, f"5 of 5 lines have keys of {rates(FIRST)}"),
        (7, "1 fields, expected 4"),
    ]
    assert f"{key}: not loaded: 5 of 5 lines have keys of" in complaint(platform, RATES, SECOND)


def test_builds_wait_while_more_files_are_missing_than_the_dataset_tolerates(platform: Platform) -> None:
    with ExitStack() as stack:
        stack.enter_context(delivered(platform, visa(SECOND), b""))
        platform.run(SETTLEMENTS, SECOND)
        assert waiting(platform, SETTLEMENTS, day=SECOND) == {}  # one is tolerated
        stack.enter_context(delivered(platform, visa(THIRD), b""))
        platform.run(SETTLEMENTS, THIRD)
        said = waiting(platform, SETTLEMENTS, RATES, day=THIRD)
        assert said["settlement_files"] == f"2 files missing, 1 tolerated: visa of {SECOND}, visa of {THIRD}"
        assert said["fx_rates"] == "not loaded"
        assert "Builds wait: 2 files missing" in complaint(platform, SETTLEMENTS, THIRD)
    platform.run(SETTLEMENTS, THIRD)
    assert waiting(platform, SETTLEMENTS, day=THIRD) == {}


def test_builds_do_not_wait_for_corrections_while_the_versions_before_them_are_loaded(platform: Platform) -> None:
    with ExitStack() as stack:
        for day in (SECOND, THIRD):
            stack.enter_context(delivered(platform, visa(day).replace(".csv", "_v2.csv"), b""))
            platform.run(SETTLEMENTS, day)
        assert complaint(platform, SETTLEMENTS, THIRD).endswith("Everything else is loaded and used.")
        assert waiting(platform, SETTLEMENTS, day=THIRD) == {}


def test_a_day_of_which_every_version_is_faulty_is_one_file_missing(platform: Platform) -> None:
    with ExitStack() as stack:
        for version in ("", "_v2", "_v3"):
            stack.enter_context(delivered(platform, visa(SECOND).replace(".csv", f"{version}.csv"), b""))
        platform.run(SETTLEMENTS, SECOND)
        assert len(entered(platform)) == 3
        assert waiting(platform, SETTLEMENTS, day=SECOND) == {}


def test_each_file_whose_name_cannot_be_read_may_be_one_that_is_missing(platform: Platform) -> None:
    names = [f"settlement/visa/visa_2026-13-{n}.csv.gz" for n in ("01", "02")]
    with delivered(platform, names[0], b""), delivered(platform, names[1], b""):
        platform.run(SETTLEMENTS, SECOND)
        assert waiting(platform, SETTLEMENTS, day=SECOND) == {
            "settlement_files": f"2 files missing, 1 tolerated: {names[0]}, {names[1]}"
        }


def test_quarantine_ledger_and_rows_are_written_together_or_not_at_all(platform: Platform) -> None:
    key = rates(SECOND)
    broken = changed_file(platform, key, lambda lines: [line.replace("USD,", "USD,~") for line in lines])
    with delivered(platform, key, broken):
        batch = platform.extract(RATES, SECOND)
        with (
            platform.without("INSERT", f"{platform.raw}.{quarantine.LINES}"),  # the last thing that is written
            pytest.raises(Exception, match="privileges"),
        ):
            platform.load(RATES, batch)
        assert (platform.rows(RATES), platform.entries(RATES), entered(platform)) == ([], {}, [])
        platform.load(RATES, batch)
        assert [len(found) > 0 for found in (platform.rows(RATES), platform.entries(RATES), entered(platform))] == [
            True
        ] * 3


def test_texts_of_faulty_lines_are_kept_as_they_came(platform: Platform) -> None:
    key = rates(SECOND)
    wrong = [f"{SECOND},EUR,USD,'; DROP \\N %s 😀 \\", f'{SECOND},EUR,"GB""P",1.0']
    with delivered(platform, key, changed_file(platform, key, lambda lines: [*lines, *wrong])):
        platform.run(RATES, SECOND)
    assert [row[4] for row in told(platform)] == wrong
    assert told(platform)[0][3].startswith('is "\'; DROP \\\\N %s 😀 \\\\", expected a number')


def test_a_large_file_is_judged_and_loaded_without_its_last_line(platform: Platform) -> None:
    """Two million lines: `LOADS_ROWS=2000000 ./nox -s tests -- tests/etl/test_quarantine.py -k large -s`."""
    day, key = THIRD + timedelta(days=30), rates(THIRD + timedelta(days=30))
    lines = (f"{day},{n // 4096:03x},{n % 4096:03x},1.{n:08d}" for n in range(ROWS))  # no two of one key
    with delivered(platform, key, "\n".join([RATES.header, *lines, f"{day},EUR,USD,x", ""]).encode()):
        began = time.monotonic()
        batch = platform.extract(RATES, day)
        extracted = time.monotonic()
        platform.load(RATES, batch)
        loaded = time.monotonic()
    print(f"{ROWS} rows: {extracted - began:.1f} s to judge and land, {loaded - extracted:.1f} s to load")
    assert platform.entries(RATES)[(day, "fx_rates")].loaded_rows == ROWS
    assert entered(platform) == [(key, False, ROWS + 1, 1, False, None)]
    assert [row[1:3] for row in told(platform)] == [(ROWS + 2, "RATE")]


def test_a_batch_with_faulty_files_survives_the_way_through_json(platform: Platform) -> None:
    with delivered(platform, rates(SECOND, "_v2"), b"rubbish\n"), delivered(platform, "fx/fx_rates_x.csv", b""):
        batch = platform.extract(RATES, SECOND)
    assert len(batch.faulty) == 2
    assert Batch.from_dict(batch.to_dict()) == batch


def test_the_log_names_file_line_and_reason_up_to_a_bound(platform: Platform) -> None:
    key = visa(SECOND)
    with delivered(platform, key, changed_file(platform, key, lambda lines: [lines[0], *["x"] * 30])):
        (file,) = platform.extract(SETTLEMENTS, SECOND).faulty
    said = quarantine.described(file)
    assert said[0].startswith(f"{key}: the whole file is set aside, a copy lies under quarantine/settlement_files/")
    assert said[1] == f"{key}: line 2: 1 fields, expected 8"
    assert len(said) == quarantine.SHOWN_FAULTS + 2


def test_a_faulty_file_of_a_day_without_any_other_is_awaited_no_more_once_it_is_sound(platform: Platform) -> None:
    key = rates(SECOND)
    with delivered(platform, key, b""):
        assert platform.run(RATES, SECOND).awaited == (f"{SECOND}/fx_rates",)
    with withheld(platform, key):
        platform.run(RATES, SECOND)
        assert is_quiet(platform, RATES, SECOND)
    assert platform.run(RATES, THIRD).loaded
    assert platform.check(RATES, THIRD)["awaited"] == []
