"""CPU of the deployed handlers for one event each, without what the storage behind them takes."""

import io
import json
import os
import statistics
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib import import_module
from types import SimpleNamespace
from typing import Any, Final

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws
from moto.core.botocore_stubber import MockRawResponse
from moto.core.models import botocore_stubber

from bench.ledger.deployment import ENVIRONMENT, START_MS
from bench.ledger.dynamodb import REGION, create_tables
from bench.results import Plot, Report, Row
from shared import bootstrap
from shared.adapters.memory import MemoryTransport, fixed_secret
from shared.adapters.tokens import Hs256Tokens

WARM_UP: Final = 20
ROUNDS: Final = 100
DATA: Final = {"text": "x" * 239}  # 250 bytes
EVERY_MS: Final = 500  # well within every rate limit
_SECRET: Final = "a secret of the benchmark's alone, long enough for HS256"
_CAPABILITIES: Final = {"*": ["subscribe", "publish", "history"]}


def run() -> Report:
    """Let publications go their way again and again, and take the time of each function on it."""
    with _deployment() as deployment:
        rooms = [_Room(deployment, "one", 1), _Room(deployment, "many", 100), _Room(deployment, "batch", 0)]
        one, many, batch = rooms
        for number in range(WARM_UP + ROUNDS):
            if number == WARM_UP:
                deployment.taken.clear()
            one.publish("publish", "worker, 1 record", "fan-out, 1 subscriber")
            many.publish(None, None, "fan-out, 100 subscribers")
            batch.publish(None, "worker, 10 records of a channel", None, count=10)
            one.subscribe("subscribe")
        taken = {name: deployment.taken[name] for name in sorted(deployment.taken)}
    rows = [_row(name, ones) for name, ones in taken.items()]
    return Report(
        name="handlers",
        title="CPU of handlers, milliseconds",
        setting=f"Median of {ROUNDS} events each, taking turns in one process; data of 250 bytes; without the pushing",
        rows=rows,
        plot=Plot(
            "bars",
            "event",
            "CPU, ms",
            {name: {row.name: row.values[name] for row in rows} for name in ("with botocore", "ours")},
        ),
    )


@dataclass(frozen=True, slots=True)
class _Taken:
    """CPU seconds of one invocation, and how often it has called AWS."""

    ours_s: float
    with_botocore_s: float
    calls: int


def _row(name: str, ones: Sequence[_Taken]) -> Row:
    ours, with_botocore = (
        statistics.median(getattr(one, part) for one in ones) for part in ("ours_s", "with_botocore_s")
    )
    calls = statistics.median(one.calls for one in ones)
    return Row(name, {"ours": ours * 1000, "with botocore": with_botocore * 1000, "calls of AWS": calls})


class _Meter:
    """How much of the CPU is botocore's, and how much that of who answers in AWS's place. Of all threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._begun = threading.local()
        self.botocore_s = self.answering_s = 0.0
        self.calls = 0

    def begin(self, **_event: Any) -> None:
        """Note when a call begins."""
        self._begun.at_s = time.thread_time()

    def end(self, **_event: Any) -> None:
        """Note that it has ended."""
        with self._lock:
            self.botocore_s += time.thread_time() - self._begun.at_s
            self.calls += 1

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Note that somebody else is at work."""
        begun_s = time.thread_time()
        yield
        with self._lock:
            self.answering_s += time.thread_time() - begun_s


@dataclass
class _Deployment:
    """The handlers, with moto behind botocore; what SQS and EventBridge are sent is kept."""

    meter: _Meter = field(default_factory=_Meter)
    taken: dict[str, list[_Taken]] = field(default_factory=dict)
    sent: list[dict[str, Any]] = field(default_factory=list)
    transport: MemoryTransport = field(default_factory=MemoryTransport)
    clock_ms: int = START_MS

    def invoke(self, function: str, event: Any, name: str | None) -> Any:
        """Invoke a function; note what it has taken under a name, if there is one."""
        handler = import_module(f"functions.{function}.handler").lambda_handler
        meter, before = self.meter, (self.meter.botocore_s, self.meter.answering_s, self.meter.calls)
        with redirect_stdout(io.StringIO()):
            begun_s = time.process_time()
            answer = handler(event, _CONTEXT)
            total_s = time.process_time() - begun_s
        if name:
            botocore_s, answering_s = meter.botocore_s - before[0], meter.answering_s - before[1]
            taken = _Taken(total_s - botocore_s, total_s - answering_s, meter.calls - before[2])
            self.taken.setdefault(name, []).append(taken)
        return answer

    def answer(self, request: Any, **_event: Any) -> Any:
        """Answer a request that botocore was about to send."""
        with self.meter.answering():
            operation = request.headers["X-Amz-Target"].decode().partition(".")[2]
            body = json.loads(request.body)
            if operation in _KEPT:
                self.sent += body.get("Entries", [body])
                return AWSResponse(request.url, 200, HTTPHeaders(), MockRawResponse(json.dumps(_KEPT[operation](body))))
            return botocore_stubber("before-send", request)


