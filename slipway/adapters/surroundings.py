"""What a child process inherits, cleaned of what would send it to another account or endpoint."""

from __future__ import annotations

from collections.abc import Mapping

# Programs read either spelling, and disagree on which.
_PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})


def without_aws(surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return `surroundings` without AWS settings and proxies. For a child that is given its own of both."""
    return {
        name: value
        for name, value in surroundings.items()
        if not name.upper().startswith("AWS_") and name.lower() not in _PROXY_VARIABLES
    }
