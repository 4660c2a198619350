"""The comparison of a built slot with the live one: what differs, what explains it, and whether it may be published.

Rules:
- What a changed model explains is held against other thresholds than what nothing explains.
- A difference that is over the thresholds stops the slot; an acknowledged one is told with its reason, and passes.
- All of it is evidence, as far as an event of the journal has room.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date
from typing import Any

from slipway.difference import Difference, Profile, differences
from slipway.documents import Document, canonical, digest_of
from slipway.threshold import ComparisonRules
from slipway.tolerance import held

EVIDENCE_BYTES = 150_000  # an event of the journal holds it, which may have 400 kB
EVIDENCE_FINDINGS = 200
NAMED = 5  # findings in an error


class Finding(Document):
    """A difference, and what the policy says of it.

    Attributes:
        moved: how far, in words.
        allowed: how far it may move, in words; empty when it is not judged.
        acknowledged: the reason why it passes although it is over.
    """

    difference: Difference
    moved: str
    allowed: str
    is_over: bool
    acknowledged: str | None = None

    @property
    def stops(self) -> bool:
        """Whether it keeps the slot from being published."""
        return self.is_over and self.acknowledged is None

    @property
    def place(self) -> str:
        """The relation, and the column if it is one's."""
        one = self.difference
        return f"{one.relation}.{one.column}" if one.column else one.relation

    def sentence(self) -> str:
        """Return what differs, from what to what, and what is allowed."""
        one, limit = self.difference, f", allowed {self.allowed}" if self.allowed else ""
        if one.measure == "values":
            return f"{self.place} values: {self.moved}"
        said = f"{self.place} {one.measure}: {_shown(one.before)} -> {_shown(one.after)}"
        return f"{said} ({self.moved}{limit})" if self.moved or limit else said


class RelationComparison(Document):
    """One relation on both sides.

    Attributes:
        model: its name in the dbt project.
        because: the changed models among it and what it is made from; empty when nothing explains a difference.
        note: what is known besides of a difference that nothing explains.
    """

    relation: str
    model: str
    because: tuple[str, ...] = ()
    note: str = ""
    before: Profile | None
    after: Profile | None
    findings: tuple[Finding, ...] = ()

    @property
    def rows(self) -> tuple[int | None, int | None]:
        """How many rows it had and has; None where it is not."""
        return (self.before.rows if self.before else None, self.after.rows if self.after else None)


class Comparison(Document):
    """A built slot held against the live one.

    Attributes:
        unread: relations that were left out: views nobody reads but through those that were compared.
    """

    slot: str
    against: str
    relations: tuple[RelationComparison, ...]
    unread: int = 0

    @property
    def findings(self) -> tuple[Finding, ...]:
        """Every finding, those that stop first."""
        found = (one for relation in self.relations for one in relation.findings)
        return tuple(sorted(found, key=lambda one: (not one.stops, not one.is_over)))

    @property
    def stopping(self) -> tuple[Finding, ...]:
        """The findings that keep the slot from being published."""
        return tuple(one for one in self.findings if one.stops)

    @property
    def differing(self) -> tuple[RelationComparison, ...]:
        """The relations in which something differs."""
        return tuple(one for one in self.relations if one.findings)

    def relation(self, name: str) -> RelationComparison:
        """Return the comparison of one relation."""
        return next(one for one in self.relations if one.relation == name)

    def summary(self) -> str:
        """Return one line for people."""
        alike = len(self.relations) - len(self.differing)
        said = f"{alike} of {len(self.relations)} relations as in {self.against}"
        accepted = sum(one.acknowledged is not None for one in self.findings)
        over = f", {len(self.stopping)} over the thresholds" if self.stopping else ""
        return f"{said}, {len(self.findings)} differences{over}" + (f", {accepted} acknowledged" if accepted else "")

    def evidence(self) -> dict[str, Any]:
        """Return it as plain data without floats, small enough for an event of the journal.

        Everything, profiles included, as long as it is; then the profiles of what differs, then the findings alone, and
        of those the first. `sha256` is of everything.
        """
        everything = self.model_dump(mode="json")
        whole = {"sha256": digest_of(everything), **everything}
        if len(canonical(whole)) <= EVIDENCE_BYTES:
            return {**whole, "left_out": ""}
        alike = {one.relation for one in self.relations} - {one.relation for one in self.differing}
        told = [
            {**one, "before": None, "after": None} if one["relation"] in alike else one
            for one in everything["relations"]
        ]
        shorter = {**whole, "relations": told, "left_out": "profiles of relations in which nothing differs"}
        if len(canonical(shorter)) <= EVIDENCE_BYTES:
            return shorter
        findings = [one.model_dump(mode="json") for one in self.findings[:EVIDENCE_FINDINGS]]
        left = f"profiles, and {max(0, len(self.findings) - EVIDENCE_FINDINGS)} of the findings"
        return {**whole, "relations": [], "findings": findings, "left_out": left}


