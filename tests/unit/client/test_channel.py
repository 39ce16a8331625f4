"""A channel and its recovery, whose questions the test answers."""

import asyncio
from collections.abc import Awaitable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import pytest

from tests.unit.client.fakes import error_of, event
from tests.unit.client.virtual import settle, virtual_time
from tidewire.channel import Channel
from tidewire.documents import Documents
from tidewire.errors import FORBIDDEN, NOT_SUBSCRIBED, TidewireError, closed, uncertain
from tidewire.frames import Event, Frame, Position, PublishResult, Receipt
from tidewire.futures import answer, refused
from tidewire.host import Host
from tidewire.recovery import Recovery, Told

UNAVAILABLE = 2001


@dataclass
class Question:
    """What was asked."""

    request: Frame
    future: "asyncio.Future[Any]"

    async def answer(self, result: Any) -> None:
        self.future.set_result(result)
        await settle()

    async def refuse(self, error: TidewireError) -> None:
        if not self.future.done():
            self.future.set_exception(error)
        await settle()


class SetUp:
    """A channel, its recovery, and what its user was told."""

    def __init__(self) -> None:
        self.online = True
        self.questions: list[Question] = []
        self.reports: list[BaseException] = []
        self.heard: list[int | None] = []
        self.resets: list[Position] = []
        self.published: list[Frame] = []
        self._tasks: set[asyncio.Task[None]] = set()
        host = Host(
            ask=self._ask,
            standing=self._standing,
            connected=lambda: self.online,
            user_id=lambda: "ann",
            server_time_ms=lambda: 0.0,
            report=self.reports.append,
            spawn=self._spawn,
            random=lambda: 0.0,
        )
        told = Told(
            deliver=lambda frame: self.channel.deliver(frame),
            start_over=lambda _, position: self.channel.start_over(position),
            resubscribe=lambda _: self.channel.resubscribe(),
        )
        self.recovery = Recovery(host, told)
        self.channel = Channel("room:a", host, self.recovery, self._publish, lambda: self._documents(host))
        self.channel.on("*", lambda event: self.heard.append(event.offset))
        self.channel.on_reset(self.resets.append)

    def asked(self, kind: str) -> list[Question]:
        return [question for question in self.questions if question.request["type"] == kind]

    def last(self, kind: str) -> Question:
        return self.asked(kind)[-1]

    async def subscribing(self, history: int = 0) -> "asyncio.Task[list[Event]]":
        task = asyncio.ensure_future(self.channel.subscribe(history=history))
        await settle()
        return task

    async def leaving(self) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(self.channel.unsubscribe())
        await settle()
        return task

    async def disconnect(self) -> None:
        self.online = False
        self.recovery.disconnected()
        self.channel.disconnected()
        for question in self.questions:
            await question.refuse(uncertain("the connection ended"))

    async def reconnect(self) -> None:
        self.online = True
        self.channel.connected()
        await settle()

    async def push(self, offset: int, **fields: Any) -> None:
        self.recovery.event(event(offset, **fields))
        await settle()

    async def behind(self, offset: int, epoch: str = "e1") -> None:
        self.recovery.behind({"room:a": {"epoch": epoch, "offset": offset}})
        await settle()

    async def end(self) -> None:
        """The client is closed: every task ends."""
        self.online = False
        self.recovery.disconnected()
        self.channel.disconnected()
        self.channel.closed(closed("the client was closed"))
        for question in self.questions:
            await question.refuse(closed("the client was closed"))

    def _ask(self, request: Frame, timeout_s: float = 10.0) -> "asyncio.Future[Any]":
        if not self.online:
            return refused(uncertain("not connected"))
        question = Question(request, answer())
        self.questions.append(question)
        return question.future

    async def _standing(self) -> None:
        pass

    def _publish(self, frame: Frame, _offline: bool) -> "asyncio.Future[PublishResult]":
        self.published.append(frame)
        done = answer()
        done.set_result(PublishResult(frame["message_id"], "accepted"))
        return done

    def _documents(self, host: Host) -> Documents:
        async def read(_key: str) -> None:
            return None

        return Documents("room:a", host, read, lambda: None)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


