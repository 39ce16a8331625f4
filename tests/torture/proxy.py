"""A proxy between the functions and the emulator: now and then, a call to AWS goes as calls to AWS and networks may go.

A process of its own (``python -m tests.torture.proxy``), since every call of every function passes through it. It
speaks just the HTTP that botocore and the emulator speak: keep-alive, Content-Length, one request at a time.
"""

import asyncio
import json
import os
import random
import subprocess
import sys
import urllib.request
from collections import Counter
from collections.abc import Coroutine, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self, get_args

import uvloop

Fault = Literal["throttled", "failed", "timed out", "slowed", "answer lost"]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
Service = Literal["dynamodb", "sqs", "events", "secretsmanager"]
SERVICES: Final[tuple[Service, ...]] = get_args(Service)

_TARGETS: Final[Mapping[str, Service]] = {
    "DynamoDB_20120810": "dynamodb",
    "AmazonSQS": "sqs",
    "AWSEvents": "events",
    "secretsmanager": "secretsmanager",
}
# What each service answers when there is too much of it, and when it fails: the API references' common errors.
_THROTTLED: Final[Mapping[Service, str]] = {
    "dynamodb": "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException",
    "sqs": "com.amazon.coral.availability#ThrottlingException",
    "events": "ThrottlingException",
    "secretsmanager": "ThrottlingException",
}
_FAILED: Final[Mapping[Service, str]] = {
    "dynamodb": "com.amazonaws.dynamodb.v20120810#InternalServerError",
    "sqs": "com.amazonaws.sqs#InternalFailure",
    "events": "InternalException",
    "secretsmanager": "InternalServiceError",
}
_SLOWED_S: Final = (0.05, 0.5)
# Of calls that time out, this share is carried out after all, so long after the caller has given up: what a dead writer
# has sent may still arrive.
_LATE_SHARE: Final = 0.5
_LATE_S: Final = (0.0, 3.0)
_CONTROL: Final = b"/_torture"
_HEAD_MAX_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Call:
    """One request as it came."""

    head: bytes
    body: bytes
    headers: Mapping[str, str]

    @property
    def service(self) -> Service | None:
        """Whom it is for; ``None`` for services in whose way nothing is put."""
        return _TARGETS.get(self.headers.get("x-amz-target", "").partition(".")[0])

    @property
    def operation(self) -> str:
        """What is asked of it."""
        return self.headers.get("x-amz-target", "").partition(".")[2]


@dataclass(slots=True)
class Chance:
    """Decides what becomes of calls: the n-th call of a service has the same fate whenever the seed is the same.

    Attributes:
        one_in: Of so many calls of a service, each fault hits one; 0: none hits any, and nothing is counted.
        faults: Those that there are.
        services: Those that they hit.
    """

    seed: int
    one_in: int = 0
    faults: Sequence[Fault] = FAULTS
    services: Sequence[Service] = SERVICES
    calls: Counter[str] = field(default_factory=Counter)
    hits: Counter[tuple[str, Fault]] = field(default_factory=Counter)
    _dice: dict[str, random.Random] = field(default_factory=dict)
    _bags: dict[str, list[Fault | None]] = field(default_factory=dict)

    def next(self, service: Service) -> tuple[Fault | None, float]:
        """Return what goes wrong with a service's next call, if anything, and a number from 0 to 1 for its details."""
        if not self.one_in or service not in self.services:
            return None, 0
        dice = self._dice.setdefault(service, random.Random(f"{self.seed} {service}"))
        bag = self._bags.setdefault(service, [])
        if not bag:
            bag += [*self.faults, *[None] * (self.one_in - len(self.faults))]
            dice.shuffle(bag)
        fault = bag.pop()
        self.calls[service] += 1
        if fault is not None:
            self.hits[service, fault] += 1
        return fault, dice.random()

    def to_wire(self) -> dict[str, Any]:
        """Return the counts as JSON."""
        hits: dict[str, dict[str, int]] = {service: {} for service in self.calls}
        for (service, fault), count in self.hits.items():
            hits[service][fault] = count
        return {"calls": dict(self.calls), "hits": hits}


class Proxy:
    """Serves until it is cancelled."""

    def __init__(self, seed: int) -> None:
        self._chance = Chance(seed)
        self._upstream: tuple[str, int] | None = None
        # The loop itself holds on to neither: what nobody holds is collected, calls and all.
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        """Listen; return the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=_HEAD_MAX_BYTES)
        port: int = self._server.sockets[0].getsockname()[1]
        return port

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._hold(self._serve(reader, writer))

    def _hold(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        upstream = _Upstream()
        # Either side may go away at any time: functions are killed, and give up waiting.
        with suppress(asyncio.IncompleteReadError, ConnectionError, OSError):
            while True:
                call = await _read_call(reader)
                if call.head.split(b" ", 2)[1].startswith(_CONTROL):
                    writer.write(self._control(call))
                    continue
                if not await self._handle(call, upstream, reader, writer):
                    break
        upstream.close()
        writer.close()

    async def _handle(
        self, call: Call, upstream: "_Upstream", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answer one call, or not; return whether the connection goes on."""
        if self._upstream is None:
            writer.write(_answer(503, {"__type": "ServiceUnavailable"}))
            return True
        service = call.service
        fault, detail = (None, 0.0) if service is None else self._chance.next(service)
        if fault is None or service is None:
            writer.write(await upstream.carry_out(self._upstream, call))
        elif fault == "slowed":
            await asyncio.sleep(_between(_SLOWED_S, detail))
            writer.write(await upstream.carry_out(self._upstream, call))
        elif fault == "throttled":
            writer.write(_throttled(service, call))
        elif fault == "failed":
            writer.write(_answer(500, {"__type": _FAILED[service], "message": "a fault on purpose"}))
        elif fault == "timed out":
            await reader.read()  # until the caller gives up
            if detail < _LATE_SHARE:
                self._hold(_carry_out_late(self._upstream, call, _between(_LATE_S, detail / _LATE_SHARE)))
            return False
        else:
            await upstream.carry_out(self._upstream, call)
            writer.transport.abort()
            return False
        return True

    def _control(self, call: Call) -> bytes:
        if call.body:
            settings = json.loads(call.body)
            if "upstream" in settings:
                host, _, port = settings["upstream"].rpartition("/")[2].partition(":")
                self._upstream = host, int(port)
            self._chance.one_in = settings.get("one_in", self._chance.one_in)
            self._chance.faults = settings.get("faults", self._chance.faults)
            self._chance.services = settings.get("services", self._chance.services)
        return _answer(200, self._chance.to_wire())


