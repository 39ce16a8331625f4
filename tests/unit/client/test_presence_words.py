"""What a user says of itself in a channel: each word once, the latest, and again where it got lost."""

import asyncio

import pytest

from tests.unit.client.host import FakeHost, raising, wire_error
from tests.unit.client.test_presence import CHANNEL, Room, listed, member, push, refused, timers
from tests.unit.client.virtual import settle, virtual_time
from tidewire.errors import closed, uncertain


@virtual_time
async def test_words_are_sent_one_request_at_a_time_the_latest_of_those_that_wait() -> None:
    room = Room()
    presence = await room.joined()
    first = asyncio.create_task(presence.update(status="away"))
    rest = [asyncio.create_task(presence.update(status="busy", data=1))]
    rest.append(asyncio.create_task(presence.update(data={"mood": "x"})))
    await settle()
    update = {"type": "presence.update", "channel": CHANNEL}
    assert [sent.request for sent in room.fake.sent] == [{**update, "status": "away"}]
    room.last.resolve({})
    await first
    assert room.last.request == {**update, "status": "busy", "data": {"mood": "x"}}
    room.last.resolve({})
    await asyncio.gather(*rest)
    assert len(room.fake.sent) == 2


@virtual_time
async def test_data_that_is_none_is_said_and_what_is_not_given_is_not() -> None:
    room = Room()
    presence = await room.joined()
    room.fake.reply = lambda _: {}
    await presence.update(data=None)
    await presence.update(status="away")
    assert [{name: sent.request.get(name, "-") for name in ("status", "data")} for sent in room.fake.sent] == [
        {"status": "-", "data": None},
        {"status": "away", "data": "-"},
    ]


@virtual_time
async def test_an_update_is_refused_to_who_has_not_joined_or_says_too_much_by_the_server_and_by_leaving() -> None:
    room = Room()
    assert await refused(room.presence.update(status="away")) == "not_subscribed"
    presence = await room.joined()
    assert await refused(presence.update(data="x" * 8_000)) == "too_large"
    for junk in (float("nan"), "\ud800"):
        with pytest.raises(ValueError):
            await presence.update(data=junk)
    with pytest.raises(TypeError):
        await presence.update(data=room)
    assert room.fake.sent == []
    refusing = asyncio.create_task(presence.update(status="away"))
    leaving = asyncio.create_task(presence.update(status="busy"))
    await settle()
    room.last.reject(wire_error(1005, "forbidden"))
    assert await refused(refusing) == "forbidden"
    room.last.reject(uncertain("no answer"))
    await settle()
    await presence.leave()
    assert await refused(leaving) == "closed"
    assert (len(room.fake.sent), timers(), room.fake.reports) == (2, 0, [])


@virtual_time
async def test_what_was_said_before_joining_is_refused_is_refused_with_it() -> None:
    room = Room(errors=[wire_error(1005, "forbidden")])
    joining = asyncio.create_task(room.presence.join())
    await asyncio.sleep(0)
    update = asyncio.create_task(room.presence.update(status="away"))
    room.presence.active()
    assert await refused(joining) == "forbidden"
    assert await refused(update) == "forbidden"
    assert timers() == 0
    await room.joined()
    assert room.fake.sent == []


@virtual_time
async def test_what_fails_again_and_again_is_sent_less_and_less_often() -> None:
    room = Room(FakeHost(reply=raising(uncertain("no answer")), random=lambda: 1.0))
    room.presence.mark_read(1)
    counts = []
    for _ in range(4):
        await asyncio.sleep(2)
        counts.append(len(room.fake.sent))
    room.presence.closed(closed("enough"))
    assert counts == [3, 4, 4, 5]


@virtual_time
async def test_an_update_is_sent_again_when_it_failed_in_passing_and_waits_for_a_connection() -> None:
    room = Room()
    presence = await room.joined()
    updates = [asyncio.create_task(presence.update(status="away"))]
    await settle()
    room.last.reject(wire_error(retry_after_ms=700))
    await settle()
    updates.append(asyncio.create_task(presence.update(data=1)))
    await asyncio.sleep(0.69)
    assert len(room.fake.sent) == 1
    await asyncio.sleep(0.02)
    assert room.last.request["status"] == "away"
    assert room.last.request["data"] == 1
    room.cut()
    await asyncio.sleep(60)
    assert (len(room.fake.sent), timers()) == (2, 0)
    room.subscribe({"members": [], "count": 200, "version": 3})
    assert len(room.fake.sent) == 3
    room.last.resolve({})
    await asyncio.gather(*updates)


@virtual_time
async def test_whoever_gives_up_waiting_for_an_update_has_said_it_all_the_same() -> None:
    room = Room()
    presence = await room.joined()
    update = asyncio.create_task(presence.update(status="busy"))
    await settle()
    update.cancel()
    await settle()
    room.last.resolve({})
    await settle()
    room.subscribe(listed("ann"))
    assert room.last.request["status"] == "busy"
    assert len(room.fake.sent) == 2