def judge(
    one: Difference,
    rules: ComparisonRules,
    *,
    model: str,
    is_explained: bool,
    slot: str,
    today: date,
) -> Finding:
    """Return what the policy says of a difference. No side effects."""
    moved, allowed, is_over = held(one, rules.thresholds(model, is_explained=is_explained))
    found = (
        rules.acknowledged(model=model, column=one.column, what=one.measure, slot=slot, today=today)
        if is_over
        else None
    )
    return Finding(
        difference=one,
        moved=moved,
        allowed=allowed,
        is_over=is_over,
        acknowledged=found.reason if found else None,
    )


def compare(
    before: Mapping[str, Profile],
    after: Mapping[str, Profile],
    rules: ComparisonRules,
    *,
    slot: str,
    against: str,
    today: date,
    models: Mapping[str, str],
    because: Mapping[str, tuple[str, ...]],
    notes: Mapping[str, str],
    unread: int = 0,
) -> Comparison:
    """Return the comparison of the profiles of two slots, by relation. No side effects.

    Args:
        models: relation -> the name of its model.
        because: relation -> the changed models that explain its differences.
        notes: relation -> what is said besides when nothing explains them.
    """
    relations = []
    for name in sorted({*before, *after}):
        model, reasons = models.get(name, name.rpartition(".")[2].lower()), because.get(name, ())
        findings = tuple(
            judge(one, rules, model=model, is_explained=bool(reasons), slot=slot, today=today)
            for one in differences(before.get(name), after.get(name))
        )
        relations.append(
            RelationComparison(
                relation=name,
                model=model,
                because=reasons,
                note=notes.get(name, "") if findings and not reasons else "",
                before=before.get(name),
                after=after.get(name),
                findings=findings,
            )
        )
    return Comparison(slot=slot, against=against, relations=tuple(relations), unread=unread)


def refusal(comparison: Comparison) -> str:
    """Return what keeps the slot from being published, in lines for people."""
    stopping = comparison.stopping
    places = f"{len(stopping)} place{'s' if len(stopping) > 1 else ''}"
    lines = [f"slot {comparison.slot} differs from {comparison.against}, which is live, beyond the policy in {places}:"]
    for one in stopping[:NAMED]:
        relation = comparison.relation(one.difference.relation)
        why = f"explained by {', '.join(relation.because)}" if relation.because else "explained by no changed model"
        lines.append(f"  {one.sentence()}; {why}" + (f"; {relation.note}" if relation.note else ""))
    if len(stopping) > NAMED:
        lines.append(f"  and {len(stopping) - NAMED} more")
    lines.append("live data was not touched, and the slot stays")
    return "\n".join(lines)


def acknowledgement_lines(comparison: Comparison, *, most: int | None = None) -> tuple[str, ...]:
    """Return what to add to config/policy.toml so that what stops may pass, one line each.

    Args:
        most: for how many findings; for all without.
    """
    lines: list[str] = []
    for one in comparison.stopping[:most]:
        lines += ["[[comparison.acknowledgements]]", f'model = "{comparison.relation(one.difference.relation).model}"']
        if one.difference.column and one.difference.measure != "duplicates":
            lines.append(f'column = "{one.difference.column.lower()}"')
        lines += [f'what = "{one.difference.measure}"', 'reason = "WHY"', f'slot = "{comparison.slot}"']
    return tuple(lines)


def count_alike(relations: Iterable[RelationComparison]) -> tuple[int, int]:
    """Return how many relations are as they were, and how many rows those hold."""
    alike = [one for one in relations if not one.findings]
    return len(alike), sum(one.after.rows for one in alike if one.after)


def _shown(value: str | None) -> str:
    return "nothing" if value is None else value
