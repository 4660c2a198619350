"""Grants on the published database: read from what readers see now, given again on what they see next.

Rules:
- Nobody loses anything by a publishing: every privilege that stands on the live database, a schema or a view of it, and
  every future grant in them, stands on the next one wherever the schema or view is there again.
- The owner's own privileges come with what it makes. The reader role is granted on everything that is published, so a
  future grant to it is not carried over.
- What cannot be given again stops the publishing. Future grants in a database take the privilege MANAGE GRANTS.
https://docs.snowflake.com/en/sql-reference/sql/grant-privilege, https://docs.snowflake.com/en/sql-reference/sql/show-grants
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from slipway.errors import StepFailed

Rows = Callable[[str], list[tuple[Any, ...]]]  # runs one statement
Contents = Mapping[str, Collection[str]]  # schema -> views
_GRANTEES = ("ROLE", "USER")  # those that live outside the database that is replaced


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Grant:
    """One privilege, placed within a database, so that it can be compared with those of another.

    Attributes:
        kind: DATABASE, SCHEMA, VIEW; of a future grant the kind of what will get it.
        path: (), (schema,) or (schema, view); of a future grant what it is in.
        may_pass_on: given with the option to grant it.
    """

    kind: str
    path: tuple[str, ...]
    privilege: str
    grantee_kind: str
    grantee: str
    may_pass_on: bool
    is_future: bool

    def __str__(self) -> str:
        place = ".".join(self.path) or "the database"
        where = f"future {self.kind.lower()}s in {place}" if self.is_future else place
        return f"{self.privilege} on {where} to {self.grantee_kind.lower()} {self.grantee}"

    def statement(self, database: str) -> str:
        """Return the statement that gives it in `database`.

        Raises:
            StepFailed: it is of a sort that cannot follow to another database.
        """
        if self.grantee_kind not in _GRANTEES or (self.is_future and self.privilege == "OWNERSHIP"):
            raise StepFailed("such a grant cannot follow to another database")
        name = ".".join((database, *map(quoted, self.path)))
        kind = self.kind.replace("_", " ")
        if self.is_future:
            plural = f"{kind[:-1]}IES" if kind.endswith("Y") else f"{kind}S"
            target = f"FUTURE {plural} IN {'SCHEMA' if self.path else 'DATABASE'} {name}"
        else:
            target = f"{kind} {name}"
        option = " WITH GRANT OPTION" if self.may_pass_on else ""
        return f"GRANT {self.privilege} ON {target} TO {self.grantee_kind} {quoted(self.grantee)}{option}"


def contents_of(rows: Rows, database: str) -> dict[str, set[str]]:
    """Return the schemas of a database and the views in each."""
    found: dict[str, set[str]] = {
        str(name): set()
        for (name,) in rows(f"SELECT SCHEMA_NAME FROM {database}.INFORMATION_SCHEMA.SCHEMATA")
        if name != "INFORMATION_SCHEMA"
    }
    views = f"SELECT TABLE_SCHEMA, TABLE_NAME FROM {database}.INFORMATION_SCHEMA.TABLES WHERE TABLE_TYPE = 'VIEW'"
    for schema, view in rows(views):
        if schema in found:
            found[str(schema)].add(str(view))
    return found


def present_grants(rows: Rows, database: str, contents: Contents, *, owner: str) -> frozenset[Grant]:
    """Return what is granted on the database, its schemas and views to others than its owner."""
    places: list[tuple[str, tuple[str, ...]]] = [("DATABASE", ())]
    for schema, views in sorted(contents.items()):
        places.append(("SCHEMA", (schema,)))
        places += [("VIEW", (schema, view)) for view in sorted(views)]
    found: set[Grant] = set()
    for kind, path in places:
        name = ".".join((database, *map(quoted, path)))
        found.update(_read(rows(f"SHOW GRANTS ON {kind} {name}"), path, is_future=False))
    return frozenset(
        one for one in found if one.privilege != "OWNERSHIP" and (one.grantee_kind, one.grantee) != ("ROLE", owner)
    )


def future_grants(rows: Rows, database: str, schemas: Iterable[str], *, reader: str) -> frozenset[Grant]:
    """Return the future grants in the database and its schemas to others than the reader role."""
    found = _read(rows(f"SHOW FUTURE GRANTS IN DATABASE {database}"), (), is_future=True)
    for schema in sorted(schemas):
        found |= _read(rows(f"SHOW FUTURE GRANTS IN SCHEMA {database}.{quoted(schema)}"), (schema,), is_future=True)
    return frozenset(one for one in found if (one.grantee_kind, one.grantee) != ("ROLE", reader))


def those_within(grants: Iterable[Grant], contents: Contents) -> frozenset[Grant]:
    """Return the grants whose schema or view is among `contents`."""

    def stands(path: tuple[str, ...]) -> bool:
        return not path or (path[0] in contents and (len(path) == 1 or path[1] in contents[path[0]]))

    return frozenset(one for one in grants if stands(one.path))


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