@virtual_time
async def test_what_is_said_again_is_what_was_said() -> None:
    room = Room()
    presence = await room.joined()
    data = {"mood": "x"}
    update = asyncio.create_task(presence.update(data=data))
    await settle()
    data["mood"] = "y"
    room.last.resolve({})
    await update
    room.subscribe(listed("ann"))
    assert len(room.fake.sent) == 2
    assert room.last.request["data"] == {"mood": "x"}


async def say(room: Room, **words: object) -> None:
    """Say something that the server takes."""
    update = asyncio.create_task(room.presence.update(**words))  # type: ignore[arg-type]
    await settle()
    room.last.resolve({})
    await update


@virtual_time
async def test_words_are_said_again_where_they_got_lost_with_the_session_and_only_then() -> None:
    room = Room()
    await room.joined()
    await say(room, status="busy", data={"a": [1], "b": 2})
    own = member("ann", status="busy", data={"b": 2, "a": [1]})
    for told in (listed(own), {"members": [], "count": 200, "version": 3}):  # or how it is, is not told
        room.cut()
        room.subscribe(told)
        assert len(room.fake.sent) == 1
    room.cut()
    room.subscribe(listed(own | {"status": "online"}))
    assert room.last.request == {"type": "presence.update", "channel": CHANNEL, "status": "busy"}
    room.last.resolve({})
    await settle()
    room.cut()
    room.subscribe(listed("ann"))
    assert room.last.request["status"] == "busy"
    assert room.last.request["data"] == {"a": [1], "b": 2}
    assert len(room.fake.sent) == 3


@virtual_time
async def test_what_is_under_way_is_newer_than_what_was_said_before() -> None:
    room = Room()
    presence = await room.joined()
    await say(room, status="busy")
    update = asyncio.create_task(presence.update(status="away"))
    await settle()
    room.subscribe(listed(member("ann", status="away")))
    room.last.resolve({})
    await update
    assert len(room.fake.sent) == 2


@virtual_time
async def test_what_another_connection_of_the_user_has_said_since_stands() -> None:
    room = Room()
    presence = await room.joined()
    update = asyncio.create_task(presence.update(status="busy", data=1))
    await settle()
    presence.push(push("update", "ann", 1, 1))  # of before
    room.last.resolve({})
    await update
    presence.push(push("update", member("ann", status="busy", data=1), 1, 2))
    presence.push(push("update", member("ann", status="away", data=1), 1, 3))
    room.cut()
    room.subscribe(listed("ann", version=4))
    assert len(room.fake.sent) == 2
    assert room.last.request == {"type": "presence.update", "channel": CHANNEL, "data": 1}


@virtual_time
async def test_nobody_is_contradicted_while_the_session_lasts() -> None:
    room = Room()
    presence = await room.joined()
    await say(room, status="busy")
    presence.check()
    room.last.resolve(listed(member("ann", status="away"), version=1))
    await settle()
    assert len(room.fake.asked("presence.update")) == 1


@virtual_time
async def test_new_words_are_not_given_up_for_old_ones_that_are_shown() -> None:
    room = Room()
    presence = await room.joined()
    await say(room, status="busy")
    presence.push(push("update", member("ann", status="busy"), 1, 1))
    await say(room, status="away")
    presence.push(push("join", "bob", 2, 2))
    room.cut()
    room.subscribe(listed("ann", version=4))
    assert len(room.fake.sent) == 3
    assert room.last.request["status"] == "away"


@virtual_time
async def test_leaving_ends_what_was_said() -> None:
    room = Room()
    presence = await room.joined()
    await say(room, status="busy")
    await presence.leave()
    await presence.join()
    room.subscribe(listed("ann"))
    assert len(room.fake.sent) == 1


@virtual_time
async def test_an_answer_from_before_leaving_does_not_send_what_was_said_since() -> None:
    room = Room()
    presence = await room.joined()
    updates = [asyncio.create_task(presence.update(status="busy"))]
    await settle()
    before = room.last
    await presence.leave()
    await room.joined()
    updates += [asyncio.create_task(presence.update(status="away")), asyncio.create_task(presence.update(data=1))]
    await settle()
    before.resolve({})
    await updates[0]
    assert len(room.fake.sent) == 1
    presence.closed(closed("enough"))
    room.last.reject(closed("enough"))
    assert [await refused(update) for update in updates[1:]] == ["closed", "closed"]
    room.subscribe(listed("ann"))
    assert len(room.fake.sent) == 1


