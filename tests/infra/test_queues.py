"""The lanes, the bus's rule, the delivery and the deadline queue; and where goes what fails for good."""

import pytest

from shared.contract import DETAIL_PUBLICATIONS, DETAIL_PUSHES, EVENT_SOURCE
from tests.infra.conftest import Synthesise
from tests.infra.template import LANES, STATEFUL, Properties, Synthesised, arn, ref, values_of

_DEAD = " dead letters"


def _queue(stage: Synthesised, name: str) -> Properties:
    return stage.of_type("AWS::SQS::Queue")[STATEFUL[name]]


def _sources(stage: Synthesised) -> dict[str, Properties]:
    """Return the event source mappings, by their queue's name."""
    names = {logical_id: name for name, logical_id in STATEFUL.items()}
    mappings = stage.of_type("AWS::Lambda::EventSourceMapping").values()
    return {names[mapping["EventSourceArn"]["Fn::GetAtt"][0]]: mapping for mapping in mappings}


@pytest.mark.parametrize("lane", LANES)
def test_a_lane_is_fifo_with_limits_per_channel_and_gives_up_late(stage: Synthesised, lane: str) -> None:
    assert _queue(stage, f"{lane} lane") == {
        "FifoQueue": True,
        # Both together are high-throughput mode:
        # docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/high-throughput-fifo.html
        "DeduplicationScope": "messageGroup",
        "FifoThroughputLimit": "perMessageGroupId",
        "RedrivePolicy": {"deadLetterTargetArn": arn(STATEFUL[f"{lane} lane's{_DEAD}"]), "maxReceiveCount": 100},
        "SqsManagedSseEnabled": True,
        "VisibilityTimeout": 6 * stage.function("publish_worker")["Timeout"],
    }


@pytest.mark.parametrize(
    ("name", "concurrency"),
    [
        ("local", {"high": 6, "normal": 6, "low": 3}),
        ("dev", {"high": 20, "normal": 20, "low": 5}),
        ("prod", {"high": 100, "normal": 100, "low": 20}),
    ],
)
def test_a_lane_wakes_the_worker_with_ten_at_most_and_takes_back_single_failures(
    synthesise: Synthesise, name: str, concurrency: dict[str, int]
) -> None:
    stage = synthesise(name)
    for lane in LANES:
        assert _sources(stage)[f"{lane} lane"] == {
            "BatchSize": 10,
            "EventSourceArn": arn(STATEFUL[f"{lane} lane"]),
            "FunctionName": ref(stage.function_ids["publish_worker"]),
            "FunctionResponseTypes": ["ReportBatchItemFailures"],
            "ScalingConfig": {"MaximumConcurrency": concurrency[lane]},
        }


@pytest.mark.parametrize(
    ("queue", "function", "batch_size", "scaling"),
    [
        ("delivery queue", "fan_out", 1, {"ScalingConfig": {"MaximumConcurrency": 6}}),
        ("deadline queue", "janitor", 10, {"ScalingConfig": {"MaximumConcurrency": 20}}),
        ("event queue", "event_publish", 10, {}),
    ],
)
def test_a_standard_queue_wakes_its_function(
    stage: Synthesised, queue: str, function: str, batch_size: int, scaling: Properties
) -> None:
    assert _queue(stage, queue) == {
        "RedrivePolicy": {"deadLetterTargetArn": arn(STATEFUL[f"{queue}'s{_DEAD}"]), "maxReceiveCount": 5},
        "SqsManagedSseEnabled": True,
        "VisibilityTimeout": 6 * stage.function(function)["Timeout"],
    }
    assert _sources(stage)[queue] == {
        "BatchSize": batch_size,
        "EventSourceArn": arn(STATEFUL[queue]),
        "FunctionName": ref(stage.function_ids[function]),
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        **scaling,
    }


