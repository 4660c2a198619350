"""The five datasets that are loaded into RAW."""

from __future__ import annotations

from etl.dataset import Column, Dataset, Drop, Feed, FileSeries, Tolerance, Type, Volume

CARD_TRANSACTIONS = Dataset(
    pipeline="card_transactions",
    schema="CORE",
    table="CARD_TRANSACTIONS",
    columns=(
        Column("TRANSACTION_ID"),
        Column("CARD_ID"),
        Column("CUSTOMER_ID"),
        Column("MERCHANT_ID"),
        Column("MERCHANT_CATEGORY"),
        Column("COUNTRY"),
        Column("AMOUNT", Type.MONEY),
        Column("CURRENCY"),
        Column("STATUS"),
        Column("BOOKED_AT", Type.TIME),
        Column("UPDATED_AT", Type.TIME),
    ),
    key=("TRANSACTION_ID",),
    amount="AMOUNT",
    source=Feed(table="card_transactions", changed="UPDATED_AT", versioned=True),
    volume=Volume(rows=1_050_000_000, row_bytes=120),
)

CUSTOMERS = Dataset(
    pipeline="customers",
    schema="CORE",
    table="CUSTOMER_CHANGES",
    columns=(
        Column("CHANGE_ID", Type.INTEGER),
        Column("CUSTOMER_ID"),
        Column("FULL_NAME"),
        Column("EMAIL"),
        Column("SEGMENT"),
        Column("COUNTRY"),
        Column("RISK_RATING"),
        Column("STATUS"),
        Column("CHANGED_AT", Type.TIME),
        Column("OPERATION"),
    ),
    key=("CHANGE_ID",),
    source=Feed(table="customer_changes", changed="CHANGED_AT", versioned=False),
    volume=Volume(rows=77_000_000, row_bytes=140),
)

LEDGER_POSTINGS = Dataset(
    pipeline="ledger_postings",
    schema="CORE",
    table="LEDGER_POSTINGS",
    columns=(
        Column("POSTING_ID", Type.INTEGER),
        Column("JOURNAL_ID"),
        Column("TRANSACTION_ID"),
        Column("ACCOUNT_CODE"),
        Column("POSTING_DATE", Type.DATE),
        Column("CURRENCY"),
        Column("AMOUNT", Type.MONEY),
        Column("POSTED_AT", Type.TIME),
    ),
    key=("POSTING_ID",),
    amount="AMOUNT",
    balanced_by=("POSTING_DATE", "CURRENCY"),
    source=Feed(table="ledger_postings", changed="POSTED_AT", versioned=False),
    volume=Volume(rows=600_000_000, row_bytes=90),
)

FX_RATES = Dataset(
    pipeline="fx_rates",
    schema="MARKET",
    table="FX_RATES",
    columns=(
        Column("RATE_DATE", Type.DATE),
        Column("BASE_CURRENCY", length=3),
        Column("QUOTE_CURRENCY", length=3),
        Column("RATE", Type.RATE, required=True),
    ),
    key=("RATE_DATE", "BASE_CURRENCY", "QUOTE_CURRENCY"),
    # Rates stand for themselves: the good ones of a day are used, what a day lacks is filled from the day before.
    source=Drop(
        series=(FileSeries("fx_rates", "fx/fx_rates_", ".csv"),),
        lookback_days=7,
        tolerance=Tolerance(faulty_percent=40, files=1),
    ),
    volume=Volume(rows=2_000_000, row_bytes=36),
)

SETTLEMENT_FILES = Dataset(
    pipeline="settlement_files",
    schema="CARDS",
    table="SETTLEMENTS",
    columns=(
        Column("SCHEME"),
        Column("SETTLEMENT_DATE", Type.DATE, required=True),
        Column("BATCH_ID"),
        Column("TRANSACTION_ID"),
        Column("GROSS_AMOUNT", Type.MONEY),
        Column("FEE_AMOUNT", Type.MONEY, required=True),
        Column("NET_AMOUNT", Type.MONEY, required=True),
        Column("CURRENCY", length=3, required=True),
    ),
    key=("SCHEME", "BATCH_ID", "TRANSACTION_ID"),
    amount="GROSS_AMOUNT",
    # All or nothing: the scheme pays the sum of its file, and half of its lines would be reconciled with that.
    source=Drop(
        series=tuple(
            FileSeries(scheme, f"settlement/{scheme}/{scheme}_", ".csv.gz") for scheme in ("visa", "mastercard")
        ),
        lookback_days=7,
        tolerance=Tolerance(faulty_percent=0, files=1),
    ),
    volume=Volume(rows=5_500_000, row_bytes=90),
)

LOADED = (CARD_TRANSACTIONS, CUSTOMERS, LEDGER_POSTINGS, FX_RATES, SETTLEMENT_FILES)