@virtual_time
async def test_active_is_said_once_in_30_s_and_its_end_after_a_minute() -> None:
    room = Room()
    room.presence.active()
    presence = await room.joined()
    room.fake.reply = lambda _: {}
    await asyncio.sleep(200)
    assert room.fake.sent == []  # nobody says anything who never calls it

    def said() -> list[bool]:
        return [request["active"] for request in room.fake.asked("presence.update")]

    for _ in range(40):
        presence.active()
        await asyncio.sleep(1)
    assert said() == [True, True]
    await asyncio.sleep(58.9)
    assert said() == [True, True]
    await asyncio.sleep(0.2)
    assert said() == [True, True, False]
    presence.active()
    assert said() == [True, True, False, True]
    await settle()
    await presence.leave()
    assert timers() == 0
    await room.joined()
    presence.active()
    assert said() == [True]  # of before, nothing is known there


@virtual_time
async def test_activity_that_is_refused_is_reported_and_what_passes_is_not() -> None:
    room = Room()
    presence = await room.joined()
    presence.active()
    room.last.reject(wire_error(1005, "forbidden"))
    await settle()
    assert [str(error) for error in room.fake.reports] == ["not now"]
    await asyncio.sleep(40)
    presence.active()
    presence.closed(closed("enough"))
    assert len(room.fake.reports) == 1


@virtual_time
async def test_typing_is_said_every_3_s_while_it_goes_on_and_its_end_5_s_later_or_at_once() -> None:
    room = Room()
    room.presence.type()
    presence = await room.joined()
    room.fake.reply = lambda _: {}

    def said() -> list[bool]:
        return [request["active"] for request in room.fake.asked("typing")]

    presence.type(False)
    assert said() == []
    for _ in range(7):
        presence.type()
        await asyncio.sleep(1)
    assert said() == [True, True, True]
    await asyncio.sleep(3.9)
    assert said() == [True, True, True]
    await asyncio.sleep(0.2)
    assert (said(), timers()) == ([True, True, True, False], 0)
    presence.type()
    presence.type(False)  # not before the first is answered: the server might handle it first
    assert said()[4:] == [True]
    await settle()
    assert (said()[4:], timers()) == ([True, False], 0)


@virtual_time
async def test_typing_that_fails_is_not_said_again_and_for_good_it_is_reported() -> None:
    room = Room()
    presence = await room.joined()
    presence.type()
    room.last.reject(uncertain("no answer"))
    await asyncio.sleep(4)
    assert len(room.fake.asked("typing")) == 1
    room.cut()
    presence.type()
    room.subscribe(listed("ann"))
    await asyncio.sleep(10)
    assert (len(room.fake.asked("typing")), room.fake.reports, timers()) == (1, [], 0)
    presence.type()
    assert len(room.fake.asked("typing")) == 2
    room.last.reject(wire_error(1005, "forbidden"))
    await settle()
    assert len(room.fake.reports) == 1
    await presence.leave()
    assert timers() == 0


@virtual_time
async def test_how_far_was_read_only_goes_forward_one_request_at_a_time_without_joining() -> None:
    room = Room()
    for offset in (3, 5, 4, 9):
        room.presence.mark_read(offset)
    assert room.fake.asked("ack") == [{"type": "ack", "channel": CHANNEL, "offset": 3}]
    room.last.resolve({})
    await settle()
    room.last.resolve({})
    room.presence.mark_read(9)
    await settle()
    assert [request["offset"] for request in room.fake.asked("ack")] == [3, 9]


@virtual_time
async def test_how_far_was_read_is_tried_again_and_waits_for_a_connection() -> None:
    room = Room()
    room.presence.mark_read(3)
    room.last.reject(wire_error(retry_after_ms=100))
    await asyncio.sleep(0.11)
    assert len(room.fake.asked("ack")) == 2
    room.cut()
    room.presence.mark_read(7)
    await asyncio.sleep(60)
    assert (len(room.fake.asked("ack")), timers()) == (2, 0)
    room.subscribe()
    assert room.last.request["offset"] == 7
    room.last.reject(wire_error(1005, "forbidden"))
    await settle()
    assert len(room.fake.reports) == 1


@virtual_time
async def test_how_far_was_read_begins_anew_with_a_new_stream() -> None:
    room = Room()
    room.subscribe()
    room.fake.online = False
    room.presence.mark_read(50)
    room.subscribe(position={"epoch": "e2", "offset": 1})
    assert room.fake.asked("ack") == []  # what was read of the old one is not said of it
    room.presence.mark_read(1)
    assert [request["offset"] for request in room.fake.asked("ack")] == [1]


@virtual_time
async def test_how_far_was_read_is_not_ended_by_leaving_but_with_the_channel() -> None:
    room = Room()
    presence = await room.joined()
    room.fake.online = False
    presence.mark_read(5)
    await presence.leave()
    room.subscribe()
    assert len(room.fake.asked("ack")) == 1
    presence.closed(closed("unsubscribed"))
    presence.mark_read(5)
    assert len(room.fake.asked("ack")) == 2
