"""Tests of the shared library of the DAGs, which is imported the way Airflow does: with the dags folder on the path."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "dags"))
