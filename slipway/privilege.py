"""Effective privileges: what every role may do with what is published, whichever way it came to it. Pure.

Rules:
- A role has what is granted to it, and what the roles that were granted to it have.
- Who owns an object may do everything with it.
- What stands in a database is of use only to who may use the database and the schema it stands in.
- Future grants in a schema take the place of those in its database, for the same kind of object.
- A privilege on what is not there any more is no loss: that a relation goes is said elsewhere.
https://docs.snowflake.com/en/user-guide/security-access-control-overview#role-hierarchy-and-privilege-inheritance
https://docs.snowflake.com/en/sql-reference/sql/grant-privilege#future-grants-on-database-or-schema-objects
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from slipway.documents import digest_of

Holder = tuple[str, str]  # ("ROLE" or "USER", name)
Holders = Mapping[str, Collection[Holder]]  # role -> whom it was granted to
Contents = Mapping[str, Collection[str]]  # schema -> views
_OWNERSHIP = "OWNERSHIP"
_USAGE = frozenset({"USAGE", _OWNERSHIP})


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


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Privilege:
    """One thing a role or user may do; of a future one, with what is yet to be made there."""

    grantee_kind: str
    grantee: str
    kind: str
    path: tuple[str, ...]
    name: str
    is_future: bool = False

    def __str__(self) -> str:
        place = ".".join(self.path) or "the database"
        where = f"future {self.kind.lower()}s in {place}" if self.is_future else f"{self.kind.lower()} {place}"
        return f"{self.grantee_kind.lower()} {self.grantee}: {self.name} on {where}"

    @property
    def holder(self) -> Holder:
        """Who may."""
        return self.grantee_kind, self.grantee


def effective(grants: Iterable[Grant], holders: Holders, contents: Contents) -> frozenset[Privilege]:
    """Return what everybody may do in a database, inherited privileges included. No side effects.

    Args:
        grants: on the database, its schemas and views, ownership included, and the future ones in them.
        holders: for every role that a grant names, and every role above it, whom it was granted to.
        contents: what stands in the database.
    """
    standing = tuple(grants)
    present = {
        Privilege(grantee_kind=kind, grantee=name, kind=one.kind, path=one.path, name=said)
        for one in standing
        if not one.is_future
        for kind, name in _all_holders((one.grantee_kind, one.grantee), holders)
        for said in _names(one)
    }
    usable = {(one.holder, one.path) for one in present if one.name in _USAGE and one.kind in ("DATABASE", "SCHEMA")}

    def is_reached(one: Privilege) -> bool:
        return all((one.holder, one.path[:depth]) in usable for depth in range(len(one.path)))

    return frozenset(set(filter(is_reached, present)) | set(_future(standing, holders, contents)))


def lost(before: Iterable[Privilege], after: Collection[Privilege], contents: Contents) -> tuple[Privilege, ...]:
    """Return what somebody could do before, and cannot after with what is still there; in order. No side effects.

    Args:
        contents: what stands in the database after.
    """
    have = frozenset(after)
    owners = {(one.holder, one.path) for one in have if one.name == _OWNERSHIP and not one.is_future}

    def is_kept(one: Privilege) -> bool:
        return one in have or (not one.is_future and (one.holder, one.path) in owners)

    return tuple(sorted(one for one in before if stands(one.path, contents) and not is_kept(one)))


def stands(path: tuple[str, ...], contents: Contents) -> bool:
    """Return whether the database, schema or view at `path` is among `contents`."""
    return not path or (path[0] in contents and (len(path) == 1 or path[1] in contents[path[0]]))


def facts_of(privileges: Collection[Privilege]) -> dict[str, Any]:
    """Return a set of privileges as evidence tells of it: how many, whose, and a digest of every one."""
    return {
        "count": len(privileges),
        "grantees": len({one.holder for one in privileges}),
        "sha256": digest_of({"privileges": [str(one) for one in sorted(privileges)]}),
    }


def _all_holders(first: Holder, holders: Holders) -> frozenset[Holder]:
    """Return who has what `first` has: itself, and everybody above it."""
    found, left = {first}, [first]
    while left:
        kind, name = left.pop()
        above = set(holders.get(name, ())) - found if kind == "ROLE" else set()
        found |= above
        left += above
    return frozenset(found)


def _names(grant: Grant) -> Iterator[str]:
    yield grant.privilege
    if grant.may_pass_on:
        yield f"{grant.privilege} WITH GRANT OPTION"


def _future(grants: Collection[Grant], holders: Holders, contents: Contents) -> Iterator[Privilege]:
    """Yield what will be given on what is made in the database, and in each of its schemas."""
    coming = sorted((one for one in grants if one.is_future), key=lambda one: one.kind)
    for kind, of_kind in groupby(coming, key=lambda one: one.kind):
        given = tuple(of_kind)
        in_database = [one for one in given if not one.path]
        places: list[tuple[tuple[str, ...], list[Grant]]] = [((), in_database)]
        for schema in sorted(contents) if kind != "SCHEMA" else ():
            places.append(((schema,), [one for one in given if one.path == (schema,)] or in_database))
        for path, counting in places:
            for one in counting:
                for holder_kind, holder in _all_holders((one.grantee_kind, one.grantee), holders):
                    for said in _names(one):
                        yield Privilege(
                            grantee_kind=holder_kind, grantee=holder, kind=kind, path=path, name=said, is_future=True
                        )
