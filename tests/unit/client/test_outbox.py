"""Publications on their way out: their order, their repeats, what is given up, and what is kept."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.unit.client.virtual import settle, virtual_time
from tidewire.errors import TidewireError, closed, outbox_full, uncertain
from tidewire.frames import Frame, PublishResult
from tidewire.outbox import Outbox
from tidewire.store import Kept

LIMITED = TidewireError(2004, "rate_limited", "later", retry_after_ms=800)
FORBIDDEN = TidewireError(1005, "forbidden", "no")


def said(message_id: str, data: Any = "x", channel: str = "room:a") -> Frame:
    return {"type": "publish", "channel": channel, "name": "said", "data": data, "message_id": message_id}


def again(frame: Frame) -> Frame:
    return {**frame, "retry": True}


def accepted(message_id: str) -> Frame:
    return {"message_id": message_id, "status": "accepted"}


def published(message_id: str) -> PublishResult:
    return PublishResult(message_id, "accepted")


def ids(frames: list[Frame]) -> list[str]:
    return [frame["message_id"] for frame in frames]


@dataclass
class Batch:
    frames: list[Frame]
    answers: list[asyncio.Future[Any]]


class Process:
    """One that publishes: an outbox and the batches that it has sent, each with the answers to give."""

    def __init__(self, *, online: bool = True, random: Callable[[], float] = lambda: 0.0) -> None:
        self.online = online
        self.set_ms = 0.0  # by how much the wall clock was set
        self.reported: list[BaseException] = []
        self.batches: list[Batch] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self.outbox = Outbox(
            self._ask, lambda: self.online, self.reported.append, self._spawn, random, now_ms=self.now_ms
        )

    def now_ms(self) -> int:
        return round(asyncio.get_running_loop().time() * 1000 + self.set_ms)

    def _ask(self, requests: list[Frame]) -> list[asyncio.Future[Any]]:
        answers: list[asyncio.Future[Any]] = [asyncio.get_running_loop().create_future() for _ in requests]
        self.batches.append(Batch([dict(request) for request in requests], answers))
        return answers

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def stop(self) -> None:
        """The client is closed: what runs beside is cancelled."""
        for task in self._tasks:
            task.cancel()
        await settle()

    @property
    def last(self) -> Batch:
        return self.batches[-1]

    @property
    def sent(self) -> list[str]:
        return [message_id for batch in self.batches for message_id in ids(batch.frames)]

    def come_online(self) -> None:
        self.online = True
        self.outbox.connected_again()

    async def accept(self) -> None:
        for frame, answer in zip(self.last.frames, self.last.answers, strict=True):
            if not answer.done():
                answer.set_result(accepted(frame["message_id"]))
        await settle()

    async def fail(self, error: TidewireError) -> None:
        for answer in self.last.answers:
            answer.set_exception(error)
        await settle()

    async def restart(self, store: "FakeStore") -> None:
        """What an earlier process has left goes back in line, and the connection stands."""
        self.outbox.store = store
        for kept in await store.left():
            self.outbox.restore(kept)
        self.come_online()
        await settle()


@dataclass
class FakeStore:
    """What is kept, whichever process asks."""

    now_ms: Callable[[], int]
    kept: dict[int, Kept] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    fails: TidewireError | None = None
    taken: bool = False  # by another process
    notes: Callable[[], Awaitable[Any]] = lambda: asyncio.sleep(0)
    _last: int = 0

    async def keep(self, request: Frame) -> int:
        await asyncio.sleep(0)
        if self.fails:
            raise self.fails
        self._last += 1
        self.kept[self._last] = Kept(self._last, request, None)
        self._note("keep", self._last)
        return self._last

    async def sent(self, id: int) -> bool:
        await self.notes()
        if self.fails:
            raise self.fails
        if self.taken:
            return False
        self.kept[id] = replace(self.kept[id], sent_at_ms=self.now_ms())
        self._note("sent", id)
        return True

    def forget(self, id: int) -> None:
        self._note("forget", id)
        del self.kept[id]

    async def left(self) -> list[Kept]:
        return list(self.kept.values())

    async def close(self) -> None:
        self.fails = closed("the store is closed")

    def _note(self, what: str, id: int) -> None:
        self.log.append(f"{what} {self.kept[id].request['message_id']}")


def kept_by(process: Process) -> FakeStore:
    store = FakeStore(process.now_ms)
    process.outbox.store = store
    return store


async def outcome(answer: asyncio.Future[PublishResult]) -> Any:
    return (await asyncio.gather(answer, return_exceptions=True))[0]


# batches and their order


@virtual_time
async def test_sends_at_once_and_gives_the_server_s_answer() -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    assert process.last.frames == [said("1")]
    await process.accept()
    assert await answer == published("1")


@virtual_time
async def test_one_batch_at_a_time_in_the_order_of_publishing() -> None:
    process = Process()
    for message_id in "123":
        process.outbox.add(said(message_id))
    assert [ids(batch.frames) for batch in process.batches] == [["1"]]
    await process.accept()
    assert [ids(batch.frames) for batch in process.batches] == [["1"], ["2", "3"]]


@virtual_time
async def test_a_batch_stays_below_30_000_bytes_of_utf_8_and_nothing_is_lost_or_swapped_by_that() -> None:
    process = Process(online=False)
    frames = [said(f"{index}", "é" * ((index * 601) % 7_000)) for index in range(40)]
    answers = [process.outbox.add(frame) for frame in frames]
    process.online = True
    process.outbox.flush()
    while len(process.sent) < len(frames):
        await process.accept()
    await process.accept()
    assert process.sent == ids(frames)
    for batch in process.batches:
        on_the_wire = [{**frame, "id": 123_456_789, "retry": True} for frame in batch.frames]
        assert len(json.dumps(on_the_wire, ensure_ascii=False, separators=(",", ":")).encode()) < 30_000
    assert len(process.batches) < 20
    await asyncio.gather(*answers)


@virtual_time
async def test_a_batch_has_at_most_100_frames() -> None:
    process = Process(online=False)
    for index in range(150):
        process.outbox.add(said(f"{index}"))
    process.come_online()
    assert len(process.last.frames) == 100


@virtual_time
async def test_a_large_one_goes_alone_in_its_turn() -> None:
    process = Process(online=False)
    for message_id, data in {"1": "x", "2": "x" * 100_000, "3": "x" * 100_000, "4": "x", "5": "x"}.items():
        process.outbox.add(said(message_id, data))
    process.come_online()
    for _ in range(4):
        await process.accept()
    assert [ids(batch.frames) for batch in process.batches] == [["1"], ["2"], ["3"], ["4", "5"]]


@virtual_time
async def test_what_waits_without_a_connection_is_sent_when_one_stands_for_the_first_time() -> None:
    process = Process(online=False)
    process.outbox.add(said("1"))
    await asyncio.sleep(600)  # however long that takes
    assert process.batches == []
    process.come_online()
    assert process.last.frames == [said("1")]


# repeats


@virtual_time
async def test_what_was_sent_before_is_sent_with_the_same_id_and_retry_true() -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    process.online = False
    await process.fail(uncertain("the connection ended"))
    process.come_online()
    assert process.last.frames == [again(said("1"))]
    await process.accept()
    assert await answer == published("1")


@virtual_time
async def test_repeats_keep_their_place_before_what_was_published_later() -> None:
    process = Process()
    process.outbox.add(said("1"))
    process.outbox.add(said("2"))
    process.online = False
    await process.fail(uncertain("the connection ended"))
    process.come_online()
    assert ids(process.last.frames) == ["1", "2"]


@virtual_time
async def test_what_failed_in_the_middle_of_a_batch_goes_before_what_was_published_meanwhile_in_its_old_order() -> None:
    process = Process(online=False)
    for message_id in ("a1", "a2", "a3"):
        process.outbox.add(said(message_id))
    other = process.outbox.add(said("b1", channel="room:b"))
    process.come_online()
    process.outbox.add(said("a4"))
    a1, a2, a3, b1 = process.last.answers
    a3.set_exception(LIMITED)  # in whatever order the answers come
    b1.set_result(accepted("b1"))
    a1.set_result(accepted("a1"))
    await settle()
    assert len(process.batches) == 1
    a2.set_exception(LIMITED)
    assert await other == published("b1")
    process.outbox.add(said("a5"))
    await asyncio.sleep(0.799)
    assert len(process.batches) == 1
    await asyncio.sleep(0.002)
    assert ids(process.last.frames) == ["a2", "a3", "a4", "a5"]
    assert [frame.get("retry") for frame in process.last.frames] == [True, True, None, None]


@virtual_time
async def test_without_a_word_from_the_server_the_waits_grow() -> None:
    process = Process(random=lambda: 1.0)
    waits_s: list[float] = []
    process.outbox.add(said("1"))
    for attempt in range(4):
        await process.fail(uncertain("no answer came"))
        failed_at_s = asyncio.get_running_loop().time()
        while len(process.batches) == attempt + 1:
            await asyncio.sleep(0.1)
        waits_s.append(asyncio.get_running_loop().time() - failed_at_s)
    assert waits_s == pytest.approx([0.5, 1, 2, 4], abs=0.11)


@virtual_time
async def test_a_new_connection_does_not_wait_for_what_the_old_one_was_asked_to() -> None:
    process = Process()
    process.outbox.add(said("1"))
    await process.fail(TidewireError(2004, "rate_limited", "later", retry_after_ms=20_000))
    process.outbox.connected_again()
    assert len(process.batches) == 2
    await asyncio.sleep(60)
    assert len(process.batches) == 2


@virtual_time
async def test_an_answer_that_is_cancelled_is_none_that_came() -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    process.last.answers[0].cancel()
    await asyncio.sleep(20)
    assert process.last.frames == [again(said("1"))]
    await process.accept()
    assert await answer == published("1")


@virtual_time
async def test_a_repeat_says_what_was_said_whatever_became_of_the_object() -> None:
    process = Process()
    data = {"text": "before"}
    process.outbox.add(said("1", data))
    data["text"] = "after"
    await process.fail(uncertain("no answer came"))
    await asyncio.sleep(20)
    assert process.last.frames == [again(said("1", {"text": "before"}))]


# what fails


@virtual_time
async def test_one_that_is_refused_for_good_fails_alone() -> None:
    process = Process(online=False)
    answers = [process.outbox.add(said(message_id)) for message_id in "123"]
    process.come_online()
    process.last.answers[0].set_result(accepted("1"))
    process.last.answers[1].set_exception(FORBIDDEN)
    process.last.answers[2].set_result(accepted("3"))
    assert [await outcome(answer) for answer in answers] == [published("1"), FORBIDDEN, published("3")]
    assert len(process.batches) == 1


@virtual_time
async def test_an_error_of_another_kind_is_told_and_holds_up_nothing() -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    process.last.answers[0].set_exception(RuntimeError("a bug"))
    assert isinstance(await outcome(answer), RuntimeError)
    process.outbox.add(said("2"))
    assert process.sent == ["1", "2"]


@virtual_time
async def test_gives_up_before_the_server_would_no_longer_know_the_id() -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    process.online = False
    await process.fail(uncertain("the connection ended"))
    await asyncio.sleep(280.01)
    process.come_online()
    error = await outcome(answer)
    assert (error.code, str(error)) == (2002, "whether it was published is unknown")
    assert len(process.batches) == 1


@pytest.mark.parametrize("set_ms", [280_001, -280_001])
@virtual_time
async def test_gives_up_by_the_wall_clock_which_goes_on_while_the_computer_sleeps_and_may_be_set(set_ms: int) -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    process.online = False
    await process.fail(uncertain("the connection ended"))
    process.set_ms = set_ms
    process.come_online()
    assert (await outcome(answer)).code == 2002


@virtual_time
async def test_gives_up_on_one_that_is_never_answered_and_goes_on_with_the_next() -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    while not answer.done():
        await process.fail(uncertain("no answer came"))
        await asyncio.sleep(20)
    assert process.now_ms() - 1_000_000_000 == pytest.approx(300_000, abs=1_000)
    assert (await outcome(answer)).code == 2002
    process.outbox.add(said("2"))
    assert ids(process.last.frames) == ["2"]


@virtual_time
async def test_more_than_a_frame_may_have_is_refused_here_since_the_gateway_would_cut_the_connection() -> None:
    process = Process()
    process.outbox.add(said("most", "x" * 255_800))
    error = await outcome(process.outbox.add(said("1", "x" * 256_000)))
    assert (error.code, error.retryable) == (1003, False)
    await process.accept()
    assert process.sent == ["most"]


@pytest.mark.parametrize("data", [object(), {1, 2}, float("nan"), float("inf"), "\ud800", b"bytes"])
@virtual_time
async def test_data_that_is_no_json_is_refused_not_raised(data: Any) -> None:
    process = Process()
    assert isinstance(await outcome(process.outbox.add(said("1", data))), TypeError | ValueError)
    assert process.batches == []


@virtual_time
async def test_data_without_an_end_is_refused_not_raised() -> None:
    process = Process()
    endless: list[Any] = []
    endless.append(endless)
    assert isinstance(await outcome(process.outbox.add(said("1", endless))), ValueError)
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]
    assert isinstance(await outcome(process.outbox.add(said("2", deep))), RecursionError)
    assert process.batches == []


@virtual_time
async def test_clear_refuses_what_waits() -> None:
    process = Process(online=False)
    answer = process.outbox.add(said("1"))
    process.outbox.clear(closed("the client was closed"))
    assert (await outcome(answer)).kind == "closed"
    process.come_online()
    assert process.batches == []


@virtual_time
async def test_clear_refuses_what_waits_to_be_sent_again() -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    await process.fail(LIMITED)
    process.outbox.clear(closed("the client was closed"))
    assert (await outcome(answer)).kind == "closed"
    await asyncio.sleep(60)
    assert len(process.batches) == 1


@pytest.mark.parametrize("lost", [uncertain("the connection ended"), FORBIDDEN], ids=["first", "with it"])
@virtual_time
async def test_clear_refuses_what_is_under_way_when_nothing_comes_back_and_leaves_it_kept(lost: TidewireError) -> None:
    process = Process()
    store = kept_by(process)
    answers = [process.outbox.add(said("1"), offline=True)]
    await settle()
    await process.accept()
    answers.append(process.outbox.add(said("2"), offline=True))
    await settle()
    process.last.answers[0].set_exception(lost)
    process.online = False
    process.outbox.clear(FORBIDDEN)  # before it can go back in line
    await settle()
    assert await answers[0] == published("1")
    assert await outcome(answers[1]) is FORBIDDEN
    assert list(store.kept) == [2]
    process.come_online()
    assert process.sent == ["1", "2"]


@virtual_time
async def test_clear_does_not_refuse_what_is_answered() -> None:
    process = Process()
    answer = process.outbox.add(said("1"))
    process.outbox.clear(closed("the client was closed"))
    await process.accept()
    assert await answer == published("1")


@virtual_time
async def test_at_most_1_000_publications_wait() -> None:
    process = Process(online=False)
    for index in range(1_000):
        process.outbox.add(said(f"{index}"))
    error = await outcome(process.outbox.add(said("more")))
    assert (error.code, error.kind, error.retryable, str(error)) == (
        1010,
        "limit_reached",
        False,
        "the outbox is full",
    )
    process.come_online()
    process.outbox.add(said("room again"))
    while len(process.sent) < 1_001:
        await process.accept()
    assert process.sent[-1] == "room again"


@virtual_time
async def test_at_most_10_000_000_bytes_wait() -> None:
    process = Process(online=False)
    for index in range(40):
        process.outbox.add(said(f"{index}", "x" * 249_800))
    assert (await outcome(process.outbox.add(said("more", "x" * 10_000)))).code == 1010
    assert not process.outbox.add(said("small")).done()


# whoever does not wait any more


@virtual_time
async def test_one_that_is_cancelled_while_it_waits_is_not_sent_and_makes_room() -> None:
    process = Process(online=False)
    answers = [process.outbox.add(said(f"{index}")) for index in range(1_000)]
    answers[1].cancel()
    process.outbox.add(said("more"))
    process.come_online()
    while len(process.sent) < 1_000:
        await process.accept()
    assert "1" not in process.sent
    assert process.sent[-1] == "more"
    assert process.reported == []


@virtual_time
async def test_one_that_is_cancelled_while_it_is_under_way_hurts_no_other() -> None:
    process = Process(online=False)
    one, two = process.outbox.add(said("1")), process.outbox.add(said("2"))
    process.come_online()
    one.cancel()
    await process.accept()
    assert await two == published("2")
    assert process.reported == []


@virtual_time
async def test_one_that_is_cancelled_is_not_sent_again() -> None:
    process = Process()
    one = process.outbox.add(said("1"))
    two = process.outbox.add(said("2"))
    one.cancel()
    await process.fail(uncertain("no answer came"))
    await asyncio.sleep(20)
    assert process.sent == ["1", "2"]
    await process.accept()
    assert await two == published("2")


@virtual_time
async def test_one_that_is_kept_is_sent_though_nobody_waits_and_what_becomes_of_it_is_reported() -> None:
    process = Process(online=False)
    store = kept_by(process)
    answers = [process.outbox.add(said(message_id), offline=True) for message_id in "12"]
    await settle()
    for answer in answers:
        answer.cancel()
    process.come_online()
    await settle()
    process.last.answers[1].set_exception(FORBIDDEN)
    await process.accept()
    assert process.sent == ["1", "2"]
    assert process.reported == [FORBIDDEN]
    assert store.kept == {}


@virtual_time
async def test_one_that_is_cancelled_while_it_is_being_kept_is_neither_kept_nor_sent() -> None:
    process = Process()
    store = kept_by(process)
    process.outbox.add(said("1"), offline=True).cancel()
    process.outbox.add(said("2"))
    await settle()
    assert process.sent == ["2"]
    assert store.log == ["keep 1", "forget 1"]


# what is kept


@virtual_time
async def test_one_that_is_to_outlive_the_process_is_kept_before_it_is_sent_noted_and_forgotten_when_answered() -> None:
    process = Process()
    store = kept_by(process)
    answer = process.outbox.add(said("1"), offline=True)
    assert process.batches == []
    await settle()
    assert store.log == ["keep 1", "sent 1"]
    assert process.last.frames == [said("1")]
    await process.accept()
    assert await answer == published("1")
    assert store.log == ["keep 1", "sent 1", "forget 1"]


@virtual_time
async def test_only_what_asks_for_it_is_kept() -> None:
    process = Process()
    store = kept_by(process)
    process.outbox.add(said("1"))
    assert len(process.batches) == 1
    await settle()
    assert store.log == []


@virtual_time
async def test_what_came_later_does_not_overtake_what_is_being_kept() -> None:
    process = Process()
    kept_by(process)
    for message_id, offline in {"1": False, "2": True, "3": False, "4": True, "5": False}.items():
        process.outbox.add(said(message_id), offline=offline)
    for _ in range(5):
        await process.accept()
    assert process.sent == ["1", "2", "3", "4", "5"]


@virtual_time
async def test_one_that_is_noted_as_sent_is_not_noted_again_whatever_it_takes() -> None:
    process = Process()
    store = kept_by(process)
    process.outbox.add(said("1"), offline=True)
    await settle()
    await process.fail(uncertain("no answer came"))
    process.outbox.connected_again()
    assert process.last.frames == [again(said("1"))]
    await process.accept()
    assert store.log == ["keep 1", "sent 1", "forget 1"]


@virtual_time
async def test_what_is_noted_does_not_wait_for_what_is_kept_meanwhile() -> None:
    process = Process()
    store = kept_by(process)
    noting = asyncio.Event()
    store.notes = lambda: noting.wait()
    process.outbox.add(said("1"), offline=True)
    await settle()
    process.outbox.add(said("2"))
    process.outbox.add(said("3"), offline=True)
    await settle()
    assert store.log == ["keep 1", "keep 3"]
    noting.set()
    await settle()
    assert [ids(batch.frames) for batch in process.batches] == [["1", "2"]]
    await process.accept()
    assert [ids(batch.frames) for batch in process.batches] == [["1", "2"], ["3"]]


@virtual_time
async def test_what_waits_when_the_store_becomes_known_is_kept_then_in_order() -> None:
    process = Process(online=False)
    store = FakeStore(process.now_ms)
    for message_id in "123":
        process.outbox.add(said(message_id), offline=True)
    await settle()
    process.outbox.store = store
    process.outbox.store = store  # twice is once
    await settle()
    process.outbox.store = store
    await settle()
    assert store.log == ["keep 1", "keep 2", "keep 3"]
    process.come_online()
    await settle()
    assert store.log == ["keep 1", "keep 2", "keep 3", "sent 1", "sent 2", "sent 3"]
    assert ids(process.last.frames) == ["1", "2", "3"]


@virtual_time
async def test_without_a_store_it_is_sent_all_the_same() -> None:
    process = Process()
    process.outbox.add(said("1"), offline=True)
    assert len(process.batches) == 1


@pytest.mark.parametrize("error", [outbox_full(), TidewireError(1014, "outbox_file", "the disk is full")])
@virtual_time
async def test_one_that_the_store_does_not_take_is_refused_and_holds_up_nothing(error: TidewireError) -> None:
    process = Process()
    store = kept_by(process)
    store.fails = error
    refused = process.outbox.add(said("1"), offline=True)
    answer = process.outbox.add(said("2"))
    assert await outcome(refused) is error
    await process.accept()
    assert await answer == published("2")
    assert process.sent == ["2"]


@virtual_time
async def test_one_that_can_t_be_noted_is_sent_once_and_not_left_to_a_later_process_which_is_reported() -> None:
    process = Process(online=False)
    store = kept_by(process)
    answer = process.outbox.add(said("1"), offline=True)
    await settle()
    store.fails = error = TidewireError(1014, "outbox_file", "the disk is full")
    process.come_online()
    await settle()
    assert process.last.frames == [said("1")]
    assert process.reported == [error]
    assert store.kept == {}
    await process.accept()
    assert await answer == published("1")
    assert store.log == ["keep 1", "forget 1"]


@virtual_time
async def test_one_that_is_refused_for_good_or_given_up_is_forgotten() -> None:
    process = Process(online=False)
    store = kept_by(process)
    answers = [process.outbox.add(said(message_id), offline=True) for message_id in "12"]
    await settle()
    process.come_online()
    await settle()
    process.last.answers[0].set_exception(FORBIDDEN)
    process.online = False
    process.last.answers[1].set_exception(uncertain("the connection ended"))
    await settle()
    assert list(store.kept) == [2]
    await asyncio.sleep(280.01)
    process.come_online()
    assert [(await outcome(answer)).code for answer in answers] == [1005, 2002]
    assert store.log[-2:] == ["forget 1", "forget 2"]


@virtual_time
async def test_one_that_another_process_has_taken_over_is_left_to_it() -> None:
    process = Process()
    store = kept_by(process)
    store.taken = True
    answer = process.outbox.add(said("1"), offline=True)
    await settle()
    assert process.batches == []
    assert (await outcome(answer)).kind == "closed"
    assert store.log == ["keep 1"]
    process.outbox.add(said("2"))
    assert process.sent == ["2"]


@virtual_time
async def test_a_connection_that_ends_before_it_was_sent_leaves_it_unsent_however_long_that_takes() -> None:
    process = Process(online=False)
    store = kept_by(process)
    answer = process.outbox.add(said("1"), offline=True)
    await settle()
    process.come_online()
    process.online = False
    await settle()
    assert process.batches == []
    await asyncio.sleep(600)
    process.come_online()
    await settle()
    assert process.last.frames == [said("1")]
    assert store.kept[1].sent_at_ms == process.now_ms()
    await process.accept()
    assert await answer == published("1")


@virtual_time
async def test_closing_refuses_what_is_kept_under_way_or_not_and_leaves_it_to_the_next_process() -> None:
    process = Process()
    store = kept_by(process)
    answers = [process.outbox.add(said("1"), offline=True)]
    await settle()
    answers.append(process.outbox.add(said("2"), offline=True))
    await settle()
    process.online = False
    await process.fail(closed("the client was closed"))
    process.outbox.clear(closed("the client was closed"))
    assert [(await outcome(answer)).kind for answer in answers] == ["closed", "closed"]
    following = Process(online=False)
    await following.restart(store)
    assert following.last.frames == [again(said("1")), said("2")]


@pytest.mark.parametrize("what", ["keep", "sent"])
@virtual_time
async def test_closing_while_the_store_writes_leaves_nobody_waiting(what: str) -> None:
    process = Process(online=False)
    store = kept_by(process)
    answer = process.outbox.add(said("1"), offline=True)
    if what == "sent":
        await settle()
        process.come_online()
    await asyncio.sleep(0)  # it has begun
    process.online = False
    await process.stop()
    process.outbox.store = None
    process.outbox.clear(closed("the client was closed"))
    assert (await outcome(answer)).kind == "closed"
    assert what not in " ".join(store.log)
    process.come_online()  # it may be opened again
    process.outbox.add(said("2"))
    assert process.sent == ["2"]


@virtual_time
async def test_a_store_that_is_closed_leaves_what_it_keeps_to_the_next_process() -> None:
    process = Process(online=False)
    store = kept_by(process)
    answer = process.outbox.add(said("1"), offline=True)
    await settle()
    await store.close()
    process.come_online()
    assert (await outcome(answer)).kind == "closed"
    assert process.batches == []
    assert list(store.kept) == [1]
    assert process.reported == []


# what an earlier process has left


@virtual_time
async def test_a_restart_with_a_full_outbox_sends_everything_once_and_in_order_before_what_is_new() -> None:
    process = Process(online=False)
    store = kept_by(process)
    for index in range(1_000):
        process.outbox.add(said(f"{index}"), offline=True)
    await settle()
    assert len(store.kept) == 1_000

    following = Process(online=False)
    following.outbox.add(said("new, in memory"))
    following.outbox.add(said("new, kept"), offline=True)
    await following.restart(store)
    while len(following.sent) < 1_002:
        await following.accept()
    await following.accept()
    assert following.sent == [*(f"{index}" for index in range(1_000)), "new, in memory", "new, kept"]
    assert not any("retry" in frame for batch in following.batches for frame in batch.frames)
    assert store.kept == {}
    assert following.reported == []


@virtual_time
async def test_what_is_restored_in_several_goes_is_in_order() -> None:
    process = Process(online=False)
    process.outbox.add(said("new"))
    for id in (3, 5, 2, 4):
        process.outbox.restore(Kept(id, said(f"{id}"), None))
    process.come_online()
    await settle()
    assert ids(process.last.frames) == ["2", "3", "4", "5", "new"]


@virtual_time
async def test_after_a_crash_between_sending_and_the_answer_the_next_process_sends_it_again_as_the_same() -> None:
    process = Process()
    store = kept_by(process)
    process.outbox.add(said("1"), offline=True)
    await settle()
    process.outbox.add(said("2"), offline=True)
    await settle()
    assert len(process.batches) == 1

    await asyncio.sleep(279.9)
    following = Process(online=False)
    await following.restart(store)
    assert following.last.frames == [again(said("1")), said("2")]
    await following.accept()
    assert store.kept == {}
    assert following.reported == []


@pytest.mark.parametrize("ago_ms", [280_001, -280_001])
@virtual_time
async def test_one_that_was_sent_too_long_ago_is_not_sent_again_but_reported_once(ago_ms: int) -> None:
    process = Process(online=False)
    store = FakeStore(process.now_ms)
    await store.keep(said("1"))
    await store.sent(1)
    await store.keep(said("2"))
    process.set_ms = ago_ms
    await process.restart(store)
    assert process.sent == ["2"]
    await process.accept()
    assert [getattr(error, "code", None) for error in process.reported] == [2002]
    assert store.kept == {}


@virtual_time
async def test_what_an_earlier_process_published_and_the_server_refuses_is_reported_while_an_end_is_no_news() -> None:
    process = Process(online=False)
    store = FakeStore(process.now_ms)
    await store.keep(said("1"))
    await process.restart(store)
    await process.fail(FORBIDDEN)
    assert process.reported == [FORBIDDEN]
    process.online = False
    process.outbox.restore(Kept(9, said("2"), None))
    process.outbox.clear(TidewireError(1004, "unauthenticated", "no more tokens"))
    assert process.reported == [FORBIDDEN]
