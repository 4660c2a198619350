"""How requests reach an Airflow: HTTP with a token that a user and password are exchanged for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import httpx

from slipway.errors import ConfigurationError, Unavailable

TIMEOUT_S = 30.0


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What Airflow answered: HTTP status and decoded JSON."""

    status: int
    body: Any


class Transport(Protocol):
    """Carries requests to one Airflow."""

    def request(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> Answer:
        """Return the answer, whatever its status; raise `Unavailable` when there is none.

        Args:
            path: below `/api/v2`, beginning with a slash.
        """


class TokenTransport:
    """HTTP with a token that is fetched, and renewed when it ran out.

    Raises:
        ConfigurationError: `base_url` is no URL of an Airflow; and of a request, that Airflow accepts no such user.
    """

    def __init__(self, base_url: str, username: str, password: str) -> None:
        self._url = _checked(base_url)
        self._client = httpx.Client(base_url=self._url, timeout=TIMEOUT_S, trust_env=not self._is_loopback())
        self._credentials = {"username": username, "password": password}
        self._token: str | None = None

    def request(
        self, method: str, path: str, *, json: Mapping[str, Any] | None = None, params: Mapping[str, Any] | None = None
    ) -> Answer:
        answer = self._send(method, path, json, params)
        if answer.status == httpx.codes.UNAUTHORIZED:
            self._token = None
            answer = self._send(method, path, json, params)
        return answer

    def _send(self, method: str, path: str, json: Mapping[str, Any] | None, params: Mapping[str, Any] | None) -> Answer:
        try:
            headers = {"Authorization": f"Bearer {self._authorized()}"}
            answer = self._client.request(method, f"/api/v2{path}", json=json, params=params, headers=headers)
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        return Answer(status=answer.status_code, body=_decoded(answer))

    def _authorized(self) -> str:
        if self._token is None:
            answer = self._client.post("/auth/token", json=self._credentials)
            if answer.status_code in (httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN):
                user = self._credentials["username"]
                raise ConfigurationError(
                    f"Airflow at {self._url} does not accept the user {user!r} with the password it was given",
                    fix="check user, and the file that password names, under [airflow] of the environment's config",
                )
            if answer.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
                raise Unavailable(f"Airflow at {self._url} gives no token: HTTP {answer.status_code}", fix=self._fix())
            body = _decoded(answer)
            if not answer.is_success or not isinstance(body, dict) or "access_token" not in body:
                raise ConfigurationError(
                    f"what answers at {self._url} is no Airflow 3: HTTP {answer.status_code} instead of a token",
                    fix="check url under [airflow] of the environment's config",
                )
            self._token = str(body["access_token"])
        return self._token

    def _silent(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(
            f"Airflow at {self._url} does not answer: {error or type(error).__name__}",
            fix=self._fix(),
        )

    def _fix(self) -> str:
        return "invoke sandbox.status" if self._is_loopback() else f"look whether {self._url} can be reached from here"

    def _is_loopback(self) -> bool:
        return self._url.host in ("127.0.0.1", "localhost", "::1")


def _checked(url: str) -> httpx.URL:
    """Return a URL that requests can go to.

    Raises:
        ConfigurationError: it is none. A password in it is not repeated.
    """
    fix = "set url under [airflow] of the environment's config to something like https://airflow.example.com"
    shown = re.sub(r"//[^/]*@", "//...@", url)
    try:
        found = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise ConfigurationError(f"airflow.url {shown!r} is no URL: {error}", fix=fix) from error
    if found.scheme not in ("http", "https") or not found.host:
        raise ConfigurationError(f"airflow.url {shown!r} is no URL of a server that speaks HTTP", fix=fix)
    if found.userinfo:
        raise ConfigurationError(f"airflow.url {shown!r} must hold neither user nor password", fix=fix)
    return found


def _decoded(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        return answer.text
