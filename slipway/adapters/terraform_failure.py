"""What terraform said when it failed, as one of our errors: the one place where its messages are read."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from slipway.adapters.terraform_process import Completed
from slipway.errors import ConfigurationError, Interrupted, Locked, SlipwayError, Stale, StepFailed, Unavailable

_SHOWN = 5  # diagnostics in one message
_FRAME = re.compile(r"^[╷│╵]\s?", re.MULTILINE)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_LOCK_FIELD = re.compile(r"^\s*(ID|Path|Operation|Who|Created):\s*(.+?)\s*$", re.MULTILINE)


class LockVanished(Locked):
    """The lock was given back between terraform's attempt to take it and its question who holds it.

    Terraform waits for a lock (`-lock-timeout`) only if it learns who holds it, so this can be tried again at once.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnostic:
    """One error of terraform's: what, in which resource, where in the files."""

    summary: str
    detail: str = ""
    address: str | None = None
    place: str | None = None

    def __str__(self) -> str:
        where = " ".join(part for part in (self.address, f"({self.place})" if self.place else None) if part)
        first = f"{where}: {self.summary}" if where else self.summary
        return f"{first}\n    {self.detail}" if self.detail else first


def translate(command: str, completed: Completed, *, timeout_s: float | None) -> SlipwayError:
    """Return the error for a run that did not succeed; no side effects."""
    if completed.killed:
        return StepFailed(
            f"terraform {command} was killed; the state may be locked and lack what it did last",
            fix="look at the infrastructure, then plan again",
        )
    if completed.timed_out:
        return StepFailed(
            f"terraform {command} took longer than {timeout_s:.0f} s and was stopped; state saved, lock released",
            fix="raise timeouts.infra_s in the environment's configuration, or see what it waited for",
        )
    if completed.interrupted:
        return Interrupted(
            f"terraform {command} was stopped; state saved, lock released", fix="give the same command again"
        )
    problems = tuple(diagnostics(completed))
    text = "\n".join(f"{one.summary}\n{one.detail}" for one in problems)
    for pattern, build in _KNOWN:
        if pattern.search(text):
            return build(command, text, problems)
    return StepFailed(_told(command, problems))


def diagnostics(completed: Completed) -> Iterator[Diagnostic]:
    """Yield the errors in the events of a run; for a command without events, what it wrote to standard error."""
    found = False
    for line in completed.output.splitlines():
        if '"diagnostic"' not in line:
            continue
        try:
            event = json.loads(line)
        except ValueError:
            continue
        # `validate -json` gives one document with a list; the others one event each.
        for one in event.get("diagnostics") or [event.get("diagnostic")]:
            if one and one.get("severity") == "error":
                found = True
                yield _diagnostic(one)
    if not found:
        plain = _COLOUR.sub("", _FRAME.sub("", _COLOUR.sub("", completed.errors))).strip()
        summary, _, detail = plain.removeprefix("Error: ").partition("\n")
        yield Diagnostic(summary=summary or f"exit code {completed.code} without a message", detail=detail.strip())


def _diagnostic(one: dict[str, object]) -> Diagnostic:
    place = None
    match one.get("range"):
        case {"filename": filename, "start": {"line": line}}:
            place = f"{filename}:{line}"
    address = one.get("address")
    return Diagnostic(
        summary=str(one.get("summary", "")),
        detail=str(one.get("detail", "")).strip(),
        address=str(address) if address else None,
        place=place,
    )


def _told(command: str, problems: tuple[Diagnostic, ...]) -> str:
    lines = [f"terraform {command} failed:"] + [f"  {one}" for one in problems[:_SHOWN]]
    if len(problems) > _SHOWN:
        lines.append(f"  and {len(problems) - _SHOWN} more")
    return "\n".join(lines)


def _locked(command: str, text: str, problems: tuple[Diagnostic, ...]) -> SlipwayError:
    lock = dict(_LOCK_FIELD.findall(text))
    if "ID" not in lock and "NoSuchKey" in text:
        return LockVanished(
            f"terraform {command}: the state was locked by someone who gave it back meanwhile",
            fix="give the same command again",
        )
    holder = f"{lock.get('Who', 'someone')} since {lock.get('Created', 'an unknown time')}"
    return Locked(
        f"terraform {command}: the state is locked by {holder} ({lock.get('Operation', 'unknown operation')}, "
        f"lock {lock.get('ID', 'unknown')}); wait for it to end, or take the lock away from a process that is gone for "
        "certain",
        fix=f"invoke infra.unlock --env ENV --lock-id {lock.get('ID', 'ID')}",
    )


def _stale(command: str, text: str, problems: tuple[Diagnostic, ...]) -> SlipwayError:
    return Stale("the Terraform state moved since the plan was made", fix="invoke plan --env ENV")


def _no_provider(command: str, text: str, problems: tuple[Diagnostic, ...]) -> SlipwayError:
    return ConfigurationError(
        _told(command, problems),
        fix="reach registry.terraform.io, or set TF_PLUGIN_MIRROR to a folder made by 'terraform providers mirror'",
    )


def _no_state_bucket(command: str, text: str, problems: tuple[Diagnostic, ...]) -> SlipwayError:
    return ConfigurationError(_told(command, problems), fix="invoke infra.bootstrap --env ENV")


def _configuration(command: str, text: str, problems: tuple[Diagnostic, ...]) -> SlipwayError:
    return ConfigurationError(_told(command, problems))


def _unavailable(command: str, text: str, problems: tuple[Diagnostic, ...]) -> SlipwayError:
    return Unavailable(_told(command, problems), fix="invoke sandbox.status, or check the network and the credentials")


_Build = Callable[[str, str, tuple[Diagnostic, ...]], SlipwayError]

# The first that matches decides; the more particular stand first.
_KNOWN: tuple[tuple[re.Pattern[str], _Build], ...] = (
    (re.compile(r"Error acquiring the state lock"), _locked),
    (re.compile(r"Saved plan is stale|saved plan (?:.* )?is no longer|does not match the given state", re.I), _stale),
    (
        re.compile(
            r"query available provider|install provider|Required plugins are not installed|dependency lock file|"
            r"cached package for|no available releases match",
            re.I,
        ),
        _no_provider,
    ),
    (re.compile(r"S3 bucket .* does not exist|NoSuchBucket", re.I), _no_state_bucket),
    (
        re.compile(
            r"connection refused|no such host|i/o timeout|TLS handshake|proxyconnect|send request failed|"
            r"No valid credential sources|ExpiredToken|InvalidClientTokenId",
            re.I,
        ),
        _unavailable,
    ),
    (
        re.compile(
            r"Unsupported (?:argument|block type|attribute|Terraform Core version)|Missing required|Invalid value for|"
            r"Value for undeclared variable|No value for required|Reference to undeclared|Argument or block definition|"
            r"Backend initialization required|Account ID not allowed|AWS account ID not allowed|"
            r"Failed to load plan|Module not installed|Unreadable module",
            re.I,
        ),
        _configuration,
    ),
)
