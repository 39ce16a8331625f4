"""What is kept in a file: by the processes that come after one another, and when the file fails."""

import asyncio
import os
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

import tidewire
from tidewire.errors import TidewireError, closed
from tidewire.outbox import Outbox
from tidewire.outbox_file import OutboxFile, OutboxFileError
from tidewire.store import Kept

Open = Callable[..., Awaitable[OutboxFile]]


def said(message_id: str, data: Any = "x") -> dict[str, Any]:
    return {"type": "publish", "channel": "room:a", "name": "said", "data": data, "message_id": message_id}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "outbox.db"


@pytest.fixture
async def opened(path: Path) -> AsyncIterator[Open]:
    """Opens the file; what is opened is closed in the end."""
    async with AsyncExitStack() as stack:

        async def opened(user_id: str = "ann", **options: Any) -> OutboxFile:
            file = await OutboxFile.open(path, user_id, **options)
            stack.push_async_callback(file.close)
            return file

        yield opened


def rows(path: Path) -> list[tuple[Any, ...]]:
    database = sqlite3.connect(path)
    try:
        return database.execute("SELECT id, user_id, sent_at_ms FROM requests ORDER BY id").fetchall()
    finally:
        database.close()


class Disk(sqlite3.Connection):
    """A database whose disk fills up: what writes fails, as SQLite says it."""

    full = False
    begun = 0  # transactions

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        self.begun += sql == "BEGIN IMMEDIATE"
        if self.full and sql.startswith(("INSERT", "UPDATE", "COMMIT")):
            raise sqlite3.OperationalError("database or disk is full")
        return super().execute(sql, *args)


def on(disks: list[Disk]) -> Callable[[Path], sqlite3.Connection]:
    def connect(path: Path) -> sqlite3.Connection:
        disks.append(sqlite3.connect(path, isolation_level=None, factory=Disk))
        return disks[-1]

    return connect


# one process after another


async def test_a_later_process_gets_what_an_earlier_one_has_left_in_order_and_what_was_sent_says_so(
    opened: Open,
) -> None:
    file = await opened()
    ids = await asyncio.gather(*(file.keep(said(message_id)) for message_id in "123"))
    assert ids == sorted(ids)
    before_ms = time.time() * 1000
    assert await file.sent(ids[0])
    file.forget(ids[1])
    await file.close()
    one, three = await (await opened()).left()
    assert (one.id, one.request) == (ids[0], said("1"))
    assert one.sent_at_ms is not None and -1 <= one.sent_at_ms - before_ms < 60_000
    assert three == Kept(ids[2], said("3"), None)


async def test_what_is_left_is_had_once_and_what_a_process_has_kept_itself_is_none_of_it(opened: Open) -> None:
    first = await opened()
    old = await first.keep(said("old"))
    await first.close()
    file = await opened()
    new = await file.keep(said("new"))
    assert new > old
    assert await file.left() == [Kept(old, said("old"), None)]
    assert await file.left() == []
    assert await file.sent(old)


async def test_what_one_could_not_wait_for_is_still_left(opened: Open) -> None:
    first = await opened()
    await first.keep(said("1"))
    await first.close()
    file = await opened()
    asking = asyncio.ensure_future(file.left())
    await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert [kept.request for kept in await file.left()] == [said("1")]


async def test_what_is_kept_belongs_to_its_user(opened: Open) -> None:
    ann = await opened("ann")
    await ann.keep(said("of ann"))
    await ann.close()
    bob = await opened("bob")
    assert await bob.left() == []
    await bob.keep(said("of bob"))
    await bob.close()
    again = await opened("ann")
    assert [kept.request for kept in await again.left()] == [said("of ann")]


async def test_no_id_is_given_twice(opened: Open) -> None:
    file = await opened()
    forgotten = await file.keep(said("1"))
    file.forget(forgotten)
    await file.close()
    file = await opened()
    assert await file.keep(said("2")) > forgotten


async def test_what_is_not_kept_any_more_is_another_s(opened: Open) -> None:
    file = await opened()
    id = await file.keep(said("1"))
    file.forget(id)
    assert not await file.sent(id)


async def test_a_frame_comes_back_as_it_was(opened: Open) -> None:
    frame = said("1", {"text": "é\u2028\x00", "n": 10**30, "deep": [[{"a": None}]], "f": 0.1})
    file = await opened()
    await file.keep(frame)
    await file.close()
    assert [kept.request for kept in await (await opened()).left()] == [frame]


