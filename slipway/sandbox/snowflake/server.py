"""The Snowflake REST API, as far as the connectors use it, on the loopback interface.

Every failure of a statement is answered with HTTP 200 and `success: false`, as Snowflake does: the connector would take
an HTTP 500 for a passing fault and repeat the statement for minutes.
"""

from __future__ import annotations

import asyncio
import contextlib
import gzip
import json
import logging
import os
import secrets
import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import uvicorn
from fakesnow import statement_type
from fakesnow.converter import from_binding
from fakesnow.transforms import SERVER_VERSION
from snowflake.connector.errors import Error
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.cursor import Cursor
from slipway.sandbox.snowflake.instance import Instance
from slipway.sandbox.snowflake.key import JWT_INVALID, LoginRefusedError
from slipway.sandbox.snowflake.reader import Reader
from slipway.sandbox.snowflake.session import Session
from slipway.sandbox.snowflake.wire import encode

log = logging.getLogger("slipway.sandbox.snowflake")

HEARTBEAT_SECONDS = 3600
_DML = {"INSERT": 0x3100, "UPDATE": 0x3200, "DELETE": 0x3300, "MERGE": 0x3400}
_MAX_LOGGED = 300  # characters of a failed statement
_KEPT_ANSWERS = 8  # of one session: a client has few requests on the way at once
_LEAVING_S = 2.0  # that the closing of a session is waited for


