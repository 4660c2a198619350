"""Which deployment a rollback goes back to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.deployment import Deployment
from slipway.errors import Blocked, ConfigurationError
from slipway.observation import Observation


@dataclass(frozen=True, kw_only=True, slots=True)
class Live:
    """What an environment shows: the version its DAGs follow and the slot its readers see."""

    version: str | None
    slot: str | None

    def is_all_of(self, deployment: Deployment) -> bool:
        """Return whether what the deployment made is live, whole."""
        return (self.version, self.slot) == (deployment.version, deployment.slot)


def live_in(seen: Observation) -> Live:
    """Return what an observed environment shows."""
    pointer, published = seen.pointer, seen.warehouse.published
    return Live(version=pointer.version if pointer else None, slot=published.slot if published else None)


def releases_in(history: Sequence[Deployment]) -> tuple[Deployment, ...]:
    """Return the deployments that make a version live: a backfill is neither gone back to nor gone back from."""
    return tuple(one for one in history if one.purpose != "backfill")


def earlier_successes(history: Sequence[Deployment], live: Live) -> tuple[Deployment, ...]:
    """Return the successes that are neither live nor have been rolled back from, newest first.

    Going back twice goes back further: a version that a rollback left is not a target of the next. When a deployment
    failed halfway, its new slot under the old DAGs, the newest target is the success before it.

    Args:
        history: deployments, oldest first.
    """
    stack: list[Deployment] = []
    for one in releases_in(history):
        if one.state != "succeeded":
            continue
        if one.purpose == "rollback":
            while stack and stack[-1].version != one.version:
                stack.pop()
        elif not stack or stack[-1].version != one.version:
            stack.append(one)
    while stack and live.is_all_of(stack[-1]):
        stack.pop()
    return tuple(reversed(stack))


def previous_deployment(history: Sequence[Deployment], live: Live) -> Deployment | None:
    """Return the latest earlier success, or None. A rollback that did not succeed is gone on with: its target stays
    the target.

    Args:
        history: deployments, oldest first.
    """
    releases = releases_in(history)
    if releases and releases[-1].purpose == "rollback" and releases[-1].state != "succeeded":
        return releases[-1]
    return next(iter(earlier_successes(history, live)), None)


def rollback_target(history: Sequence[Deployment], live: Live, *, environment: str, to: str = "") -> Deployment:
    """Return the deployment to go back to; raise `Blocked` when there is none.

    Args:
        to: the beginning of the release or version wanted; without it, the one before what is live.

    Raises:
        ConfigurationError: `to` is the beginning of several.
    """
    if not to:
        target = previous_deployment(history, live)
        if target is None:
            raise Blocked(
                f"nothing to roll back to: {environment} has no earlier successful release",
                fix=f"invoke history --env {environment}",
            )
        return target
    successes = [one for one in releases_in(history) if one.state == "succeeded"]
    reachable = [*(one for one in reversed(successes) if live.is_all_of(one)), *earlier_successes(history, live)]
    found = {
        one.version: one for one in reversed(reachable) if one.version.startswith(to) or one.release.startswith(to)
    }
    if len(found) > 1:
        raise ConfigurationError(
            f"{to} may be any of {', '.join(sorted(found))}", fix=f"invoke rollback --env {environment} --to VERSION"
        )
    if not found:
        versions = ", ".join(dict.fromkeys(one.version for one in earlier_successes(history, live)))
        raise Blocked(
            f"{to} is no release that {environment} can go back to; those are: {versions or 'none'}",
            fix=f"invoke history --env {environment}",
        )
    return next(iter(found.values()))
