"""Counts what AWS bills, where it is called and where it calls. What each costs: shared/domain/prices.py."""

import math
from typing import Any, Final

from shared.ports import Metrics

# aws.amazon.com/sqs/pricing and aws.amazon.com/eventbridge/pricing: each 64 KB of what is sent is one more.
_CHUNK_BYTES: Final = 64 * 1024
# aws.amazon.com/api-gateway/pricing: each 32 KB of a WebSocket's message, each 512 KB of an HTTP API's call.
_WEBSOCKET_CHUNK_BYTES: Final = 32 * 1024
_HTTP_CHUNK_BYTES: Final = 512 * 1024
_READS: Final = frozenset({"GetItem", "BatchGetItem", "Query"})


def metered(client: Any, metrics: Metrics) -> Any:
    """Count what the calls of a boto3 client will be billed for, and return the client.

    Hooks into botocore's own events, as :func:`shared.adapters.aws.guarded` does.
    """
    events = client.meta.events
    match client.meta.service_model.service_name:
        case "dynamodb":
            events.register("before-parameter-build", _ask_for_units)
            events.register("after-call", lambda **event: _count_units(metrics, **event))
        case "sqs":
            events.register("before-parameter-build", lambda params, **_event: _count_requests(metrics, params))
        case "events":
            events.register("before-parameter-build", lambda params, **_event: _count_events(metrics, params))
        case service:
            raise ValueError(f"nobody knows what {service} is billed for")
    return client


def _ask_for_units(params: dict[str, Any], **_event: Any) -> None:
    params["ReturnConsumedCapacity"] = "TOTAL"


def _count_units(metrics: Metrics, *, parsed: dict[str, Any], model: Any, **_event: Any) -> None:
    consumed = parsed.get("ConsumedCapacity")  # missing in errors, though a refused write is billed as well
    if consumed is None:
        return
    # Of several items, or tables, it is a list.
    units = sum(one["CapacityUnits"] for one in (consumed if isinstance(consumed, list) else [consumed]))
    metrics.billed("DynamoDbReadUnits" if model.name in _READS else "DynamoDbWriteUnits", units)


def _count_requests(metrics: Metrics, params: dict[str, Any]) -> None:
    entries = params.get("Entries", [params])
    sent_bytes = sum(len(entry.get("MessageBody", "").encode()) for entry in entries)
    _count_sqs(metrics, params["QueueUrl"], _chunks(sent_bytes, _CHUNK_BYTES))


def _count_sqs(metrics: Metrics, queue: str, requests: int) -> None:
    metrics.billed("SqsFifoRequests" if queue.endswith(".fifo") else "SqsRequests", requests)


def _count_events(metrics: Metrics, params: dict[str, Any]) -> None:
    sizes = (len(entry["Detail"].encode()) for entry in params["Entries"])
    metrics.billed("EventBridgeEvents", sum(_chunks(size, _CHUNK_BYTES) for size in sizes))


def invoked(metrics: Metrics, event: Any, answer: Any, duration_s: float, memory_mb: int) -> None:
    """Count what an invocation is billed for, its own and that of what has invoked it.

    Args:
        metrics: Where it is counted.
        event: What the handler was given: of a queue, a WebSocket, an HTTP API, or of something that costs nothing.
        answer: What it has returned, ``None`` if nothing.
        duration_s: How long it took. What came before the handler is not known here.
        memory_mb: What the function has.
    """
    metrics.billed("LambdaRequests", 1)
    # By the millisecond, rounded up: aws.amazon.com/lambda/pricing
    metrics.billed("LambdaGbSeconds", math.ceil(duration_s * 1000) / 1000 * memory_mb / 1024)
    if not isinstance(event, dict):
        return
    for queue, received_bytes in _received(event).items():
        # Lambda receives a batch by one call and deletes it by another, and both are ours to pay:
        # docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
        _count_sqs(metrics, queue, _chunks(received_bytes, _CHUNK_BYTES) + 1)
    context = event.get("requestContext", {})
    sent, returned = _length(event), _length(answer)
    if context.get("eventType") == "MESSAGE":
        metrics.billed("WebSocketMessages", _chunks(sent, _WEBSOCKET_CHUNK_BYTES) + (returned > 0))
    elif "http" in context:
        metrics.billed("HttpApiRequests", _chunks(max(sent, returned), _HTTP_CHUNK_BYTES))


def _received(event: dict[str, Any]) -> dict[str, int]:
    """Return how many bytes came from which queue: a batch is of one."""
    received: dict[str, int] = {}
    for record in event.get("Records", ()):
        queue = record.get("eventSourceARN", "")
        received[queue] = received.get(queue, 0) + len(record["body"].encode())
    return received


def _length(message: Any) -> int:
    return len((message.get("body") or "").encode()) if isinstance(message, dict) else 0


def _chunks(size_bytes: int, chunk_bytes: int) -> int:
    return max(1, -(-size_bytes // chunk_bytes))
