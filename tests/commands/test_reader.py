"""A reader that has read enough, `head` for one, ends neither the command nor what the command says of itself."""

from __future__ import annotations

import subprocess
import sys

import pytest

SAYS = {
    "json": "render.print_json([0] * 100_000)",
    "table": "[render.out().print('x' * 1000) for _ in range(1000)]",
    "progress": "[progress.Progress().waiting('x' * 1000) for _ in range(1000)]",
}


@pytest.mark.parametrize("kind", SAYS)
def test_a_command_whose_reader_left_goes_on_and_ends_as_it_would(kind: str) -> None:
    program = f"from slipway import progress, render\n{SAYS[kind]}\nprint('more')\nraise SystemExit(4)"
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        leaves, stays = (running.stderr, running.stdout) if kind == "progress" else (running.stdout, running.stderr)
        leaves.read(10)
        leaves.close()
        said = stays.read()
    assert (running.returncode, said) == (4, "more\n" if kind == "progress" else "")