async def test_close_does_what_was_begun_and_nothing_after_it(opened: Open, path: Path) -> None:
    file = await opened()
    id = await file.keep(said("1"))
    keeping = asyncio.ensure_future(file.keep(said("2")))
    await asyncio.sleep(0)
    file.forget(id)
    await asyncio.gather(file.close(), file.close())
    file.forget(await keeping)  # it was not answered
    with pytest.raises(TidewireError) as refused:
        await file.keep(said("3"))
    assert refused.value.kind == "closed"
    await file.close()
    assert [row[0] for row in rows(path)] == [keeping.result()]


async def test_closing_that_is_cancelled_still_lets_go_of_the_file(opened: Open) -> None:
    file = await opened()
    keeping = asyncio.ensure_future(file.keep(said("1")))
    await asyncio.sleep(0)
    closing = asyncio.ensure_future(file.close())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.gather(closing, return_exceptions=True)
    await keeping
    assert len(await (await opened()).left()) == 1


async def test_opening_that_is_cancelled_leaves_nothing_open(opened: Open) -> None:
    opening = asyncio.ensure_future(opened())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await opened()


async def test_a_keep_that_is_cancelled_hurts_no_other(opened: Open) -> None:
    file = await opened()
    asked = [asyncio.ensure_future(file.keep(said(message_id))) for message_id in "123"]
    await asyncio.sleep(0)
    asked[1].cancel()
    one, two, three = await asyncio.gather(*asked, return_exceptions=True)
    assert isinstance(two, asyncio.CancelledError)
    assert isinstance(one, int) and isinstance(three, int) and one < three


async def test_what_is_asked_for_while_it_works_is_written_together(path: Path) -> None:
    disks: list[Disk] = []
    file = await OutboxFile.open(path, "ann", connect=on(disks))
    ids = await asyncio.gather(*(file.keep(said(f"{index}")) for index in range(200)))
    for id in ids:
        file.forget(id)
    await file.close()
    assert disks[0].begun <= 5
    assert rows(path) == []


async def test_the_loop_goes_on_while_the_disk_is_slow(path: Path) -> None:
    turns = 0

    class Slow(sqlite3.Connection):
        def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
            seen = turns
            while sql == "COMMIT" and turns < seen + 3:
                time.sleep(0.001)
            return super().execute(sql, *args)

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    turning = asyncio.ensure_future(turn())
    file = await OutboxFile.open(
        path, "ann", connect=lambda path: sqlite3.connect(path, isolation_level=None, factory=Slow)
    )
    await file.keep(said("1"))
    await file.close()
    turning.cancel()


# bounds


async def test_at_most_1_000_requests_of_a_user_are_kept(opened: Open) -> None:
    file = await opened()
    ids = await asyncio.gather(*(file.keep(said(f"{index}")) for index in range(1_000)))
    with pytest.raises(TidewireError, match="the outbox is full") as full:
        await file.keep(said("more"))
    assert (full.value.code, full.value.kind, full.value.retryable) == (1010, "limit_reached", False)
    file.forget(ids[0])
    await file.keep(said("room again"))
    await file.close()
    await (await opened("bob")).keep(said("of another"))


async def test_at_most_5_000_000_bytes_of_a_user_are_kept_and_one_that_is_too_much_hurts_no_other(
    opened: Open,
) -> None:
    file = await opened()
    await asyncio.gather(*(file.keep(said("x", "é" * 120_000)) for _ in range(20)))
    first, large, last = await asyncio.gather(
        *(file.keep(said("x", data)) for data in ("x", "é" * 120_000, "x")), return_exceptions=True
    )
    assert isinstance(first, int) and isinstance(last, int)
    assert isinstance(large, TidewireError) and large.code == 1010


# processes that die

CHILD = """
import asyncio, sys
from tidewire.outbox_file import OutboxFile

async def main():
    file = await OutboxFile.open(sys.argv[1], "ann")
    ids = [await file.keep({"type": "publish", "message_id": message_id}) for message_id in "123"]
    await file.sent(ids[0])
    print("kept", flush=True)
    while True:
        file.forget(await file.keep({"type": "publish", "message_id": "more"}))  # else it is full on a fast disk

asyncio.run(main())
"""


