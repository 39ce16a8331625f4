"""Documents against a server that settles as the real one does: reading, and what is handed out."""

import asyncio
from typing import Any

import pytest

from tests.unit.client.host import WAITS, raising, wire_error
from tests.unit.client.state_server import CHANNEL, LARGE, Client, StateServer, collecting, state_server
from tests.unit.client.virtual import settle, virtual_time
from tidewire.errors import TidewireError, closed, uncertain
from tidewire.frames import Frame
from tidewire.futures import failure

TEXT = "x" * LARGE


@virtual_time
async def test_a_document_is_there_once_the_server_has_told_it_and_follows_what_is_pushed() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, bob):
        document = ann.document()
        assert ann.document() is document
        assert await document.ready() == {"n": 1}
        with collecting(document) as seen:
            await bob.document().patch({"n": 2})
            await ann.receive()
        await bob.document().delete()
        await ann.receive()
        assert (document.value, document.version, seen) == (None, 3, [{"n": 2}])


@virtual_time
async def test_ready_waits_until_the_server_has_told_and_is_refused_where_the_channel_is_left() -> None:
    ann = Client(StateServer())
    ready = asyncio.create_task(ann.document().ready())
    await settle()
    ann.documents.closed(closed("left"))
    with pytest.raises(TidewireError, match="left"):
        await ready
    with pytest.raises(TidewireError, match="left"):
        await ann.document().ready()  # nor is what is asked then told, before it is subscribed to again
    state = ann.documents.subscribing()
    given_up = asyncio.create_task(ann.document().ready())
    ready = asyncio.create_task(ann.document().ready())
    await settle()
    given_up.cancel()
    ann.documents.subscribed(state | {"state": ann.server.page(None)})
    assert await ready is None


@virtual_time
async def test_a_hole_is_filled_once_whatever_is_pushed_meanwhile() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, bob):
        for n in (2, 3, 4, 5):
            await bob.document().patch({"n": n})
        del ann.inbox[0]
        ann.refuse(uncertain("no answer came"))
        await ann.receive()
        await asyncio.sleep(1)
        assert ann.document().value == {"n": 5}
        assert ann.asked == [{"type": "state.get", "channel": CHANNEL, "key": "k", "since_version": 1}] * 2


@virtual_time
async def test_a_push_that_comes_while_a_hole_is_filled_and_is_not_in_the_answer_is_not_lost() -> None:
    async with state_server("merge", {"n": 1}) as (server, ann, bob):
        for n in (2, 3):
            await bob.document().patch({"n": n})
        del ann.inbox[0]
        ann.instead.append(lambda _: WAITS)
        await ann.receive()
        answer = server.handle(ann.asked[0])
        for n in (4, 5):
            await bob.document().patch({"n": n})
        ann.documents.push(ann.inbox[1])
        ann.fake.last.resolve(answer)
        await settle()
        assert ann.document().value == {"n": 5}


@virtual_time
async def test_a_hole_that_opens_just_when_the_last_was_filled_is_filled_as_well() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, bob):
        for n in range(2, 40):
            await bob.document().patch({"n": n})
            if n % 2:
                ann.documents.push(ann.inbox[-1])  # every other is lost
            await asyncio.sleep(0)
        ann.documents.push(ann.inbox[-1])
        await settle()
        assert ann.document().value == {"n": 39}


@virtual_time
async def test_the_loss_of_a_last_push_shows_at_the_next_check_and_in_the_pages_that_follow_a_subscription() -> None:
    async with state_server() as (server, ann, bob):
        server.page_size = 2
        for key in "abcde":
            await bob.document(key).set({"key": key})
        ann.inbox.clear()
        ann.documents.check()
        await settle()
        assert [request.get("after") for request in ann.asked] == [None, "b", "d"]
        assert list(ann.documents.replica.values) == list("abcde")
        late = Client(server)
        await late.come()
        assert list(late.documents.replica.values) == list("abcde")


@virtual_time
async def test_more_versions_than_a_frame_holds_are_not_told_and_what_was_deleted_is_found_all_the_same() -> None:
    async with state_server() as (server, ann, bob):
        keys = [f"{'k' * 90}{number:03}" for number in range(300)]
        for key in keys:
            server.handle({"type": "state.set", "key": key, "value": 1})
        await ann.receive()
        ann.go()
        await bob.receive()
        await bob.document(keys[7]).delete()
        server.page_size = 100
        assert ann.documents.subscribing() == {"state": True}
        await ann.come()
        assert ann.document(keys[7]).value is None
        assert [request.get("since_version") for request in ann.asked] == [None, None, 1]
        assert not any("known" in request for request in ann.asked)  # not in part: that would say more than is so
        assert len(ann.documents.replica.values) == 299


@virtual_time
async def test_pages_that_never_end_are_not_asked_for_without_end() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, _bob):
        for _ in range(20):
            ann.instead.append(lambda _: {"documents": {}, "more": True})
        ann.documents.check()
        await asyncio.sleep(100)
        assert (len(ann.asked), len(ann.reports)) == (1, 1)


