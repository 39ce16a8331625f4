"""Writes of documents against a server that settles as the real one does: order, conflicts."""

import asyncio
from random import Random
from typing import Any

import pytest

from tests.unit.client.host import WAITS, raising, wire_error
from tests.unit.client.state_server import (
    LARGE,
    Client,
    StateServer,
    Strategy,
    collecting,
    outcome,
    state_server,
)
from tests.unit.client.virtual import settle, virtual_time
from tidewire.document import Document
from tidewire.errors import TidewireError, closed, uncertain
from tidewire.frames import Frame
from tidewire.write import Conflict, WriteResult

Written = asyncio.Future[WriteResult]


@virtual_time
async def test_a_write_shows_at_once_and_rests_on_what_others_write_meanwhile() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, bob):
        document = ann.document()
        with collecting(document) as seen:
            await bob.document().patch({"b": 1})
            written = document.patch({"a": 1})
            assert (document.value, document.version, document.pending) == ({"n": 1, "a": 1}, 1, 1)
            await ann.receive()
            assert await written == WriteResult(3, {"n": 1, "b": 1, "a": 1}, "merged")
            assert (document.version, document.pending) == (3, 0)
            assert seen == [{"n": 1, "a": 1}, {"n": 1, "b": 1, "a": 1}]


@virtual_time
async def test_writes_go_one_at_a_time_and_in_order_each_upon_the_one_before() -> None:
    async with state_server("reject") as (_, ann, _bob):
        document = ann.document()
        written = [document.set({"n": 1}), document.set({"n": 2}), document.patch({"m": 3})]
        assert [result.version for result in await asyncio.gather(*written)] == [1, 2, 3]
        assert [write["base_version"] for write in ann.writes] == [0, 1, 2]
        assert await document.delete() == WriteResult(4, None, "applied")
        await asyncio.gather(document.set({"n": 4}), document.set({"n": 5}))
        assert (document.value, document.version) == ({"n": 5}, 6)


@virtual_time
async def test_what_comes_upon_a_deletion_that_nobody_knew_of_follows_its_own_former_write() -> None:
    async with state_server("reject", {"n": 1}) as (server, ann, bob):
        await bob.document().delete()
        late = Client(server)
        await late.come()
        await asyncio.gather(late.document().set({"n": 2}), late.document().set({"n": 3}))
        assert server.current().version == 4
        await ann.receive()
        assert ann.document().value == {"n": 3}


@virtual_time
async def test_two_who_were_away_agree_and_have_what_both_have_written() -> None:
    async with state_server("merge", {"ann": 0, "bob": 0}) as (server, ann, bob):
        ann.go()
        bob.go()
        for n in (1, 2, 3):
            ann.document().set({**ann.document().value, "ann": n})
            bob.document().set({**bob.document().value, "bob": n})
            ann.document().patch({f"a{n}": n})
        assert ann.document().value == {"ann": 3, "bob": 0, "a1": 1, "a2": 2, "a3": 3}
        assert ann.document().pending == 6
        await ann.come()
        await bob.come()
        await ann.receive()
        assert server.current().value == {"ann": 3, "bob": 3, "a1": 1, "a2": 2, "a3": 3}
        assert ann.document().value == bob.document().value == server.current().value


@virtual_time
async def test_a_write_upon_one_that_was_settled_with_others_is_settled_with_those_too() -> None:
    async with state_server("largest", 5) as (server, ann, bob):
        ann.go()
        written = [ann.document().set(6), ann.document().set(7)]
        await bob.document().set(10)
        await ann.come()
        await asyncio.gather(*written)
        assert server.current().value == ann.document().value == 10


@virtual_time
async def test_after_a_lost_reply_it_is_sent_again_as_it_was_and_once_more_changes_nothing() -> None:
    async with state_server("reject", {"n": 1}) as (server, ann, _bob):
        ann.lose_reply()
        written = [ann.document().set({"n": 2}), ann.document().set({"n": 3})]
        assert [result.version for result in await asyncio.gather(*written)] == [2, 3]
        assert [write["base_version"] for write in ann.writes] == [1, 1, 2]
        assert server.current().value == {"n": 3}


@virtual_time
async def test_without_a_connection_a_write_waits_for_one() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, _bob):
        ann.go()
        written = ann.document().patch({"n": 2})
        await asyncio.sleep(600)
        assert ann.asked == []
        await ann.come()
        assert (await written).version == 2


