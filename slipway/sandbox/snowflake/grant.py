"""GRANT and REVOKE of privileges, roles and ownership, on objects, on all objects and on future objects.

https://docs.snowflake.com/en/sql-reference/sql/grant-privilege
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from slipway.sandbox.snowflake import error, procedure
from slipway.sandbox.snowflake.privilege import PRIVILEGES, RELATION_KINDS, SCHEMA_OBJECT_KINDS, Grant
from slipway.sandbox.snowflake.reader import Name, Reader
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor
    from slipway.sandbox.snowflake.session import Session

KINDS = (
    "DATABASE",
    "SCHEMA",
    "WAREHOUSE",
    "INTEGRATION",
    "USER",
    "ROLE",
    *sorted(SCHEMA_OBJECT_KINDS, key=len, reverse=True),
)
_EVERY = ("ALL", "ALL PRIVILEGES")
_KNOWN = frozenset(_EVERY).union(*PRIVILEGES.values())


def handle(cursor: Cursor, reader: Reader) -> Result | None:
    """Run one GRANT or REVOKE."""
    granting = reader.take("GRANT")
    if not granting:
        reader.expect("REVOKE")
        if reader.take("GRANT", "OPTION", "FOR"):
            raise error.unsupported("REVOKE GRANT OPTION FOR")
    if reader.peek() == "ROLE" and "ON" not in reader.words:
        return _role(cursor, reader, granting=granting)
    if reader.take("OWNERSHIP"):
        return _ownership(cursor, reader)
    privileges = _privileges(reader)
    reader.expect("ON")
    targets, future, kind = _targets(cursor.session, reader)
    allowed = _expanded(privileges, kind)
    reader.take_any("TO", "FROM")
    grantee, grantee_kind = _grantee(cursor.session, reader)
    grants = [
        Grant(privilege=privilege, kind=kind, name=name, grantee=grantee, grantee_kind=grantee_kind, future=future)
        for kind, name in targets
        for privilege in allowed
    ]
    access, registry = cursor.session.instance.access, cursor.session.instance.registry
    if reader.take("WITH", "GRANT", "OPTION"):
        raise error.unsupported("WITH GRANT OPTION")
    reader.take_any("RESTRICT", "CASCADE")
    if not reader.at_end:
        raise reader.unexpected()
    for kind, name in targets:
        if future:
            access.require_granting_future(cursor.session, name)
        else:
            access.require_granting(cursor.session, kind, name)
    if granting:
        registry.add_grants(grants, grantor=cursor.session.role)
    else:
        registry.remove_grants(grants)
    return Result.status()


def _privileges(reader: Reader) -> list[str]:
    """Read privileges up to ON. Raises a syntax error for one that Snowflake has on nothing."""
    words: list[str] = []
    while not reader.at_end and reader.peek() != "ON":
        words.append(reader.value().upper())
    found = [part.strip() for part in " ".join(words).split(",")]
    for privilege in found:
        if privilege not in _KNOWN:
            raise error.syntax(f"syntax error unexpected '{privilege or ','}'.")
    return found


def _expanded(privileges: Sequence[str], kind: str) -> list[str]:
    """Return the privileges on a kind of object, ALL written out. Raises 3008 for one the kind does not have."""
    expanded: list[str] = []
    for privilege in privileges:
        if privilege in _EVERY:
            expanded += PRIVILEGES[kind]
        elif privilege in PRIVILEGES[kind]:
            expanded.append(privilege)
        else:
            raise error.no_privilege_of(kind, privilege)
    return expanded


def _grantee(session: Session, reader: Reader) -> tuple[str, str]:
    if reader.take_any("DATABASE ROLE", "SHARE", "APPLICATION"):
        raise error.unsupported("grants to database roles, shares and applications")
    kind = "USER" if reader.take("USER") else "ROLE"
    reader.take("ROLE")
    name = reader.name()[0]
    if (kind, (name,)) not in session.instance.registry.objects:
        raise error.missing(kind.capitalize(), name)
    return name, kind


def read_kind(reader: Reader) -> str:
    """Read an object kind; TABLE when none is written."""
    if reader.peek(1) in ("", "."):
        return "TABLE"
    return reader.take_any(*KINDS) or "TABLE"


def read_object(session: Session, reader: Reader) -> tuple[str, Name]:
    """Read `<kind> <name>` and return the kind the object really has, with its whole name. Raises 2003."""
    kind = read_kind(reader)
    instance, name = session.instance, reader.name()
    if kind == "DATABASE":
        if name[0] not in instance.registry.databases:
            raise error.missing("Database", name[0])
        return kind, name[:1]
    if kind == "SCHEMA":
        whole = session.schema_name(name)
        if not instance.has_schema(whole):
            raise error.missing("Schema", ".".join(whole))
        return kind, whole
    if kind in RELATION_KINDS:
        whole = session.object_name(name)
        found = instance.relation_kind(whole)
        if found is None:
            raise error.missing("Table" if kind == "TABLE" else "View", ".".join(whole))
        return found, whole
    if kind in SCHEMA_OBJECT_KINDS:
        whole = session.object_name(name)
        if kind == "PROCEDURE":
            whole = procedure.full_name(session, name, procedure.read_signature(reader))
        known = instance.has_sequence(whole) if kind == "SEQUENCE" else (kind, whole) in instance.registry.objects
        if not known:
            raise error.missing(kind.capitalize(), ".".join(whole))
        return kind, whole
    if kind == "INTEGRATION":
        kinds = [k for k, n in instance.registry.objects if n == name[:1] and k.endswith("INTEGRATION")]
        if not kinds:
            raise error.missing("Integration", name[0])
        return kind, name[:1]
    if (kind, name[:1]) not in instance.registry.objects:
        raise error.missing(kind.capitalize(), name[0])
    return kind, name[:1]


def _targets(session: Session, reader: Reader) -> tuple[list[tuple[str, Name]], bool, str]:
    """Read what is granted on: the objects, or the containers of future ones; whether those; the kind of each."""
    if reader.take("ACCOUNT"):
        return [("ACCOUNT", ())], False, "ACCOUNT"
    mode = reader.take_any("ALL", "FUTURE")
    if not mode:
        found = read_object(session, reader)
        return [found], False, found[0]
    kind = reader.take_any(*(_plural(k) for k in KINDS))
    if not kind:
        raise error.unsupported(f"GRANT .. ON {mode} {reader.peek()}")
    kind = _singular(kind)
    reader.expect("IN")
    inside, container = read_object(session, reader)
    if inside not in ("DATABASE", "SCHEMA"):
        raise reader.unexpected()
    if mode == "FUTURE":
        return [(kind, container)], True, kind
    return _present(session, kind, container), False, kind


def _present(session: Session, kind: str, container: Name) -> list[tuple[str, Name]]:
    if kind == "SCHEMA":
        return [("SCHEMA", (*container, schema)) for schema in session.instance.schemas(container[0])]
    if kind not in RELATION_KINDS:
        return [(k, n) for k, n in session.instance.registry.objects if k == kind and n[: len(container)] == container]
    return [(k, n) for k, n in session.instance.relations(container) if k == kind]


def _plural(kind: str) -> str:
    return kind[:-1] + "IES" if kind.endswith("Y") else kind + "S"


def _singular(kinds: str) -> str:
    return kinds[:-3] + "Y" if kinds.endswith("IES") else kinds[:-1]


def _role(cursor: Cursor, reader: Reader, *, granting: bool) -> Result:
    session, registry = cursor.session, cursor.session.instance.registry
    reader.expect("ROLE")
    role = reader.name()[0]
    if not session.instance.access.is_role(role):
        raise error.missing("Role", role)
    reader.take_any("TO", "FROM")
    grantee, kind = _grantee(session, reader)
    session.instance.access.require_granting(session, "ROLE", (role,))
    if kind == "ROLE" and grantee in session.instance.access.effective(role) and granting:
        raise error.syntax(f"Granting role '{role}' to '{grantee}' would create a circular grant.")
    grant = Grant(privilege="USAGE", kind="ROLE", name=(role,), grantee=grantee, grantee_kind=kind)
    if granting:
        registry.add_grants([grant], grantor=session.role)
    else:
        registry.remove_grants([grant])
    return Result.status()


def _ownership(cursor: Cursor, reader: Reader) -> Result:
    session, registry = cursor.session, cursor.session.instance.registry
    reader.expect("ON")
    targets, future, _ = _targets(session, reader)
    reader.expect("TO")
    role, kind = _grantee(session, reader)
    if kind != "ROLE":
        raise error.syntax("ownership is granted to a role.")
    if future:
        for _, container in targets:
            session.instance.access.require_granting_future(session, container)
        grants = [Grant(privilege="OWNERSHIP", kind=k, name=n, grantee=role, future=True) for k, n in targets]
        registry.add_grants(grants, grantor=session.role)
        return Result.status()
    mode = reader.take_any("COPY CURRENT GRANTS", "REVOKE CURRENT GRANTS")
    for object_kind, name in targets:
        session.instance.access.require_granting(session, object_kind, name)
        others = [g for g in registry.grants_on(object_kind, name) if g.privilege != "OWNERSHIP"]
        if others and not mode:
            raise error.dependent_grant(others[0].privilege, ".".join(name), others[0].grantee)
        if mode == "REVOKE CURRENT GRANTS":
            registry.remove_grants(others)
        registry.set_owner(object_kind, name, role)
    return Result.status()
