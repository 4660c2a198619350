"""A comparison of two slots for people and programs: a table, a JSON document, Markdown for a pull request."""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.table import Table

from slipway.comparison import Comparison, Finding, RelationComparison, acknowledgement_lines, count_alike
from slipway.render import out

if TYPE_CHECKING:
    from slipway.adapters.profile import Cell, Row, Sample

PERSONAL = "(personal)"
_NOTHING = "-"
_REPLACED = "\N{REPLACEMENT CHARACTER}"
_STEERING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def comparison_document(environment: str, found: Comparison, samples: Sequence[Sample]) -> dict[str, Any]:
    """Return a comparison as `dbt.compare --json` prints it; see docs/guides/json.md."""
    by_relation = {one.relation: one for one in samples}
    return {
        "environment": environment,
        "slot": found.slot,
        "against": found.against,
        "passes": not found.stopping,
        "summary": found.summary(),
        "unread": found.unread,
        "relations": [_relation(one, by_relation.get(one.relation)) for one in found.relations],
    }


def _relation(one: RelationComparison, sample: Sample | None) -> dict[str, Any]:
    before, after = one.rows
    return {
        "relation": one.relation,
        "model": one.model,
        "because": list(one.because),
        "note": one.note or None,
        "rows": {"before": before, "after": after},
        "differences": [_finding(finding) for finding in one.findings],
        "differing_rows": sample.total if sample else None,
        "sample": [_row(row) for row in sample.rows] if sample else [],
    }


def _finding(one: Finding) -> dict[str, Any]:
    return {
        "column": one.difference.column,
        "measure": one.difference.measure,
        "before": one.difference.before,
        "after": one.difference.after,
        "moved": one.moved,
        "allowed": one.allowed,
        "over": one.is_over,
        "acknowledged": one.acknowledged,
    }


def _row(row: Row) -> dict[str, Any]:
    return {
        "key": dict(row.key),
        "side": row.side,
        "columns": [
            {"column": one.column, "before": one.before, "after": one.after, "personal": one.is_personal}
            for one in row.cells
        ],
    }


def show_comparison(environment: str, found: Comparison, samples: Sequence[Sample]) -> None:
    """Print what differs, for people; what does not is counted."""
    console = out()
    console.print(f"[bold]{environment}[/]: slot [bold]{found.slot}[/] compared with [bold]{found.against}[/]")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for heading in ("relation", "column", "what", "before", "after", "moved", "allowed", ""):
        table.add_column(heading, justify="right" if heading in ("before", "after", "moved", "allowed") else "left")
    for relation in found.differing:
        for number, one in enumerate(relation.findings):
            table.add_row(*_cells(relation.relation if number == 0 else "", one, _mark(one)))
        table.add_row("", f"[dim]{escape(_visible(_why(relation)))}[/]")
    if found.differing:
        console.print(table)
    for sample in samples:
        _show_sample(console, sample)
    console.print(_total(found))
    if found.stopping:
        console.print("\nto let it pass, commit in config/policy.toml:")
        console.print("\n".join(f"  {line}" for line in acknowledgement_lines(found)), markup=False)


def _cells(relation: str, one: Finding, mark: str) -> tuple[str, ...]:
    difference = one.difference
    told = (
        relation,
        difference.column or "",
        difference.measure,
        _value(difference.before),
        _value(difference.after),
        one.moved,
        one.allowed,
    )
    return (*(escape(_visible(text)) for text in told), mark)


def _mark(one: Finding) -> str:
    if one.stops:
        return "[red]over[/]"
    return f"[yellow]acknowledged: {escape(_visible(one.acknowledged))}[/]" if one.acknowledged else ""


def _why(relation: RelationComparison) -> str:
    if relation.because:
        return f"explained by {', '.join(relation.because)}"
    return "; ".join(filter(None, ("no changed model explains it", relation.note)))


def _total(found: Comparison) -> str:
    alike, rows = count_alike(found.relations)
    said = f"{alike} of {len(found.relations)} relations are as they were, {rows:,} rows"
    if found.unread:
        said += f"; {found.unread} views behind them were not read"
    verdict = f"[red]{len(found.stopping)} over the thresholds[/]" if found.stopping else "[green]may be published[/]"
    return f"{said}; {verdict}"


