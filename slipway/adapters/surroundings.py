"""What a child process inherits, cleaned of what would send it to another account or endpoint.

The configuration says where a child goes; the caller's shell never does. schemachange takes `SNOWFLAKE_*` and
`SCHEMACHANGE_*` before its file, dbt takes `DBT_*` before its arguments.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from ipaddress import ip_address

# Programs read either spelling, and disagree on which.
_PROXY_VARIABLES = frozenset({"http_proxy", "https_proxy", "all_proxy", "no_proxy"})
# What any program needs of the machine it runs on: to be found, to write its files, to speak, to trust.
_MACHINE = frozenset({"PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "TZ", "TMPDIR"})
_TRUST = frozenset({"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"})


def without_aws(surroundings: Mapping[str, str]) -> dict[str, str]:
    """Return `surroundings` without AWS settings and proxies. For a child that is given its own of both."""
    return {
        name: value
        for name, value in surroundings.items()
        if not name.upper().startswith("AWS_") and name.lower() not in _PROXY_VARIABLES
    }


def for_child(surroundings: Mapping[str, str], own: Mapping[str, str], *, host: str | None) -> dict[str, str]:
    """Return the environment of a child: of `surroundings` what tells of the machine, and all of `own`.

    Args:
        host: whom the child talks to. Proxies are for hosts elsewhere; one on this machine is reached without.
    """
    kept = _MACHINE | _TRUST
    inherited = {name: value for name, value in surroundings.items() if name in kept or name.startswith("LC_")}
    if not is_loopback(host):
        inherited |= {name: value for name, value in surroundings.items() if name.lower() in _PROXY_VARIABLES}
    return {**inherited, **own}


def is_loopback(host: str | None) -> bool:
    """Return whether `host` is this machine itself."""
    if not host:
        return False
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def reach_directly(host: str) -> None:
    """Have this process reach `host` without a proxy. For libraries that take proxies from the environment only.

    Side effects: `host` joins `NO_PROXY` of the process, in both spellings.
    """
    for name in ("NO_PROXY", "no_proxy"):
        listed = [one for one in os.environ.get(name, "").split(",") if one]
        if host not in listed:
            os.environ[name] = ",".join([*listed, host])
