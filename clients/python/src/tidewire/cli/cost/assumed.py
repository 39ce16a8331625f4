"""What stands behind the figures, in words."""

from typing import Final

from tidewire.cli.cost.others import READ_ON
from tidewire.cli.cost.tables import PRICED_ON, REGION, SERVER
from tidewire.cli.cost.units import LOG_BYTES, TRACED, happenings
from tidewire.cli.cost.workload import Workload
from tidewire.receiver import QUIET_MAX_MS, QUIET_MS

# docs.aws.amazon.com/apigateway/latest/developerguide/limits.html: of an account, in a region; more on request.
_REQUESTS_PER_S: Final = 10_000
_NOT_COUNTED: Final = (
    "presence, documents, commands, history and recovery; what is tried again; how functions start; empty polls of"
    " queues; what DynamoDB keeps; what is around the data on its way (TLS, TCP)"
)


def assumptions(workload: Workload) -> list[str]:
    """Return what was assumed, and what was left out."""
    return [
        f"list prices of {REGION} on {PRICED_ON}, of the others as read on {READ_ON}; sources in docs/cost.md",
        f"channels: {workload.channels:,}, with {workload.rate_per_s:.3g} publications a second each, of which"
        f" {workload.together:.3g} go together; a connection hears {workload.subscriptions:.3g} of them",
        f"connections of {min(workload.connection_minutes, SERVER.connection_max_age_s / 60):g} minutes:"
        f" {workload.connects:,.0f} connects, and as many ends",
        f"clients ask for what they miss every {SERVER.heartbeat_s} s, and when nothing came for {QUIET_MS / 1000:g},"
        f" later {QUIET_MAX_MS / 1000:g} s: {workload.syncs:,.0f} times, where publications come at random",
        f"an invocation takes {workload.lambda_ms:g} ms of {SERVER.memory_mb:,} MB and logs {LOG_BYTES:,} bytes;"
        f" {TRACED:.0%} are traced"
        + (f"; a worker stays {workload.held_s * 1000:g} ms longer for fuller batches" if workload.held_s else ""),
        "averages are peaks: whoever sells plans wants one for the peak",
        f"not counted: {_NOT_COUNTED}",
        *_quota(workload),
    ]


def _quota(workload: Workload) -> list[str]:
    counts = happenings(workload)
    calls = counts["delivery"] + counts["sync"] + counts["connect"] * 2 + workload.publications
    per_s = calls / workload.seconds
    if per_s <= _REQUESTS_PER_S:
        return []
    return [f"AWS raises API Gateway's {_REQUESTS_PER_S:,} requests a second: this is {per_s:,.0f}"]
