"""Units of a script: what is done whole or not at all."""

from __future__ import annotations

import pytest

from slipway.errors import StepFailed
from slipway.statement import units_of

FILL = "INSERT INTO R.A.T SELECT 1"


def test_a_transaction_is_one_unit_and_any_other_statement_is_one() -> None:
    units = units_of(["ALTER TABLE R.A.T ADD B INT", "BEGIN TRANSACTION", FILL, "TRUNCATE TABLE R.A.U", "COMMIT", FILL])
    assert [len(unit.statements) for unit in units] == [1, 4, 1]


@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE R.A.T ADD COLUMN B INT",
        "-- why\ncreate table R.A.U (A INT)",
        "DROP TABLE R.A.T",
        "UNDROP TABLE R.A.T",
        "GRANT SELECT ON TABLE R.A.T TO ROLE X",
        "REVOKE SELECT ON TABLE R.A.T FROM ROLE X",
        "COMMENT ON TABLE R.A.T IS 'a'",
        "USE SCHEMA R.A",
        "EXECUTE  IMMEDIATE $$ BEGIN DROP TABLE R.A.T; END $$",
        "CALL R.A.P()",
    ],
)
def test_what_commits_by_itself_is_refused_within_a_transaction(statement: str) -> None:
    with pytest.raises(StepFailed, match="commits by itself, or may") as refused:
        units_of(["BEGIN TRANSACTION", FILL, statement, FILL, "COMMIT"])
    assert "BEGIN TRANSACTION" in str(refused.value.fix)
    assert len(units_of(["BEGIN TRANSACTION", FILL, "COMMIT", statement])) in (1, 2)