@virtual_time
async def test_the_server_says_when_it_is_tried_again() -> None:
    async with state_server() as (_, ann, _bob):
        ann.refuse(wire_error(2004, retry_after_ms=800))
        written = ann.document().set({"n": 1})
        await asyncio.sleep(0.799)
        assert len(ann.asked) == 1
        await asyncio.sleep(0.002)
        assert (await written).version == 1


@virtual_time
async def test_to_cancel_what_a_write_returns_does_not_undo_it() -> None:
    async with state_server() as (server, ann, _bob):

        async def write() -> None:
            await ann.document().set({"n": 1})

        writing = asyncio.create_task(write())
        await asyncio.sleep(0)
        writing.cancel()
        await ann.document().patch({"m": 1})
        assert writing.cancelled()
        assert server.current().value == {"n": 1, "m": 1}


@virtual_time
async def test_what_is_refused_is_taken_back_and_those_behind_it_stand() -> None:
    async with state_server("merge", {"n": 1}) as (server, ann, _bob):
        ann.refuse(wire_error(1005, "forbidden"))
        with collecting(ann.document()) as seen:
            refused, written = ann.document().patch({"n": 2}), ann.document().patch({"m": 1})
            assert await outcome(refused) == "forbidden"
            await written
        assert seen == [{"n": 2}, {"n": 2, "m": 1}, {"n": 1, "m": 1}]
        assert server.current().value == {"n": 1, "m": 1}


@virtual_time
async def test_what_was_left_or_closed_is_refused_and_sent_no_more() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, _bob):
        ann.refuse(uncertain("no answer came"))
        written = [ann.document().patch({"n": 2}), ann.document().patch({"n": 3})]
        await settle()
        ann.documents.closed(closed("left"))
        assert [await outcome(one) for one in written] == ["closed", "closed"]
        assert ann.document().value == {"n": 1}
        await ann.come()
        await asyncio.sleep(60)
        assert len(ann.writes) == 1
        assert (await ann.document().patch({"n": 4})).version == 2


@virtual_time
async def test_what_was_on_its_way_then_is_not_sent_again() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, _bob):
        ann.instead.append(lambda _: WAITS)
        refused = ann.document().patch({"n": 2})
        await settle()
        ann.documents.closed(closed("left"))
        await ann.come()
        written = ann.document().patch({"m": 1})
        ann.fake.sent[0].reject(uncertain("no answer came"))
        assert await outcome(refused) == "closed"
        assert (await written).value == {"n": 1, "m": 1}
        assert [write["patch"] for write in ann.writes] == [{"n": 2}, {"m": 1}]


@virtual_time
async def test_what_is_written_after_the_client_was_closed_is_refused_until_it_comes_back() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, _bob):
        ann.instead.append(lambda _: WAITS)
        refused = ann.document().patch({"n": 2})
        await settle()
        await ann.close()  # with all tasks, as they are
        assert await outcome(refused) == "closed"
        assert await outcome(ann.document().patch({"m": 1})) == "closed"
        assert (ann.document().value, ann.document().pending) == ({"n": 1}, 0)
        await ann.come()
        assert (await ann.document().patch({"m": 2})).value == {"n": 1, "m": 2}


@virtual_time
async def test_a_listener_that_raises_breaks_nothing_but_itself() -> None:
    async with state_server() as (_, ann, _bob):
        error = ValueError("mine")
        ann.document().on_change(raising(error))
        with collecting(ann.document()) as seen:
            await ann.document().set({"n": 1})
        assert (ann.reports, seen) == ([error], [{"n": 1}])


@virtual_time
async def test_a_listener_may_write() -> None:
    async with state_server("merge", {"n": 0}) as (server, ann, _bob):

        def count(value: Any, document: Document) -> None:
            if value["n"] < 5:
                document.patch({"n": value["n"] + 1})

        ann.document().on_change(count)
        with collecting(ann.document()) as seen:
            await ann.document().patch({"n": 1})
            await settle()
        assert (server.current().value, ann.document().value, seen[-1]) == ({"n": 5}, {"n": 5}, {"n": 5})


@virtual_time
async def test_what_was_seen_by_nobody_is_not_overwritten_and_a_patch_to_it_says_what_it_changes() -> None:
    server = StateServer("merge")
    server.handle({"type": "state.set", "key": "k", "value": {"n": 1}})
    ann = Client(server)
    refused, written = ann.document().set({"mine": 1}), ann.document().patch({"m": 1})
    await ann.come()
    assert await outcome(refused) == "version_conflict"
    assert (await written).value == {"n": 1, "m": 1}
    await ann.close()


