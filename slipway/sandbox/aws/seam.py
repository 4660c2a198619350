"""How a method of moto is replaced: by a function made from the original, in place."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

Amendment = Callable[[Callable[..., Any]], Callable[..., Any]]


def replace_method(owner: type, name: str, amendment: Amendment) -> None:
    """Replace `owner.name` by what `amendment` makes of it; raise `AttributeError` when there is none."""
    original = getattr(owner, name)
    setattr(owner, name, wraps(original)(amendment(original)))
