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
from tests.torture.client import ClientSubscriber
from tests.torture.faults import EdgeFaults
from tests.torture.journal import Journal
from tests.torture.proxy import ProxyProcess, shares
from tests.torture.publisher import Pace, Publisher
from tests.torture.subscriber import Subscriber
from tests.torture.warm import warm_up
from tests.torture.watch import Scene, Watch
from tests.torture.worker_records import WorkerRecords

_TELL_EVERY_S: Final = 10
_HALF_OPEN_SHARE: Final = 0.2
_LISTS_WITHIN_S: Final = 150  # who has left is seen for 10 s more, and a look that failed comes back after 91
_NUDGE_EVERY_S: Final = 20
_TOKEN_TTL_S: Final = 4 * 3600

AnySubscriber = Subscriber | ClientSubscriber


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does.

    Attributes:
        rounds: The publications are divided among so many rounds, each with channels and clients of its own: the
            emulator reads through a whole stream for each query, and a long one makes it slow.
        calm: Publications of the last phase, in which nothing goes wrong.
        subscribers: Of each round.
        clients: So many of them are the Python client; the others speak the protocol themselves.
        channels_each: Channels of each subscriber.
        rate_per_s: How fast all publishers together may go.
        ahead_max: How many publications may be acknowledged and seen by nobody before publishers wait.
        workers: How many workers the busiest functions have.
        warm_after: So many publications go well, and ever faster, before faults begin.
        fault_one_in: Of so many calls, each fault hits one.
    """

    seed: int
    publications: int
    rounds: int
    calm: int
    subscribers: int
    clients: int
    publishers: int
    channels: int
    channels_each: int
    rate_per_s: float
    calm_rate_per_s: float
    ahead_max: int
    workers: int
    warm_after: int
    fault_one_in: int
    publications_per_kill: int
    publications_per_cut: int
    publications_per_worker_records: int
    drain_s: float

    def of_round(self, number: int) -> int:
        """Return how many publications a round has."""
        return len(range(number, self.publications, self.rounds))


@dataclass(slots=True)
class Phase:
    """What one phase came to.

    Attributes:
        wrong_lists: Lists of a channel's members that were not right when all was quiet, before and after half of the
            subscribers had left.
    """

    report: Report
    seconds: float
    drained: bool
    wrong_lists: int
    retries: int
    late_repeats: int
    reconnects: int
    worker_invocations: int
    records_again: int

    def add(self, other: "Phase") -> None:
        """Take in another round."""
        self.report.add(other.report)
        self.seconds += other.seconds
        self.drained &= other.drained
        self.wrong_lists += other.wrong_lists
        self.retries += other.retries
        self.late_repeats += other.late_repeats
        self.reconnects += other.reconnects
        self.worker_invocations += other.worker_invocations
        self.records_again += other.records_again


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
    kills: int
    cuts: int
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
        begun_s = time.monotonic()
        warm_up(stack.function_names(), plan.workers)
        tell(f"started workers ({time.monotonic() - begun_s:.1f} s)")
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
        plan = self._plan
        running = asyncio.current_task()
        assert running is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)  # uvloop heeds no other way
        faulty = await self._phase("faulty-0", plan.of_round(0), plan.rate_per_s, faults_on=True)
        for number in range(1, plan.rounds):
            faulty.add(await self._phase(f"faulty-{number}", plan.of_round(number), plan.rate_per_s, faults_on=True))
        calm = await self._phase("calm", plan.calm, plan.calm_rate_per_s, faults_on=False)
        outcome = Outcome(faulty, calm, kills=self._kills, cuts=self._cuts)
        outcome.faults += [(f"aws {fault}", hits, share) for fault, hits, share in shares(self._proxy.counts())]
        outcome.faults += self._edge_faults.shares()
        log = self._stack.emulator.log.read_text(errors="replace")
        outcome.interrupted = log.count("Worker process died")
        outcome.dead_letters = await asyncio.to_thread(self._dead_letters)
        return outcome

    async def _phase(self, name: str, count: int, rate_per_s: float, *, faults_on: bool) -> Phase:
        plan, watch = self._plan, Watch()
        channels = [f"room:{name}-{number}" for number in range(plan.channels)]
        with Journal(self._folder / f"{name}.jsonl") as journal:
            scene = Scene(self._stack.url, journal, watch, plan.seed)
            subscribers = [
                await self._subscriber(f"{name}-sub-{number}", number, channels, scene)
                for number in range(plan.subscribers)
            ]
            publishers = [
                Publisher(user, await self._token(user), channels, scene)
                for user in (f"{name}-pub-{number}" for number in range(plan.publishers))
            ]
            records = WorkerRecords(self._functions["publish_worker"], self._lanes, channels, scene)
            begun_s = time.monotonic()
            pace = Pace(watch, rate_per_s, plan.ahead_max, plan.warm_after if faults_on else 1)
            async with asyncio.TaskGroup() as group:
                background = [group.create_task(self._tell_regularly(name, watch, subscribers, publishers))]
                for subscriber in subscribers:  # one after another: functions start cold
                    background.append(group.create_task(subscriber.run()))
                    await subscriber.subscribed.wait()
                self._tell(f"{name}: {len(subscribers)} subscribers are there")
                publishing = [
                    group.create_task(publisher.run(len(range(number, count, len(publishers))), pace))
                    for number, publisher in enumerate(publishers)
                ]
                if faults_on:
                    await watch.settled_more(plan.warm_after)
                    await self._trouble(watch, [*subscribers, *publishers], records, publishing)
                await asyncio.wait(publishing)
                self._tell(f"{name}: everything is published")
                drained = await self._drain(subscribers)
                wrong_lists = await self._wrong_lists(subscribers)
                leaving = subscribers[: len(subscribers) // 2]
                for task in background[1 : 1 + len(leaving)]:
                    task.cancel()
                self._tell(f"{name}: {len(leaving)} subscribers leave")
                wrong_lists += await self._wrong_lists([one for one in subscribers if one not in leaving])
                for task in background:
                    task.cancel()
            seconds = time.monotonic() - begun_s
        report = await asyncio.to_thread(lambda: check(read(journal.path)))
        return Phase(
            report,
            seconds,
            drained,
            wrong_lists=wrong_lists,
            retries=sum(publisher.retries for publisher in publishers),
            late_repeats=sum(publisher.late_repeats for publisher in publishers),
            reconnects=sum(subscriber.reconnects for subscriber in subscribers),
            worker_invocations=records.invocations,
            records_again=records.again,
        )

    async def _subscriber(self, user: str, number: int, channels: Sequence[str], scene: Scene) -> AnySubscriber:
        token, some = await self._token(user), _some(channels, number, self._plan)
        # One after another they are of both kinds, as far as there are.
        every = self._plan.subscribers / max(1, self._plan.clients)
        if self._plan.clients and int(number / every) != int((number + 1) / every):
            return ClientSubscriber(user, token, some, scene)
        return Subscriber(user, token, some, scene, presence=True)

    async def _trouble(
        self,
        watch: Watch,
        clients: Sequence[AnySubscriber | Publisher],
        records: WorkerRecords,
        publishing: Sequence[asyncio.Task[None]],
    ) -> None:
        """Let everything go wrong until all is published."""
        self._set_faults(self._plan.fault_one_in)
        async with asyncio.TaskGroup() as group:
            rude = [
                group.create_task(self._kill_workers(watch)),
                group.create_task(self._cut_sockets(watch, clients)),
            ]
            invoking = group.create_task(records.run(self._plan.publications_per_worker_records))
            await asyncio.wait(publishing)
            records.stop()
            await invoking
            for task in rude:
                task.cancel()
        self._set_faults(0)

    def _set_faults(self, one_in: int) -> None:
        self._proxy.configure(one_in=one_in)
        self._edge_faults.one_in = one_in

    async def _token(self, user_id: str) -> str:
        async with httpx.AsyncClient(base_url=self._stack.url, timeout=30) as http:
            answer = await http.post("/v1/dev/token", json={"user_id": user_id, "ttl_s": _TOKEN_TTL_S})
        token: str = answer.raise_for_status().json()["token"]
        return token

    async def _kill_workers(self, watch: Watch) -> None:
        """Kill workers that were there before: one that dies while it starts takes its function's others with it.

        That is the emulator's doing, not AWS's.
        """
        known: set[int] = set()
        while True:
            pids = set(await asyncio.to_thread(self._stack.emulator.worker_pids))
            if grown := sorted(pids & known):
                with suppress(ProcessLookupError):  # it has just ended by itself
                    os.kill(self._dice.choice(grown), signal.SIGKILL)
                    self._kills += 1
            known = pids
            wait_for = self._dice.randint(1, 2 * self._plan.publications_per_kill)
            await watch.settled_more(wait_for if self._kills else self._plan.publications_per_kill // 2)

    async def _cut_sockets(self, watch: Watch, clients: Sequence[AnySubscriber | Publisher]) -> None:
        while True:
            await watch.settled_more(self._dice.randint(1, 2 * self._plan.publications_per_cut))
            half_open = self._dice.random() < _HALF_OPEN_SHARE
            self._cuts += self._dice.choice(clients).cut(half_open=half_open)

    async def _drain(self, subscribers: Sequence[AnySubscriber]) -> bool:
        """Wait until the lanes are empty and every subscriber has everything; return whether that came about."""
        deadline_s = time.monotonic() + self._plan.drain_s
        while time.monotonic() < deadline_s:
            if await asyncio.to_thread(self._waiting_in_lanes) == 0:
                ends = await asyncio.gather(*(subscriber.at_the_end() for subscriber in subscribers))
                if all(ends):
                    return True
            await asyncio.sleep(0.5)  # neither SQS nor the log tells when it changes
        return False

    async def _wrong_lists(self, present: Sequence[AnySubscriber]) -> int:
        """Wait until everybody's lists of members are right; return how many are not in the end."""
        deadline_s, nudge_s = time.monotonic() + _LISTS_WITHIN_S, 0.0
        while True:
            if time.monotonic() >= nudge_s:
                await asyncio.gather(*(subscriber.nudge() for subscriber in present))
                nudge_s = time.monotonic() + _NUDGE_EVERY_S
            wrong = []
            for subscriber in present:
                for channel, members in (await subscriber.members()).items():
                    there = {one.name for one in present if channel in one.channels}
                    if members != there:
                        beside, lacking = sorted(members - there), sorted(there - members)
                        wrong.append(f"to {subscriber.name}, {channel} has {beside} beside others, and lacks {lacking}")
            if not wrong or time.monotonic() >= deadline_s:
                for line in wrong:
                    self._tell(line)
                return len(wrong)
            await asyncio.sleep(0.5)  # pushes are not waited for one by one

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
        self, name: str, watch: Watch, subscribers: Sequence[AnySubscriber], publishers: Sequence[Publisher]
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


def _some(channels: Sequence[str], number: int, plan: Plan) -> list[str]:
    return [channels[(number + index) % len(channels)] for index in range(plan.channels_each)]


def _waiting(url: str) -> int:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    answer = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)  # type: ignore[arg-type]
    return sum(int(value) for value in answer["Attributes"].values())