def place(offset: int, epoch: str = "e1") -> Frame:
    return {"epoch": epoch, "offset": offset}


def subscribed(offset: int, **fields: Any) -> Frame:
    return {"channel": "room:a", "position": place(offset), "recovered": False, "publications": [], **fields}


def recovered(offset: int, publications: list[Frame], **fields: Any) -> Frame:
    return subscribed(offset, recovered=True, publications=publications, **fields)


def history(offset: int, publications: list[Frame], *, more: bool = False) -> Frame:
    return {"publications": publications, "position": place(offset), "more": more}


def run(first: int, last: int) -> list[Frame]:
    return [event(offset) for offset in range(first, last + 1)]


def offsets(events: list[Event]) -> list[int | None]:
    return [event.offset for event in events]


def refusal(code: int, **fields: Any) -> TidewireError:
    return TidewireError(code, "no", "no", **fields)


def codes(errors: list[BaseException]) -> list[int]:
    return [error.code for error in errors if isinstance(error, TidewireError)]


async def standing(offset: int) -> SetUp:
    """Return a channel that stands at an offset."""
    it = SetUp()
    subscribing = await it.subscribing()
    await it.last("subscribe").answer(subscribed(offset))
    assert await subscribing == []
    return it


async def back(it: SetUp) -> Question:
    """It was away: return how it asks for what it has missed."""
    await it.disconnect()
    await it.reconnect()
    return it.last("subscribe")


# Subscribing.


@virtual_time
async def test_subscribing_returns_the_history_asked_for_and_hands_on_events_from_there() -> None:
    it = SetUp()
    subscribing = await it.subscribing(history=2)
    assert it.last("subscribe").request == {"type": "subscribe", "channel": "room:a", "history": 2}
    await it.last("subscribe").answer(subscribed(5, publications=run(4, 5)))
    assert offsets(await subscribing) == [4, 5]
    assert it.channel.position == Position("e1", 5)
    await it.push(5)
    await it.push(6)
    assert it.heard == [6]


@virtual_time
async def test_events_that_overtake_the_answer_are_kept_until_it_is_there() -> None:
    it = SetUp()
    await it.subscribing()
    await it.push(6)
    await it.push(5)
    assert it.heard == []
    await it.last("subscribe").answer(subscribed(5))
    assert it.heard == [6]
    await it.end()


@virtual_time
async def test_a_refusal_is_raised_and_the_channel_is_not_subscribed() -> None:
    it = SetUp()
    subscribing = await it.subscribing()
    await it.last("subscribe").refuse(refusal(FORBIDDEN))
    assert (await error_of(subscribing)).code == FORBIDDEN
    assert (it.channel.subscribed, it.channel.position, it.reports) == (False, None, [])


@virtual_time
async def test_a_temporary_refusal_is_tried_again_after_what_the_server_asks() -> None:
    it = SetUp()
    subscribing = await it.subscribing()
    await it.last("subscribe").refuse(refusal(UNAVAILABLE, retry_after_ms=700))
    await asyncio.sleep(0.69)
    assert len(it.asked("subscribe")) == 1
    await asyncio.sleep(0.02)
    await it.asked("subscribe")[1].answer(subscribed(1))
    assert await subscribing == []


@virtual_time
async def test_subscribing_before_there_is_a_connection_waits_for_it() -> None:
    it = SetUp()
    it.online = False
    subscribing = await it.subscribing(history=3)
    await asyncio.sleep(60)
    assert it.questions == []
    await it.reconnect()
    assert it.last("subscribe").request["history"] == 3
    await it.last("subscribe").answer(subscribed(3, publications=run(1, 3)))
    assert len(await subscribing) == 3