def _show_sample(console: Any, sample: Sample) -> None:
    if sample.total is None:
        console.print(f"[dim]{escape(_visible(sample.relation))}: {escape(_visible(sample.note))}[/]")
        return
    console.print(f"\n[bold]{escape(_visible(sample.relation))}[/]: {_count(sample)}")
    for row in sample.rows:
        console.print(_visible(f"  {_key(row)}  {_change(row)}"), markup=False)


def _count(sample: Sample) -> str:
    said = f"{sample.total:,} rows differ"
    if sample.total != len(sample.rows):
        said += f", {len(sample.rows)} of them here"
    return said + (f"; {sample.doubled:,} keys that several rows hold are left out" if sample.doubled else "")


def _key(row: Row) -> str:
    return ", ".join(f"{name.lower()} {PERSONAL if value is None else value}" for name, value in row.key.items())


def _change(row: Row) -> str:
    if row.side != "changed":
        return row.side
    return "; ".join(map(_cell, row.cells))


def _cell(one: Cell) -> str:
    name = one.column.lower()
    return f"{name} differs {PERSONAL}" if one.is_personal else f"{name} {_value(one.before)} -> {_value(one.after)}"


def _value(value: str | None) -> str:
    return _NOTHING if value is None else value


def comparison_markdown(environment: str, found: Comparison, samples: Sequence[Sample]) -> str:
    """Return a comparison as Markdown for a pull request."""
    return "\n".join(_markdown_lines(environment, found, samples)) + "\n"


def _markdown_lines(environment: str, found: Comparison, samples: Sequence[Sample]) -> Iterator[str]:
    alike, rows = count_alike(found.relations)
    verdict = f"{len(found.stopping)} over the thresholds" if found.stopping else "may be published"
    yield f"### `{found.slot}` compared with `{found.against}` in {environment}: {verdict}"
    yield ""
    yield f"{alike} of {len(found.relations)} relations are as they were, {rows:,} rows."
    if found.differing:
        yield ""
        yield "| | relation | column | what | before | after | moved | allowed |"
        yield "|---|---|---|---|--:|--:|--:|--:|"
    for relation in found.differing:
        for one in relation.findings:
            cells = (_code(text).replace("|", "\\|") for text in (relation.relation, *_plain_cells(one)))
            yield f"| {' | '.join((_mark_in_markdown(one), *cells))} |"
    if found.differing:
        yield ""
    for relation in found.differing:
        yield f"- {_code(relation.relation)}: {_code(_why(relation))}"
    for sample in samples:
        yield from _markdown_sample(sample)


def _plain_cells(one: Finding) -> tuple[str, ...]:
    difference = one.difference
    return (
        difference.column or "",
        difference.measure,
        _value(difference.before),
        _value(difference.after),
        one.moved,
        one.allowed,
    )


def _mark_in_markdown(one: Finding) -> str:
    if one.stops:
        return "**over**"
    return f"acknowledged: {_code(one.acknowledged)}".replace("|", "\\|") if one.acknowledged else ""


def _markdown_sample(sample: Sample) -> Iterator[str]:
    if sample.total is None:
        return
    yield ""
    yield f"<details><summary><code>{_as_html(sample.relation)}</code>: {_count(sample)}</summary>"
    yield ""
    for row in sample.rows:
        yield f"- {_code(_key(row))}: {_code(_change(row))}"
    yield ""
    yield "</details>"


def _code(text: str) -> str:
    """Return text as a code span: data must neither write into a review, link from it, nor call anybody."""
    shown = " ".join(_visible(text).replace("`", "'").split())
    return f"`{shown}`" if shown else ""


def _as_html(text: str) -> str:
    return html.escape(" ".join(_visible(text).split()))


def _visible(text: str) -> str:
    """Return text without signs that steer what shows it: colours, cursors, the direction of writing."""
    return "".join(_REPLACED if unicodedata.category(sign) in _STEERING else sign for sign in text)
