"""IAM policy documents: what one says to a request. Pure; knows no service and no server.

Rules, with the pages of the IAM user guide they come from:
- An explicit Deny wins over any Allow; without an Allow nothing is allowed.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
- Actions match without regard to case, resources with it; `*` and `?` are wildcards in both.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_resource.html
- A policy variable is replaced by what the request says, literally: a `*` in a value is no wildcard. An element whose
  variable the request does not know matches nothing. Only version 2012-10-17 has variables.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
- Every operator of a condition must hold, with any one of its values (a negated one: with none of them). A key that the
  request does not know fails, unless the operator is negated or ends in IfExists.
  https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
- What this module does not know (an operator, NotPrincipal) never allows and always denies.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

Document = Mapping[str, Any]

_VARIABLE = re.compile(r"\$\{(?P<key>[^},]+)(?:,\s*'(?P<default>[^']*)')?\}")
_LITERALS = {"*": "*", "?": "?", "$": "$"}  # ${*} is a star, and no wildcard
_WITH_VARIABLES = "2012-10-17"


class Unmatchable(Exception):
    """An element names a variable that the request does not know, or an operator that is not known here."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One permission that a request needs.

    Args:
        resource: an ARN; `*` where the action knows none.
        context: condition keys to values; keys in lower case, as AWS compares them.
        names: ARNs by which a `Principal` element may name who asks; its account's root ARN is not among them.
        account: the account's root ARN: it names everyone in the account, who then still need a policy of their own.
    """

    action: str
    resource: str
    context: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    account: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Answer:
    """What documents say to a question."""

    denies: bool = False
    allows: bool = False  # identity policies: by themselves; resource policies: who asks, by name
    allows_account: bool = False  # resource policies only: leaves it to the identity policies of the account

    def __or__(self, other: Answer) -> Answer:
        return Answer(
            denies=self.denies or other.denies,
            allows=self.allows or other.allows,
            allows_account=self.allows_account or other.allows_account,
        )


def ask_identity(documents: Iterable[Document], question: Question) -> Answer:
    """Return what the policies of a user or role say."""
    answer = Answer()
    for document in documents:
        for statement in _statements(document):
            if _applies(statement, document, question):
                answer |= Answer(denies=True) if statement["Effect"] == "Deny" else Answer(allows=True)
    return answer


def ask_resource(document: Document, question: Question) -> Answer:
    """Return what the policy of a resource says: a key policy, a trust policy, a bucket policy."""
    answer = Answer()
    for statement in _statements(document):
        named, account = _names(statement, question)
        if (named or account) and _applies(statement, document, question):
            denied = statement["Effect"] == "Deny"
            answer |= Answer(denies=True) if denied else Answer(allows=named, allows_account=account)
    return answer


def _statements(document: Document) -> list[dict[str, Any]]:
    return _listed(document.get("Statement", []))


def _names(statement: Mapping[str, Any], question: Question) -> tuple[bool, bool]:
    """Return whether the statement names who asks, and whether it names the whole account."""
    if "NotPrincipal" in statement:
        return statement["Effect"] == "Deny", False
    principal = statement.get("Principal", {})
    named = ["*"] if principal == "*" else _listed(principal.get("AWS", []))
    account_id = question.account.split(":")[4] if question.account else None
    return "*" in named or bool(question.names & set(named)), question.account in named or account_id in named


def _applies(statement: Mapping[str, Any], document: Document, question: Question) -> bool:
    variables = question.context if document.get("Version") == _WITH_VARIABLES else None
    try:
        return (
            _chosen(statement, "Action", lambda one: _pattern(one, None, re.IGNORECASE).match(question.action))
            and _chosen(statement, "Resource", lambda one: _pattern(one, variables).match(question.resource))
            and all(
                _holds(operator, key, _listed(wanted), question.context, variables)
                for operator, keys in statement.get("Condition", {}).items()
                for key, wanted in keys.items()
            )
        )
    except Unmatchable:
        return bool(statement["Effect"] == "Deny")


def _chosen(statement: Mapping[str, Any], element: str, matches: Callable[[str], object]) -> bool:
    """Return whether an element, or its negation, chooses the request; without either it does (trust policies)."""
    if f"Not{element}" in statement:
        return not _any_matches(statement[f"Not{element}"], matches)
    return element not in statement or _any_matches(statement[element], matches)


def _any_matches(values: object, matches: Callable[[str], object]) -> bool:
    for value in _listed(values):
        try:
            if matches(value):
                return True
        except _UnknownVariable:
            continue
    return False


class _UnknownVariable(Exception):
    """The request does not know the variable of a value: the value matches nothing."""


def _pattern(text: str, variables: Mapping[str, str] | None, flags: re.RegexFlag = re.NOFLAG) -> re.Pattern[str]:
    """Return the pattern that a value with wildcards and variables stands for."""
    parts, end = [], 0
    for found in _VARIABLE.finditer(text) if variables is not None else ():
        parts += [_wild(text[end : found.start()]), re.escape(_value_of(found, variables or {}))]
        end = found.end()
    return re.compile("".join([*parts, _wild(text[end:])]) + r"\Z", flags | re.DOTALL)


def _filled(text: str, variables: Mapping[str, str] | None) -> str:
    return text if variables is None else _VARIABLE.sub(lambda found: _value_of(found, variables), text)


def _value_of(found: re.Match[str], variables: Mapping[str, str]) -> str:
    key = found["key"].strip()
    value = _LITERALS.get(key) or variables.get(key.lower()) or found["default"]
    if value is None:
        raise _UnknownVariable
    return value


def _wild(text: str) -> str:
    return re.escape(text).replace(r"\*", ".*").replace(r"\?", ".")


Comparison = Callable[[str, str, "Mapping[str, str] | None"], bool]


def _equal(actual: str, wanted: str, variables: Mapping[str, str] | None) -> bool:
    return actual == _filled(wanted, variables)


def _equal_whatever_case(actual: str, wanted: str, variables: Mapping[str, str] | None) -> bool:
    return actual.lower() == _filled(wanted, variables).lower()


def _like(actual: str, wanted: str, variables: Mapping[str, str] | None) -> bool:
    return bool(_pattern(wanted, variables).match(actual))


def _less(actual: str, wanted: str, variables: Mapping[str, str] | None) -> bool:
    return float(actual) < float(_filled(wanted, variables))


_COMPARISONS: Mapping[str, Comparison] = {
    "ArnEquals": _like,  # "behave identically" to ArnLike
    "ArnLike": _like,
    "Bool": _equal_whatever_case,
    "NumericLessThan": _less,
    "StringEquals": _equal,
    "StringEqualsIgnoreCase": _equal_whatever_case,
    "StringLike": _like,
}
_NEGATED = {
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
}


def _holds(
    operator: str, key: str, wanted: list[str], context: Mapping[str, str], variables: Mapping[str, str] | None
) -> bool:
    actual = context.get(key.lower())
    if operator == "Null":
        return (actual is None) in [str(one).lower() == "true" for one in wanted]
    plain = operator.removesuffix("IfExists")
    comparison = _COMPARISONS.get(_NEGATED.get(plain, plain))
    if comparison is None:
        raise Unmatchable(operator)
    if actual is None:
        return plain in _NEGATED or plain != operator
    met = _any_matches([str(one) for one in wanted], lambda one: comparison(actual, one, variables))
    return met != (plain in _NEGATED)


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