@virtual_time
async def test_a_loss_while_subscribing_starts_it_over_on_the_next_connection_once() -> None:
    it = SetUp()
    subscribing = await it.subscribing()
    await (await back(it)).answer(subscribed(1))
    assert (await subscribing, len(it.asked("subscribe"))) == ([], 2)


@pytest.mark.parametrize("online", [True, False])
@virtual_time
async def test_subscribing_is_refused_when_the_client_is_closed_before_there_was_an_answer(online: bool) -> None:
    it = SetUp()
    it.online = online
    subscribing = await it.subscribing()
    await it.end()
    assert (await error_of(subscribing)).kind == "closed"


@virtual_time
async def test_subscribing_twice_at_once_asks_once() -> None:
    it = SetUp()
    one, two = await it.subscribing(history=1), await it.subscribing(history=2)
    assert len(it.asked("subscribe")) == 1
    await it.last("subscribe").answer(subscribed(5, publications=[event(5)]))
    assert it.last("history").request | {"limit": 2, "reverse": True} == it.last("history").request
    await it.last("history").answer(history(5, [event(5), event(4)]))
    assert (offsets(await one), offsets(await two)) == ([5], [4, 5])


@virtual_time
async def test_subscribing_again_reads_the_history_and_hands_nothing_on_twice() -> None:
    it = await standing(3)
    await it.push(4)
    again = await it.subscribing(history=2)
    await it.last("history").answer(history(4, [event(4), event(3)]))
    assert offsets(await again) == [3, 4]
    assert (len(it.asked("subscribe")), it.heard) == (1, [4])


@virtual_time
async def test_subscribing_to_what_was_lost_for_good_asks_again() -> None:
    it = await standing(3)
    await (await back(it)).refuse(refusal(FORBIDDEN))
    again = await it.subscribing()
    assert it.last("subscribe").request["since"] == place(3)
    await it.last("subscribe").answer(recovered(4, run(4, 4)))
    assert (await again, it.heard, codes(it.reports)) == ([], [4], [FORBIDDEN])


@virtual_time
async def test_subscribing_while_it_is_away_waits_until_it_is_back() -> None:
    it = await standing(3)
    await it.disconnect()
    again = await it.subscribing(history=1)
    assert not again.done()
    await it.reconnect()
    await it.last("subscribe").answer(recovered(3, []))
    await it.last("history").answer(history(3, [event(3)]))
    assert (offsets(await again), len(it.asked("subscribe"))) == ([3], 2)


@virtual_time
async def test_given_up_by_who_waits_for_it_it_is_subscribed_to_all_the_same() -> None:
    it = SetUp()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(it.channel.subscribe(), 1)
    again = await it.subscribing()
    await it.last("subscribe").answer(subscribed(3))
    await it.push(4)
    assert (await again, it.heard, len(it.asked("subscribe"))) == ([], [4], 1)


@virtual_time
async def test_given_up_by_who_waits_for_it_a_refusal_is_nobodys() -> None:
    it = SetUp()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(it.channel.subscribe(), 1)
    await it.last("subscribe").refuse(refusal(FORBIDDEN))
    assert (it.channel.subscribed, it.reports) == (False, [])


@virtual_time
async def test_given_up_left_and_come_back_to_it_is_subscribed_to_once_more() -> None:
    it = SetUp()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(it.channel.subscribe(), 1)
    leaving, coming = await it.leaving(), await it.subscribing()
    await it.last("subscribe").answer(subscribed(3))
    await it.last("subscribe").answer(subscribed(4))
    await leaving
    assert await coming == []
    assert (it.channel.position, len(it.asked("subscribe"))) == (Position("e1", 4), 2)


# Coming back.


@virtual_time
async def test_after_a_reconnect_it_asks_for_what_it_missed() -> None:
    it = await standing(3)
    await it.push(4)
    asked = await back(it)
    assert asked.request == {"type": "subscribe", "channel": "room:a", "since": place(4)}
    await it.push(7)  # overtakes the answer
    await asked.answer(recovered(6, run(5, 6)))
    assert it.heard == [4, 5, 6, 7]


