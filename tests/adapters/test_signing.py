"""Signatures: made in KMS, checked with the public half alone; an envelope has one spelling."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from hypothesis import given
from hypothesis import strategies as st

from slipway.adapters.aws import Aws
from slipway.adapters.signing import BadSignature, KmsSigner, PublicKey, keys_in, opened, parts_of, signed
from slipway.documents import canonical
from slipway.errors import ConfigurationError, SlipwayError

from .conftest import CREDENTIALS

TYPE = "application/vnd.slipway.test+json"
SAID = {"a": 1, "reason": "geprüft"}


@pytest.fixture(scope="module")
def kms(endpoint: str) -> Any:
    return Aws(region="eu-west-1", endpoint=endpoint, credentials=CREDENTIALS).kms


def new_key(kms: Any) -> KmsSigner:
    made = kms.create_key(KeySpec="ECC_NIST_P256", KeyUsage="SIGN_VERIFY")["KeyMetadata"]
    return KmsSigner(kms, made["KeyId"])


@pytest.fixture(scope="module")
def signer(kms: Any) -> KmsSigner:
    return new_key(kms)


@pytest.fixture(scope="module")
def envelope(signer: KmsSigner) -> bytes:
    return signed(canonical(SAID), TYPE, signer)


def test_what_was_signed_is_what_is_read(envelope: bytes, signer: KmsSigner) -> None:
    assert opened(envelope, TYPE, signer.verification_key) == SAID


def test_a_public_key_is_all_it_takes_to_check(envelope: bytes, signer: KmsSigner) -> None:
    copy = PublicKey(pem=signer.verification_key.pem)

    assert opened(envelope, TYPE, copy) == SAID
    assert copy.pem.startswith("-----BEGIN PUBLIC KEY-----\n")


def test_several_keys_in_one_text_are_read_in_their_order(kms: Any) -> None:
    keys = tuple(new_key(kms).verification_key for _ in range(3))
    text = "".join(key.pem for key in keys)

    assert keys_in(text, origin="KEY.pem") == keys
    assert keys_in(f"the evidence:\n{text.strip()}\n\n", origin="KEY.pem") == keys


@pytest.mark.parametrize(
    "text",
    ["", "no key", "-----BEGIN PUBLIC KEY-----\n", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"],
    ids=["nothing", "text", "a beginning", "no key inside"],
)
def test_a_text_without_a_key_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="public key in PEM"):
        keys_in(text, origin="KEY.pem")


def test_content_beyond_what_kms_takes_is_signed_by_its_digest(signer: KmsSigner) -> None:
    long = {"text": "x" * 100_000}

    assert opened(signed(canonical(long), TYPE, signer), TYPE, signer.verification_key) == long


def test_another_key_did_not_sign_it(envelope: bytes, kms: Any) -> None:
    with pytest.raises(BadSignature, match="was not signed by the key"):
        opened(envelope, TYPE, new_key(kms).verification_key)


def test_an_envelope_of_one_type_is_none_of_another(envelope: bytes, signer: KmsSigner) -> None:
    with pytest.raises(BadSignature, match=r"is of type .*test\+json, not else"):
        opened(envelope, "else", signer.verification_key)


def _with(**changes: Any) -> Callable[[bytes], bytes]:
    return lambda content: canonical({**json.loads(content), **changes})


def _signature(content: bytes) -> dict[str, str]:
    found: dict[str, str] = json.loads(content)["signatures"][0]
    return found


@pytest.mark.parametrize(
    ("bend", "said"),
    [
        (lambda content: b"", "is not an envelope"),
        (lambda content: b"null", "is not an envelope"),
        (lambda content: b"{}", "is not an envelope"),
        (lambda content: b"\xff", "is not an envelope"),
        (lambda content: content + b"\n", "is spelt otherwise"),
        (lambda content: json.dumps(json.loads(content)).encode(), "is spelt otherwise"),
        (_with(more=1), "is spelt otherwise"),
        (_with(payload="!"), "is not an envelope"),
        (_with(payload=1), "is not an envelope"),
        (_with(signatures=[]), "does not have exactly one signature"),
        (_with(signatures=1), "is not an envelope"),
        (_with(payloadType=1), "is"),
        (lambda content: _with(signatures=[_signature(content)] * 2)(content), "is not an envelope"),
        (
            lambda content: _with(signatures=[_signature(content), {**_signature(content), "keyid": "b"}])(content),
            "does not have exactly one signature",
        ),
        (lambda content: _with(signatures=[{**_signature(content), "keyid": "b"}])(content), "was not signed"),
        (lambda content: _with(signatures=[{**_signature(content), "sig": ""}])(content), "was not signed"),
        (lambda content: _with(signatures=[{**_signature(content), "sig": "AAAA"}])(content), "was not signed"),
        (_with(payload=base64.b64encode(canonical({**SAID, "a": 2})).decode()), "was not signed"),
    ],
)
def test_an_envelope_that_was_bent_says_how(
    bend: Callable[[bytes], bytes], said: str, envelope: bytes, signer: KmsSigner
) -> None:
    with pytest.raises(BadSignature, match=said):
        opened(bend(envelope), TYPE, signer.verification_key)


@pytest.mark.parametrize("payload", [b"[]", b'{"a": 1}', b'{"b":1,"a":1}'], ids=["no object", "spaces", "order"])
def test_what_was_signed_and_is_not_canonical_is_refused(payload: bytes, signer: KmsSigner) -> None:
    with pytest.raises(BadSignature, match="does not hold canonical JSON"):
        opened(signed(payload, TYPE, signer), TYPE, signer.verification_key)


@given(at=st.integers(0, 10**6), mask=st.integers(1, 255))
def test_no_byte_can_be_changed(envelope: bytes, signer: KmsSigner, at: int, mask: int) -> None:
    bent = bytearray(envelope)
    bent[at % len(bent)] ^= mask
    with pytest.raises(BadSignature):
        opened(bytes(bent), TYPE, signer.verification_key)


def test_an_envelope_is_taken_apart_for_other_tools(envelope: bytes, signer: KmsSigner) -> None:
    content, signature = parts_of(envelope)
    key = load_pem_public_key(signer.verification_key.pem.encode())
    payload = canonical(SAID)

    assert content == b"DSSEv1 %d %s %d %s" % (len(TYPE), TYPE.encode(), len(payload), payload)
    assert isinstance(key, ec.EllipticCurvePublicKey)
    key.verify(signature, content, ec.ECDSA(SHA256()))


def test_kms_is_given_the_digest_and_answers_for_it(envelope: bytes, kms: Any, signer: KmsSigner) -> None:
    content, signature = parts_of(envelope)
    answer = kms.verify(
        KeyId=signer._alias,
        Message=hashlib.sha256(content).digest(),
        MessageType="DIGEST",
        Signature=signature,
        SigningAlgorithm="ECDSA_SHA_256",
    )

    assert answer["SignatureValid"] is True


def test_a_key_that_is_not_there_is_said_to_be(kms: Any) -> None:
    with pytest.raises(SlipwayError, match="KMS alias/finedge-staging-nothing"):
        _ = KmsSigner(kms, "alias/finedge-staging-nothing").verification_key


@pytest.mark.parametrize("pem", ["", "key", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"])
def test_what_is_no_key_is_a_mistake_of_whoever_gave_it(pem: str, envelope: bytes) -> None:
    with pytest.raises(ConfigurationError, match="not a public key in PEM"):
        opened(envelope, TYPE, PublicKey(pem=pem))


def test_a_key_of_another_kind_did_not_sign_it(envelope: bytes) -> None:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048).public_key()
    pem = made.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
    with pytest.raises(BadSignature, match="was not signed by the key"):
        opened(envelope, TYPE, PublicKey(pem=pem))


def test_a_signer_is_not_made_from_a_uri(signer: KmsSigner) -> None:
    with pytest.raises(ConfigurationError, match="not from a URI"):
        KmsSigner.from_priv_key_uri("awskms:alias/x", signer.public_key)


def test_a_field_beside_the_signature_is_a_change(envelope: bytes, signer: KmsSigner) -> None:
    added = json.loads(envelope)
    added["signatures"][0]["note"] = "x"
    with pytest.raises(BadSignature, match="more than was signed"):
        opened(canonical(added), TYPE, signer.verification_key)


def test_the_other_signature_that_would_be_good_is_a_change(envelope: bytes, signer: KmsSigner) -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    other = json.loads(envelope)
    r, s = decode_dss_signature(base64.b64decode(other["signatures"][0]["sig"]))
    other["signatures"][0]["sig"] = base64.b64encode(encode_dss_signature(r, order - s)).decode()
    with pytest.raises(BadSignature, match="not the one that was made"):
        opened(canonical(other), TYPE, signer.verification_key)


def test_json_of_a_depth_nobody_writes_is_no_envelope(signer: KmsSigner) -> None:
    with pytest.raises(BadSignature, match="not an envelope"):
        opened(b"[" * 100_000, TYPE, signer.verification_key)
