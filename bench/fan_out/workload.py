"""What is pushed, to whom, and how that is timed: the same for everybody who pushes."""

import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

# An event of 500 bytes.
FRAME: Final[dict[str, Any]] = {
    "type": "event",
    "channel": "room:lobby",
    "name": "said",
    "data": {"text": "x" * 288},
    "sender": {"user_id": "ann", "connection_id": "L0SM9cOFIAMCJqQ="},
    "message_id": "01J9Z6V7Q2M3N4P5R6S7T8V9WX",
    "published_at_ms": 1_800_000_000_000,
    "epoch": "1.01J9Z6V7Q2",
    "offset": 123_456,
}
MESSAGE: Final = json.dumps(FRAME, separators=(",", ":")).encode()
REGION: Final = "us-east-1"
TOKEN: Final = "t" * 900  # a function's credentials have one, about this long

PushAll = Callable[[Sequence[str]], None]


def connection_ids(count: int) -> list[str]:
    """Return distinct ids that look like API Gateway's."""
    return [f"L0SM9{number:010}=" for number in range(count)]


def main(clients: Mapping[str, Callable[[str], PushAll]], arguments: Sequence[str]) -> None:
    """Run one client and print what it took, as JSON.

    Args:
        clients: How to make each, for the URL in front of ``/@connections``.
        arguments: Its name, that URL, and for each measurement ``connections:deliveries``: the connections of one call,
            and how many deliveries to make in all.
    """
    name, url, *measurements = arguments
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    push_all = clients[name](url)
    push_all(connection_ids(10))  # imports, sockets and signing keys are there when it begins
    print(json.dumps([_measure(push_all, *map(int, one.split(":"))) for one in measurements]))
    sys.stdout.flush()
    os._exit(0)  # some of them have threads that do not end


def _measure(push_all: PushAll, connections: int, deliveries: int) -> dict[str, float]:
    ids = connection_ids(connections)[:deliveries]
    calls = max(1, deliveries // len(ids))
    push_all(ids)
    gc.collect()
    began_s, cpu_s = time.perf_counter(), time.process_time()
    for _ in range(calls):
        push_all(ids)
    return {
        "deliveries": calls * len(ids),
        "seconds": time.perf_counter() - began_s,
        "cpu_seconds": time.process_time() - cpu_s,
    }