@virtual_time
async def test_a_recovery_with_more_is_continued_by_history_before_pushes_are_handed_on() -> None:
    it = await standing(0)
    await (await back(it)).answer(recovered(6, run(1, 2), more=True))
    await it.push(7, priority="high", prev_offset=0)  # would overtake
    assert it.last("history").request["since"] == place(2)
    await it.last("history").answer(history(6, run(3, 4), more=True))
    assert (it.heard, it.last("history").request["since"]) == ([1, 2, 3, 4], place(4))
    await it.last("history").answer(history(6, run(5, 6)))
    assert it.heard == [1, 2, 3, 4, 5, 6, 7]


@virtual_time
async def test_a_recovery_that_fails_half_way_goes_on_from_where_it_got_to() -> None:
    it = await standing(0)
    await (await back(it)).answer(recovered(4, run(1, 2), more=True))
    await it.last("history").refuse(uncertain("no answer came"))
    await asyncio.sleep(2.01)
    assert [question.request["since"] for question in it.asked("history")] == [place(2)] * 2
    await it.last("history").answer(history(4, run(3, 4)))
    assert it.heard == [1, 2, 3, 4]


@virtual_time
async def test_a_recovery_that_the_next_loss_cuts_short_is_continued_on_the_next_connection() -> None:
    it = await standing(0)
    await (await back(it)).answer(recovered(4, run(1, 2), more=True))
    await it.disconnect()
    await asyncio.sleep(60)
    await it.reconnect()
    assert (len(it.asked("history")), it.last("subscribe").request["since"]) == (1, place(2))
    await it.last("subscribe").answer(recovered(4, run(3, 4)))
    assert it.heard == [1, 2, 3, 4]


@virtual_time
async def test_what_could_not_be_recovered_is_a_reset_and_a_first_subscription_is_none() -> None:
    it = await standing(3)
    asked = await back(it)
    assert it.resets == []
    await asked.answer(subscribed(9, position=place(9, "e2")))
    assert it.resets == [it.channel.position] == [Position("e2", 9)]
    await it.push(10, epoch="e2")
    assert it.heard == [10]


@virtual_time
async def test_a_rejoin_that_fails_for_now_is_tried_again_without_a_new_connection() -> None:
    it = await standing(3)
    await (await back(it)).refuse(uncertain("no answer came"))
    await asyncio.sleep(0.5)
    await it.asked("subscribe")[2].answer(recovered(4, run(4, 4)))
    await it.push(5)
    assert it.heard == [4, 5]


@virtual_time
async def test_an_event_of_another_stream_makes_it_ask_what_became_of_its_own() -> None:
    it = await standing(3)
    await it.push(1, epoch="e2", prev_offset=0)
    await it.push(2, epoch="e2")
    await asyncio.sleep(1.01)
    assert it.last("history").request["since"] == place(3)
    await it.last("history").answer(history(1, []) | {"position": place(1, "e2")})
    assert (it.resets, it.heard) == ([Position("e2", 1)], [2])


# Subscribing once more.


@virtual_time
async def test_told_to_subscribe_again_it_asks_where_the_stream_stands_once() -> None:
    it = await standing(3)
    it.channel.resubscribe()
    it.channel.resubscribe()
    await settle()
    assert it.last("subscribe").request["since"] == place(3)
    await it.last("subscribe").answer(subscribed(0, position=place(0, "e2")))
    assert len(it.asked("subscribe")) == 2
    assert (it.resets, it.channel.position) == ([Position("e2", 0)], Position("e2", 0))


