"""Runs one day of a pipeline as a worker does: the functions behind the tasks, in Airflow's own Python.

`python worker.py <dags folder> <pipeline> <day>`: connections come from the environment, as Airflow reads them. What is
logged goes to standard error; one JSON document on standard output says what each task returned or how it failed.
"""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime, timedelta
from typing import Any


def main(folder: str, name: str, day: str) -> dict[str, Any]:
    """Return by task its result, or its error as text."""
    sys.path.insert(0, folder)
    from etl import catalog, pipeline

    handler = logging.StreamHandler()
    handler.setFormatter(logging.Formatter("%(name)s %(levelname)s %(message)s"))
    logging.getLogger("etl").addHandler(handler)
    logging.getLogger("etl").setLevel(logging.INFO)
    dataset = next(one for one in catalog.LOADED if one.pipeline == name)
    start = datetime.fromisoformat(day).replace(tzinfo=UTC)
    window = pipeline._window(start, start + timedelta(days=1))
    batch = json.loads(json.dumps(pipeline._extract(dataset, window)))
    found: dict[str, Any] = {"load": pipeline._load(dataset, batch), "check": pipeline._check(dataset, window)}
    try:
        found["quarantine"] = pipeline._quarantine(dataset, window)
    except Exception as error:
        found["quarantine"] = f"{type(error).__name__}: {error}"
    found["wait_for_loads"] = pipeline._loads_present((dataset,), window).is_done
    return found


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