class _Upstream:
    """One connection to the emulator, made when it is first needed."""

    def __init__(self) -> None:
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def carry_out(self, address: tuple[str, int], call: Call) -> bytes:
        """Send the call as it came; return the answer as it came."""
        if self._reader is None or self._writer is None or self._writer.is_closing() or self._reader.at_eof():
            self.close()
            self._reader, self._writer = await asyncio.open_connection(*address, limit=_HEAD_MAX_BYTES)
        self._writer.write(call.head + call.body)
        head = await self._reader.readuntil(b"\r\n\r\n")
        length = int(_headers(head).get("content-length", "0"))
        return head + await self._reader.readexactly(length)

    def close(self) -> None:
        """Close it; it may not be open."""
        if self._writer is not None:
            self._writer.close()


async def _carry_out_late(address: tuple[str, int], call: Call, delay_s: float) -> None:
    await asyncio.sleep(delay_s)
    upstream = _Upstream()
    with suppress(asyncio.IncompleteReadError, ConnectionError, OSError):
        await upstream.carry_out(address, call)
    upstream.close()


async def _read_call(reader: asyncio.StreamReader) -> Call:
    head = await reader.readuntil(b"\r\n\r\n")
    headers = _headers(head)
    return Call(head, await reader.readexactly(int(headers.get("content-length", "0"))), headers)


def _headers(head: bytes) -> dict[str, str]:
    pairs = (line.partition(":") for line in head.decode("latin-1").split("\r\n")[1:])
    return {name.lower(): value.strip() for name, _, value in pairs if name}


def _between(bounds: tuple[float, float], share: float) -> float:
    return bounds[0] + (bounds[1] - bounds[0]) * share


def _throttled(service: Service, call: Call) -> bytes:
    """Refuse as the service does: these two take the whole call, and hand back what they did not do."""
    if call.operation == "BatchWriteItem":
        return _answer(200, {"UnprocessedItems": json.loads(call.body)["RequestItems"]})
    if call.operation == "PutEvents":
        failed = {"ErrorCode": "ThrottlingException", "ErrorMessage": "Rate exceeded"}
        entries = [failed for _ in json.loads(call.body)["Entries"]]
        return _answer(200, {"FailedEntryCount": len(entries), "Entries": entries})
    return _answer(400, {"__type": _THROTTLED[service], "message": "a fault on purpose"})


def _answer(status: int, body: Mapping[str, Any]) -> bytes:
    encoded = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} -\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(encoded)}\r\n\r\n"
    return head.encode() + encoded


class ProxyProcess:
    """The proxy, as who starts it sees it. Use it with ``with``."""

    def __init__(self, seed: int) -> None:
        # It ends when its input does: it can't outlive this process, however that ends.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.torture.proxy", str(seed)],
            cwd=Path(__file__).parents[2],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert self._process.stdout is not None
        self.endpoint = f"http://127.0.0.1:{int(self._process.stdout.readline())}"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def configure(self, **settings: Any) -> None:
        """Set ``upstream`` (an origin), ``one_in`` (of so many calls, each fault hits one; 0: none), and which.

        Which: ``faults``, and ``services``. What is not given stays as it is.
        """
        self._control(settings)

    def counts(self) -> dict[str, Any]:
        """Return ``calls`` by service, and ``hits`` by service and fault, as far as faults were on."""
        return self._control({})

    def _control(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        body = json.dumps(settings).encode() if settings else None
        request = urllib.request.Request(self.endpoint + _CONTROL.decode(), data=body)
        with urllib.request.urlopen(request, timeout=10) as answer:
            result: dict[str, Any] = json.load(answer)
            return result


def shares(counts: Mapping[str, Any]) -> Iterator[tuple[Fault, int, float]]:
    """Yield each fault, how often it hit, and the share of calls that this is."""
    calls = sum(counts["calls"].values())
    for fault in FAULTS:
        hits = sum(of_service.get(fault, 0) for of_service in counts["hits"].values())
        yield fault, hits, hits / max(1, calls)


async def main(seed: int) -> None:
    """Print the port, and serve until standard input ends."""
    port = await Proxy(seed).start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    os._exit(0)  # calls that hang have nobody to answer to


if __name__ == "__main__":
    uvloop.run(main(int(sys.argv[1])))
