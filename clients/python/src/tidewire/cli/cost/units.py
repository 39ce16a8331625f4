"""What of a workload is billed, in units of the bill."""

from collections import Counter
from math import ceil
from typing import Final

from tidewire.cli.cost.tables import SERVER, STEPS
from tidewire.cli.cost.workload import Workload, between

# Where the units of STEPS were measured: bench/ledger/steps.py.
_MEASURED_BYTES: Final = 250
# Of the log's items, docs/data-model.md: a segment's own bytes, and those around each publication's data.
_SEGMENT_BYTES: Final = 765
_RECORD_BYTES: Final = 103
_SUBSCRIBERS_PER_READ: Final = 70
# An event frame beside its data: channel, ids, sender, position (docs/protocol.md 2.2). Made up of what is usual.
_EVENT_BYTES: Final = 290
_REPLY_BYTES: Final = 110
_KB: Final = 1024
_GB: Final = 1024**3
_CHUNK_BYTES: Final = 64 * 1024  # aws.amazon.com/sqs/pricing, aws.amazon.com/eventbridge/pricing
# On the local stack an invocation writes 400 to 650 bytes of metrics, and Lambda's own three lines have 260; on AWS
# they name the trace as well.
LOG_BYTES: Final = 1_000
# The default rule records the first of each second and 5 % of the rest:
# docs.aws.amazon.com/xray/latest/devguide/xray-console-sampling.html
TRACED: Final = 0.05


def happenings(workload: Workload) -> dict[str, float]:
    """Return how often each step happens in the month."""
    batches = workload.publications / workload.together
    counts = {
        "connect": workload.connects,
        "disconnect": workload.connects,
        "subscribe": workload.connects * max(0.0, workload.subscriptions - 1),
        "connection_check": workload.connections * workload.seconds / SERVER.check_after_s,
        "idle_minute": workload.hours * 60,
        "sync": workload.syncs,
        "delivery": batches * workload.subscribers * _messages(workload),
    }
    if workload.priority in ("express", "ephemeral"):
        counts[f"{workload.priority}_request"] = workload.publications
    else:
        counts["publish_request" if workload.by == "websocket" else "publish_http"] = workload.publications
        counts |= {f"batch_{size}": batches * share for size, share in between(workload.together)}
    return counts


def quantities(workload: Workload) -> dict[str, float]:
    """Return how much of everything that has a price is used in the month, by metric."""
    total: Counter[str] = Counter()
    counts = happenings(workload)
    for step, count in counts.items():
        for metric, units in STEPS[step].items():
            total[metric] += count * units
    _add_by_http(total, workload)
    _add_large(total, workload)
    _add_many(total, workload)
    total["WebSocketConnectionMinutes"] += workload.minutes
    total["LambdaGbSeconds"] += total["LambdaRequests"] * workload.lambda_ms / 1000 * SERVER.memory_mb / 1024
    total["DataTransferGb"] += _sent_bytes(workload, counts) / _GB
    total["LogGb"] += total["LambdaRequests"] * LOG_BYTES / _GB
    total["Traces"] += total["LambdaRequests"] * TRACED
    total["CustomMetrics"] += SERVER.metrics
    total["Secrets"] += 1
    return dict(total)


def _add_by_http(total: Counter[str], workload: Workload) -> None:
    """A call of the HTTP API stands where a frame and its reply stand."""
    if workload.by == "http" and workload.priority in ("express", "ephemeral"):
        total["WebSocketMessages"] -= 2 * workload.publications
        total["HttpApiRequests"] += workload.publications


def _add_large(total: Counter[str], workload: Workload) -> None:
    """What data of another size than was measured takes more, or less, in the log, the lane and the event."""
    batches = workload.publications / workload.together
    for size, share in between(workload.together):
        stored, measured = (
            ceil((_SEGMENT_BYTES + size * (_RECORD_BYTES + data)) / _KB)
            for data in (workload.message_bytes, _MEASURED_BYTES)
        )
        chunks = ceil(size * (_EVENT_BYTES + workload.message_bytes) / _CHUNK_BYTES) - 1
        if workload.priority != "ephemeral":
            total["DynamoDbWriteUnits"] += batches * share * (stored - measured)
        if workload.priority != "express":
            total["EventBridgeEvents"] += batches * share * chunks
        if workload.priority not in ("express", "ephemeral"):
            total["SqsFifoRequests"] += batches * share * chunks


def _add_many(total: Counter[str], workload: Workload) -> None:
    """What many subscribers take: they are found by more reads, and pushed to by more functions, for longer."""
    batches = workload.publications / workload.together
    total["DynamoDbReadUnits"] += batches * max(0, ceil(workload.subscribers / _SUBSCRIBERS_PER_READ) - 1)
    if workload.priority == "express" and workload.subscribers > SERVER.express_max_subscribers:
        total["EventBridgeEvents"] += batches
        total["LambdaRequests"] += batches
    others = workload.shards - 1
    # Each is a task of its own: sent, handed to a function, deleted.
    total["SqsRequests"] += batches * 3 * others
    total["LambdaRequests"] += batches * others
    pushing_s = workload.subscribers * _messages(workload) / SERVER.pushes_per_s
    longer_s = max(0.0, pushing_s - workload.shards * workload.lambda_ms / 1000)
    total["LambdaGbSeconds"] += batches * longer_s * SERVER.memory_mb / 1024


def _messages(workload: Workload) -> float:
    """Return in how many messages a batch comes to a subscriber."""
    return max(1.0, workload.together * (_EVENT_BYTES + workload.message_bytes) / SERVER.frame_max_bytes)


def _sent_bytes(workload: Workload, counts: dict[str, float]) -> float:
    """Return what goes out to the internet: events, and replies. What comes in costs nothing."""
    replies = sum(counts[step] for step in ("connect", "subscribe", "sync")) + workload.publications
    return workload.deliveries * (_EVENT_BYTES + workload.message_bytes) + replies * _REPLY_BYTES
