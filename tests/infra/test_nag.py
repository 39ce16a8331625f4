"""cdk-nag finds nothing in what goes to AWS, beside what infra/nag.py lets be; and all of that is still there."""

import csv
from typing import Final

import pytest

from infra.nag import ACCEPTED, Accepted
from tests.infra.template import Synthesised

_WHAT_TO_DO: Final = """
cdk-nag found what is above. Mend it in infra/constructs; the rules are told in RULES.md of github.com/cdklabs/cdk-nag.
If what a rule asks for would be wrong at that resource, say why in infra/nag.py: an Accepted with the rule, the path
without the stack's name, the reason, and what stands in brackets behind the rule as its finding.
"""


def _report(stage: Synthesised) -> list[dict[str, str]]:
    (report,) = stage.assembly.glob("AwsSolutions-*NagReport.csv")
    with report.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.fixture(params=["dev", "prod"])
def deployed(request: pytest.FixtureRequest, dev: Synthesised, prod: Synthesised) -> Synthesised:
    return dev if request.param == "dev" else prod


def test_rules_have_looked_at_everything(deployed: Synthesised) -> None:
    looked_at = {(row["Rule ID"], row["Resource ID"].split("/", 1)[1]) for row in _report(deployed)}
    assert ("AwsSolutions-IAM5", "Functions/HttpApiRole/DefaultPolicy/Resource") in looked_at
    assert ("AwsSolutions-SQS4", "Publish/HighLane/Resource") in looked_at
    assert ("AwsSolutions-APIG1", "Http/Api/DefaultStage/Resource") in looked_at


def test_they_find_nothing_that_is_not_accepted(deployed: Synthesised) -> None:
    from aws_cdk.assertions import Match

    annotations = deployed.annotations
    told = [
        f"{message.id} {message.entry.data}".strip()
        for find in (annotations.find_error, annotations.find_warning)
        for message in find("*", Match.any_value())
    ]
    assert not told, "\n".join([*told, _WHAT_TO_DO])


def _is_suppressed(one: Accepted, row: dict[str, str]) -> bool:
    return (
        row["Compliance"] == "Suppressed"
        and row["Rule ID"] == one.rule_id
        and row["Exception Reason"] == (f"[{one.finding}] {one.why}" if one.finding else one.why)
        and one.is_at(row["Resource ID"].split("/", 1)[1])
    )


def test_what_is_accepted_is_still_found(dev: Synthesised, prod: Synthesised) -> None:
    rows = [*_report(dev), *_report(prod)]
    idle = [f"{one.rule} at {one.where}" for one in ACCEPTED if not any(_is_suppressed(one, row) for row in rows)]
    assert not idle, f"nothing is found there any more; take it out of infra/nag.py: {idle}"


def test_the_local_stack_starts_without_it(local: Synthesised) -> None:
    assert list(local.assembly.glob("*NagReport*")) == []


@pytest.mark.parametrize(
    ("where", "path", "meant"),
    [
        ("Functions/*/Resource", "Functions/FanOut/Resource", True),
        ("Functions/*/Resource", "Functions/FanOutRole/DefaultPolicy/Resource", False),
        ("Functions/*Role/DefaultPolicy/Resource", "Functions/FanOutRole/DefaultPolicy/Resource", True),
        ("Functions/*/Resource", "Other/Functions/FanOut/Resource", False),
        ("Functions/*", "Functions/fanout/Resource", False),
    ],
)
def test_a_star_stands_for_one_part_of_a_path(where: str, path: str, meant: bool) -> None:
    assert Accepted("L1", where, "because").is_at(path) is meant
