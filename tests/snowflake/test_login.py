"""Who may log in: key pairs, roles, and what is said of a refusal."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from snowflake.connector.errors import DatabaseError

from .server import Server

INVALID_TOKEN = 390144  # Snowflake's number for it
PublicKey = str


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keys")
    for user in ("ADMIN", "STRANGER", "SERVICE"):
        make_key(folder, user)
    (folder / "STRANGER.pub").unlink()
    (folder / "SERVICE.pub").unlink()
    return folder


def make_key(folder: Path, user: str) -> PublicKey:
    """Write <USER>.p8 and <USER>.pub; returns the public key as RSA_PUBLIC_KEY takes it."""
    private = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    (folder / f"{user}.p8").write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public = private.public_key()
    (folder / f"{user}.pub").write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return base64.b64encode(public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


@pytest.fixture(scope="module")
def locked(memory: Path, keys: Path) -> Iterator[Server]:
    with Server(memory / "locked", keys=keys) as server:
        yield server


def test_a_user_with_the_registered_key_is_let_in(locked: Server, keys: Path) -> None:
    with locked.connect(user="ADMIN", private_key_file=str(keys / "ADMIN.p8")) as session:
        assert session.cursor().execute("SELECT CURRENT_USER(), CURRENT_ROLE()").fetchone() == ("ADMIN", "ACCOUNTADMIN")


def test_another_key_is_refused(locked: Server, keys: Path) -> None:
    with pytest.raises(DatabaseError, match="JWT token is invalid") as refused:
        locked.connect(user="ADMIN", private_key_file=str(keys / "STRANGER.p8"))
    assert refused.value.errno == INVALID_TOKEN
    assert "login of ADMIN refused" in locked.log


def test_a_user_without_a_key_is_refused(locked: Server, keys: Path) -> None:
    with pytest.raises(DatabaseError, match="JWT token is invalid"):
        locked.connect(user="STRANGER", private_key_file=str(keys / "STRANGER.p8"))


def test_a_password_is_refused(locked: Server) -> None:
    with pytest.raises(DatabaseError, match="JWT token is invalid"):
        locked.connect(user="ADMIN")


def test_a_role_that_was_not_granted_is_refused(locked: Server, keys: Path) -> None:
    key = make_key(keys, "SERVICE")
    (keys / "SERVICE.pub").unlink()
    with locked.connect(user="ADMIN", private_key_file=str(keys / "ADMIN.p8")) as session:
        session.cursor().execute(f"CREATE USER SERVICE DEFAULT_ROLE = WORKER RSA_PUBLIC_KEY = '{key}'")
        session.cursor().execute("CREATE ROLE WORKER")
        session.cursor().execute("GRANT ROLE WORKER TO USER SERVICE")
    with locked.connect(user="SERVICE", role="WORKER", private_key_file=str(keys / "SERVICE.p8")) as session:
        assert session.cursor().execute("SELECT CURRENT_ROLE()").fetchone() == ("WORKER",)
        with pytest.raises(DatabaseError, match="not assigned"):
            session.cursor().execute("USE ROLE ACCOUNTADMIN")
    with pytest.raises(DatabaseError, match="not granted to this user"):
        locked.connect(user="SERVICE", role="ACCOUNTADMIN", private_key_file=str(keys / "SERVICE.p8"))
    with pytest.raises(DatabaseError, match="not granted to this user"):
        locked.connect(user="ADMIN", role="NO_SUCH_ROLE", private_key_file=str(keys / "ADMIN.p8"))


def test_a_key_may_be_replaced_while_serving(locked: Server, keys: Path) -> None:
    with locked.connect(user="ADMIN", private_key_file=str(keys / "ADMIN.p8")) as session:
        cursor = session.cursor()
        cursor.execute("CREATE USER IF NOT EXISTS ROTATED")
        first = make_key(keys, "ROTATED")
        (keys / "ROTATED.pub").unlink()
        cursor.execute(f"ALTER USER ROTATED SET RSA_PUBLIC_KEY = '{first}'")
        locked.connect(user="ROTATED", role="PUBLIC", private_key_file=str(keys / "ROTATED.p8")).close()
        other = make_key(keys, "UNUSED")
        cursor.execute(f"ALTER USER ROTATED SET RSA_PUBLIC_KEY = '{other}'")
        with pytest.raises(DatabaseError, match="JWT token is invalid"):
            locked.connect(user="ROTATED", role="PUBLIC", private_key_file=str(keys / "ROTATED.p8"))
        with pytest.raises(DatabaseError, match="not a valid public key"):
            cursor.execute("ALTER USER ROTATED SET RSA_PUBLIC_KEY = 'nonsense'")