async def test_what_was_kept_outlives_a_process_that_is_killed_and_so_does_the_lock_not(
    opened: Open, path: Path
) -> None:
    source = str(Path(tidewire.__file__).parents[1])
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        CHILD,
        str(path),
        env={**os.environ, "PYTHONPATH": source},
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"kept\n"
        with pytest.raises(OutboxFileError, match="is in use by another process"):
            await opened()
    finally:
        child.kill()  # in the middle of writing
        await child.communicate()
    left = await (await opened()).left()
    assert [kept.request["message_id"] for kept in left[:3]] == ["1", "2", "3"]
    assert [kept.sent_at_ms is None for kept in left[:3]] == [False, True, True]


async def test_of_those_that_open_it_at_once_one_gets_it(opened: Open) -> None:
    results = await asyncio.gather(*(opened() for _ in range(4)), return_exceptions=True)
    assert [type(result) for result in results if not isinstance(result, OutboxFile)] == [OutboxFileError] * 3
    (file,) = (result for result in results if isinstance(result, OutboxFile))
    await file.keep(said("1"))


async def test_it_can_be_had_again_once_it_was_closed(opened: Open) -> None:
    first = await opened()
    with pytest.raises(OutboxFileError, match="in use"):
        await opened("bob")
    await first.close()
    await opened("bob")


# files that are no good


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.write_text("Dear diary, " * 100), r"is no SQLite database\. Name another file"),
        (lambda path: path.mkdir(), r"can't be opened\. Name a file in a folder that may be written to"),
        (lambda path: sql(path, "CREATE TABLE theirs (a)"), r"is the database of something else\. Name another file"),
        (lambda path: sql(path, "PRAGMA user_version = 1"), r"is the database of something else\. Name another file"),
    ],
)
async def test_what_is_no_outbox_is_refused_and_left_as_it_is(
    opened: Open, path: Path, make: Callable[[Path], Any], message: str
) -> None:
    make(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(OutboxFileError, match=message) as refused:
        await opened()
    assert str(path) in str(refused.value)
    assert refused.value.path == path
    assert (refused.value.kind, refused.value.retryable) == ("outbox_file", False)
    assert before is None or path.read_bytes() == before


def sql(path: Path, statement: str) -> None:
    database = sqlite3.connect(path)
    with database:
        database.execute(statement)
    database.close()


async def test_a_file_of_another_version_is_refused_and_left_as_it_is(opened: Open, path: Path) -> None:
    file = await opened()
    await file.keep(said("1"))
    await file.close()
    sql(path, "PRAGMA user_version = 2")
    with pytest.raises(OutboxFileError, match=r"has version 2, and this client reads version 1\. Name another file"):
        await opened()
    assert len(rows(path)) == 1


@pytest.mark.parametrize("request_text", [b"\xff", b"{", b"[1]"])
async def test_what_is_no_request_is_told(opened: Open, path: Path, request_text: bytes) -> None:
    await (await opened()).close()
    database = sqlite3.connect(path)
    with database:
        database.execute("INSERT INTO requests (user_id, request) VALUES ('ann', ?)", (request_text,))
    database.close()
    file = await opened()
    with pytest.raises(OutboxFileError, match="something in it that is no request"):
        await file.left()
    await file.keep(said("1"))


async def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutboxFileError, match=r"can't be opened.*No such file or directory"):
        await OutboxFile.open(tmp_path / "none" / "outbox.db", "ann")


async def test_a_folder_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutboxFileError, match=r"can't be opened.*Not a directory"):
        await OutboxFile.open(tmp_path / "file" / "outbox.db", "ann")


async def test_a_file_that_may_not_be_written_to_is_told(opened: Open, path: Path) -> None:
    await (await opened()).close()
    with pytest.raises(OutboxFileError, match="may not be written to"):
        await opened(
            connect=lambda path: sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=0)
        )
    await opened()  # and nothing holds it


async def test_only_its_owner_reads_the_file(opened: Open, path: Path) -> None:
    await opened()
    assert path.stat().st_mode & 0o077 == 0


# a disk that fails


async def test_with_a_full_disk_everything_is_refused_clearly_and_goes_on_when_there_is_room(
    opened: Open, path: Path
) -> None:
    disks: list[Disk] = []
    file = await opened(connect=on(disks))
    id = await file.keep(said("1"))
    disks[0].full = True
    refused = await asyncio.gather(file.keep(said("2")), file.sent(id), file.left(), return_exceptions=True)
    assert [type(error) for error in refused] == [OutboxFileError] * 3
    assert str(refused[0]) == f"the outbox {path} fails. Look after its disk (database or disk is full)."
    disks[0].full = False
    await file.keep(said("3"))
    assert await file.sent(id)
    await file.close()
    assert [kept.request["message_id"] for kept in await (await opened()).left()] == ["1", "3"]


