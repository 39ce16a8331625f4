"""One run: the local stack, clients, faults; then what they wrote down is checked."""

import asyncio
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import boto3
import httpx
import uvloop

from localstack.stack import LocalStack
from shared.ports import Lane
from shared.settings import Settings
from tests.torture.checker import Report, check, read
from tests.torture.faults import INVOCATIONS, POSTS, EdgeFaults
from tests.torture.journal import Journal
from tests.torture.proxy import FAULTS, ProxyProcess, shares
from tests.torture.publisher import Pace, Publisher
from tests.torture.subscriber import Subscriber
from tests.torture.watch import Watch
from tests.torture.worker_records import WorkerRecords

_TELL_EVERY_S: Final = 10
_HALF_OPEN_SHARE: Final = 0.2
_TOKEN_TTL_S: Final = 4 * 3600


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        calm: Publications of the second phase, in which nothing goes wrong.
        channels_each: Channels of each subscriber.
        rate_per_s: How fast all publishers together may go.
        ahead_max: How many publications may be acknowledged and seen by nobody before publishers wait.
        fault_rate: Share of its calls that each fault hits.
    """

    seed: int
    publications: int
    calm: int
    subscribers: int
    publishers: int
    channels: int
    channels_each: int
    rate_per_s: float
    calm_rate_per_s: float
    ahead_max: int
    fault_rate: float
    publications_per_kill: int
    publications_per_cut: int
    publications_per_worker_records: int
    drain_s: float


@dataclass(slots=True)
class Phase:
    """What one phase came to."""

    report: Report
    seconds: float
    drained: bool
    kills: int = 0
    cuts: int = 0
    retries: int = 0
    late_repeats: int = 0
    reconnects: int = 0
    worker_invocations: int = 0
    records_again: int = 0


@dataclass(slots=True)
class Outcome:
    """What a run came to.

    Attributes:
        faults: Each fault, how often it hit, and the share of its calls that this is.
        interrupted: Invocations that a kill ended.
        dead_letters: Messages that no worker could work off.
    """

    faulty: Phase
    calm: Phase
    faults: list[tuple[str, int, float]] = field(default_factory=list)
    interrupted: int = 0
    dead_letters: int = 0


def torture(plan: Plan, folder: Path, tell: Callable[[str], None]) -> Outcome:
    """Run; what is written down stays in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    edge_faults = EdgeFaults(plan.seed)
    with (
        ProxyProcess(plan.seed) as proxy,
        LocalStack(folder / "stack", faults=edge_faults, functions_endpoint=proxy.endpoint, tell=tell) as stack,
    ):
        proxy.configure(upstream=stack.emulator.endpoint)
        run = _Run(plan, stack, proxy, edge_faults, folder, tell)
        return uvloop.run(run.execute())