class _Client:
    """A session and its statements, one after the other.

    A client that waited in vain for an answer sends its request again, under the same id: that is the same statement,
    and it is not run twice. https://docs.snowflake.com/en/developer-guide/sql-api/submitting-requests
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self._turn = asyncio.Lock()
        self._answers: dict[str, asyncio.Task[JSONResponse]] = {}
        self._has_left = False

    async def answer(self, request_id: str, run: Callable[[Session], Awaitable[JSONResponse]]) -> JSONResponse:
        """Return what `run` does, once for each id, of which the newest `_KEPT_ANSWERS` that ended are known."""
        if request_id not in self._answers:
            ended = [known for known, task in self._answers.items() if task.done()]
            for known in ended[: max(len(ended) - _KEPT_ANSWERS + 1, 0)]:
                del self._answers[known]
            self._answers[request_id] = asyncio.create_task(self._in_turn(run))
        return await asyncio.shield(self._answers[request_id])  # who asked first may have gone

    async def _in_turn(self, run: Callable[[Session], Awaitable[JSONResponse]]) -> JSONResponse:
        async with self._turn:
            return _session_gone() if self._has_left else await run(self.session)

    async def leave(self) -> None:
        """Close the session; a statement that runs ends first, those that wait are not run."""
        self._has_left = True
        async with self._turn:
            await run_in_threadpool(self.session.close)


class Api:
    """The endpoints, over one instance."""

    def __init__(self, instance: Instance) -> None:
        self.instance = instance
        self._clients: dict[str, _Client] = {}  # by the session's token
        self._leaving: set[asyncio.Task[None]] = set()

    def routes(self) -> list[Route]:
        """Return what the server answers to."""
        return [
            Route("/healthz", self.health),
            Route("/session/v1/login-request", self.login, methods=["POST"]),
            Route("/session/token-request", self.renew, methods=["POST"]),
            Route("/session/heartbeat", self.heartbeat, methods=["POST"]),
            Route("/session", self.session, methods=["POST"]),
            Route("/queries/v1/query-request", self.query, methods=["POST"]),
            Route("/queries/v1/abort-request", self.abort, methods=["POST"]),
            Route("/monitoring/queries/{query_id}", self.monitoring, methods=["GET"]),
            Route("/telemetry/send", self.telemetry, methods=["POST"]),
        ]

    # small answers -------------------------------------------------------------------------------------------------

    async def health(self, request: Request) -> JSONResponse:
        """Say that the server serves, and from where."""
        facts = {
            "ok": True,
            "pid": os.getpid(),
            "state": str(self.instance.state),
            "databases": len(self.instance.registry.databases),
            "sessions": len(self._clients),
            "keys": self.instance.keys is not None,
        }
        return JSONResponse(facts)

    async def abort(self, request: Request) -> JSONResponse:
        return _success(None)

    async def telemetry(self, request: Request) -> JSONResponse:
        return _success("Log Received")

    async def heartbeat(self, request: Request) -> JSONResponse:
        """Answer whether the session is still known."""
        return _success(None) if self._client(request) else _session_gone()

    async def renew(self, request: Request) -> JSONResponse:
        """Renew a session token: tokens do not expire here, so the same one is given back."""
        body = await _body(request)
        token = str(body.get("oldSessionToken", ""))
        if token not in self._clients:
            return _session_gone()
        facts = {"sessionToken": token, "masterToken": token, "validityInSecondsST": 3600, "validityInSecondsMT": 14400}
        return _success(facts)

    async def session(self, request: Request) -> JSONResponse:
        """Close the session when asked to; who asks does not wait for a statement that runs."""
        client = self._client(request)
        if client is None:
            return _session_gone()
        if request.query_params.get("delete"):
            del self._clients[_token(request)]
            leaving = asyncio.create_task(client.leave())
            self._leaving.add(leaving)
            leaving.add_done_callback(self._leaving.discard)
            await asyncio.wait({leaving}, timeout=_LEAVING_S)
        return _success(None)

    async def monitoring(self, request: Request) -> JSONResponse:
        """Say that a query of this session succeeded: queries are answered when they are done."""
        client = self._client(request)
        known = client is not None and request.path_params["query_id"] in client.session.results_cache
        return _success({"queries": [{"status": "SUCCESS"}] if known else []})

    # logging in ----------------------------------------------------------------------------------------------------

    async def login(self, request: Request) -> JSONResponse:
        """Open a session."""
        data = (await _body(request)).get("data", {})
        user = str(data.get("LOGIN_NAME") or "").upper()
        try:
            if self.instance.keys is not None:
                self.instance.keys.verify(user, data.get("TOKEN"))
            session = await run_in_threadpool(self._open, request, data, user)
        except LoginRefusedError as refused:
            log.warning("%s", refused)
            return _refused(JWT_INVALID, "JWT token is invalid.")
        except Error as failure:
            log.warning("login of %s: %s", user, failure.raw_msg)
            role = request.query_params.get("roleName", "")
            return _refused(
                "390189",
                f"Role '{role}' specified in the connect string is not granted to this user. {failure.raw_msg}",
            )
        token = secrets.token_urlsafe(32)
        self._clients[token] = _Client(session)
        return _success(self._welcome(session, token))

    def _open(self, request: Request, data: dict[str, Any], user: str) -> Session:
        parameters = {str(k).upper(): v for k, v in (data.get("SESSION_PARAMETERS") or {}).items()}
        autocommit = parameters.pop("AUTOCOMMIT", True)
        query = request.query_params
        return self.instance.connect(
            user=user,
            role=query.get("roleName"),
            database=query.get("databaseName"),
            schema=query.get("schemaName"),
            warehouse=query.get("warehouse"),
            session_parameters=parameters,
            autocommit=autocommit is not False and str(autocommit).lower() != "false",
        )

    def _welcome(self, session: Session, token: str) -> dict[str, Any]:
        return {
            "token": token,
            "masterToken": token,
            "validityInSeconds": 3600,
            "masterValidityInSeconds": 14400,
            "displayUserName": session.user,
            "serverVersion": SERVER_VERSION,
            "sessionId": session.session_id,
            "parameters": [
                {"name": "AUTOCOMMIT", "value": not session.implicit},
                {"name": "CLIENT_SESSION_KEEP_ALIVE_HEARTBEAT_FREQUENCY", "value": HEARTBEAT_SECONDS},
                {"name": "CLIENT_STAGE_ARRAY_BINDING_THRESHOLD", "value": 0},
                {"name": "CLIENT_TELEMETRY_ENABLED", "value": False},
                {"name": "TIMEZONE", "value": "Etc/UTC"},
            ],
            "sessionInfo": {
                "databaseName": session.database,
                "schemaName": session.schema,
                "warehouseName": session.warehouse,
                "roleName": session.role,
            },
        }

    # statements ----------------------------------------------------------------------------------------------------

    async def query(self, request: Request) -> JSONResponse:
        """Run one statement, in the turn of its session."""
        client = self._client(request)
        if client is None:
            return _session_gone()
        body = await _body(request)
        request_id = request.query_params.get("requestId") or secrets.token_hex(16)
        return await client.answer(request_id, lambda session: self._statement(session, body))

    async def _statement(self, session: Session, body: dict[str, Any]) -> JSONResponse:
        try:
            answer = await run_in_threadpool(self._run, session, body)
        except Error as failure:
            return _failed(failure, str(body.get("sqlText", "")))
        except Exception as failure:  # nothing may become an HTTP 500
            log.exception("statement failed in an unexpected way")
            return _failed(error.translate(failure), str(body.get("sqlText", "")))
        return _success(answer)

    def _run(self, session: Session, body: dict[str, Any]) -> dict[str, Any]:
        sql, cursor = str(body["sqlText"]), session.cursor()
        rows = _bindings(body.get("bindings") or {})
        changed = 0
        if body.get("describeOnly"):
            described = cursor.describe_only(sql)
            if described is not None:
                return _answer(session, cursor, sql, described)
        if isinstance(rows, list):  # an array binding: one statement for many rows
            for row in rows:
                cursor.execute(sql, binding_params=row, server=True)
                changed += cursor.rowcount or 0
            return _answer(session, cursor, sql, None) | {"rowset": [[str(changed)]], "total": 1}
        cursor.execute(sql, binding_params=rows, server=True)
        if cursor.upload is not None:
            return dict(cursor.upload)
        return _answer(session, cursor, sql, None)

    def _client(self, request: Request) -> _Client | None:
        return self._clients.get(_token(request))


def _bindings(bindings: dict[str, Any]) -> Any:
    """Return the values of one row, the rows of an array binding as a list, or None."""
    if not bindings:
        return None
    if not all(key.isdigit() for key in bindings):
        return {name: from_binding(binding) for name, binding in bindings.items()}
    ordered = [bindings[str(position)] for position in range(1, len(bindings) + 1)]
    if any(isinstance(binding["value"], list) for binding in ordered):
        columns = [[from_binding({**binding, "value": value}) for value in binding["value"]] for binding in ordered]
        return list(zip(*columns, strict=True))
    return tuple(from_binding(binding) for binding in ordered)


def _answer(session: Session, cursor: Cursor, sql: str, described: Any) -> dict[str, Any]:
    result = described if described is not None else cursor.result
    rowtype = result.rowtype()
    verb = Reader(sql).verb
    facts: dict[str, Any] = {
        "parameters": [{"name": "TIMEZONE", "value": "Etc/UTC"}],
        "rowtype": rowtype,
        "total": 0 if described is not None else result.table.num_rows,
        "returned": 0 if described is not None else result.table.num_rows,
        "queryId": cursor.sfqid,
        "statementTypeId": _DML.get(verb, statement_type.SELECT if verb in ("SELECT", "WITH", "SHOW") else 0x1000),
        "finalDatabaseName": session.database,
        "finalSchemaName": session.schema,
        "finalWarehouseName": session.warehouse,
        "finalRoleName": session.role,
    }
    if described is not None:
        facts |= {"numberOfBinds": sql.count("?"), "arrayBindSupported": verb == "INSERT"}
        return facts | {"queryResultFormat": "json", "rowset": []}
    if verb in _DML:
        columns = [column.to_pylist() for column in result.table.columns]
        rows = [[None if v is None else str(v) for v in row] for row in zip(*columns, strict=True)]
        return facts | {"queryResultFormat": "json", "rowset": rows}
    return facts | {"queryResultFormat": "arrow", "rowsetBase64": encode(result)}


async def _body(request: Request) -> dict[str, Any]:
    body = await request.body()
    if request.headers.get("Content-Encoding") == "gzip":
        body = gzip.decompress(body)
    found = json.loads(body or b"{}")
    return found if isinstance(found, dict) else {}


def _token(request: Request) -> str:
    """Return the token out of `Snowflake Token="..."`."""
    return request.headers.get("Authorization", "")[17:-1]


def _success(data: Any) -> JSONResponse:
    return JSONResponse({"data": data, "code": None, "message": None, "success": True})


def _refused(code: str, message: str) -> JSONResponse:
    return JSONResponse({"data": {"nextAction": "RETRY_LOGIN"}, "code": code, "message": message, "success": False})


def _session_gone() -> JSONResponse:
    message = "Session no longer exists. New login required to access the service."
    return JSONResponse({"data": None, "code": "390111", "message": message, "success": False})


def _failed(failure: Error, sql: str) -> JSONResponse:
    known = failure.errno and failure.errno != -1  # exceptions that blocks declare have numbers below zero
    code = f"{failure.errno if known else error.UNSUPPORTED:06d}"
    message = failure.raw_msg or failure.msg or str(failure)
    log.info("%s %s: %s", code, " ".join(message.split())[:_MAX_LOGGED], " ".join(sql.split())[:_MAX_LOGGED])
    data = {"errorCode": code, "sqlState": failure.sqlstate, "queryId": failure.sfqid}
    return JSONResponse({"data": data, "code": code, "message": message, "success": False})


# serving -----------------------------------------------------------------------------------------------------------


def application(instance: Instance) -> Starlette:
    """Return the web application of one instance."""
    return Starlette(routes=Api(instance).routes())


class _Server(uvicorn.Server):
    """Writes the ready file once the socket accepts connections."""

    def __init__(self, config: uvicorn.Config, ready_file: Path | None, port: int) -> None:
        super().__init__(config)
        self._ready_file, self._port = ready_file, port

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        if self._ready_file is not None and self.started:
            partial = self._ready_file.with_name(f"{self._ready_file.name}.{os.getpid()}.partial")
            partial.write_text(f"{self._port}\n")
            partial.replace(self._ready_file)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """End on SIGTERM and SIGINT without raising them again, so that the state is closed in order."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        yield

    def _end(self) -> None:
        self.should_exit = True


def serve(*, port: int, state: Path, ready_file: Path | None = None, keys: Path | None = None) -> None:
    """Serve on 127.0.0.1 until SIGTERM or SIGINT. Port 0 takes a free one; the ready file then holds it.

    Raises `FolderInUseError` when another process serves the same state folder, OSError when the port is taken.
    Side effects: removes a stale ready file at the start, and its own at the end.
    """
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # asyncio sets TCP_NODELAY by this
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    bound = int(listener.getsockname()[1])
    instance = Instance(state, keys=keys)
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)
    config = uvicorn.Config(
        application(instance), log_level="warning", access_log=False, lifespan="off", timeout_graceful_shutdown=10
    )
    try:
        asyncio.run(_Server(config, ready_file, bound).serve(sockets=[listener]))
    finally:
        if ready_file is not None:
            ready_file.unlink(missing_ok=True)
        instance.close()
