"""Drafts of new migration scripts: the next version, the script and its undo, ready to be filled in. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from pathlib import PurePosixPath
from typing import Literal

from slipway.errors import ConfigurationError
from slipway.migration import SCRIPTS_FOLDER, UNDO_FOLDER, scripts_in, undo_of

Kind = Literal["V", "R", "A"]
_LONGEST = 60  # letters of a title in a file's name

_EXPAND = """-- {title}: why, and for which release.
--
-- It adds, and takes nothing away: the release that is live works on while it runs. Every statement names its database
-- and may be run twice:
--   CREATE TABLE IF NOT EXISTS {{{{ raw_database }}}}.CORE.NAME (ID NUMBER NOT NULL);
--   ALTER TABLE {{{{ raw_database }}}}.CORE.NAME ADD COLUMN IF NOT EXISTS NOTE VARCHAR;
"""
_CONTRACT = """-- slipway: contract
-- {title}: since when no release uses it any more.
--
-- It takes away, and adds nothing. It is refused while the live release, or one that a rollback may go to, still needs
-- what it drops. Every statement names its database and may be run twice:
--   ALTER TABLE {{{{ raw_database }}}}.CORE.NAME DROP COLUMN IF EXISTS NOTE;
"""
_REPEATABLE = """-- {title}: run again whenever this file changes.
--
-- Views, replaced whole, with their grants:
--   CREATE OR REPLACE VIEW {{{{ raw_database }}}}.OPS.V_NAME COPY GRANTS AS SELECT 1 AS N;
"""
_ALWAYS = """-- {title}: run after the others whenever there is something to run.
--
-- Grants and what else may be said again and again:
--   GRANT USAGE ON DATABASE {{{{ raw_database }}}} TO ROLE {{{{ environment }}}}_LOADER;
"""
_UNDO = """-- Takes {script} back, however far it came, in the opposite order. Every statement may be run twice:
--   DROP TABLE IF EXISTS {{{{ raw_database }}}}.CORE.NAME;
"""


def draft(names: Collection[str], title: str, *, kind: str, is_contract: bool) -> Mapping[str, str]:
    """Return path below the migrations folder -> content of a new script, and of its undo when it has one.

    Args:
        names: of the files there are, below the migrations folder.

    Raises:
        ConfigurationError: the title has no word, the kind is none, or a file of that name is there.
    """
    if kind not in ("V", "R", "A"):
        raise ConfigurationError(f"a script is of kind V, R or A, not {kind!r}", fix="--kind V")
    if is_contract and kind != "V":
        raise ConfigurationError("only a V script takes away once: --contract goes with --kind V", fix="--kind V")
    slug = "_".join(re.findall(r"[a-z0-9]+", title.lower()))[:_LONGEST].strip("_")
    if not slug:
        raise ConfigurationError(f"{title!r} has no word in it", fix='--title "add merchant risk"')
    said = title.strip().splitlines()[0]
    if kind == "V":
        name = f"V{next_version(names)}__{slug}.sql"
        text = (_CONTRACT if is_contract else _EXPAND).format(title=said)
        files = {f"{SCRIPTS_FOLDER}/{name}": text, f"{UNDO_FOLDER}/{undo_of(name)}": _UNDO.format(script=name)}
    else:
        name = f"{kind}__{slug}.sql"
        files = {f"{SCRIPTS_FOLDER}/{name}": (_REPEATABLE if kind == "R" else _ALWAYS).format(title=said)}
    if there := [path for path in files if path in names]:
        raise ConfigurationError(f"{there[0]} is there already", fix="choose another title")
    return files


def next_version(names: Collection[str]) -> str:
    """Return the version after the highest of the V scripts: the second number one higher, `1.0.0` where there is none.

    Raises:
        ConfigurationError: the highest version is no row of numbers.
    """
    versions = [one for one in scripts_in({name: "" for name in names if PurePosixPath(name).parts}) if one.kind == "V"]
    if not versions:
        return "1.0.0"
    numbers = [part for part in versions[-1].version if isinstance(part, int)]
    if len(numbers) != len(versions[-1].version):
        raise ConfigurationError(
            f"the version of {versions[-1].name} is no row of numbers, so what comes after it is for you to say",
            fix="name the script yourself",
        )
    if len(numbers) == 1:
        return str(numbers[0] + 1)
    return ".".join(map(str, [numbers[0], numbers[1] + 1, *(0 for _ in numbers[2:])]))
