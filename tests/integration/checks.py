"""What several tests check: streams without holes, and states of the world that come about."""

import asyncio
import datetime
import inspect
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, Final, Literal, TypeVar, overload

import boto3

from localstack.stack import LocalStack
from shared.adapters.dynamodb_streams import DynamoDbStreamStore
from shared.contract import ENV_STREAMS_TABLE, METRICS_NAMESPACE, OUTPUT_TABLE_NAMES, SERVICE_NAME
from tests.integration.client import DEADLINE_S, Client, Frame

T = TypeVar("T")

_POLL_S: Final = 0.05


@overload
async def eventually(condition: Callable[[], Awaitable[T]], *, deadline_s: float = DEADLINE_S) -> T: ...
@overload
async def eventually(condition: Callable[[], T], *, deadline_s: float = DEADLINE_S) -> T: ...
async def eventually(condition: Callable[[], Any], *, deadline_s: float = DEADLINE_S) -> Any:
    """Return what ``condition`` gives as soon as that is true: for what tells nobody when it changes.

    Raises:
        TimeoutError: It never was.
    """
    async with asyncio.timeout(deadline_s):
        while True:
            value = condition()
            if inspect.isawaitable(value):
                value = await value
            if value:
                return value
            await asyncio.sleep(_POLL_S)


def assert_gapless(publications: Iterable[Mapping[str, Any]], *, first: int = 1) -> None:
    """Check that offsets follow one another, and that each ``prev_offset`` is the last of its priority.

    Of publications from the middle of a stream, the first of each priority has a ``prev_offset`` that can't be known.
    """
    last: dict[str, int] = {}
    for offset, publication in enumerate(publications, first):
        assert publication["offset"] == offset
        priority = publication["priority"]
        if priority in last or first == 1:
            assert publication["prev_offset"] == last.get(priority, 0)
        last[priority] = offset


async def whole_history(client: Client, channel: str, *, limit: int = 100) -> list[Frame]:
    """Read everything that is kept of a channel, page by page."""
    publications: list[Frame] = []
    since: dict[str, Any] = {}
    while True:
        page = await client.ask("history", channel=channel, limit=limit, **since)
        publications += page["publications"]
        if not page["more"]:
            return publications
        since = {"since": {"epoch": page["position"]["epoch"], "offset": publications[-1]["offset"]}}


def segment_sizes(stack: LocalStack, channel: str) -> list[int]:
    """Return how many publications each segment of a channel's log holds, in order."""
    store = DynamoDbStreamStore(boto3.client("dynamodb"), stack.outputs[OUTPUT_TABLE_NAMES[ENV_STREAMS_TABLE]])
    stream = store.stream(channel)
    return [len(segment.publications) for segment in store.forward(channel, stream.epoch, 1)] if stream else []


def measured(
    name: str, statistic: Literal["Sum", "Minimum", "Maximum"], *, since: datetime.datetime | None = None
) -> list[float]:
    """Return what CloudWatch has of a metric, minute by minute."""
    now = datetime.datetime.now(datetime.UTC)
    answer = boto3.client("cloudwatch").get_metric_statistics(
        Namespace=METRICS_NAMESPACE,
        MetricName=name,
        Dimensions=[{"Name": "service", "Value": SERVICE_NAME}],
        StartTime=since or now - datetime.timedelta(hours=1),
        EndTime=now + datetime.timedelta(minutes=1),
        Period=60,
        Statistics=[statistic],
    )
    return [point[statistic] for point in answer["Datapoints"]]


async def next_second() -> datetime.datetime:
    """Return when the second that has just begun began: what is measured from now on bears no earlier time.

    Measured values have whole seconds: of a time within a second, the values of its rest lie before it.
    """
    begins = datetime.datetime.now(datetime.UTC).replace(microsecond=0) + datetime.timedelta(seconds=1)
    await eventually(lambda: datetime.datetime.now(datetime.UTC) >= begins)
    return begins


def total(name: str) -> float:
    """Return the sum of a metric since ever."""
    return sum(measured(name, "Sum"))


class Tables:
    """Reads whole tables, which only tests may."""

    def __init__(self, stack: LocalStack) -> None:
        self._client = boto3.client("dynamodb")
        self._names = [stack.outputs[output] for output in OUTPUT_TABLE_NAMES.values()]

    def items(self) -> list[dict[str, Any]]:
        """Return every item of every table, in some order that stays."""
        pages = (page for name in self._names for page in self._client.get_paginator("scan").paginate(TableName=name))
        return sorted((item for page in pages for item in page["Items"]), key=repr)

    def all_keys(self) -> set[tuple[str, str]]:
        """Return the keys of every item."""
        return {(item["pk"]["S"], next(iter(item["sk"].values()))) for item in self.items()}
