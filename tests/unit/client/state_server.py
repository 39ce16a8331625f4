"""A server of one channel's documents that settles as the real one does, and users on a network that does its worst."""

import asyncio
import json
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, NoReturn

from tests.unit.client.host import FakeHost, raising, wire_error
from tests.unit.client.virtual import settle
from tidewire.document import Document
from tidewire.documents import Documents
from tidewire.errors import TidewireError, closed, uncertain
from tidewire.frames import Frame
from tidewire.merge import copied, patched, same
from tidewire.store import Kept, Store
from tidewire.write import WriteResult

CHANNEL = "room:a"
LARGE = 24_000

Strategy = Literal["merge", "reject", "last_write_wins", "largest"]


@dataclass(frozen=True)
class Entry:
    version: int = 0
    value: Any = None
    patch: Frame | None = None

    def to_wire(self, *, whole: bool = False) -> Frame:
        content: Frame = {"deleted": True} if self.value is None else {"value": self.value}
        if self.patch is not None and not whole:
            content = {"patch": self.patch}
        large = not fits(next(iter(content.values())))
        frame: Frame = copied({"version": self.version, **({} if large else content)})
        return frame


def fits(value: Any) -> bool:
    return len(json.dumps(value)) <= LARGE


def merged(base: Any, mine: Any, theirs: Any) -> Any:
    """Return both changes of ``base``: of what both have changed, ``mine``."""
    if same(mine, base):
        return theirs
    if same(theirs, base) or not isinstance(mine, dict) or not isinstance(theirs, dict):
        return mine
    before = base if isinstance(base, dict) else {}
    names = [*theirs, *(name for name in mine if name not in theirs)]
    both = {name: merged(before.get(name), mine.get(name), theirs.get(name)) for name in names}
    return {name: value for name, value in both.items() if value is not None}


@dataclass
class StateServer:
    strategy: Strategy = "merge"
    page_size: float = inf
    logs: defaultdict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    clients: "list[Client]" = field(default_factory=list)

    def current(self, key: str = "k") -> Entry:
        return self.logs[key][-1] if self.logs[key] else Entry()

    def handle(self, request: Frame, sender: "Client | None" = None) -> Frame:
        if request["type"] != "state.get":
            return self._write(request, sender)
        if "key" not in request:
            return self.page(request.get("known"), request.get("after", ""))
        key, since = request["key"], request.get("since_version")
        if since is not None and since <= self.current(key).version:
            changes = [entry.to_wire() for entry in self.logs[key][since:]]
            if fits(changes):
                return {"changes": changes}
        return {"documents": {key: self.current(key).to_wire(whole=True)} if self.logs[key] else {}}

    def page(self, known: dict[str, int] | Literal[True] | None, after: str = "") -> Frame:
        versions = known if isinstance(known, dict) else {}
        told = {}
        for key in sorted(key for key, log in self.logs.items() if log and key > after):
            current, version = self.current(key), versions.get(key)
            if version == current.version or (version is None and current.value is None):
                continue
            changes = [] if version is None else [entry.to_wire() for entry in self.logs[key][version:]]
            whole = current.to_wire(whole=True)
            told[key] = {"version": current.version, "changes": changes} if len(changes) == 1 else whole
            if len(told) > self.page_size:
                del told[key]
                return {"documents": told, "more": True}
        return {"documents": told}

    def _write(self, request: Frame, sender: "Client | None") -> Frame:
        key, base = request["key"], request.get("base_version")
        log, current = self.logs[key], self.current(key)
        patch = request.get("patch")

        def to(value: Any) -> Any:
            return request.get("value") if patch is None else patched(value, patch)

        resolution = "applied"
        if base in (None, current.version) or (base == 0 and current.value is None):
            value = to(current.value)
        else:
            value, resolution = self._settled(request, log, to)
        if same(value, current.value):
            return self._result(current, resolution)
        short = patch is not None and current.value is not None and same(patched(current.value, patch), value)
        entry = Entry(current.version + 1, copied(value), patch if short else None)
        log.append(entry)
        push = {"type": "state", "channel": CHANNEL, "key": key, "updated_by": "x", "updated_at_ms": 1}
        for client in self.clients:
            if client is not sender:
                client.inbox.append(push | entry.to_wire())
        return self._result(entry, resolution)

    def _settled(self, request: Frame, log: list[Entry], to: Callable[[Any], Any]) -> tuple[Any, str]:
        """Settle a write upon an older version."""
        base, current = request["base_version"], log[-1]
        before = log[base - 1].value if base else None
        wanted = to(before)
        if same(wanted, current.value):
            return wanted, "applied"
        if base == 0 or self.strategy == "reject":
            raise wire_error(1007, "version_conflict", details=current.to_wire(whole=True))
        if self.strategy == "last_write_wins":
            return to(current.value), "applied"
        if self.strategy == "merge":
            return to(current.value) if "patch" in request else merged(before, wanted, current.value), "merged"
        if wanted < 0:
            raise wire_error(1014, "refused")
        return max(wanted, current.value), "merged"

    def _result(self, entry: Entry, resolution: str) -> Frame:
        if fits(entry.value):
            return {**entry.to_wire(whole=True), "resolution": resolution}
        patch = {} if entry.patch is None or not fits(entry.patch) else {"patch": entry.patch}
        return {"version": entry.version, **patch, "resolution": resolution}


