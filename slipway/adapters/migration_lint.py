"""What a migration script must not do unsaid, read from its SQL by sqlglot.

Rules, each with the name a script lets itself off by (`-- slipway: allow rewrite: 4 rows`):

- `destructive`: it takes something away that a live or retained release may use. Only a script that says
  `-- slipway: contract` may, and that adds nothing (`mixed`).
- `repeat`: run twice, it fails or does more than run once. A run that died asks the warehouse what was done; what can
  be repeated needs no answer.
- `rewrite`: it writes every row of a table, or locks it for as long.
- `transaction`: it commits by itself within a transaction, which is not done whole or not at all then. Nothing lets a
  script off this: no run would begin it.
- `unqualified`: a name without its database depends on whoever runs it.
- `secret`: it holds what only a secret store may hold. Nothing lets a script off this.
- `unread`: a block or statement that cannot be looked into.
- `syntax`: it is no SQL that Snowflake would read.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import sqlglot
from schemachange.JinjaTemplateProcessor import JinjaTemplateProcessor
from schemachange.sql_splitter import split_sql_statements
from sqlglot import exp
from sqlglot.errors import SqlglotError

from slipway.adapters.script_block import columns_dropped, holds_block, judged_command, statements_inside
from slipway.migration import SCRIPTS_FOLDER, UNDO_FOLDER, kind_of, undo_of
from slipway.statement import begins_transaction, commits_by_itself, ends_transaction

logging.getLogger("sqlglot").setLevel(logging.ERROR)  # it warns of what it reads as a mere command

_DIRECTIVE = re.compile(
    r"^[ \t]*--[ \t]*slipway:[ \t]*(?:(contract)|allow[ \t]+(\w+)[ \t]*:[ \t]*(\S.*))$", re.IGNORECASE | re.MULTILINE
)
_LEAD = re.compile(r"(?:\s+|--[^\n]*|/\*.*?\*/)*", re.DOTALL)  # what stands before a statement
_SECRETS: Mapping[str, re.Pattern[str]] = {
    "an AWS access key": re.compile(r"\b(AKIA|ASIA)[0-9A-Z]{16}\b"),
    "a private key": re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "a credential": re.compile(
        r"\b(PASSWORD|AWS_SECRET_KEY|AWS_KEY_ID|AWS_TOKEN|AZURE_SAS_TOKEN|MASTER_KEY|OAUTH_CLIENT_SECRET)\s*=\s*'[^'{]+'",
        re.IGNORECASE,
    ),
}
_HOLDS_DATA = frozenset({"TABLE", "SCHEMA", "DATABASE"})
_PLAIN = frozenset({"GRANT", "REVOKE"})  # of many objects at once, which sqlglot does not take apart
_NO_NAMES = (exp.Use, exp.Set, exp.Grant, exp.Revoke, exp.Show)  # of session, account and roles; SHOW only tells
_PARTS = {"SCHEMA": 2, "DATABASE": 1, "ROLE": 1, "WAREHOUSE": 1, "USER": 1}  # of the names of what no schema holds
_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One thing a script does that it must not, or must say.

    Attributes:
        file: below the migrations folder.
        line: where its statement begins, in the script with its variables filled in.
    """

    file: str
    line: int
    rule: str
    message: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.rule}: {self.message}"


def lint(migrations: Path, variables: Mapping[str, str]) -> tuple[Finding, ...]:
    """Return what is wrong with the scripts and undos of a folder, file by file.

    Args:
        migrations: the folder that holds `scripts` and `undo`.
        variables: what `{{ name }}` stands for.
    """
    found: list[Finding] = []
    for folder in (SCRIPTS_FOLDER, UNDO_FOLDER):
        for path in sorted((migrations / folder).glob("*.sql")):
            found += lint_file(path, f"{folder}/{path.name}", variables)
    for path in sorted((migrations / SCRIPTS_FOLDER).glob("[Vv]*.sql")):
        if not (migrations / UNDO_FOLDER / undo_of(path.name)).exists():
            said = f"it has no undo: add {UNDO_FOLDER}/{undo_of(path.name)}"
            found.append(Finding(file=f"{SCRIPTS_FOLDER}/{path.name}", line=1, rule="undo", message=said))
    return tuple(found)


def lint_file(path: Path, file: str, variables: Mapping[str, str]) -> Iterator[Finding]:
    """Yield what is wrong with one script."""
    source = path.read_text()
    is_contract, allowed = directives(source)
    for what, pattern in _SECRETS.items():
        if match := pattern.search(source):
            yield Finding(file=file, line=_line_of(source, match.start()), rule="secret", message=f"it holds {what}")
    try:
        text = JinjaTemplateProcessor(path.parent).render(path.name, dict(variables))
        statements = [one for one in split_sql_statements(text) if _LEAD.sub("", one).strip(" ;\n")]
    except Exception as error:  # jinja's and schemachange's own, of many kinds
        yield Finding(file=file, line=1, rule="syntax", message=f"it cannot be read: {error}")
        return
    if not statements:
        yield Finding(file=file, line=1, rule="syntax", message="it holds no statement yet")
    adds, takes, position = False, 0, 0
    broken = _broken_transactions(statements)
    for place, statement in enumerate(statements):
        position = text.find(statement.rstrip(";"), position)
        lead = _LEAD.match(statement)
        line = _line_of(text, position + (lead.end() if lead else 0))
        trees, found = _read(statement, kind_of(path.name))
        adds = adds or any(map(_adds, trees))
        if said := broken.get(place):
            yield Finding(file=file, line=line, rule="transaction", message=said)
        for rule, message in found:
            if rule == "destructive":
                takes = takes or line
                if is_contract:
                    continue
            if rule not in allowed:
                yield Finding(file=file, line=line, rule=rule, message=message)
    if is_contract and adds and takes and "mixed" not in allowed:
        said = "it adds and takes away: add in a release of its own, and take away when no release needs it any more"
        yield Finding(file=file, line=takes, rule="mixed", message=said)


