"""What hangs on slots and on published schemas, and would not survive their change. Pure.

Rules:
- Inside a slot everything is read from the same slot or from where it was loaded. A view that names another slot, the
  published schemas or another environment shows readers a mixture once it is published.
- Nothing else names a slot: slots are dropped in the end, and who reads one reads an old release until then.
- Streams follow the object and tasks stay where they are: what hangs on a published view, or stands in the database
  that is swapped, goes with what is put away, and its offset with it. It is never made anew here: rows between the
  offset and the swap would be lost without anybody knowing.
https://docs.snowflake.com/en/user-guide/streams-intro#data-retention-period-and-staleness
https://docs.snowflake.com/en/sql-reference/sql/create-task
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from slipway.slot import MARKER_SCHEMA, PUBLISHED_LAYERS, slot_named_in

Name = tuple[str, ...]  # database, schema, object; fewer parts when less was said


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A view and what its text names; None when its text is not to be seen.

    Attributes:
        names: of tables and views, each with as many parts as the text has.
    """

    place: Name
    names: frozenset[Name] | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Stream:
    """A stream and the table or view whose changes it follows."""

    place: Name
    source: Name


@dataclass(frozen=True, kw_only=True, slots=True)
class Task:
    """A task of the warehouse and whether it is started."""

    place: Name
    is_started: bool


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Hindrance:
    """What stands in the way, where, and what to do with it."""

    place: str
    reason: str
    fix: str

    def __str__(self) -> str:
        return f"{self.place} {self.reason}; {self.fix}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Ground:
    """The databases of an environment, and those of the others: name -> environment."""

    analytics: str
    marts: str
    elsewhere: Mapping[str, str]


def mixtures(views: Iterable[View], ground: Ground, *, slot: str) -> tuple[Hindrance, ...]:
    """Return the views of a slot that show something else than the slot, in order. No side effects."""
    found = []
    for view in views:
        place = ".".join(view.place)
        if view.names is None:
            found.append(
                Hindrance(
                    place=place,
                    reason="does not show its text, so that nobody knows what it reads",
                    fix="have the role of the deployer own it",
                )
            )
            continue
        for name in sorted(view.names):
            if reason := _mixture(name, ground, slot):
                found.append(
                    Hindrance(place=place, reason=f"names {'.'.join(name)}, {reason}", fix="use ref() or source()")
                )
    return tuple(sorted(set(found)))


def bystanders(views: Iterable[View], ground: Ground) -> tuple[Hindrance, ...]:
    """Return the views outside slots and published layers that name a slot, in order. No side effects."""
    return tuple(
        sorted(
            Hindrance(
                place=".".join(view.place),
                reason=f"names {'.'.join(name)}, of slot {slot}",
                fix=f"have it name {ground.marts}, or drop it",
            )
            for view in views
            if not _is_ours(view.place, ground)
            for name in view.names or ()
            if (slot := _slot_of(name))
        )
    )


def hanging(streams: Iterable[Stream], tasks: Iterable[Task], ground: Ground) -> tuple[Hindrance, ...]:
    """Return the streams and tasks that a publishing, or the drop of a slot, would break, in order. No side effects."""
    return tuple(sorted((*_hanging_streams(streams, ground), *_hanging_tasks(tasks, ground))))


def strangers(contents: Mapping[str, Collection[str]], made: Mapping[str, Collection[str]]) -> tuple[Name, ...]:
    """Return what stands in the published database and was put there by somebody else, by name. No side effects.

    Args:
        contents: schema -> what stands there.
        made: published layer -> what the slot shown there holds.
    """
    known = {*PUBLISHED_LAYERS, MARKER_SCHEMA}
    return tuple(
        sorted(
            (schema, name)
            for schema, names in contents.items()
            for name in names
            if schema != MARKER_SCHEMA and (schema not in known or name not in made.get(schema, ()))
        )
    )


def _mixture(name: Name, ground: Ground, slot: str) -> str:
    other = _slot_of(name)
    if other and other != slot:
        return f"of slot {other}"
    database = name[0] if len(name) > 2 else ""
    if database in ground.elsewhere:
        return f"of {ground.elsewhere[database]}"
    if database == ground.marts:
        return "which is published from another slot"
    return ""


def _slot_of(name: Name) -> str:
    """Return the slot whose schema `name` is in; empty when it is in none."""
    return (slot_named_in(name[-2]) if len(name) > 1 else None) or ""


def _is_ours(place: Name, ground: Ground) -> bool:
    database, schema = place[:2]
    return (database == ground.analytics and bool(slot_named_in(schema))) or database.startswith(ground.marts)


def _hanging_streams(streams: Iterable[Stream], ground: Ground) -> Iterator[Hindrance]:
    for one in streams:
        place, source = ".".join(one.place), ".".join(one.source)
        if one.place[0] == ground.marts:
            yield Hindrance(
                place=f"stream {place}",
                reason=f"stands in {ground.marts}, which is swapped",
                fix="consume it, drop it, make it in a database of its own",
            )
        elif one.source[0] == ground.marts or (one.source[0] == ground.analytics and _slot_of(one.source)):
            yield Hindrance(
                place=f"stream {place}",
                reason=f"follows {source}, which is replaced by every release",
                fix="consume it, drop it, follow the loaded table instead",
            )


def _hanging_tasks(tasks: Iterable[Task], ground: Ground) -> Iterator[Hindrance]:
    for one in tasks:
        inside = one.place[0] == ground.marts or (one.place[0] == ground.analytics and slot_named_in(one.place[1]))
        if inside:
            state = "started" if one.is_started else "suspended"
            yield Hindrance(
                place=f"task {'.'.join(one.place)} ({state})",
                reason="stands where every release puts something else",
                fix="suspend it, drop it, make it in a database of its own",
            )
