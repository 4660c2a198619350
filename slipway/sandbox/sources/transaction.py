"""Card transactions as a feed: captures, late captures, corrections, reversals, refunds and repeated rows.

`scratch()` makes a temporary table `txn` with one row per transaction and its whole life up to any day; the feed and
the ledger are both read from it, which is why they tie at every midnight.
"""

from __future__ import annotations

from slipway.sandbox.sources.draw import Draw, array, lookup
from slipway.sandbox.sources.scale import Period

MERCHANTS = 5_000
CATEGORIES = (
    "groceries", "restaurants", "fuel", "travel", "electronics", "fashion",
    "health", "leisure", "home", "utilities", "online_services", "transport",
)  # fmt: skip
COUNTRY_WEIGHTS = {"DE": 5, "FR": 4, "NL": 2, "ES": 2, "IT": 2, "IE": 1, "GB": 3, "US": 2, "CH": 1, "SE": 1, "PL": 1}
CURRENCY_OF = {"GB": "GBP", "US": "USD", "CH": "CHF", "SE": "SEK", "PL": "PLN"}  # any other country: EUR
PRICE_LEVEL = {"SEK": 11, "PLN": 4}  # any other currency: 1
TRANSACTING = 0.95  # share of customers, the earliest ones, who hold cards


def scratch(period: Period) -> str:
    """Return the statement that makes the temporary table `txn`."""
    scale = period.scale
    row = Draw("i", scale.seed)
    merchant = Draw("merchant", scale.seed)
    countries = [country for country, weight in COUNTRY_WEIGHTS.items() for _ in range(weight)]
    holders = int(scale.customers * TRANSACTING)
    last = len(period.days()) * scale.transactions_per_day - 1
    return f"""
    CREATE TEMPORARY TABLE txn ON COMMIT DROP AS
    WITH drawn AS (
        SELECT i,
               timestamp '{period.first_day}' + make_interval(
                   days => (i / {scale.transactions_per_day})::int,
                   secs => floor(43200 * ({row.unit(1)} + {row.unit(2)}))) AS booked_at,
               1 + {row.below(holders, 3)} AS customer,
               ({row.unit(4)} < 0.3)::int + 1 AS card,
               floor({MERCHANTS} * power({row.unit(5)}, 2))::bigint AS merchant,
               {row.unit(6)} AS lateness,
               {row.unit(7)} AS fate,
               {row.unit(8)} AS delay,
               {row.normal(10)} AS size
        FROM generate_series(0::bigint, {last}::bigint) AS i
    ), placed AS (
        SELECT *,
               ({array(CATEGORIES)})[1 + merchant % {len(CATEGORIES)}] AS category,
               {merchant.pick(countries, 20)} AS country,
               booked_at + CASE WHEN lateness < 0.012 THEN make_interval(secs => floor(86400 * (1 + lateness / 0.003)))
                                ELSE make_interval(secs => 1 + floor(90 * delay)) END AS captured_at
        FROM drawn
    ), priced AS (
        SELECT *, coalesce({lookup("country", CURRENCY_OF)}, 'EUR') AS currency FROM placed
    ), valued AS (
        SELECT *,
               coalesce({lookup("currency", PRICE_LEVEL)}, 1) AS price_level,
               greatest(0.60, round(exp(3.4 + 1.15 * size)::numeric, 2)) AS basis
        FROM priced
    )
    SELECT i,
           'T' || lpad(i::text, 10, '0') AS transaction_id,
           CASE WHEN {Draw("customer * 2 + card", scale.seed).unit(30)} < 0.62 THEN 'VI-' ELSE 'MC-' END
               || lpad(customer::text, 7, '0') || '-' || card AS card_id,
           'C' || lpad(customer::text, 7, '0') AS customer_id,
           'M' || lpad(merchant::text, 5, '0') AS merchant_id,
           category, country, currency, booked_at, captured_at,
           basis * price_level AS amount,
           basis >= 250 AS posted_singly,
           CASE WHEN fate < 0.020 THEN 'corrected' WHEN fate < 0.025 THEN 'reversed' WHEN fate < 0.040 THEN 'refunded'
           END AS fate,
           captured_at + make_interval(secs => floor(86400 * (0.2 + 3 * delay))) AS amended_at,
           round(basis * price_level * (0.80 + 0.35 * delay)::numeric, 2) + 0.01 AS corrected_amount,
           fate >= 0.040 AND fate < 0.048 AS repeated
    FROM valued
    """


TABLE = """
CREATE TABLE core.card_transactions (
    transaction_id text NOT NULL, card_id text NOT NULL, customer_id text NOT NULL, merchant_id text NOT NULL,
    merchant_category text NOT NULL, country char(2) NOT NULL, amount numeric(18,2) NOT NULL, currency char(3) NOT NULL,
    status text NOT NULL CHECK (status IN ('captured', 'reversed', 'refunded')),
    booked_at timestamp NOT NULL, updated_at timestamp NOT NULL
)
"""
INDEX = "CREATE INDEX card_transactions_updated_at ON core.card_transactions (updated_at)"

# A correction, reversal or refund is a new row under the same id with a later updated_at; a repeated row is the
# capture sent twice, byte for byte.
FILL = """
INSERT INTO core.card_transactions
SELECT transaction_id, card_id, customer_id, merchant_id, category, country,
       version.amount, currency, version.status, booked_at, version.updated_at
FROM txn CROSS JOIN LATERAL (
    SELECT amount, 'captured' AS status, captured_at AS updated_at
    UNION ALL SELECT amount, 'captured', captured_at WHERE repeated
    UNION ALL SELECT CASE fate WHEN 'corrected' THEN corrected_amount ELSE amount END,
                     CASE fate WHEN 'corrected' THEN 'captured' ELSE fate END, amended_at WHERE fate IS NOT NULL
) AS version
WHERE version.updated_at >= :since AND version.updated_at < :until
"""
