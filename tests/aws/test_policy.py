"""What a policy says to a request: the rules of the IAM user guide, as a table."""

from __future__ import annotations

from typing import Any

import pytest

from slipway.sandbox.aws.policy import Answer, Question, ask_identity, ask_resource

ROOT = "arn:aws:iam::123456789012:root"
BEN = "arn:aws:iam::123456789012:user/ben"
CONTEXT = {"aws:userid": "AROAX:ben", "aws:username": "ben", "aws:securetransport": "true", "aws:principalarn": BEN}


def statement(effect: str = "Allow", **elements: Any) -> dict[str, Any]:
    action = {} if "NotAction" in elements else {"Action": "s3:PutObject"}
    return {"Effect": effect, "Resource": "*"} | action | elements


def document(*statements: dict[str, Any], version: str = "2012-10-17") -> dict[str, Any]:
    return {"Version": version, "Statement": list(statements)}


def question(resource: str = "arn:aws:s3:::b/k", action: str = "s3:PutObject", **more: Any) -> Question:
    return Question(
        action=action,
        resource=resource,
        context=CONTEXT | more.get("context", {}),
        names=frozenset({BEN}),
        account=ROOT,
    )


OWN = "arn:aws:s3:::b/approvals/*/${aws:userid}.dsse.json"
ALLOWED: list[tuple[str, dict[str, Any], Question, bool]] = [
    ("the action", {}, question(), True),
    ("another action", {}, question(action="s3:GetObject"), False),
    ("an action in other letters", {"Action": "S3:putobject"}, question(), True),
    ("a wildcard", {"Action": "s3:Put*"}, question(), True),
    ("one of many", {"Action": ["s3:GetObject", "s3:?utObject"]}, question(), True),
    ("all but some", {"NotAction": "s3:Get*"}, question(), True),
    ("all but this", {"NotAction": "s3:Put*"}, question(), False),
    ("a resource in other letters", {"Resource": "arn:aws:s3:::B/k"}, question(), False),
    ("a dot that is no wildcard", {"Resource": "arn:aws:s3:::b.k"}, question(), False),
    ("one's own", {"Resource": OWN}, question("arn:aws:s3:::b/approvals/p1/AROAX:ben.dsse.json"), True),
    ("another's", {"Resource": OWN}, question("arn:aws:s3:::b/approvals/p1/AROAX:ana.dsse.json"), False),
    ("a name with an end", {"Resource": OWN}, question("arn:aws:s3:::b/approvals/p1/AROAX:ben.dsse.json.x"), False),
    (
        "a variable's star is a star",
        {"Resource": OWN},
        Question(action="s3:PutObject", resource="arn:aws:s3:::b/approvals/p/X.dsse.json", context={"aws:userid": "*"}),
        False,
    ),
    (
        "an unknown variable",
        {"Resource": ["arn:aws:s3:::b/${aws:PrincipalTag/x}", "arn:aws:s3:::b/k"]},
        question(),
        True,
    ),
    ("an unknown variable alone", {"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x}*"}, question(), False),
    ("a variable with a default", {"Resource": "arn:aws:s3:::b/${aws:PrincipalTag/x, 'k'}"}, question(), True),
    ("a star written out", {"Resource": "arn:aws:s3:::b/${*}"}, question("arn:aws:s3:::b/*"), True),
    ("a star written out is no wildcard", {"Resource": "arn:aws:s3:::b/${*}"}, question(), False),
    ("a condition", {"Condition": {"StringEquals": {"aws:username": ["ana", "ben"]}}}, question(), True),
    ("a condition's key in other letters", {"Condition": {"StringEquals": {"AWS:UserName": "ben"}}}, question(), True),
    ("a value in other letters", {"Condition": {"StringEquals": {"aws:username": "Ben"}}}, question(), False),
    ("a variable in a condition", {"Condition": {"StringEquals": {"x": "${aws:username}"}}}, question(), False),
    (
        "a variable that matches",
        {"Condition": {"StringEquals": {"sts:RoleSessionName": "${aws:username}"}}},
        question(context={"sts:rolesessionname": "ben"}),
        True,
    ),
    ("a pattern that is none", {"Condition": {"StringEquals": {"aws:username": "b*"}}}, question(), False),
    ("a pattern", {"Condition": {"StringLike": {"aws:username": "b*"}}}, question(), True),
    ("a boolean", {"Condition": {"Bool": {"aws:SecureTransport": "true"}}}, question(), True),
    ("a key nobody gave", {"Condition": {"Bool": {"aws:MultiFactorAuthPresent": "true"}}}, question(), False),
    ("a key nobody gave, if it exists", {"Condition": {"BoolIfExists": {"aws:Multi": "true"}}}, question(), True),
    ("a key nobody gave, negated", {"Condition": {"StringNotEquals": {"aws:Multi": "x"}}}, question(), True),
    ("a negation", {"Condition": {"StringNotEquals": {"aws:username": ["ana", "ben"]}}}, question(), False),
    ("null", {"Condition": {"Null": {"aws:Multi": "true"}}}, question(), True),
    ("one of two", {"Condition": {"StringLike": {"aws:username": "b*"}, "Null": {"x": "false"}}}, question(), False),
    ("an operator of no one", {"Condition": {"Guess": {"aws:username": "ben"}}}, question(), False),
    ("an ARN", {"Condition": {"ArnEquals": {"aws:PrincipalArn": [ROOT, BEN]}}}, question(), True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("elements", "asked", "allowed"), [one[1:] for one in ALLOWED], ids=[one[0] for one in ALLOWED]
)
def test_a_statement_allows_what_it_says_and_nothing_else(
    elements: dict[str, Any], asked: Question, allowed: bool
) -> None:
    if "NotAction" in elements:
        elements = {key: value for key, value in elements.items() if key != "Action"}
        stated = {"Effect": "Allow", "Resource": "*"} | elements
    else:
        stated = statement(**elements)

    assert ask_identity([document(stated)], asked) == Answer(allows=allowed)


def test_a_deny_wins_wherever_it_stands() -> None:
    allowing, denying = document(statement()), document(statement("Deny", Resource="arn:aws:s3:::b/*"))
    for documents in ([allowing, denying], [denying, allowing]):
        assert ask_identity(documents, question()).denies
    assert not ask_identity([allowing, denying], question("arn:aws:s3:::c/k")).denies


def test_an_operator_of_no_one_denies_where_it_stands_in_a_deny() -> None:
    denying = statement("Deny", Condition={"Guess": {"aws:username": "nobody"}})

    assert ask_identity([document(statement(), denying)], question()).denies


def test_old_policies_have_no_variables() -> None:
    old = document(statement(Resource="arn:aws:s3:::b/${aws:username}"), version="2008-10-17")

    assert not ask_identity([old], question("arn:aws:s3:::b/ben")).allows
    assert ask_identity([old], question("arn:aws:s3:::b/${aws:username}")).allows


@pytest.mark.parametrize(
    ("principal", "answer"),
    [
        ("*", Answer(allows=True)),
        ({"AWS": "*"}, Answer(allows=True)),
        ({"AWS": BEN}, Answer(allows=True)),
        ({"AWS": ["x", ROOT]}, Answer(allows_account=True)),
        ({"AWS": "123456789012"}, Answer(allows_account=True)),
        ({"AWS": BEN + "ny"}, Answer()),
        ({"Service": "airflow.amazonaws.com"}, Answer()),
    ],
)
def test_a_resource_speaks_to_whom_it_names(principal: object, answer: Answer) -> None:
    assert ask_resource(document(statement(Principal=principal)), question()) == answer


def test_a_statement_of_everyone_but_some_never_allows_and_always_denies() -> None:
    assert ask_resource(document(statement(NotPrincipal={"AWS": BEN})), question()) == Answer()
    assert ask_resource(document(statement("Deny", NotPrincipal={"AWS": BEN})), question()) == Answer(denies=True)
