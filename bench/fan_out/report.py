"""One message to many connections: the pusher beside others, each in processes of its own on one core, one sink."""

import datetime
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from ipaddress import IPv4Address
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from bench.fan_out.workload import MESSAGE, REGION, TOKEN
from bench.results import Bar, NotMeasuredError, Report, Row
from localstack.deploy import ROOT

CONNECTIONS: Final = (10, 100, 1_000, 10_000)
REPEATS: Final = 3
BAR_BOTO3: Final = {"http": 15, "https": 10}
BAR_RAW: Final = 0.5
BAR_GROWTH: Final = 1.1
_PEERS: Final = ROOT / "bench" / "peers" / ".venv" / "bin" / "python"
_DEADLINE_S: Final = 60


@dataclass(frozen=True, slots=True)
class Client:
    """Who pushes.

    Attributes:
        deliveries: How many it makes for a figure: some tenths of a second's.
        peer: It lives in the peers' environment.
    """

    name: str
    deliveries: int
    peer: bool = False


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
    "httpx_http2": Client("httpx, HTTP/2", 400, peer=True),
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
    figures = _measure(CLIENTS, CONNECTIONS, ("http", "https"))
    rows = [
        Row(f"{client.name}, {count:,}", _columns(figures, key, count))
        for key, client in CLIENTS.items()
        for count in CONNECTIONS
    ]
    setting = (
        f"A message of {len(MESSAGE)} bytes to so many connections, again and again. A core for who pushes, one for "
        f"the sink; the median of {REPEATS} processes, which take turns. boto3 and aiobotocore push to the first 400"
    )
    return Report("fan_out", "Fan-out: deliveries", setting, rows, _bars(figures))


def run_candidates() -> Report:
    """Measure whatever could push, for docs/adr/0015-pusher.md."""
    figures = _measure(CANDIDATES, (1_000,), ("http", "https"))
    rows = [Row(client.name, _columns(figures, key, 1_000)) for key, client in CANDIDATES.items()]
    setting = (
        f"A message of {len(MESSAGE)} bytes to 1,000 connections, as in fan_out; the median of {REPEATS} processes"
    )
    return Report("fan_out_candidates", "What could push", setting, rows)


def _bars(figures: Figures) -> list[Bar]:
    def ratio(scheme: str, other: str) -> float:
        """Return the least by which the pusher is ahead, of those counts where nobody is short of connections."""
        return min(
            figures[scheme, "pusher", count].a_second / figures[scheme, other, count].a_second
            for count in CONNECTIONS
            if count >= 100
        )

    few, many = figures["http", "pusher", 100], figures["http", "pusher", 10_000]
    return [
        *(
            Bar(
                f"pusher against boto3 with 32 threads by {scheme}, the least from 100 on:",
                ratio(scheme, "boto3_threads"),
                bar,
                at_least=True,
            )
            for scheme, bar in BAR_BOTO3.items()
        ),
        Bar("pusher against raw sockets by http, the least from 100 on:", ratio("http", "raw"), BAR_RAW, at_least=True),
        Bar("CPU per delivery at 10,000 connections against 100:", few.a_cpu_second / many.a_cpu_second, BAR_GROWTH),
    ]


def _columns(figures: Figures, key: str, count: int) -> dict[str, float]:
    columns = {}
    for scheme, name in (("http", ""), ("https", "TLS ")):
        figure = figures.get((scheme, key, count))
        columns[f"{name}a second"] = round(figure.a_second) if figure else 0
        columns[f"{name}a CPU second"] = round(figure.a_cpu_second) if figure else 0
    return columns


def _measure(clients: Mapping[str, Client], counts: Sequence[int], schemes: Sequence[str]) -> Figures:
    found: dict[tuple[str, str, int], list[Figure]] = {}
    with TemporaryDirectory() as folder:
        certificate = _certificate(Path(folder))
        environment = _environment(certificate)
        for scheme in schemes:
            with _sink(scheme, certificate, environment) as port:
                for _ in range(REPEATS):
                    for key, client in clients.items():
                        if key == "httpx_http2" and scheme == "http":
                            continue
                        for count, figure in zip(
                            counts,
                            _one(key, client, counts, f"{scheme}://127.0.0.1:{port}/local", environment),
                            strict=True,
                        ):
                            found.setdefault((scheme, key, count), []).append(figure)
    return {place: _median(some) for place, some in found.items()}


def _one(key: str, client: Client, counts: Sequence[int], url: str, environment: Mapping[str, str]) -> list[Figure]:
    """Have one process of a client push; return its figures."""
    module, python = ("peers", str(_PEERS)) if client.peer else ("clients", sys.executable)
    command = [python, "-m", f"bench.fan_out.{module}", key, url, *(f"{count}:{client.deliveries}" for count in counts)]
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, timeout=_DEADLINE_S, check=False
    )
    if done.returncode:
        raise NotMeasuredError(f"{key} has ended with {done.returncode}")
    return [
        Figure(one["deliveries"] / one["seconds"], one["deliveries"] / one["cpu_seconds"])
        for one in json.loads(done.stdout.splitlines()[-1])  # metrics may have been written before
    ]


@contextmanager
def _sink(scheme: str, certificate: Path, environment: Mapping[str, str]) -> Iterator[int]:
    files = [str(certificate), str(certificate.with_suffix(".key"))] if scheme == "https" else []
    command = [sys.executable, "-m", "bench.fan_out.sink", *files]
    sink = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert sink.stdin and sink.stdout
    try:
        yield int(sink.stdout.readline())
    finally:
        sink.stdin.close()
        sink.wait()


def _environment(certificate: Path) -> dict[str, str]:
    return dict(os.environ) | {
        "AWS_ACCESS_KEY_ID": "AKIAIOSFODNN7EXAMPLE",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_SESSION_TOKEN": TOKEN,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_CA_BUNDLE": str(certificate),
    }


def _certificate(folder: Path) -> Path:
    """Write a certificate of 127.0.0.1 that vouches for itself, and its key beside it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sink")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "sink.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    pkcs8 = serialization.PrivateFormat.PKCS8
    path.with_suffix(".key").write_bytes(key.private_bytes(serialization.Encoding.PEM, pkcs8, plain))
    return path


def _median(figures: Sequence[Figure]) -> Figure:
    return Figure(
        statistics.median(figure.a_second for figure in figures),
        statistics.median(figure.a_cpu_second for figure in figures),
    )
