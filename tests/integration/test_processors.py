"""Processors refuse before anything is queued, whichever way a publication comes: in the deployed functions."""

import json
import secrets
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.contract import OUTPUT_EVENT_DEAD_LETTERS_URL, OUTPUT_HTTP_FUNCTION
from tests.integration.checks import eventually, whole_history
from tests.integration.client import DEADLINE_S, RequestError
from tests.integration.conftest import Connect
from tests.integration.edited import edited
from tests.integration.http_function import FunctionTransport
from tests.integration.test_events import put_event, receive

# None is deployed by default: this one is of docs/extending.md.
FILE = "functions/processors/validate_schema.py"
NO_SCHEMAS = "SCHEMAS: Final[Mapping[str, Schema | str]] = {}"
SCHEMAS = NO_SCHEMAS.replace("{}", '{"cursor:*": {"type": "object", "required": ["x", "y"]}}')
REFUSAL = {"schema": "cursor:*", "problems": [{"pointer": "/y", "keyword": "required"}]}


@pytest.fixture(scope="module", autouse=True)
def schemas(stack: LocalStack) -> Iterator[None]:
    with ExitStack() as deployed:
        for function in ("ws_message", "http_api", "event_publish"):
            deployed.enter_context(edited(stack, function, FILE, NO_SCHEMAS, SCHEMAS))
        yield


@pytest.fixture
def cursor() -> str:
    return f"cursor:{secrets.token_hex(6)}"


async def test_data_that_does_not_fit_its_schema_is_refused_and_goes_nowhere(
    connect: Connect, channel: str, cursor: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": cursor}])
    ways: list[dict[str, Any]] = [{}, {"priority": "express"}, {"priority": "low"}, {"ephemeral": True}]
    for way in ways:
        with pytest.raises(RequestError, match="1014 refused") as refused:
            await ann.publish(cursor, {"x": 1}, **way)
        assert refused.value.error["details"] == REFUSAL
        await ann.publish(channel, {"x": 1}, **way)
        await ann.publish(cursor, {"x": 1, "y": 2}, **way)
    await ann.wait_for(lambda: len(ann.events(cursor)) == len(ways))
    kept = await whole_history(ann, cursor)
    assert [publication["data"] for publication in ann.events(cursor) + kept] == [{"x": 1, "y": 2}] * 7


def test_it_is_refused_by_http(stack: LocalStack, api_key: str, cursor: str) -> None:
    transport = FunctionTransport(boto3.client("lambda"), stack.outputs[OUTPUT_HTTP_FUNCTION])
    body = {"channel": cursor, "name": "moved", "data": {"x": 1}}
    with httpx.Client(base_url=stack.url, transport=transport, timeout=DEADLINE_S) as client:
        answer = client.post("/v1/publish", json=body, headers={"X-API-Key": api_key})
    assert (answer.status_code, answer.json()["name"], answer.json()["details"]) == (422, "refused", REFUSAL)


async def test_an_event_that_is_refused_ends_where_somebody_will_look(stack: LocalStack, cursor: str) -> None:
    put_event(stack, {"channel": cursor, "name": "moved", "data": {"x": 1}})
    (message,) = await eventually(lambda: receive(stack.outputs[OUTPUT_EVENT_DEAD_LETTERS_URL], cursor))
    assert json.loads(message["Body"])["detail"]["channel"] == cursor
    assert message["MessageAttributes"]["ErrorCode"]["StringValue"] == "1014"