@virtual_time
async def test_told_so_while_an_answer_is_awaited_it_does_not_believe_that_one() -> None:
    it = SetUp()
    subscribing = await it.subscribing(history=2)
    it.channel.resubscribe()
    await it.last("subscribe").answer(subscribed(2, publications=run(1, 2)))
    assert it.channel.position is None
    assert it.last("subscribe").request["history"] == 2
    await it.last("subscribe").answer(subscribed(0, position=place(0, "e2")))
    assert (await subscribing, len(it.asked("subscribe"))) == ([], 2)
    assert it.channel.position == Position("e2", 0)


@virtual_time
async def test_told_so_and_left_in_one_turn_it_is_left() -> None:
    it = await standing(3)
    leaving = asyncio.ensure_future(it.channel.unsubscribe())
    it.channel.resubscribe()  # before that has begun
    await settle()
    await it.last("unsubscribe").answer({})
    await leaving
    await it.push(4)
    assert (it.channel.subscribed, it.channel.position, it.heard) == (False, None, [])
    assert len(it.asked("subscribe")) == 1


@virtual_time
async def test_a_listener_that_wants_more_while_it_is_told_what_was_missed_gets_it() -> None:
    it = await standing(3)

    def want(_position: Position) -> None:
        if len(it.resets) == 1:
            it.channel.resubscribe()

    it.channel.on_reset(want)
    await (await back(it)).answer(subscribed(0, position=place(0, "e2")))
    assert it.asked("subscribe")[2].request["since"] == place(0, "e2")
    await it.last("subscribe").answer(recovered(0, [], position=place(0, "e2")))
    assert len(it.asked("subscribe")) == 3


@virtual_time
async def test_a_listener_of_resets_that_asks_for_a_document_and_joins_gets_both() -> None:
    it = await standing(3)
    joining: list[asyncio.Future[None]] = []

    def want(_position: Position) -> None:
        it.channel.document("k")
        joining.append(asyncio.ensure_future(it.channel.presence.join()))

    it.channel.on_reset(want)
    await (await back(it)).answer(subscribed(9, position=place(9, "e2")))
    members = {"members": [], "count": 0, "version": 1}
    while not joining[0].done():
        parts = {"state": {"documents": {}}, "presence": members}
        asked = it.last("subscribe")
        given = {name: parts[name] for name in parts if name in asked.request}
        await asked.answer(recovered(9, [], position=place(9, "e2"), **given))
    assert {"state", "presence"} <= it.last("subscribe").request.keys()
    await joining[0]
    await it.end()


@virtual_time
async def test_a_document_that_is_asked_for_is_subscribed_to_and_a_refusal_is_reported() -> None:
    it = SetUp()
    it.channel.document("k")
    assert it.channel.document("k") is it.channel.document("k")
    await settle()
    assert it.last("subscribe").request["state"] is True
    await it.last("subscribe").refuse(refusal(FORBIDDEN))
    assert codes(it.reports) == [FORBIDDEN]
    await it.end()


@virtual_time
async def test_whoever_waits_for_a_document_is_told_when_the_channel_is_refused_and_asks_again_later() -> None:
    it = SetUp()
    document = it.channel.document("k")
    changes = document.changes()
    works: list[Awaitable[Any]] = [document.ready(), document.set(1), anext(changes)]
    waiting = [asyncio.ensure_future(work) for work in works]
    await settle()
    await it.last("subscribe").refuse(refusal(FORBIDDEN))
    works = [*waiting, document.ready(), document.set(1), anext(document.changes())]
    errors: list[TidewireError] = [await error_of(asyncio.ensure_future(work)) for work in works]
    assert [error.code for error in errors] == [FORBIDDEN] * 6
    assert it.channel.document("k") is document
    ready = asyncio.ensure_future(document.ready())
    await settle()
    assert it.last("subscribe").request["state"] is True
    await it.last("subscribe").answer(subscribed(0, state={"documents": {}}))
    assert await ready is None
    await it.end()


