"""A channel's events one by one."""

import asyncio
import gc
import weakref
from typing import Any

import pytest

from tests.unit.client.fakes import error
from tests.unit.client.server import AS_EVER
from tests.unit.client.set_up import SetUp, kind_of, set_up
from tests.unit.client.virtual import settle, virtual_time
from tidewire.channel import Channel
from tidewire.errors import TidewireError
from tidewire.events import WAITING_MAX, Events
from tidewire.frames import Frame


async def offsets(events: Events | Channel, count: int) -> list[int | None]:
    """Take so many of them by a loop that is left then."""
    taken: list[int | None] = []
    async for event in events:
        taken.append(event.offset)
        if len(taken) == count:
            break
    return taken


def publish(it: SetUp, count: int) -> None:
    for _ in range(count):
        it.server.publish("room:a")


@virtual_time
async def test_taking_the_first_subscribes_and_they_come_in_order() -> None:
    async with set_up() as it:
        taking = asyncio.ensure_future(offsets(it.client.channel("room:a"), 3))
        await settle()
        assert len(it.server.asked("subscribe")) == 1
        publish(it, 4)
        assert await taking == [1, 2, 3]


@virtual_time
async def test_those_that_came_before_they_are_taken_wait() -> None:
    async with set_up() as it:
        await it.listen()
        events = it.client.channel("room:a").events()
        publish(it, 3)
        await settle()
        assert await offsets(events, 2) == [1, 2]
        assert (await anext(events)).offset == 3


@virtual_time
async def test_a_loop_that_is_left_takes_no_more_and_is_forgotten() -> None:
    async with set_up() as it:
        room = it.client.channel("room:a")
        await it.listen()
        publish(it, 1)
        events: Events | None = room.events()
        ended = weakref.ref(events)
        publish(it, 1)
        await settle()
        assert await offsets(events or room, 1) == [1]
        events = None
        gc.collect()
        assert ended() is None
        publish(it, 1)
        await settle()
        assert it.errors == []


@virtual_time
async def test_a_task_that_nobody_else_knows_of_is_not_forgotten_while_it_waits() -> None:
    taken: list[Any] = []

    async def take(room: Channel) -> None:
        async for event in room:
            taken.append(event.offset)

    async with set_up() as it:
        await it.listen()
        asyncio.get_running_loop().create_task(take(it.client.channel("room:a")))
        await settle()
        gc.collect()
        publish(it, 1)
        await settle()
        assert taken == [1]


@virtual_time
async def test_they_end_when_the_channel_is_left_after_those_that_wait() -> None:
    async with set_up() as it:
        await it.listen()
        room = it.client.channel("room:a")
        events, all_ = room.events(), asyncio.ensure_future(offsets(room, 99))
        await settle()
        publish(it, 2)
        await settle()
        await room.unsubscribe()
        assert await all_ == await offsets(events, 99) == [1, 2]
        with pytest.raises(StopAsyncIteration):
            await anext(events)


@virtual_time
async def test_they_end_when_the_client_is_closed() -> None:
    async with set_up() as it:
        await it.listen()
        all_ = asyncio.ensure_future(offsets(it.client.channel("room:a"), 99))
        await settle()
        await it.client.close()
        assert await all_ == []


@virtual_time
async def test_left_before_the_subscription_is_answered_they_end() -> None:
    async with set_up() as it:
        it.server.instead["subscribe"] = lambda _: None
        room = it.client.channel("room:a")
        all_ = asyncio.ensure_future(offsets(room, 99))
        await settle()
        await room.unsubscribe()
        assert await all_ == []


@virtual_time
async def test_closed_they_end_for_who_waits_and_for_who_takes() -> None:
    async with set_up() as it:
        await it.listen()
        events = it.client.channel("room:a").events()
        waiting = asyncio.ensure_future(offsets(events, 99))
        await settle()
        events.close()
        assert await waiting == await offsets(events, 99) == []
        publish(it, 1)
        await settle()
        assert await offsets(events, 99) == []


@virtual_time
async def test_a_subscription_that_is_refused_is_raised_each_time() -> None:
    async with set_up() as it:
        it.server.instead["subscribe"] = lambda _: {"error": error(1005, "forbidden")}
        events = it.client.channel("room:a").events()
        assert [await kind_of(anext(events)), await kind_of(anext(events))] == ["forbidden"] * 2


@virtual_time
async def test_given_up_while_it_subscribes_the_refusal_is_raised_by_the_next() -> None:
    async with set_up() as it:
        it.server.instead["subscribe"] = lambda _: None
        events = it.client.channel("room:a").events()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(events), 1)
        it.server.instead["subscribe"] = lambda _: {"error": error(1005, "forbidden")}
        assert await kind_of(anext(events)) == "forbidden"


@virtual_time
async def test_given_up_while_it_waits_the_next_is_not_lost() -> None:
    async with set_up() as it:
        events = it.client.channel("room:a").events()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(events), 1)
        publish(it, 1)
        assert (await anext(events)).offset == 1
        assert len(it.server.asked("subscribe")) == 1


@virtual_time
async def test_a_subscription_that_is_lost_for_good_is_raised() -> None:
    async with set_up() as it:
        await it.listen()
        taking = asyncio.ensure_future(anext(it.client.channel("room:a").events()))
        await settle()
        it.server.instead["subscribe"] = lambda _: {"error": error(1005, "forbidden")}
        it.server.cut_all()
        assert await kind_of(taking) == "forbidden"
        assert [each.kind for each in it.errors if isinstance(each, TidewireError)] == ["forbidden"]


@virtual_time
async def test_subscribing_once_more_that_is_refused_ends_nothing() -> None:
    async with set_up() as it:
        await it.listen()
        taking = asyncio.ensure_future(anext(it.client.channel("room:a").events()))
        await settle()

        def refuse_presence(request: Frame) -> Any:
            return {"error": error(1005, "forbidden")} if "presence" in request else AS_EVER

        it.server.instead["subscribe"] = refuse_presence
        assert await kind_of(it.client.channel("room:a").presence.join()) == "forbidden"
        publish(it, 1)
        assert (await taking).offset == 1


@virtual_time
async def test_who_takes_none_for_too_long_gets_those_that_wait_and_is_told() -> None:
    async with set_up() as it:
        await it.listen()
        room = it.client.channel("room:a")
        slow, quick = room.events(), asyncio.ensure_future(offsets(room, WAITING_MAX + 2))
        await settle()
        frame: Frame = {**it.server.publish("room:a"), "type": "event"}
        await settle()
        for offset in range(2, WAITING_MAX + 3):
            frame |= {"offset": offset, "prev_offset": offset - 1, "message_id": f"{offset}"}
            room.deliver(frame)
            if offset % 1_000 == 0:
                await settle()
        assert len(await quick) == WAITING_MAX + 2
        assert await offsets(slow, WAITING_MAX) == list(range(1, WAITING_MAX + 1))
        assert [await kind_of(anext(slow)), await kind_of(anext(slow))] == ["limit_reached"] * 2
