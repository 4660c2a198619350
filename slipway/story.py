"""A deployment told as a story, from its signed evidence. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from slipway.deployment import NOTES, Event
from slipway.evidence import Bundle


def story(bundle: Bundle, journal: Iterable[Event] = ()) -> tuple[str, ...]:
    """Return a deployment as sentences a person reads, in the order things happened.

    Args:
        journal: of its environment; what it notes of that time, as a lock that was broken, is told too.
    """
    first, last = bundle.events[0].seq, bundle.events[-1].seq
    notes = (event for event in journal if event.kind in NOTES and first < event.seq < last)
    events = sorted((*bundle.events, *notes), key=lambda event: event.seq)
    return tuple(f"{event.at[:19].replace('T', ' ')}  {line}" for event in events for line in sentences(event))


def sentences(event: Event) -> list[str]:
    """Return what one event tells, as a person reads it."""
    data = event.data
    match event.kind:
        case "began" | "resumed":
            return _beginning(event.kind, data)
        case "step-started":
            return [f"{data['kind']}: {data['summary']}"]
        case "step-done":
            found = "found done" if data["found"] else f"done in {data['duration_ms'] / 1000:.1f} s"
            return [f"  {found}: {data['summary']}"]
        case "step-failed":
            return [f"  failed after {data['duration_ms'] / 1000:.1f} s: {data['message'].splitlines()[0]}"]
        case "verifying":
            return ["looked at the environment again"]
        case "succeeded":
            return ["succeeded: there was nothing left to do"]
        case "failed" | "abandoned":
            return [f"{event.kind}: {data['message'].splitlines()[0]}"]
        case "lock-broken":
            return [f"{data['by']} broke the lock of {data['holder']}: {data['reason']}"]
        case "script-undoing" | "script-undone":
            verb = "began to take" if event.kind == "script-undoing" else "took"
            why = f": {data['reason']}" if data["reason"] else ""
            return [f"{data['by']} {verb} {data['script']} back{why}"]
        case "cleaned":
            return [f"{data['by']} cleaned up: {cleaning(data)}"]


def cleaning(data: Mapping[str, Any]) -> str:
    """Return what a clean-up set out to do, in words."""
    said = [f"{', '.join(data[kind])} {kind}" for kind in ("quarantined", "dropped", "released") if data[kind]]
    return "; ".join(said)


def _beginning(kind: str, data: Mapping[str, Any]) -> list[str]:
    verb = "began" if kind == "began" else "went on with"
    lines = [f"{data['by']} {verb} the {data['purpose']} of version {data['version']} by plan {data['plan'][:12]}"]
    if data.get("breaks_glass"):
        lines.append("THE GLASS WAS BROKEN: gates were lifted, and a review is owed")
    for one in data.get("approvals", ()):
        said = "had approved it" if one["kind"] == "approval" else "broke the glass for it"
        lines.append(f"  {one['person']} {said}: {one['reason']}")
    lines += [f"  gate {one['id']} {one['state']}: {one['reason']}" for one in data.get("gates", ())]
    return lines