@virtual_time
async def test_what_is_handed_out_is_nobody_elses() -> None:
    async with state_server("merge", {"list": [{"n": 1}]}) as (_, ann, _bob):
        document = ann.document()
        document.value["list"][0]["n"] = 2
        (await document.ready())["list"][0]["n"] = 2
        assert document.value == {"list": [{"n": 1}]}
        document.on_change(lambda value, _: value["list"].append(5))
        document.on_change(lambda value, _: value["list"].append(5))
        mine: Any = {"list": [{"n": 3}]}
        written = document.set(mine)
        mine["list"][0]["n"] = 4
        result = await written
        result.value["list"].append(6)
        assert document.value == {"list": [{"n": 3}]}
        document.patch({"m": 1}).add_done_callback(failure)
        assert document.value == {"list": [{"n": 3}], "m": 1}


@pytest.mark.parametrize("junk", [None, 1, "x", {}, [], [1], True, {"version": 3}, {"k": {"version": "x"}}], ids=repr)
@virtual_time
async def test_frames_that_make_no_sense_raise_nothing_and_stop_nothing(junk: Any) -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, bob):
        said: list[Frame] = [{"key": junk, "version": 5}, {"key": "k", "version": junk}, {"key": "k"}]
        said += [{"key": "other", "version": 1, "patch": junk}, {"key": "k", "version": 2, "patch": junk, "value": 1}]
        for frame in said:
            ann.documents.push({"type": "state", "channel": CHANNEL, **frame})
            await settle()
        ann.documents.push({"type": junk})
        for state in (junk, {"documents": junk}, {"documents": {"k": junk}}, {"documents": {"k": {"changes": junk}}}):
            ann.documents.subscribing()
            ann.documents.subscribed({"state": state})
        await settle()
        ann.instead.append(lambda _: junk)
        written, _ = await asyncio.wait([ann.document().patch({"x": 1})])
        failure(written.pop())  # or it was one that makes sense
        await bob.document().patch({"m": 1})
        ann.instead += [lambda _: junk, lambda _: {"changes": junk}]
        ann.documents.push({"type": "state", "channel": CHANNEL, "key": "k", "version": 100, "value": 1})
        await asyncio.sleep(100)
        ann.instead.clear()
        ann.go()
        await ann.come()
        ann.documents.check()
        await asyncio.sleep(100)
        assert ann.document().pending == 0
        assert ann.reports
        assert all(isinstance(error, TidewireError) for error in ann.reports)
        assert await asyncio.wait_for(bob.document().patch({"n": 2}), 1)


@virtual_time
async def test_what_is_nested_too_deeply_is_reported_and_stops_nothing() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, bob):
        deep: Any = {}
        for _ in range(5_000):
            deep = {"a": deep}
        ann.documents.push({"type": "state", "channel": CHANNEL, "key": "k", "version": 2, "patch": deep})
        changes = [{"version": 1, "patch": deep}]
        ann.documents.subscribed({"state": {"documents": {"other": {"version": 1, "changes": changes}}}})
        assert [type(error) for error in ann.reports] == [RecursionError] * 2
        await bob.document().patch({"n": 2})
        await ann.receive()
        assert ann.document().value == {"n": 2}


@virtual_time
async def test_a_large_document_is_read_by_http_and_what_is_known_of_it_is_shown_until_then() -> None:
    async with state_server("merge", {"n": 1}) as (server, ann, _bob):
        document, free = ann.document(), asyncio.Event()
        ann.read_instead.append(free.wait)
        server.handle({"type": "state.set", "key": "k", "value": {"n": 2, "text": TEXT}})
        await ann.receive()
        assert (document.value, document.version) == ({"n": 1}, 1)
        server.handle({"type": "state.patch", "key": "k", "patch": {"n": 3}})  # while it is read
        await ann.receive()
        free.set()
        await settle()
        assert (ann.document().value, ann.document().version) == ({"n": 3, "text": TEXT}, 3)
        assert ann.read == ["k"]  # the rest came as changes


@virtual_time
async def test_a_large_document_is_read_again_when_that_fails_and_ready_waits_for_it() -> None:
    async with state_server() as (server, ann, bob):
        server.handle({"type": "state.set", "key": "k", "value": {"text": TEXT}})
        ann.read_instead.append(raising(uncertain("nothing came")))
        await ann.receive()
        assert await ann.document().ready() == {"text": TEXT}
        bob.read_instead.append(raising(wire_error(1005, "forbidden")))
        ready = asyncio.create_task(bob.document().ready())
        bob.documents.push(bob.inbox.pop())
        with pytest.raises(TidewireError) as refused:
            await ready
        assert bob.reports == [refused.value]


@virtual_time
async def test_whoever_waits_for_a_large_document_and_gives_up_does_not_stop_it() -> None:
    async with state_server("merge", {"n": 1}) as (server, ann, _bob):
        free = asyncio.Event()
        ann.read_instead.append(free.wait)
        server.handle({"type": "state.set", "key": "k", "value": {"text": TEXT}})
        await ann.receive()
        refreshing = asyncio.create_task(ann.documents.refresh("k"))
        await settle()
        refreshing.cancel()
        free.set()
        await settle()
        assert ann.document().value == {"text": TEXT}


