"""What of a workload is billed, in units of the bill."""

from collections import defaultdict
from math import ceil, exp
from typing import Final

from tidewire.cli.cost.tables import SERVER, STEPS, STEPS_DATA_BYTES, SUBSCRIBER_BYTES, segment_bytes, size_bytes
from tidewire.cli.cost.workload import Workload, between

# Lambda's own three lines of an invocation have 260 bytes on the local stack, and name the trace on AWS; what ours
# write of metrics has 400 to 650.
LOG_BYTES: Final = 1_000
# The default rule records the first of each second and 5 % of the rest:
# docs.aws.amazon.com/xray/latest/devguide/xray-console-sampling.html
TRACED: Final = 0.05
_REPLY_BYTES: Final = 110  # to a publish or a sync
_KB: Final = 1024
_GB: Final = 1024**3
_END_READ_UNITS: Final = STEPS["batch_quiet"]["DynamoDbReadUnits"] - STEPS["batch"]["DynamoDbReadUnits"]
_READ_BYTES: Final = 4 * _KB  # docs/data-model.md
_CHUNK_BYTES: Final = 64 * _KB  # aws.amazon.com/sqs/pricing, aws.amazon.com/eventbridge/pricing


def happenings(workload: Workload) -> dict[str, float]:
    """Return how often each step of the ledger happens in the month."""
    counts = {
        "connect": workload.connects,
        "disconnect": workload.connects,
        "subscribe": workload.connects * max(0.0, workload.subscriptions - 1),
        "connection_check": workload.connections * workload.seconds / SERVER.check_after_s,
        "idle_minute": workload.hours * 60,
        "sync": workload.syncs,
        "delivery": workload.batches * workload.subscribers * _messages(workload),
    }
    if workload.in_lanes:
        counts["publish_request" if workload.by == "websocket" else "publish_http"] = workload.publications
        counts["batch"] = workload.batches
    else:
        counts[f"{workload.priority}_request"] = workload.publications
    return counts


def quantities(workload: Workload) -> dict[str, float]:
    """Return how much of everything that has a price is used in the month, by metric."""
    total: defaultdict[str, float] = defaultdict(float)
    counts = happenings(workload)
    for step, count in counts.items():
        for metric, units in STEPS[step].items():
            total[metric] += count * units
    _add_sizes(total, workload)
    _add_subscribers(total, workload)
    total["DynamoDbWriteUnits"] += counts["subscribe"]  # each is deleted when the connection ends
    # The end of each channel that is asked about is read.
    total["DynamoDbReadUnits"] += workload.heartbeats * max(0.0, workload.subscriptions - 1)
    if workload.by == "http" and not workload.in_lanes:  # a call stands where a frame and its reply stand
        total["WebSocketMessages"] -= 2 * workload.publications
        total["HttpApiRequests"] += workload.publications
    total["WebSocketConnectionMinutes"] += workload.minutes
    total["LambdaGbSeconds"] += total["LambdaRequests"] * workload.lambda_ms / 1000 * SERVER.memory_mb / 1024
    total["LambdaGbSeconds"] += workload.batches * workload.held_s * SERVER.memory_mb / 1024
    total["DataTransferGb"] += _sent_bytes(workload, counts) / _GB
    total["LogGb"] += total["LambdaRequests"] * LOG_BYTES / _GB
    total["Traces"] += total["LambdaRequests"] * TRACED
    total["CustomMetrics"] += SERVER.metrics
    total["Secrets"] += 1
    return dict(total)


def _add_sizes(total: defaultdict[str, float], workload: Workload) -> None:
    """What other sizes than the ledger's make of log, lane and event: more publications, other data, a shorter ring."""
    measured = ceil(size_bytes("segment", 1, STEPS_DATA_BYTES) / _KB)
    for publications, share in between(workload.together):
        batches = workload.batches * share
        if workload.priority != "ephemeral":
            segment = segment_bytes(publications, workload.message_bytes, workload.rate_per_s)
            total["DynamoDbWriteUnits"] += batches * (ceil(segment / _KB) - measured)
            # Of publications at random so many come when the worker has forgotten where the log ends.
            forgotten = exp(-workload.rate_per_s * SERVER.end_trust_s)
            total["DynamoDbReadUnits"] += batches * forgotten * _END_READ_UNITS
        event = size_bytes("event", publications, workload.message_bytes)
        total["EventBridgeEvents"] += batches * (ceil(event / _CHUNK_BYTES) - 1)
        if workload.in_lanes:
            waiting = size_bytes("lane", publications, workload.message_bytes)
            total["SqsFifoRequests"] += batches * (ceil(waiting / _CHUNK_BYTES) - 1)


def _add_subscribers(total: defaultdict[str, float], workload: Workload) -> None:
    """What many subscribers take: they are read in more pages, and pushed to by more functions, for longer."""
    shards = workload.shards
    reads = shards * ceil(workload.subscribers / shards * SUBSCRIBER_BYTES / _READ_BYTES)
    total["DynamoDbReadUnits"] += workload.batches * (reads - 1)
    if workload.priority == "express" and workload.subscribers > SERVER.express_max_subscribers:
        total["LambdaRequests"] += workload.batches  # they are left to fan_out
    # Each shard but the first is a task of its own: sent, handed to a function, deleted.
    total["SqsRequests"] += workload.batches * 3 * (shards - 1)
    total["LambdaRequests"] += workload.batches * (shards - 1)
    pushing_s = workload.subscribers * _messages(workload) / SERVER.pushes_per_s
    longer_s = max(0.0, pushing_s - shards * workload.lambda_ms / 1000)
    total["LambdaGbSeconds"] += workload.batches * longer_s * SERVER.memory_mb / 1024


def _messages(workload: Workload) -> float:
    """Return in how many messages a batch comes to a subscriber."""
    return sum(
        share * ceil(size_bytes("push", publications, workload.message_bytes) / SERVER.frame_max_bytes)
        for publications, share in between(workload.together)
    )


def _sent_bytes(workload: Workload, counts: dict[str, float]) -> float:
    """Return what goes out to the internet: events, and replies. What comes in costs nothing."""
    replies = counts["connect"] + counts["subscribe"] + counts["sync"] + workload.publications
    return workload.deliveries * size_bytes("push", 1, workload.message_bytes) + replies * _REPLY_BYTES