_KEPT: Final[Mapping[str, Callable[[Any], Any]]] = {
    "SendMessage": lambda _body: {"MessageId": "taken"},
    "SendMessageBatch": lambda body: {"Successful": [{"Id": entry["Id"]} for entry in body["Entries"]]},
    "PutEvents": lambda body: {"FailedEntryCount": 0, "Entries": [{} for _ in body["Entries"]]},
}


class _Room:
    """A channel with so many subscribers, and one who publishes."""

    def __init__(self, deployment: _Deployment, name: str, subscribers: int) -> None:
        self._deployment = deployment
        self._channel = f"room:{name}"
        self._number = 0
        self._publisher = f"{name}-publisher"
        self._connect(self._publisher)
        for number in range(subscribers):
            self._connect(f"{name}-{number}", self._channel)

    def publish(self, publish: str | None, work: str | None, fan_out: str | None, *, count: int = 1) -> None:
        """Have publications go through all functions; note what those take that have a name."""
        self._deployment.clock_ms += EVERY_MS
        messages = [message for _ in range(count) for message in self._sent("ws_message", self._publication(), publish)]
        records = [_record(message, number) for number, message in enumerate(messages)]
        for event in self._sent("publish_worker", {"Records": records}, work):
            self._deployment.invoke("fan_out", {"detail": json.loads(event["Detail"])}, fan_out)

    def subscribe(self, name: str) -> None:
        """Have the publisher subscribe to a channel, and leave it again."""
        channel = f"{self._channel}-{self._number}"
        self._ask({"type": "subscribe", "channel": channel}, name)
        self._ask({"type": "unsubscribe", "channel": channel})

    def _connect(self, name: str, *channels: str) -> None:
        answer = self._deployment.invoke("ws_connect", _event(self._deployment, name, "CONNECT"), None)
        assert answer == {"statusCode": 200}
        token = Hs256Tokens(fixed_secret(_SECRET)).issue(name, _CAPABILITIES, ttl_s=1_000_000_000)
        subscribe = [{"channel": channel} for channel in channels]
        self._ask({"type": "hello", "protocol": 1, "token": token, "subscribe": subscribe}, sender=name)
        self._deployment.transport.inboxes[name] = []

    def _publication(self) -> dict[str, Any]:
        self._number += 1
        frame = {"type": "publish", "channel": self._channel, "name": "said", "data": DATA}
        return self._message({**frame, "message_id": f"m{self._number}"}, self._publisher)

    def _message(self, frame: Mapping[str, Any], sender: str) -> dict[str, Any]:
        body = json.dumps({"id": 1, **frame}, separators=(",", ":"))
        return _event(self._deployment, sender, "MESSAGE") | {"body": body}

    def _ask(self, frame: Mapping[str, Any], name: str | None = None, *, sender: str | None = None) -> None:
        answer = self._deployment.invoke("ws_message", self._message(frame, sender or self._publisher), name)
        assert "result" in json.loads(answer["body"]), answer

    def _sent(self, function: str, event: Any, name: str | None) -> list[dict[str, Any]]:
        """Return what a function has sent."""
        self._deployment.sent.clear()
        answer = self._deployment.invoke(function, event, name)
        assert answer.get("batchItemFailures", []) == [] and "error" not in answer.get("body", ""), answer
        return list(self._deployment.sent)


def _event(deployment: _Deployment, connection_id: str, event_type: str) -> dict[str, Any]:
    context = {"connectionId": connection_id, "eventType": event_type, "requestTimeEpoch": deployment.clock_ms}
    return {"requestContext": context, "headers": {}}


def _record(message: Mapping[str, Any], number: int) -> dict[str, Any]:
    names = ("MessageGroupId", "MessageDeduplicationId")
    attributes = {"ApproximateReceiveCount": "1", **{name: message[name] for name in names}}
    return {
        "messageId": f"record-{number}",
        "receiptHandle": "receipt",
        "body": message["MessageBody"],
        "attributes": attributes,
        "eventSourceARN": f"arn:aws:sqs:{REGION}:000000000000:normal.fifo",
    }


_CONTEXT: Final = SimpleNamespace(
    aws_request_id="bench", memory_limit_in_mb=1024, get_remaining_time_in_millis=lambda: 30_000
)


@contextmanager
def _deployment() -> Iterator[_Deployment]:
    with ExitStack() as stack:
        session_before = boto3.DEFAULT_SESSION
        stack.enter_context(_environment(ENVIRONMENT))
        stack.enter_context(mock_aws())
        create_tables(boto3.client("dynamodb"))
        stack.callback(lambda: setattr(boto3, "DEFAULT_SESSION", session_before))
        boto3.setup_default_session()
        deployment, session = _Deployment(), boto3.DEFAULT_SESSION
        assert session is not None
        events: Any = session.events  # its stubs know of no handler that answers
        events.register_first("provide-client-params", deployment.meter.begin)
        events.register_last("after-call", deployment.meter.end)
        events.unregister("before-send", botocore_stubber)  # moto answers through the next one
        events.register("before-send", deployment.answer)
        bootstrap.services.cache_clear()
        stack.callback(bootstrap.services.cache_clear)
        services = bootstrap.services()
        services.now_ms = lambda: deployment.clock_ms
        services.tokens = Hs256Tokens(fixed_secret(_SECRET))
        services.transport = deployment.transport
        yield deployment


@contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
