"""What a statement is about to do to the registry, written down before it touches a database file.

A table lives in the file of its database, what is granted on it in the registry: no transaction spans both. So:
1. the intent is kept in the registry;
2. the transaction in the database file marks it as done;
3. the registry is changed and the intent dropped, in one transaction.
After a kill, whatever was intended and is marked is carried out, the rest is dropped: both files tell of one state.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from slipway.sandbox.snowflake.store import STORE

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.registry import Registry

TABLE = "intents(token varchar, database varchar, steps varchar)"
MARKS = "_fs_information_schema._fs_done"  # in every database file
Step = dict[str, Any]


def step(do: str, **arguments: Any) -> Step:
    """Return one change of the registry: the name of its method, and arguments that survive JSON."""
    return {"do": do, "with": arguments}


class Intents:
    """The intents of one registry."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def begin(self, database: str, steps: Sequence[Step]) -> str:
        """Keep an intent, and return the token that marks it. Side effects: one transaction in the registry."""
        token = uuid.uuid4().hex
        with self._registry.changing() as connection:
            connection.execute(f"INSERT INTO {STORE}.intents VALUES (?, ?, ?)", [token, database, json.dumps(steps)])
        return token

    def drop(self, token: str) -> None:
        """Forget an intent whose transaction failed."""
        with self._registry.changing() as connection:
            connection.execute(f"DELETE FROM {STORE}.intents WHERE token = ?", [token])

    def fulfil(self, token: str, steps: Sequence[Step]) -> None:
        """Change the registry as intended and forget the intent, in one transaction."""
        with self._registry.changing() as connection:
            for one in steps:
                getattr(self._registry, one["do"])(**_restored(one["with"]))
            connection.execute(f"DELETE FROM {STORE}.intents WHERE token = ?", [token])

    def resume(self, is_marked: Callable[[str, str], bool]) -> None:
        """Carry out what a killed process had done in its database file, and drop what it had not."""
        for token, database, steps in self._registry.query(f"SELECT token, database, steps FROM {STORE}.intents"):
            if database in self._registry.databases and is_marked(database, token):
                self.fulfil(token, json.loads(steps))
            else:
                self.drop(token)


def _restored(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments as they were before JSON: names are tuples again."""
    return {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}
