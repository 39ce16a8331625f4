"""The deployed handlers in one warm process: what they send to queues and to the bus is handed on as AWS would.

One process stands for all functions, and for all of their environments: what each remembers, all do. ``steps`` keeps
what it measures in channels of their own, so that this changes nothing.
"""

import io
import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final

import boto3
import jwt

from bench.ledger.dynamodb import REGION, TABLES, Calls, charged_dynamodb
from shared import bootstrap, contract
from shared.adapters.memory import fixed_secret
from shared.adapters.tokens import Hs256Tokens
from shared.bootstrap import Services
from shared.contract import DETAIL_PUBLICATIONS, DETAIL_PUSHES, ENV_DEADLINE_QUEUE_URL, ENV_LANE_URLS
from shared.domain.gate import Gate
from shared.domain.prices import PRICES
from shared.ports import Metrics

_BILLED: Final = frozenset(price.metric for price in PRICES) - {"LambdaGbSeconds", "WebSocketConnectionMinutes"}
_QUEUES: Final = f"https://sqs.{REGION}.amazonaws.com/000000000000/"
_SECRET: Final = "a secret of the ledger's alone, long enough for HS256"
_TOKEN_TIMES: Final = {"iat": 1_700_000_000, "exp": 4_000_000_000}  # good by any clock
_WEBSOCKET_CHUNK_BYTES: Final = 32 * 1024  # aws.amazon.com/api-gateway/pricing
START_MS: Final = 1_800_000_123_457

# Who takes from which queue, and how many at a time: infra/constructs.
_CONSUMERS: Final = {
    **{f"{lane}.fifo": ("publish_worker", 10) for lane in ENV_LANE_URLS},
    "deliveries": ("fan_out", 1),
    "deadlines": ("janitor", 10),
    "looks": ("presence", 200),
}
_MOTOS: Final = "ledger"  # moto takes any key
ENVIRONMENT: Final = {
    "AWS_DEFAULT_REGION": REGION,
    "AWS_ACCESS_KEY_ID": _MOTOS,
    "AWS_SECRET_ACCESS_KEY": _MOTOS,
    contract.ENV_STAGE: "prod",
    **{getattr(contract, f"ENV_{table.upper()}_TABLE"): table for table in TABLES},
    **{variable: f"{_QUEUES}{lane}.fifo" for lane, variable in ENV_LANE_URLS.items()},
    contract.ENV_DELIVERY_QUEUE_URL: f"{_QUEUES}deliveries",
    ENV_DEADLINE_QUEUE_URL: f"{_QUEUES}deadlines",
    contract.ENV_LOOK_QUEUE_URL: f"{_QUEUES}looks",
    contract.ENV_EVENT_BUS_NAME: "tidewire",
    contract.ENV_ALLOWED_ORIGINS: "*",
}


@dataclass(frozen=True, slots=True)
class Taken:
    """What something took.

    Attributes:
        units: By metric of docs/metrics.md, as the functions logged them; times are left out.
        tables: DynamoDB's units, by table and ``read`` or ``write``.
        calls: Calls by ``service.Operation``.
        functions: Invocations by function.
    """

    units: Mapping[str, float]
    tables: Mapping[tuple[str, str], float]
    calls: Mapping[str, float]
    functions: Mapping[str, float]

    def less(self, other: "Taken") -> "Taken":
        """Return what it takes beyond another."""
        return Taken(*(_difference(mine, theirs) for mine, theirs in zip(self._all(), other._all(), strict=True)))

    def over(self, count: int) -> "Taken":
        """Return the share of one of so many."""
        return Taken(*({name: value / count for name, value in mine.items()} for mine in self._all()))

    def _all(self) -> tuple[Mapping[Any, float], ...]:
        return self.units, self.tables, self.calls, self.functions


