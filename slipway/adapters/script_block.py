"""What statements hold that sqlglot does not take apart: blocks of Snowflake Scripting, bodies of procedures, commands.

https://docs.snowflake.com/en/developer-guide/snowflake-scripting/blocks
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_BODY = re.compile(r"\$\$(.*)\$\$", re.DOTALL)
_QUOTED = re.compile(r"EXECUTE\s+IMMEDIATE\s+'((?:[^']|'')*)'\s*;?\s*$", re.IGNORECASE | re.DOTALL)
_LANGUAGE = re.compile(r"\bLANGUAGE\s+(\w+)", re.IGNORECASE)
_CONTROL = re.compile(  # what may stand before a statement of a block
    r"\s*(?:BEGIN\b(?!\s+(?:TRANSACTION|WORK))|EXCEPTION\b|ELSE\b|LOOP\b|(?:IF|ELSEIF)\b.*?\bTHEN\b|WHEN\b.*?\bTHEN\b|"
    r"(?:FOR|WHILE)\b.*?\bDO\b|REPEAT\b)",
    re.IGNORECASE | re.DOTALL,
)
_HARMLESS = re.compile(  # of a block: it changes nothing but its variables
    r"\s*(?:END\b|RETURN\b|NULL\b|BREAK\b|CONTINUE\b|RAISE\b|LET\b|DECLARE\b|UNTIL\b|\w+\s*:=)", re.IGNORECASE
)
_VARIABLES = re.compile(r"\s*DECLARE\b.*?(?=\bBEGIN\b)", re.IGNORECASE | re.DOTALL)
_IMMEDIATE = re.compile(r"\s*EXECUTE\s+IMMEDIATE\b", re.IGNORECASE)
_PROCEDURE = re.compile(r"\s*CREATE\s+(?:OR\s+REPLACE\s+)?(?:SECURE\s+)?PROCEDURE\b", re.IGNORECASE)
_BLOCK = re.compile(r"\s*(?:DECLARE|BEGIN(?!\s+(?:TRANSACTION|WORK))(?=\s+\w))\b", re.IGNORECASE)


def holds_block(statement: str) -> bool:
    """Return whether a statement holds others: a block, a procedure, EXECUTE IMMEDIATE."""
    return any(pattern.match(statement) for pattern in (_IMMEDIATE, _PROCEDURE, _BLOCK))


def statements_inside(statement: str) -> list[str] | None:
    """Return the statements that one holds; None when it cannot be looked into: another language, or a text that is
    put together while it runs."""
    language = _LANGUAGE.search(statement)
    if _PROCEDURE.match(statement) and language is not None and language[1].upper() != "SQL":
        return None
    if _IMMEDIATE.match(statement) and (quoted := _QUOTED.match(statement.lstrip())):
        return [quoted[1].replace("''", "'")]
    body = _BODY.search(statement)
    if body is None and not _BLOCK.match(statement):
        return None
    return list(_of_block(body[1] if body else statement))


def _of_block(block: str) -> Iterator[str]:
    for piece in _pieces(_VARIABLES.sub("", block)):
        rest = piece
        while control := _CONTROL.match(rest):
            rest = rest[control.end() :]
        if rest.strip() and not _HARMLESS.match(rest):
            yield rest.strip()


def _pieces(text: str) -> Iterator[str]:
    """Yield what stands between semicolons that are in no text and no comment."""
    token = re.compile(r"'(?:[^']|'')*'|--[^\n]*|/\*.*?\*/|;|[^;'\-/]+|.", re.DOTALL)
    piece = ""
    for found in token.findall(text):
        if found == ";":
            yield piece
            piece = ""
        elif not found.startswith(("--", "/*")):
            piece += found
    yield piece


_NEW = re.compile(
    r"CREATE\s+(?P<replace>OR\s+(?:REPLACE|ALTER)\s+)?(?P<kind>(?:STORAGE|API|NOTIFICATION|SECURITY)\s+INTEGRATION|"
    r"(?:MASKING|ROW\s+ACCESS|NETWORK|PASSWORD|SESSION|AGGREGATION)\s+POLICY|RESOURCE\s+MONITOR|STREAM|TASK|ROLE|USER|"
    r"WAREHOUSE|ALERT|PIPE|TAG|SECRET)\s+(?P<exists>IF\s+NOT\s+EXISTS\s+)?(?P<name>[\w.\"$]+)",
    re.IGNORECASE,
)
_OF_SCHEMA = frozenset({"STREAM", "TASK", "ALERT", "PIPE", "TAG", "SECRET", "MASKING POLICY", "ROW ACCESS POLICY"})
_SETS = re.compile(
    r"ALTER\s+\w+(?:\s+POLICY|\s+INTEGRATION|\s+MONITOR)?\s+(?:IF\s+EXISTS\s+)?(?P<name>[\w.\"$]+)\s+"
    r"(?P<what>SET|UNSET|SUSPEND|RESUME|REFRESH|RENAME\s+TO|ADD\s+SEARCH\s+OPTIMIZATION|DROP\s+SEARCH\s+OPTIMIZATION|"
    r"SWAP\s+WITH)\b",
    re.IGNORECASE,
)
_DROPS = re.compile(
    r"DROP\s+(?P<kind>[A-Z]+(?:\s+[A-Z]+){0,2}?)\s+(?P<exists>IF\s+EXISTS\s+)?(?P<name>[\w.\"$]+)(?:\s+(?:CASCADE|RESTRICT))?"
    r"\s*;?\s*$",
    re.IGNORECASE,
)
_RENAMES = re.compile(
    r"ALTER\s+(?P<kind>DATABASE|SCHEMA|(?:\w+\s+)?(?:TABLE|VIEW))\s+(?:IF\s+EXISTS\s+)?(?P<name>[\w.\"$]+)\s+"
    r"(?:RENAME\s+TO|SWAP\s+WITH)\b",
    re.IGNORECASE,
)
_DROPS_COLUMN = re.compile(
    r"DROP\s+(?!(?:PRIMARY|UNIQUE|FOREIGN|CONSTRAINT|CLUSTERING|SEARCH|ROW|ALL|AGGREGATION|JOIN|STORAGE)\s)"
    r"(?:COLUMN\s+)?(?P<exists>IF\s+EXISTS\s+)?(?P<names>[\w\"$]+(?:\s*,\s*[\w\"$]+)*)\s*;?\s*$",
    re.IGNORECASE,
)


def columns_dropped(words: str) -> tuple[tuple[str, ...], bool]:
    """Return the columns that an action of ALTER TABLE drops, COLUMN being optional, and whether it says IF EXISTS."""
    found = _DROPS_COLUMN.match(words.strip())
    if found is None:
        return (), False
    return tuple(one.strip().strip('"').upper() for one in found["names"].split(",")), bool(found["exists"])


def taken_by_command(words: str) -> tuple[str, tuple[str, ...]] | None:
    """Return the kind and the parts of the name of what a statement drops or renames, None when it does neither.

    Args:
        words: of the statement, without comments.
    """
    found = _DROPS.match(words.strip()) or _RENAMES.match(words.strip())
    if found is None:
        return None
    return found["kind"].upper().split()[-1], tuple(part.strip('"').upper() for part in found["name"].split("."))


def judged_command(words: str) -> Iterator[tuple[str, str]] | None:
    """Return rule and message for what a statement does that is read by its words; None when it cannot be.

    Args:
        words: of the statement, single spaces between them, without comments.
    """
    if new := _NEW.match(words):
        return _new(new)
    if sets := _SETS.match(words):
        return _set(sets)
    if drops := _DROPS.match(words):
        return _drop(drops)
    return None


def _new(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    kind, name = " ".join(match["kind"].upper().split()), match["name"]
    if match["replace"] and kind in ("STREAM", "PIPE"):
        yield "destructive", f"it replaces {kind} {name}, which forgets how far it came"
    if not match["replace"] and not match["exists"]:
        yield "repeat", f"CREATE {kind} {name} without IF NOT EXISTS"
    if kind in _OF_SCHEMA and name.count(".") < 2:
        yield "unqualified", f"{name} has no database in its name"


def _drop(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    kind, name = " ".join(match["kind"].upper().split()), match["name"]
    yield "destructive", f"it drops {kind} {name}"
    if not match["exists"]:
        yield "repeat", f"DROP {kind} {name} without IF EXISTS"


def _set(match: re.Match[str]) -> Iterator[tuple[str, str]]:
    what = " ".join(match["what"].upper().split())
    if what in ("RENAME TO", "SWAP WITH"):
        yield "destructive", f"it gives {match['name']} another name"
    if what == "ADD SEARCH OPTIMIZATION":
        yield "rewrite", f"it has every row of {match['name']} read for a search index"
