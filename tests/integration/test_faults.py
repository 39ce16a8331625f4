"""Functions that are killed while they work: what was acknowledged is there, once, in a stream without holes."""

import asyncio
import os
import signal
from collections.abc import Iterator
from functools import partial

import boto3
import pytest

from localstack.stack import LocalStack
from shared.contract import ENV_LANE_URLS
from tests.integration.checks import assert_gapless, eventually, whole_history
from tests.integration.client import Client, Frame, RequestError, UncertainError
from tests.integration.conftest import Connect
from tests.integration.edited import edited

MESSAGES = 30
PUBLISHERS = 2
KILLS = 3
PRIORITIES = ("normal", "high", "express", "low")


@pytest.fixture
def short_visibility(stack: LocalStack) -> Iterator[None]:
    """Lanes that hand out again after 6 s, not 30, what a dead worker had: above the worker's 5 s, as AWS asks."""
    sqs = boto3.client("sqs")
    function = stack.function_names()["ws_message"]
    environment = boto3.client("lambda").get_function_configuration(FunctionName=function)["Environment"]["Variables"]
    urls = [environment[name] for name in ENV_LANE_URLS.values()]
    before = {url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["VisibilityTimeout"]) for url in urls}
    for url in urls:
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"VisibilityTimeout": "6"})
    yield
    for url, answer in before.items():
        sqs.set_queue_attributes(QueueUrl=url, Attributes=answer["Attributes"])


async def publish_until_acknowledged(client: Client, channel: str, number: int) -> None:
    retry: dict[str, bool] = {}
    while True:
        try:
            await client.publish(
                channel, number, message_id=f"m{number}", priority=PRIORITIES[number % len(PRIORITIES)], **retry
            )
        except (UncertainError, TimeoutError):
            retry = {"retry": True}
        except RequestError as error:
            assert error.error["retryable"], error
            retry = {"retry": True}
        else:
            return


def kill_workers(stack: LocalStack) -> int:
    killed = 0
    for pid in stack.emulator.worker_pids():
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue  # it has just ended by itself
        killed += 1
    return killed


async def test_what_was_acknowledged_survives_the_death_of_every_worker(
    stack: LocalStack, connect: Connect, channel: str, short_visibility: None
) -> None:
    bob = await connect("bob", subscribe=[{"channel": channel}])
    publishers = [await connect("ann") for _ in range(PUBLISHERS)]
    acknowledged = 0
    progress = asyncio.Condition()

    async def publish(publisher: int) -> None:
        nonlocal acknowledged
        for number in range(publisher, MESSAGES, PUBLISHERS):
            await publish_until_acknowledged(publishers[publisher], channel, number)
            async with progress:
                acknowledged += 1
                progress.notify_all()

    async def kill() -> int:
        def enough(round_: int) -> bool:
            return acknowledged > round_ * MESSAGES // (KILLS + 1)

        killed = 0
        for round_ in range(KILLS):
            async with progress:
                await progress.wait_for(partial(enough, round_))
            killed += await asyncio.to_thread(kill_workers, stack)
        return killed

    killed = asyncio.create_task(kill())
    await asyncio.gather(*(publish(publisher) for publisher in range(PUBLISHERS)))
    assert await killed > KILLS

    async def all_of_it() -> list[Frame]:
        history = await whole_history(bob, channel)
        return history if len(history) >= MESSAGES else []

    history = await eventually(all_of_it, deadline_s=60)
    assert_gapless(history)
    assert sorted(publication["data"] for publication in history) == list(range(MESSAGES))
    kept = {publication["offset"]: publication["data"] for publication in history}
    assert {event["offset"]: event["data"] for event in bob.events(channel)}.items() <= kept.items()


async def test_what_was_only_pushed_survives_a_failure_of_those_who_push(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    """Lambda tries an event again whose function has failed: nobody would miss what has no place in the stream."""
    once = """
    import pathlib, tempfile
    tried = pathlib.Path(tempfile.gettempdir(), event.get("id", "a delivery"))
    if "id" in event and not tried.exists():
        tried.touch()
        raise RuntimeError("on purpose")
"""
    first_line = "    fan_out = bootstrap.services().fan_out\n"
    with edited(stack, "fan_out", "functions/fan_out/handler.py", first_line, once + first_line):
        ann, bob = await connect("ann"), await connect("bob", subscribe=[{"channel": channel}])
        await ann.publish(channel, 1, ephemeral=True)
        await bob.wait_for(lambda: bob.events(channel))
