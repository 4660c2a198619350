"""Names of the scripts: what schemachange reads from them, and the undo beside each."""

from __future__ import annotations

import re
from collections import Counter

from slipway.migration import SCRIPTS_FOLDER, UNDO_FOLDER, scripts_in, scripts_without_undo
from tests.migrations.migration import COMPONENT, FOLDER, REPEATABLE, VERSIONED

NAME = re.compile(r"(V\d+\.\d+\.\d+|[RA])__[a-z0-9]+(_[a-z0-9]+)*\.sql")


def test_there_are_scripts_of_every_kind() -> None:
    assert {name[0] for name in (*VERSIONED, *REPEATABLE)} == {"V", "R", "A"}


def test_every_file_in_the_folder_is_a_script_under_a_name_that_reads() -> None:
    files = [path.name for path in (FOLDER / SCRIPTS_FOLDER).iterdir()]
    assert len(files) == len(scripts_in(COMPONENT)) > 0
    assert [name for name in files if not NAME.fullmatch(name)] == []


def test_no_two_scripts_share_a_name_or_a_version() -> None:
    scripts = scripts_in(COMPONENT)
    names = Counter(script.name.lower() for script in scripts)
    versions = Counter(script.version for script in scripts if script.kind == "V")
    assert {name: n for name, n in (names | versions).items() if n > 1} == {}
    assert len(versions) == len(VERSIONED)


def test_each_v_script_has_its_undo_and_each_undo_its_v_script() -> None:
    assert scripts_without_undo(COMPONENT) == ()
    undone = {"V" + path.name[1:] for path in (FOLDER / UNDO_FOLDER).iterdir()}
    assert undone == set(VERSIONED)


def test_every_statement_of_a_script_names_its_database() -> None:
    """A session has no default database that a statement could fall into."""
    objects = re.compile(r"\b(?:TABLE|SCHEMA|VIEW|STAGE|DATABASE) (?:IF (?:NOT )?EXISTS )?(\S+)", re.IGNORECASE)
    texts = [path.read_text() for path in (FOLDER / SCRIPTS_FOLDER).iterdir()]
    code = "\n".join(line for text in texts for line in text.splitlines() if not line.startswith("--"))
    named = objects.findall(code.replace("{{ raw_database }}", "RAW"))
    assert named
    assert [name for name in named if not re.match(r"RAW\b", name)] == []
