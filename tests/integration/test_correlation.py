"""What became of one message: the query of docs/observability.md, put to the local stack's CloudWatch."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import boto3
import httpx
import pytest

from localstack.edge.faults import Fault
from localstack.stack import LocalStack
from shared.domain.correlation import correlation_id, of_frames
from tests.integration.checks import eventually
from tests.integration.client import Client
from tests.integration.conftest import Connect
from tests.integration.test_events import put_event
from tests.integration.test_fan_out import First, faults

_DOCUMENT: Final = Path(__file__).resolve().parents[2] / "docs" / "observability.md"
Lines = list[tuple[str, dict[str, Any]]]


class Asked:
    """Asks as the document says."""

    def __init__(self) -> None:
        self._logs: Any = boto3.client("logs")
        self._since_s = int(time.time()) - 1
        (self._query,) = re.findall(r"^```text\n(fields .+?)\n```$", _DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)

    def __call__(self, one: str) -> Lines:
        """Return the lines about a publication, each with its log group, in the order in which they were written.

        That is not the emulator's, which has all of an invocation's lines at its end.
        """
        query, count = re.subn(r"[0-9a-f]{16}", one, self._query)
        assert count == 1
        pages = self._logs.get_paginator("describe_log_groups").paginate()
        names = [group["logGroupName"] for page in pages for group in page["logGroups"]]
        started = self._logs.start_query(
            logGroupNames=[name for name in names if "TidewireLocal" in name],
            startTime=self._since_s,
            endTime=int(time.time()) + 1,
            queryString=query,
        )
        answer = self._logs.get_query_results(queryId=started["queryId"])
        assert answer["status"] == "Complete"
        rows = [{field["field"]: field["value"] for field in row} for row in answer["results"]]
        lines = [(row["@log"], json.loads(row["@message"])) for row in rows]
        return sorted(lines, key=lambda line: line[1]["timestamp"])


@pytest.fixture
def ask(stack: LocalStack) -> Asked:
    assert stack
    return Asked()


def received(client: Client) -> dict[str, dict[str, Any]]:
    """Return the events that a client was pushed, with a place in a stream or without."""
    return {frame["message_id"]: dict(frame) for frame in client.frames if frame.get("type") == "event"}


async def steps(ask: Asked, one: str, done: Callable[[list[str]], bool]) -> Lines:
    """Ask until these steps are there, given in the alphabet's order: a worker may have stored what was accepted before
    the line says so. A line lies in its group a while after it was written.
    """

    def there() -> Lines:
        lines = ask(one)
        return lines if done(sorted(line["message"] for _, line in lines)) else []

    found = await eventually(there)
    assert all(one in line["correlation_ids"] for _, line in found)
    return found


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {},
            {"accepted": ("WsMessage", "normal"), "stored": ("PublishWorker", "normal"), "pushed": ("FanOut", None)},
        ),
        ({"priority": "express"}, {"stored": ("WsMessage", "express"), "pushed": ("WsMessage", None)}),
        ({"ephemeral": True}, {"accepted": ("WsMessage", "ephemeral"), "pushed": ("FanOut", None)}),
    ],
)
async def test_from_the_clients_request_to_the_delivery(
    ask: Asked, connect: Connect, channel: str, fields: dict[str, Any], expected: dict[str, tuple[str, str | None]]
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    bob = await connect("bob", subscribe=[{"channel": channel}])
    await ann.publish(channel, 1, message_id="m1", **fields)
    await ann.publish(channel, 2, message_id="m2", **fields)
    await ann.wait_for(lambda: "m2" in received(ann))
    await bob.wait_for(lambda: {"m1", "m2"} <= received(bob).keys())
    event = received(bob)["m1"]

    lines = await steps(ask, correlation_id(channel, "ann", "m1"), lambda found: len(found) == len(expected))
    assert {line["message"] for _, line in lines} == expected.keys()
    for group, line in lines:
        function, way = expected[line["message"]]
        assert function in group
        assert line.get("way") == way
    asked = [line for group, line in lines if "WsMessage" in group]
    assert {line["connection_id"] for line in asked} == {event["sender"]["connection_id"]}
    assert all(line["request_id"] for line in asked)
    (pushed,) = [line for _, line in lines if line["message"] == "pushed"]
    assert (pushed["delivered"], pushed["left"], pushed["attempt"]) == (2, 0, 0)


async def test_a_push_that_fails_is_followed_to_the_one_that_does_not(
    stack: LocalStack, ask: Asked, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with faults(stack, First(1, Fault(status=500))):
        await ann.publish(channel, 1, message_id="m1")
        await ann.wait_for_events(channel, 1)
    one = correlation_id(channel, "ann", "m1")
    lines = await steps(ask, one, lambda found: found.count("pushed") == 2)
    pushed = [line for _, line in lines if line["message"] == "pushed"]
    assert [(line["attempt"], line["delivered"], line["left"]) for line in pushed] == [(0, 0, 1), (1, 1, 0)]


async def test_what_an_event_asks_for(stack: LocalStack, ask: Asked, connect: Connect, channel: str) -> None:
    client = await connect(subscribe=[{"channel": channel}])
    event_id = put_event(stack, {"channel": channel, "name": "paid", "data": 1})
    await client.wait_for_events(channel, 1)
    one = correlation_id(channel, "event:billing", event_id)
    lines = await steps(ask, one, lambda found: found == ["accepted", "pushed", "stored"])
    assert {line["message"]: group for group, line in lines}["accepted"].count("EventPublish")


async def test_what_a_server_publishes_by_http(
    ask: Asked,
    everywhere: httpx.Client,
    api_key: str,
    connect: Connect,
    channel: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client = await connect(subscribe=[{"channel": channel}])
    body = {"channel": channel, "name": "paid", "data": 1}
    everywhere.post("/v1/publish", json=body, headers={"X-API-Key": api_key}).raise_for_status()
    (one,) = of_frames(channel, await client.wait_for_events(channel, 1))
    # Where the edge serves the HTTP API, it is in this very process, and so are its lines.
    own = [record.getMessage() for record in caplog.records if one in getattr(record, "correlation_ids", ())]
    lines = await steps(ask, one, lambda found: own + found == ["accepted", "pushed", "stored"])
    assert own or {line["message"]: group for group, line in lines}["accepted"].count("HttpApi")


async def test_a_refusal_is_found_as_well(ask: Asked, connect: Connect, channel: str) -> None:
    eve = await connect("eve", caps={channel: ["subscribe"]})
    answer = await eve.answer(
        json.dumps({"type": "publish", "id": 1, "channel": channel, "name": "n", "data": 1, "message_id": "m1"})
    )
    assert answer["error"]["name"] == "forbidden"
    ((group, line),) = await steps(ask, correlation_id(channel, "eve", "m1"), lambda found: bool(found))
    assert (line["message"], line["error"]) == ("refused", "forbidden")
    assert "WsMessage" in group
