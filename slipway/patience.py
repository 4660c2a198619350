"""Patience: asking again what does not answer, within a limit and not in silence.

Only what mends itself is asked again: `Unavailable`, but for an environment that was never made and a login that is
refused. Any other error is an answer.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

from tenacity import RetryCallState, Retrying, retry_if_exception, wait_exponential

from slipway.errors import Unavailable

PATIENCE_S = 90.0  # seconds a deployment under way waits for a part that does not answer
TELL_EVERY_S = 5.0  # seconds between two words about it
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.25, 4.0  # between two questions; each is twice the one before
_Answer = TypeVar("_Answer")


class _Missing:
    """Since when an answer is missing: from the end of the first question without one."""

    def __init__(self, limit_s: float) -> None:
        self.limit_s = limit_s
        self._since: float | None = None

    def since_s(self) -> float:
        return 0.0 if self._since is None else time.monotonic() - self._since

    def is_too_long(self, state: RetryCallState) -> bool:
        now = time.monotonic()
        if self._since is None:
            self._since = now
        return now - self._since >= self.limit_s


@dataclass(kw_only=True)
class Patience:
    """How long something that does not answer is asked again, and who is told meanwhile.

    Once the patience has run out it is gone until there is an answer: who goes on to say that all failed does not wait
    anew.

    Attributes:
        limit_s: seconds from the first question; 0 asks once.
        tell: called with one line, at most every `tell_every_s`.
        allow: called before every pause; what it raises ends the waiting.
    """

    limit_s: float = PATIENCE_S
    tell: Callable[[str], None] | None = None
    tell_every_s: float = TELL_EVERY_S
    allow: Callable[[], None] | None = None
    first_pause_s: float = FIRST_PAUSE_S
    _has_run_out: bool = field(default=False, init=False)

    def ask(self, question: Callable[[], _Answer], *, within_s: float = math.inf) -> _Answer:
        """Return what `question` returns, asking it again while it raises `Unavailable`; raise the last error.

        The time is counted from when an answer was first missed: work that went well for long has not used it up.

        Args:
            within_s: a shorter limit for this question.
        """
        limit_s = 0.0 if self._has_run_out else min(self.limit_s, within_s)
        missing = _Missing(limit_s)
        pauses = wait_exponential(multiplier=self.first_pause_s, max=LONGEST_PAUSE_S)
        retrying = Retrying(
            retry=retry_if_exception(_mends_itself),
            wait=lambda state: max(min(pauses(state), limit_s - missing.since_s()), 0),  # the last time at the limit
            stop=missing.is_too_long,
            before_sleep=self._teller(missing),
            reraise=True,
        )
        try:
            answer = retrying(question)
        except Unavailable as error:
            self._has_run_out = _mends_itself(error)
            raise
        self._has_run_out = False
        return answer

    def _teller(self, missing: _Missing) -> Callable[[RetryCallState], None]:
        told_at = -math.inf

        def tell(state: RetryCallState) -> None:
            nonlocal told_at
            if self.allow is not None:
                self.allow()
            since_s = missing.since_s()
            if self.tell is not None and since_s - told_at >= self.tell_every_s:
                told_at = since_s
                self.tell(f"{_cause(state)}; trying again ({since_s:.0f} s of {missing.limit_s:.0f})")

        return tell


def _cause(state: RetryCallState) -> str:
    """Return the first line of what a part that does not answer had to say."""
    error = state.outcome.exception() if state.outcome else None
    return str(getattr(error, "message", error)).partition("\n")[0]


def _mends_itself(error: BaseException | None) -> bool:
    return isinstance(error, Unavailable) and error.mends_itself
