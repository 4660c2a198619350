"""One thing changed in many."""

from __future__ import annotations


def flipped(content: bytes, at: int, by: int = 1) -> bytes:
    """Return the bytes with one of them changed."""
    return content[:at] + bytes([content[at] ^ by]) + content[at + 1 :]


def flipped_text(text: str, at: int, by: int = 1) -> str:
    """Return the text with one character changed: what a store of texts can hold of a changed byte."""
    return text[:at] + chr(ord(text[at]) ^ by) + text[at + 1 :]