class Client:
    """One user's documents and what lies between them and the server.

    Attributes:
        instead: What becomes of the next requests: the server's answer where there is nothing.
        read_instead: Likewise of the next readings by HTTP.
        read: Keys that were read by HTTP.
    """

    def __init__(self, server: StateServer, *, store: Store | None = None) -> None:
        self.server, self.store = server, store
        self.fake = FakeHost(reply=self._reply, online=False)
        self.inbox: list[Frame] = []
        self.read: list[str] = []
        self.instead: list[Callable[[Frame], Any]] = []
        self.read_instead: list[Callable[[], Awaitable[Any]]] = []
        self.documents = Documents(CHANNEL, self.fake.host, self._read, lambda: self.store)
        server.clients.append(self)

    @property
    def asked(self) -> list[Frame]:
        return [sent.request for sent in self.fake.sent]

    @property
    def writes(self) -> list[Frame]:
        return [request for request in self.asked if request["type"] != "state.get"]

    @property
    def reports(self) -> list[BaseException]:
        return self.fake.reports

    def document(self, key: str = "k") -> Document:
        return self.documents.document(key)

    async def come(self) -> None:
        state = self.documents.subscribing()["state"]
        self.fake.online = True
        self.documents.subscribed({"state": self.server.page(state)})
        await settle()

    def go(self) -> None:
        self.fake.online = False
        self.inbox.clear()
        self.documents.disconnected()

    async def receive(self) -> None:
        while self.inbox:
            self.documents.push(self.inbox.pop(0))
        await settle()

    def lose_reply(self) -> None:
        """The next request is carried out, and its answer lost."""

        def lose(request: Frame) -> NoReturn:
            self.server.handle(request, self)
            raise uncertain("no answer came")

        self.instead.append(lose)

    def refuse(self, error: TidewireError) -> None:
        """The next request is not carried out."""
        self.instead.append(raising(error))

    async def close(self) -> None:
        self.documents.closed(closed("the client was closed"))
        await self.fake.close()

    def _reply(self, request: Frame) -> Any:
        if not self.fake.online:
            raise uncertain("not connected")
        return self.instead.pop(0)(request) if self.instead else copied(self.server.handle(copied(request), self))

    async def _read(self, key: str) -> tuple[int, Any] | None:
        self.read.append(key)
        entry = self.server.current(key)
        if self.read_instead:
            instead = await self.read_instead.pop(0)()
            if isinstance(instead, tuple):
                return instead
        return None if entry.value is None else (entry.version, copied(entry.value))


@asynccontextmanager
async def state_server(
    strategy: Strategy = "merge", value: Any = None, *, store: Store | None = None
) -> AsyncIterator[tuple[StateServer, Client, Client]]:
    """A server that has ``k``, if given, and two who have come; ``store`` is the first one's."""
    server = StateServer(strategy)
    if value is not None:
        server.handle({"type": "state.set", "key": "k", "value": value})
    ann, bob = Client(server, store=store), Client(server)
    try:
        await ann.come()
        await bob.come()
        yield server, ann, bob
    finally:
        for client in server.clients:
            await client.close()


async def outcome(written: "asyncio.Future[WriteResult]") -> WriteResult | str:
    """Return the result, or the kind of error."""
    try:
        return await written
    except TidewireError as error:
        return error.kind


@contextmanager
def collecting(document: Document) -> Iterator[list[Any]]:
    """Collect the values that a document takes."""
    seen: list[Any] = []
    stop = document.on_change(lambda value, _: seen.append(value))
    yield seen
    stop()


@dataclass
class FakeStore:
    kept: dict[int, Frame] = field(default_factory=dict)
    error: BaseException | None = None
    ours: bool = True
    disk: asyncio.Event = field(default_factory=asyncio.Event)  # is fast, unless it is cleared
    next_id: int = 1
    begun: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.disk.set()

    async def keep(self, request: Frame) -> int:
        await self.disk.wait()
        if self.error is not None:
            raise self.error
        self.kept[self.next_id] = copied(request)
        self.next_id += 1
        return self.next_id - 1

    async def sent(self, id: int) -> bool:
        self.begun.append(id)
        return self.ours

    def forget(self, id: int) -> None:
        self.kept.pop(id, None)

    async def left(self) -> list[Kept]:
        return [Kept(id, request, None) for id, request in self.kept.items()]

    async def close(self) -> None:
        pass