@virtual_time
async def test_a_document_that_another_thread_asks_for_is_refused_to_it_alone() -> None:
    it = await standing(3)
    with ThreadPoolExecutor(1) as pool:
        assert isinstance(pool.submit(it.channel.document, "k").exception(), RuntimeError)
    ready = asyncio.ensure_future(it.channel.document("k").ready())
    await settle()
    await it.last("subscribe").answer(subscribed(3, state={"documents": {}}))
    assert await ready is None
    await it.end()


@virtual_time
async def test_a_document_that_may_not_be_read_costs_the_channel_nothing() -> None:
    it = await standing(3)
    document = it.channel.document("k")
    ready = asyncio.ensure_future(document.ready())
    await settle()
    await it.last("subscribe").refuse(refusal(FORBIDDEN))
    refused: TidewireError = await error_of(ready)
    assert refused.code == FORBIDDEN
    await it.disconnect()
    await it.reconnect()
    assert "state" not in it.last("subscribe").request
    await it.end()


@virtual_time
async def test_a_document_of_a_channel_that_was_left_subscribes_to_it_again() -> None:
    it = await standing(3)
    document = it.channel.document("k")
    await settle()
    await it.last("subscribe").answer(subscribed(3, state={"documents": {}}))
    leaving = await it.leaving()
    await it.last("unsubscribe").answer({})
    await leaving
    left: TidewireError = await error_of(asyncio.ensure_future(document.ready()))
    assert left.kind == "closed"
    ready = asyncio.ensure_future(it.channel.document("k").ready())
    await settle()
    await it.last("subscribe").answer(subscribed(3, state={"documents": {}}))
    assert await ready is None
    await it.end()


@virtual_time
async def test_a_channel_that_nobody_wants_does_not_subscribe_again() -> None:
    it = SetUp()
    it.channel.resubscribe()
    it.channel.connected()
    await settle()
    assert it.questions == []


# Holes.


@virtual_time
async def test_a_hole_is_filled_from_history_after_a_second() -> None:
    it = await standing(3)
    await it.push(6)
    await asyncio.sleep(0.98)
    assert it.asked("history") == []
    await asyncio.sleep(0.03)
    asked = {"type": "history", "channel": "room:a", "since": place(3), "limit": 300}
    assert it.last("history").request == asked
    await it.last("history").answer(history(6, run(4, 6)))
    assert it.heard == [4, 5, 6]


@virtual_time
async def test_a_hole_that_closes_by_itself_costs_no_request() -> None:
    it = await standing(3)
    await it.push(5)
    await it.push(4)
    await asyncio.sleep(4)
    assert (it.asked("history"), it.heard) == ([], [4, 5])


@pytest.mark.parametrize(
    ("error", "reported"), [(uncertain("no answer came"), []), (refusal(NOT_SUBSCRIBED), [NOT_SUBSCRIBED])]
)
@virtual_time
async def test_a_fill_that_fails_is_tried_again_after_twice_the_time(error: TidewireError, reported: list[int]) -> None:
    it = await standing(3)
    await it.push(5)
    await asyncio.sleep(1.01)
    await it.last("history").refuse(error)
    await asyncio.sleep(1.97)
    assert len(it.asked("history")) == 1
    await asyncio.sleep(0.04)
    await it.asked("history")[1].answer(history(5, run(4, 5)))
    assert (it.heard, codes(it.reports)) == ([4, 5], reported)


@pytest.mark.parametrize("kept", [[], [8, 9]])
@virtual_time
async def test_what_retention_has_passed_over_is_a_reset_and_what_is_kept_is_handed_on(kept: list[int]) -> None:
    it = await standing(3)
    await it.behind(9)
    await it.last("history").answer(history(9, [event(offset) for offset in kept]))
    assert it.heard == kept
    assert (len(it.resets), it.channel.position) == (1, Position("e1", 9))


@virtual_time
async def test_a_log_that_was_replaced_is_a_reset() -> None:
    it = await standing(3)
    await it.behind(2, "e2")
    await it.last("history").answer(history(2, []) | {"position": place(2, "e2")})
    assert it.resets == [it.channel.position] == [Position("e2", 2)]


