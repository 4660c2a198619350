"""Key pairs of the embedded platform's service users, as an administrator of a real account would hand them out."""

from __future__ import annotations

from pathlib import Path

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from slipway.sandbox.process import write_private

BITS = 2048


def ensure_keys(folder: Path, users: tuple[str, ...]) -> None:
    """Have `<USER>.p8` (private, 0600) and `<USER>.pub` in `folder` for every user; existing ones are kept.

    Side effects: files in `folder`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for user in users:
        private, public = folder / f"{user}.p8", folder / f"{user}.pub"
        if private.exists() and public.exists():
            continue
        key = rsa.generate_private_key(public_exponent=65537, key_size=BITS)
        write_private(
            private,
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            ),
        )
        public.write_bytes(
            key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        )
