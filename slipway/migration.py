"""Migration scripts: their names, their order, what is pending, and what must never happen to them.

Rules (schemachange's names; Slipway's own digest of the content, because schemachange only warns about an edit):
- `V<version>__name.sql` runs once, in the order of versions; `R__name.sql` again whenever it changed; `A__name.sql`
  after them in every run that has something to do.
- An applied V script is never edited, every V script has an undo beside it, and a version never arrives at or below
  one that was applied.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import PurePosixPath

from slipway.documents import digest_of
from slipway.observation import AppliedMigration

SCRIPTS_FOLDER = "scripts"
UNDO_FOLDER = "undo"
_NAME = re.compile(r"^(?:(?P<kind>V)(?P<version>[^_]+(?:_[^_]+)*)|(?P<plain>[RA]))__(?P<title>.+)\.sql$", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Script:
    """One migration script, read from its name."""

    name: str
    kind: str  # V, R or A
    version: tuple[int | str, ...]  # empty for R and A
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class ScriptRun:
    """The last run of a script that the history tells of."""

    script: str
    succeeded: bool
    at: datetime
    status: str = ""  # the history's word
    checksum: str | None = None  # schemachange's


@dataclass(frozen=True, kw_only=True, slots=True)
class SetOut:
    """With which content a script is run since when, as was written down before it ran."""

    script: str
    sha256: str
    since: datetime
    release: str = ""


def applied_migrations(last_runs: Iterable[ScriptRun], set_out: Iterable[SetOut]) -> tuple[AppliedMigration, ...]:
    """Return the last word on every script that ran, by name, with the digest of what ran then.

    There is no digest where it is not certain that what stands in the warehouse is what a digest would tell: of a
    script that failed; of one that ran before anything was written down of it; of an R or A script that a run set out
    with and told nothing of, be it that it came to none or that it died and may have committed it; and of an A script
    that others ran after. A V script that succeeded is run by nobody again, so what was set out later never came to it.
    """
    runs = sorted(last_runs, key=lambda run: run.script)
    others = max((run.at for run in runs if run.succeeded and kind_of(run.script) != "A"), default=None)
    by_script = dict[str, list[SetOut]]()
    for one in sorted(set_out, key=lambda one: one.since):
        by_script.setdefault(one.script, []).append(one)
    found = []
    for run in runs:
        kind, all_out = kind_of(run.script), by_script.get(run.script, [])
        before = [one for one in all_out if one.since <= run.at]
        is_told = kind == "V" or len(before) == len(all_out)
        is_last = kind != "A" or others is None or run.at >= others
        sha256 = before[-1].sha256 if run.succeeded and before and is_told and is_last else None
        found.append(AppliedMigration(script=run.script, succeeded=run.succeeded, sha256=sha256))
    return tuple(found)


def scripts_in(component: Mapping[str, str]) -> tuple[Script, ...]:
    """Return the scripts of the migrations component in the order they run: V by version, then R, then A by name."""
    found = []
    for path, sha256 in component.items():
        pure = PurePosixPath(path)
        match = _NAME.match(pure.name)
        if pure.parts[0] != SCRIPTS_FOLDER or match is None:
            continue
        kind = (match["kind"] or match["plain"]).upper()
        found.append(Script(name=pure.name, kind=kind, version=_version(match["version"]), sha256=sha256))
    return tuple(sorted(found, key=lambda script: ("VRA".index(script.kind), _key(script.version), script.name)))


def pending_scripts(component: Mapping[str, str], applied: Sequence[AppliedMigration]) -> tuple[str, ...]:
    """Return the names of the scripts that must run, in order; A scripts only together with others or when changed."""
    done = {one.script: one for one in applied if one.succeeded}
    scripts = scripts_in(component)
    pending = [
        script
        for script in scripts
        if script.name not in done or (script.kind in "RA" and done[script.name].sha256 != script.sha256)
    ]
    if not pending:
        return ()
    return tuple(script.name for script in scripts if script in pending or script.kind == "A")


def edited_scripts(component: Mapping[str, str], applied: Sequence[AppliedMigration]) -> tuple[str, ...]:
    """Return the V scripts that were applied with other content than they have now."""
    recorded = {one.script: one.sha256 for one in applied if one.succeeded and one.sha256}
    return tuple(
        script.name
        for script in scripts_in(component)
        if script.kind == "V" and recorded.get(script.name, script.sha256) != script.sha256
    )


def late_scripts(component: Mapping[str, str], applied: Sequence[AppliedMigration]) -> tuple[str, ...]:
    """Return the pending V scripts whose version is not above all that were applied: schemachange goes past them.

    Those that were applied count too that the release does not hold, or holds under another name.
    """
    done = {one.script for one in applied if one.succeeded}
    highest = max((_key(version) for name in done if (version := _version_in(name))), default=None)
    if highest is None:
        return ()
    versions = (script for script in scripts_in(component) if script.kind == "V")
    return tuple(script.name for script in versions if script.name not in done and _key(script.version) <= highest)


def scripts_without_undo(component: Mapping[str, str]) -> tuple[str, ...]:
    """Return the V scripts that have no undo of the same version and name."""
    undone = {PurePosixPath(path).name for path in component if PurePosixPath(path).parts[0] == UNDO_FOLDER}
    return tuple(
        script.name for script in scripts_in(component) if script.kind == "V" and undo_of(script.name) not in undone
    )


def rehearsal_of(component: Mapping[str, str], scripts: Iterable[str], applied: Iterable[AppliedMigration]) -> str:
    """Return the digest of all that a rehearsal of scripts depends on: what they and their undos say, and what was
    applied before."""
    named = [(name, component.get(f"{SCRIPTS_FOLDER}/{name}"), _undo_in(component, name)) for name in scripts]
    return digest_of(
        {"scripts": [list(one) for one in named], "applied": [one.model_dump(mode="json") for one in applied]}
    )


def _undo_in(component: Mapping[str, str], name: str) -> str | None:
    return component.get(f"{UNDO_FOLDER}/{undo_of(name)}")


def undo_of(name: str) -> str:
    """Return the name of a V script's undo."""
    return "U" + name[1:]


def is_later(name: str, *, than: str) -> bool:
    """Return whether a V script's version is above that of another."""
    return kind_of(name) == "V" and _key(_version_in(name)) > _key(_version_in(than))


def kind_of(name: str) -> str:
    """Return what kind of script a name says: V, R, A, or U for an undo."""
    return name[:1].upper()


def _version_in(name: str) -> tuple[int | str, ...]:
    """Return the version in a script's name; nothing of one that has none."""
    match = _NAME.match(name)
    return _version(match["version"]) if match else ()


def _version(text: str | None) -> tuple[int | str, ...]:
    if text is None:
        return ()
    return tuple(int(part) if part.isdigit() else part for part in re.split(r"[._]", text))


def _key(version: tuple[int | str, ...]) -> tuple[tuple[int, int, str], ...]:
    """Numbers before words, so that any two versions compare."""
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in version)
