"""Tags a DAG may carry: the closed list that dashboards and alert routes rely on."""

from __future__ import annotations

from enum import StrEnum


class Tag(StrEnum):
    """Domain, source and kind of work of a DAG."""

    CARDS = "domain:cards"
    CUSTOMER = "domain:customer"
    FINANCE = "domain:finance"
    MARKET = "domain:market"
    POSTGRES = "source:postgres"
    FILES = "source:files"
    LOAD = "kind:load"
    BUILD = "kind:build"