@virtual_time
async def test_a_token_without_history_fills_holes_by_subscribing_again() -> None:
    it = await standing(3)
    await it.push(6)
    await asyncio.sleep(1.01)
    await it.last("history").refuse(refusal(FORBIDDEN))
    assert it.last("subscribe").request["since"] == place(3)
    await it.last("subscribe").answer(recovered(6, run(4, 6)))
    assert (it.heard, it.reports) == ([4, 5, 6], [])


@virtual_time
async def test_a_token_that_has_lost_its_rights_is_reported_and_what_stands_goes_on() -> None:
    it = await standing(3)
    await it.behind(9)
    await it.last("history").refuse(refusal(FORBIDDEN))
    await it.last("subscribe").refuse(refusal(FORBIDDEN))
    assert codes(it.reports) == [FORBIDDEN]
    await it.push(4)
    assert it.heard == [4]
    await it.disconnect()


@virtual_time
async def test_a_page_that_leads_nowhere_is_asked_for_again_but_not_at_once() -> None:
    it = await standing(3)
    await it.behind(9)
    await it.last("history").answer(history(9, [], more=True))
    await asyncio.sleep(1.98)
    assert len(it.asked("history")) == 1
    await asyncio.sleep(0.03)
    assert len(it.asked("history")) == 2
    await it.end()


@pytest.mark.parametrize("after_s", [0, 1.01], ids=["is known", "is being filled"])
@virtual_time
async def test_while_a_hole_is_there_the_end_of_the_connection_ends_its_clock(after_s: float) -> None:
    it = await standing(3)
    await it.push(5)
    await asyncio.sleep(after_s)
    await it.disconnect()
    before = len(it.questions)
    it.online = True
    await asyncio.sleep(600)
    assert len(it.questions) == before


# Leaving.


@virtual_time
async def test_after_unsubscribing_nothing_is_handed_on_not_even_what_is_ephemeral() -> None:
    it = await standing(3)
    leaving = await it.leaving()
    await it.push(4)
    await it.push(0, ephemeral=True)
    await it.last("unsubscribe").answer({})
    await leaving
    assert (it.heard, it.channel.position) == ([], None)


@virtual_time
async def test_an_answer_that_comes_after_unsubscribing_does_not_subscribe_again() -> None:
    it = SetUp()
    subscribing, leaving = await it.subscribing(), await it.leaving()
    await it.last("subscribe").answer(subscribed(3))
    assert (await error_of(subscribing)).kind == "closed"
    await it.last("unsubscribe").answer({})
    await leaving
    await it.push(4)
    assert it.heard == []


@pytest.mark.parametrize("forbidden", [True, False])
@virtual_time
async def test_a_fill_that_comes_after_unsubscribing_is_of_no_use(forbidden: bool) -> None:
    it = await standing(3)
    await it.behind(5)
    leaving = await it.leaving()
    if forbidden:
        await it.last("history").refuse(refusal(FORBIDDEN))
    else:
        await it.last("history").answer(history(5, run(4, 5)))
    await it.last("unsubscribe").answer({})
    await leaving
    assert (it.heard, it.reports, len(it.asked("subscribe"))) == ([], [], 1)


@virtual_time
async def test_leaving_and_coming_back_while_there_is_no_connection_subscribes_once() -> None:
    it = SetUp()
    it.online = False
    first = await it.subscribing()
    leaving = asyncio.ensure_future(it.channel.unsubscribe())
    second = asyncio.ensure_future(it.channel.subscribe())
    await leaving
    assert (await error_of(first)).kind == "closed"
    await it.reconnect()
    await it.last("subscribe").answer(subscribed(3))
    assert (await second, len(it.asked("subscribe"))) == ([], 1)


