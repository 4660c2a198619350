"""dbt.compare: what readers would see change."""

from __future__ import annotations

from pathlib import Path

from invoke import Context, task

from slipway import render
from slipway.adapters.git import Git
from slipway.comparison import Comparison
from slipway.errors import Blocked, ConfigurationError
from slipway.operation import open_site
from slipway.render_comparison import comparison_document, comparison_markdown, show_comparison
from slipway.site import Site
from slipway.tasks.boundary import PROJECT, boundary, progress

SAMPLE_ROWS = 20  # keys of one relation that are shown
MOST_ROWS = 1000
_UNSAID = -1


@task(
    help={
        "env": "the environment: dev, staging or prod",
        "slot": "the slot to compare; without, that of the commit checked out",
        "with": "the slot to compare it with; without, the one that is live",
        "rows": "how many differing rows of each relation to show, by key; 0 for none; without, "
        f"{SAMPLE_ROWS}, and none with --markdown",
        "markdown": "also write a comment for a pull request into this file",
        "json": "print one JSON document on standard output",
    }
)
@boundary
def compare(
    _: Context,
    env: str,
    slot: str = "",
    with_: str = "",
    rows: int = _UNSAID,
    markdown: str = "",
    json: bool = False,
) -> None:
    """Compare a built slot with the live one: rows, keys, sums, dates, types; 3 when it is over the thresholds.

    Example: invoke dbt.compare --env staging
    Example: invoke dbt.compare --env staging --slot D16BA260 --with 747CD4E1 --rows 5 --markdown comparison.md
    """
    if rows == _UNSAID:
        rows = 0 if markdown else SAMPLE_ROWS  # more people read a pull request than the tables
    if not 0 <= rows <= MOST_ROWS:
        raise ConfigurationError(f"--rows {rows}: a number from 0 to {MOST_ROWS}", fix="give --rows 20")
    with progress() as shown, open_site(PROJECT, env, start=False) as site:
        site.require_bootstrapped()
        built, against = chosen(site, slot.upper(), with_.upper())
        with shown.phase(f"slot {built} compared with {against}"):
            found, samples, _queries = site.comparer().look(built, against, shown, rows=rows)
    if markdown:
        _write(Path(markdown), comparison_markdown(env, found, samples))
    if json:
        render.print_json(comparison_document(env, found, samples))
    else:
        show_comparison(env, found, samples)
    _refuse_over(found)


def chosen(site: Site, slot: str, against: str) -> tuple[str, str]:
    """Return the slot to compare and the one to compare it with; both are there.

    Args:
        slot: the one asked for; empty for that of the commit checked out.
        against: the one asked for; empty for the live one.

    Raises:
        ConfigurationError: one of them was not built, or they are one.
    """
    facts, name = site.warehouse.read(), site.environment.name
    live = facts.published.slot if facts.published else None
    built = slot or Git(PROJECT).release_at("HEAD").slot
    other = against or live
    known = ", ".join(one + (" (live)" if one == live else "") for one in facts.complete_slots) or "none"
    look = f"name two that were built, with --slot and --with: {known}"
    if other is None:
        raise ConfigurationError(
            f"nothing is live in {name} to compare slot {built} with", fix=f"invoke deploy --env {name}"
        )
    if built not in facts.complete_slots:
        whose = "" if slot else " of the commit checked out"
        raise ConfigurationError(
            f"slot {built}{whose} was not built in {name}",
            fix=look
            if slot
            else f"invoke deploy --env {name}, which builds it and compares before it publishes; or {look}",
        )
    if other not in facts.complete_slots and other != live:
        raise ConfigurationError(f"slot {other} was not built in {name}", fix=look)
    if built == other:
        which = "is live" if built == live else "is both"
        raise ConfigurationError(f"slot {built} {which}: there is nothing to compare", fix=look)
    return built, other


def _write(file: Path, text: str) -> None:
    try:
        file.write_text(text)
    except OSError as error:
        raise ConfigurationError(
            f"--markdown {file}: {error.strerror}", fix="name a file that can be written"
        ) from error


def _refuse_over(found: Comparison) -> None:
    if found.stopping:
        raise Blocked(
            f"slot {found.slot} differs from {found.against} beyond the policy in {len(found.stopping)} place(s): "
            "it would not be published",
            fix="mend the model or the data, commit, deploy again; or acknowledge it in config/policy.toml",
        )
