"""Writes of documents that are kept until they are answered, even if the process goes."""

import asyncio
import gc

from tests.unit.client.host import WAITS, wire_error
from tests.unit.client.state_server import CHANNEL, Client, FakeStore, outcome, state_server
from tests.unit.client.virtual import settle, virtual_time
from tidewire.errors import closed, uncertain
from tidewire.store import Kept


@virtual_time
async def test_a_write_that_was_kept_is_shown_sent_first_and_forgotten_when_it_is_answered() -> None:
    store = FakeStore()
    async with state_server("merge", {"n": 1}, store=store) as (server, first, bob):
        first.refuse(uncertain("no answer came"))
        lost = [first.document().patch({"a": n}, offline=True) for n in (1, 2)] + [first.document().patch({"lost": 1})]
        await settle()
        await first.close()
        assert [await outcome(one) for one in lost] == ["closed"] * 3
        await bob.document().patch({"b": 1})

        ann = Client(server, store=store)
        written = ann.document().patch({"a": 3})
        for kept in await store.left():
            ann.documents.restore(kept)
        assert ann.document().value == {"a": 3}
        await ann.come()
        await written
        assert [write["patch"] for write in ann.writes] == [{"a": 1}, {"a": 2}, {"a": 3}]
        assert server.current().value == {"n": 1, "a": 3, "b": 1}
        assert store.kept == {}


@virtual_time
async def test_one_taken_up_while_another_is_under_way_goes_behind_it_and_before_the_rest_each_once() -> None:
    store = FakeStore()
    async with state_server("merge", {"n": 1}, store=store) as (_, ann, _bob):
        ann.refuse(uncertain("the connection ended"))
        written = [ann.document().patch({"a": 1}), ann.document().patch({"b": 1})]
        await settle()
        ann.go()
        for name in ("kept1", "kept2"):
            request = {"type": "state.patch", "channel": CHANNEL, "key": "k", "patch": {name: 1}}
            ann.documents.restore(Kept(await store.keep(request), request, None))
        await ann.come()
        await asyncio.gather(*written)
        assert [next(iter(write["patch"])) for write in ann.writes] == ["a", "a", "kept1", "kept2", "b"]
        assert ann.document().pending == 0


@virtual_time
async def test_one_that_another_process_has_taken_over_meanwhile_is_not_sent() -> None:
    store = FakeStore()
    async with state_server("merge", {"n": 1}, store=store) as (_, ann, _bob):
        ann.go()
        written = ann.document().patch({"a": 1}, offline=True)
        await settle()
        store.ours = False
        await ann.come()
        assert await outcome(written) == "closed"
        assert (ann.writes, ann.document().value, len(store.kept)) == ([], {"n": 1}, 1)


@virtual_time
async def test_of_one_that_is_refused_the_next_process_is_told_and_it_is_forgotten() -> None:
    store = FakeStore()
    async with state_server("reject", {"n": 1}, store=store) as (server, _first, _bob):
        ann = Client(server, store=store)
        request = {"type": "state.set", "channel": CHANNEL, "key": "k", "value": 2, "base_version": 0}
        ann.documents.restore(Kept(await store.keep(request), request, None))
        assert ann.document().value == 2
        await ann.come()
        assert ann.document().value == {"n": 1}
        assert [str(error) for error in ann.reports] == ["not now"]
        assert store.kept == {}


@virtual_time
async def test_what_can_not_be_kept_is_refused() -> None:
    store = FakeStore(error=wire_error(1010, "limit_reached"))
    async with state_server(store=store) as (_, ann, _bob):
        assert await outcome(ann.document().set({"n": 1}, offline=True)) == "limit_reached"
        assert (ann.document().value, ann.writes) == (None, [])


@virtual_time
async def test_of_what_can_not_be_kept_nobody_hears_twice() -> None:
    store, heard = FakeStore(error=OSError("no disk")), []
    async with state_server(store=store) as (_, ann, _bob):
        asyncio.get_running_loop().set_exception_handler(lambda _, context: heard.append(context))
        ann.go()
        written = ann.document().set({"n": 1}, offline=True)
        await settle()
        ann.documents.closed(closed("left"))
        assert await outcome(written) == "closed"
        store.error = None
        del written
        gc.collect()
        await settle()
        assert (heard, ann.reports) == ([], [])


@virtual_time
async def test_one_that_was_left_while_it_was_being_kept_is_the_next_processs() -> None:
    store = FakeStore()
    async with state_server("merge", {"n": 1}, store=store) as (_, ann, _bob):
        store.disk.clear()
        refused = ann.document().patch({"a": 1}, offline=True)
        await settle()
        ann.documents.closed(closed("left"))
        store.disk.set()
        await settle()
        await ann.come()
        written = ann.document().patch({"b": 1})
        assert await outcome(refused) == "closed"
        assert (await written).value == {"n": 1, "b": 1}
        assert [write["patch"] for write in ann.writes] == [{"b": 1}]
        assert [request["patch"] for request in store.kept.values()] == [{"a": 1}]
        assert store.begun == []


@virtual_time
async def test_what_was_under_way_or_waiting_when_the_server_ended_it_for_good_stays_kept_and_is_told_once() -> None:
    store, revoked = FakeStore(), wire_error(3501, "revoked")
    async with state_server("merge", {"n": 1}, store=store) as (_, ann, _bob):
        ann.instead.append(lambda _: WAITS)
        under_way = ann.document().patch({"a": 1}, offline=True)
        await settle()
        request = {"type": "state.patch", "channel": CHANNEL, "key": "k", "patch": {"b": 1}}
        ann.documents.restore(Kept(await store.keep(request), request, None))
        await settle()
        ann.documents.closed(revoked)  # as the client does: first it tells, then what was asked is refused
        ann.fake.last.reject(revoked)
        await settle()
        assert await outcome(under_way) == "revoked"
        assert [request["patch"] for request in store.kept.values()] == [{"a": 1}, {"b": 1}]
        assert ann.reports == []


@virtual_time
async def test_what_was_answered_just_before_the_end_is_forgotten() -> None:
    store = FakeStore()
    async with state_server("merge", {"n": 1}, store=store) as (_, ann, _bob):
        ann.instead.append(lambda _: WAITS)
        ann.document().patch({"a": 1}, offline=True).add_done_callback(lambda answered: answered.exception())
        await settle()
        ann.fake.last.resolve({"version": 2, "value": {"n": 1, "a": 1}, "resolution": "applied"})
        ann.documents.closed(wire_error(3501, "revoked"))
        await settle()
        assert store.kept == {}
