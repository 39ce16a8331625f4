"""Five transports, one session: each hears what a WebSocket says, and a session moves between any two of them."""

import asyncio
import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import boto3
import httpx
import pytest

from localstack.stack import LocalStack
from shared.adapters.dynamodb_mailboxes import DynamoDbMailboxStore
from shared.contract import ENV_CONNECTIONS_TABLE, OUTPUT_TABLE_NAMES
from shared.domain.mailbox import MAILBOX_MAX_MESSAGES, Message
from shared.domain.publication import Priority
from tests.integration.client import DEADLINE_S, dev_token
from tests.integration.conftest import Connect
from tests.integration.http_session import HttpSession
from tests.streams import streaming
from tests.torture.checker import RECOVERY_LIMIT, check, read
from tests.torture.http_wire import HttpWire
from tests.torture.journal import Journal
from tests.torture.publisher import Pace, Publisher
from tests.torture.subscriber import OpenWire, Subscriber
from tests.torture.watch import Scene, Watch
from tests.torture.wire import Wire

TRANSPORTS: Final = ("websocket", "sse", "stream", "long_poll", "short_poll")
ITEMS: Final = 12
SSE: Final = {"Accept": "text/event-stream"}
NDJSON: Final = {"Accept": "application/x-ndjson"}


def data_of(frames: Any) -> list[Any]:
    return [frame["data"] for frame in (frames if isinstance(frames, list) else [frames]) if frame["type"] == "event"]


