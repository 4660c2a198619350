"""A door before the embedded AWS, where answers are lost, replaced or never asked for: a network on a bad day."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What is answered instead of what AWS would say; AWS is not asked."""

    status: int
    body: bytes = b""


LOST = None  # AWS is asked, and the connection ends before its answer
_PASSED_ON = ("content-type", "etag", "x-amzn-requestid", "x-amz-crc32", "last-modified")


@dataclass
class Door:
    """The incidents to come, each once: the first request that an incident's text is part of meets it."""

    port: int = 0
    incidents: list[tuple[str, Answer | None]] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def next(self, request: str, incident: Answer | None) -> None:
        """Let the next request like `request`, e.g. `PUT /bucket/key` or `TransactWriteItems`, meet the incident."""
        self.incidents.append((request, incident))

    def meets(self, request: str) -> tuple[Answer | None] | None:
        for place, (text, incident) in enumerate(self.incidents):
            if text in request:
                del self.incidents[place]
                return (incident,)
        return None


@contextmanager
def before(endpoint: str) -> Iterator[Door]:
    """Open a door before the AWS at `endpoint`, closed after the block."""
    door = Door()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(door, urlsplit(endpoint).netloc))
    server.daemon_threads = True
    door.port = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    yield door
    server.shutdown()
    server.server_close()
    thread.join()


def _handler(door: Door, upstream: str) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            met = door.meets(f"{self.command} {self.path} {self.headers.get('X-Amz-Target', '')}")
            if met and met[0] is not None:
                self.give(met[0].status, {}, met[0].body)
                return
            connection = http.client.HTTPConnection(upstream)
            connection.request(self.command, self.path, body, dict(self.headers))
            said = connection.getresponse()
            content = said.read()
            connection.close()
            if met:
                self.close_connection = True
                return
            kept = {name: value for name, value in said.getheaders() if name.lower() in _PASSED_ON}
            self.give(said.status, kept, content)

        def give(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response_only(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = answer

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing: what matters is asserted."""

    return Handler
