"""Which deployment a rollback goes back to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from slipway.deployment import Deployment
from slipway.errors import Blocked
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


def previous_deployment(history: Sequence[Deployment], live: Live) -> Deployment | None:
    """Return the latest success that is not what is live and has not been rolled back from, or None.

    Going back twice goes back further: a version that a rollback left is not a target of the next. When a deployment
    failed halfway, its new slot under the old DAGs, the target is the success before it. A rollback that did not
    succeed is gone on with: its target stays the target.

    Args:
        history: deployments, oldest first.
    """
    if history and history[-1].purpose == "rollback" and history[-1].state != "succeeded":
        return history[-1]
    return next(iter(reachable(history, live)), None)


def reachable(history: Sequence[Deployment], live: Live) -> tuple[Deployment, ...]:
    """Return the successes that rollbacks go back to, one after the other, the next one first.

    Args:
        history: deployments, oldest first.
    """
    stack: list[Deployment] = []
    for one in history:
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


def rollback_target(history: Sequence[Deployment], live: Live, *, environment: str) -> Deployment:
    """Return the deployment to go back to; raise `Blocked` when there is none."""
    target = previous_deployment(history, live)
    if target is None:
        raise Blocked(
            f"nothing to roll back to: {environment} has no earlier successful release",
            fix=f"invoke history --env {environment}",
        )
    return target