@virtual_time
async def test_what_can_not_be_written_is_not_sent_nor_shown() -> None:
    async with state_server() as (_, ann, _bob):
        document = ann.document()
        circle: Frame = {}
        circle["circle"] = circle
        with pytest.raises(TidewireError, match="too much"):
            document.set({"text": "é" * 126_000})
        for junk in (None, float("nan"), circle, "\ud800"):
            with pytest.raises(ValueError):
                document.set(junk)
        with pytest.raises(TypeError):
            document.set({"now": asyncio})
        with pytest.raises(TypeError):
            document.patch([1])  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="outbox"):
            document.set(1, offline=True)
        assert (document.value, document.pending, ann.asked) == (None, 0, [])


@virtual_time
async def test_an_answer_to_a_write_that_makes_no_sense_refuses_it() -> None:
    async with state_server("merge", {"n": 1}) as (_, ann, _bob):
        for junk in (None, 1, {}, {"version": "x"}, {"version": 2, "patch": 1}):
            ann.instead.append(lambda _, junk=junk: junk)  # type: ignore[misc]
            assert await outcome(ann.document().patch({"n": 2})) == "unsupported_protocol"
        assert (ann.document().value, ann.document().pending) == ({"n": 1}, 0)


# Conflicts.


@virtual_time
async def test_without_anybody_to_ask_a_write_is_refused_and_what_is_there_is_shown() -> None:
    async with state_server("reject", {"n": 1}) as (_, ann, bob):
        await bob.document().set({"n": 2})
        assert await outcome(ann.document().set({"n": 3})) == "version_conflict"
        assert (ann.document().value, ann.document().version) == ({"n": 2}, 2)


@pytest.mark.parametrize("later", [True, False])
@virtual_time
async def test_what_the_user_returns_is_written_upon_the_current_value(later: bool) -> None:
    async with state_server("reject", {"n": 1}) as (server, ann, bob):
        await bob.document().set({"n": 2})
        asked = []

        def both(conflict: Conflict) -> Any:
            asked.append((conflict.mine, conflict.current, conflict.error.kind))
            both = {"n": conflict.mine["n"] + conflict.current["n"]}
            return asyncio.sleep(5, both) if later else both

        ann.document().on_conflict(both)
        assert await ann.document().set({"n": 3}) == WriteResult(3, {"n": 5}, "applied")
        assert asked == [({"n": 3}, {"n": 2}, "version_conflict")]
        assert server.current().value == {"n": 5}


@virtual_time
async def test_the_user_is_asked_again_when_others_were_faster_once_more() -> None:
    async with state_server("reject", {"n": 1}) as (server, ann, bob):
        await bob.document().set({"n": 2})
        asked = []

        async def next_one(conflict: Conflict) -> Any:
            asked.append(conflict.current)
            if len(asked) == 1:
                await bob.document().set({"n": 20})
                await ann.receive()  # while the user thinks
            return {"n": conflict.current["n"] + 1}

        ann.document().on_conflict(next_one)
        assert (await ann.document().set({"n": 3})).value == {"n": 21}
        assert (asked, server.current().version) == ([{"n": 2}, {"n": 20}], 4)


@virtual_time
async def test_after_nothing_or_a_listener_that_raises_the_next_is_asked_then_it_is_refused() -> None:
    async with state_server("reject", {"n": 1}) as (_, ann, bob):
        await bob.document().set({"n": 2})
        error = ValueError("mine")
        asked: list[Conflict] = []
        ann.document().on_conflict(lambda conflict: conflict.current.clear())
        ann.document().on_conflict(raising(error))
        ann.document().on_conflict(asked.append)
        ended = ann.document().on_conflict(lambda _: {"n": 0})
        ended()
        assert await outcome(ann.document().set({"n": 3})) == "version_conflict"
        assert [(conflict.mine, conflict.current) for conflict in asked] == [({"n": 3}, {"n": 2})]
        assert (ann.document().value, ann.reports) == ({"n": 2}, [error])


@virtual_time
async def test_a_listener_that_was_cancelled_has_nothing_to_say() -> None:
    async with state_server("reject", {"n": 1}) as (_, ann, bob):
        await bob.document().set({"n": 2})
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        ann.document().on_conflict(lambda _: never)
        assert await outcome(ann.document().set({"n": 3})) == "version_conflict"
        assert len(ann.reports) == 1