@virtual_time
async def test_what_is_written_to_a_large_document_is_settled_by_its_change_or_read() -> None:
    async with state_server("merge", {"text": TEXT}) as (server, ann, _bob):
        assert (await ann.document().patch({"n": 1})).value == {"text": TEXT, "n": 1}
        assert ann.read == ["k"]

        def answer(request: Frame) -> Frame:
            result = server.handle(request, ann)
            return {"version": result["version"], "resolution": result["resolution"]}

        ann.instead.append(answer)
        result = await ann.document().patch({"n": 2})
        assert (result.version, result.value) == (3, {"text": TEXT, "n": 2})
        assert ann.read == ["k", "k"]


@virtual_time
async def test_one_that_is_gone_when_it_is_read_is_not_there() -> None:
    async with state_server() as (server, ann, _bob):
        server.handle({"type": "state.set", "key": "k", "value": {"text": TEXT}})
        server.handle({"type": "state.delete", "key": "k"})
        ann.inbox.pop()
        await ann.receive()
        assert await ann.document().ready() is None
        assert ann.document().version == 2


@virtual_time
async def test_what_http_reads_is_always_older_does_not_hammer_the_server() -> None:
    async with state_server() as (server, ann, _bob):
        server.handle({"type": "state.set", "key": "k", "value": {"text": TEXT}})
        server.handle({"type": "state.set", "key": "k", "value": {"text": TEXT + "y"}})
        stale = server.logs["k"].pop()
        ann.read_instead += [settle for _ in range(1_000)]
        for _ in range(1_000):
            ann.instead.append(lambda _: {"changes": [{"version": stale.version}]})
        await ann.receive()
        await asyncio.sleep(10)
        assert 3 <= len(ann.read) < 30


@virtual_time
async def test_changes_are_the_current_value_once_it_is_told_and_then_each_until_the_channel_is_left() -> None:
    server = StateServer()
    server.handle({"type": "state.set", "key": "k", "value": {"n": 1}})
    ann, bob = Client(server), Client(server)
    changes, forgotten = ann.document().changes(), ann.document().changes()
    first = asyncio.ensure_future(anext(changes))
    ann.document().patch({"mine": 1})
    await settle()
    assert not first.done()
    await ann.come()
    await bob.come()
    assert await first == {"n": 1, "mine": 1}
    for n in (2, 3):
        await bob.document().patch({"n": n})
        await ann.receive()
    late = ann.document().changes()
    ann.documents.closed(closed("left"))
    assert [value async for value in changes] == [{"n": 2, "mine": 1}, {"n": 3, "mine": 1}]
    assert [value async for value in late] == [{"n": 3, "mine": 1}]
    assert [value async for value in forgotten] == [{"n": n, "mine": 1} for n in (1, 2, 3)]
    assert [value async for value in changes] == []
    assert [value async for value in ann.document().changes()] == []
    await ann.come()
    again = ann.document().changes()
    assert await anext(again) == {"n": 3, "mine": 1}
    await ann.document().patch({"n": 4})
    assert await anext(again) == {"n": 4, "mine": 1}
    assert [value async for value in changes] == []
    await ann.close()
    await bob.close()


@virtual_time
async def test_of_changes_nobody_has_any_more_nothing_is_kept() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, _bob):
        async for value in ann.document().changes():
            assert value == {"n": 1}
            break
        assert list(ann.document()._changes) == []


@virtual_time
async def test_whoever_gives_up_waiting_for_a_change_loses_none() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, _bob):
        changes = ann.document().changes()
        assert await anext(changes) == {"n": 1}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(anext(changes), 1)
        await ann.document().patch({"n": 2})
        assert await anext(changes) == {"n": 2}


@virtual_time
async def test_an_answer_to_what_was_asked_before_leaving_tells_nothing_of_the_next_subscription() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, bob):
        ann.instead += [lambda _: WAITS, lambda _: WAITS]
        ann.documents.check()
        await settle()
        ann.documents.check()
        await settle()
        ann.documents.closed(closed("left"))
        await bob.document().patch({"n": 2})
        state = ann.documents.subscribing()["state"]
        ready = asyncio.create_task(ann.document().ready())
        ann.fake.sent[0].resolve({"documents": {}})
        ann.fake.sent[1].reject(uncertain("the connection ended"))
        await settle()
        assert not ready.done()
        ann.documents.subscribed({"state": ann.server.page(state)})
        assert (await ready, ann.reports) == ({"n": 2}, [])


@virtual_time
async def test_a_large_document_that_makes_no_sense_is_not_read_again_until_the_next_check() -> None:
    async with state_server() as (server, ann, _bob):
        server.handle({"type": "state.set", "key": "k", "value": {"text": TEXT}})
        ann.read_instead.append(lambda: asyncio.sleep(0, ("x", 1)))
        ready = asyncio.create_task(ann.document().ready())
        ann.documents.push(ann.inbox.pop())
        with pytest.raises(TidewireError, match="makes no sense"):
            await ready
        assert ann.read == ["k"]
        ann.documents.check()
        await settle()
        assert ann.document().value == {"text": TEXT}
