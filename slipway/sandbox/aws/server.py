"""The process of the embedded AWS: both doors, a readiness file, and an end on request."""

from __future__ import annotations

import json
import logging
import os
import signal
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Event, Thread

from moto.backends import get_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from werkzeug.serving import BaseWSGIServer, make_server

from slipway.errors import Unavailable
from slipway.sandbox.aws.amendment import amend
from slipway.sandbox.aws.authorisation import enforce
from slipway.sandbox.aws.certificate import CertificateStore
from slipway.sandbox.aws.proxy import ProxyServer
from slipway.sandbox.aws.state import Memory

log = logging.getLogger("slipway.sandbox.aws")

# Loaded before the first request, so that two doors do not import one of them at the same time.
_SERVICES = ("dynamodb", "iam", "kms", "s3", "secretsmanager", "sns", "sqs", "sts")


def serve(*, port: int, proxy_port: int, ready_file: Path, state: Path | None = None) -> None:
    """Serve both doors on loopback until SIGTERM or SIGINT.

    Args:
        port: of the server door; 0 takes a free one.
        proxy_port: of the proxy door; 0 takes a free one.
        state: the folder that outlives the process; without one everything is forgotten at its end.
        ready_file: appears, complete, when both doors answer: `{"pid", "port", "proxy_port"}`. Removed at the end.

    Raises:
        Unavailable: a port is taken.

    Side effects: takes over SIGTERM and SIGINT; sends this process's own outgoing requests (SNS to an HTTP subscriber)
    to the proxy door, which refuses them.
    """
    amend()
    for service in _SERVICES:
        get_backend(service)
    enforce()
    memory = Memory(state, _SERVICES) if state is not None else None
    if memory is not None:
        memory.recall()
        memory.start()
    stop = Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    with TemporaryDirectory(prefix="slipway-aws-") as folder:
        server = _open_server(port)
        proxy = _open_proxy(proxy_port, CertificateStore(Path(folder)))
        _refuse_outgoing(proxy.server_address[1])
        doors = (server, proxy)
        threads = [Thread(target=door.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True) for door in doors]
        for thread in threads:
            thread.start()
        _announce(ready_file, port=server.server_address[1], proxy_port=proxy.server_address[1])
        try:
            stop.wait()
        finally:
            ready_file.unlink(missing_ok=True)
            for door in doors:
                door.shutdown()
                door.server_close()
            if memory is not None:
                memory.stop()
    log.info("stopped")


def _open_server(port: int) -> BaseWSGIServer:
    application = DomainDispatcherApplication(create_backend_app)
    try:
        return make_server("127.0.0.1", port, application, threaded=True, request_handler=MotoRequestHandler)
    except (OSError, SystemExit) as error:  # werkzeug exits on a taken port
        raise _taken("server", port) from error


def _open_proxy(port: int, certificates: CertificateStore) -> ProxyServer:
    try:
        return ProxyServer(port, certificates)
    except OSError as error:
        raise _taken("proxy", port) from error


def _taken(door: str, port: int) -> Unavailable:
    return Unavailable(
        f"port {port} for the {door} door of the embedded AWS is taken", fix="give --port 0 for a free one"
    )


def _refuse_outgoing(proxy_port: int) -> None:
    own = f"http://127.0.0.1:{proxy_port}"
    os.environ.update({"HTTP_PROXY": own, "HTTPS_PROXY": own, "NO_PROXY": "127.0.0.1,localhost"})
    for name in ("http_proxy", "https_proxy", "no_proxy", "ALL_PROXY", "all_proxy"):
        os.environ.pop(name, None)


def _announce(ready_file: Path, *, port: int, proxy_port: int) -> None:
    """Write the readiness file in one rename, so that whoever sees it sees all of it."""
    ready_file.parent.mkdir(parents=True, exist_ok=True)
    draft = ready_file.with_name(f"{ready_file.name}.{os.getpid()}")
    draft.write_text(json.dumps({"pid": os.getpid(), "port": port, "proxy_port": proxy_port}) + "\n")
    draft.replace(ready_file)
    log.info("serving on %d, proxy on %d", port, proxy_port)
