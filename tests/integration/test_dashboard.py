"""The dashboard of the deployed stack: every query that is in it is answered. With ``PICTURES=1`` for docs/ as well.

And the picture is drawn as docs/observability.md says.
"""

import asyncio
import math
import os
import random
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError

from localstack.stack import LocalStack
from shared.contract import OUTPUT_DASHBOARD_NAME
from tests.integration.checks import eventually
from tests.integration.client import DEADLINE_S, Client, UncertainError
from tests.integration.conftest import Connect
from tests.integration.test_breaker import failing_store
from tests.integration.test_dead_letters import bury
from tests.integration.test_events import put_event
from tests.integration.test_throttling import detour
from tools.dashboard.answers import Answer, Span, answers
from tools.dashboard.draw import draw

pytestmark = pytest.mark.timeout(1200)  # it may be the one that starts the stack

_ROOT: Final = Path(__file__).resolve().parents[2]
_PICTURES: Final = "PICTURES" in os.environ
_TO: Final = _ROOT / ("docs/pictures" if _PICTURES else ".local/pictures") / "dashboard.png"
_BUSY_S: Final = 400 if _PICTURES else 3
_MINUTES: Final = 9
_PERIOD_S: Final = 10
_MEASURED_S: Final = 12  # in such a time, queues are (localstack/emulator/site/measures.py)
_ROOMS: Final = ("room:harbour", "room:tide-pool", "room:lighthouse")
# Of each graph, which lines this test has made something of.
_MADE: Final = {
    "Errors": {"requests answered with an error", "invocations that failed"},
    "Dead letters": {"Publish low", "EventSources events"},
    "Breakers": {"DynamoDB"},
    "Canary": {"CanarySuccess"},
    "From publish to delivery": {"p50", "p90", "p99", "canary, at most"},
    "Age of the oldest that waits": {"high", "normal", "low"},
    "Functions, 90th percentile": {"WsMessage", "WsConnect", "PublishWorker", "FanOut", "EventPublish"},
    "How much": {"requests", "publications", "deliveries"},
    "Throttled, by function": {"WsDisconnect"},
    "Refused and failed, by cause": {"RequestErrors", "RateLimited", "EventsRefused"},
    "Missed or late, by cause": {"RecoveryRefused", "GapsFilled"},
    "Of the time shown": {"USD in the time shown", "USD a month, if all were like it", "USD a million deliveries"},
    "By service": {"API Gateway", "DynamoDB", "EventBridge", "Lambda", "SQS"},
    "By what is billed": {"DynamoDB: read request units", "API Gateway: WebSocket messages", "Lambda: requests"},
}


async def test_every_query_of_the_dashboard_is_answered(stack: LocalStack, connect: Connect) -> None:
    clients = [await connect(user, subscribe=[{"channel": room} for room in _ROOMS]) for user in ("ann", "ben", "cleo")]
    talk = asyncio.create_task(_talk(clients))
    await _troubles(stack, clients[0])
    await talk

    def asked() -> tuple[list[Answer], Span]:
        span = Span.last(_MINUTES, period_s=_PERIOD_S, now_s=time.time())
        return answers(boto3.Session(), stack.outputs[OUTPUT_DASHBOARD_NAME], span), span

    with suppress(TimeoutError):  # what is missing is told below
        await eventually(lambda: asyncio.to_thread(lambda: not _silent(asked()[0])), deadline_s=DEADLINE_S)
    found, span = asked()
    _TO.parent.mkdir(parents=True, exist_ok=True)
    draw(found, span, _TO)
    assert _silent(found) == {}
    failures, cut_off = [answer.table for answer in found if answer.table is not None]
    assert [row[:3] for row in failures.rows if "room" in row] and cut_off.columns == ["@log", "ended"]
    ((states,),) = [[answer.alarms] for answer in found if answer.alarms is not None]
    assert set(states.values()) <= {"OK", "ALARM"}
    for name in ("PublishLow", "EventSourcesEvents"):
        assert [state for alarm, state in states.items() if f"-{name}DeadLettersNotEmpty" in alarm] == ["ALARM"]


