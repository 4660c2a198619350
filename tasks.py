"""The table of contents of Slipway's tasks: `invoke --list`, `invoke --help deploy`."""

from __future__ import annotations

from invoke import Collection

from slipway.tasks import dags, deploy, infra, sandbox

namespace = Collection(
    deploy.deploy,
    deploy.rollback,
    deploy.plan,
    deploy.status,
    deploy.history,
    Collection.from_module(dags, name="dags"),
    Collection.from_module(infra, name="infra"),
    Collection.from_module(sandbox, name="sandbox"),
)
namespace.configure({"run": {"echo": False}})
