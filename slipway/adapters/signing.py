"""Signatures: DSSE envelopes made with keys that stay in KMS, and checked with public keys.

Rules:
- KMS is given the digest, never the content: it takes no more than 4096 bytes of that.
  https://docs.aws.amazon.com/kms/latest/APIReference/API_Sign.html (MessageType)
- An envelope has one spelling. Bytes that mean the same envelope but are not those that were kept are a change; so is
  the other of the two signatures that ECDSA holds for good: of s and n - s the lower one is made and accepted.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
    load_pem_public_key,
)
from securesystemslib.dsse import Envelope
from securesystemslib.exceptions import StorageError, UnverifiedSignatureError, VerificationError
from securesystemslib.signer import Key, SecretsHandler, Signature, Signer, SSlibKey

from slipway.adapters.aws import translated
from slipway.documents import canonical
from slipway.errors import ConfigurationError

_P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551  # SEC 2, 2.4.2: secp256r1, n
_PEM = re.compile(r"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]+\n-----END PUBLIC KEY-----")
_ALGORITHM = "ECDSA_SHA_256"  # of the keys in terraform/modules/key: ECC_NIST_P256


class BadSignature(Exception):
    """An envelope is not one that the key signed; the text says what is wrong with it."""


@dataclass(frozen=True, kw_only=True)
class PublicKey:
    """A key to check with."""

    pem: str

    @cached_property
    def key(self) -> SSlibKey:
        """The same, as securesystemslib knows it. Raises `ConfigurationError` for what is no such key."""
        try:
            return SSlibKey.from_crypto(load_pem_public_key(self.pem.encode()))
        except ValueError as error:
            raise ConfigurationError(f"not a public key in PEM: {error}") from error


def keys_in(text: str, *, origin: str) -> tuple[PublicKey, ...]:
    """Return the public keys in PEM that a text holds, in order; raise `ConfigurationError` when there is none."""
    keys = tuple(PublicKey(pem=f"{found[0]}\n") for found in _PEM.finditer(text))
    if not keys:
        raise ConfigurationError(f"{origin} holds no public key in PEM", fix="invoke audit.key --env prod > KEY.pem")
    for key in keys:
        _ = key.key  # a text that only looks like one is refused here
    return keys


class KmsSigner(Signer):
    """Signs with one key of KMS; implements securesystemslib's `Signer`.

    Args:
        kms: a boto3 client.
        alias: the key's alias, e.g. `alias/finedge-prod-evidence`.
    """

    def __init__(self, kms: Any, alias: str) -> None:
        self._kms, self._alias = kms, alias

    @cached_property
    def _found(self) -> PublicKey:
        with translated(f"KMS {self._alias}", self._kms):
            der = self._kms.get_public_key(KeyId=self._alias)["PublicKey"]
        pem = load_der_public_key(der).public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        return PublicKey(pem=pem.decode())

    @property
    def verification_key(self) -> PublicKey:
        """The public half. Raises `SlipwayError` when KMS does not give it."""
        return self._found

    @property
    def public_key(self) -> Key:
        """The same, as securesystemslib asks for it."""
        return self._found.key

    @classmethod
    def from_priv_key_uri(
        cls, priv_key_uri: str, public_key: Key, secrets_handler: SecretsHandler | None = None
    ) -> KmsSigner:
        """Refuse: a signer needs a client of the environment's account, which no URI holds."""
        raise ConfigurationError(f"{priv_key_uri}: a signer is made from an environment, not from a URI")

    def sign(self, payload: bytes) -> Signature:
        """Return the signature of `payload`.

        Raises:
            StepFailed: this identity may not sign with the key.
            Unavailable: KMS does not answer.
        """
        with translated(f"KMS {self._alias}", self._kms):
            answer = self._kms.sign(
                KeyId=self._alias,
                Message=hashlib.sha256(payload).digest(),
                MessageType="DIGEST",
                SigningAlgorithm=_ALGORITHM,
            )
        return Signature(self.public_key.keyid, answer["Signature"].hex())


def signed(payload: bytes, payload_type: str, signer: Signer) -> bytes:
    """Return the envelope of `payload` as canonical bytes. Side effects: one signature of the signer's key."""
    envelope = Envelope(payload, payload_type, {})
    made = envelope.sign(signer)
    made.signature = _of_low_s(bytes.fromhex(made.signature)).hex()
    return canonical(envelope.to_dict())


def opened(content: bytes, payload_type: str, key: PublicKey) -> Mapping[str, Any]:
    """Return what the envelope in `content` says; raise `BadSignature` unless `key` signed exactly that."""
    envelope = _envelope_in(content)
    if envelope.payload_type != payload_type:
        raise BadSignature(f"is of type {envelope.payload_type}, not {payload_type}")
    if len(envelope.signatures) != 1:
        raise BadSignature("does not have exactly one signature")
    try:
        envelope.verify([key.key], 1)
    except (VerificationError, UnverifiedSignatureError, StorageError) as error:
        raise BadSignature("was not signed by the key, or was changed since") from error
    try:
        said = json.loads(envelope.payload)
        is_canonical = isinstance(said, dict) and canonical(said) == envelope.payload
    except (ValueError, TypeError, RecursionError):
        is_canonical = False
    if not is_canonical:
        raise BadSignature("does not hold canonical JSON")
    return dict(said)


def parts_of(content: bytes) -> tuple[bytes, bytes]:
    """Return what was signed (the pre-authentication encoding) and the raw signature, for checks with other tools."""
    envelope = _envelope_in(content)
    (signature,) = envelope.signatures.values()
    return envelope.pae(), bytes.fromhex(signature.signature)


def _envelope_in(content: bytes) -> Envelope:
    try:
        envelope = Envelope.from_dict(json.loads(content))
        again = canonical(envelope.to_dict())
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadSignature(f"is not an envelope: {error}") from error
    if again != content:
        raise BadSignature("is spelt otherwise than it was signed")
    for signature in envelope.signatures.values():
        if signature.unrecognized_fields:
            raise BadSignature("holds more than was signed")
        try:
            is_low = _of_low_s(bytes.fromhex(signature.signature)).hex() == signature.signature
        except ValueError as error:
            raise BadSignature("was not signed by the key, or was changed since: no signature") from error
        if not is_low:
            raise BadSignature("holds the other signature that would be good, not the one that was made")
    return envelope


def _of_low_s(signature: bytes) -> bytes:
    """Return the same ECDSA signature over P-256 with the lower of its two values of s."""
    r, s = decode_dss_signature(signature)
    return encode_dss_signature(r, min(s, _P256_ORDER - s))