async def test_sse_gives_each_item_before_the_next_is_published(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    publisher = await connect("bob")
    session = HttpSession.open(stack.url, subscribe=[{"channel": channel}])
    headers, seen = session.headers | SSE, 0
    while seen < ITEMS:
        async with streaming(stack.url + session.stream, headers=headers) as lines:
            try:
                while seen < ITEMS:
                    await publisher.publish(channel, seen)
                    event = await lines.sse()
                    assert data_of(json.loads(event["data"])) == [seen]
                    headers["Last-Event-ID"] = event["id"]
                    seen += 1
            except EOFError:
                pass  # its age: the next one goes on


async def test_lines_of_json_give_each_item_before_the_next_is_published(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    publisher = await connect("bob")
    session = HttpSession.open(stack.url, subscribe=[{"channel": channel}])
    async with streaming(stack.url + session.stream, headers=session.headers | NDJSON) as lines:
        for number in range(5):
            await publisher.publish(channel, number)
            assert data_of((await lines.ndjson())["frames"]) == [number]


@pytest.mark.parametrize("wait_s", [0, 20])
async def test_both_pollings_hear_what_a_websocket_says(
    everywhere: httpx.Client, stack: LocalStack, connect: Connect, channel: str, wait_s: int
) -> None:
    publisher = await connect("bob")
    bearer = {"Authorization": f"Bearer {dev_token(stack.url, 'ann')}"}
    body = {"protocol": 1, "subscribe": [{"channel": channel}]}
    session = HttpSession(await asyncio.to_thread(_posted, everywhere, "/v1/sessions", bearer, body))
    heard: list[Any] = []
    for number in range(3):
        polling = asyncio.create_task(_polled_until_heard(everywhere, session, wait_s))
        await publisher.publish(channel, number)
        heard += await polling
    assert heard == [0, 1, 2]


def _posted(http: httpx.Client, path: str, headers: dict[str, str], body: Any) -> Any:
    return http.post(path, json=body, headers=headers).raise_for_status().json()


async def _polled_until_heard(http: httpx.Client, session: HttpSession, wait_s: int) -> list[Any]:
    heard: list[Any] = []
    while not heard:
        parameters: dict[str, Any] = {"wait_s": wait_s} | ({"cursor": session.cursor} if session.cursor else {})
        answer = await asyncio.to_thread(http.get, session.path, params=parameters, headers=session.headers)
        batch = answer.raise_for_status().json()
        session.cursor, heard = batch["cursor"], data_of(batch["frames"])
    return heard


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
async def test_curl_shows_a_channel(stack: LocalStack, connect: Connect, channel: str) -> None:
    publisher = await connect("bob")
    address = f"{stack.url}/v1/stream/events?channel={channel}"
    bearer = f"Authorization: Bearer {dev_token(stack.url, 'ann')}"
    curl = await asyncio.create_subprocess_exec(*("curl", "-sN", "-H", bearer, address), stdout=asyncio.subprocess.PIPE)
    assert curl.stdout is not None
    try:
        assert (await asyncio.wait_for(curl.stdout.readline(), DEADLINE_S)).startswith(b"retry:")
        for number in range(3):
            await publisher.publish(channel, number)
            while not (line := await asyncio.wait_for(curl.stdout.readline(), DEADLINE_S)).startswith(b"data:"):
                assert line
            assert json.loads(line.removeprefix(b"data: "))["data"] == number
    finally:
        curl.kill()
        await curl.wait()


async def test_every_request_type_works_by_http(stack: LocalStack, channel: str) -> None:
    session = HttpSession.open(stack.url)
    asked: list[dict[str, Any]] = [
        {"type": "ping"},
        {"type": "subscribe", "channel": channel},
        {"type": "publish", "channel": channel, "name": "said", "data": 1, "priority": "express"},
        {"type": "history", "channel": channel},
        {"type": "ack", "channel": channel, "offset": 1},
        {"type": "send", "to": {"user_id": "ann"}, "name": "note", "data": 2},
        {"type": "unsubscribe", "channel": channel},
    ]
    replies = session.send(stack.url, *asked)
    assert [reply["type"] for reply in replies] == ["pong", *["reply"] * 6]
    position = replies[2]["result"]["position"]
    [synced] = session.send(stack.url, {"type": "sync", "positions": {channel: position}})
    assert synced["result"]["behind"] == {}
    assert all("error" not in reply for reply in replies), replies
    heard: list[Any] = []
    while len(heard) < 2:
        heard += data_of(session.poll(stack.url, wait_s=20))
    assert sorted(heard) == [1, 2]


async def test_what_is_too_large_for_a_websockets_frame_goes_by_http(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    """A WebSocket's session gets a token, stays where it is, and hears what was posted for it."""
    client = await connect("ann", subscribe=[{"channel": channel}])
    session = HttpSession.open(stack.url, session_id=client.welcome["session_id"])
    assert session.answer["connection_id"] == client.welcome["connection_id"]
    frames = [
        {"type": "publish", "channel": channel, "name": "said", "data": "x" * 20_000, "priority": "express"}
        for _ in range(4)
    ]
    assert all("result" in reply for reply in session.send(stack.url, *frames))
    await client.wait_for_events(channel, 4)


async def test_a_reader_that_is_too_slow_is_told_where_its_channels_are(
    stack: LocalStack, connect: Connect, channel: str
) -> None:
    """As much waits for it as a mailbox holds, and more comes: that, it is told to fetch from the log."""
    publisher = await connect("bob")
    session = HttpSession.open(stack.url, subscribe=[{"channel": channel}])
    table = stack.outputs[OUTPUT_TABLE_NAMES[ENV_CONNECTIONS_TABLE]]
    store, mailbox_id = DynamoDbMailboxStore(boto3.client("dynamodb"), table), session.answer["connection_id"]

    def fill(_: int) -> int:
        taken = store.number(mailbox_id, now_s=0)
        assert taken is not None
        store.put(mailbox_id, Message(taken.last, '{"type":"system"}', 0), expires_at_s=2**31)
        return taken.last

    with ThreadPoolExecutor(8) as writers:
        taken = sorted(writers.map(fill, range(MAILBOX_MAX_MESSAGES)))
    assert taken == [*range(1, MAILBOX_MAX_MESSAGES + 1)], "each writer has a number of its own"
    for number in range(3):
        await publisher.publish(channel, number, priority="express")
    frames: list[Any] = []
    while not (lagged := [frame for frame in frames if frame.get("event") == "lagged" and frame["channel"] == channel]):
        frames += await asyncio.to_thread(session.poll, stack.url)
    assert data_of(frames) == []
    assert lagged[0]["position"]["offset"] == 3
    since = {"epoch": lagged[0]["position"]["epoch"], "offset": 0}
    [reply] = session.send(stack.url, {"type": "history", "channel": channel, "since": since})
    assert [event["data"] for event in reply["result"]["publications"]] == [0, 1, 2]
    await publisher.publish(channel, 3, priority="express")
    assert data_of(await asyncio.to_thread(session.poll, stack.url, wait_s=20)) == [3]


# from one to another


def circuit(start: int) -> list[str]:
    """Return a way along every ordered pair of transports, each once, from one of them back to it."""
    unused = {one: [other for other in TRANSPORTS if other != one] for one in TRANSPORTS}
    way: list[str] = []
    stack_ = [TRANSPORTS[start % len(TRANSPORTS)]]
    while stack_:  # Hierholzer's
        if unused[stack_[-1]]:
            stack_.append(unused[stack_[-1]].pop())
        else:
            way.append(stack_.pop())
    return way[::-1]


def test_a_circuit_has_every_ordered_pair_once() -> None:
    for start in range(len(TRANSPORTS)):
        way = circuit(start)
        assert sorted(itertools.pairwise(way)) == sorted(itertools.permutations(TRANSPORTS, 2))


def moving(way: Sequence[str], opened: list[str], wires: list[HttpWire]) -> OpenWire:
    """Return how a subscriber opens its connections: along the way, and then by the last one."""

    async def open_(url: str, on_push: Callable[[Any], None]) -> Any:
        transport = way[min(len(opened), len(way) - 1)]
        opened.append(transport)
        if transport == "websocket":
            return await Wire.open(url, on_push)
        wires.append(await HttpWire.open(url, on_push, transport))  # type: ignore[arg-type]
        return wires[-1]

    return open_


PUBLICATIONS: Final = 5_000
CHANNELS: Final = 5
RATE_PER_S: Final = 200  # of all: functions and clients share the machine
# By itself each `express` costs a machine with two cores as much as ten in a lane.
WEIGHTS: Final[dict[Priority, int]] = {"express": 5, "high": 30, "normal": 30, "low": 30}
# Each channel's two movers are never further behind than can be recovered.
AHEAD_MAX: Final = RECOVERY_LIMIT // 2


@pytest.mark.timeout(600)
async def test_a_session_moves_between_all_of_them_and_loses_and_repeats_nothing(
    stack: LocalStack, tmp_path: Path
) -> None:
    channels = [f"room:move-{tmp_path.name}-{number}" for number in range(CHANNELS)]
    path = tmp_path / "journal.jsonl"
    with Journal(path) as journal:
        scene = Scene(stack.url, journal, Watch(audience=2), seed=20261125)
        publishers = [
            Publisher(name, dev_token(stack.url, name), [channel], scene, weights=WEIGHTS)
            for name, channel in ((f"publisher-{number}", channel) for number, channel in enumerate(channels))
        ]
        ways = [circuit(number) for number in range(len(TRANSPORTS))]
        opened: list[list[str]] = [[] for _ in ways]
        wires: list[HttpWire] = []
        movers = [
            Subscriber(
                f"mover-{number}-{tmp_path.name}",
                dev_token(stack.url, f"moving-{number}"),
                [channels[number], channels[(number + 1) % CHANNELS]],
                scene,
                open_wire=moving(way, opened[number], wires),
                keeps_session=1,
            )
            for number, way in enumerate(ways)
        ]
        async with asyncio.TaskGroup() as group:
            running, pace = [], Pace(scene.watch, RATE_PER_S, AHEAD_MAX, warm_after=1)
            for mover in movers:
                running.append(group.create_task(mover.run()))
                await mover.subscribed.wait()
            publishing = [group.create_task(publisher.run(PUBLICATIONS // CHANNELS, pace)) for publisher in publishers]
            moves = len(ways[0]) - 1
            for move in range(1, moves + 1):
                # Each in the midst of publications: as many of them between two moves as there are.
                await scene.watch.settled_in_all(move * PUBLICATIONS // (moves + 2))
                for mover in movers:
                    await mover.connected.wait()
                    mover.cut(half_open=False)
            await asyncio.wait(publishing)
            while not all(await asyncio.gather(*(mover.at_the_end() for mover in movers))):
                await asyncio.sleep(0.2)  # the log does not tell when it changes
            for task in running:
                task.cancel()
    await asyncio.gather(*(wire.close() for wire in wires))
    report = check(read(path))
    assert report.findings == []
    assert (report.publications, report.acknowledged) == (PUBLICATIONS, PUBLICATIONS)
    assert report.too_far_behind == 0
    for way, have in zip(ways, opened, strict=True):
        assert set(itertools.pairwise(have)) >= set(itertools.pairwise(way))
