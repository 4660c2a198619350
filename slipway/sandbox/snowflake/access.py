"""Who may do what: roles, their hierarchy, and the refusal of what was not granted.

Rules (https://docs.snowflake.com/en/user-guide/security-access-control-overview):
- a session has one role; that role has the privileges of every role granted to it, and of PUBLIC;
- an object in a database can be used only with USAGE on its database and schema;
- an object on which a role holds nothing "does not exist or not authorized" (2003); one on which it holds another
  privilege than the needed one gives "Insufficient privileges" (3001);
- a view is read with the rights of its owner: its readers need nothing on what it reads;
- ACCOUNTADMIN may do everything. So may a role that was never created, unless users log in with keys: then such a role
  is refused at login.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from snowflake.connector.errors import ProgrammingError

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.privilege import RELATION_KINDS
from slipway.sandbox.snowflake.reader import Name
from slipway.sandbox.snowflake.registry import Registry

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session

# Privileges of the system roles on the account, which nobody has to grant
_ACCOUNT = {
    "CREATE DATABASE": "SYSADMIN",
    "CREATE WAREHOUSE": "SYSADMIN",
    "CREATE ROLE": "USERADMIN",
    "CREATE USER": "USERADMIN",
    "MANAGE GRANTS": "SECURITYADMIN",
}
MANAGED = "MANAGED ACCESS"  # what the registry says of such a schema
_PARENT_ROLES = {"ACCOUNTADMIN": ("SYSADMIN", "SECURITYADMIN"), "SECURITYADMIN": ("USERADMIN",)}


class Access:
    """Answers from the registry; caches the role hierarchy until a grant changes."""

    def __init__(self, registry: Registry, *, strict_roles: bool) -> None:
        self._registry = registry
        self._strict = strict_roles
        self._effective: dict[str, frozenset[str]] = {}
        self._version = -1

    # roles ---------------------------------------------------------------------------------------------------------

    def is_role(self, role: str) -> bool:
        return ("ROLE", (role,)) in self._registry.objects

    def is_user(self, user: str) -> bool:
        return ("USER", (user,)) in self._registry.objects

    def default_role(self, user: str) -> str:
        """Return the role of a login that names none: the user's default, else PUBLIC; a user unknown here is admin."""
        if not self.is_user(user):
            return "ACCOUNTADMIN"
        from slipway.sandbox.snowflake.reader import Reader

        reader = Reader(self._registry.objects[("USER", (user,))])
        for index, word in enumerate(reader.words):
            if word == "DEFAULT_ROLE" and index + 2 < len(reader.tokens):
                return reader.tokens[index + 2].text.upper()
        return "PUBLIC"

    def assume(self, user: str, role: str) -> str:
        """Return `role` if `user` may take it. Raises 2043 for an unknown role, 3001 for one that was not granted."""
        if not self.is_role(role):
            if self._strict:
                raise ProgrammingError(
                    msg=f"SQL compilation error:\nRole '{role}' does not exist or not authorized.",
                    errno=2043,
                    sqlstate="02000",
                )
            return role
        if self.is_user(user) and role not in self.roles_of_user(user):
            raise ProgrammingError(
                msg=f"SQL access control error:\nRequested role '{role}' is not assigned to the executing user. "
                "Specify another role to activate.",
                errno=3013,
                sqlstate="42501",
            )
        return role

    def roles_of_user(self, user: str) -> frozenset[str]:
        """Return every role a user may take, the inherited ones included."""
        direct = {g.name[0] for g in self._registry.held_by(user, "USER") if g.kind == "ROLE"}
        return frozenset().union({"PUBLIC"}, *(self.effective(role) for role in direct))

    def effective(self, role: str) -> frozenset[str]:
        """Return `role`, PUBLIC and every role granted to them, however far down."""
        if self._version != self._registry.version:
            self._effective, self._version = {}, self._registry.version
        if role not in self._effective:
            self._effective[role] = self._close(role)
        return self._effective[role]

    def _close(self, role: str) -> frozenset[str]:
        granted: dict[str, set[str]] = {}
        for grant in self._registry.all_grants():
            if grant.kind == "ROLE" and grant.grantee_kind == "ROLE" and grant.privilege == "USAGE":
                granted.setdefault(grant.grantee, set()).add(grant.name[0])
        found, waiting = set(), [role, "PUBLIC"]
        while waiting:
            current = waiting.pop()
            if current not in found:
                found.add(current)
                waiting += [*granted.get(current, ()), *_PARENT_ROLES.get(current, ())]
        return frozenset(found)

    # objects -------------------------------------------------------------------------------------------------------

    def is_unrestricted(self, session: Session) -> bool:
        """Tell whether the session's role may do everything."""
        return "ACCOUNTADMIN" in self.effective(session.role) or not self.is_role(session.role)

    def _held(self, session: Session, kind: str, name: Name) -> set[str]:
        return self._held_by(self.effective(session.role), kind, name)

    def _held_by(self, roles: frozenset[str], kind: str, name: Name) -> set[str]:
        """Return what roles hold on an object; a user of the same name as a role is not that role."""
        grants = self._registry.grants_on(kind, name)
        return {grant.privilege for grant in grants if grant.grantee_kind == "ROLE" and grant.grantee in roles}

    def may_read(self, role: str, name: Name) -> bool:
        """Tell whether a role may read a table or view, whoever asks."""
        roles = self.effective(role)
        if "ACCOUNTADMIN" in roles or not self.is_role(role):
            return True
        wanted = (("DATABASE", name[:1], "USAGE"), ("SCHEMA", name[:2], "USAGE"), ("TABLE", name, "SELECT"))
        return all(self._held_by(roles, kind, place) & {privilege, "OWNERSHIP"} for kind, place, privilege in wanted)

    def may_see(self, session: Session, kind: str, name: Name) -> bool:
        """Tell whether the role holds anything on the object, or on something in a database or schema."""
        if self.is_unrestricted(session) or name in session.temporary:
            return True
        if name[-1] == "INFORMATION_SCHEMA":
            return True
        return bool(self._held(session, kind, name))

    def has_account_privilege(self, session: Session, privilege: str) -> bool:
        """Tell whether the role holds a privilege on the account, by grant or because it is a system role."""
        if self.is_unrestricted(session) or privilege in self._held(session, "ACCOUNT", ()):
            return True
        return _ACCOUNT.get(privilege) in self.effective(session.role)

    def role_has_account_privilege(self, role: str, privilege: str) -> bool:
        """Tell whether a role holds a privilege on the account, whoever asks."""
        roles = self.effective(role)
        granted = privilege in self._held_by(roles, "ACCOUNT", ())
        return granted or "ACCOUNTADMIN" in roles or not self.is_role(role)

    def require_account(self, session: Session, privilege: str) -> None:
        """Raise 3001 unless the role holds `privilege` on the account."""
        if not self.has_account_privilege(session, privilege):
            raise error.insufficient("account", session.account.upper())

    def require(self, session: Session, kind: str, name: Name, *privileges: str) -> None:
        """Raise 2003 or 3001 unless the role may use an object: its containers, and one of `privileges` or ownership.

        Without `privileges` holding anything on the object is enough.
        """
        if self.is_unrestricted(session) or name in session.temporary:
            return
        for depth, container in ((1, "DATABASE"), (2, "SCHEMA")):
            if len(name) > depth and not self._held(session, container, name[:depth]) & {"USAGE", "OWNERSHIP"}:
                raise error.missing(_word(kind), ".".join(name))
        held = self._held(session, kind, name)
        if not held:
            raise error.missing(_word(kind), ".".join(name))
        if privileges and not held & {"OWNERSHIP", *privileges}:
            raise error.insufficient(kind, name[-1])

    def require_creation(self, session: Session, kind: str, container: Name) -> None:
        """Raise 2003 or 3001 unless the role may create a `kind` in a database or schema."""
        inside = "SCHEMA" if len(container) == 2 else "DATABASE"
        self.require(session, inside, container, f"CREATE {kind}")

    def require_granting(self, session: Session, kind: str, name: Name) -> None:
        """Raise unless the role may grant on an object: its owner, or a role with MANAGE GRANTS.

        In a schema with managed access the owner of the schema grants in the place of the owners of what it contains.
        """
        if self.has_account_privilege(session, "MANAGE GRANTS"):
            return
        if len(name) == 3 and self.is_managed(name[:2]):
            kind, name = "SCHEMA", name[:2]
        if kind == "ACCOUNT":
            raise error.insufficient("account", session.account.upper())
        held = self._held(session, kind, name)
        if not held and kind != "ROLE":
            raise error.missing(_word(kind), ".".join(name))
        if "OWNERSHIP" not in held:
            raise error.insufficient(kind, name[-1])

    def require_granting_future(self, session: Session, container: Name) -> None:
        """Raise unless the role may grant on what is not there yet: MANAGE GRANTS, or ownership of a schema with
        managed access."""
        kind = "DATABASE" if len(container) == 1 else "SCHEMA"
        self.require_granting(session, kind, container)
        if not (self.has_account_privilege(session, "MANAGE GRANTS") or self.is_managed(container)):
            raise error.insufficient(kind, container[-1])

    def is_managed(self, schema: Name) -> bool:
        """Tell whether a schema has managed access."""
        return self._registry.objects.get(("SCHEMA", schema)) == MANAGED


def _word(kind: str) -> str:
    return "Object" if kind in RELATION_KINDS else kind.capitalize()
