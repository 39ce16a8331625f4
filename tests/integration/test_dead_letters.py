"""Dead letters on the deployed stack: counted, put back, left; by the edge's app and by the function."""

import asyncio
import json
import secrets
from typing import Any

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.bootstrap import now_ms
from shared.contract import DETAIL_PUBLISH, OUTPUT_DEAD_LETTER_URLS, OUTPUT_EVENT_DEAD_LETTERS_URL
from tests.integration.checks import eventually
from tests.integration.client import dev_token
from tests.integration.conftest import Connect
from tests.integration.test_http import assert_problem

Header = dict[str, str]


def bury(stack: LocalStack, queue: str, body: Any) -> None:
    sqs, text = boto3.client("sqs"), body if isinstance(body, str) else json.dumps(body)
    if queue == "events":
        sqs.send_message(QueueUrl=stack.outputs[OUTPUT_EVENT_DEAD_LETTERS_URL], MessageBody=text)
        return
    sqs.send_message(
        QueueUrl=stack.outputs[OUTPUT_DEAD_LETTER_URLS[queue]],
        MessageBody=text,
        MessageGroupId=secrets.token_hex(4),
        MessageDeduplicationId=secrets.token_hex(8),
    )


def record(channel: str, message_id: str) -> dict[str, Any]:
    item = {"i": message_id, "n": "said", "d": message_id, "u": "ann", "c": None, "p": 2, "t": now_ms()}
    return {"channel": channel, "publication": item}


def waiting(http: httpx.Client, admin: Header) -> dict[str, int]:
    queues = http.get("/v1/dead-letters", headers=admin).raise_for_status().json()["queues"]
    return {one["queue"]: one["waiting"] for one in queues}


def redrive(http: httpx.Client, admin: Header, queue: str, **query: int) -> dict[str, Any]:
    answer = http.post(f"/v1/dead-letters/{queue}/redrive", params=query, headers=admin)
    done: dict[str, Any] = answer.raise_for_status().json()
    return done


async def test_a_lanes_dead_letters_are_counted_and_put_back(
    stack: LocalStack, everywhere: httpx.Client, admin: Header, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    before = waiting(everywhere, admin)
    for number in range(25):
        bury(stack, "normal", record(channel, f"m{number}"))
    after = await asyncio.to_thread(waiting, everywhere, admin)
    assert list(after) == ["high", "normal", "low", "events"]
    assert after["normal"] - before["normal"] == 25
    done = await asyncio.to_thread(redrive, everywhere, admin, "normal")
    assert (done["redriven"] >= 25, done["more"]) == (True, False)
    events = await ann.wait_for_events(channel, 25)
    assert sorted(event["message_id"] for event in events) == sorted(f"m{number}" for number in range(25))


async def test_what_can_not_be_read_is_left(stack: LocalStack, everywhere: httpx.Client, admin: Header) -> None:
    for body in ("no JSON", "[" * 10_000, '{"detail": 5}'):
        bury(stack, "events", body)
    done = await asyncio.to_thread(redrive, everywhere, admin, "events")
    assert (done["unreadable"], done["more"]) == (3, False)
    assert waiting(everywhere, admin)["events"] >= 3
    boto3.client("sqs").purge_queue(QueueUrl=stack.outputs[OUTPUT_EVENT_DEAD_LETTERS_URL])


async def test_what_is_refused_again_is_left_by_who_began_before(
    stack: LocalStack, everywhere: httpx.Client, admin: Header
) -> None:
    event = {"id": secrets.token_hex(8), "source": "billing", "detail-type": DETAIL_PUBLISH}
    bury(stack, "events", {**event, "detail": {"channel": "no-channel", "name": "paid", "data": 1}})
    done = await asyncio.to_thread(redrive, everywhere, admin, "events")
    assert done["redriven"] >= 1
    await eventually(lambda: waiting(everywhere, admin)["events"])  # it is back
    again = await asyncio.to_thread(redrive, everywhere, admin, "events", before_ms=done["before_ms"])
    assert (again["redriven"], again["more"], again["before_ms"]) == (0, False, done["before_ms"])
    assert waiting(everywhere, admin)["events"] >= 1
    boto3.client("sqs").purge_queue(QueueUrl=stack.outputs[OUTPUT_EVENT_DEAD_LETTERS_URL])


@pytest.mark.parametrize("queue", ["express", "HIGH", "delivery", "%20"])
def test_there_are_no_other_queues(everywhere: httpx.Client, admin: Header, queue: str) -> None:
    assert_problem(everywhere.post(f"/v1/dead-letters/{queue}/redrive", headers=admin), 404, "not_found")


def test_nobody_but_an_admin_may(everywhere: httpx.Client, http: httpx.Client, api_key: str) -> None:
    for headers, status, name in (
        ({"Authorization": f"Bearer {dev_token(str(http.base_url), 'ann')}"}, 403, "forbidden"),
        ({"X-API-Key": api_key}, 403, "forbidden"),
        ({}, 401, "unauthenticated"),
    ):
        assert_problem(everywhere.get("/v1/dead-letters", headers=headers), status, name)
        assert_problem(everywhere.post("/v1/dead-letters/high/redrive", headers=headers), status, name)
