"""Documents Slipway writes and reads back: canonical bytes, digests, and errors that name the path to a key.

Rules:
- A document is a frozen pydantic model; unknown keys are refused.
- Its canonical bytes are JSON with sorted keys, no spaces, UTF-8 and no floats (a float has more than one spelling),
  so that equal documents have equal digests on every machine. After securesystemslib's canonical JSON.
- Its digest is the lower-case hex sha256 of those bytes.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from slipway.errors import ConfigurationError

_PLAIN = frozenset({str, int, bool, type(None)})


class Document(BaseModel):
    """A frozen value that round-trips through its canonical bytes."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, ser_json_timedelta="iso8601")

    def to_bytes(self) -> bytes:
        """Return the canonical bytes."""
        return canonical(self.model_dump(mode="json"))

    @cached_property
    def digest(self) -> str:
        """The sha256 of the canonical bytes, as 64 lower-case hex digits."""
        return hashlib.sha256(self.to_bytes()).hexdigest()

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """Return a copy, which has a digest of its own."""
        copy = super().model_copy(update=update, deep=deep)
        copy.__dict__.pop("digest", None)
        return copy

    @classmethod
    def from_bytes(cls, content: bytes, *, origin: str) -> Self:
        """Return the document in `content`.

        Args:
            origin: where the bytes came from, for the message.

        Raises:
            ConfigurationError: not JSON, or not this document; every problem is listed with the path to its key.
        """
        try:
            return cls.from_mapping(json.loads(content), origin=origin)
        except ValueError as error:
            raise ConfigurationError(f"{origin} is not JSON: {error}") from error

    @classmethod
    def from_mapping(cls, content: Mapping[str, Any], *, origin: str) -> Self:
        """Return the document in `content`; raise `ConfigurationError` that lists every problem with its path."""
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            raise ConfigurationError(describe(error, origin=origin), fix=f"mend {origin}") from error


def read_toml(path: Path) -> dict[str, Any]:
    """Return what a file of `config/` says; raise `ConfigurationError` when it is not there or is not TOML."""
    try:
        return tomllib.loads(path.read_text())
    except FileNotFoundError as error:
        raise ConfigurationError(f"{path} does not exist", fix=f"git checkout -- config/{path.name}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"config/{path.name} is not TOML: {error}", fix=f"git diff -- config/{path.name}"
        ) from error


def canonical(value: object) -> bytes:
    """Return the canonical JSON bytes of plain data; raise `TypeError` for a float."""
    _refuse_floats(value)
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def digest_of(value: object) -> str:
    """Return the sha256 of the canonical bytes of plain data, as 64 lower-case hex digits."""
    return hashlib.sha256(canonical(value)).hexdigest()


def describe(error: ValidationError, *, origin: str) -> str:
    """Return one message that lists every problem pydantic found, each with the path to its key."""
    lines = [f"{origin} is not valid:"]
    for problem in error.errors():
        path = ".".join(str(part) for part in problem["loc"]) or "(top level)"
        lines.append(f"  {path}: {_sentence(problem)}")
    return "\n".join(lines)


def _sentence(problem: Any) -> str:
    match problem["type"]:
        case "missing":
            return "required key is missing"
        case "extra_forbidden":
            return "unknown key"
        case _:
            if problem["type"] == "value_error":  # a rule of ours says itself what it may; the input may be a secret
                return str(problem["msg"])
            return f"{problem['msg']} (found {problem['input']!r})"


def _refuse_floats(value: object) -> None:
    inside: Iterable[object] = ()
    if isinstance(value, dict):
        inside = value.values()
    elif isinstance(value, list | tuple):
        inside = value
    elif isinstance(value, float):
        raise TypeError(f"a float has no canonical form: {value!r}")
    for item in inside:
        if type(item) not in _PLAIN:  # nearly every value is
            _refuse_floats(item)
