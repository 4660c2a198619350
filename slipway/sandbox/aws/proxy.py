"""The proxy door: TLS under the services' own names, answered from moto's backends, never forwarded.

Rules:
- `CONNECT` is granted to AWS host names only; anything else gets 403 with the reason. No socket is ever opened.
- Connections stay open between requests, as AWS's do: Terraform's parallel operations reuse them.
- Every answer carries its length; a failure inside a backend is a 500 in the log, which AWS clients retry.
- An answer is given again to whoever lost it, which AWS does not do. On a busy machine Terraform's provider now and
  then (a few times in ten thousand requests) hangs up on the answer to a request, and repeats it under the same
  invocation id; what it made would then exist already, and a first deployment would fail one time in ten.
"""

from __future__ import annotations

import logging
import re
from collections import OrderedDict
from collections.abc import Mapping
from hashlib import sha256
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock
from typing import Any

from moto.moto_proxy.proxy3 import MotoRequestHandler
from werkzeug.exceptions import HTTPException

from slipway.sandbox.aws.certificate import CertificateStore

log = logging.getLogger("slipway.sandbox.aws.proxy")

_AWS_HOST = re.compile(r"^([a-z0-9][a-z0-9.-]*\.)?(amazonaws\.com|api\.aws)$")
_IDLE_S = 60
_BODYLESS = frozenset({204, 304})
_REMEMBERED = 512  # answers that can be given again
_LARGE = 64 * 1024  # bytes; what is larger is a list or an object, which is read again without harm
_REFUSED = 400  # from here on nothing was done: what is asked again is looked at again
_Answer = tuple[int, Mapping[str, Any], Any]


class ProxyServer(ThreadingHTTPServer):
    """The listening proxy door."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, port: int, certificates: CertificateStore) -> None:
        super().__init__(("127.0.0.1", port), _Tunnel)
        self.certificates = certificates
        self.dispatcher = MotoRequestHandler(self.server_address[1])
        self.answers = _Answers()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Log what a connection died of; clients that hang up early are not worth a traceback."""
        log.info("connection from %s ended early", client_address, exc_info=log.isEnabledFor(logging.DEBUG))


class _Answers:
    """The last answers to what was done, by what was asked."""

    def __init__(self) -> None:
        self._lock, self._kept = Lock(), OrderedDict[str, _Answer]()

    def given(self, asked: str | None) -> _Answer | None:
        with self._lock:
            return self._kept.get(asked) if asked else None

    def remember(self, asked: str | None, answer: _Answer) -> None:
        status, _, content = answer
        if asked is None or int(status) >= _REFUSED or len(content or b"") > _LARGE:
            return
        with self._lock:
            self._kept[asked] = answer
            if len(self._kept) > _REMEMBERED:
                self._kept.popitem(last=False)


class _Tunnel(BaseHTTPRequestHandler):
    """One client connection: a `CONNECT`, then the requests inside it."""

    server: ProxyServer
    protocol_version = "HTTP/1.1"
    server_version = "EmbeddedAWS"
    timeout = _IDLE_S
    disable_nagle_algorithm = True
    _host: str | None = None  # of the tunnel, once there is one

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0].lower()
        if self._host is not None or not _AWS_HOST.match(host):
            self.send_error(403, explain=f"{host} is not an AWS service; the embedded platform forwards nothing")
            self.close_connection = True
            return
        context = self.server.certificates.context_for(host)
        self.send_response_only(200, "Connection established")
        self.end_headers()
        self.connection = context.wrap_socket(self.connection, server_side=True)
        self.rfile = self.connection.makefile("rb", self.rbufsize)
        self.wfile = self.connection.makefile("wb", 0)
        self._host = host
        self.close_connection = False

    def finish(self) -> None:
        super().finish()
        if self._host is not None:  # wrapping detached the socket that the server would close
            self.connection.close()

    def _answer(self) -> None:
        body = self._read_body()
        if self._host is None:
            self._send(403, {}, b"plain HTTP is not served here: use the server door or a CONNECT tunnel")
            return
        asked = self._asked(body)
        found = self.server.answers.given(asked)
        status, headers, content = found or self._fresh(body)
        if found is None:
            self.server.answers.remember(asked, (status, headers, content))
        if int(status) >= _REFUSED:
            what = self.headers.get("X-Amz-Target") or f"{self.command} {self._host}{self.path}"
            log.info("%s: %s, %s", what, status, self.headers.get("Amz-Sdk-Request", "asked once"))
        self._send(status, headers, content)

    def _asked(self, body: bytes) -> str | None:
        """Return what tells a request from all others but its own repetition; None when its SDK does not name it."""
        invocation = self.headers.get("Amz-Sdk-Invocation-Id")
        if not invocation:
            return None
        caller = self.headers.get("Authorization", "").partition("/")[0]  # all that follows is made anew each time
        target = self.headers.get("X-Amz-Target", "")
        said = (invocation, caller, self.command, str(self._host), self.path, target, sha256(body).hexdigest())
        return " ".join(said)

    def _fresh(self, body: bytes) -> _Answer:
        try:
            return self._dispatch(body)
        except Exception:
            log.exception("%s https://%s%s failed", self.command, self._host, self.path)
            return 500, {}, b"the embedded AWS failed; its log says why"

    def _dispatch(self, body: bytes) -> _Answer:
        host = f"https://{self.headers.get('Host', self._host)}"
        try:
            answer = self.server.dispatcher.parse_request(self.command, host, self.path, self.headers, body)
        except HTTPException as error:
            return error.code or 500, dict(error.get_headers()), error.get_body()
        return answer if isinstance(answer, tuple) else (200, {}, answer)

    def _read_body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", "").lower():
            return self._read_chunks()
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _read_chunks(self) -> bytes:
        """Return a chunked body (RFC 9112, section 7.1), without extensions and trailers."""
        chunks = []
        while size := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(size))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)

    def _send(self, status: int, headers: Mapping[str, Any], content: Any) -> None:
        data = content.encode() if isinstance(content, str) else bytes(content or b"")
        self.log_request(status)
        self.send_response_only(int(status))
        length = str(len(data))
        for name, value in headers.items():
            text = value.decode() if isinstance(value, bytes) else str(value)
            if name.lower() == "content-length":
                length = text if self.command == "HEAD" else length
            elif name.lower() not in {"transfer-encoding", "connection"}:
                self.send_header(name, text)
        if status not in _BODYLESS:
            self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD" and status not in _BODYLESS:
            self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        log.debug("%s %s", self._host, format % args)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _answer
