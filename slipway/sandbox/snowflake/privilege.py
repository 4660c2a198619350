"""What can be granted, and one grant of it."""

from __future__ import annotations

from dataclasses import dataclass

from slipway.sandbox.snowflake.reader import Name

RELATION_KINDS = frozenset({"TABLE", "VIEW", "MATERIALIZED VIEW", "DYNAMIC TABLE", "EXTERNAL TABLE"})
SCHEMA_OBJECT_KINDS = RELATION_KINDS | {
    "STAGE",
    "FILE FORMAT",
    "SEQUENCE",
    "FUNCTION",
    "PROCEDURE",
    "TASK",
    "STREAM",
    "PIPE",
    "TAG",
    "MASKING POLICY",
    "ROW ACCESS POLICY",
    "SECRET",
    "ALERT",
}
SYSTEM_ROLES = ("ACCOUNTADMIN", "SECURITYADMIN", "USERADMIN", "SYSADMIN", "PUBLIC")


@dataclass(frozen=True, kw_only=True, slots=True)
class Grant:
    """One privilege on one object (or on the future objects of a container) held by one role or user."""

    privilege: str
    kind: str
    name: Name
    grantee: str
    grantee_kind: str = "ROLE"
    future: bool = False

    @property
    def lookup(self) -> tuple[str, Name]:
        """The key grants are found by: tables and views share one name space."""
        return ("RELATION" if self.kind in RELATION_KINDS and not self.future else self.kind, self.name)
