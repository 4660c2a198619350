"""Which deployment a rollback goes back to. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from slipway.deployment import Deployment
from slipway.errors import Blocked


def previous_deployment(history: Sequence[Deployment], *, live_version: str | None) -> Deployment | None:
    """Return the latest success of another version than the live one that has not been rolled back from, or None.

    Going back twice goes back further: a version that a rollback left is not a target of the next.

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
    while stack and stack[-1].version == live_version:
        stack.pop()
    return stack[-1] if stack else None


def rollback_target(history: Sequence[Deployment], *, live_version: str | None, environment: str) -> Deployment:
    """Return the deployment to go back to; raise `Blocked` when there is none."""
    target = previous_deployment(history, live_version=live_version)
    if target is None:
        raise Blocked(
            f"nothing to roll back to: {environment} has no earlier successful release",
            fix=f"invoke history --env {environment}",
        )
    return target
