"""Alarms: each tells the topic and names its page; the topic takes them; and what their arithmetic makes of figures."""

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest

from infra.stage import check, stage_config
from tests.infra.template import TABLES, Properties, Synthesised, listed, ref, text, values_of

_PAGES: Final = Path("docs/runbooks")
# Pages that no alarm leads to, and why.
_WITHOUT: Final = {
    "budget": "a budget is no alarm of CloudWatch's: AWS Budgets tells the topic itself",
    "restore": "nothing measures that somebody deleted what they did not mean to",
}
_EMAIL: Final = "night@example.com"


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Synthesised:
    """With every option that has to do with alarms."""
    import aws_cdk as cdk

    from infra.realtime_stack import RealtimeStack

    app = cdk.App(
        outdir=str(tmp_path_factory.mktemp("full")),
        context={"aws:cdk:bundling-stacks": []},
        builtin_cloud_formation_validation=False,
    )
    stage = replace(
        stage_config("dev", edge_url=None),
        alarm_email=_EMAIL,
        budget_usd=50,
        account_requests_per_s=2_500,
        account_concurrency=300,
        archive="orders",
        canary=5,
        traffic_shift="CodeDeployDefault.LambdaCanary10Percent5Minutes",
    )
    check(stage)
    return Synthesised.of("dev", RealtimeStack(app, "TidewireDev", stage=stage))


def _alarms(stage: Synthesised) -> dict[str, Properties]:
    return stage.of_type("AWS::CloudWatch::Alarm")


def _alarm(stage: Synthesised, name: str) -> Properties:
    [found] = [one for key, one in _alarms(stage).items() if re.fullmatch(rf"Alarms{name}[0-9A-F]{{8}}", key)]
    return found


def test_every_alarm_tells_the_topic_when_it_begins_and_ends(full: Synthesised) -> None:
    [topic] = full.of_type("AWS::SNS::Topic")
    alarms = _alarms(full)
    assert {name: one for name, one in alarms.items() if one.get("AlarmActions") != [ref(topic)]} == {}
    assert {name: one for name, one in alarms.items() if one.get("OKActions") != [ref(topic)]} == {}
    assert len(alarms) > 60


def test_every_alarm_names_a_page_and_every_page_has_one(full: Synthesised) -> None:
    told = [alarm["AlarmDescription"] for alarm in _alarms(full).values()]
    named = [re.findall(r"docs/runbooks/([a-z-]+)\.md", text) for text in told]
    assert [text for text, pages in zip(told, named, strict=True) if len(pages) != 1] == []
    pages = {page.stem for page in _PAGES.glob("*.md")} - {"README"}
    assert {page for [page] in named} == pages - set(_WITHOUT)
    listed_there = re.findall(r"\(([a-z-]+)\.md\)", (_PAGES / "README.md").read_text())
    assert set(listed_there) == pages


def test_the_index_has_every_alarm_with_its_threshold(prod: Synthesised) -> None:
    """The rows say ``Name`` (``*`` for any part), threshold."""
    rows = re.findall(r"^\| `([^|]+)` \| ([\d,]+)[^|]*\| [^|]+ \|$", (_PAGES / "README.md").read_text(), re.MULTILINE)
    patterns = {
        re.compile("(" + "|".join(name.replace("*", r"\w+") for name in names.split("`, `")) + ")[0-9A-F]{8}"): limit
        for names, limit in rows
    }
    for name, alarm in _alarms(prod).items():
        said = [limit for pattern, limit in patterns.items() if pattern.fullmatch(name.removeprefix("Alarms"))]
        assert said == [f"{alarm['Threshold']:,}"], name


def test_each_alarm_may_publish_and_the_account_alone(full: Synthesised, dev: Synthesised) -> None:
    account = ":${AWS::AccountId}:"
    for stage, services in ((dev, {"cloudwatch"}), (full, {"cloudwatch", "budgets"})):
        [policy] = stage.of_type("AWS::SNS::TopicPolicy").values()
        allowed = [one for one in policy["PolicyDocument"]["Statement"] if one["Effect"] == "Allow"]
        assert {one["Principal"]["Service"] for one in allowed} == {f"{name}.amazonaws.com" for name in services}
        for one in allowed:
            assert listed(one["Action"]) == ["sns:Publish"]
            [[key, source]] = one["Condition"]["ArnLike"].items()
            assert key == "aws:SourceArn"
            assert account in text(source)


def test_each_function_queue_and_table_is_watched(dev: Synthesised) -> None:
    for name in dev.functions:
        for kind in ("Errors", "Throttles"):
            alarm = _alarm(dev, "".join(map(str.capitalize, name.split("_"))) + kind)
            assert dev.function_ids[name] in set(values_of("Ref", alarm))
    buried = [queue["RedrivePolicy"]["deadLetterTargetArn"]["Fn::GetAtt"][0] for queue in _working(dev).values()]
    ages = _queues_of(dev, "ApproximateAgeOfOldestMessage")
    assert sorted(ages) == sorted(_working(dev))
    assert sorted(_queues_of(dev, "ApproximateNumberOfMessagesVisible")) == sorted(
        set(dev.of_type("AWS::SQS::Queue")) - set(ages)
    )
    assert set(buried) < set(_queues_of(dev, "ApproximateNumberOfMessagesVisible"))
    for table in TABLES:
        for kind in ("Read", "Write"):
            alarm = _alarm(dev, f"{table.capitalize()}{kind}Throttles")
            assert (alarm["MetricName"], alarm["Statistic"]) == (f"{kind}ThrottleEvents", "Sum")


