"""The worker's records once more: doubled, in other company, and two workers at the same records at the same time.

SQS hands a record out again when a worker was too slow or died; then another one may be at it as well. Order is kept
within a group, as FIFO keeps it; groups are mixed anew.
"""

import asyncio
import json
import random
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from shared.adapters.sqs import SqsLaneQueue
from shared.domain.publication import Priority, Publication
from shared.ports import Lane, LaneMessage
from tests.torture.journal import digest
from tests.torture.watch import REPEATABLE_S, Event, Scene

Record = dict[str, Any]

USER: Final = "torture-worker"
_BATCH_MAX: Final = 10
_LANES: Final[tuple[Lane, ...]] = ("high", "normal", "low")
_GIVE_UP_S: Final = 280


class _Sent:
    """Stands where the SQS client stands, so that records are made by who makes them in the product."""

    def __init__(self) -> None:
        self.messages: list[dict[str, Any]] = []

    def send_message_batch(self, *, Entries: list[Any], **_: Any) -> dict[str, Any]:  # boto3's name
        """See boto3."""
        self.messages += Entries
        return {}


def lane_record(
    channel: str, publication: Publication, lane: Lane, urls: Mapping[Lane, str], *, received: int
) -> Record:
    """Return the record of a publication as the worker gets it from its lane.

    Source: docs.aws.amazon.com/lambda/latest/dg/with-sqs.html
    """
    sent = _Sent()
    queue = SqsLaneQueue(sent, urls)  # type: ignore[arg-type]  # all that it calls
    queue.send(lane, [LaneMessage(channel, publication, retry=False)])
    [message] = sent.messages
    return {
        "messageId": str(uuid.uuid4()),
        "receiptHandle": uuid.uuid4().hex,
        "body": message["MessageBody"],
        "attributes": {
            "ApproximateReceiveCount": str(received),
            "SentTimestamp": str(publication.published_at_ms),
            "MessageGroupId": message["MessageGroupId"],
            "MessageDeduplicationId": message["MessageDeduplicationId"],
        },
        "messageAttributes": {},
        "eventSource": "aws:sqs",
        "eventSourceARN": f"arn:aws:sqs:us-east-1:000000000000:{urls[lane].rpartition('/')[2]}",
        "awsRegion": "us-east-1",
    }


def mixed(groups: Sequence[Sequence[Record]], dice: random.Random) -> list[Record]:
    """Return the records of all groups: each group in its order, the groups in no order."""
    turns = [index for index, group in enumerate(groups) for _ in group]
    dice.shuffle(turns)
    rests = [iter(group) for group in groups]
    return [next(rests[index]) for index in turns]