class _Run:
    def __init__(
        self,
        plan: Plan,
        stack: LocalStack,
        proxy: ProxyProcess,
        edge_faults: EdgeFaults,
        folder: Path,
        tell: Callable[[str], None],
    ) -> None:
        self._plan, self._stack, self._proxy, self._edge_faults = plan, stack, proxy, edge_faults
        self._folder, self._tell = folder, tell
        self._dice = random.Random(f"{plan.seed} run")
        self._functions = stack.function_names()
        self._lanes = self._lane_urls()
        self._kills = self._cuts = 0

    async def execute(self) -> Outcome:
        """Do both phases."""
        faulty = await self._phase("faulty", self._plan.publications, self._plan.rate_per_s)
        calm = await self._phase("calm", self._plan.calm, self._plan.calm_rate_per_s)
        outcome = Outcome(faulty, calm)
        outcome.faults += [(f"aws {fault}", hits, share) for fault, hits, share in shares(self._proxy.counts())]
        outcome.faults += self._edge_faults.shares()
        log = self._stack.emulator.log.read_text(errors="replace")
        outcome.interrupted = log.count("Worker process died")
        outcome.dead_letters = await asyncio.to_thread(self._dead_letters)
        return outcome

    async def _phase(self, name: str, count: int, rate_per_s: float) -> Phase:
        plan, faults_on = self._plan, name == "faulty"
        channels = [f"room:{name}-{number}" for number in range(plan.channels)]
        watch = Watch()
        with Journal(self._folder / f"{name}.jsonl") as journal:
            subscribers = [
                Subscriber(
                    f"{name}-sub-{number}",
                    url=self._stack.url,
                    token=await self._token(f"{name}-sub-{number}"),
                    channels=[channels[(number + i) % len(channels)] for i in range(plan.channels_each)],
                    journal=journal,
                    watch=watch,
                    seed=plan.seed,
                )
                for number in range(plan.subscribers)
            ]
            publishers = [
                Publisher(
                    f"{name}-pub-{number}",
                    url=self._stack.url,
                    token=await self._token(f"{name}-pub-{number}"),
                    channels=channels,
                    journal=journal,
                    watch=watch,
                    seed=plan.seed,
                )
                for number in range(plan.publishers)
            ]
            worker_records = WorkerRecords(
                self._functions["publish_worker"], self._lanes, channels, journal=journal, watch=watch, seed=plan.seed
            )
            begun_s = time.monotonic()
            pace = Pace(watch, rate_per_s, plan.ahead_max)
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(self._tell_regularly(name, watch, subscribers, publishers))]
                for subscriber in subscribers:  # one after another: functions start cold
                    background.append(group.create_task(subscriber.run()))
                    await subscriber.subscribed.wait()
                self._tell(f"{name}: {len(subscribers)} subscribers are there")
                if faults_on:
                    self._set_faults(plan.fault_rate)
                    background.append(group.create_task(self._kill_workers(watch)))
                    background.append(group.create_task(self._cut_sockets(watch, [*subscribers, *publishers])))
                    records = group.create_task(worker_records.run(plan.publications_per_worker_records))
                shares_of_all = [len(range(number, count, len(publishers))) for number in range(len(publishers))]
                await asyncio.wait(
                    [
                        group.create_task(publisher.run(share, pace))
                        for publisher, share in zip(publishers, shares_of_all, strict=True)
                    ]
                )
                if faults_on:
                    worker_records.stop()
                    await records
                    self._set_faults(0)
                self._tell(f"{name}: everything is published")
                drained = await self._drain(subscribers)
                for task in background:
                    task.cancel()
            seconds = time.monotonic() - begun_s
        report = await asyncio.to_thread(lambda: check(read(journal.path)))
        return Phase(
            report,
            seconds,
            drained,
            kills=self._kills,
            cuts=self._cuts,
            retries=sum(publisher.retries for publisher in publishers),
            late_repeats=sum(publisher.late_repeats for publisher in publishers),
            reconnects=sum(subscriber.reconnects for subscriber in subscribers),
            worker_invocations=worker_records.invocations,
            records_again=worker_records.again,
        )

    def _set_faults(self, rate: float) -> None:
        self._proxy.configure(rates=dict.fromkeys(FAULTS, rate) if rate else {})
        posts, invocations = dict.fromkeys(POSTS, rate), dict.fromkeys(INVOCATIONS, rate)
        self._edge_faults.rates = {"post": posts, "invoke": invocations} if rate else {}

    async def _token(self, user_id: str) -> str:
        async with httpx.AsyncClient(base_url=self._stack.url, timeout=30) as http:
            answer = await http.post("/v1/dev/token", json={"user_id": user_id, "ttl_s": _TOKEN_TTL_S})
        token: str = answer.raise_for_status().json()["token"]
        return token

    async def _kill_workers(self, watch: Watch) -> None:
        while True:
            await watch.settled_more(self._dice.randint(1, 2 * self._plan.publications_per_kill))
            pids = await asyncio.to_thread(self._stack.emulator.worker_pids)
            with suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(self._dice.choice(pids), signal.SIGKILL)
                self._kills += 1

    async def _cut_sockets(self, watch: Watch, clients: Sequence[Subscriber | Publisher]) -> None:
        while True:
            await watch.settled_more(self._dice.randint(1, 2 * self._plan.publications_per_cut))
            half_open = self._dice.random() < _HALF_OPEN_SHARE
            self._cuts += self._dice.choice(clients).cut(half_open=half_open)

    async def _drain(self, subscribers: Sequence[Subscriber]) -> bool:
        """Wait until the lanes are empty and every subscriber has everything; return whether that came about."""
        deadline_s = time.monotonic() + self._plan.drain_s
        while time.monotonic() < deadline_s:
            if await asyncio.to_thread(self._waiting_in_lanes) == 0:
                ends = await asyncio.gather(*(subscriber.at_the_end() for subscriber in subscribers))
                if all(ends):
                    return True
            await asyncio.sleep(0.5)  # neither SQS nor the log tells when it changes
        return False

    def _lane_urls(self) -> dict[Lane, str]:
        client = boto3.client("lambda")
        configuration = client.get_function_configuration(FunctionName=self._functions["ws_message"])
        return dict(Settings.from_env(configuration["Environment"]["Variables"]).lane_urls)

    def _waiting_in_lanes(self) -> int:
        return sum(_waiting(url) for url in self._lanes.values())

    def _dead_letters(self) -> int:
        urls = boto3.client("sqs").list_queues().get("QueueUrls", [])
        return sum(_waiting(url) for url in urls if "DeadLetters" in url)

    async def _tell_regularly(
        self, name: str, watch: Watch, subscribers: Sequence[Subscriber], publishers: Sequence[Publisher]
    ) -> None:
        begun_s = time.monotonic()
        while True:
            await asyncio.sleep(_TELL_EVERY_S)
            reconnects = sum(subscriber.reconnects for subscriber in subscribers)
            retries = sum(publisher.retries for publisher in publishers)
            self._tell(
                f"{name} {time.monotonic() - begun_s:4.0f} s: {watch.settled} settled, {watch.acknowledged} acked, "
                f"{len(watch.under_way)} under way, {watch.handed} handed over; {retries} retries, "
                f"{reconnects} reconnects, {self._kills} kills, {self._cuts} cuts"
            )


def _waiting(url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)  # type: ignore[arg-type]
    return sum(int(value) for value in answer["Attributes"].values())
