"""What a Centrifugo client gets of bursts: gaps, disorder, repeats, as it is and with ``force_positioning``."""

import asyncio
import json
import random
import secrets
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import boto3
import httpx

from bench.order.tally import Tally
from bench.results import NotMeasuredError, Report, Row
from localstack.deploy import ROOT
from localstack.edge.faults import Fault, Operation
from localstack.stack import LocalStack
from shared.adapters.eventbridge import EventBridgeBus
from shared.contract import OUTPUT_EVENT_BUS_NAME
from shared.ports import Broadcast
from tests.integration.client import Client, dev_token
from tests.integration.edited import edited

SUBSCRIBERS: Final = 3
BURSTS: Final = 20
BURST_S: Final = 2.0
WARM_UP: Final = 5  # bursts whose publications are not counted
# Of each burst: so many by each lane, each by a publisher of its own, one after another; and by express.
LANES: Final = ("high", "normal", "low")
OF_A_LANE: Final = 4
EXPRESS: Final = 2
REPEATED_ONE_IN: Final = 10
REPEATED_AFTER_S: Final = 0.7
_SETTLED_S: Final = 15.0
_ONE_IN: Final = 30
_TRIES: Final = 20
_OLD: Final = "[namespaces.room]\n"
_NEW: Final = "[namespaces.room]\n[namespaces.exact]\nforce_positioning = true\n"


class GatewayFaults:
    """What API Gateway does to pushes now and then: refuses them, or takes long. Each hits one in so many."""

    def __init__(self) -> None:
        self.on = False
        self.pushes = self.hits = 0
        self._dice = random.Random(7)  # nosec B311 # faults that come again

    def next(self, operation: Operation) -> Fault | None:
        """See :class:`localstack.edge.faults.Faults`."""
        if not self.on or operation != "post":
            return None
        self.pushes += 1
        drawn = self._dice.randrange(_ONE_IN)
        fault = {0: Fault(status=429), 1: Fault(status=500), 2: Fault(delay_s=0.3)}.get(drawn)
        self.hits += fault is not None
        return fault


@dataclass(slots=True)
class _Subscriber:
    """Their client, in a process of its own."""

    process: asyncio.subprocess.Process
    tally: Tally = field(default_factory=Tally)
    told: Counter[str] = field(default_factory=Counter)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    newest: int = 0

    async def read(self) -> None:
        """Take note of what it prints."""
        assert self.process.stdout
        async for line in self.process.stdout:
            match json.loads(line):
                case {"kind": "publication", "offset": offset}:
                    self.newest = max(self.newest, offset)
                    self.tally.add(offset)
                case {"kind": "subscribed", "anew": anew, "offset": offset}:
                    if anew:
                        self.tally.begin_anew(offset)
                    self.ready.set()
                case {"kind": "subscribing", "code": 2500}:
                    self.told["2500"] += 1
                case {"kind": "connecting"}:
                    self.told["connecting"] += 1


def run() -> Report:
    """Measure on a stack of its own, since faults are put between."""
    faults = GatewayFaults()
    with tempfile.TemporaryDirectory() as folder:
        stack = LocalStack(Path(folder), faults=faults, tell=lambda line: print(f"  {line}", flush=True))
        with stack, edited(stack, "ws_message", "channels.toml", _OLD, _NEW):
            rows = [
                asyncio.run(_Run(stack, faults, namespace, faulty).row(f"{name}{', faults' if faulty else ''}"))
                for faulty in (False, True)
                for namespace, name in (("room", "as it is"), ("exact", "`force_positioning`"))
            ]
    return Report(
        name="order",
        title="What Centrifugo's JavaScript client is handed, per 1,000 publications",
        setting=(
            f"{SUBSCRIBERS} subscribers; {BURSTS} bursts, one every {BURST_S:g} s, each of {OF_A_LANE} publications by "
            f"each of three lanes and {EXPRESS} by express, five publishers. Faults: of the pushes one in {_ONE_IN} "
            f"each is answered 429, 500, or 0.3 s late, and one event in {REPEATED_ONE_IN} comes again after "
            f"{REPEATED_AFTER_S:g} s"
        ),
        rows=rows,
    )


