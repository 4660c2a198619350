"""An embedded Snowflake: fakesnow and DuckDB under a layer that adds what releases depend on.

Over the wire: `python -m slipway.sandbox.snowflake serve --state DIR --ready-file F`. In one process, for unit tests:

    with in_process() as connect:
        connect(role="ACCOUNTADMIN").cursor().execute("SELECT 1")
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from slipway.sandbox.snowflake.session import Session


@contextlib.contextmanager
def in_process(state: Path | None = None, *, s3: Any = None) -> Iterator[Callable[..., Session]]:
    """Give a `connect(**kwargs)` that takes what `snowflake.connector.connect` takes, without a server.

    Args:
        state: folder to keep everything in; None takes a temporary one that is removed at the end.
        s3: the boto3 client that external stages are read through; None makes one from the environment.
    Side effects: locks the folder. Sessions still open at the end are closed.
    """
    from slipway.sandbox.snowflake.instance import Instance

    with contextlib.ExitStack() as stack:
        folder = state or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="embedded-snowflake-")))
        instance = Instance(folder, s3=s3)
        stack.callback(instance.close)

        def connect(**arguments: Any) -> Session:
            return instance.connect(**arguments)

        yield connect


__all__ = ["in_process"]