def _broken_transactions(statements: Iterable[str]) -> dict[int, str]:
    """Return what is to be said of statements that commit the transaction they stand in, by their places."""
    found, is_inside = dict[int, str](), False
    for place, statement in enumerate(statements):
        if is_inside and (said := commits_by_itself(statement)):
            found[place] = f"{said} within a transaction commits what stands before it, or may: move it out"
        is_inside = begins_transaction(statement) or (is_inside and not ends_transaction(statement))
    return found


def _read(statement: str, kind: str) -> tuple[list[exp.Expr], list[tuple[str, str]]]:
    """Return a statement, or those inside it, as they are read, and rule and message for what they do."""
    plain = " ".join(_COMMENT.sub(" ", statement).split())
    if not holds_block(plain):
        return _parsed(statement, kind)
    inside = statements_inside(_COMMENT.sub(" ", statement))
    if inside is None:
        return [], [("unread", f"{plain[:40]} cannot be looked into")]
    trees, found = list[exp.Expr](), list[tuple[str, str]]()
    for one in inside:
        more, said = _read(one, kind)
        trees += more
        found += [(rule, f"inside a block: {message}") for rule, message in said]
    return trees, found


def _parsed(statement: str, kind: str) -> tuple[list[exp.Expr], list[tuple[str, str]]]:
    try:
        tree = sqlglot.parse_one(statement, dialect="snowflake")
    except SqlglotError as error:
        return [], [("syntax", str(error).splitlines()[0])]
    return [tree], list(judged(tree, kind, " ".join(_COMMENT.sub(" ", statement).split())))


def directives(source: str) -> tuple[bool, frozenset[str]]:
    """Return whether a script says that it is a contract migration, and the rules it lets itself off."""
    found = _DIRECTIVE.findall(source)
    return any(contract for contract, _, _ in found), frozenset(rule.lower() for _, rule, _ in found if rule)


def judged(tree: exp.Expr, kind: str, words: str) -> Iterator[tuple[str, str]]:
    """Yield rule and message for what one statement does.

    Args:
        kind: of the script: V, R, A or U. An undo takes away: that is what it is for.
        words: of the statement, without comments.
    """
    for rule, message in _judged(tree, words):
        if rule != "destructive" or kind != "U":
            yield rule, message


def _judged(tree: exp.Expr, words: str) -> Iterator[tuple[str, str]]:
    if not isinstance(tree, exp.Command):
        for rule, judge in _JUDGES:
            yield from ((rule, message) for message in judge(tree))
    elif tree.name.upper() not in _PLAIN:
        found = judged_command(words)
        yield from [("unread", f"{words[:40]} cannot be looked into")] if found is None else found


def _destructive(tree: exp.Expr) -> Iterator[str]:
    match tree:
        case exp.Drop():
            yield f"it drops {_kind(tree)} {_name(tree)}"
        case exp.TruncateTable():
            yield f"it empties {_name(tree)}"
        case exp.Insert() if tree.args.get("overwrite"):
            yield f"it replaces every row of {_name(tree)}"
        case exp.Delete() if _is_of_all(tree):
            yield f"it deletes every row of {_name(tree)}"
        case exp.Create() if tree.args.get("replace") and _kind(tree) in _HOLDS_DATA and not _is_temporary(tree):
            yield f"it replaces {_kind(tree)} {_name(tree)}, which may hold data"
        case exp.Alter():
            for action in tree.args.get("actions") or ():
                match action:
                    case exp.Drop():
                        yield f"it drops a {_kind(action).lower()} of {_name(tree)}"
                    case exp.Command() if columns_dropped(action.sql(dialect="snowflake"))[0]:
                        yield f"it drops a column of {_name(tree)}"
                    case exp.AlterRename() | exp.RenameColumn() | exp.SwapTable():
                        yield f"it gives {_name(tree)} or a column of it another name"


