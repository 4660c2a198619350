"""Grants on the published database: read from what readers see now, given again on what they see next.

Rules:
- Nobody loses anything by a publishing: every privilege that stands on the live database, a schema or a view of it, and
  every future grant in them, stands on the next one wherever the schema or view is there again.
- The owner's own privileges come with what it makes. The reader role is granted on everything that is published, so a
  future grant to it is not carried over.
- What was given again is not trusted to be enough: what everybody may do in the end is compared (`slipway.privilege`).
- What cannot be given again stops the publishing. Future grants in a database take the privilege MANAGE GRANTS.
https://docs.snowflake.com/en/sql-reference/sql/grant-privilege, https://docs.snowflake.com/en/sql-reference/sql/show-grants
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from slipway.errors import StepFailed, Unavailable
from slipway.privilege import Contents, Grant, Holder, stands

Rows = Callable[[str], list[tuple[Any, ...]]]  # runs one statement
_GRANTEES = ("ROLE", "USER")  # those that live outside the database that is replaced


def statement_of(grant: Grant, database: str) -> str:
    """Return the statement that gives a grant in `database`.

    Raises:
        StepFailed: it is of a sort that cannot follow to another database.
    """
    if grant.grantee_kind not in _GRANTEES or (grant.is_future and grant.privilege == "OWNERSHIP"):
        raise StepFailed("such a grant cannot follow to another database")
    name = ".".join((database, *map(quoted, grant.path)))
    kind = grant.kind.replace("_", " ")
    if grant.is_future:
        plural = f"{kind[:-1]}IES" if kind.endswith("Y") else f"{kind}S"
        target = f"FUTURE {plural} IN {'SCHEMA' if grant.path else 'DATABASE'} {name}"
    else:
        target = f"{kind} {name}"
    option = " WITH GRANT OPTION" if grant.may_pass_on else ""
    return f"GRANT {grant.privilege} ON {target} TO {grant.grantee_kind} {quoted(grant.grantee)}{option}"


def contents_of(rows: Rows, database: str, *, kinds: str | None = "VIEW") -> dict[str, set[str]]:
    """Return the schemas of a database and the views in each; with None as `kinds`, tables too."""
    found: dict[str, set[str]] = {
        str(name): set()
        for (name,) in rows(f"SELECT SCHEMA_NAME FROM {database}.INFORMATION_SCHEMA.SCHEMATA")
        if name != "INFORMATION_SCHEMA"
    }
    relations = f"SELECT TABLE_SCHEMA, TABLE_NAME FROM {database}.INFORMATION_SCHEMA.TABLES"
    for schema, view in rows(relations + (f" WHERE TABLE_TYPE = '{kinds}'" if kinds else "")):
        if schema in found:
            found[str(schema)].add(str(view))
    return found


def present_grants(rows: Rows, database: str, contents: Contents) -> frozenset[Grant]:
    """Return what is granted on the database, its schemas and views, ownership included."""
    places: list[tuple[str, tuple[str, ...]]] = [("DATABASE", ())]
    for schema, views in sorted(contents.items()):
        places.append(("SCHEMA", (schema,)))
        places += [("VIEW", (schema, view)) for view in sorted(views)]
    found: set[Grant] = set()
    for kind, path in places:
        name = ".".join((database, *map(quoted, path)))
        found.update(_read(rows(f"SHOW GRANTS ON {kind} {name}"), path, is_future=False))
    return frozenset(found)


def carried(grants: Iterable[Grant], *, owner: str) -> frozenset[Grant]:
    """Return the grants that are given again: those to others than the role that makes what they are on."""
    return frozenset(
        one
        for one in grants
        if one.is_future or (one.privilege != "OWNERSHIP" and (one.grantee_kind, one.grantee) != ("ROLE", owner))
    )


def holders_of(rows: Rows, grants: Iterable[Grant]) -> dict[str, frozenset[Holder]]:
    """Return whom every role that `grants` name was granted to, and so on up the hierarchy.

    A role whose holders may not be seen is taken to have none: what it may do itself is compared all the same, and
    whoever holds it has exactly that.
    """
    found: dict[str, frozenset[Holder]] = {}
    left = {one.grantee for one in grants if one.grantee_kind == "ROLE"}
    while left:
        role = left.pop()
        try:
            shown = rows(f"SHOW GRANTS OF ROLE {quoted(role)}")
        except Unavailable:
            raise
        except StepFailed:
            shown = []
        found[role] = frozenset((str(row[2]), str(row[3])) for row in shown)  # created_on, role, granted_to, grantee
        left |= {name for kind, name in found[role] if kind == "ROLE" and name not in found}
    return found


def future_grants(rows: Rows, database: str, schemas: Iterable[str], *, reader: str) -> frozenset[Grant]:
    """Return the future grants in the database and its schemas to others than the reader role."""
    found = _read(rows(f"SHOW FUTURE GRANTS IN DATABASE {database}"), (), is_future=True)
    for schema in sorted(schemas):
        found |= _read(rows(f"SHOW FUTURE GRANTS IN SCHEMA {database}.{quoted(schema)}"), (schema,), is_future=True)
    return frozenset(one for one in found if (one.grantee_kind, one.grantee) != ("ROLE", reader))


def those_within(grants: Iterable[Grant], contents: Contents) -> frozenset[Grant]:
    """Return the grants whose schema or view is among `contents`."""
    return frozenset(one for one in grants if stands(one.path, contents))


def quoted(name: str) -> str:
    """Return an identifier as a statement takes it: as it is when it is plain, quoted otherwise."""
    if re.fullmatch(r"[A-Z_][A-Z0-9_$]*", name):
        return name
    return '"' + name.replace('"', '""') + '"'


def _read(shown: list[tuple[Any, ...]], path: tuple[str, ...], *, is_future: bool) -> set[Grant]:
    """Rows of SHOW: created_on, privilege, granted_on, name, granted_to, grantee_name, grant_option."""
    return {
        Grant(
            kind=str(row[2]),
            path=path,
            privilege=str(row[1]),
            grantee_kind=str(row[4]),
            grantee=str(row[5]),
            may_pass_on=str(row[6]).lower() == "true",
            is_future=is_future,
        )
        for row in shown
    }
