"""Where words go: a console that is not ended by a reader that leaves."""

from __future__ import annotations

import os
from typing import IO

from rich.console import Console


class Outlet(Console):
    """A console whose reader, `head` for one, may leave: what is printed then goes nowhere, and the command goes on."""

    def on_broken_pipe(self) -> None:
        """Print nowhere from now on."""
        let_go(self.file)


def let_go(stream: IO[str]) -> None:
    """Have what is written to a stream of this process go nowhere from now on, what it still holds too."""
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), stream.fileno())
