"""A session: its private key, refused logins, proxies, and whether an environment was made."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
)

from slipway.adapters.process import run
from slipway.adapters.snowflake import LoginRefused, MissingObject, Session, SnowflakeFacts
from slipway.config import Principal
from slipway.errors import ConfigurationError, Locked, NotBootstrapped, Unavailable
from tests.dbt.warehouse import Server
from tests.warehouse.place import Place
from tests.warehouse.test_migration import LONG

STRANGER = Principal(user="NOBODY", role="STAGING_DEPLOYER", private_key="file:unused")


def pem(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, encryption: KeySerializationEncryption | None = None
) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption or NoEncryption())


def encrypted() -> bytes:
    return pem(rsa.generate_private_key(public_exponent=65537, key_size=2048), BestAvailableEncryption(b"word"))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (lambda: b"not a key", "is not the private key"),
        (lambda: b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", "is not the private key"),
        (encrypted, "is not the private key"),
        (lambda: pem(ec.generate_private_key(ec.SECP256R1())), "RSA keys only"),
    ],
    ids=["text", "malformed", "encrypted", "elliptic"],
)
def test_a_file_that_is_no_fit_key_is_named(
    server: Server, tmp_path: Path, content: Callable[[], bytes], said: str
) -> None:
    file = tmp_path / "key.p8"
    file.write_bytes(content())
    with pytest.raises(ConfigurationError, match=said) as refused:
        session_of(server, key_file=file).rows("SELECT 1")
    assert str(file) in refused.value.message
    assert refused.value.fix


def test_a_key_that_is_not_there_or_not_readable_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"absent\.p8 does not exist"):
        session_of(server, key_file=tmp_path / "absent.p8").rows("SELECT 1")
    with pytest.raises(ConfigurationError, match="cannot be read: Is a directory"):
        session_of(server, key_file=tmp_path).rows("SELECT 1")


def test_a_refused_login_says_who_with_which_role_and_is_no_missing_environment(server: Server) -> None:
    loader = server.environment.warehouse.loader
    greedy = Principal(user=loader.user, role="STAGING_DEPLOYER", private_key="file:unused")
    for principal, key in ((STRANGER, server.key_of(loader)), (greedy, server.key_of(loader))):
        with pytest.raises(LoginRefused, match=f"{principal.user} with role STAGING_DEPLOYER") as refused:
            session_of(server, principal, key_file=key).rows("SELECT 1")
        assert isinstance(refused.value, Unavailable)
        assert not isinstance(refused.value, NotBootstrapped)
        assert refused.value.exit_code == Unavailable.exit_code


def test_the_shells_proxy_is_not_asked_for_this_machine(server: Server) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        os.environ[name] = "http://127.0.0.1:9"  # nobody listens there
    session = session_of(server)
    assert session.rows("SELECT 1") == [(1,)]
    session.close()


def test_an_environment_is_bootstrapped_once_the_script_came_to_its_end(server: Server, place: Place) -> None:
    with server.session(server.environment.warehouse.deployer) as session:
        assert SnowflakeFacts(session, server.environment.warehouse).is_bootstrapped()
    assert place.facts.is_bootstrapped()
    place.admin.run(f"DROP VIEW {place.database('OPS')}.SLIPWAY.BOOTSTRAPPED")
    assert not place.facts.is_bootstrapped()
    with pytest.raises(MissingObject, match="BOOTSTRAPPED"):
        place.facts.read()


def test_an_account_that_does_not_know_the_deployer_is_not_bootstrapped(server: Server) -> None:
    key = server.key_of(server.environment.warehouse.loader)
    assert not SnowflakeFacts(
        session_of(server, STRANGER, key_file=key), server.environment.warehouse
    ).is_bootstrapped()


def test_a_deployer_that_lost_its_lease_changes_nothing_more_and_ends_the_tool_that_would(server: Server) -> None:
    session = session_of(server)
    session.rows("SELECT 1")

    def lost() -> None:
        raise Locked("lost")

    session.guard = lost
    with pytest.raises(Locked):
        session.run("CREATE DATABASE NEVER_MADE")
    assert session.rows("SHOW DATABASES LIKE 'NEVER_MADE'") == []
    said: list[str] = []
    tool = ["sh", "-c", "echo $$; exec sleep 600"]
    with pytest.raises(Locked):
        run(tool, environment=os.environ, on_line=said.append, timeout_s=600, watch=session.require_answer)
    assert not psutil.pid_exists(int(said[0]))


def session_of(server: Server, principal: Principal | None = None, *, key_file: Path | None = None) -> Session:
    """Return a session of `principal`, of the deployer when none is given."""
    who = principal or server.environment.warehouse.deployer
    return Session(server.environment.warehouse, who, address=server.address, key_file=key_file or server.key_of(who))


def test_a_first_ctrl_c_in_the_middle_of_a_statement_is_heard_by_who_asked_for_signals(place: Place) -> None:
    heard: list[int] = []

    def hear(number: int, frame: object) -> None:
        heard.append(number)
        if len(heard) == 2:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGINT, hear)
    timers = [threading.Timer(after, os.kill, (os.getpid(), signal.SIGINT)) for after in (0.5, 1.5)]
    try:
        for timer in timers:
            timer.start()
        with pytest.raises(KeyboardInterrupt):
            place.deployer.rows(LONG)
    finally:
        for timer in timers:
            timer.join()
        signal.signal(signal.SIGINT, before)
    assert heard == [signal.SIGINT, signal.SIGINT]
    assert place.deployer.rows("SELECT 1") == [(1,)]
