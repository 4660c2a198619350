"""Everything Slipway refuses or fails at, as one short tree.

SlipwayError
├── ConfigurationError      2   the command, a file or the machine is not fit to begin
├── Blocked                 3   a rule says no; nothing was changed
│   ├── Stale               3   the environment moved since the plan was made
│   └── Locked              3   another deployment holds the environment
├── StepFailed              4   a step was tried and did not succeed
│   ├── Differs             4   what was built differs from what is live beyond the policy
│   └── Unavailable         4   a part of the platform does not answer
│       └── NotBootstrapped 4   it answers, and the environment was never made
├── VerificationFailed      5   every step was done, and the environment still differs from the plan
├── JournalError            6   the record of deployments is not one a deployment writes
│   └── Tampered            6   records contradict each other
└── Interrupted           130   stopped on request, at a boundary

The number is the exit code of the command. Anything that is not a `SlipwayError` is a bug and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any


class SlipwayError(Exception):
    """A failure a user can act on: what happened, where, and the command that mends it.

    Attributes:
        evidence: plain data for the record about what was tried, such as the ids of its queries.
    """

    exit_code = 4
    evidence: Mapping[str, Any] = {}

    def __init__(self, message: str, *, fix: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n  fix: {self.fix}" if self.fix else self.message


class ConfigurationError(SlipwayError):
    """The command, a configuration file or the machine is not fit to begin. Nothing was changed."""

    exit_code = 2


class Blocked(SlipwayError):
    """A gate refuses the plan. Nothing was changed.

    Args:
        blockers: `(id, reason, fix)` of every gate that refuses, in the order of the gates.
    """

    exit_code = 3

    def __init__(self, message: str, *, fix: str | None = None, blockers: Sequence[tuple[str, str, str]] = ()) -> None:
        super().__init__(message, fix=fix)
        self.blockers = tuple(blockers)

    def __str__(self) -> str:
        lines = [self.message]
        for name, reason, fix in self.blockers:
            lines += [f"  {name}: {reason}", f"    fix: {fix}"]
        if self.fix:
            lines.append(f"  fix: {self.fix}")
        return "\n".join(lines)


class Stale(Blocked):
    """The environment moved since the plan was made."""


class Locked(Blocked):
    """Another deployment holds the environment."""


class StepFailed(SlipwayError):
    """A step was tried and did not succeed; the steps before it stand, the published data is what it was."""

    exit_code = 4


class Differs(StepFailed):
    """What was built differs from what is live beyond the policy; it is not published."""


class Unavailable(StepFailed):
    """A part of the platform does not answer.

    Attributes:
        mends_itself: whether asking again later may help.
    """

    mends_itself = True


class NotBootstrapped(Unavailable):
    """The environment answers and was never made: it has no place for its lock and journal, or no roles yet."""

    mends_itself = False


class VerificationFailed(SlipwayError):
    """Every step was done, and what is observed still differs from what was planned."""

    exit_code = 5


class JournalError(SlipwayError):
    """The record of deployments says what cannot have happened. Nothing is done on top of it."""

    exit_code = 6


class Tampered(JournalError):
    """What was signed and what is there contradict each other."""


class Interrupted(SlipwayError):
    """Stopped on request. The command can be given again; it continues."""

    exit_code = 130
