"""`KEY = value` settings, as stages, file formats and COPY write them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Union

from slipway.sandbox.snowflake import error
from slipway.sandbox.snowflake.reader import Reader, quote_name

Option = Union[str, tuple[str, ...], "Options"]
Options = Mapping[str, Option]

_NAMES = frozenset({"FORMAT_NAME", "STORAGE_INTEGRATION"})  # their unquoted values are object names, dots included


def read_options(reader: Reader) -> dict[str, Option]:
    """Read settings up to the end of the statement or the bracket that closes them; keys in upper case.

    A value is a text, a tuple of texts for `('a', 'b')`, or a mapping for `(KEY = value ...)`.
    """
    found: dict[str, Option] = {}
    while not reader.at_end and reader.peek() != ")":
        if reader.take(","):
            continue
        key = reader.value().upper()
        if not reader.take("="):
            raise reader.unexpected()
        if key in found:
            raise error.syntax(f"duplicate property '{key}'.")
        found[key] = _read_value(reader, key)
    return found


def _read_value(reader: Reader, key: str) -> Option:
    if not reader.take("("):
        if key in _NAMES:
            written = reader.string()
            return written if written is not None else quote_name(reader.name())
        sign = "-" if reader.take("-") else ""
        return sign + reader.value()
    if reader.peek(1) == "=":
        inner: Option = read_options(reader)
    else:
        inner = tuple(_read_list(reader))
    reader.expect(")")
    return inner


def _read_list(reader: Reader) -> list[str]:
    values = []
    while not reader.at_end and reader.peek() != ")":
        if not reader.take(","):
            values.append(reader.value())
    return values


def text(options: Options, key: str, default: str = "") -> str:
    """Return a setting that must be one word or string; raises a syntax error for anything else."""
    value = options.get(key, default)
    if not isinstance(value, str):
        raise error.syntax(f"invalid value for property '{key}'.")
    return value


def flag(options: Options, key: str, *, default: bool) -> bool:
    """Return a setting that must be TRUE or FALSE."""
    value = text(options, key, str(default)).upper()
    if value not in ("TRUE", "FALSE"):
        raise error.syntax(f"invalid value [{value}] for parameter '{key}'.")
    return value == "TRUE"


def number(options: Options, key: str, default: int) -> int:
    """Return a setting that must be a whole number."""
    value = text(options, key, str(default))
    if not value.lstrip("-").isdigit():
        raise error.syntax(f"invalid value [{value}] for parameter '{key}'.")
    return int(value)


def group(options: Options, key: str) -> Options:
    """Return a setting in brackets, empty when it is not there."""
    value = options.get(key, {})
    if isinstance(value, (str, tuple)):
        if value == ():
            return {}
        raise error.syntax(f"invalid value for property '{key}'.")
    return value


def several(options: Options, key: str, default: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Return a setting that is a list; one value alone is a list of one."""
    value = options.get(key, default)
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, tuple):
        raise error.syntax(f"invalid value for property '{key}'.")
    return value


def refuse_unknown(options: Options, known: frozenset[str], where: str) -> None:
    """Raise a syntax error that names every setting not in `known`."""
    if strange := sorted(set(options) - known):
        raise error.syntax(f"invalid property '{', '.join(strange)}' for '{where}'.")
