"""One message to many connections: the pusher beside others, each in processes of its own on one core, one sink."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from bench.fan_out.workload import MESSAGE, REGION, TOKEN
from bench.results import Bar, NotMeasuredError, Plot, Report, Row
from localstack.deploy import ROOT
from tests.unit.adapters.certificates import certificate

CONNECTIONS: Final = (10, 100, 1_000, 10_000)
REPEATS: Final = 3
BAR_BOTO3: Final = {"http": 15, "https": 10}
BAR_RAW: Final = 0.5
BAR_GROWTH: Final = 1.1
_PEERS: Final = ROOT / "bench" / "peers" / ".venv" / "bin" / "python"
_DEADLINE_S: Final = 60
_SIGNS_HERE: Final = "secret"  # for sinks on this machine
_CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
    "AWS_SECRET_ACCESS_KEY": _SIGNS_HERE,
    "AWS_SESSION_TOKEN": TOKEN,
    "AWS_DEFAULT_REGION": REGION,
}


@dataclass(frozen=True, slots=True)
class Client:
    """Who pushes.

    Attributes:
        deliveries: How many it makes for a figure: some tenths of a second's.
        peer: It lives in the peers' environment.
        sink: Who takes what it pushes.
    """

    name: str
    deliveries: int
    peer: bool = False
    sink: str = "sink"


CLIENTS: Final = {
    "pusher": Client("the pusher", 20_000),
    "fan_out": Client("the pusher behind breaker and pacer, in FanOut", 20_000),
    "raw": Client("raw sockets, unsigned", 20_000),
    "boto3": Client("boto3, one after the other", 400),
    "boto3_threads": Client("boto3, 32 threads", 400),
    "aiobotocore": Client("aiobotocore", 400, peer=True),
}
CANDIDATES: Final = {
    "boto3_threads": CLIENTS["boto3_threads"],
    "aiobotocore": CLIENTS["aiobotocore"],
    "httpx": Client("httpx", 400, peer=True),
    "httpx_http2": Client("httpx, HTTP/2", 400, peer=True, sink="http2_sink"),
    "aiohttp": Client("aiohttp", 2_000, peer=True),
    "awscrt": Client("awscrt", 2_000, peer=True),
    "protocol": Client("asyncio protocol, httptools", 10_000, peer=True),
    "protocol_uvloop": Client("the same on uvloop", 10_000, peer=True),
    "pusher": CLIENTS["pusher"],
    "raw": CLIENTS["raw"],
}


@dataclass(frozen=True, slots=True)
class Figure:
    """Deliveries per second, and per second of the process's CPU."""

    a_second: float
    a_cpu_second: float


Figures = Mapping[tuple[str, str, int], Figure]  # by scheme, client, connections


def run() -> Report:
    """Measure everybody by everything that is asked of the pusher."""
    figures = _measure(CLIENTS, CONNECTIONS)
    rows = [
        Row(f"{client.name}, {count:,}", _columns(figures, key, count))
        for key, client in CLIENTS.items()
        for count in CONNECTIONS
    ]
    setting = (
        f"A message of {len(MESSAGE)} bytes to so many connections, again and again. A core for who pushes, one for "
        f"the sink; the median of {REPEATS} processes, which take turns. boto3 and aiobotocore push to the first 400"
    )
    seen = {
        client.name: {n: figures["http", key, n].a_cpu_second for n in CONNECTIONS} for key, client in CLIENTS.items()
    }
    plot = Plot("curve", "connections", "deliveries a CPU second (plain)", seen, log="xy")
    return Report("fan_out", "Fan-out: deliveries", setting, rows, _bars(figures), plot)


def run_candidates() -> Report:
    """Measure whatever could push, for docs/adr/0015-pusher.md."""
    figures = _measure(CANDIDATES, (1_000,))
    rows = [Row(client.name, _columns(figures, key, 1_000)) for key, client in CANDIDATES.items()]
    setting = (
        f"A message of {len(MESSAGE)} bytes to 1,000 connections, as in fan_out; the median of {REPEATS} processes"
    )
    series = {
        name: {
            client.name: figures[scheme, key, 1_000].a_cpu_second
            for key, client in CANDIDATES.items()
            if (scheme, key, 1_000) in figures
        }
        for name, scheme in (("plain", "http"), ("TLS", "https"))
    }
    plot = Plot("bars", "who", "deliveries a CPU second", series, log="y")
    return Report("fan_out_candidates", "What could push", setting, rows, plot=plot)


