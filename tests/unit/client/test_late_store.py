"""A store that is opened when it is known whose it is, and the client that has one."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.unit.client.fakes import HELLO
from tests.unit.client.set_up import SetUp, kind_of, set_up
from tidewire.errors import TidewireError
from tidewire.frames import Frame
from tidewire.late_store import LateStore

T = TypeVar("T")
REQUEST: Frame = {"type": "publish", "channel": "room:a", "name": "said", "data": 1, "message_id": "m"}


def token_of(user_id: str) -> str:
    """Return a JWT of this user, signed by nobody."""
    claims = base64.urlsafe_b64encode(json.dumps({"sub": user_id}).encode()).decode().rstrip("=")
    return f"e30.{claims}."


def reaching(it: SetUp, state: str) -> "asyncio.Future[TidewireError | None]":
    """Return what is done, with its error, when the client is next in that state."""
    reached: asyncio.Future[TidewireError | None] = asyncio.get_running_loop().create_future()

    def told(now: str, error: TidewireError | None) -> None:
        if now == state and not reached.done():
            reached.set_result(error)

    it.client.on_state(told)
    return reached


async def within(work: "asyncio.Future[T]") -> T:
    async with asyncio.timeout(10):
        return await work


# The store itself.


async def test_what_is_asked_before_it_is_open_waits_until_it_is(tmp_path: Path) -> None:
    store = LateStore(tmp_path / "outbox")
    keeping, left = asyncio.ensure_future(store.keep(REQUEST)), asyncio.ensure_future(store.left())
    await asyncio.sleep(0)
    assert not keeping.done()
    await store.open("ann")
    assert (await keeping, await left) == (1, [])
    assert await store.sent(1)
    store.forget(1)
    await store.close()
    later = LateStore(tmp_path / "outbox")
    await later.open("ann")
    assert await later.left() == []
    await later.close()


async def test_opened_twice_and_by_two_at_once_it_is_open(tmp_path: Path) -> None:
    store = LateStore(tmp_path / "outbox")
    await asyncio.gather(store.open("ann"), store.open("ann"))
    await store.open("ann")
    assert await store.keep(REQUEST) == 1
    await store.close()


async def test_it_is_one_users(tmp_path: Path) -> None:
    store = LateStore(tmp_path / "outbox")
    await store.open("ann")
    with pytest.raises(TidewireError, match="another user"):
        await store.open("bob")
    await store.close()


async def test_closed_before_it_opens_it_refuses_what_waits_and_never_opens(tmp_path: Path) -> None:
    store = LateStore(tmp_path / "outbox")
    keeping = asyncio.ensure_future(store.keep(REQUEST))
    store.forget(7)
    await asyncio.sleep(0)
    await store.close()
    assert await kind_of(keeping) == "closed"
    with pytest.raises(TidewireError, match="the client was closed"):
        await store.open("ann")
    await store.close()
    assert not (tmp_path / "outbox").exists()


async def test_closed_while_it_opens_it_lets_go_of_the_file(tmp_path: Path) -> None:
    store = LateStore(tmp_path / "outbox")
    opening = asyncio.ensure_future(store.open("ann"))
    await asyncio.sleep(0)
    await store.close()
    await opening
    later = LateStore(tmp_path / "outbox")
    await later.open("ann")
    await later.close()


async def test_what_could_not_be_opened_may_be_later(tmp_path: Path) -> None:
    store = LateStore(tmp_path / "folder" / "outbox")
    keeping = asyncio.ensure_future(store.keep(REQUEST))
    assert await kind_of(store.open("ann")) == "outbox_file"
    (tmp_path / "folder").mkdir()
    await store.open("ann")
    assert await keeping == 1
    await store.close()


# The client that has one.


@pytest.mark.parametrize("token", ["no JWT", token_of("ann")], ids=["no JWT", "JWT"])
async def test_what_was_published_offline_is_sent_by_the_next_process_before_what_is_new(
    tmp_path: Path, token: str
) -> None:
    async with set_up(outbox=tmp_path / "outbox", get_token=lambda _: token) as first:
        connected = reaching(first, "connected")
        first.client.connect()
        await within(connected)
        first.server.instead["publish"] = lambda _: None
        kept = [first.client.channel("room:a").publish("said", text, offline=True) for text in ("one", "two")]
        while not first.server.asked("publish"):
            await asyncio.sleep(0.001)
        await first.client.close()
        assert [await kind_of(each) for each in kept] == ["closed"] * 2
    async with set_up(outbox=tmp_path / "outbox", get_token=lambda _: token) as later:
        await within(later.client.channel("room:a").publish("said", "three"))
        assert [entry["data"] for entry in later.server.stream("room:a").log] == ["one", "two", "three"]
        assert later.errors == []


@pytest.mark.parametrize("token", ["no JWT", token_of("ann")], ids=["no JWT", "JWT"])
async def test_a_file_that_cannot_be_had_closes_the_client_with_why(tmp_path: Path, token: str) -> None:
    async with set_up(outbox=tmp_path / "nowhere" / "outbox", get_token=lambda _: token) as it:
        ended = reaching(it, "closed")
        publishing = it.client.channel("room:a").publish("said", 1, offline=True)
        subscribing = asyncio.ensure_future(it.client.channel("room:a").subscribe())
        error = await within(ended)
        assert (error and error.kind, await kind_of(publishing)) == ("outbox_file", "outbox_file")
        assert await kind_of(subscribing) in ("outbox_file", "closed")
        assert (it.server.asked("publish"), it.errors) == ([], [])


async def test_of_two_clients_with_one_file_the_second_is_closed_with_why(tmp_path: Path) -> None:
    async with (
        set_up(outbox=tmp_path / "outbox", get_token=lambda _: token_of("ann")) as first,
        set_up(outbox=tmp_path / "outbox", get_token=lambda _: token_of("ann")) as second,
    ):
        await first.client.channel("room:a").publish("said", 1, offline=True)
        ended = reaching(second, "closed")
        second.client.connect()
        error = await within(ended)
        assert error is not None and "in use" in str(error)
        await first.client.channel("room:a").publish("said", 2, offline=True)


async def test_with_another_users_token_it_closes_even_if_the_server_is_not_asked(tmp_path: Path) -> None:
    users = iter(["ann", "bob"])
    async with set_up(outbox=tmp_path / "outbox", get_token=lambda _: token_of(next(users))) as it:
        await it.client.channel("room:a").subscribe()
        ended = reaching(it, "closed")
        it.server.cut_all()
        error = await within(ended)
        assert error is not None and "another user" in str(error)
        assert len(it.server.opened) == 1


async def test_with_a_token_that_is_not_whom_the_server_takes_it_for_it_closes(tmp_path: Path) -> None:
    async with set_up(outbox=tmp_path / "outbox", get_token=lambda _: token_of("bob")) as it:
        ended = reaching(it, "closed")
        it.client.connect()  # HELLO says: ann
        error = await within(ended)
        assert HELLO["user_id"] == "ann"
        assert error is not None and "another user" in str(error)


async def test_what_is_kept_and_is_no_request_of_ours_is_reported_and_holds_up_nothing(tmp_path: Path) -> None:
    store = LateStore(tmp_path / "outbox")
    await store.open("ann")
    for request in (
        {},
        {"type": "state.set", "channel": ["room:a"]},
        {"type": "state.set", "channel": "room:a"},
        REQUEST,
    ):
        await store.keep(request)
    await store.close()
    async with set_up(outbox=tmp_path / "outbox", get_token=lambda _: token_of("ann")) as it:
        await within(it.client.channel("room:a").publish("said", 2))
        assert [entry["data"] for entry in it.server.stream("room:a").log] == [1, 2]
        assert len(it.errors) == 3


def close_and_wait(it: SetUp) -> "asyncio.Future[None]":
    return asyncio.ensure_future(it.client.close())


def end_by_the_server(it: SetUp) -> "asyncio.Future[Any]":
    ended = reaching(it, "closed")
    it.server.last.say({"type": "system", "event": "disconnect", "code": 3501, "name": "revoked"})
    return ended


@pytest.mark.parametrize("end", [close_and_wait, end_by_the_server])
async def test_connected_anew_at_once_it_has_the_file_again(
    tmp_path: Path, end: Callable[[SetUp], "asyncio.Future[Any]"]
) -> None:
    async with set_up(outbox=tmp_path / "outbox", get_token=lambda _: token_of("ann")) as it:
        it.client.on_state(lambda state, _: it.client.connect() if state == "closed" and not again else None)
        again: list[int] = []
        await it.client.channel("room:a").publish("said", 1, offline=True)
        ending = end(it)
        await within(ending)
        await within(it.client.channel("room:a").publish("said", 2, offline=True))
        again.append(1)
        assert [entry["data"] for entry in it.server.stream("room:a").log] == [1, 2]
        assert it.errors == []