def test_looks_of_a_second_come_together(stage: Synthesised) -> None:
    window_s = 1  # at least, where there may be more than 10: AWS refuses it otherwise
    assert _queue(stage, "look queue") == {
        "RedrivePolicy": {"deadLetterTargetArn": arn(STATEFUL[f"look queue's{_DEAD}"]), "maxReceiveCount": 5},
        "SqsManagedSseEnabled": True,
        "VisibilityTimeout": 6 * stage.function("presence")["Timeout"] + window_s,
    }
    assert _sources(stage)["look queue"] == {
        "BatchSize": 200,
        "EventSourceArn": arn(STATEFUL["look queue"]),
        "FunctionName": ref(stage.function_ids["presence"]),
        "FunctionResponseTypes": ["ReportBatchItemFailures"],
        "MaximumBatchingWindowInSeconds": window_s,
        "ScalingConfig": {"MaximumConcurrency": 10},
    }


def test_nothing_else_is_woken_by_a_queue(stage: Synthesised) -> None:
    others = ["delivery queue", "deadline queue", "event queue", "look queue"]
    assert sorted(_sources(stage)) == sorted([*(f"{lane} lane" for lane in LANES), *others])


def test_dead_letters_are_kept_for_two_weeks_in_a_queue_of_their_own(stage: Synthesised) -> None:
    queues = stage.of_type("AWS::SQS::Queue")
    dead = {name for name in stage.stateful if name.endswith(_DEAD)}
    for name in dead:
        # The dead letters of a FIFO queue are FIFO as well:
        # docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
        fifo = {"FifoQueue": True} if "lane" in name else {}
        assert queues[stage.stateful[name]] == {
            "MessageRetentionPeriod": 14 * 86_400,
            "SqsManagedSseEnabled": True,
            **fifo,
        }
    used = [target["Fn::GetAtt"][0] for target in values_of("deadLetterTargetArn", queues)]
    assert sorted([*used, STATEFUL[f"rule's{_DEAD}"]]) == sorted(stage.stateful[name] for name in dead)


def test_the_rule_fans_out_what_nobody_has_fanned_out(stage: Synthesised) -> None:
    (rule,) = (
        rule
        for rule in stage.of_type("AWS::Events::Rule").values()
        if rule["Targets"][0]["Arn"] == arn(stage.function_ids["fan_out"])
    )
    assert rule["EventBusName"] == ref(STATEFUL["bus"])
    assert rule["EventPattern"] == {
        "source": [EVENT_SOURCE],
        "detail-type": [DETAIL_PUBLICATIONS, DETAIL_PUSHES],
        "detail": {"fanned_out": [{"exists": False}]},
    }
    (target,) = rule["Targets"]
    assert target["DeadLetterConfig"] == {"Arn": arn(STATEFUL[f"rule's{_DEAD}"])}
    assert target["RetryPolicy"] == {"MaximumEventAgeInSeconds": 300, "MaximumRetryAttempts": 10}


def test_what_fan_out_fails_at_for_good_is_kept_beside_what_never_reached_it(stage: Synthesised) -> None:
    configs = stage.of_type("AWS::Lambda::EventInvokeConfig").values()
    (config,) = (one for one in configs if "DestinationConfig" in one)
    assert config == {
        "FunctionName": ref(stage.function_ids["fan_out"]),
        "Qualifier": "$LATEST",
        "DestinationConfig": {"OnFailure": {"Destination": arn(STATEFUL[f"rule's{_DEAD}"])}},
        "MaximumEventAgeInSeconds": 300,
        "MaximumRetryAttempts": 2,
    }


def test_of_rules_this_one_alone_may_leave_dead_letters(stage: Synthesised) -> None:
    dead_letters = STATEFUL[f"rule's{_DEAD}"]
    (rule,) = (
        logical_id
        for logical_id, rule in stage.of_type("AWS::Events::Rule").items()
        if rule["Targets"][0].get("DeadLetterConfig") == {"Arn": arn(dead_letters)}
    )
    (policy,) = [
        policy["PolicyDocument"]
        for policy in stage.of_type("AWS::SQS::QueuePolicy").values()
        if policy["Queues"] == [ref(dead_letters)]
    ]
    (allowed,) = [statement for statement in policy["Statement"] if statement["Effect"] == "Allow"]
    assert {name: value for name, value in allowed.items() if name != "Sid"} == {
        "Effect": "Allow",
        "Action": "sqs:SendMessage",
        "Principal": {"Service": "events.amazonaws.com"},
        "Resource": arn(dead_letters),
        "Condition": {"ArnEquals": {"aws:SourceArn": arn(rule)}},
    }
