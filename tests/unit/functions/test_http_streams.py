"""Sessions by HTTP, through the app: the calls, both pollings, SSE and lines of JSON."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from functions.http_api import streams
from functions.http_api.app import create_app, use
from shared.adapters.memory import MemoryMailboxStore
from shared.bootstrap import Services
from shared.domain.held_stream import HeldStream
from shared.domain.publication import StreamPosition
from shared.errors import UnavailableError
from shared.services.channel_tail import Onlooker
from tests.streams import streaming
from tests.unit.functions.conftest import services_of
from tests.unit.functions.served import served
from tests.unit.functions.test_http_app import problem_of
from tests.unit.stack import MemoryStack

ROOM = "room:a"
SUPERSEDED = {"type": "system", "event": "superseded"}
SSE = {"Accept": "text/event-stream"}
NDJSON = {"Accept": "application/x-ndjson"}


@pytest.fixture
def services(stack: MemoryStack) -> Services:
    return services_of(stack)


@pytest.fixture(scope="module")
def app() -> Iterator[tuple[FastAPI, str]]:
    """The app, served: it takes longer to start than a test to run."""
    made = create_app(services_of(MemoryStack()))
    with served(made) as origin:
        yield made, origin


@pytest.fixture
def url(app: tuple[FastAPI, str], services: Services) -> str:
    use(app[0], services)
    return app[1]


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url, timeout=20) as client:
        yield client


class Session:
    """A session, as its client knows it."""

    def __init__(self, answer: dict[str, Any]) -> None:
        self.answer = answer
        self.path = f"/v1/sessions/{answer['session_id']}"
        self.stream = f"/v1/stream/sessions/{answer['session_id']}"
        self.headers = {"Authorization": f"Bearer {answer['session_token']}"}


async def opened(
    http: httpx.AsyncClient, stack: MemoryStack, user_id: str = "ann", channel: str = ROOM, **body: Any
) -> Session:
    body = {"protocol": 1, "subscribe": [{"channel": channel}], **body}
    answer = await http.post("/v1/sessions", json=body, headers={"Authorization": f"Bearer {stack.token(user_id)}"})
    assert answer.status_code == 200, answer.text
    return Session(answer.json())


def publish(stack: MemoryStack, *names: str) -> None:
    if "bob" not in stack.transport.inboxes:
        stack.connect("bob", "bob")
    for name in names:
        assert "result" in stack.ask(
            "bob", {"type": "publish", "channel": ROOM, "name": name, "data": "ü\x85\u2028\u2029"}
        )
        stack.drain()


def names(frames: Any) -> list[str]:
    frames = frames if isinstance(frames, list) else [frames]
    return [frame["name"] for frame in frames if frame["type"] == "event"]


async def test_a_session_sends_frames_and_polls(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    assert [one["channel"] for one in session.answer["subscriptions"]] == [ROOM]
    frames = [{"type": "publish", "id": 1, "channel": ROOM, "name": "said", "data": 1}, {"type": "ping", "id": 2}]
    replies = (await http.post(f"{session.path}/frames", json=frames, headers=session.headers)).json()
    assert [reply["type"] for reply in replies] == ["reply", "pong"]
    stack.drain()
    first = (await http.get(f"{session.path}/frames", headers=session.headers)).json()
    assert names(first["frames"]) == ["said"]
    second = await http.get(f"{session.path}/frames", params={"cursor": first["cursor"]}, headers=session.headers)
    assert second.json()["frames"] == []


async def test_commands_over_sessions(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    """The server's are answered at once, a peer's by the poll."""
    ann, bob = await opened(http, stack), await opened(http, stack, "bob", "room:b")

    async def send(session: Session, frames: Any) -> Any:
        replies = (await http.post(f"{session.path}/frames", json=frames, headers=session.headers)).json()
        stack.drain()
        return replies

    async def polled(session: Session, kind: str) -> list[dict[str, Any]]:
        frames = (await http.get(f"{session.path}/frames", headers=session.headers)).json()["frames"]
        return [frame for frame in frames if frame["type"] == kind]

    roll = {"type": "command", "id": 1, "name": "dice.roll", "data": {"channel": ROOM}}
    peer = {"type": "command", "id": 2, "name": "n", "data": 1, "to": {"user_id": "bob"}}
    assert [(reply["id"], reply["result"].keys()) for reply in await send(ann, [roll, peer])] == [(1, {"data"})]
    assert await send(ann, peer | {"id": 3}) == []
    for push in await polled(bob, "command"):
        answer = {"type": "result", "id": 1, "command_id": push["command_id"], "data": push["name"]}
        assert await send(bob, answer) == [{"type": "reply", "id": 1, "result": {}}]
    replies = await polled(ann, "reply")
    assert [(frame["id"], frame["result"]) for frame in replies] == [(2, {"data": "n"}), (3, {"data": "n"})]


async def test_a_waiting_poll_answers_as_something_comes(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    store = stack.mailbox_store
    looked: list[int] = []
    look = store.look

    def publishing(awaited: Any) -> Any:
        if not looked:
            publish(stack, "one")
        looked.append(1)
        return look(awaited)

    store.look = publishing  # type: ignore[method-assign]
    answer = await http.get(f"{session.path}/frames", params={"wait_s": 25}, headers=session.headers)
    assert names(answer.json()["frames"]) == ["one"]


async def test_a_waiting_poll_answers_in_time(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    answer = await http.get(f"{session.path}/frames", params={"wait_s": 1}, headers=session.headers)
    assert answer.json()["frames"] == []


async def test_a_store_that_does_not_answer_for_a_while_ends_no_wait(
    http: httpx.AsyncClient, stack: MemoryStack
) -> None:
    session = await opened(http, stack)
    look, failing = stack.mailbox_store.look, [UnavailableError(), UnavailableError()]

    def looking(awaited: Any) -> Any:
        if failing:
            raise failing.pop()
        publish(stack, "one")
        return look(awaited)

    stack.mailbox_store.look = looking  # type: ignore[method-assign]
    answer = await http.get(f"{session.path}/frames", params={"wait_s": 25}, headers=session.headers)
    assert names(answer.json()["frames"]) == ["one"]


async def test_an_event_stream_gives_each_item_before_the_next(url: str, http: Any, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    async with streaming(url + session.stream, headers=session.headers | SSE) as lines:
        assert lines.response.headers["content-type"].startswith("text/event-stream")
        cursor = ""
        for number in range(5):
            publish(stack, f"n{number}")
            event = await lines.sse()
            assert names(json.loads(event["data"])) == [f"n{number}"]
            assert event["id"] not in ("", cursor)
            cursor = event["id"]
    publish(stack, "later")
    async with streaming(url + session.stream, headers=session.headers | SSE | {"Last-Event-ID": cursor}) as lines:
        assert names(json.loads((await lines.sse())["data"])) == ["later"]


async def test_lines_of_json_give_each_item_before_the_next(url: str, http: Any, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    async with streaming(url + session.stream, headers=session.headers | NDJSON) as lines:
        for number in range(5):
            publish(stack, f"n{number}")
            batch = await lines.ndjson()
            assert names(batch["frames"]) == [f"n{number}"]
    publish(stack, "later")
    cursor = {"cursor": batch["cursor"]}
    async with streaming(url + session.stream, params=cursor, headers=session.headers | NDJSON) as lines:
        assert names((await lines.ndjson())["frames"]) == ["later"]


async def test_a_stream_ends_at_its_age_and_the_next_goes_on(
    url: str, http: Any, stack: MemoryStack, services: Services
) -> None:
    services.settings = replace(services.settings, stream_max_age_s=1)
    session = await opened(http, stack)
    async with streaming(url + session.stream, headers=session.headers | SSE) as lines:
        publish(stack, "one")
        cursor = (await lines.sse())["id"]
        with pytest.raises(EOFError):
            await lines.sse()
    publish(stack, "two")
    async with streaming(url + session.stream, headers=session.headers | SSE | {"Last-Event-ID": cursor}) as lines:
        assert names(json.loads((await lines.sse())["data"])) == ["two"]


async def test_what_only_holds_answers_polls_and_no_other_calls(stack: MemoryStack, services: Services) -> None:
    async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app(services)), base_url="http://all") as http:
        session = await opened(http, stack)
    transport = httpx.ASGITransport(create_app(services, calls=False))
    async with httpx.AsyncClient(transport=transport, base_url="http://streams") as http:
        publish(stack, "one")
        answer = await http.get(f"{session.path}/frames", params={"wait_s": 1}, headers=session.headers)
        assert [frame["name"] for frame in answer.json()["frames"]] == ["one"]
        assert (await http.get(f"{session.path}/frames")).status_code == 401
        refused = [
            await http.post(f"{session.path}/frames"),
            await http.delete(session.path),
            await http.get("/readyz"),
        ]
        assert [one.status_code for one in refused] == [405, 404, 404]


async def test_the_newer_reader_ends_the_older_stream(url: str, http: Any, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    async with (
        streaming(url + session.stream, headers=session.headers | SSE) as older,
        streaming(url + session.stream, headers=session.headers | NDJSON) as newer,
    ):
        assert json.loads((await older.sse())["data"]) == SUPERSEDED
        with pytest.raises(EOFError):
            await older.sse()
        publish(stack, "one")
        assert names((await newer.ndjson())["frames"]) == ["one"]


async def test_the_newer_reader_ends_the_older_poll(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    look, polls = stack.mailbox_store.look, list[Any]()

    def looking(awaited: Any) -> Any:
        if not polls:
            polls.append(stack.mailbox_reader.begin(session.answer["session_id"], "ann", None, "stream"))
        return look(awaited)

    stack.mailbox_store.look = looking  # type: ignore[method-assign]
    answer = await http.get(f"{session.path}/frames", params={"wait_s": 25}, headers=session.headers)
    assert answer.json()["frames"] == [SUPERSEDED]


async def test_a_failure_of_any_kind_keeps_nobody_waiting(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    look, failing = stack.mailbox_store.look, [KeyError("unexpected")]

    def looking(awaited: Any) -> Any:
        if failing:
            raise failing.pop()
        publish(stack, "one")
        return look(awaited)

    stack.mailbox_store.look = looking  # type: ignore[method-assign]
    answer = await http.get(f"{session.path}/frames", params={"wait_s": 25}, headers=session.headers)
    assert names(answer.json()["frames"]) == ["one"]


async def test_whoever_takes_nothing_is_let_go(
    url: str, http: Any, stack: MemoryStack, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "_SLOW_READER_S", 0)
    services.settings = replace(services.settings, stream_max_age_s=1)
    session = await opened(http, stack)
    for _ in range(400):
        stack.mailboxes.push(session.answer["connection_id"], b'{"type":"x","data":"' + b"x" * 30_000 + b'"}')
    host, _, port = url.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1024)
    request = f"GET {session.stream} HTTP/1.1\r\nHost: x\r\nAuthorization: {session.headers['Authorization']}\r\n\r\n"
    writer.write(request.encode())
    await reader.read(100)
    held = services.held_streams.held  # type: ignore[attr-defined]
    while held:
        await asyncio.sleep(0.05)  # the count does not tell when it changes
    writer.close()


async def test_a_ticket_opens_a_stream_once_and_again_with_its_cursor(url: str, http: Any, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    ticket = (await http.post("/v1/tickets", headers={"Authorization": f"Bearer {stack.token('ann')}"})).json()
    address = f"{url}{session.stream}?ticket={ticket['ticket']}"
    publish(stack, "one", "two")
    async with streaming(address, headers=SSE) as lines:
        cursor = (await lines.sse())["id"]
    problem_of(await http.get(address, headers=SSE), 401, "unauthenticated")
    async with streaming(address, headers=SSE | {"Last-Event-ID": cursor}) as lines:
        assert names(json.loads((await lines.sse())["data"])) == ["two"]
    problem_of(await http.get(address, headers=SSE | {"Last-Event-ID": cursor[:-3]}), 401, "unauthenticated")


async def test_a_user_has_so_many_streams(url: str, http: Any, stack: MemoryStack, services: Services) -> None:
    session = await opened(http, stack)
    address = f"{url}/v1/stream/events?channel={ROOM}"
    headers = {"Authorization": f"Bearer {stack.token('ann')}"}
    now_s = stack.clock() // 1000 + 10_000_000
    for number in range(services.settings.limits.user_held_streams):
        assert services.held_streams.hold(
            HeldStream(str(number), "ann", "", now_s), user_at_most=99, address_at_most=99, at_most=99, now_s=0
        )
    for answer in (
        await http.get(address, headers=headers),
        await http.get(session.stream, headers=session.headers | SSE),
    ):
        problem = problem_of(answer, 503, "unavailable")
        assert problem["retry_after_ms"] > 0
    # A poll is answered all the same: at once.
    answer = await http.get(f"{session.path}/frames", params={"wait_s": 25}, headers=session.headers)
    assert answer.json()["frames"] == []
    services.held_streams.release("0")
    async with streaming(url + session.stream, headers=session.headers | SSE) as lines:
        publish(stack, "one")
        await lines.sse()


async def test_a_channel_is_followed_without_a_session(url: str, http: Any, stack: MemoryStack) -> None:
    publish(stack, "before")
    address = f"{url}/v1/stream/events?channel={ROOM}"
    headers = {"Authorization": f"Bearer {stack.token('ann')}"}
    async with streaming(address, headers=headers) as lines:
        publish(stack, "one")
        event = await lines.sse()
        assert names(json.loads(event["data"])) == ["one"]
    publish(stack, "two", "three")
    async with streaming(address, headers=headers | {"Last-Event-ID": event["id"]}) as lines:
        assert names(json.loads((await lines.sse())["data"])) == ["two"]
        stack.streams.purge(ROOM)
        assert names(json.loads((await lines.sse())["data"])) == ["three"]
        publish(stack, "four")
        assert names(json.loads((await lines.sse())["data"])) == ["four"]


async def test_a_channels_cursor_ends_with_its_token(url: str, http: Any, stack: MemoryStack) -> None:
    until_s = stack.clock() // 1000 + 60
    onlooker = Onlooker("ann", ROOM, until_s, issued_at_s=1)
    publish(stack, "one")
    _, [read] = stack.channel_tail.read(onlooker, StreamPosition("?", 0))
    address, cursor = f"{url}/v1/stream/events?channel={ROOM}&ticket=used", {"Last-Event-ID": read.cursor}
    publish(stack, "two")
    async with streaming(address, headers=cursor) as lines:
        assert names(json.loads((await lines.sse())["data"])) == ["two"]
        stack.clock.pass_s(61)
        publish(stack, "three")
        with pytest.raises(EOFError):
            await lines.sse()
    problem_of(await http.get(address, headers=cursor), 401, "unauthenticated")


# bad input


async def test_who_opens_too_many_sessions_is_told(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    for _ in range(400):
        if (answer := await http.post("/v1/sessions", json={"protocol": 1}, headers=bearer)).status_code != 200:
            break
    problem_of(answer, 429, "rate_limited")


async def test_a_session_needs_a_user(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    problem_of(await http.post("/v1/sessions", json={"protocol": 1}), 401, "unauthenticated")
    bearer = {"Authorization": f"Bearer {stack.token('ann')}"}
    problem_of(await http.post("/v1/sessions", json={"protocol": 2}, headers=bearer), 400, "unsupported_protocol")
    problem_of(await http.post("/v1/sessions", json={}, headers=bearer), 422, "invalid_field")
    unknown = {"protocol": 1, "session_id": "nobody"}
    problem_of(await http.post("/v1/sessions", json=unknown, headers=bearer), 410, "session_unknown")
    assert (await http.post("/v1/sessions", json={"protocol": 1, "token": stack.token("ann")})).status_code == 200


@pytest.mark.parametrize("call", ["post", "poll", "stream", "delete"])
async def test_a_session_is_reached_by_its_own_token_alone(
    http: httpx.AsyncClient, stack: MemoryStack, call: str
) -> None:
    session, others = await opened(http, stack), await opened(http, stack, "eve")
    user = {"Authorization": f"Bearer {stack.token('ann')}"}
    for headers in ({}, user, others.headers, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp4"}):
        match call:
            case "post":
                answer = await http.post(f"{session.path}/frames", content=b"{}", headers=headers)
            case "poll":
                answer = await http.get(f"{session.path}/frames", headers=headers)
            case "stream":
                answer = await http.get(session.stream, headers=headers)
            case _:
                answer = await http.delete(session.path, headers=headers)
        problem_of(answer, 401, "unauthenticated")


async def test_a_session_that_has_ended_is_unknown(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    assert (await http.delete(session.path, headers=session.headers)).status_code == 204
    for answer in (
        await http.post(f"{session.path}/frames", content=b"{}", headers=session.headers),
        await http.get(f"{session.path}/frames", headers=session.headers),
        await http.get(session.stream, headers=session.headers),
        await http.delete(session.path, headers=session.headers),
    ):
        problem_of(answer, 410, "session_unknown")


@pytest.mark.parametrize("wait_s", ["-1", "26", "many", "1.5"])
async def test_a_wait_out_of_range_is_told(http: httpx.AsyncClient, stack: MemoryStack, wait_s: str) -> None:
    session = await opened(http, stack)
    answer = await http.get(f"{session.path}/frames", params={"wait_s": wait_s}, headers=session.headers)
    assert problem_of(answer, 422, "invalid_field")["details"]["fields"][0]["field"] == "wait_s"


async def test_an_empty_cursor_is_none(url: str, http: httpx.AsyncClient, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    publish(stack, "one")
    polled = await http.get(f"{session.path}/frames", params={"cursor": ""}, headers=session.headers)
    assert names(polled.json()["frames"]) == ["one"]
    async with streaming(f"{url}{session.stream}?cursor=", headers=session.headers | NDJSON) as stream:
        assert names((await stream.ndjson())["frames"]) == ["one"]


async def test_a_cursor_of_somebody_else_is_refused(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    mine, second, eves = [await opened(http, stack, user) for user in ("ann", "ann", "eve")]
    cursors = ["forged", mine.answer["session_token"]]
    for other in (second, eves):
        cursors.append((await http.get(f"{other.path}/frames", headers=other.headers)).json()["cursor"])
    for cursor in cursors:
        answer = await http.get(f"{mine.path}/frames", params={"cursor": cursor}, headers=mine.headers)
        problem_of(answer, 403, "forbidden")
        stream = await http.get(mine.stream, headers=mine.headers | SSE | {"Last-Event-ID": cursor})
        problem_of(stream, 403, "forbidden")


@pytest.mark.parametrize(
    ("accept", "served_as"), [("*/*", "text/event-stream"), ("text/html, application/*", "x-ndjson")]
)
async def test_what_a_client_takes_decides(
    url: str, http: Any, stack: MemoryStack, accept: str, served_as: str
) -> None:
    session = await opened(http, stack)
    async with streaming(url + session.stream, headers=session.headers | {"Accept": accept}) as lines:
        assert served_as in lines.response.headers["content-type"]
        assert "content-encoding" not in lines.response.headers, "who reads waits for what would be compressed with it"
    refused = await http.get(session.stream, headers=session.headers | {"Accept": "text/html"})
    assert refused.status_code == 406


async def test_frames_that_are_none_are_told_in_a_reply(http: httpx.AsyncClient, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    for body in (b"", b"{", b"[]", b'"x"'):
        [reply] = (await http.post(f"{session.path}/frames", content=body, headers=session.headers)).json()
        assert (reply["id"], reply["error"]["name"]) == (None, "bad_frame")


async def test_a_stream_whose_store_fails_ends(url: str, http: Any, stack: MemoryStack) -> None:
    session = await opened(http, stack)
    read = MemoryMailboxStore.read

    async with streaming(url + session.stream, headers=session.headers | SSE) as lines:
        publish(stack, "one")
        await lines.sse()

        def failing(*_arguments: Any, **_more: Any) -> Any:
            raise UnavailableError

        stack.mailbox_store.read = failing  # type: ignore[method-assign]
        publish(stack, "two")
        with pytest.raises(EOFError):
            await lines.sse()
    stack.mailbox_store.read = lambda *arguments, **more: read(stack.mailbox_store, *arguments, **more)  # type: ignore[method-assign]
    async with streaming(url + session.stream, headers=session.headers | SSE) as lines:
        assert names(json.loads((await lines.sse())["data"])) == ["one"]


async def test_an_idle_stream_reads_nothing_until_something_has_come(
    url: str, http: Any, stack: MemoryStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(streams, "PING_S", 0.2)  # longer than until the next look
    session = await opened(http, stack)
    read, asked = stack.mailbox_store.read, list[int]()

    def counting(mailbox_id: str, after: int, *, limit: int) -> Any:
        asked.append(after)
        return read(mailbox_id, after, limit=limit)

    stack.mailbox_store.read = counting  # type: ignore[method-assign]
    async with streaming(url + session.stream, headers=session.headers | NDJSON) as lines:
        raw = lines.response.aiter_lines()
        for _ in range(8):
            assert await anext(raw) == ""
        assert asked == [0], "a ping is no reason to read"
        publish(stack, "one")
        while not (line := await anext(raw)):
            pass
        assert names(json.loads(line)["frames"]) == ["one"]


async def test_a_process_that_ends_lets_everybody_go(url: str, http: Any, stack: MemoryStack, app: Any) -> None:
    session = await opened(http, stack)
    watcher = app[0].state.watcher
    look = stack.mailbox_store.look

    def closing(awaited: Any) -> Any:
        watcher.close()
        return look(awaited)

    stack.mailbox_store.look = closing  # type: ignore[method-assign]
    async with streaming(url + session.stream, headers=session.headers | SSE) as lines:
        with pytest.raises(EOFError):
            await lines.sse()
    answer = await http.get(f"{session.path}/frames", params={"wait_s": 25}, headers=session.headers)
    assert answer.json()["frames"] == []
    headers = {"Authorization": f"Bearer {stack.token('ann')}"}
    async with streaming(f"{url}/v1/stream/events?channel={ROOM}", headers=headers) as lines:
        with pytest.raises(EOFError):
            await lines.sse()
