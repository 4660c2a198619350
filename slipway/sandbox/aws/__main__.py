"""`python -m slipway.sandbox.aws serve`: run the embedded AWS in the foreground."""

from __future__ import annotations

import argparse
import logging
import sys
from pathlib import Path

from slipway.errors import SlipwayError


def main() -> int:
    """Return the exit code: 0 after a requested end, the error's own code when the doors could not be opened."""
    parser = argparse.ArgumentParser(prog="python -m slipway.sandbox.aws")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="serve both doors on loopback until SIGTERM")
    serving.add_argument("--port", type=int, default=0, help="of the server door (HTTP, for boto3); 0: a free one")
    serving.add_argument(
        "--proxy-port", type=int, default=0, help="of the proxy door (TLS, for Terraform); 0: a free one"
    )
    serving.add_argument("--ready-file", type=Path, required=True, help="written when both doors answer")
    serving.add_argument("--state", type=Path, help="folder that outlives the process; without it, nothing does")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("werkzeug").setLevel(logging.WARNING)  # one line per request otherwise
    from slipway.sandbox.aws.server import serve  # after the arguments are known to be right: moto loads for a second

    try:
        serve(
            port=arguments.port,
            proxy_port=arguments.proxy_port,
            ready_file=arguments.ready_file,
            state=arguments.state,
        )
    except SlipwayError as error:
        sys.stderr.write(f"{error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
