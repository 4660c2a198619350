"""The cases of the contract, by what they are about."""

from __future__ import annotations

from ..case import Case
from . import (
    account,
    clone,
    dml,
    function,
    grant,
    information,
    load,
    meaning,
    merge,
    privilege,
    procedure,
    refusal,
    scripting,
    session,
    show,
    stream,
    swap,
    table,
    transaction,
    types,
)

_PARTS = (
    session,
    types,
    table,
    dml,
    merge,
    transaction,
    clone,
    swap,
    grant,
    privilege,
    information,
    show,
    stream,
    account,
    load,
    scripting,
    procedure,
    function,
    meaning,
    refusal,
)
CASES: tuple[Case, ...] = tuple(case for part in _PARTS for case in part.CASES)
