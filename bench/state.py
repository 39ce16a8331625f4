"""State documents: how long a change takes to every subscriber, and what a small patch costs to write."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Any, Final

import boto3

from bench.latency import connected
from bench.results import Bar, NotMeasuredError, Report, Row, percentile
from localstack.stack import LocalStack
from shared.adapters.dynamodb_documents import DynamoDbDocumentStore
from shared.contract import ENV_STATE_TABLE, OUTPUT_TABLE_NAMES
from shared.domain.principal import Principal
from shared.services.documents import Write
from tests.integration.client import dev_token
from tests.torture.wire import Wire
from tests.unit.stack import MemoryStack

SUBSCRIBERS: Final = (1, 10, 100)
WARM_UP: Final = 10
SAMPLES: Final = 60
RATE_PER_S: Final = 4
DOCUMENT_BYTES: Final = (1_000, 50_000)
PATCH_BYTES: Final = 200
PATCHES: Final = 600
BAR_UNITS: Final = 2.0


def run(stack: LocalStack) -> Report:
    """Measure how long changes take."""
    rows = []
    for count in SUBSCRIBERS:
        taken_ms = asyncio.run(_latency(stack.url, count))
        rows.append(Row(f"{count}", {"p50": percentile(taken_ms, 50), "p99": percentile(taken_ms, 99)}))
    setting = f"{SAMPLES} patches, {RATE_PER_S} a second, to the push that the last subscriber gets, milliseconds"
    return Report("state", "State change to every subscriber", setting, rows)


def run_units(stack: LocalStack) -> Report:
    """Measure what patches cost."""
    rows, bars = [], []
    for size in DOCUMENT_BYTES:
        written, read = _units(stack, size)
        rows.append(Row(f"{size // 1_000} KB", {"write units": written, "read units": read}))
        bars.append(Bar(f"write units of a patch to {size // 1_000} KB:", written, BAR_UNITS))
    setting = f"each of {PATCHES} patches of {PATCH_BYTES} bytes by one process, snapshots and deletions included"
    return Report("state_units", "Units for a patch, by the document's size", setting, rows, bars)


async def _latency(url: str, count: int) -> list[float]:
    channel, taken_ms = f"room:bench-state-{secrets.token_hex(4)}", list[float]()
    heard: dict[int, int] = {}  # version: how many have it
    complete: dict[int, asyncio.Future[int]] = {}

    def on_push(frame: Any) -> None:
        if frame["type"] != "state":
            return
        version = frame["version"]
        heard[version] = heard.get(version, 0) + 1
        if heard[version] == count:
            complete.setdefault(version, asyncio.get_running_loop().create_future()).set_result(time.perf_counter_ns())

    async with AsyncExitStack() as opened:
        writer = await connected(url, "writer", opened)
        for number in range(count):
            reader = await Wire.open(url, on_push)
            opened.push_async_callback(reader.close)
            subscribe = [{"channel": channel, "state": True}]
            token = dev_token(url, f"reader-{number}")
            await reader.ask({"type": "hello", "protocol": 1, "token": token, "subscribe": subscribe})
        for number in range(1, WARM_UP + SAMPLES + 1):
            sent_ns = time.perf_counter_ns()
            result = await writer.ask("state.patch", channel=channel, key="board", patch={"n": number})
            if result["version"] != number:
                raise NotMeasuredError("somebody else writes here")
            all_have = complete.setdefault(number, asyncio.get_running_loop().create_future())
            async with asyncio.timeout(30):
                taken_ms.append((await all_have - sent_ns) / 1e6)
            await asyncio.sleep(max(0.0, 1 / RATE_PER_S - (time.perf_counter_ns() - sent_ns) / 1e9))
    return taken_ms[WARM_UP:]


def _units(stack: LocalStack, size: int) -> tuple[float, float]:
    """Return what a patch writes and reads, as DynamoDB tells it."""
    told = {"written": 0.0, "read": 0.0}
    client = boto3.client("dynamodb")
    client.meta.events.register("provide-client-params.dynamodb.*", _asking)
    client.meta.events.register("after-call.dynamodb.*", _adding(told))
    memory = MemoryStack("[namespaces.room]\npublish_rate_per_s = 10000\nchannel_rate_per_s = 10000")
    store = DynamoDbDocumentStore(client, stack.outputs[OUTPUT_TABLE_NAMES[ENV_STATE_TABLE]])
    documents = replace(memory.documents, store=store)
    ann = Principal("ann", {"room:*": ["state.write"]})
    channel = f"room:bench-units-{secrets.token_hex(4)}"
    documents.write(ann, Write(channel, "doc", value={"text": "x" * size}))
    told.update(written=0.0, read=0.0)
    for number in range(PATCHES):
        memory.clock.pass_s(1)
        text = str(number).zfill(PATCH_BYTES - len('{"f0":""}'))
        documents.write(ann, Write(channel, "doc", patch={f"f{number % 10}": text}))
    return told["written"] / PATCHES, told["read"] / PATCHES


def _asking(params: dict[str, Any], **_event: Any) -> None:
    params["ReturnConsumedCapacity"] = "TOTAL"


def _adding(told: dict[str, float]) -> Callable[..., None]:
    def add(parsed: dict[str, Any], model: Any, **_event: Any) -> None:
        consumed = parsed.get("ConsumedCapacity", [])
        kind = "read" if model.name in ("GetItem", "Query", "BatchGetItem") else "written"
        for one in consumed if isinstance(consumed, list) else [consumed]:
            told[kind] += one["CapacityUnits"]

    return add
