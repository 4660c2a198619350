"""The double-entry ledger of the card transactions.

Rules:
- every journal sums to zero, therefore every day and currency does;
- captures of 250 units and more are posted singly, smaller ones summed per day, currency and category at day's end;
- a late capture keeps its booking day as posting date and is posted days later;
- a correction reverses the old journal and posts the new amount; a reversal or refund only reverses;
- at every midnight account 1100 equals, per currency, the sum of the captured transactions in their newest version.
"""

from __future__ import annotations

FEE = "0.018"  # share of the amount kept as fee income

TABLE = """
CREATE TABLE core.ledger_postings (
    posting_id bigint PRIMARY KEY, journal_id text NOT NULL, transaction_id text, account_code text NOT NULL,
    posting_date date NOT NULL, currency char(3) NOT NULL, amount numeric(18,2) NOT NULL, posted_at timestamp NOT NULL
)
"""
INDEX = "CREATE INDEX ledger_postings_posted_at ON core.ledger_postings (posted_at)"

# posting_id counts in the order of posting over the whole history, so later days never renumber earlier ones.
FILL = f"""
INSERT INTO core.ledger_postings
WITH entry AS (
    SELECT 'J' || transaction_id || '-1' AS journal_id, transaction_id, booked_at::date AS posting_date, currency,
           amount, round(amount * {FEE}, 2) AS fee, captured_at AS posted_at
    FROM txn WHERE posted_singly
    UNION ALL
    SELECT 'J' || transaction_id || '-2', transaction_id, amended_at::date, currency,
           -amount, -round(amount * {FEE}, 2), amended_at
    FROM txn WHERE fate IS NOT NULL
    UNION ALL
    SELECT 'J' || transaction_id || '-3', transaction_id, amended_at::date, currency,
           corrected_amount, round(corrected_amount * {FEE}, 2), amended_at
    FROM txn WHERE fate = 'corrected'
    UNION ALL
    SELECT concat_ws('-', 'JS', to_char(captured_at::date, 'YYYYMMDD'), to_char(booked_at::date, 'YYYYMMDD'),
                     currency, category), NULL, booked_at::date, currency,
           sum(amount), sum(round(amount * {FEE}, 2)), captured_at::date + time '23:59:59'
    FROM txn WHERE NOT posted_singly
    GROUP BY captured_at::date, booked_at::date, currency, category
), line AS (
    SELECT journal_id, transaction_id, posting_date, currency, posted_at, account_code, line.amount
    FROM entry CROSS JOIN LATERAL (
        VALUES ('1100', entry.amount), ('2100', entry.fee - entry.amount), ('4100', -entry.fee)
    ) AS line (account_code, amount)
    WHERE posted_at < :until
), numbered AS (
    SELECT row_number() OVER (ORDER BY posted_at, journal_id COLLATE "C", account_code COLLATE "C") AS posting_id, *
    FROM line
)
SELECT posting_id, journal_id, transaction_id, account_code, posting_date, currency, amount, posted_at
FROM numbered WHERE posted_at >= :since
"""