@virtual_time
async def test_a_resolver_that_refuses_is_a_conflict_as_well() -> None:
    async with state_server("largest", 5) as (_, ann, bob):
        await bob.document().set(7)
        ann.document().on_conflict(lambda conflict: conflict.current + 1 if conflict.error.kind == "refused" else None)
        assert (await ann.document().set(-1)).value == 8


@virtual_time
async def test_a_listener_that_insists_against_a_rule_of_the_servers_does_not_hammer_it() -> None:
    async with state_server("merge", {"n": 1}) as (server, ann, _bob):

        def refuse(request: Frame) -> Any:
            ann.instead.append(refuse)
            if request["type"] == "state.get":
                return server.handle(request, ann)
            raise wire_error(1014, "refused")

        async def insist(conflict: Conflict) -> Any:
            await asyncio.sleep(0.01)
            return conflict.mine

        ann.instead.append(refuse)
        ann.document().on_conflict(insist)
        written = ann.document().set({"n": 2})
        await asyncio.sleep(10)
        assert 3 < len(ann.writes) < 45
        ann.documents.closed(closed("enough"))
        assert await outcome(written) == "closed"


@virtual_time
async def test_nobody_is_asked_about_a_write_that_was_left_meanwhile() -> None:
    async with state_server("reject", {"n": 1}) as (_, ann, bob):
        await bob.document().set({"n": 2})
        ann.instead.append(lambda _: WAITS)
        asked: list[Conflict] = []
        ann.document().on_conflict(asked.append)
        written = ann.document().set({"n": 3})
        await settle()
        ann.documents.closed(closed("left"))
        await ann.come()
        ann.fake.sent[0].reject(wire_error(1007, "version_conflict"))
        await settle()
        assert (await outcome(written), asked) == ("closed", [])


@pytest.mark.parametrize("strategy", ["merge", "reject", "last_write_wins"])
@pytest.mark.parametrize("seed", range(40))
@virtual_time
async def test_whatever_the_network_does_all_end_with_what_the_server_has(strategy: Strategy, seed: int) -> None:
    random, names = Random(seed), ("ann", "bob", "cyd")
    server = StateServer(strategy, page_size=1)
    clients = {name: Client(server) for name in names}
    for key in "ab":
        text = "x" * (LARGE - 60) if key == "b" else ""
        server.handle({"type": "state.set", "key": key, "value": {"text": text}})
    for client in clients.values():
        client.fake.random = random.random
        await client.come()
    accepted: dict[tuple[str, str], int] = {}  # the last number that was not refused

    def note(name: str, key: str, number: int, written: Written) -> None:
        if written.exception() is None:
            accepted[name, key] = number

    def write(name: str, number: int) -> None:
        key = "a" if random.random() < 0.7 else "b"
        document = clients[name].document(key)
        mine = {name: number, f"{name}{number % 3}": "y" * (number % 30)}
        whole = random.random() < 0.5
        written = document.set({**(document.value or {}), **mine}) if whole else document.patch(mine)
        written.add_done_callback(lambda written: note(name, key, number, written))

    async def move(name: str, number: int) -> None:
        client, chance = clients[name], random.random()
        if chance < 0.45:
            write(name, number)
        elif chance < 0.6:
            client.lose_reply()
        elif chance < 0.7:
            client.refuse(uncertain("it never came there"))
        elif chance < 0.9:
            for push in random.sample(client.inbox, len(client.inbox)):
                for _ in range(random.choice((0, 1, 1, 1, 2))):
                    client.documents.push(push)
            client.inbox.clear()
        elif client.fake.online:
            client.go()
        else:
            await client.come()

    for number in range(1, 61):
        await move(random.choice(names), number)
        if random.random() < 0.3:
            await asyncio.sleep(random.random() * 0.4)
    for client in clients.values():
        client.instead.clear()
        if not client.fake.online:
            await client.come()
    await asyncio.sleep(120)
    for client in clients.values():
        await client.receive()
        client.documents.check()
        await asyncio.sleep(60)
    for name, client in clients.items():
        for key in "ab":
            document, entry = client.document(key), server.current(key)
            assert (document.value, document.version, document.pending) == (entry.value, entry.version, 0)
            if strategy == "merge" and (name, key) in accepted:
                assert document.value[name] == accepted[name, key]
        assert client.reports == []
        await client.close()
