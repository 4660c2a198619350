"""The house's one direction: core imports the standard library and pydantic only; engine imports no adapter."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

SLIPWAY = Path(__file__).parents[2] / "slipway"
# Those that know core and adapters both
ABOVE = ("site", "operation", "record", "launch", "retraction", "contraction", "backfill_operation")
SHOWING = ("console", "progress", "render", "render_comparison", "backfill_report")
EDGE = {f"{name}.py" for name in (*ABOVE, *SHOWING)}
CORE = sorted(path for path in SLIPWAY.glob("*.py") if path.name not in EDGE)


OUTSIDE = tuple(f"slipway.{name}" for name in ("tasks", "sandbox", "engine", *ABOVE))


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module)
    return found


def test_the_core_is_there() -> None:
    assert len(CORE) >= 12


@pytest.mark.parametrize("path", CORE, ids=lambda path: path.name)
def test_core_imports_only_core_pydantic_and_the_standard_library(path: Path) -> None:
    for name in imports_of(path):
        top = name.split(".")[0]
        if top == "slipway":
            assert name.split(".")[1] + ".py" in {one.name for one in CORE} | {"__init__.py"}, name
        else:
            waits = path.name == "patience.py" and top == "tenacity"  # for what does not answer
            assert waits or top == "pydantic" or top in sys.stdlib_module_names, name


@pytest.mark.parametrize("folder", ["adapters", "sandbox"])
def test_only_tasks_import_invoke(folder: str) -> None:
    paths = list((SLIPWAY / folder).rglob("*.py"))
    assert paths
    for path in paths:
        assert not any(name.split(".")[0] == "invoke" for name in imports_of(path)), path


def test_adapters_import_nothing_of_what_uses_them() -> None:
    for path in (SLIPWAY / "adapters").glob("*.py"):
        for name in imports_of(path):
            assert not name.startswith(OUTSIDE), path