def _repeat(tree: exp.Expr) -> Iterator[str]:
    match tree:
        case exp.Create() if not (tree.args.get("exists") or tree.args.get("replace")):
            yield f"CREATE {_kind(tree)} {_name(tree)} without IF NOT EXISTS"
        case exp.Drop() if not tree.args.get("exists"):
            yield f"DROP {_kind(tree)} {_name(tree)} without IF EXISTS"
        case exp.Alter():
            for action in tree.args.get("actions") or ():
                if isinstance(action, exp.ColumnDef) and not action.args.get("exists"):
                    yield f"ADD COLUMN {action.name} without IF NOT EXISTS"
                if isinstance(action, exp.AddConstraint):
                    yield f"ADD CONSTRAINT to {_name(tree)} fails the second time"
                if isinstance(action, exp.Drop) and not action.args.get("exists"):
                    yield f"DROP {_kind(action)} of {_name(tree)} without IF EXISTS"
                if isinstance(action, exp.Command):
                    columns, is_safe = columns_dropped(action.sql(dialect="snowflake"))
                    if columns and not is_safe:
                        yield f"DROP of a column of {_name(tree)} without IF EXISTS"
        case exp.Insert() if tree.find(exp.Exists) is None and not tree.args.get("overwrite"):
            yield f"INSERT INTO {_name(tree)} adds the same rows again: MERGE, or WHERE NOT EXISTS"
        case exp.Update():
            for assignment in tree.expressions:
                target = assignment.this.name.upper()
                if any(column.name.upper() == target for column in assignment.expression.find_all(exp.Column)):
                    yield f"UPDATE makes {target} of itself"


def _rewrite(tree: exp.Expr) -> Iterator[str]:
    match tree:
        case exp.Update() if _is_of_all(tree) and tree.args.get("from_") is None:
            yield f"it writes every row of {_name(tree)}"
        case exp.Create() if tree.args.get("replace") and _kind(tree) == "TABLE" and tree.expression is not None:
            yield f"it writes {_name(tree)} anew"
        case exp.Alter():
            for action in tree.args.get("actions") or ():
                if isinstance(action, exp.AlterColumn) and action.args.get("dtype") is not None:
                    yield f"it changes the type of {action.name} in {_name(tree)}"
                if isinstance(action, exp.AlterColumn) and action.args.get("allow_null") is False:
                    yield f"it reads every row of {_name(tree)}, and fails where {action.name} is null"
                if isinstance(action, exp.ColumnDef):
                    yield from _added(action)
                if isinstance(action, exp.ClusterProperty):
                    yield f"it has {_name(tree)} clustered anew"


def _added(column: exp.ColumnDef) -> Iterator[str]:
    """Yield what adding a column does to the rows there are."""
    constraints = {type(one.kind): one.kind for one in column.args.get("constraints") or ()}
    default = constraints.get(exp.DefaultColumnConstraint)
    null = constraints.get(exp.NotNullColumnConstraint)
    if null is not None and not null.args.get("allow_null") and default is None:
        yield f"ADD COLUMN {column.name} NOT NULL without DEFAULT fails where there are rows"
    if default is not None and default.find(exp.Func, exp.Column, exp.Anonymous) is not None:
        yield f"the default of {column.name} is no constant, and is worked out for every row"


def _is_of_all(tree: exp.Expr) -> bool:
    """Return whether a statement is about every row: it has no condition, or one that is always true."""
    where = tree.args.get("where")
    if where is None:
        return not tree.args.get("using")
    condition = where.this
    if isinstance(condition, exp.EQ) and isinstance(condition.left, exp.Literal):
        return bool(condition.left == condition.right)
    return isinstance(condition, exp.Boolean) and bool(condition.this)


def _is_temporary(tree: exp.Expr) -> bool:
    return tree.find(exp.TemporaryProperty) is not None


def _unqualified(tree: exp.Expr) -> Iterator[str]:
    if isinstance(tree, _NO_NAMES):
        return
    common = {cte.alias_or_name.upper() for cte in tree.find_all(exp.CTE)}
    is_above = isinstance(tree, exp.Create | exp.Drop | exp.Comment) and _kind(tree) in _PARTS
    above = tree.find(exp.Table) if is_above else None
    for table in tree.find_all(exp.Table):
        wanted = _PARTS[_kind(tree)] if table is above else 3
        is_name = table is above or isinstance(table.this, exp.Identifier)
        words = [part for part in (table.catalog, table.db, table.name) if part]
        if is_name and table.name.upper() not in common and len(words) < wanted:
            yield f"{table.sql(dialect='snowflake')} has no database in its name"


_JUDGES: tuple[tuple[str, Callable[[exp.Expr], Iterable[str]]], ...] = (
    ("destructive", _destructive),
    ("repeat", _repeat),
    ("rewrite", _rewrite),
    ("unqualified", _unqualified),
)


def _adds(tree: exp.Expr) -> bool:
    """Return whether a statement makes something new."""
    if isinstance(tree, exp.Create | exp.Insert | exp.Merge):
        return True
    return isinstance(tree, exp.Alter) and any(isinstance(one, exp.ColumnDef) for one in tree.args.get("actions") or ())


def _kind(tree: exp.Expr) -> str:
    return str(tree.args.get("kind") or "").upper()


def _name(tree: exp.Expr) -> str:
    table = tree.find(exp.Table)
    return table.sql(dialect="snowflake", comments=False) if table is not None else "?"


def _line_of(text: str, position: int) -> int:
    return text.count("\n", 0, max(position, 0)) + 1
