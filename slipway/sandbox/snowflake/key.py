"""Key-pair logins: a login is believed when its token is signed with a key registered for the user.

The connector sends a JSON Web Token whose subject is ACCOUNT.USER and whose issuer adds the fingerprint of the public
key (https://docs.snowflake.com/en/user-guide/key-pair-auth). Keys are registered by ALTER USER .. SET RSA_PUBLIC_KEY
or by a file <USER>.pub (PEM) in the key folder, which is read at every login: a key may be replaced while serving.
"""

from __future__ import annotations

import base64
import binascii
from pathlib import Path

import jwt
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_public_key

from slipway.sandbox.snowflake.registry import Registry

ALGORITHMS = ["RS256", "ES256", "ES384", "ES512"]
CLOCK_SKEW = 60  # seconds

JWT_INVALID = "390144"  # the code the Snowflake server answers with: "JWT token is invalid."

PublicKey = RSAPublicKey | EllipticCurvePublicKey


class LoginRefusedError(Exception):
    """A login that is not believed; `reason` is for our own log, the client learns only that the token is invalid."""

    def __init__(self, user: str, reason: str) -> None:
        self.user, self.reason = user, reason
        super().__init__(f"login of {user} refused: {reason}")


class KeyRing:
    """The public keys of all users, from the key folder and from SQL."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self._registry = registry
        self._folder = folder

    def keys_of(self, user: str) -> list[PublicKey]:
        """Return the keys a user may sign with; files that hold no key are ignored."""
        found = [_load_pem(path) for path in sorted(self._folder.glob("*.pub")) if path.stem.upper() == user]
        found += [_load_base64(text) for text in self._registry.user_keys.get(user, ())]
        return [key for key in found if key is not None]

    def verify(self, user: str, token: str | None) -> None:
        """Raise `LoginRefusedError` unless `token` is signed for `user` with one of the user's keys."""
        if not token:
            raise LoginRefusedError(user, "no key-pair token: only key-pair logins are accepted")
        keys = self.keys_of(user)
        if not keys:
            raise LoginRefusedError(user, "no public key is registered for this user")
        reasons = [_refusal(user, token, key) for key in keys]
        if all(reasons):
            raise LoginRefusedError(user, "; ".join(dict.fromkeys(r for r in reasons if r)))


def is_public_key(text: str) -> bool:
    """Tell whether `text` is the base64 of a DER public key, as RSA_PUBLIC_KEY takes it."""
    return _load_base64(text) is not None


def _refusal(user: str, token: str, key: PublicKey) -> str | None:
    try:
        claims = jwt.decode(token, key, algorithms=ALGORITHMS, leeway=CLOCK_SKEW, options={"require": ["exp", "sub"]})
    except (jwt.PyJWTError, TypeError, ValueError) as failure:
        return f"{type(failure).__name__}: {failure}"
    subject = str(claims["sub"]).rpartition(".")[2]
    return None if subject == user else f"the token was issued for {subject}"


def _load_pem(path: Path) -> PublicKey | None:
    try:
        key = load_pem_public_key(path.read_bytes())
    except (ValueError, UnsupportedAlgorithm, OSError):
        return None
    return key if isinstance(key, (RSAPublicKey, EllipticCurvePublicKey)) else None


def _load_base64(text: str) -> PublicKey | None:
    body = "".join(line for line in text.splitlines() if not line.startswith("-----"))
    try:
        key = load_der_public_key(base64.b64decode("".join(body.split()), validate=True))
    except (ValueError, UnsupportedAlgorithm, binascii.Error):
        return None
    return key if isinstance(key, (RSAPublicKey, EllipticCurvePublicKey)) else None
