"""The DAG gate: whatever is wrong with a file is told with its kind, and the files beside it are read all the same."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from slipway.adapters import dag_parser
from slipway.errors import StepFailed
from tests.gate.conftest import HEAD, LEAKS, LINES, PROJECT, Checked, gate

PROBLEMS = {  # file -> kind, what the message says, the line of the file it names
    "import_error.py": ("import", "No module named 'no_such_library'", 2),
    "library_error.py": ("import", "JSONDecodeError: Expecting property name", 2),
    "syntax_error.py": ("import", "SyntaxError: '(' was never closed", 1),
    "exits.py": ("died", "ends the process that imports it (exit code 7)", None),
    "exits_politely.py": ("import", "SystemExit: enough", 1),
    "kills.py": ("died", "ends the process that imports it (signal 9)", None),
    "endless.py": ("hang", "does not import within 4 s", (3, 4)),
    "sleeps.py": ("hang", "does not import within 4 s", 3),
    "random_notes.py": ("unstable", "DAG 'random_notes' differs between two parses", None),
    "good_again.py": ("duplicate", "DAG id 'good' is also defined in good.py", None),
    "twice.py": ("duplicate", "DAG id 'twice' is defined 2 times", None),
    "pool.py": ("pool", "references non-existent pools: ['deep_end']", None),
    "variable.py": ("import", "asks for the variable 'x' while it is imported", 1),
    "variable_default.py": ("import", "asks for the variable 'x' while it is imported", 1),
    "connection.py": ("import", "asks for the connection 'warehouse' while it is imported", 1),
    "no_dag.py": ("empty", "defines no DAG", None),
    "empty.py": ("empty", "the file is empty", None),
    "unread.py": ("skipped", "Airflow does not read it", None),
}


@pytest.mark.parametrize("file", PROBLEMS)
def test_what_is_wrong_with_a_file_is_told_once_with_its_kind_and_line(checked: Checked, file: str) -> None:
    kind, said, line = PROBLEMS[file]

    [(found, message)] = checked.of(file)

    assert (found, said in message) == (kind, True), message
    match line:
        case int():
            assert message.endswith(f"({file}:{LINES + line})")
        case (int() as first, int() as last):
            assert message.endswith(tuple(f"({file}:{LINES + one})" for one in range(first, last + 1)))


def test_a_dag_whose_id_is_another_at_each_parse_is_unstable(checked: Checked) -> None:
    found = checked.of("random_id.py")
    assert [kind for kind, _ in found] == ["unstable", "unstable"]
    assert all("'random_id_" in message for _, message in found)


def test_files_that_are_well_are_listed_beside_broken_ones_whatever_they_print(checked: Checked) -> None:
    for name in ("good", "another", "prints", "leaves"):
        found = checked.report.dags[name]
        assert (found.file, found.tasks, found.schedule) == (f"{name}.py", 1, "@daily")
        assert checked.of(f"{name}.py") == []


def test_every_problem_is_of_a_file_that_has_one(checked: Checked) -> None:
    assert {one.file for one in checked.report.problems} == {*PROBLEMS, "random_id.py", "surroundings.py"}


def test_nothing_that_a_file_started_is_left_running(checked: Checked) -> None:
    assert checked.left() == []


def test_a_dag_sees_nothing_of_the_shell_it_is_deployed_from(checked: Checked) -> None:
    [(kind, message)] = checked.of("surroundings.py")
    seen = set(message.removeprefix("RuntimeError: ").partition(" (")[0].split())

    assert kind == "import"
    assert "SLIPWAY_VERSION_FILE" in seen
    assert seen & set(LEAKS) == set()
    own = {"SLIPWAY_VERSION_FILE", "AIRFLOW_HOME", *dag_parser.SETTINGS}
    assert seen - own <= {"PATH", "HOME", "LANG", "TMPDIR", "LC_CTYPE"}


def test_a_folder_whose_files_are_all_ignored_is_a_problem(dags: Callable[[Mapping[str, str]], Path]) -> None:
    report = gate(dags({"good.py": f"{HEAD}dag = make('good')\n", ".airflowignore": "*\n"}))

    assert (report.files, report.dags) == (0, {})
    assert [(one.file, one.kind) for one in report.problems] == [(".", "empty")]


def test_no_file_at_all_is_a_problem_of_the_folder() -> None:
    report = dag_parser.merge([])

    assert [(one["file"], one["kind"]) for one in report["problems"]] == [(".", "empty")]
    assert "holds no DAG file that Airflow reads" in report["problems"][0]["message"]


def test_the_projects_own_files_pass(tmp_path: Path) -> None:
    folder = shutil.copytree(PROJECT / "dags", tmp_path / "dags", ignore=shutil.ignore_patterns("__pycache__"))

    report = gate(folder)

    assert report.problems == ()
    assert {dag.file for dag in report.dags.values()} == {path.name for path in folder.glob("*.py")}
    assert len(report.dags) == report.files == 6


def test_a_python_that_has_no_airflow_is_a_failed_check_not_a_passed_one(
    dags: Callable[[Mapping[str, str]], Path],
) -> None:
    with pytest.raises(StepFailed, match=r"could not be parsed:\n(.*\n)*.*No module named 'airflow'"):
        gate(dags({"good.py": f"{HEAD}dag = make('good')\n"}), python=Path(sys.executable))
