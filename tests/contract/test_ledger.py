"""What AWS bills, written down: whoever makes something dearer or cheaper changes a figure here.

Publications have 250 bytes, and are followed from the frame to the last handler, without deliveries; each of those is
one more WebSocket message.
"""

from collections.abc import Iterator, Sequence
from typing import Final

import pytest

from bench.ledger.deployment import Deployment, Taken, deployed
from bench.ledger.steps import Room, connections, saturated

METRICS: Final = (
    "WebSocketMessages",
    "LambdaRequests",
    "SqsFifoRequests",
    "EventBridgeEvents",
    "DynamoDbReadUnits",
    "DynamoDbWriteUnits",
)
#                     messages  Lambda  FIFO  events  read  write
SINGLE: Final = {
    "normal":        (2,        3,      3,    1,      2,    2),
    "express":       (2,        1,      0,    1,      2,    2),
    "ephemeral":     (2,        2,      0,    1,      2,    0),
}  # fmt: skip
# From the lane on, so many together:
BATCHES: Final = {
    1:               (0,        2,      2,    1,      1,    2),
    3:               (0,        2,      2,    1,      1,    2),
    4:               (0,        2,      2,    1,      1,    3),
    7:               (0,        2,      2,    1,      1,    4),
    10:              (0,        2,      2,    1,      1,    5),
}  # fmt: skip
# After 6 quiet minutes, from the lane on: the worker has forgotten where the log ends, and the item is smaller.
QUIET: Final =          (0,     2,      2,    1,      3,    1)  # fmt: skip
# Ten in one frame, and then each of 100 a second, which come to the worker by ten:
TEN_IN_A_FRAME: Final = (2,     3,      3,    1,      2,    5)  # fmt: skip
SATURATED: Final =      (2,     1.2,    1.2,  0.1,    1.1,   0.506)  # fmt: skip

# A connection's life, DynamoDB alone:
#                     read  write
CONNECTION: Final = {
    "connect":          (9, 8),
    "subscribe":        (3, 2),
    "unsubscribe":      (2, 2),
    "disconnect":       (5, 5),
    "connection_check": (1, 1),
    "closed_check":     (5, 0),
    "idle_minute":      (3, 1),
}  # fmt: skip


@pytest.fixture(scope="module")
def deployment() -> Iterator[Deployment]:
    with deployed() as made:
        yield made


@pytest.fixture
def room(deployment: Deployment) -> Room:
    return Room(deployment)


def figures(taken: Taken, metrics: Sequence[str] = METRICS) -> tuple[float, ...]:
    return tuple(round(taken.units.get(metric, 0), 3) for metric in metrics)


@pytest.mark.parametrize("way", SINGLE)
def test_one_publication(deployment: Deployment, way: str) -> None:
    taken = Room(deployment, way).single()
    assert figures(taken) == SINGLE[way]
    assert taken.units.keys() <= {*METRICS}, "nothing else is billed"


@pytest.mark.parametrize("count", BATCHES)
def test_several_of_one_channel_that_wait_together(room: Room, count: int) -> None:
    assert figures(room.batch(count)) == BATCHES[count]


def test_one_after_a_quiet_time(deployment: Deployment) -> None:
    assert figures(Room(deployment).quiet()) == QUIET


def test_ten_in_one_frame(room: Room) -> None:
    publish = lambda: room.publishers[0].publish(room.channel, 10)  # noqa: E731  # used once
    assert figures(room.deployment.measure(publish, room.deployment.settle)) == TEN_IN_A_FRAME


def test_each_of_a_hundred_a_second(deployment: Deployment) -> None:
    assert figures(saturated(deployment)) == SATURATED


def test_a_connection(deployment: Deployment) -> None:
    lived = connections(deployment, Room(deployment))
    reads_and_writes = {name: figures(step.taken, METRICS[-2:]) for name, step in lived.items()}
    assert reads_and_writes == CONNECTION


def test_a_delivery_is_one_message(deployment: Deployment) -> None:
    room = Room(deployment, "express")
    room.need(subscribers=3)
    assert figures(room.single()) == (2 + 3, *SINGLE["express"][1:])
