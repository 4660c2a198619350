"""What a run of the contract found: passed, refused as unsupported in so many words, or wrong."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def summary(reports: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Return what the reports of pytest say: counts, one line, and every case with its page and outcome."""
    found: dict[str, dict[str, Any]] = {}
    for how, report in reports:
        facts = dict(report.user_properties)
        one = found.setdefault(report.nodeid, {"test": report.nodeid.split("::", 1)[1], "outcome": "passed"})
        one |= {key: facts[key] for key in ("backend", "case", "cites") if key in facts}
        if how != "passed":
            one["outcome"] = "wrong"
        elif facts.get("unsupported") and one["outcome"] == "passed":
            one["outcome"] = "unsupported"
    counts = {
        word: sum(one["outcome"] == word for one in found.values()) for word in ("passed", "unsupported", "wrong")
    }
    holding = counts["passed"] + counts["unsupported"]
    told = f"{counts['passed']} passed, {counts['unsupported']} unsupported and said so, {counts['wrong']} wrong"
    return {
        "summary": f"CONTRACT: {holding}/{len(found)} hold ({told})",
        **counts,
        "cases": len({one["case"] for one in found.values() if "case" in one}),
        "results": list(found.values()),
    }


def keep(told: dict[str, Any], path: Path) -> None:
    """Write what was found as JSON. Side effects: makes the folder."""
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(told, indent=1))