@dataclass(slots=True)
class _Run:
    """One row."""

    stack: LocalStack
    faults: GatewayFaults
    namespace: str
    faulty: bool
    sent: int = 0

    async def row(self, name: str) -> Row:
        """Publish, and count."""
        channel = f"{self.namespace}:order-{secrets.token_hex(4)}"
        async with AsyncExitStack() as opened:
            publishers = [await opened.enter_async_context(self._publisher(n)) for n in range(len(LANES) + 2)]
            ours = await Client.open(self.stack.url)
            opened.push_async_callback(ours.close)
            await ours.hello(dev_token(self.stack.url, "ours"))
            await ours.ask("subscribe", channel=channel)
            theirs = [await opened.enter_async_context(self._subscriber(n, channel)) for n in range(SUBSCRIBERS)]
            for _ in range(WARM_UP):
                await self._burst(publishers, channel)
            before = await self._end(ours, channel)
            await self._settled(theirs, before)
            warm = [(one.tally.gaps, one.tally.disordered, one.tally.repeats) for one in theirs]
            self.faults.on = self.faulty
            again = asyncio.create_task(self._repeat(ours, channel)) if self.faulty else None
            async with asyncio.TaskGroup() as group:
                for _ in range(BURSTS):
                    group.create_task(self._burst(publishers, channel))
                    await asyncio.sleep(BURST_S)
            last = await self._end(ours, channel)
            await self._settled(theirs, last)
            if again:
                again.cancel()
            self.faults.on = False
            # The last one makes up for nothing: it shows who hears nothing any more.
            await _publish(publishers[0], channel, "express")
            await self._settled(theirs, last + 1)
            for one, (gaps, disordered, repeats) in zip(theirs, warm, strict=True):
                one.tally.gaps -= gaps
                one.tally.disordered -= disordered
                one.tally.repeats -= repeats
            return _row(name, theirs, last + 1 - before, last + 1)

    @asynccontextmanager
    async def _publisher(self, number: int) -> AsyncIterator[httpx.AsyncClient]:
        token = dev_token(self.stack.url, f"publisher-{number}")
        headers = {"Authorization": f"Bearer {token}"}
        async with httpx.AsyncClient(base_url=self.stack.url, headers=headers, timeout=60) as client:
            yield client

    @asynccontextmanager
    async def _subscriber(self, number: int, channel: str) -> AsyncIterator[_Subscriber]:
        url, token = self.stack.url.replace("http", "ws", 1) + "/v1/ws", dev_token(self.stack.url, f"theirs-{number}")
        line = ["node", str(ROOT / "bench/order/subscriber.mjs"), url, token, channel]
        process = await asyncio.create_subprocess_exec(*line, stdout=asyncio.subprocess.PIPE)
        subscriber = _Subscriber(process)
        reading = asyncio.create_task(subscriber.read())
        try:
            async with asyncio.timeout(60):
                await subscriber.ready.wait()
            yield subscriber
        finally:
            process.terminate()
            await process.wait()
            await reading

    async def _burst(self, publishers: Sequence[httpx.AsyncClient], channel: str) -> None:
        async def one_after_another(publisher: httpx.AsyncClient, priority: str, count: int) -> None:
            for _ in range(count):
                await _publish(publisher, channel, priority)
                self.sent += 1

        async with asyncio.TaskGroup() as group:
            for publisher, lane in zip(publishers, LANES, strict=False):
                group.create_task(one_after_another(publisher, lane, OF_A_LANE))
            for publisher in publishers[len(LANES) :]:
                group.create_task(one_after_another(publisher, "express", EXPRESS // 2))

    async def _end(self, ours: Client, channel: str) -> int:
        """Return where the stream ends, once all that was sent is in it."""
        while True:
            answer = await ours.ask("history", channel=channel, limit=1)
            if answer["position"]["offset"] == self.sent:
                return self.sent
            await asyncio.sleep(0.2)  # what waits in a lane is an event to nobody here

    async def _settled(self, theirs: Sequence[_Subscriber], last: int) -> None:
        """Wait until all have all, or for as long as whatever is tried again takes to come."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + _SETTLED_S
        while any(one.tally.missing(last) for one in theirs) and loop.time() < until_s:
            await asyncio.sleep(0.1)

    async def _repeat(self, ours: Client, channel: str) -> None:
        """Put some events on the bus again, as EventBridge may: docs.aws.amazon.com/eventbridge/latest/userguide."""
        bus = EventBridgeBus(boto3.client("events"), self.stack.outputs[OUTPUT_EVENT_BUS_NAME])

        async def later(event: dict[str, Any]) -> None:
            await asyncio.sleep(REPEATED_AFTER_S)
            await asyncio.to_thread(bus.put, [Broadcast(channel, [event])])

        seen: set[int] = set()

        def news() -> list[dict[str, Any]]:
            return [event for event in ours.events(channel) if event["offset"] not in seen]

        async with asyncio.TaskGroup() as group:
            while True:
                for event in await ours.wait_for(news, deadline_s=300):
                    seen.add(event["offset"])
                    if event["offset"] % REPEATED_ONE_IN == 0:
                        group.create_task(later(event))


async def _publish(publisher: httpx.AsyncClient, channel: str, priority: str) -> None:
    wanted: dict[str, Any] = {"channel": channel, "name": "message", "data": {"text": "x" * 50}, "priority": priority}
    wanted["message_id"] = secrets.token_hex(8)
    for _ in range(_TRIES):
        try:
            (await publisher.post("/v1/publish", json=wanted)).raise_for_status()
        except httpx.HTTPError as error:  # the machine is busy: as clients do, again, under the same id
            last = error
            wanted["retry"] = True
            await asyncio.sleep(1)
        else:
            return
    raise NotMeasuredError(f"publish: {last!r}")


def _row(name: str, theirs: Sequence[_Subscriber], count: int, last: int) -> Row:
    def per_thousand(value: int) -> float:
        return 1_000 * value / (count * len(theirs))

    return Row(
        name,
        {
            "publications": count,
            "gaps": per_thousand(sum(one.tally.gaps for one in theirs)),
            "out of order": per_thousand(sum(one.tally.disordered for one in theirs)),
            "repeats": per_thousand(sum(one.tally.repeats for one in theirs)),
            "lost unseen": per_thousand(sum(one.tally.missing(last) for one in theirs)),
            "to begin anew": per_thousand(sum(one.tally.anew for one in theirs)),
            "told 2500": per_thousand(sum(one.told["2500"] for one in theirs)),
        },
    )
