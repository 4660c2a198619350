"""The connector's errors as ours. Who raises `Unavailable` does not know whether the statement was run."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

with warnings.catch_warnings():
    warnings.filterwarnings("ignore", message=r".*doesn't match a supported version")  # of its own requests
    import snowflake.connector.errors
from slipway.config import Principal
from slipway.errors import SlipwayError, StepFailed, Unavailable

PATIENCE_S = 10  # seconds a request is repeated whose connection failed; who waits longer asks again
_NO_OBJECT = 2003  # Snowflake: object does not exist or not authorized
_NO_DATABASE = 2043
_TIMED_OUT = 630  # Snowflake: the statement reached its timeout
# Snowflake: the user or its secret is not known, the token is not signed by its key, the role is not granted to it
_NO_LOGIN = (390100, 390144, 390186, 390189)
# Snowflake: the session, or the token that renews it, is not known any more
_NO_SESSION = (390111, 390112, 390113, 390114, 390115)


class LoginRefused(Unavailable):
    """The warehouse answers and does not let the principal in: an unknown user, another key, a role not granted."""

    mends_itself = False

    def __init__(self, principal: Principal, key_file: Path, reason: str) -> None:
        user, role = principal.user, principal.role
        super().__init__(
            f"the warehouse refuses {user} with role {role}: {reason}",
            fix=f"register the public key of {key_file} (ALTER USER {user} SET RSA_PUBLIC_KEY = '..'), "
            f"and GRANT ROLE {role} TO USER {user}",
        )
        self.principal = principal


class SessionEnded(Unavailable):
    """The warehouse answers and does not know the session any more. Another one may be opened."""


class MissingObject(StepFailed):
    """Something a statement names is not there, or the role may not see it."""


class TimedOut(StepFailed):
    """The warehouse ended a statement that took longer than it may; what it would have changed is as it was."""


@contextmanager
def translated(statement: str, *, host: str | None) -> Iterator[None]:
    """Raise what the connector says of `statement` as one of ours.

    Args:
        host: of the embedded warehouse; None for an account of Snowflake.
    """
    try:
        yield
    except (snowflake.connector.errors.ProgrammingError, snowflake.connector.errors.IntegrityError) as error:
        raise _refusal(error, statement) from error
    except snowflake.connector.errors.Error as error:
        raise _no_answer(error, host) from error


@contextmanager
def translated_login(principal: Principal, key_file: Path, *, host: str | None) -> Iterator[None]:
    """Raise what the connector says of a login as one of ours; `host` as of `translated`."""
    try:
        yield
    except snowflake.connector.errors.Error as error:
        if error.errno in _NO_LOGIN:
            raise LoginRefused(principal, key_file, _first_line(error)) from error
        raise _no_answer(error, host) from error


def waits() -> Iterator[int]:
    """Yield the seconds between two attempts of one request, and raise once the patience is over.

    A backoff policy of the connector, which takes the first value before the first attempt. Its own limit of attempts
    is that of a whole statement, and when that is over it cancels the statement in a thread that outlives us.
    https://docs.snowflake.com/en/developer-guide/python-connector/python-connector-connect
    """
    yield 1
    over = time.monotonic() + PATIENCE_S
    while time.monotonic() < over:
        yield 2
    raise snowflake.connector.errors.OperationalError(msg=f"no connection for {PATIENCE_S} s")


def _refusal(error: snowflake.connector.errors.Error, statement: str) -> SlipwayError:
    if error.errno in _NO_SESSION:
        return SessionEnded(
            f"the warehouse ended the session, as it does when it is started again: {_first_line(error)}",
            fix="give the command again",
        )
    kinds = {_NO_OBJECT: MissingObject, _NO_DATABASE: MissingObject, _TIMED_OUT: TimedOut}
    kind = kinds.get(error.errno or 0, StepFailed)
    return kind(f"Snowflake refused: {_first_line(error)} (query {error.sfqid}): {' '.join(statement.split())[:160]}")


def _no_answer(error: Exception, host: str | None) -> Unavailable:
    fix = "invoke sandbox.status" if host else "see that the account's name is right and the network reaches it"
    return Unavailable(f"the warehouse does not answer: {_first_line(error)}", fix=fix)


def _first_line(error: Exception) -> str:
    return " ".join(str(getattr(error, "msg", None) or error).split())[:300]