async def test_sqlite_s_own_word_for_a_full_disk_says_what_to_do(opened: Open) -> None:
    databases: list[sqlite3.Connection] = []

    def connect(path: Path) -> sqlite3.Connection:
        databases.append(sqlite3.connect(path, isolation_level=None, check_same_thread=False))
        return databases[-1]

    file = await opened(connect=connect)
    databases[0].execute("PRAGMA max_page_count = 10")
    with pytest.raises(OutboxFileError, match=r"the disk is full\. Make room"):
        await file.keep(said("1", "x" * 200_000))
    await file.keep(said("2"))


async def test_what_could_not_be_forgotten_is_forgotten_with_what_comes_next(opened: Open, path: Path) -> None:
    disks: list[Disk] = []
    file = await opened(connect=on(disks))
    one, two = await asyncio.gather(file.keep(said("1")), file.keep(said("2")))
    disks[0].full = True
    file.forget(one)
    with pytest.raises(OutboxFileError):
        await file.keep(said("3"))
    disks[0].full = False
    assert await file.sent(two)
    await file.close()
    assert [row[0] for row in rows(path)] == [two]


@pytest.mark.parametrize("full", [False, True])
async def test_forgetting_is_done_once_and_not_tried_for_ever(opened: Open, full: bool) -> None:
    disks: list[Disk] = []
    file = await opened(connect=on(disks))
    id = await file.keep(said("1"))
    disks[0].full = full
    file.forget(id)
    for _ in range(20):
        await asyncio.gather(file.left(), return_exceptions=True)
    disks[0].full = False
    assert disks[0].begun <= 22


async def test_what_could_not_be_forgotten_at_all_is_told_in_the_end_and_the_file_is_let_go_of(
    path: Path, opened: Open
) -> None:
    disks: list[Disk] = []
    file = await OutboxFile.open(path, "ann", connect=on(disks))
    id = await file.keep(said("1"))
    disks[0].full = True
    file.forget(id)
    with pytest.raises(OutboxFileError, match="disk is full"):
        await file.close()
    assert [kept.id for kept in await (await opened()).left()] == [id]


# with the outbox before it


class Client:
    """What an outbox needs of one; each batch is answered when the test says so."""

    def __init__(self, file: OutboxFile) -> None:
        self.asked: asyncio.Queue[tuple[list[dict[str, Any]], list[asyncio.Future[Any]]]] = asyncio.Queue()
        self.reported: list[BaseException] = []
        self.tasks: set[asyncio.Task[None]] = set()
        self.outbox = Outbox(self._ask, lambda: True, self.reported.append, self._spawn)
        self.outbox.store = file

    def _ask(self, requests: list[dict[str, Any]]) -> list[asyncio.Future[Any]]:
        answers: list[asyncio.Future[Any]] = [asyncio.get_running_loop().create_future() for _ in requests]
        self.asked.put_nowait((requests, answers))
        return answers

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task


async def test_a_publication_is_on_the_disk_before_it_is_sent_and_gone_when_it_was_answered(
    opened: Open, path: Path
) -> None:
    file = await opened()
    first = Client(file)
    published = first.outbox.add(said("1"), offline=True)
    await first.asked.get()
    await file.close()
    first.outbox.clear(closed("the client was closed"))
    ((_, _, sent_at_ms),) = rows(path)
    assert sent_at_ms is not None

    file = await opened()
    following = Client(file)
    for kept in await file.left():
        following.outbox.restore(kept)
    frames, answers = await following.asked.get()
    assert frames == [{**said("1"), "retry": True}]
    answers[0].set_result({"message_id": "1"})
    following.outbox.add(said("2"))
    await following.asked.get()  # after the answer
    await file.close()
    assert rows(path) == []
    assert not published.done()  # it was under way when its process ended


async def test_with_a_full_disk_what_is_to_be_kept_is_refused_and_the_rest_goes_on(opened: Open) -> None:
    disks: list[Disk] = []
    client = Client(await opened(connect=on(disks)))
    disks[0].full = True
    refused = client.outbox.add(said("1"), offline=True)
    published = client.outbox.add(said("2"))
    with pytest.raises(OutboxFileError, match="disk is full"):
        await refused
    frames, answers = await client.asked.get()
    assert frames == [said("2")]
    answers[0].set_result({"message_id": "2"})
    assert (await published).message_id == "2"
