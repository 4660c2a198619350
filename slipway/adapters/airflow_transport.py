"""How requests reach an Airflow: HTTP with a token.

On Amazon MWAA the same requests go through `invoke_rest_api` (path, method, query, body), which fits the same Protocol.
"""

from __future__ import annotations

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
    """HTTP with a token that is fetched, and renewed when it ran out."""

    def __init__(self, base_url: str, username: str, password: str) -> None:
        self._client = httpx.Client(base_url=base_url, timeout=TIMEOUT_S, trust_env=not _is_loopback(base_url))
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
                raise ConfigurationError(
                    f"Airflow at {self._client.base_url} does not accept the user {self._credentials['username']}"
                )
            if answer.status_code >= 400:
                raise Unavailable(f"Airflow at {self._client.base_url} gives no token: HTTP {answer.status_code}")
            self._token = str(_decoded(answer)["access_token"])
        return self._token

    def _silent(self, error: httpx.HTTPError) -> Unavailable:
        return Unavailable(
            f"Airflow at {self._client.base_url} does not answer: {error or type(error).__name__}",
            fix="invoke sandbox.status",
        )


def _decoded(answer: httpx.Response) -> Any:
    if not answer.content:
        return None
    try:
        return answer.json()
    except ValueError:
        return answer.text


def _is_loopback(url: str) -> bool:
    return httpx.URL(url).host in ("127.0.0.1", "localhost", "::1")