class WorkerRecords:
    """Invokes the worker as its lanes do.

    Attributes:
        invocations: How many there were.
        again: Records of publications that were stored before.
    """

    def __init__(self, function: str, lanes: Mapping[Lane, str], channels: Sequence[str], scene: Scene) -> None:
        self.invocations = self.again = self.published = 0
        self._function, self._lanes, self._channels = function, lanes, channels
        self._journal, self._watch = scene.journal, scene.watch
        self._dice = random.Random(f"{scene.seed} worker records")
        config = Config(read_timeout=30, retries={"total_max_attempts": 1})
        self._client = boto3.client("lambda", config=config)
        self._stopping = asyncio.Event()

    def stop(self) -> None:
        """Begin nothing new: :meth:`run` returns when all is written down."""
        self._stopping.set()

    async def run(self, publications_each: int) -> None:
        """Go on until stopped: once for so many publications."""
        number = 0
        stopping = asyncio.create_task(self._stopping.wait())
        while not stopping.done():
            await self.repeat_old()
            number = await self.publish_twice(number)
            pause = asyncio.create_task(self._watch.settled_more(self._dice.randint(1, 2 * publications_each)))
            await asyncio.wait([stopping, pause], return_when=asyncio.FIRST_COMPLETED)
            pause.cancel()

    async def repeat_old(self) -> None:
        """Hand the worker publications that are stored: up to three groups, some records doubled, by one lane."""
        lane = self._dice.choice(_LANES)
        since_ms = _now_ms() - REPEATABLE_S * 1000
        old = [e for e in self._watch.recent if e["priority"] == lane and e["published_at_ms"] > since_ms]
        chosen = self._dice.sample(old, min(len(old), self._dice.randint(1, 8)))
        groups: dict[str, list[Record]] = {}
        for event in sorted(chosen, key=lambda event: int(event["offset"])):
            record = lane_record(
                event["channel"], _publication(event), lane, self._lanes, received=self._dice.randint(1, 3)
            )
            groups.setdefault(event["channel"], []).extend([record] * self._dice.randint(1, 2))
        records = mixed(list(groups.values()), self._dice)[:_BATCH_MAX]
        if records:
            self.again += len(records)
            await self._invoke(records)

    async def publish_twice(self, number: int) -> int:
        """Publish a few by two workers at a time, the second with all that the first has; return the next number."""
        channel, lane = self._dice.choice(self._channels), self._dice.choice(_LANES)
        sent_at_ms = _now_ms()
        publications = [
            Publication(f"{number + index}", "said", None, USER, None, lane, sent_at_ms)
            for index in range(self._dice.randint(1, 6))
        ]
        first, again = (
            [lane_record(channel, publication, lane, self._lanes, received=received) for publication in publications]
            for received in (1, 2)
        )
        some = self._dice.randint(1, len(first))
        await asyncio.gather(self._invoke(first[:some]), self._after(self._dice.uniform(0, 0.1), again))
        failed = await self._invoke(again)
        while failed and _now_ms() - sent_at_ms < _GIVE_UP_S * 1000:
            # The queue keeps what failed and what stands behind it, and hands it out again.
            failed = await self._after(1, [record for record in again if record["messageId"] in failed])
        for publication, record in zip(publications, again, strict=True):
            self._write(channel, publication, sent_at_ms, acknowledged=record["messageId"] not in failed)
        self.published += len(publications)
        return number + len(publications)

    async def _after(self, delay_s: float, records: Sequence[Record]) -> set[str]:
        await asyncio.sleep(delay_s)
        return await self._invoke(records)

    async def _invoke(self, records: Sequence[Record]) -> set[str]:
        """Return the ids of the records that the worker hands back."""
        self.invocations += 1
        return await asyncio.to_thread(self._invoke_now, records)

    def _invoke_now(self, records: Sequence[Record]) -> set[str]:
        try:
            answer = self._client.invoke(FunctionName=self._function, Payload=json.dumps({"Records": list(records)}))
            result = json.loads(answer["Payload"].read())
        except (BotoCoreError, ClientError, ValueError):
            return {record["messageId"] for record in records}
        if "FunctionError" in answer:
            return {record["messageId"] for record in records}
        return {failure["itemIdentifier"] for failure in result["batchItemFailures"]}

    def _write(self, channel: str, publication: Publication, sent_at_ms: int, *, acknowledged: bool) -> None:
        self._journal.write(
            "published",
            channel=channel,
            user=publication.user_id,
            message_id=publication.message_id,
            priority=publication.priority,
            digest=digest(publication.data),
            acknowledged=acknowledged,
            position=None,
            sent_at_ms=sent_at_ms,
            batch=0,  # handed to two workers at a time, which no lane does: their order is anybody's guess
            index=0,
            acknowledged_at_ms=_now_ms() if acknowledged else None,
        )
        self._watch.was_settled(channel, USER, publication.message_id, acknowledged=acknowledged)


def _publication(event: Event) -> Publication:
    priority: Priority = event["priority"]
    return Publication(
        message_id=event["message_id"],
        name=event["name"],
        data=event["data"],
        user_id=event["sender"]["user_id"],
        connection_id=event["sender"]["connection_id"],
        priority=priority,
        published_at_ms=event["published_at_ms"],
    )


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
