"""Comments, and the declared lengths of text columns: what DuckDB does not keep of a table."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from slipway.sandbox.snowflake.reader import Name
from slipway.sandbox.snowflake.store import DESCRIPTIONS

UNLIMITED = 16777216  # characters: the length of a text column that declares none
BYTES = 4  # of a character, at most
_PARTS = ("ext_table_catalog", "ext_table_schema", "ext_table_name")
# table -> its columns after the name of what they describe
_TABLES = {
    "_fs_tables_ext": ("comment",),
    "_fs_columns_ext": ("ext_column_name", "ext_character_maximum_length", "ext_character_octet_length"),
}


class Descriptions:
    """Every method runs in the caller's transaction of the global database. `name` is any prefix of a table's name."""

    def __init__(self) -> None:
        self.lengths: dict[Name, dict[str, int]] = {}  # of text columns, by table
        self._commented: set[Name] = set()  # whole names, padded with empty parts

    def load(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Read the lengths again, and what has a comment."""
        commented = connection.execute(f"SELECT {', '.join(_PARTS)} FROM {DESCRIPTIONS}._fs_tables_ext").fetchall()
        self._commented = {tuple(name) for name in commented}
        self.lengths = {}
        rows = connection.execute(
            f"SELECT {', '.join(_PARTS)}, ext_column_name, ext_character_maximum_length "
            f"FROM {DESCRIPTIONS}._fs_columns_ext"
        ).fetchall()
        for *name, column, length in rows:
            self.lengths.setdefault(tuple(name), {})[column] = length

    def write(
        self,
        connection: duckdb.DuckDBPyConnection,
        name: Name,
        *,
        comment: str | None,
        lengths: Sequence[tuple[str, int]],
    ) -> None:
        """Describe a table that was created, in place of one it replaced."""
        self.forget(connection, name)
        if comment is not None:
            self.set_comment(connection, name, comment)
        if lengths:
            self.set_lengths(connection, name, lengths)

    def set_comment(self, connection: duckdb.DuckDBPyConnection, name: Name, comment: str) -> None:
        """Set the comment of a table, view, schema or database; `name` is padded with empty parts."""
        padded = (*name, "", "")[:3]
        self._commented.add(padded)
        connection.execute(
            f"INSERT OR REPLACE INTO {DESCRIPTIONS}._fs_tables_ext VALUES (?, ?, ?, ?)", [*padded, comment]
        )

    def set_lengths(
        self, connection: duckdb.DuckDBPyConnection, name: Name, lengths: Sequence[tuple[str, int]]
    ) -> None:
        """Record the declared lengths of text columns."""
        rows = [[*name, column, length, min(length * BYTES, UNLIMITED)] for column, length in lengths]
        marks = ", ".join(["(?, ?, ?, ?, ?, ?)"] * len(rows))
        connection.execute(
            f"INSERT OR REPLACE INTO {DESCRIPTIONS}._fs_columns_ext VALUES {marks}",
            [value for row in rows for value in row],
        )
        self.lengths.setdefault(name, {}).update(lengths)

    def copy(self, connection: duckdb.DuckDBPyConnection, source: Name, target: Name) -> None:
        """Describe `target` and what is in it as `source` and what is in that."""
        depth = len(source)
        for table in self._described(source):
            rest = _TABLES[table]
            marks = ", ".join(["?::varchar"] * len(target))
            kept = ", ".join([*_PARTS[len(source) :], *rest])
            connection.execute(
                f"INSERT OR REPLACE INTO {DESCRIPTIONS}.{table} SELECT {marks}, {kept} FROM {DESCRIPTIONS}.{table} "
                f"WHERE {_where(source)}",
                [*target, *source],
            )
        for name in [name for name in self.lengths if name[:depth] == source]:
            self.lengths[(*target, *name[depth:])] = dict(self.lengths[name])
        self._commented |= {(*target, *name[depth:]) for name in self._commented if name[:depth] == source}

    def move(self, connection: duckdb.DuckDBPyConnection, old: Name, new: Name) -> None:
        """Let descriptions follow what was renamed. The lengths must be loaded again afterwards."""
        for table, columns in _TABLES.items():
            rest = ", ".join([*_PARTS[len(old) :], *columns])
            store = f"{DESCRIPTIONS}.{table}"
            rows = connection.execute(f"SELECT {rest} FROM {store} WHERE {_where(old)}", list(old)).fetchall()
            if not rows:
                continue
            # not an UPDATE: DuckDB's unique index would see old and new keys at once
            connection.execute(f"DELETE FROM {store} WHERE {_where(old)}", list(old))
            marks = ", ".join("?" * (len(new) + len(rows[0])))
            connection.executemany(
                f"INSERT OR REPLACE INTO {store} ({', '.join(_PARTS[: len(new)])}, {rest}) VALUES ({marks})",
                [[*new, *row] for row in rows],
            )

    def forget(self, connection: duckdb.DuckDBPyConnection, name: Name) -> None:
        """Forget what was dropped, and what was in it."""
        for table in self._described(name):
            connection.execute(f"DELETE FROM {DESCRIPTIONS}.{table} WHERE {_where(name)}", list(name))
        self._commented = {known for known in self._commented if known[: len(name)] != name}
        for table_name in [known for known in self.lengths if known[: len(name)] == name]:
            del self.lengths[table_name]

    def _described(self, name: Name) -> list[str]:
        """Return the tables that hold something of what was given this name, or of what is in it."""
        depth = len(name)
        commented = any(known[:depth] == name for known in self._commented)
        measured = any(known[:depth] == name for known in self.lengths)
        return [table for table, held in zip(_TABLES, (commented, measured), strict=True) if held]


def _where(name: Name) -> str:
    return " AND ".join(f"{part} = ?" for part in _PARTS[: len(name)])
