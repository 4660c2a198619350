"""TLS for the proxy door: certificates under the services' own names, signed by the authority that moto ships."""

from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Lock

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from slipway.sandbox.aws.environment import authority_path

_LIFETIME = timedelta(days=365)


class CertificateStore:
    """Makes one TLS context per parent domain and keeps it; safe to ask from many threads.

    Side effects: writes certificates and their key into `folder`, which the caller removes.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = Lock()
        self._contexts: dict[str, ssl.SSLContext] = {}
        authority = authority_path()
        self._authority = x509.load_pem_x509_certificate(authority.read_bytes())
        signer = serialization.load_pem_private_key(authority.with_suffix(".key").read_bytes(), password=None)
        if not isinstance(signer, rsa.RSAPrivateKey):
            raise TypeError(f"{authority.with_suffix('.key')} is not an RSA key")
        self._signer = signer
        self._key = ec.generate_private_key(ec.SECP256R1())

    def context_for(self, host: str) -> ssl.SSLContext:
        """Return the TLS context that answers as `host` and as its siblings under the same parent domain."""
        parent = host.partition(".")[2]
        with self._lock:
            if parent not in self._contexts:
                self._contexts[parent] = self._create(host, parent)
            return self._contexts[parent]

    def _create(self, host: str, parent: str) -> ssl.SSLContext:
        path = self._folder / f"{parent}.pem"
        key = self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.touch(mode=0o600)
        path.write_bytes(self._issue(host, parent).public_bytes(serialization.Encoding.PEM) + key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        return context

    def _issue(self, host: str, parent: str) -> x509.Certificate:
        now = datetime.now(UTC)
        names = [x509.DNSName(name) for name in (f"*.{parent}", parent, host)]
        return (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, parent[:64])]))
            .issuer_name(self._authority.subject)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=1))  # clocks of containers drift
            .not_valid_after(now + _LIFETIME)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._signer, hashes.SHA256())
        )