@virtual_time
async def test_left_as_the_connection_comes_it_is_told_so() -> None:
    it = await standing(3)
    await it.disconnect()
    subscribing = await it.subscribing()
    leaving = asyncio.ensure_future(it.channel.unsubscribe())
    await asyncio.sleep(0)  # that has begun; who waited has not heard of it
    it.online = True
    it.channel.connected()
    await settle()
    assert it.last("unsubscribe").request["channel"] == "room:a"
    await it.last("unsubscribe").answer({})
    await leaving
    assert (await error_of(subscribing)).kind == "closed"


@virtual_time
async def test_a_listener_may_leave_and_come_back() -> None:
    it = await standing(0)
    tasks: list[asyncio.Future[Any]] = []

    def leave(_event: Event) -> None:
        stop()
        tasks.extend(map(asyncio.ensure_future, (it.channel.unsubscribe(), it.channel.subscribe())))

    stop = it.channel.on("said", leave)
    await it.push(1)
    await it.last("subscribe").answer(subscribed(6))
    await asyncio.gather(*tasks)
    await it.push(7)
    assert (it.channel.position, it.heard, it.reports) == (Position("e1", 7), [1, 7], [])


@pytest.mark.parametrize("how", ["answered", "refused"])
@virtual_time
async def test_a_fill_of_the_old_subscription_is_no_fill_of_the_new_one(how: str) -> None:
    it = await standing(3)
    await it.behind(5)
    old, leaving = it.last("history"), await it.leaving()
    await it.last("unsubscribe").answer({})
    await leaving
    await it.subscribing()
    await it.last("subscribe").answer(subscribed(1, position=place(1, "e2")))  # it was purged in between
    await it.behind(2, "e2")
    if how == "answered":
        await old.answer(history(5, run(4, 5)))
    else:
        await old.refuse(uncertain("no answer came"))
    assert it.channel.position == Position("e2", 1)
    await it.last("history").answer(history(2, [event(2, epoch="e2")]) | {"position": place(2, "e2")})
    assert (it.heard, it.resets, len(it.asked("history"))) == ([2], [], 2)


# Listening and publishing.


@virtual_time
async def test_listeners_hear_their_name_or_all_and_not_after_they_are_taken_out() -> None:
    it = await standing(0)
    said: list[Event] = []
    other: list[Event] = []
    stop = it.channel.on("said", said.append)
    it.channel.on("other", other.append)
    await it.push(1)
    stop()
    await it.push(2)
    await it.push(3, name="*")
    assert (len(said), len(other), it.heard) == (1, 0, [1, 2, 3])


@virtual_time
async def test_ephemeral_events_are_handed_on_as_they_come_and_take_no_place() -> None:
    it = await standing(3)
    frame = {name: value for name, value in event(0).items() if name not in ("epoch", "offset", "prev_offset")}
    it.recovery.event({**frame, "ephemeral": True})
    assert (it.heard, it.channel.position) == ([None], Position("e1", 3))


@virtual_time
async def test_receipts_are_handed_on() -> None:
    it = await standing(3)
    told: list[Receipt] = []
    it.channel.on_receipt(told.append)
    it.channel.push(
        {"type": "receipt", "channel": "room:a", "message_id": "m", "status": "stored", "position": place(4)}
    )
    assert told == [Receipt("room:a", "m", "stored", Position("e1", 4))]


@virtual_time
async def test_a_publication_is_what_was_said_and_has_an_id_of_its_own_unless_it_is_given_one() -> None:
    it = SetUp()
    one, two = await it.channel.publish("said", 1), await it.channel.publish("said", 1)
    assert one.message_id != two.message_id
    await it.channel.publish("said", 1, message_id="mine", priority="high", ephemeral=True, receipt=True)
    assert it.published[-1] == {
        **{"type": "publish", "channel": "room:a", "name": "said", "data": 1, "message_id": "mine"},
        **{"priority": "high", "ephemeral": True, "receipt": True},
    }
    assert it.published[0].keys() == {"type", "channel", "name", "data", "message_id"}
