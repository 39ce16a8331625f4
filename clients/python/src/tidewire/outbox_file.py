"""What outlives the process, in a file: an SQLite database that one process has at a time."""

import asyncio
import json
import os
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from tidewire.errors import REFUSED, TidewireError, closed, outbox_full
from tidewire.frames import Frame
from tidewire.store import Kept

T = TypeVar("T")
_Work = Callable[[sqlite3.Connection], Any]
_Jobs = list[tuple[_Work, asyncio.Future[Any]]]

_MAX_REQUESTS: Final = 1_000
_MAX_BYTES: Final = 5_000_000
_APPLICATION_ID: Final = 0x54494445  # "TIDE": whose file it is
_VERSION: Final = 1
_BUSY_S: Final = 1.0  # who had it may be about to let go

_SCHEMA: Final = (
    # No id is given twice: what is forgotten late forgets nothing else. A request is JSON.
    "CREATE TABLE requests (id INTEGER PRIMARY KEY AUTOINCREMENT, user_id TEXT NOT NULL, request BLOB NOT NULL,"
    " sent_at_ms INTEGER)",
    "CREATE INDEX requests_of_user ON requests (user_id)",
    f"PRAGMA application_id = {_APPLICATION_ID}",
)

_MOVE: Final = "Move it away, and a new one is made"
_WRONG: Final = {
    sqlite3.SQLITE_BUSY: "is in use by another process, or another client of this one. Give each a file of its own",
    sqlite3.SQLITE_CANTOPEN: "can't be opened. Name a file in a folder that may be written to",
    sqlite3.SQLITE_CORRUPT: f"is damaged. {_MOVE}",
    sqlite3.SQLITE_FULL: "can't grow: the disk is full. Make room",
    sqlite3.SQLITE_NOTADB: "is no SQLite database. Name another file",
    sqlite3.SQLITE_READONLY: "may not be written to. Let this user write to it and its folder",
}


class OutboxFileError(TidewireError):
    """The file can't be used; the message says which, what is wrong, and what to do. ``kind`` is ``outbox_file``."""

    def __init__(self, path: Path, wrong: str) -> None:
        super().__init__(REFUSED, "outbox_file", f"the outbox {path} {wrong}.")
        self.path = path