@dataclass
class CountingTransport:
    """Every connection is there, takes everything, and has just been heard of."""

    metrics: Metrics
    now_ms: Callable[[], int]
    messages: list[tuple[str, bytes]] = field(default_factory=list)

    def push_all(
        self, connection_ids: Sequence[str], messages: Sequence[bytes], gate: Gate | None = None
    ) -> Sequence[Exception | None]:
        """Count each message to each."""
        for message in messages:
            self.messages += [(connection_id, message) for connection_id in connection_ids]
            chunks = -(-len(message) // _WEBSOCKET_CHUNK_BYTES)
            self.metrics.billed("WebSocketMessages", chunks * len(connection_ids))
        return [None] * len(connection_ids)

    def last_active_ms(self, connection_id: str) -> int | None:
        """Return when it was heard of."""
        return self.now_ms()

    def close(self, connection_id: str) -> None:
        """Close it."""


@dataclass
class _Message:
    body: str
    due_ms: int
    attributes: Mapping[str, str]


class Deployment:
    """What clients and time can do to it, and what that takes."""

    def __init__(self, calls: Calls) -> None:
        self.clock_ms = START_MS
        self._calls = calls
        self._units: Counter[str] = Counter()
        self._functions: Counter[str] = Counter()
        self._queues: dict[str, list[_Message]] = {name: [] for name in _CONSUMERS}
        self._events: list[dict[str, Any]] = []
        self._ids = 0
        self.sent_bytes: dict[str, int] = {}  # of the last message of each kind
        assert boto3.DEFAULT_SESSION is not None
        events: Any = boto3.DEFAULT_SESSION.events
        for service in ("sqs", "eventbridge"):
            events.register(f"before-call.{service}", self._take)
        self.services: Services = bootstrap.services()
        self.services.now_ms = lambda: self.clock_ms
        self.services.tokens = Hs256Tokens(fixed_secret(_SECRET))
        self.transport = CountingTransport(self.services.metrics, self.services.now_ms)
        self.services.transport = self.transport

    def pass_ms(self, duration_ms: int) -> None:
        """Let time pass."""
        self.clock_ms += duration_ms

    def new_id(self, prefix: str, length: int) -> str:
        """Return an id of that length that nobody has."""
        self._ids += 1
        return prefix + str(self._ids).zfill(length - len(prefix))

    def token(self, user_id: str, capabilities: Mapping[str, list[str]]) -> str:
        """Return a token."""
        return jwt.encode({"sub": user_id, "caps": capabilities, **_TOKEN_TIMES}, _SECRET, "HS256")

    def websocket(self, function: str, connection_id: str, event_type: str, body: Any = None) -> Any:
        """Have something come by WebSocket; return what its function answers, read."""
        context = {"connectionId": connection_id, "eventType": event_type, "requestTimeEpoch": self.clock_ms}
        event = {"requestContext": context, "headers": {}, "body": None if body is None else _json(body)}
        self.sent_bytes["frame"] = len(event["body"] or "")
        answer = self.invoke(function, event)
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"]) if "body" in answer else None

    def http(self, method: str, path: str, body: Any, headers: Mapping[str, str]) -> Any:
        """Have something come by the HTTP API; return what is answered, read."""
        http = {"method": method, "path": path, "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "ledger"}
        event = {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": "",
            "headers": {"host": "example.org", "content-type": "application/json", **headers},
            "requestContext": {"http": http, "stage": "$default", "requestId": "ledger"},
            "isBase64Encoded": False,
            "body": _json(body),
        }
        answer = self.invoke("http_api", event)
        assert answer["statusCode"] == 200, answer
        return json.loads(answer["body"])

    def invoke(self, function: str, event: Any) -> Any:
        """Invoke a function as Lambda does, and note what it logs of its bill."""
        handler = import_module(f"functions.{function}.handler").lambda_handler
        with redirect_stdout(io.StringIO()) as log:
            answer = handler(event, _CONTEXT)
        self._functions[function] += 1
        for line in map(json.loads, log.getvalue().splitlines()):
            if line.get("level") == "ERROR":
                raise AssertionError(f"{function} failed: {line}")
            for name in _BILLED & line.keys():
                self._units[name] += sum(line[name])
        return answer

    def settle(self) -> None:
        """Hand on what waits in queues and on the bus, and pass the time until nothing does."""
        while self._events or any(self._queues.values()):
            while self._events:
                self.invoke("fan_out", self._events.pop(0))
            due = [name for name, messages in self._queues.items() if any(self._is_due(one) for one in messages)]
            for name in due:
                self._hand_on(name)
            if not due and not self._events and any(self._queues.values()):
                self.clock_ms = min(one.due_ms for messages in self._queues.values() for one in messages)

    def measure(self, *actions: Callable[[], object]) -> Taken:
        """Return what actions take; ``settle`` among them is what follows."""
        before = self._so_far()
        for action in actions:
            action()
        taken = self._so_far().less(before)
        by_metric = sum(taken.units.get(name, 0) for name in ("DynamoDbReadUnits", "DynamoDbWriteUnits"))
        assert sum(taken.tables.values()) == by_metric, "the meter has counted all of it"
        return taken

    def _so_far(self) -> Taken:
        return Taken(dict(self._units), dict(self._calls.units), dict(self._calls.calls), dict(self._functions))

    def _is_due(self, message: _Message) -> bool:
        return message.due_ms <= self.clock_ms

    def _hand_on(self, name: str) -> None:
        function, at_a_time = _CONSUMERS[name]
        due = [one for one in self._queues[name] if self._is_due(one)]
        some = due[:at_a_time]
        self._queues[name] = [one for one in self._queues[name] if one not in some]
        answer = self.invoke(function, {"Records": [self._record(name, message) for message in some]})
        assert answer == {"batchItemFailures": []}, answer

    def _record(self, name: str, message: _Message) -> dict[str, Any]:
        return {
            "messageId": self.new_id("m", 36),
            "receiptHandle": "receipt",
            "body": message.body,
            "attributes": {"ApproximateReceiveCount": "1", **message.attributes},
            "eventSourceARN": f"arn:aws:sqs:{REGION}:000000000000:{name}",
        }

    def _take(self, model: Any, params: dict[str, Any], **_event: Any) -> tuple[SimpleNamespace, dict[str, Any]]:
        """Answer a call in the place of SQS or EventBridge: botocore asks nobody then."""
        self._calls.called(model.service_model.service_name, model.name)
        request = json.loads(params["body"])
        match model.name:
            case "SendMessage":
                self._queue(request["QueueUrl"], request)
                answer: dict[str, Any] = {"MessageId": "taken"}
            case "SendMessageBatch":
                for entry in request["Entries"]:
                    self._queue(request["QueueUrl"], entry)
                answer = {"Successful": [{"Id": entry["Id"]} for entry in request["Entries"]], "Failed": []}
            case "PutEvents":
                self.sent_bytes["event"] = len(request["Entries"][0]["Detail"])
                self._events += [event for event in map(_event_of, request["Entries"]) if _for_fan_out(event)]
                answer = {"FailedEntryCount": 0}
            case other:
                raise ValueError(f"nobody answers {other}")
        return SimpleNamespace(status_code=200), answer

    def _queue(self, url: str, entry: Mapping[str, Any]) -> None:
        names = ("MessageGroupId", "MessageDeduplicationId")
        attributes = {name: entry[name] for name in names if name in entry}
        due_ms = self.clock_ms + entry.get("DelaySeconds", 0) * 1000
        queue = url.removeprefix(_QUEUES)
        self.sent_bytes[queue] = len(entry["MessageBody"])
        self._queues[queue].append(_Message(entry["MessageBody"], due_ms, attributes))


def _json(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))  # as the clients do


def _difference(mine: Mapping[Any, float], theirs: Mapping[Any, float]) -> dict[Any, float]:
    differences = {name: mine.get(name, 0) - theirs.get(name, 0) for name in (*mine, *theirs)}
    return {name: difference for name, difference in differences.items() if difference}


def _event_of(entry: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "id": "event",
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "detail": json.loads(entry["Detail"]),
    }


def _for_fan_out(event: Mapping[str, Any]) -> bool:
    """Tell what fan-out's rule does: infra/constructs/fan_out_bus.py."""
    return event["detail-type"] in (DETAIL_PUBLICATIONS, DETAIL_PUSHES) and "fanned_out" not in event["detail"]


_CONTEXT: Final = SimpleNamespace(
    aws_request_id="ledger", memory_limit_in_mb=1024, get_remaining_time_in_millis=lambda: 30_000
)


@contextmanager
def deployed() -> Iterator[Deployment]:
    """Deploy it, and take it away again."""
    with ExitStack() as stack:
        stack.callback(os.environ.update, dict(os.environ))
        stack.callback(os.environ.clear)  # called first
        os.environ.update(ENVIRONMENT)
        calls = Calls()
        stack.enter_context(charged_dynamodb(calls))
        bootstrap.services.cache_clear()
        stack.callback(bootstrap.services.cache_clear)
        yield Deployment(calls)