def _working(stage: Synthesised) -> dict[str, Properties]:
    return {name: one for name, one in stage.of_type("AWS::SQS::Queue").items() if "RedrivePolicy" in one}


def _queues_of(stage: Synthesised, metric: str) -> list[str]:
    """Return the queues of which an alarm watches that."""
    return [
        alarm["Dimensions"][0]["Value"]["Fn::GetAtt"][0]
        for alarm in _alarms(stage).values()
        if alarm.get("MetricName") == metric
    ]


def _computed(alarm: Properties, **figures: float | None) -> float:
    """Return what CloudWatch would make of figures: its IF and FILL are functions here, too."""
    [expression] = [one["Expression"] for one in alarm["Metrics"] if "Expression" in one]
    names = {one["Id"] for one in alarm["Metrics"] if "Expression" not in one}
    assert set(figures) == names

    def if_(condition: bool, then: float, otherwise: float) -> float:
        return then if condition else otherwise

    def fill(value: float | None, instead: float) -> float:
        return instead if value is None else value

    computed: float = eval(expression, {"IF": if_, "FILL": fill}, dict(figures))
    return computed


def _rings(alarm: Properties, **figures: float | None) -> bool:
    assert alarm["ComparisonOperator"] == "GreaterThanOrEqualToThreshold"
    threshold: float = alarm["Threshold"]
    return _computed(alarm, **figures) >= threshold


@pytest.mark.parametrize(
    ("errors", "invocations", "rings"),
    [
        (1, 1, False),  # at night
        (2, 5, False),
        (3, 5, True),  # the janitor, which runs five times in that time, always fails
        (3, 300, True),
        (3, 301, False),
        (100, 10_001, False),
        (101, 10_001, True),
    ],
)
def test_a_share_of_errors_rings_and_one_error_does_not(
    dev: Synthesised, errors: int, invocations: int, rings: bool
) -> None:
    for name in ("JanitorErrors", "WsMessageErrors", "HttpFaults", "StreamFaults"):
        alarm = _alarm(dev, name)
        assert _rings(alarm, part=errors, whole0=invocations) is rings, name
        assert {one["MetricStat"]["Period"] for one in alarm["Metrics"] if "MetricStat" in one} == {300}


def test_latency_of_a_few_rings_for_nobody(dev: Synthesised) -> None:
    alarm = _alarm(dev, "Latency")
    assert alarm["EvaluationPeriods"] == 3
    assert not _rings(alarm, publications=19, p99=60_000)
    assert _rings(alarm, publications=20, p99=3_000)
    assert not _rings(alarm, publications=100_000, p99=2_999)


def test_recoveries_ring_once_most_are_refused(dev: Synthesised) -> None:
    alarm = _alarm(dev, "Recoveries")
    assert _rings(alarm, part=20, whole0=None, whole1=20)  # all of them
    assert not _rings(alarm, part=19, whole0=None, whole1=19)
    assert not _rings(alarm, part=49, whole0=51, whole1=49)


def test_requests_are_a_share_of_the_accounts_quota(dev: Synthesised, full: Synthesised) -> None:
    second = {"messages": 60 * 1_650, "connects": None, "calls": 60 * 100}
    assert _computed(_alarm(dev, "Requests"), **second) == 17.5
    assert _rings(_alarm(full, "Requests"), **second)  # where it is 2,500
    assert (_alarm(dev, "Concurrency")["Threshold"], _alarm(full, "Concurrency")["Threshold"]) == (700, 210)
    assert "Dimensions" not in _alarm(dev, "Concurrency")  # the account's


def test_mail_and_budget_are_there_where_asked(dev: Synthesised, full: Synthesised) -> None:
    [topic] = full.of_type("AWS::SNS::Topic")
    [mail] = full.of_type("AWS::SNS::Subscription").values()
    assert (mail["Protocol"], mail["Endpoint"], mail["TopicArn"]) == ("email", _EMAIL, ref(topic))
    [budget] = full.of_type("AWS::Budgets::Budget").values()
    assert budget["Budget"]["BudgetLimit"] == {"Amount": 50, "Unit": "USD"}
    for told in budget["NotificationsWithSubscribers"]:
        assert told["Subscribers"] == [{"Address": ref(topic), "SubscriptionType": "SNS"}]
    for kind in ("AWS::SNS::Subscription", "AWS::Budgets::Budget"):
        assert dev.of_type(kind) == {}


@pytest.mark.parametrize(
    "mistake",
    [
        {"alarm_email": "nobody"},
        {"budget_usd": 0},
        {"account_requests_per_s": 0},
        {"account_concurrency": -1},
    ],
    ids=json.dumps,
)
def test_what_can_not_be_is_refused(mistake: dict[str, Any]) -> None:
    [name] = mistake
    with pytest.raises(SystemExit, match=name):
        check(replace(stage_config("dev", edge_url=None), **mistake))
