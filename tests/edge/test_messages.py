"""What clients send reaches a function, and what it returns reaches them, on AWS's conditions."""

import asyncio
import json
import threading
from typing import Any

import pytest
from websockets.sync.client import ClientConnection

from localstack.edge.invoker import InvocationError
from localstack.edge.limits import Limits
from tests.edge.conftest import Serve
from tests.edge.running import DEADLINE_S, Event, RunningEdge


def ask(client: ClientConnection, body: str) -> str:
    client.send(body)
    reply = client.recv(DEADLINE_S)
    assert isinstance(reply, str)
    return reply


def test_a_reply_is_the_body_that_the_function_returns(edge: RunningEdge) -> None:
    with edge.connect() as client:
        assert ask(client, '{"type": "hello", "id": 1}') == '{"type": "hello", "id": 1}'


@pytest.mark.parametrize(
    "answer", [{"statusCode": 200}, {"statusCode": 200, "body": ""}, {"statusCode": 200, "body": None}]
)
def test_without_a_body_nothing_is_sent(edge: RunningEdge, answer: Any) -> None:
    edge.invoker.functions["message"] = lambda event: answer if event["body"] == "quiet" else {**answer, "body": "!"}
    with edge.connect() as client:
        client.send("quiet")
        assert ask(client, "loud") == "!"


# docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-route-response.html
def test_without_a_route_response_the_body_is_dropped(edge: RunningEdge) -> None:
    with edge.connect() as client:
        client.send('{"type": "quiet"}')
        assert edge.invoker.wait("MESSAGE")["requestContext"]["routeKey"] == "request/quiet"
        assert ask(client, "loud") == "loud"


def test_a_mock_answers_ping_and_costs_no_invocation(edge: RunningEdge) -> None:
    with edge.connect() as client:
        assert ask(client, '{"type": "ping", "id": 7}') == '{"type": "pong"}'
    assert edge.invoker.of("MESSAGE") == []


@pytest.mark.parametrize(
    "body",
    [
        "hello",
        "{",
        "null",
        "5",
        "[]",
        '"ping"',
        "{}",
        '{"type": null}',
        '{"type": 5}',
        '{"type": ["ping"]}',
        '{"type": "no such route"}',
        '{"type": "$connect"}',
        '{"type": "$disconnect"}',
        '{"type": "$default"}',
        "[" * 100_000,
        '{"type": ' + "[" * 900 + "]" * 900 + "}",
        "7" * 10_000,
    ],
    ids=lambda body: body[:20],
)
def test_whatever_matches_no_route_goes_to_default(serve: Serve, body: str) -> None:
    edge = serve(limits=Limits(frame_max_bytes=128 * 1024))
    with edge.connect() as client:
        assert ask(client, body) == body
    context = edge.invoker.wait("MESSAGE")["requestContext"]
    assert (context["routeKey"], context["eventType"]) == ("$default", "MESSAGE")


def fails(_event: Event) -> Any:
    raise InvocationError("secret detail")


@pytest.mark.parametrize("kind", ["raises", "times out", "answers nothing", "answers too much", "answers no text"])
def test_a_function_that_fails_shows_nothing_of_itself(serve: Serve, kind: str) -> None:
    """AWS's words, seen in github.com/middyjs/middy/issues/1219."""
    edge = serve(limits=Limits(integration_timeout_s=0.2))
    edge.invoker.functions["message"] = {
        "raises": fails,
        "times out": lambda _event: asyncio.sleep(DEADLINE_S),
        "answers nothing": lambda _event: None,
        "answers too much": lambda _event: {"statusCode": 200, "body": "secret detail", "extra": 1},
        "answers no text": lambda _event: {"statusCode": 200, "body": {"secret": "detail"}},
    }[kind]
    with edge.connect() as client:
        reply = json.loads(ask(client, "x"))
    context = edge.invoker.wait("MESSAGE")["requestContext"]
    assert reply == {
        "message": "Internal server error",
        "connectionId": context["connectionId"],
        "requestId": context["requestId"],
    }


def test_a_failure_is_told_without_a_route_response_too(edge: RunningEdge) -> None:
    edge.invoker.functions["message"] = fails
    with edge.connect() as client:
        assert json.loads(ask(client, '{"type": "quiet"}'))["message"] == "Internal server error"


def test_frames_of_one_connection_are_handled_at_the_same_time_and_answered_as_they_finish(edge: RunningEdge) -> None:
    both = threading.Barrier(2)

    async def slow(event: Event) -> Any:
        await asyncio.to_thread(both.wait, DEADLINE_S)
        if event["body"] == "first":
            await asyncio.to_thread(first_may_end.wait, DEADLINE_S)
        return {"statusCode": 200, "body": event["body"]}

    first_may_end = threading.Event()
    edge.invoker.functions["message"] = slow
    with edge.connect() as client:
        client.send("first")
        assert ask(client, "second") == "second"
        first_may_end.set()
        assert client.recv(DEADLINE_S) == "first"


def test_a_reply_to_who_has_left_is_dropped(edge: RunningEdge) -> None:
    left = threading.Event()

    async def slow(_event: Event) -> Any:
        await asyncio.to_thread(left.wait, DEADLINE_S)
        return {"statusCode": 200, "body": "late"}

    edge.invoker.functions["message"] = slow
    with edge.connect() as client:
        client.send("x")
        edge.invoker.wait("MESSAGE")
    edge.invoker.wait("DISCONNECT")
    left.set()


def test_a_message_in_fragments_is_one_message(edge: RunningEdge) -> None:
    with edge.connect() as client:
        client.send(["fi", "", "rst", "é"])
        assert client.recv(DEADLINE_S) == "firsté"
    assert len(edge.invoker.of("MESSAGE")) == 1
