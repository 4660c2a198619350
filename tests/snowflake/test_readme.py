"""The package stands alone, and its README tells what it refuses: a table that is written from the cases.

`python -m tests.snowflake.test_readme` writes the table anew.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

from .cases import CASES

PACKAGE = Path(__file__).parents[2] / "slipway" / "sandbox" / "snowflake"
README = PACKAGE / "README.md"
BEGIN, END = "<!-- refusals -->", "<!-- end of refusals -->"


def table() -> str:
    """Return what is refused, as the cases have it: the words of the error, and the page of what Snowflake does."""
    rows = {}
    for case in CASES:
        for step in case.refusals:
            what = step.text.removeprefix("Unsupported by the embedded Snowflake: ").removesuffix(". Nothing was done.")
            rows.setdefault(re.sub(r"\{\w+\}", "..", what).replace("|", "or"), case)
    lines = [f"| `{what}` | [{case.page.rsplit('/', 1)[-1]}]({case.cites}) |" for what, case in sorted(rows.items())]
    return "\n".join(["| `<what>` | Snowflake's page |", "| --- | --- |", *lines])


def written(text: str) -> str:
    """Return the README with its table as it should be."""
    before, rest = text.split(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}"


def test_the_readme_tells_what_is_refused() -> None:
    assert README.read_text() == written(README.read_text()), "python -m tests.snowflake.test_readme"
    assert table().count("\n") > 30


def test_the_readme_names_every_module() -> None:
    told = set(re.findall(r"`(\w+)`", README.read_text()))
    modules = {path.stem for path in PACKAGE.glob("*.py")} - {"__init__", "__main__"}
    quiet = {"server", "session", "cursor", "error", "result", "wire", "store", "privilege"}
    assert modules - told <= quiet, modules - told - quiet


def test_the_package_imports_nothing_of_the_project_around_it() -> None:
    inside = ".".join(PACKAGE.parts[-3:])
    paths = sorted(PACKAGE.glob("*.py"))
    assert paths
    for path in paths:
        for node in ast.walk(ast.parse(path.read_text())):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not name.startswith("slipway") or name.startswith(inside), f"{path.name} imports {name}"


if __name__ == "__main__":
    README.write_text(written(README.read_text()))
