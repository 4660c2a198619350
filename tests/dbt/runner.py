"""dbt in a process that lives as long as the tests: its imports and its parsed project are paid for once.

Reads lines of JSON, each a list of arguments for dbt, and answers each with one line of JSON. What dbt prints goes to
standard error.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

from dbt.cli.main import dbtRunner


def main() -> None:
    """Answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        print(json.dumps(invoke(json.loads(line))), file=answers, flush=True)


def invoke(arguments: list[str]) -> dict[str, Any]:
    """Run dbt once and return its outcome, its nodes' outcomes and what it warned of."""
    warnings: list[str] = []

    def listen(event: Any) -> None:
        if event.info.level in ("warn", "error"):
            warnings.append(f"{event.info.name}: {event.info.msg}")

    outcome = dbtRunner(callbacks=[listen]).invoke(arguments)
    results = getattr(outcome.result, "results", None) or []
    return {
        "success": outcome.success,
        "exception": str(outcome.exception) if outcome.exception else None,
        "warnings": warnings,
        "results": [
            {
                "id": result.node.unique_id,
                "status": str(result.status),
                "failures": result.failures,
                "message": result.message,
                "seconds": result.execution_time,
            }
            for result in results
        ],
    }


if __name__ == "__main__":
    main()
