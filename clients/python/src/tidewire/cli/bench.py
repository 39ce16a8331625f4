"""``tidewire bench``: how long publications take to arrive, and whether all do."""

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from math import ceil
from typing import Annotated, Any, Final

import typer

from tidewire import Tidewire
from tidewire.cli.deployment import Deployment
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.options import JsonOption, PriorityOption, TransportOption, for_deployment
from tidewire.cli.output import Bar, Output, progress
from tidewire.cli.values import duration_s
from tidewire.errors import TidewireError
from tidewire.frames import Event, Priority
from tidewire.ways import Way

_DURATION_S: Final = 10.0
_CONNECTING_AT_ONCE: Final = 20  # more would measure how a stage starts from cold
_STILL_S: Final = 15.0  # nothing has come for so long: nothing will
_LOOK_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Load:
    """What is published, and for whom."""

    subscribers: int
    rate_per_s: float
    duration_s: float
    size_bytes: int
    priority: Priority | None
    transport: Way | None

    @property
    def publications(self) -> int:
        """How many there will be."""
        return max(1, round(self.rate_per_s * self.duration_s))


@dataclass(slots=True)
class Measured:
    """What came of it. Times are seconds of this machine's monotonic clock."""

    sent_s: list[float] = field(default_factory=list)
    latencies_s: list[float] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)
    taken: int = 0
    duplicates: int = 0
    last_s: float = 0.0

    def result(self, load: Load) -> dict[str, Any]:
        """Return it in milliseconds, with what was asked."""
        expected = self.taken * load.subscribers
        delivered = len(self.latencies_s)
        took_s = max(self.last_s - self.sent_s[0], 1e-9) if self.sent_s else 0.0
        ranked = sorted(self.latencies_s)
        return {
            "subscribers": load.subscribers,
            "rate_per_s": load.rate_per_s,
            "size_bytes": load.size_bytes,
            "published": self.taken,
            "refused": sum(self.refused.values()),
            "delivered": delivered,
            "lost": max(0, expected - delivered),
            "duplicates": self.duplicates,
            "delivered_per_s": round(delivered / took_s, 1) if delivered else 0.0,
            "latency_ms": {
                "p50": _percentile_ms(ranked, 0.5),
                "p90": _percentile_ms(ranked, 0.9),
                "p99": _percentile_ms(ranked, 0.99),
                "max": _percentile_ms(ranked, 1),
            },
        }


@for_deployment()
def bench(
    deployment: Deployment,
    subscribers: Annotated[int, typer.Option(min=1, max=1_000, metavar="N", help="How many connections listen.")] = 10,
    rate: Annotated[float, typer.Option(min=0.1, max=10_000, metavar="R", help="Publications a second.")] = 20.0,
    duration: Annotated[
        float | None,
        typer.Option(parser=duration_s, metavar="DURATION", help="How long it is published. [default: 10s]"),
    ] = None,
    size: Annotated[int, typer.Option(min=20, max=24_000, metavar="BYTES", help="Of each publication's data.")] = 100,
    priority: PriorityOption = None,
    transport: TransportOption = None,
    as_json: JsonOption = False,
) -> None:
    """Measure how long publications take to arrive, and whether all do.

    Subscribers and one publisher, all in this process: times are of one clock, from publish to delivery, and include
    what this machine takes. A user may publish 50 a second in a channel unless channels.toml says otherwise.
    Columns, where the output is piped: what, how much.

    Example: tidewire bench --subscribers 50 --rate 20 --duration 30s
    """
    deployment.check()
    load = Load(subscribers, rate, duration or _DURATION_S, size, priority, transport)
    with progress("connecting", load.subscribers) as bar:
        measured = asyncio.run(_measure(deployment, load, bar))
    result = measured.result(load)
    output = Output(as_json=as_json)
    if as_json:
        output.json(result)
    else:
        flat = {**result, **{f"latency {name}": f"{ms} ms" for name, ms in result["latency_ms"].items()}}
        del flat["latency_ms"]
        output.table(["", ""], [[name.replace("_", " "), str(value)] for name, value in flat.items()])
    if measured.refused:
        why = ", ".join(f"{count} times {kind}" for kind, count in measured.refused.items())
        raise CommandError(f"publications were refused: {why}", ExitCode.REFUSED)
    if result["lost"]:
        raise CommandError(f"{result['lost']} of {load.subscribers * measured.taken} were lost", ExitCode.REFUSED)


async def _measure(deployment: Deployment, load: Load, bar: Bar) -> Measured:
    name = f"room:bench-{secrets.token_hex(4)}"
    measured = Measured()
    async with AsyncExitStack() as clients:
        enough = asyncio.Semaphore(_CONNECTING_AT_ONCE)

        async def join() -> None:
            async with enough:
                client = await clients.enter_async_context(deployment.client(load.transport))
                await _subscribe(client, name, measured)
                bar.advance()

        joining = [asyncio.create_task(join()) for _ in range(load.subscribers)]
        try:
            await asyncio.gather(*joining)
        finally:
            for one in joining:
                one.cancel()
            await asyncio.gather(*joining, return_exceptions=True)
        publisher = await clients.enter_async_context(deployment.client(load.transport))
        bar.restart("publishing", load.publications)
        await _publish(publisher, name, load, measured, bar)
        await _settled(load, measured)
    return measured


async def _subscribe(client: Tidewire, name: str, measured: Measured) -> None:
    seen: set[int] = set()

    def received(event: Event) -> None:
        now_s = time.perf_counter()
        number = event.data["n"]
        if number in seen:
            measured.duplicates += 1
            return
        seen.add(number)
        measured.latencies_s.append(now_s - measured.sent_s[number])
        measured.last_s = now_s

    channel = client.channel(name)
    channel.on("bench", received)
    await channel.subscribe()


async def _publish(client: Tidewire, name: str, load: Load, measured: Measured, bar: Bar) -> None:
    """Publish at the rate, whatever the answers take; return when all are answered."""
    channel = client.channel(name)
    await channel.subscribe()  # its connection stands: that is not what is measured
    pad = "x" * max(0, load.size_bytes - len('{"n":,"pad":""}') - len(str(load.publications)))
    begun_s = time.perf_counter()
    answers: list[asyncio.Future[Any]] = []
    for number in range(load.publications):
        await asyncio.sleep(max(0.0, begun_s + number / load.rate_per_s - time.perf_counter()))
        measured.sent_s.append(time.perf_counter())
        answers.append(channel.publish("bench", {"n": number, "pad": pad}, priority=load.priority))
        bar.advance()
    for answer in await asyncio.gather(*answers, return_exceptions=True):
        if isinstance(answer, TidewireError):
            measured.refused[answer.kind] = measured.refused.get(answer.kind, 0) + 1
        elif isinstance(answer, BaseException):
            raise answer
        else:
            measured.taken += 1


async def _settled(load: Load, measured: Measured) -> None:
    """Return when everything has arrived, or nothing has for long."""
    begun_s = time.perf_counter()
    while len(measured.latencies_s) < measured.taken * load.subscribers:
        if time.perf_counter() - max(begun_s, measured.last_s) > _STILL_S:
            return
        await asyncio.sleep(_LOOK_S)


def _percentile_ms(ranked: Sequence[float], share: float) -> float | None:
    if not ranked:
        return None
    return round(ranked[ceil(share * len(ranked)) - 1] * 1000, 1)
