"""The embedded Snowflake as a process of its own, and connections to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import snowflake.connector

READY_S = 30  # seconds


class Wire:
    """A session spoken over plain HTTP: nothing is repeated, nothing is hidden, and a dead server is an OSError."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"
        self._token = ""
        login = self._post("/session/v1/login-request?roleName=ACCOUNTADMIN", {"data": {"LOGIN_NAME": "ADMIN"}})
        self._token = str(login["data"]["token"])

    def execute(self, sql: str, *, request_id: str = "") -> dict[str, Any]:
        """Return what the server answers to a statement; raises `HTTPError` for any status but 200."""
        return self._post(f"/queries/v1/query-request?requestId={request_id}", {"sqlText": sql})

    def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        headers = {"Content-Type": "application/json", "Authorization": f'Snowflake Token="{self._token}"'}
        request = urllib.request.Request(self._address + path, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
            return found


class Server:
    """One server on one state folder; may be killed and started again."""

    def __init__(self, folder: Path, *, keys: Path | None = None, variables: dict[str, str] | None = None) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._keys = keys
        self._variables = variables or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.port = 0

    def __enter__(self) -> Server:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start it and wait until it accepts connections."""
        ready = self.folder / "ready"
        ready.unlink(missing_ok=True)
        command = [sys.executable, "-m", "slipway.sandbox.snowflake", "serve", "--state", str(self.folder / "state")]
        command += ["--ready-file", str(ready), "--port", str(self.port)]  # after a kill on the port it had
        if self._keys is not None:
            command += ["--keys", str(self._keys)]
        kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, env={**kept, **self._variables}, stdout=log, stderr=log)
        deadline = time.monotonic() + READY_S
        while not ready.exists():
            assert self._process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        self.port = int(ready.read_text())

    @property
    def is_on(self) -> bool:
        """Whether it was started and neither stopped nor killed since."""
        return self._process is not None

    def stop(self) -> int:
        """End it as a service manager would; returns the exit code."""
        return self._end(signal.SIGTERM)

    def kill(self) -> None:
        """End it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, number: signal.Signals) -> int:
        if self._process is None:
            return 0
        self._process.send_signal(number)
        code = self._process.wait(20)
        self._process = None
        return code

    def health(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/healthz", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)
            return found

    def wire(self) -> Wire:
        """Log in without the connector."""
        return Wire(self.port)

    def connect(self, **arguments: Any) -> Any:
        """Open a connection with the real connector."""
        login: dict[str, Any] = {"user": "ADMIN", "account": "embedded", "login_timeout": 10, "network_timeout": 60}
        login["platform_detection_timeout_seconds"] = 0  # it looks for a cloud around this process
        if "private_key_file" not in arguments:
            login["password"] = "unused"
        return snowflake.connector.connect(
            host="127.0.0.1", port=self.port, protocol="http", **{**login, "role": "ACCOUNTADMIN", **arguments}
        )
