"""Customers and the feed of their changes: inserts, updates, a few deletes, and some change rows sent twice."""

from __future__ import annotations

from slipway.sandbox.sources.draw import Draw, array
from slipway.sandbox.sources.scale import Period

FIRST_NAMES = (
    "Anna", "Bram", "Chiara", "David", "Elif", "Felix", "Greta", "Hugo", "Ines", "Jonas", "Klara", "Luca", "Marta",
    "Nils", "Olga", "Pablo", "Quinn", "Rosa", "Sven", "Tara", "Uwe", "Vera", "Wim", "Yara", "Zoe",
)  # fmt: skip
LAST_NAMES = (
    "Almeida", "Bauer", "Conti", "Dubois", "Eriksson", "Fischer", "Garcia", "Haas", "Ivanova", "Jansen", "Kowalski",
    "Lindqvist", "Moreau", "Novak", "O'Brien", "Petrov", "Rossi", "Schmidt", "Torres", "Vogel", "Weber", "Zimmermann",
)  # fmt: skip
SEGMENTS = ("retail",) * 7 + ("premium",) * 2 + ("business",)
RISKS = ("low",) * 7 + ("medium",) * 2 + ("high",)
STATUSES = ("active",) * 8 + ("dormant", "closed")
COUNTRIES = ("DE", "DE", "FR", "FR", "NL", "ES", "IT", "IE", "GB", "GB", "CH", "SE", "PL")

TABLES = (
    """
    CREATE TABLE core.customers (
        customer_id text PRIMARY KEY, full_name text NOT NULL, email text NOT NULL, segment text NOT NULL,
        country text NOT NULL, risk_rating text NOT NULL, status text NOT NULL, updated_at timestamp NOT NULL
    )
    """,
    """
    CREATE TABLE core.customer_changes (
        change_id bigint NOT NULL, customer_id text NOT NULL, full_name text NOT NULL, email text NOT NULL,
        segment text NOT NULL, country text NOT NULL, risk_rating text NOT NULL, status text NOT NULL,
        changed_at timestamp NOT NULL, operation char(1) NOT NULL CHECK (operation IN ('I', 'U', 'D'))
    )
    """,
)
INDEX = "CREATE INDEX customer_changes_changed_at ON core.customer_changes (changed_at)"


def fill_changes(period: Period) -> str:
    """Return the insert of every change between `since` and `until`.

    One attribute changes per update; its value is drawn from the customer and the number of times that attribute has
    changed, so each change row carries the full record as it stood.
    """
    seed, customers, days = period.scale.seed, period.scale.customers, len(period.days())
    deleted = max(1, customers // 100)
    updates_per_day = max(2, customers // 100)
    joined = Draw("c", seed)
    update = Draw(f"d * {updates_per_day} + k", seed)
    first = f"timestamp '{period.first_day}'"
    return f"""
    INSERT INTO core.customer_changes
    WITH event AS (
        SELECT c AS customer, 'I' AS operation, 0 AS attribute,
               CASE WHEN c <= {int(customers * 0.95)} OR c > {customers}
                    THEN {first} - make_interval(secs => 60 + floor(86400 * 400 * {joined.unit(101)}))
                    ELSE {first} + make_interval(secs => floor(86400 * {period.scale.days} * {joined.unit(101)}))
               END AS changed_at
        FROM generate_series(1::bigint, {customers + deleted}::bigint) AS c
        UNION ALL
        SELECT 1 + {update.below(int(customers * 0.95), 102)}, 'U', 1 + {update.below(5, 103)},
               {first} + make_interval(days => d, secs => floor(86400 * {update.unit(104)}))
        FROM generate_series(0, {days - 1}) AS d CROSS JOIN generate_series(0, {updates_per_day - 1}) AS k
        UNION ALL
        SELECT c, 'D', 0, {first} + make_interval(secs => floor(86400 * {period.scale.days} * {joined.unit(105)}))
        FROM generate_series({customers + 1}::bigint, {customers + deleted}::bigint) AS c
    ), counted AS (
        SELECT customer, operation, changed_at,
               row_number() OVER (ORDER BY changed_at, customer, operation, attribute) AS change_id,
               {_changes_so_far(5)}
        FROM event WHERE changed_at < :until
    ), record AS (
        SELECT change_id, 'C' || lpad(customer::text, 7, '0') AS customer_id,
               {_full_name(seed)} AS full_name,
               lower('c' || customer || '.' || n1 || '@example.com') AS email,
               {_version(seed, "n2", 112).pick(SEGMENTS, 0)} AS segment,
               {_version(seed, "n3", 113).pick(COUNTRIES, 0)} AS country,
               {_version(seed, "n4", 114).pick(RISKS, 0)} AS risk_rating,
               CASE n5 WHEN 0 THEN 'active' ELSE {_version(seed, "n5", 115).pick(STATUSES, 0)} END AS status,
               changed_at, operation
        FROM counted
    )
    SELECT * FROM record WHERE changed_at >= :since
    UNION ALL
    SELECT * FROM record WHERE changed_at >= :since AND {Draw("change_id", seed).below(200, 120)} = 0
    """


def _changes_so_far(attributes: int) -> str:
    """Columns n1..nN: how often attribute N of this customer has changed up to and including this event."""
    return ", ".join(
        f"count(*) FILTER (WHERE attribute = {n}) OVER (PARTITION BY customer "
        f"ORDER BY changed_at, operation, attribute) AS n{n}"
        for n in range(1, attributes + 1)
    )


def _version(seed: int, count: str, stream: int) -> Draw:
    return Draw(f"customer * 1000 + {count}", seed * 1000 + stream)


def _full_name(seed: int) -> str:
    """The name a customer keeps through all changes."""
    person = Draw("customer", seed)
    first = f"({array(FIRST_NAMES)})[1 + {person.below(len(FIRST_NAMES), 110)}]"
    last = f"({array(LAST_NAMES)})[1 + {person.below(len(LAST_NAMES), 111)}]"
    return f"{first} || ' ' || {last}"


# The current state is what the change feed leaves; deleted customers are gone.
FILL_CURRENT = """
INSERT INTO core.customers
SELECT customer_id, full_name, email, segment, country, risk_rating, status, changed_at
FROM (SELECT DISTINCT ON (customer_id) * FROM core.customer_changes ORDER BY customer_id, change_id DESC) AS newest
WHERE operation <> 'D'
"""
