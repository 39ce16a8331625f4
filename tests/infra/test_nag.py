"""cdk-nag finds nothing in what goes to AWS, beside what infra/nag.py lets be; and all of that is still there."""

import csv
import re
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest

from infra.nag import ACCEPTED, Accepted
from infra.stage import CloudFront
from tests.infra.one_origin import CERTIFICATE, DOMAIN
from tests.infra.template import Synthesised

_WHAT_TO_DO: Final = """
cdk-nag found what is above. Mend it in infra/constructs; the rules are told in RULES.md of github.com/cdklabs/cdk-nag.
If what a rule asks for would be wrong at that resource, say why in infra/nag.py: an Accepted with the rule, the path
without the stack's name, the reason, and what stands in brackets behind the rule as its finding.
"""


def _report(stage: Synthesised) -> list[dict[str, str]]:
    """Return what the rules say of all stacks in the stage's assembly."""
    rows: list[dict[str, str]] = []
    for report in stage.assembly.glob("AwsSolutions-*NagReport.csv"):
        with report.open(newline="") as lines:
            rows += csv.DictReader(lines)
    return rows


@pytest.fixture(scope="module")
def optional(tmp_path_factory: pytest.TempPathFactory) -> list[Synthesised]:
    """Return the stacks of a stage with every option that has resources of its own."""
    front = CloudFront(domain=DOMAIN, certificate_arn=CERTIFICATE, hosted_zone_id="Z1")
    return _with_options(tmp_path_factory.mktemp("optional"), front)


@pytest.fixture(scope="module")
def nameless(tmp_path_factory: pytest.TempPathFactory) -> list[Synthesised]:
    """Return those of one that has CloudFront's own name."""
    return _with_options(tmp_path_factory.mktemp("nameless"), CloudFront())


def _with_options(folder: Path, front: CloudFront) -> list[Synthesised]:
    import aws_cdk as cdk

    from infra import nag
    from infra.one_origin_stacks import add_stacks
    from infra.stage import stage_config

    app = cdk.App(
        outdir=str(folder),
        context={"aws:cdk:bundling-stacks": []},
        builtin_cloud_formation_validation=False,
    )
    stage = replace(
        stage_config("dev", edge_url=None),
        cloudfront=front,
        user_pool={"room:*": ["subscribe"]},
        canary=5,
        traffic_shift="CodeDeployDefault.LambdaCanary10Percent5Minutes",
    )
    add_stacks(app, "TidewireDev", stage=stage, region="eu-central-1")
    stacks = [one for one in app.node.children if isinstance(one, cdk.Stack)]
    for one in stacks:
        nag.watch(one)
    return [Synthesised.of("dev", one) for one in stacks]


def _told(stage: Synthesised) -> list[str]:
    from aws_cdk.assertions import Match

    annotations = stage.annotations
    return [
        f"{message.id} {message.entry.data}".strip()
        for find in (annotations.find_error, annotations.find_warning)
        for message in find("*", Match.string_like_regexp("^AwsSolutions-"))
    ]


def test_rules_have_looked_at_everything(dev: Synthesised, prod: Synthesised) -> None:
    for stage in (dev, prod):
        looked_at = {(row["Rule ID"], row["Resource ID"].split("/", 1)[1]) for row in _report(stage)}
        assert ("AwsSolutions-IAM5", "Functions/HttpApiRole/DefaultPolicy/Resource") in looked_at
        assert ("AwsSolutions-SQS4", "Publish/HighLane/Resource") in looked_at
        assert ("AwsSolutions-APIG1", "Http/Api/DefaultStage/Resource") in looked_at


def test_they_find_nothing_that_is_not_accepted(
    dev: Synthesised, prod: Synthesised, optional: list[Synthesised], nameless: list[Synthesised]
) -> None:
    told = [finding for stage in (dev, prod, *optional, *nameless) for finding in _told(stage)]
    assert not told, "\n".join([*told, _WHAT_TO_DO])


def _is_suppressed(one: Accepted, finding: str | None, row: dict[str, str]) -> bool:
    if row["Compliance"] != "Suppressed" or row["Rule ID"] != one.rule_id:
        return False
    if finding is None:
        why = re.escape(one.why)
    else:
        pattern = finding[2:-2] if finding.startswith("/") else re.escape(finding)
        why = rf"\[{pattern}\] {re.escape(one.why)}"
    return bool(re.fullmatch(why, row["Exception Reason"])) and one.is_at(row["Resource ID"].split("/", 1)[1])


def test_what_is_accepted_is_still_found(
    dev: Synthesised, prod: Synthesised, optional: list[Synthesised], nameless: list[Synthesised]
) -> None:
    rows = [row for stage in (dev, prod, optional[0], nameless[0]) for row in _report(stage)]
    idle = [
        f"{one.rule} at {one.where} {finding or ''}"
        for one in ACCEPTED
        for finding in one.findings or (None,)
        if not any(_is_suppressed(one, finding, row) for row in rows)
    ]
    assert not idle, f"nothing is found there any more; take it out of infra/nag.py: {idle}"


def test_old_tls_is_let_be_where_there_is_no_domain_alone(
    optional: list[Synthesised], nameless: list[Synthesised]
) -> None:
    found = [
        {row["Compliance"] for row in _report(stacks[0]) if row["Rule ID"] == "AwsSolutions-CFR4"}
        for stacks in (optional, nameless)
    ]
    assert found == [{"Compliant"}, {"Suppressed"}]


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