class OutboxFile:
    """A :class:`~tidewire.store.Store` in a file. At most 1,000 requests of a user, or 5 MB, are kept.

    Several users may have theirs in one file, one after another. All work is done in a thread of its own, in the order
    of the calls; what is asked for while it works is written together. Methods raise :class:`OutboxFileError` when the
    file fails, and ``closed`` after :meth:`close`.
    """

    def __init__(self, path: Path, user_id: str) -> None:
        self._path, self._user_id = path, user_id
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="tidewire-outbox")
        self._database: sqlite3.Connection | None = None
        self._left_until = 0  # the last id that an earlier process gave, until those are taken over
        self._waiting: _Jobs = []
        self._answered: set[int] = set()  # to be deleted
        self._running = False
        self._closing: asyncio.Future[list[Any]] | None = None

    @classmethod
    async def open(
        cls,
        path: str | os.PathLike[str],
        user_id: str,
        *,
        connect: Callable[[Path], sqlite3.Connection] | None = None,
    ) -> Self:
        """Open the file, or make one that only this user of the computer can read; its folder must be there.

        Args:
            path: Nobody else can have it open; the lock ends with the process, however that ends.
            user_id: Whose requests are kept from now on.
            connect: Returns a connection to the database, in autocommit mode.

        Raises:
            OutboxFileError: It is in use, is no outbox or one of another version, or can't be written to.
        """
        file = cls(Path(path).absolute(), user_id)
        try:
            await asyncio.get_running_loop().run_in_executor(file._thread, file._connect, connect or _connect)
        except BaseException:
            file._thread.submit(file._disconnect)  # it may be open by now
            file._thread.shutdown(wait=False)
            raise
        return file

    async def keep(self, request: Frame) -> int:
        """Keep a request; return its id. It is on the disk by then, and outlives a loss of power.

        Raises:
            TidewireError: ``limit_reached``: too many are kept already.
        """
        text = json.dumps(request, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()

        def insert(database: sqlite3.Connection) -> int:
            number, size_bytes = database.execute(
                "SELECT count(*), coalesce(sum(length(request)), 0) FROM requests WHERE user_id = ?", (self._user_id,)
            ).fetchone()
            if number >= _MAX_REQUESTS or size_bytes + len(text) > _MAX_BYTES:
                raise outbox_full()
            values = (self._user_id, text)
            added = database.execute("INSERT INTO requests (user_id, request) VALUES (?, ?)", values)
            return int(added.lastrowid or 0)

        return await self._do(insert)

    async def sent(self, id: int) -> bool:
        """Note that it is being sent, now, by the wall clock; return whether it is still kept."""

        def update(database: sqlite3.Connection) -> bool:
            now_ms = time.time_ns() // 1_000_000
            return database.execute("UPDATE requests SET sent_at_ms = ? WHERE id = ?", (now_ms, id)).rowcount == 1

        return await self._do(update)

    def forget(self, id: int) -> None:
        """It has been answered. Returns at once; what can't be written is tried again with whatever comes next."""
        if self._closing is None:
            self._answered.add(id)
            self._go_on()

    async def left(self) -> list[Kept]:
        """Return what earlier processes have left behind of this user, in order. Once: then it is this one's."""
        until, self._left_until = self._left_until, 0

        def select(database: sqlite3.Connection) -> list[tuple[int, bytes, int | None]]:
            return database.execute(
                "SELECT id, request, sent_at_ms FROM requests WHERE user_id = ? AND id <= ? ORDER BY id",
                (self._user_id, until),
            ).fetchall()

        try:
            return [Kept(id, _request(text), sent_at_ms) for id, text, sent_at_ms in await self._do(select)]
        except BaseException as error:
            self._left_until = until  # nobody has got them
            if isinstance(error, ValueError):
                raise OutboxFileError(self._path, f"has something in it that is no request. {_MOVE}") from error
            raise

    async def close(self) -> None:
        """Let go of the file, after all that was asked for is done. May be called again.

        Raises:
            OutboxFileError: What has been answered could not be deleted: the next process may send it again, which the
                server knows for what it is, or report it as uncertain.
        """
        if self._closing is None:
            jobs, self._waiting = self._waiting, []
            loop = asyncio.get_running_loop()
            self._closing = loop.run_in_executor(self._thread, self._finish, jobs, frozenset(self._answered))
            self._closing.add_done_callback(lambda ran: _tell(jobs, ran))
            self._thread.shutdown(wait=False)
        await asyncio.shield(self._closing)  # or else cancelling it could leave the file open

    async def _do(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if self._closing is not None:
            raise closed("the outbox file is closed")
        done: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, done))
        self._go_on()
        return await done

    def _go_on(self) -> None:
        if self._running or self._closing is not None or not (self._waiting or self._answered):
            return
        self._running = True
        jobs, self._waiting = self._waiting, []
        answered = frozenset(self._answered)
        running = asyncio.get_running_loop().run_in_executor(self._thread, self._transact, jobs, answered)
        running.add_done_callback(lambda ran: self._ran(jobs, answered, ran))

    def _ran(self, jobs: _Jobs, answered: frozenset[int], ran: asyncio.Future[list[Any]]) -> None:
        self._running = False
        _tell(jobs, ran)
        failed = ran.exception() is not None
        if not failed:
            self._answered -= answered
        if self._waiting or not failed:  # what could not be deleted is not tried for ever
            self._go_on()

    # What follows runs in the thread.

    def _connect(self, connect: Callable[[Path], sqlite3.Connection]) -> None:
        try:
            self._path.touch(mode=0o600)
            self._database = connect(self._path)
            self._prepare(self._database)
        except OSError as error:
            wrong = f"can't be opened. Name a file in a folder that may be written to ({error.strerror or error})"
            raise OutboxFileError(self._path, wrong) from error
        except sqlite3.Error as error:
            raise self._failure(error) from error

    def _prepare(self, database: sqlite3.Connection) -> None:
        # What is committed has to survive a loss of power. FULL syncs the truncation of the journal, which is what
        # commits; where SQLite were to delete the journal instead, EXTRA syncs its folder as well
        # (https://www.sqlite.org/pragma.html#pragma_synchronous). On a Mac, fsync leaves data in the disk's cache
        # (https://www.sqlite.org/pragma.html#pragma_fullfsync).
        database.execute("PRAGMA synchronous = EXTRA")
        database.execute("PRAGMA fullfsync = ON")
        # Taken first: of two that open it at once, one gets it. The lock is the system's: it goes with the process.
        database.execute("BEGIN EXCLUSIVE")
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        whose, version = (
            database.execute(f"PRAGMA {what}").fetchone()[0] for what in ("application_id", "user_version")
        )
        if (whose, version) == (0, 0) and not database.execute("SELECT 1 FROM sqlite_master").fetchone():
            for statement in _SCHEMA:
                database.execute(statement)
        elif whose != _APPLICATION_ID:
            raise OutboxFileError(self._path, "is the database of something else. Name another file")
        elif version != _VERSION:
            wrong = f"has version {version}, and this client reads version {_VERSION}. Name another file"
            raise OutboxFileError(self._path, wrong)
        database.execute(f"PRAGMA user_version = {_VERSION}")  # to see that it may be written to
        self._left_until = database.execute("SELECT coalesce(max(id), 0) FROM requests").fetchone()[0]
        database.execute("COMMIT")
        database.execute("PRAGMA journal_mode = TRUNCATE")  # faster than making a new one each time

    def _transact(self, jobs: _Jobs, answered: frozenset[int]) -> list[Any]:
        assert self._database is not None
        try:
            return self._written(self._database, jobs, answered)
        except BaseException as error:
            with suppress(sqlite3.Error):
                self._database.rollback()
            if isinstance(error, sqlite3.Error):
                raise self._failure(error) from error
            raise

    def _written(self, database: sqlite3.Connection, jobs: _Jobs, answered: frozenset[int]) -> list[Any]:
        database.execute("BEGIN IMMEDIATE")
        results = [_result(work, database) for work, _ in jobs]
        database.executemany("DELETE FROM requests WHERE id = ?", [(id,) for id in answered])
        database.execute("COMMIT")
        return results

    def _finish(self, jobs: _Jobs, answered: frozenset[int]) -> list[Any]:
        try:
            return self._transact(jobs, answered) if jobs or answered else []
        finally:
            self._disconnect()

    def _disconnect(self) -> None:
        if self._database is not None:
            self._database.close()

    def _failure(self, error: sqlite3.Error) -> OutboxFileError:
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the rest says more of it
        return OutboxFileError(self._path, f"{_WRONG.get(code, 'fails. Look after its disk')} ({error})")


def _request(text: bytes) -> Frame:
    request = json.loads(text)
    if not isinstance(request, dict):
        raise ValueError("no object")
    return request


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None)


def _result(work: _Work, database: sqlite3.Connection) -> Any:
    try:
        return work(database)
    except TidewireError as error:  # its own: the others' work is written
        return error


def _tell(jobs: _Jobs, ran: asyncio.Future[list[Any]]) -> None:
    error = ran.exception()
    results = [error] * len(jobs) if error is not None else ran.result()
    for (_, done), result in zip(jobs, results, strict=True):
        if done.done():
            continue  # it was cancelled
        if isinstance(result, BaseException):
            done.set_exception(result)
        else:
            done.set_result(result)
