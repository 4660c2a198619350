"""A change of every component at once: what makes a deployment need every kind of step, small and numbered."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.e2e.conftest import House

COMPONENTS = ("infra", "dags", "migrations", "dbt")
NUMBERED = re.compile(r"(?i)(change[_-]|V8\.)(\d+)")  # how the name of whatever a change makes tells its number

DAG = '''"""A DAG that each change gives another description."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, task

with DAG(
    "latest_change",
    description="change {number}",
    schedule=None,
    start_date=datetime(2026, 1, 1, tzinfo=UTC),
    catchup=False,
):

    @task
    def number() -> int:
        return {number}

    number()
'''
MODEL = "select {number} as change_number\n"
MODEL_TESTS = """version: 2

models:
  - name: latest_change
    description: The change that is live. One row.
    columns:
      - {name: change_number, data_type: integer, description: Its number., data_tests: [not_null]}
"""
TABLE = "{{ raw_database }}.CORE.CHANGE_%s"
MIGRATION = """-- A table of this change, with one row, however often the script is run.
CREATE TABLE IF NOT EXISTS {table} (NUMBER INTEGER);
ALTER TABLE {table} ADD COLUMN IF NOT EXISTS NOTE VARCHAR;
INSERT INTO {table} (NUMBER, NOTE) SELECT {number}, 'made' WHERE NOT EXISTS (SELECT 1 FROM {table});
"""
TOPIC = """resource "aws_sns_topic" "change_{number}" {{
  name = "${{var.prefix}}-staging-change-{number}"
}}
"""


def write(house: House, number: int, *, components: tuple[str, ...] = COMPONENTS) -> None:
    """Write change `number` into the house's work tree and commit it: one topic in place of the one before it."""
    if "dags" in components:
        house.write("dags/latest_change.py", DAG.format(number=number))
    if "dbt" in components:
        house.write("dbt/models/marts/finance/latest_change.sql", MODEL.format(number=number))
        house.write("dbt/models/marts/finance/_latest_change.yml", MODEL_TESTS)
    if "migrations" in components:
        table, name = TABLE % number, f"8.{number}.0__change_{number}.sql"
        house.write(f"snowflake_migrations/scripts/V{name}", MIGRATION.format(table=table, number=number))
        house.write(f"snowflake_migrations/undo/U{name}", f"DROP TABLE IF EXISTS {table};\n")
    if "infra" in components:
        house.write("terraform/environments/staging/change.tf", TOPIC.format(number=number))
    house.commit(f"Change {number}: {', '.join(components)}")


def next_number(house: House) -> int:
    """Return the number after that of the last change that is committed."""
    subjects = house.git("log", "--format=%s").splitlines()
    return max((int(found[1]) for one in subjects if (found := re.match(r"Change (\d+):", one))), default=0) + 1
