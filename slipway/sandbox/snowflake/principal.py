"""Objects of the account and others without a table behind them: roles, users, warehouses, integrations, tasks ...

They are registered so that grants, SHOW and USE know them. What would do something by itself (tasks, streams, pipes,
policies, functions) is refused: a migration that needs it must not seem to work here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.key import is_public_key
from slipway.sandbox.snowflake.privilege import SYSTEM_ROLES, Grant
from slipway.sandbox.snowflake.reader import Name, Reader
from slipway.sandbox.snowflake.result import Result

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.cursor import Cursor

# registered and inert on the account
_ACCOUNT_KINDS = (
    "WAREHOUSE",
    "ROLE",
    "USER",
    "RESOURCE MONITOR",
    "STORAGE INTEGRATION",
    "API INTEGRATION",
    "NOTIFICATION INTEGRATION",
    "NETWORK POLICY",
    "SHARE",
)
# registered and inert in a schema
_SCHEMA_KINDS = ("TAG", "SECRET")
_DROPPED = ("STREAM", "TASK")  # made elsewhere, dropped here
_REFUSED = (
    "PIPE",
    "ALERT",
    "FUNCTION",
    "MASKING POLICY",
    "ROW ACCESS POLICY",
    "DATABASE ROLE",
    "DYNAMIC TABLE",
    "EXTERNAL TABLE",
    "EXTERNAL FUNCTION",
    "MATERIALIZED VIEW",
    "ICEBERG TABLE",
    "HYBRID TABLE",
    "EVENT TABLE",
)
_KEY_SLOTS = {"RSA_PUBLIC_KEY": 1, "RSA_PUBLIC_KEY_2": 2}


def _kind(reader: Reader) -> str:
    refused = reader.take_any(*_REFUSED)
    if refused:
        raise error.unsupported(f"{reader.verb} {refused}")
    return reader.take_any(*_ACCOUNT_KINDS, *_SCHEMA_KINDS)


def _name(cursor: Cursor, kind: str, reader: Reader) -> Name:
    name = reader.name()
    return cursor.session.object_name(name) if kind in (*_SCHEMA_KINDS, *_DROPPED) else name[:1]


def handle_create(cursor: Cursor, reader: Reader) -> Result | None:
    """Run CREATE of an account object; returns None for kinds that are known elsewhere."""
    reader.expect("CREATE")
    replace = reader.take("OR", "REPLACE")
    reader.take_any("SECURE", "TEMPORARY", "TEMP", "TRANSIENT")
    kind = _kind(reader)
    if not kind:
        return None
    session, registry = cursor.session, cursor.session.instance.registry
    exists_ok = reader.take("IF", "NOT", "EXISTS")
    name = _name(cursor, kind, reader)
    if kind in _SCHEMA_KINDS:
        session.instance.access.require_creation(session, kind, name[:2])
    else:
        privilege = "CREATE INTEGRATION" if kind.endswith("INTEGRATION") else f"CREATE {kind}"
        session.instance.access.require_account(session, privilege)
    if (kind, name) in registry.objects:
        if exists_ok:
            return Result.status(f"{name[-1]} already exists, statement succeeded.")
        if not replace:
            raise error.already_exists(name[-1])
        registry.drop_object(kind, name)
    keys = _public_keys(reader) if kind == "USER" else {}
    registry.created(kind, name, session.role, definition=reader.sql)
    for slot, key in keys.items():
        registry.set_user_key(name[0], slot, key)
    if kind == "ROLE" and session.role not in ("ACCOUNTADMIN", name[0]):
        owner = Grant(privilege="OWNERSHIP", kind="ROLE", name=name, grantee=session.role)
        registry.add_grants([owner], grantor=session.role)
    return Result.status(f"{kind.capitalize()} {name[-1]} successfully created.")


def _public_keys(reader: Reader) -> dict[int, str]:
    keys = {}
    for word, slot in _KEY_SLOTS.items():
        text = reader.string_after(word)
        if text is None:
            continue
        if not is_public_key(text):
            raise error.syntax(
                f"New public key rejected by current policy. Reason: '{word} is not a valid public key'."
            )
        keys[slot] = text
    return keys


def handle_alter(cursor: Cursor, reader: Reader) -> Result | None:
    """Run ALTER of an account object; settings are recorded nowhere, except a user's public keys."""
    reader.expect("ALTER")
    if reader.take("ACCOUNT"):
        raise error.unsupported("ALTER ACCOUNT")
    kind = _kind(reader)
    if not kind:
        return None
    session, registry = cursor.session, cursor.session.instance.registry
    missing_ok = reader.take("IF", "EXISTS")
    name = _name(cursor, kind, reader)
    if (kind, name) not in registry.objects:
        if missing_ok:
            return Result.status()
        raise error.missing(kind.capitalize(), ".".join(name))
    session.instance.access.require(session, kind, name, "OWNERSHIP", "OPERATE", "MODIFY")
    if kind == "USER":
        _alter_user(cursor, name[0], reader)
    elif reader.take("RENAME", "TO"):
        raise error.unsupported(f"ALTER {kind} .. RENAME TO")
    return Result.status()


def _alter_user(cursor: Cursor, user: str, reader: Reader) -> None:
    registry = cursor.session.instance.registry
    if reader.take("UNSET"):
        for word, slot in _KEY_SLOTS.items():
            if word in reader.words:
                registry.set_user_key(user, slot, None)
        return
    reader.expect("SET")
    for slot, key in _public_keys(reader).items():
        registry.set_user_key(user, slot, key)
    settings = [word for word in reader.words[reader.position :] if word == "DEFAULT_ROLE"]
    if settings:
        registry.put_object("USER", (user,), f"{registry.objects[('USER', (user,))]} {reader.rest()}")


def handle_drop(cursor: Cursor, reader: Reader) -> Result | None:
    """Run DROP of an account object; returns None for kinds that are known elsewhere."""
    reader.expect("DROP")
    if reader.take_any("FUNCTION", "PIPE") and reader.take("IF", "EXISTS"):
        return Result.status(f"Drop statement executed successfully ({reader.name()[-1]} already dropped).")
    reader.position = 1
    kind = _kind(reader) or reader.take_any("INTEGRATION", *_DROPPED)
    if not kind:
        return None
    session, registry = cursor.session, cursor.session.instance.registry
    missing_ok = reader.take("IF", "EXISTS")
    name = _name(cursor, kind, reader)
    if kind == "INTEGRATION":
        kind = next((k for k, n in registry.objects if n == name and k.endswith(kind)), kind)
    if (kind, name) not in registry.objects:
        if missing_ok:
            return Result.status(f"Drop statement executed successfully ({name[-1]} already dropped).")
        raise error.missing(kind.capitalize(), ".".join(name))
    if kind == "ROLE" and name[0] in SYSTEM_ROLES:
        raise error.insufficient("role", name[0])
    session.instance.access.require(session, kind, name, "OWNERSHIP")
    registry.drop_object(kind, name)
    return Result.status(f"{name[-1]} successfully dropped.")
