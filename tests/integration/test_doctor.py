"""``tidewire doctor``: passes on a healthy stack, and names the fault on one that is broken on purpose."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

import boto3
import pytest

from localstack.stack import LocalStack
from shared.contract import OUTPUT_DEAD_LETTER_URLS
from tests.integration.command_line import forget_dead_letters, run

FAULTS: Final = 6  # the exit code
PATIENCE: Final = "5s"

Break = Callable[[LocalStack], AbstractContextManager[None]]


def examine(stack: LocalStack, folder: Path, *options: str) -> tuple[int, dict[str, dict[str, Any]]]:
    """Return the exit code, and what each step has found."""
    done = run(folder, "doctor", stack.url, "--json", *options)
    assert "Traceback" not in done.stderr, done.stderr
    return done.returncode, {step["step"]: step for step in json.loads(done.stdout)["steps"]}


@contextmanager
def lane_without_worker(stack: LocalStack) -> Iterator[None]:
    """The lane ``normal`` is not worked off."""
    client = boto3.client("lambda")
    mappings = client.list_event_source_mappings(FunctionName=stack.function_names()["publish_worker"])
    [mapping] = [one for one in mappings["EventSourceMappings"] if "Normal" in one["EventSourceArn"]]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextmanager
def throttled(stack: LocalStack, function: str) -> Iterator[None]:
    client, name = boto3.client("lambda"), stack.function_names()[function]
    client.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    try:
        yield
    finally:
        client.delete_function_concurrency(FunctionName=name)


def no_fan_out(stack: LocalStack) -> AbstractContextManager[None]:
    """What is stored is pushed to nobody."""
    return throttled(stack, "fan_out")


def no_messages(stack: LocalStack) -> AbstractContextManager[None]:
    """WebSockets connect, and are not answered."""
    return throttled(stack, "ws_message")


def no_connecting(stack: LocalStack) -> AbstractContextManager[None]:
    """WebSockets do not even connect."""
    return throttled(stack, "ws_connect")


@contextmanager
def dead_letter(stack: LocalStack) -> Iterator[None]:
    """Something ended among the dead letters."""
    forget_dead_letters(stack)
    sqs, url = boto3.client("sqs"), stack.outputs[OUTPUT_DEAD_LETTER_URLS["high"]]
    sqs.send_message(QueueUrl=url, MessageBody="{}", MessageGroupId="doctor", MessageDeduplicationId="doctor")
    try:
        yield
    finally:
        [message] = sqs.receive_message(QueueUrl=url, WaitTimeSeconds=5)["Messages"]
        sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])


# What is broken, the step that says so, what it says, and where it has us look; and steps that are well all the same.
BROKEN: Final[list[tuple[Break, str, str, str, list[str]]]] = [
    (
        lane_without_worker,
        "priority normal",
        "accepted, but not stored",
        "publish_worker",
        ["priority express", "priority high", "priority low", "documents", "presence"],
    ),
    (no_fan_out, "priority high", "accepted and stored, but not pushed", "fan_out", ["priority express", "documents"]),
    (no_messages, "transport websocket", "", "ws_message", ["transport sse", "transport long_poll", "documents"]),
    (no_connecting, "transport websocket", "", "ws_connect", ["transport stream", "transport short_poll"]),
    (dead_letter, "dead letters", "high: 1", "tidewire redrive", ["priority high", "recovery"]),
]


def test_a_healthy_stack_passes_every_step(warm_stack: LocalStack, tmp_path: Path) -> None:
    forget_dead_letters(warm_stack)
    code, steps = examine(warm_stack, tmp_path)
    assert {name: step for name, step in steps.items() if step["outcome"] != "ok"} == {}
    assert code == 0
    assert len(steps) >= 20


@pytest.mark.timeout(300)
@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case[0].__name__)
def test_the_fault_is_named(
    case: tuple[Break, str, str, str, list[str]], warm_stack: LocalStack, tmp_path: Path
) -> None:
    break_, step, says, look_at, well = case
    with break_(warm_stack):
        code, steps = examine(warm_stack, tmp_path, "--patience", PATIENCE)
    assert code == FAULTS
    found = steps[step]
    assert (found["outcome"], says in found["detail"], look_at in found["look_at"]) == ("fault", True, True), found
    assert {name: steps[name]["outcome"] for name in well} == dict.fromkeys(well, "ok")
