"""A real account of Snowflake as a third backend of the contract, named by environment variables.

    SLIPWAY_CONTRACT_ACCOUNT     the account's identifier: with it the contract runs there, and nowhere else
    SLIPWAY_CONTRACT_USER        a user with the role below
    SLIPWAY_CONTRACT_KEY_FILE    the user's private key (PKCS8, PEM)
    SLIPWAY_CONTRACT_ROLE        a role that may make databases and roles and grant them; ACCOUNTADMIN unless said
    SLIPWAY_CONTRACT_WAREHOUSE   a warehouse
    SLIPWAY_CONTRACT_HOST, _PORT, _PROTOCOL   where the account is, when not where its identifier says

Everything the suite makes has a token of the run in its name, and is dropped at its end.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import snowflake.connector

from .case import Case

_PREFIX = "SLIPWAY_CONTRACT_"
_LOCAL = ("s3://contract", "{files}", "file://", "s3://no-such-bucket")  # what only the embedded platform can reach


@dataclass(frozen=True, kw_only=True, slots=True)
class Account:
    """Where to log in, and as whom."""

    account: str
    user: str
    key_file: str
    role: str
    warehouse: str
    host: str
    port: str
    protocol: str

    @classmethod
    def from_environment(cls, variables: Mapping[str, str]) -> Account | None:
        """Return the account the variables name, None when they name none. Raises for variables that are missing."""
        given = {key: variables.get(f"{_PREFIX}{key.upper()}", "") for key in cls.__dataclass_fields__}
        if not given["account"]:
            return None
        missing = [f"{_PREFIX}{key.upper()}" for key in ("user", "key_file", "warehouse") if not given[key]]
        if missing:
            raise ValueError(f"{_PREFIX}ACCOUNT is set, and {', '.join(missing)} is not")
        return cls(**{**given, "role": given["role"] or "ACCOUNTADMIN"})

    def connect(self, **arguments: Any) -> Any:
        """Open a session; a role other than the account's own is granted to the user first."""
        role = arguments.get("role") or self.role
        where = {"host": self.host, "port": int(self.port or 443), "protocol": self.protocol or "https"}
        login = {"account": self.account, "user": self.user, "private_key_file": self.key_file, "role": role}
        places = {key: arguments[key] for key in ("database", "schema") if arguments.get(key)}
        return snowflake.connector.connect(
            **login,
            **(where if self.host else {}),
            **places,
            warehouse=self.warehouse,
            platform_detection_timeout_seconds=0,
        )


def runs_there(case: Case) -> bool:
    """Tell whether a case can be tried on a real account: it refuses nothing, and reaches nothing of this machine."""
    return not case.refusals and not any(word in step.sql for step in case.steps for word in _LOCAL)


ACCOUNT = Account.from_environment(os.environ)
TOKEN = f"C{secrets.token_hex(3).upper()}"
