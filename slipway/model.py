"""What a dbt model is built from, and what is built from it, as the manifest of a build tells it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from slipway.errors import ConfigurationError
from slipway.slot import layer_of

_TABLES = ("table", "incremental", "seed")


@dataclass(frozen=True, kw_only=True)
class Model:
    """One model among its relatives.

    Attributes:
        is_microbatch: whether dbt can build it for a stretch of time alone.
        relations: `LAYER.NAME` of every table among the model, its ancestors and its descendants, by name.
    """

    name: str
    is_microbatch: bool
    relations: tuple[str, ...]


def model_in(manifest: Mapping[str, Any], model: str) -> Model:
    """Return a model and its relatives; raise `ConfigurationError` when there is no such model, or it is no table."""
    nodes: Mapping[str, Any] = manifest["nodes"]
    models = {node["name"]: name for name, node in nodes.items() if node["resource_type"] == "model"}
    if model not in models:
        close = get_close_matches(model, models, n=1)
        raise ConfigurationError(
            f"there is no dbt model {model!r} in what is live",
            fix=f"--model {close[0]}" if close else "give the name of a model as --model",
        )
    own = models[model]
    config = nodes[own]["config"]
    if config["materialized"] not in _TABLES:
        raise ConfigurationError(
            f"{model} is materialized as {config['materialized']}: it holds no rows of its own",
            fix="give a model that is a table, incremental or microbatch",
        )
    relatives = {own, *_reach(manifest["parent_map"], own), *_reach(manifest["child_map"], own)}
    tables = [node for name in relatives if (node := nodes.get(name)) and node["config"]["materialized"] in _TABLES]
    return Model(
        name=model,
        is_microbatch=config.get("incremental_strategy") == "microbatch",
        relations=tuple(sorted(f"{layer_of(node['schema'])}.{node['alias'].upper()}" for node in tables)),
    )


def _reach(edges: Mapping[str, Iterable[str]], start: str) -> set[str]:
    """Return everything that can be reached from a node."""
    found: set[str] = set()
    waiting = [start]
    while waiting:
        for one in edges.get(waiting.pop(), ()):
            if one not in found:
                found.add(one)
                waiting.append(one)
    return found
