"""The way to Airflow: what cannot be a URL, who is not let in, and what is no Airflow, each told without a password."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from slipway.adapters.airflow_transport import TokenTransport
from slipway.errors import ConfigurationError, Unavailable

PASSWORD = "t0p-secret"
Reply = Callable[[str, str | None], tuple[int, Any]]  # path and authorization -> status and body


@contextmanager
def serving(reply: Reply) -> Iterator[str]:
    """Serve on loopback what `reply` says; give the URL."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            status, body = reply(self.path, self.headers.get("Authorization"))
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = answer

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "url",
    [
        "",
        "airflow.example.com",
        "http://",
        "https://[::1",
        "http://host:port",
        "ftp://airflow.example.com",
        "http://a\x00b",
        f"https://admin:{PASSWORD}@airflow.example.com",
        f"ftp://admin:{PASSWORD}@airflow.example.com",
        f"https://admin:{PASSWORD}@[::1",
    ],
)
def test_what_is_no_url_is_a_mistake_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError, match=r"^airflow\.url ") as refused:
        TokenTransport(url, "deployer", PASSWORD)

    assert "https://airflow.example.com" in str(refused.value.fix)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize("status", [401, 403])
def test_a_user_who_is_not_let_in_is_named_and_the_password_is_not(status: int) -> None:
    with (
        serving(lambda path, _: (status, {"detail": f"no: {PASSWORD}"})) as url,
        pytest.raises(ConfigurationError, match="does not accept the user 'deployer'") as refused,
    ):
        TokenTransport(url, "deployer", PASSWORD).request("GET", "/dags")

    assert "the file that password names" in str(refused.value.fix)
    assert PASSWORD not in str(refused.value)


@pytest.mark.parametrize(
    ("status", "body"), [(200, "<html>sign in</html>"), (200, {"token": "x"}), (404, "no such page"), (302, "")]
)
def test_what_gives_no_token_is_no_airflow(status: int, body: Any) -> None:
    with (
        serving(lambda path, _: (status, body)) as url,
        pytest.raises(ConfigurationError, match=f"is no Airflow 3: HTTP {status}"),
    ):
        TokenTransport(url, "deployer", PASSWORD).request("GET", "/dags")


def test_an_airflow_that_is_ill_or_silent_is_unavailable() -> None:
    with serving(lambda path, _: (503, "")) as url, pytest.raises(Unavailable, match="gives no token: HTTP 503"):
        TokenTransport(url, "deployer", PASSWORD).request("GET", "/dags")
    with pytest.raises(Unavailable, match=f"Airflow at {url} does not answer"):
        TokenTransport(url, "deployer", PASSWORD).request("GET", "/dags")


def test_a_token_that_ran_out_is_renewed_once_and_the_request_repeated() -> None:
    given: list[str] = []

    def reply(path: str, authorization: str | None) -> tuple[int, Any]:
        if path == "/auth/token":
            given.append(f"token-{len(given)}")
            return 201, {"access_token": given[-1]}
        return (200, {"dags": []}) if authorization == "Bearer token-1" else (401, {"detail": "expired"})

    with serving(reply) as url:
        answer = TokenTransport(url, "deployer", PASSWORD).request("GET", "/dags")

    assert (answer.status, answer.body) == (200, {"dags": []})
    assert given == ["token-0", "token-1"]
