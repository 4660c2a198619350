"""`python -m slipway.sandbox.snowflake serve`: run the embedded Snowflake as a process."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from slipway.sandbox.snowflake.lock import FolderInUseError


def main(arguments: list[str] | None = None) -> int:
    """Serve until told to stop. Returns 0 after a graceful end, 1 when it could not start (one line says why)."""
    parser = argparse.ArgumentParser(prog="python -m slipway.sandbox.snowflake", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve one state folder on 127.0.0.1")
    serving.add_argument("--port", type=int, default=0, help="0 takes a free port")
    serving.add_argument("--state", type=Path, required=True, help="folder that keeps everything")
    serving.add_argument("--ready-file", type=Path, help="written with the port once connections are accepted")
    serving.add_argument("--keys", type=Path, help="folder of <USER>.pub files; logins must then be signed")
    serving.add_argument("--log-level", default="INFO", choices=["DEBUG", "INFO", "WARNING", "ERROR"])
    chosen = parser.parse_args(arguments)
    logging.basicConfig(level=chosen.log_level, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    from slipway.sandbox.snowflake.server import serve  # after the options: a wrong one is answered at once

    try:
        serve(port=chosen.port, state=chosen.state, ready_file=chosen.ready_file, keys=chosen.keys)
    except (FolderInUseError, OSError) as failure:
        sys.stderr.write(f"cannot serve: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