def _silent(found: list[Answer]) -> dict[str, set[str]]:
    """Return which lines have no value above 0, of those that this test has made something of, by graph."""
    told = {
        answer.widget["properties"]["title"]: {line.label for line in answer.lines if any(line.values.values())}
        for answer in found
        if answer.lines
    }
    assert set(told) == set(_MADE)
    return {title: missing for title, labels in _MADE.items() if (missing := labels - told[title])}


async def _talk(clients: list[Client]) -> None:
    """Publish as people do, in waves."""
    chance = random.Random(7)
    for second in range(_BUSY_S):
        for _ in range(round(2 + 2 * math.sin(second / 30) + chance.random())):
            priority = chance.choice(["normal", "normal", "high", "low", "express"])
            await _try(chance.choice(clients), {"channel": chance.choice(_ROOMS), "data": second, "priority": priority})
        await asyncio.sleep(1)  # its pace


async def _troubles(stack: LocalStack, ann: Client) -> None:
    """Let some of what may go wrong do so, one after another."""
    names = stack.function_names()
    await _small_troubles(ann, names["canary"])
    bury(stack, "low", "of nobody")
    put_event(stack, {"channel": "no-channel", "name": "paid", "data": 1})  # ends among the dead letters
    await _small_troubles(ann, names["canary"])
    await asyncio.to_thread(_fail_and_throttle, names["ws_disconnect"])
    await _small_troubles(ann, names["canary"])
    with failing_store(stack, "ws_message") as proxy:
        proxy.configure(one_in=1)
        for number in range(12):
            await _try(ann, {"channel": _ROOMS[0], "data": number, "priority": "express"})
        await asyncio.sleep(_BUSY_S / 20)
    await _small_troubles(ann, names["canary"])
    with detour(stack, "publish_worker") as proxy:
        proxy.configure(one_in=1)
        for lane in ("high", "normal", "low"):
            await _try(ann, {"channel": _ROOMS[0], "data": lane, "priority": lane})
        await asyncio.sleep(max(_MEASURED_S, _BUSY_S / 20))
    await _small_troubles(ann, names["canary"])


async def _small_troubles(ann: Client, canary: str) -> None:
    """Let some go wrong for one client, and a canary look whether all is served; then give it a rest."""
    await asyncio.to_thread(boto3.client("lambda").invoke, FunctionName=canary)
    await ann.request({"type": "no-such-type"})
    await ann.ask("subscribe", channel=_ROOMS[0], since={"epoch": "another", "offset": 0})
    await ann.batch([{"type": "publish", "channel": "vote:best-beach", "name": "voted", "data": 1}] * 40)
    await ann.publish(_ROOMS[0], "is it on?", priority="express")
    event = (await ann.wait_for_events(_ROOMS[0], 1))[-1]
    await ann.ask("history", channel=_ROOMS[0], since={"epoch": event["epoch"], "offset": event["offset"] - 1})
    await asyncio.sleep(_BUSY_S / 9)


def _fail_and_throttle(function: str) -> None:
    client = boto3.client("lambda")
    client.invoke(FunctionName=function, Payload=b"{}")  # no event of its own: it fails
    client.put_function_concurrency(FunctionName=function, ReservedConcurrentExecutions=0)
    with pytest.raises(ClientError, match="TooManyRequests"):
        client.invoke(FunctionName=function, Payload=b"{}")
    client.delete_function_concurrency(FunctionName=function)


async def _try(client: Client, publication: dict[str, Any]) -> None:
    """Publish, whatever comes of it: a function that is changed ends what it is at."""
    with suppress(UncertainError):
        await client.request({"type": "publish", "name": "said", **publication})