def _bars(figures: Figures) -> list[Bar]:
    bars = []
    for scheme, bar in BAR_BOTO3.items():
        times = [
            figures[scheme, "pusher", n].a_second / figures[scheme, "boto3_threads", n].a_second
            for n in CONNECTIONS
            if n >= 100
        ]
        what = f"pusher against boto3 with 32 threads, deliveries a second, from 100 connections on, {scheme}:"
        bars.append(Bar(what, min(times), bar, at_least=True))
    # By the processor's second: raw sockets wait for the sink, and how long they do is the machine's other work.
    parts = [
        figures["http", "pusher", n].a_cpu_second / figures["http", "raw", n].a_cpu_second for n in (1_000, 10_000)
    ]
    what = "pusher against raw sockets, deliveries a CPU second, from 1,000 connections on:"
    bars.append(Bar(what, min(parts), BAR_RAW, at_least=True))
    few, many = figures["http", "pusher", 100], figures["http", "pusher", 10_000]
    growth = few.a_cpu_second / many.a_cpu_second
    return [*bars, Bar("CPU per delivery at 10,000 connections against 100:", growth, BAR_GROWTH)]


def _columns(figures: Figures, key: str, count: int) -> dict[str, float]:
    columns: dict[str, float] = {}
    for scheme, name in (("http", ""), ("https", "TLS ")):
        figure = figures.get((scheme, key, count))
        columns[f"{name}a second"] = round(figure.a_second) if figure else 0
        columns[f"{name}a CPU second"] = round(figure.a_cpu_second) if figure else 0
    return columns


def _measure(clients: Mapping[str, Client], counts: Sequence[int]) -> Figures:
    found: dict[tuple[str, str, int], list[Figure]] = {}
    with TemporaryDirectory() as folder:
        files = certificate(Path(folder), "127.0.0.1")
        environment = dict(os.environ) | _CREDENTIALS | {"AWS_CA_BUNDLE": str(files[0])}
        for scheme in ("http", "https"):
            for sink in {client.sink for client in clients.values()} - ({"http2_sink"} if scheme == "http" else set()):
                using = {key: client for key, client in clients.items() if client.sink == sink}
                with _sink(sink, files if scheme == "https" else (), environment) as port:
                    for key, client in [*using.items()] * REPEATS:
                        url = f"{scheme}://127.0.0.1:{port}/local"
                        for count, figure in zip(counts, _one(key, client, counts, url, environment), strict=True):
                            found.setdefault((scheme, key, count), []).append(figure)
    return {place: _median(some) for place, some in found.items()}


def _one(key: str, client: Client, counts: Sequence[int], url: str, environment: Mapping[str, str]) -> list[Figure]:
    """Have one process of a client push; return its figures."""
    module, python = ("peers", str(_PEERS)) if client.peer else ("clients", sys.executable)
    command = [python, "-m", f"bench.fan_out.{module}", key, url, *(f"{count}:{client.deliveries}" for count in counts)]
    done = subprocess.run(  # nosec B603 # our own modules
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, timeout=_DEADLINE_S, check=False
    )
    if done.returncode:
        raise NotMeasuredError(f"{key} has ended with {done.returncode}")
    return [
        Figure(one["deliveries"] / one["seconds"], one["deliveries"] / one["cpu_seconds"])
        for one in json.loads(done.stdout.splitlines()[-1])  # metrics may have been written before
    ]


@contextmanager
def _sink(name: str, files: Sequence[Path], environment: Mapping[str, str]) -> Iterator[int]:
    python = sys.executable if name == "sink" else str(_PEERS)
    command = [python, "-m", f"bench.fan_out.{name}", *map(str, files)]
    sink = subprocess.Popen(  # nosec B603 # our own module
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True
    )
    assert sink.stdout
    try:
        yield int(sink.stdout.readline())
    finally:
        sink.terminate()
        sink.communicate()


def _median(figures: Sequence[Figure]) -> Figure:
    return Figure(
        statistics.median(figure.a_second for figure in figures),
        statistics.median(figure.a_cpu_second for figure in figures),
    )
