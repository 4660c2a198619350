"""The table of contents of Slipway's tasks: `invoke --list`, `invoke --help deploy`; `./invoke` runs this file."""

from __future__ import annotations

from invoke import Collection, __version__

from slipway.tasks import approval, audit, backfill, dags, dbt, deploy, infra, lock, migrate, sandbox, slots
from slipway.tasks.program import CommandLine

namespace = Collection(
    deploy.deploy,
    deploy.rollback,
    deploy.plan,
    deploy.explain,
    approval.approve,
    deploy.status,
    deploy.history,
    Collection("approval", approval.request, approval.review),
    Collection.from_module(audit, name="audit"),
    Collection.from_module(backfill, name="backfill"),
    Collection.from_module(dags, name="dags"),
    Collection.from_module(dbt, name="dbt"),
    Collection.from_module(infra, name="infra"),
    Collection.from_module(lock, name="lock"),
    Collection.from_module(migrate, name="migrate"),
    Collection.from_module(sandbox, name="sandbox"),
    Collection.from_module(slots, name="slots"),
)
namespace.configure({"run": {"echo": False}})

program = CommandLine(version=__version__, name="Invoke", binary="invoke", namespace=namespace)

if __name__ == "__main__":
    program.run()
