"""The private key a principal of the warehouse logs in with."""

from __future__ import annotations

from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, load_pem_private_key

from slipway.errors import ConfigurationError


def private_key(file: Path, *, user: str) -> bytes:
    """Return the RSA key in `file` as the connector takes it (PKCS#8, DER).

    Raises:
        ConfigurationError: the file is missing, not readable, or holds no RSA key that is not encrypted.
    """
    try:
        key = load_pem_private_key(file.read_bytes(), password=None)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{file} does not exist: the private key of {user}",
            fix="invoke sandbox.up, or put the key where the configuration's private_key points",
        ) from error
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be read: {error.strerror}: the private key of {user}", fix=f"chmod u+r {file}"
        ) from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:  # TypeError: a password is needed
        raise ConfigurationError(
            f"{file} is not the private key of {user}: {str(error).splitlines()[0][:200]}",
            fix="put an RSA key there, as PEM and not encrypted: openssl pkcs8 -topk8 -nocrypt -in KEY",
        ) from error
    if not isinstance(key, RSAPrivateKey):
        raise ConfigurationError(
            f"{file} is not the private key of {user}: Snowflake takes RSA keys only",
            fix="openssl genrsa 2048, and register its public key with ALTER USER .. SET RSA_PUBLIC_KEY",
        )
    return key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
