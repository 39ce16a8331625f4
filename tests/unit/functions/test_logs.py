"""No line of any logger, at any level, and no metric holds what somebody said or who they are."""

import json
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from functions.fan_out.handler import lambda_handler as fan_out
from functions.janitor.handler import lambda_handler as janitor
from functions.publish_worker.handler import lambda_handler as publish_worker
from functions.ws_connect.handler import lambda_handler as ws_connect
from functions.ws_disconnect.handler import lambda_handler as ws_disconnect
from functions.ws_message.handler import lambda_handler as ws_message
from shared.adapters.memory import MemoryLaneQueue
from shared.adapters.telemetry import LoggedTrail
from shared.bootstrap import Services, now_ms
from shared.domain.api_key import ApiKey
from shared.ports import Lane, LaneMessage
from tests.unit.conftest import Log
from tests.unit.functions.conftest import Context
from tests.unit.functions.test_http_handler import event as http_event
from tests.unit.functions.test_publish_worker import record
from tests.unit.stack import MemoryStack

HUSH = "hush-7f3a"  # in everything that is said
KEY = f"billing.{HUSH}"
PUBLISH = {"type": "publish", "id": HUSH, "channel": f"room:{HUSH}", "name": HUSH, "data": {HUSH: HUSH}}


class Speaker:
    """Says things to every function, and knows what must not be told."""

    def __init__(self, stack: MemoryStack, services: Services, http: Callable[[Any], Any]) -> None:
        self._stack, self._http = stack, http
        key_id, _, secret = KEY.partition(".")
        services.api_keys.add(ApiKey(key_id, HUSH, {"*": ["publish"]}, 0), secret, at_most=10)
        self.token = stack.token(f"ann-{HUSH}")
        self.ticket = stack.sessions.issue_ticket(stack.tokens.verify(self.token))
        self.secrets = [HUSH, self.token, *self.token.split(".")[1:], self.ticket]

    def connect(self, ticket: str | None = None) -> Any:
        event = {
            "requestContext": {"connectionId": "c", "identity": {"sourceIp": HUSH}},
            "headers": {"Origin": "https://example.org", "User-Agent": HUSH},
            "queryStringParameters": None if ticket is None else {"ticket": ticket},
        }
        self._stack.transport.inboxes["c"] = []
        return ws_connect(event, Context())["statusCode"]

    def say(self, frame: Any) -> Any:
        body = frame if isinstance(frame, str) else json.dumps(frame)
        context = {"connectionId": "c", "requestTimeEpoch": now_ms()}
        answer = ws_message({"requestContext": context, "body": body}, Context())
        return json.loads(answer["body"])

    def call(self, body: Any, headers: dict[str, str], path: str = "/v1/publish") -> int:
        text = body if isinstance(body, str) else json.dumps(body)
        return int(self._http(http_event("POST", path, text, headers))["statusCode"])

    @property
    def bearer(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"}


@pytest.fixture
def speaker(stack: MemoryStack, services: Services, http_function: Callable[[Any], Any]) -> Speaker:
    stack.trail.step = LoggedTrail(1).step  # type: ignore[method-assign]  # every step is told
    return Speaker(stack, services, http_function)


def assert_hushed(log: Log, speaker: Speaker) -> None:
    text = log.text()
    assert [secret for secret in speaker.secrets if secret in text] == []


def test_of_good_requests_nothing_is_told(speaker: Speaker, stack: MemoryStack, log: Log) -> None:
    assert speaker.connect(speaker.ticket) == 200
    hello = {
        "type": "hello",
        "id": HUSH,
        "protocol": 1,
        "token": speaker.token,
        "client": {"name": HUSH, "version": "1"},
    }
    assert "result" in speaker.say(hello | {"subscribe": [{"channel": PUBLISH["channel"]}]})
    for fields in ({}, {"priority": "express"}, {"ephemeral": True}):
        assert "result" in speaker.say(PUBLISH | {"message_id": f"{HUSH}{len(fields)}"} | fields)
    command = {"type": "command", "id": HUSH, "name": "dice.roll", "data": {"channel": PUBLISH["channel"]}}
    assert "result" in speaker.say(command)
    assert speaker.say(command | {"data": {HUSH: HUSH}})["error"]["name"] == "invalid_field"
    assert speaker.say([command | {"name": HUSH, "to": {"connection_id": "c"}}, {"type": "ping"}]) == {"type": "pong"}
    assert speaker.call(PUBLISH, speaker.bearer) == 200
    assert speaker.call(PUBLISH, {"x-api-key": KEY}) == 200
    assert speaker.call("", speaker.bearer, "/v1/tickets") == 200
    assert speaker.call({"user_id": HUSH}, {}, "/v1/dev/token") == 200
    stack.drain()
    assert ws_disconnect({"requestContext": {"connectionId": "c"}}, Context())["statusCode"] == 200
    assert log.metrics()
    assert log.lines() == []
    assert {"accepted", "stored", "pushed"} <= {line["message"] for line in log.steps()}
    assert_hushed(log, speaker)


def test_of_bad_requests_nothing_is_told(speaker: Speaker, log: Log) -> None:
    assert speaker.connect(HUSH) == 401
    assert speaker.connect() == 200
    for frame in (
        HUSH,
        {"type": HUSH, "id": 1},
        PUBLISH,
        {"type": "hello", "id": 1, "protocol": 1, "token": HUSH},
        {"type": "hello", "id": 1, "protocol": 1, "token": speaker.token + HUSH},
        {"type": "hello", "id": 1, "protocol": 1, "token": speaker.token, "session_id": HUSH},
        {"type": "sync", "id": 1, "positions": {HUSH: HUSH}},
        PUBLISH | {"priority": HUSH},
        PUBLISH | {"data": HUSH * 2_800},
    ):
        assert "error" in speaker.say(frame)
    assert speaker.call(HUSH, speaker.bearer) == 400
    assert speaker.call({HUSH: HUSH}, speaker.bearer) == 422
    assert speaker.call(PUBLISH, {"authorization": f"Bearer {HUSH}"}) == 401
    assert speaker.call(PUBLISH, {"x-api-key": HUSH}) == 401
    assert speaker.call({"user_id": "ann", "caps": {HUSH: HUSH}}, {}, "/v1/dev/token") == 422
    assert log.metrics()
    assert log.lines() == []
    assert_hushed(log, speaker)


def test_of_failures_their_kind_is_told(speaker: Speaker, stack: MemoryStack, log: Log) -> None:
    class BrokenLanes(MemoryLaneQueue):
        def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
            raise RuntimeError(f"{messages}")

    def broken(*arguments: Any, **named: Any) -> Any:
        raise RuntimeError(f"{arguments} {named}")

    object.__setattr__(stack.publishing, "lanes", BrokenLanes())
    assert speaker.connect(speaker.ticket) == 200
    assert "result" in speaker.say({"type": "hello", "id": 1, "protocol": 1})
    assert speaker.say(PUBLISH)["error"]["name"] == "internal"
    assert speaker.call(PUBLISH, speaker.bearer) == 500

    stack.store.append = broken  # type: ignore[method-assign]
    stack.transport.failures = {"c": RuntimeError(HUSH)}
    assert publish_worker({"Records": [record("r", f"room:{HUSH}", message_id=HUSH)]}, Context())["batchItemFailures"]
    delivery = json.dumps(
        {"channel": f"room:{HUSH}", "frames": [{"type": HUSH}], "connection_ids": ["c"], "attempt": 1}
    )
    source = "arn:aws:sqs:us-east-1:000000000000:queue"
    again = {
        "messageId": "r",
        "body": delivery,
        "attributes": {"ApproximateReceiveCount": "1"},
        "eventSourceARN": source,
    }
    assert fan_out({"Records": [again]}, Context()) == {"batchItemFailures": []}
    unreadable = {"messageId": "r", "body": json.dumps({HUSH: HUSH}), "eventSourceARN": source}
    assert (janitor({"Records": [unreadable]}, Context()) or {})["batchItemFailures"]

    assert [line["error"] for line in log.lines()] == ["RuntimeError"] * 4 + ["KeyError"]
    assert_hushed(log, speaker)
