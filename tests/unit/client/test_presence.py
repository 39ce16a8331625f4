"""Presence of one user on a channel whose subscribing is answered by hand: who is there."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest

from tests.unit.client.host import FakeHost, Sent, wire_error
from tests.unit.client.virtual import settle, virtual_time
from tidewire.errors import TidewireError, closed
from tidewire.frames import Frame, Member
from tidewire.presence import Presence

CHANNEL = "room:a"


def member(user_id: str, **fields: Any) -> Frame:
    return {"user_id": user_id, "status": "online", "active": True, "data": None, "connections": 1, **fields}


def listed(*members: str | Frame, version: int = 0, **fields: Any) -> Frame:
    every = [member(one) if isinstance(one, str) else one for one in members]
    return {"members": every, "count": len(every), "version": version, **fields}


def push(event: str, user: str | Frame, count: int, version: int) -> Frame:
    about = member(user) if isinstance(user, str) else user
    about = {"type": "presence", "channel": CHANNEL, "event": event, "member": about}
    return about | {"count": count, "version": version}


def typing(user_id: str, active: bool = True) -> Frame:
    return {"type": "typing", "channel": CHANNEL, "user_id": user_id, "active": active}


LAGGED = {"type": "system", "event": "lagged", "channel": CHANNEL}


@dataclass
class Room:
    """``wanted`` is what was subscribed with each time that presence had the channel do so."""

    fake: FakeHost = field(default_factory=FakeHost)
    wanted: list[Frame] = field(default_factory=list)
    errors: list[BaseException] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.presence = Presence(CHANNEL, self.fake.host, lambda: asyncio.ensure_future(self._resubscribe()))

    async def _resubscribe(self) -> None:
        self.wanted.append(self.presence.subscribing())
        if self.errors:
            raise self.errors.pop()

    def answer(self, presence: Any = None, **fields: Any) -> None:
        """The channel was subscribed to."""
        position = {"epoch": "e1", "offset": 0}
        told = {"channel": CHANNEL, "position": position, "recovered": False, "publications": []}
        self.presence.subscribed({**told, **({} if presence is None else {"presence": presence}), **fields})

    def subscribe(self, presence: Any = None, **fields: Any) -> None:
        """As the channel does on every new connection."""
        self.fake.online = True
        self.presence.subscribing()
        self.answer(presence, **fields)

    def cut(self) -> None:
        self.presence.disconnected()
        self.fake.cut()

    async def joined(self, presence: Frame | None = None) -> Presence:
        await self.presence.join()
        self.subscribe(presence or listed("ann"))
        self.fake.sent.clear()
        return self.presence

    @property
    def last(self) -> Sent:
        return self.fake.last

    @property
    def users(self) -> list[str]:
        return [one.user_id for one in self.presence.members]

    def gets(self) -> int:
        return len(self.fake.asked("presence.get"))


def timers() -> int:
    """Return how many timers are waiting."""
    loop: Any = asyncio.get_running_loop()
    return sum(not timer.cancelled() for timer in loop._scheduled)


async def refused(asked: Awaitable[object]) -> str:
    """Return the kind of error that it ends with."""
    with pytest.raises(TidewireError) as caught:
        await asked
    return caught.value.kind


@virtual_time
async def test_joining_has_the_channel_subscribe_with_presence_once_and_on_every_connection_until_leaving() -> None:
    room = Room()
    presence = room.presence
    assert presence.subscribing() == {}
    await asyncio.gather(presence.join(), presence.join())
    await presence.join()
    assert room.wanted == [{"presence": True}]
    presence.disconnected()
    assert presence.subscribing() == {"presence": True}
    await presence.leave()
    await presence.leave()
    assert room.wanted == [{"presence": True}, {}]


@virtual_time
async def test_joining_that_is_refused_is_as_if_it_had_not_been_asked_for() -> None:
    room = Room(errors=[wire_error(1005, "forbidden")])
    assert await refused(room.presence.join()) == "forbidden"
    assert room.presence.subscribing() == {}
    await room.presence.join()
    assert room.presence.subscribing() == {"presence": True}
    assert room.fake.reports == []


@virtual_time
async def test_whoever_gives_up_waiting_to_join_joins_all_the_same() -> None:
    room = Room()
    joining, other = asyncio.create_task(room.presence.join()), asyncio.create_task(room.presence.join())
    await asyncio.sleep(0)
    joining.cancel()
    await other
    assert room.presence.subscribing() == {"presence": True}


@virtual_time
async def test_joining_that_is_refused_after_leaving_does_not_end_the_next() -> None:
    answered = asyncio.Event()
    answers = [wire_error(1005, "forbidden"), None, None]

    async def resubscribe() -> None:
        error = answers.pop(0)
        await answered.wait()
        if error is not None:
            raise error

    presence = Presence(CHANNEL, FakeHost().host, lambda: asyncio.ensure_future(resubscribe()))
    first = asyncio.create_task(presence.join())
    await settle()
    await presence.leave()
    second = asyncio.create_task(presence.join())
    await settle()
    answered.set()
    assert await refused(first) == "forbidden"
    await second
    assert presence.subscribing() == {"presence": True}


@virtual_time
async def test_joining_ends_with_the_client() -> None:
    room = Room()
    joining = asyncio.create_task(room.presence.join())
    await asyncio.sleep(0)
    await room.fake.close()
    assert await refused(joining) == "closed"
    assert room.presence.subscribing() == {}


@virtual_time
async def test_joining_lasts_when_the_channel_is_left_and_leaving_then_does_not_subscribe_to_it() -> None:
    room = Room()
    presence = await room.joined(listed("ann", "bob"))
    presence.closed(closed("unsubscribed"))
    assert (room.users, presence.count) == ([], 0)
    assert presence.subscribing() == {"presence": True}
    presence.closed(closed("unsubscribed"))
    room.wanted.clear()
    await presence.leave()
    assert (room.wanted, presence.subscribing()) == ([], {})


@virtual_time
async def test_who_has_left_knows_of_nobody_and_hears_nothing() -> None:
    room = Room()
    presence = await room.joined(listed("ann", "bob"))
    await presence.leave()
    presence.push(push("join", "cyd", 3, 1))
    assert (room.users, presence.count, timers()) == ([], 0, 0)


@virtual_time
async def test_who_is_there_is_the_same_object_until_it_changes_and_listeners_are_called_when_it_does() -> None:
    room, error = Room(), ValueError("listener")
    called: list[Presence] = []

    def fail(_: Presence) -> None:
        raise error

    room.presence.on_change(fail)
    stop = room.presence.on_change(called.append)
    presence = await room.joined(listed("bob", "ann"))
    assert (room.users, presence.count, called) == (["ann", "bob"], 2, [presence])
    assert presence.members[0] == Member("ann", "online", True, None, 1)
    assert room.fake.reports == [error]
    before = presence.members
    presence.push(push("join", "ann", 2, 1))
    presence.push(push("join", "ann", 2, 1))
    presence.push(typing("bob"))
    assert presence.members is before
    assert len(called) == 2
    presence.push(push("update", member("ann", data=True), 2, 2))
    presence.push(push("update", member("ann", data=1), 2, 3))  # another JSON
    presence.push(push("join", "cyd", 3, 4))
    assert (room.users, len(called)) == (["ann", "bob", "cyd"], 5)
    stop()
    presence.push(push("leave", "cyd", 2, 5))
    assert (room.users, len(called)) == (["ann", "bob"], 5)


@virtual_time
async def test_what_is_missed_is_asked_for_a_second_later_and_what_is_pushed_meanwhile_counts() -> None:
    room = Room()
    presence = await room.joined()
    presence.push(push("join", "cyd", 3, 2))
    await asyncio.sleep(0.999)
    assert room.gets() == 0
    await asyncio.sleep(0.001)
    await settle()
    assert room.fake.asked("presence.get") == [{"type": "presence.get", "channel": CHANNEL}]
    presence.push(push("leave", "cyd", 2, 3))
    await asyncio.sleep(60)
    room.last.resolve(listed("ann", "bob", "cyd", version=2))
    await settle()
    assert (room.users, presence.count, room.gets(), timers()) == (["ann", "bob"], 2, 1, 0)


@virtual_time
async def test_the_rest_is_asked_for_at_once_page_by_page_when_the_answer_has_not_all() -> None:
    room = Room()
    presence = await room.joined()
    room.subscribe(listed("ann", version=1, count=3, more=True) | {"count": 3})
    presence.check()  # it is being asked
    for user in ("ann", "bob"):
        room.last.resolve(listed(user, version=1, more=True) | {"count": 3})
        await settle()
        assert room.last.request == {"type": "presence.get", "channel": CHANNEL, "after": user}
    room.last.resolve(listed("cyd", version=1) | {"count": 3})
    await settle()
    assert (room.users, presence.count, room.gets()) == (["ann", "bob", "cyd"], 3, 3)


@virtual_time
async def test_pages_that_never_end_are_not_asked_for_without_end() -> None:
    room = Room()
    presence = await room.joined()
    room.fake.reply = lambda _: listed("ann", count=2, more=True)
    presence.check()
    await asyncio.sleep(0.01)
    assert 100 < room.gets() < 110


@virtual_time
async def test_it_is_asked_on_waking_and_on_lagged_once_at_a_time_and_only_when_this_connection_is_there() -> None:
    room = Room()
    room.presence.check()
    presence = await room.joined()
    presence.check()
    presence.push(LAGGED)
    assert room.gets() == 1
    room.last.resolve(listed("ann", "bob", version=1))
    await settle()
    assert room.users == ["ann", "bob"]
    presence.push(LAGGED)
    assert room.gets() == 2
    room.cut()
    presence.check()
    assert room.gets() == 2


@virtual_time
async def test_an_answer_to_what_was_asked_on_another_connection_does_not_count() -> None:
    room = Room()
    presence = await room.joined()
    presence.check()
    before = room.last
    presence.disconnected()
    room.subscribe(listed("ann", "bob", version=5))
    before.resolve(listed("eve", version=9))
    await settle()
    assert room.users == ["ann", "bob"]


@virtual_time
async def test_asking_that_fails_in_passing_is_tried_again_later_and_for_good_with_the_next_check() -> None:
    room = Room()
    presence = await room.joined()
    presence.check()
    room.last.reject(wire_error(retry_after_ms=3_000))
    await asyncio.sleep(2.9)
    assert room.gets() == 1
    await asyncio.sleep(0.2)
    assert room.gets() == 2
    room.last.resolve({"members": "?"})
    await asyncio.sleep(0.3)
    assert room.gets() == 3
    assert room.fake.reports == []
    room.last.reject(wire_error(1005, "forbidden"))
    await asyncio.sleep(60)
    assert (room.gets(), len(room.fake.reports)) == (3, 1)
    presence.check()
    assert room.gets() == 4


@virtual_time
async def test_in_a_large_channel_it_is_a_number_even_if_all_are_listed() -> None:
    room = Room()
    presence = await room.joined({"members": [], "count": 120, "version": 7})

    async def told(answer: Frame) -> tuple[int, int]:
        room.last.resolve(answer)
        await settle()
        return len(room.users), presence.count

    assert (room.users, presence.count) == ([], 120)
    some = [f"u{number}" for number in range(90)]
    presence.check()
    assert await told(listed(*some, version=8, more=True) | {"count": 500}) == (0, 500)
    presence.check()
    assert await told(listed(*some, version=8)) == (0, 90)
    presence.check()
    assert await told(listed(*some[:80], version=9)) == (80, 80)
    presence.check()
    assert await told(listed(*some, version=9)) == (90, 90)
    presence.check()
    await told(listed(*some, version=9, more=True) | {"count": 100})
    assert await told(listed("v0", version=10, more=True) | {"count": 101}) == (0, 101)
    assert (room.gets(), timers()) == (6, 0)


@virtual_time
async def test_who_types_does_so_until_it_says_otherwise_or_8_s_have_gone_and_oneself_is_not_told() -> None:
    room = Room()
    told: list[tuple[str, ...]] = []
    presence = await room.joined(listed("ann", "bob", "cyd"))
    presence.on_change(lambda presence: told.append(presence.typing))
    for user in ("cyd", "bob", "ann"):
        presence.push(typing(user))
    presence.push(typing("cyd", False))
    assert told == [("cyd",), ("bob", "cyd"), ("bob",)]
    room.cut()  # it is forgotten without a connection as well
    await asyncio.sleep(7.9)
    assert len(told) == 3
    await asyncio.sleep(0.2)
    assert (told[3:], presence.typing, timers()) == ([()], (), 0)


WORDS = ["presence", "typing", "system", "lagged", "count", "leave", "join", "ann", "", CHANNEL]
KEYS = ["type", "event", "member", "members", "user_id", "count", "version", "more", "presence", "position"]


def anything(random: Random, depth: int = 0) -> Any:
    kind = random.randrange(3 if depth > 3 else 5)
    if kind == 0:
        return random.choice(WORDS)
    if kind == 1:
        return random.choice([0, 1, 2, 3, -1, 0.5, 150, 1e21, float("nan"), 10**30])
    if kind == 2:
        return random.choice([None, True, False])
    items = [anything(random, depth + 1) for _ in range(random.randrange(4))]
    return items if kind == 3 else {random.choice(KEYS): item for item in items}


@pytest.mark.parametrize("seed", range(40))
@virtual_time
async def test_whatever_is_said_nothing_is_raised_and_nothing_hangs(seed: int) -> None:
    random, room, updates = Random(seed), Room(), []
    presence = await room.joined()
    for number in range(80):
        good, junk = push("join", f"u{number % 5}", number % 7, random.randrange(20)), anything(random)
        presence.push(good if random.random() < 0.3 else good | (junk if isinstance(junk, dict) else {"type": junk}))
        if random.random() < 0.1:
            room.cut()
        if random.random() < 0.2:
            room.subscribe(anything(random), position=anything(random))
        if random.random() < 0.2:
            updates.append(asyncio.create_task(presence.update(data=number)))
        if random.random() < 0.2:
            presence.active()
            presence.type()
            presence.mark_read(number)
            presence.check()
        for sent in room.fake.sent:
            if random.random() < 0.7:
                sent.resolve(listed("ann", version=number) if random.random() < 0.3 else anything(random))
            else:
                after_ms = anything(random)
                sent.reject(wire_error(random.choice((1005, 2001)), retry_after_ms=after_ms))
        room.fake.sent.clear()
        await asyncio.sleep(random.random() * 3)
    room.cut()
    room.subscribe(listed("ann", "bob", version=10**6))
    assert room.users == ["ann", "bob"]
    presence.closed(closed("enough"))
    room.cut()
    for update in updates:
        await asyncio.wait([update])
        assert update.exception() is None or isinstance(update.exception(), TidewireError)
