"""What a pipeline carries: where it comes from, where it goes, and by what key and totals it is judged."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

# Parts of 100 to 250 MB compressed load best: https://docs.snowflake.com/en/user-guide/data-load-considerations-prepare
PART_BYTES = 160_000_000
GZIP_RATIO = 3  # plain to compressed at level 1, measured on the generated card feed: 2.9


class Type(StrEnum):
    """Warehouse types of loaded columns."""

    TEXT = "VARCHAR"
    MONEY = "NUMBER(18,2)"
    RATE = "NUMBER(18,8)"
    INTEGER = "NUMBER(38,0)"
    DATE = "DATE"
    TIME = "TIMESTAMP_NTZ"


@dataclass(frozen=True, slots=True)
class Column:
    """A column; its name in the source is the lower case of its name in the warehouse.

    Attributes:
        length: characters that the warehouse takes, of a text that comes in files; None: any number.
        required: True when a line without a value is faulty. Keys and the amount always are.
    """

    name: str
    type: Type = Type.TEXT
    length: int | None = None
    required: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Feed:
    """A table of the source database that only grows.

    Attributes:
        changed: the time column that the window is cut on.
        versioned: True when a key comes again with a later `changed`, the newest being the one that counts.
    """

    table: str
    changed: str
    versioned: bool


@dataclass(frozen=True, slots=True)
class FileSeries:
    """One file a day, named `<prefix><date>[_v<n>]<suffix>`; a higher n corrects a lower one, none counting as 1."""

    part: str
    prefix: str
    suffix: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Tolerance:
    """How much of what partners send may be faulty before the rest is not used either.

    Attributes:
        faulty_percent: share of a file's lines. With more the whole file goes to quarantine, with 0 for a single one.
        files: how many of the files looked at may be missing, being in quarantine with no other version loaded. With
            more, builds that read the dataset wait.
    """

    faulty_percent: int = 0
    files: int = 0


@dataclass(frozen=True, kw_only=True, slots=True)
class Drop:
    """Files that partners leave in the sources bucket.

    Attributes:
        lookback_days: how many earlier days each run looks at again for late and corrected files.
    """

    series: tuple[FileSeries, ...]
    lookback_days: int
    tolerance: Tolerance = Tolerance()


@dataclass(frozen=True, kw_only=True, slots=True)
class Volume:
    """What a day brings where the platform is full-grown: docs/guides/volumes.md is computed from it.

    Attributes:
        rows: a day, before repetitions are removed.
        row_bytes: of one row as plain CSV.
    """

    rows: int
    row_bytes: int

    @property
    def part_rows(self) -> int:
        """Rows that make a part of PART_BYTES, compressed."""
        return PART_BYTES * GZIP_RATIO // self.row_bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Dataset:
    """One table of the RAW database and its source.

    Attributes:
        key: columns that no two rows of the table share, a feed's being a single column.
        amount: the money column whose sum is the control total; None where a sum means nothing.
        balanced_by: columns within which the amount must sum to exactly zero.
    """

    pipeline: str
    schema: str
    table: str
    columns: tuple[Column, ...]
    key: tuple[str, ...]
    source: Feed | Drop
    volume: Volume
    amount: str | None = None
    balanced_by: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(column.name for column in self.columns)

    @property
    def others(self) -> tuple[str, ...]:
        """The columns of a feed that are neither its key nor its time."""
        return tuple(name for name in self.names if name not in (*self.key, self.feed.changed))

    @property
    def header(self) -> str:
        """The header line that its CSV files carry."""
        return ",".join(name.lower() for name in self.names)

    @property
    def feed(self) -> Feed:
        """The source, of a dataset that comes from the database."""
        if not isinstance(self.source, Feed):
            raise TypeError(f"{self.pipeline} comes as files")
        return self.source

    @property
    def drop(self) -> Drop:
        """The source, of a dataset that comes as files."""
        if not isinstance(self.source, Drop):
            raise TypeError(f"{self.pipeline} comes from the database")
        return self.source

    def is_required(self, column: Column) -> bool:
        """Return whether a line of a file without a value for `column` is faulty."""
        return column.required or column.name in (*self.key, self.amount)

    def type_of(self, name: str) -> Type:
        return next(column.type for column in self.columns if column.name == name)
