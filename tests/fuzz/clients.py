"""Those who send what nobody should: by WebSocket, by HTTP sessions, by calls, and as bytes that are no request."""

import asyncio
import json
import re
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake

from shared.protocol.limits import HTTP_FRAME_MAX_BYTES, WEBSOCKET_FRAME_MAX_BYTES
from tests.fuzz.cases import Case, Kind, case
from tests.fuzz.oracle import Answers, Expected, Ledger, expected, judge_problem

ANSWER_WITHIN_S: Final = 45
# More under way would measure how long queues are.
_DUE_MAX: Final = 12
GATEWAY_MAX_BYTES: Final = 32 * 1024  # of a frame; longer ones end the connection, as on AWS
_RAW_ANSWER_WITHIN_S: Final = 2
_STREAM_READ_S: Final = 0.3
_PAUSE_MAX_S: Final = 2
_REOPENED_AFTER: Final = 400  # cases: connections come and go
_AHEAD: Final = 20
_POLLED_EVERY: Final = 10  # cases of a session
# What a disconnect push may say, and whom it may say it to: docs/protocol.md section 5.
_UNKNOWN_PEOPLE: Final = 3503
_PLACEHOLDER: Final = re.compile(r"\$\{(peer_)?(\w+)\}")


@dataclass(frozen=True, slots=True)
class Person:
    """Who one client is; nobody, where there is no token.

    Attributes:
        token: Allows more or less.
    """

    name: str
    kind: Kind
    token: str | None = None


@dataclass(slots=True)
class Scene:
    """What all clients of a run share."""

    url: str
    seed: int
    frames_wanted: int
    only: int | None
    people: Sequence[Person]
    ledger: Ledger = field(default_factory=Ledger)
    facts: list[dict[str, str]] = field(default_factory=list)
    places: list[int] = field(default_factory=list)
    moved: asyncio.Condition = field(default_factory=asyncio.Condition)

    def __post_init__(self) -> None:
        self.facts = [{"token": person.token or ""} for person in self.people]
        self.places = list(range(len(self.people)))

    async def keep_pace(self, place: int, index: int) -> None:
        """Let nobody get far ahead of the slowest: what is refused at once is soon sent, and proves the least."""
        async with self.moved:
            self.places[place] = index
            self.moved.notify_all()
            await self.moved.wait_for(lambda: index <= min(self.places) + _AHEAD * len(self.people))

    async def leave(self, place: int) -> None:
        """One sends no more: nobody is to wait for it."""
        async with self.moved:
            self.places[place] = sys.maxsize
            self.moved.notify_all()

    @property
    def done(self) -> bool:
        """Whether so much has been sent."""
        return self.ledger.frames >= self.frames_wanted


class Client:
    """One of them. Its cases are those whose index leaves its place as the rest."""

    def __init__(self, scene: Scene, place: int) -> None:
        self.scene, self.place, self.person = scene, place, scene.people[place]
        self.ledger, self.facts = scene.ledger, scene.facts[place]
        self.answers = Answers(scene.ledger)
        self._next = place

    async def run(self) -> None:
        """Send until all have sent enough, and wait for what is still to come."""
        while (one := self._case()) is not None:
            await self.scene.keep_pace(self.place, one.index)
            self.ledger.cases += 1
            await self.send(one)
        await self.scene.leave(self.place)
        await self.finish()

    async def send(self, one: Case) -> None:
        """Send one case, and see to what comes of it."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Come to an end."""

    def put_in(self, text: str) -> str:
        """Put in what only the run knows; ``peer_`` is of the client beside this one."""

        def value(match: re.Match[str]) -> str:
            step = 1 if match[1] else 0
            facts = self.scene.facts[(self.place + step) % len(self.scene.facts)]
            return facts.get(match[2], "unknown")

        return _PLACEHOLDER.sub(value, text)

    def learn(self, frames: Sequence[Mapping[str, Any]]) -> None:
        """Remember what later cases may name."""
        for frame in frames:
            result = frame.get("result")
            if isinstance(result, dict):
                self.facts |= {
                    name: result[f"{name}_id"] for name in ("session", "connection") if f"{name}_id" in result
                }
                if isinstance(position := result.get("position"), dict):
                    self.facts["epoch"] = position["epoch"]
            elif frame.get("type") == "command":
                self.facts["command"] = frame["command_id"]

    async def heed(self, frames: Sequence[Mapping[str, Any]]) -> None:
        """Wait as long as one is asked to: what is refused for its rate proves little."""
        waits = [
            frame["error"].get("retry_after_ms", 0)
            for frame in frames
            if frame.get("error", {}).get("name") == "rate_limited"
        ]
        if waits:
            await asyncio.sleep(min(max(waits) / 1000, _PAUSE_MAX_S))

    def _case(self) -> Case | None:
        only = self.scene.only
        if only is not None:
            mine, self._next = self._next == self.place and only % len(self.scene.people) == self.place, -1
            return case(self.scene.seed, only, self.person.kind) if mine else None
        if self.scene.done:
            return None
        index, self._next = self._next, self._next + len(self.scene.people)
        return case(self.scene.seed, index, self.person.kind)


class SocketClient(Client):
    """By WebSocket, several messages under way."""

    def __init__(self, scene: Scene, place: int) -> None:
        super().__init__(scene, place)
        self._socket: ClientConnection | None = None
        self._reader: asyncio.Task[None] | None = None
        self._news = asyncio.Condition()
        self._disconnect: int | None = None
        self._ended_by: str | None = None  # what this side has done that has to end it
        self._sent = 0
        self._refused: list[Mapping[str, Any]] = []

    async def send(self, one: Case) -> None:
        """See :class:`Client`."""
        if self._socket is None or self._sent >= _REOPENED_AFTER:
            try:
                await self._open()
            except (InvalidHandshake, OSError) as error:
                self.ledger.find("a connection was refused", one.index, f"{self.person.name}: {error!r}")
                return
        self._sent += 1
        body = self.put_in(one.body) if isinstance(one.body, str) else one.body
        size = len(body.encode()) if isinstance(body, str) else 0
        if isinstance(body, bytes) or size > GATEWAY_MAX_BYTES:
            await self._end_by(body)
            return
        await self._answered(_DUE_MAX, self.answers.due)
        await self.heed(self._refused)
        self._refused = []
        if self._socket is None:  # it was closed meanwhile
            return
        owed = expected(one.index, body, max_bytes=WEBSOCKET_FRAME_MAX_BYTES, gateway=True)
        self.answers.add(owed)
        self.ledger.frames += max(1, len(owed))
        with suppress(ConnectionClosed):  # the reader judges whether that was right
            await self._socket.send(body)

    async def finish(self) -> None:
        """See :class:`Client`."""
        if self._socket is not None:
            await self._close()

    async def _open(self) -> None:
        if self._socket is not None:
            await self._close()
        url = f"{self.scene.url.replace('http', 'ws', 1)}/v1/ws"
        self._socket = await connect(url, proxy=None, open_timeout=ANSWER_WITHIN_S, ping_interval=None, max_size=None)
        self._disconnect = self._ended_by = None
        self._sent = 0
        self._reader = asyncio.create_task(self._read(self._socket))
        if self.person.token is not None:
            hello = {"type": "hello", "id": 0, "protocol": 1, "token": self.person.token}
            self.answers.add([Expected(-1, "hello", 0)])
            with suppress(ConnectionClosed):
                await self._socket.send(json.dumps(hello))
            await self._answered(0, 1)

    async def _close(self) -> None:
        await self._answered(0, 1)
        if self._socket is None:  # it was closed meanwhile
            return
        assert self._reader is not None
        self._ended_by = "this side closed it"
        await self._socket.close()
        await self._reader
        self._socket = None

    async def _end_by(self, body: str | bytes) -> None:
        """Send what the front closes a connection for, when nothing else is owed."""
        await self._answered(0, 1)
        if self._socket is None:
            return
        assert self._reader is not None
        self._ended_by = "a binary message" if isinstance(body, bytes) else "too long a frame"
        self.ledger.frames += 1
        with suppress(ConnectionClosed):
            await self._socket.send(body)
        try:
            await asyncio.wait_for(asyncio.shield(self._reader), ANSWER_WITHIN_S)
        except TimeoutError:
            self.ledger.find("not closed", None, self._ended_by)
            await self._socket.close()
        self._socket = None

    async def _answered(self, left: int, now: int) -> None:
        """Wait until no more than so many answers are missing, if more are."""
        if now <= left:
            return

        def count() -> int:
            return self.answers.due if left else len(self.answers.owed)

        try:
            async with asyncio.timeout(ANSWER_WITHIN_S), self._news:
                await self._news.wait_for(lambda: count() <= left or self._socket is None)
        except TimeoutError:
            self.answers.missing()

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                frames = self.answers.take(text)
                self.learn(frames)
                self._refused += frames
                for frame in frames:
                    if frame.get("type") == "system" and frame.get("event") == "disconnect":
                        self._disconnect = frame.get("code")
                async with self._news:
                    self._news.notify_all()
        except ConnectionClosed:
            pass
        self._judge_end(socket.close_code, socket.close_reason)
        self.answers.drop()
        self._socket = None
        async with self._news:
            self._news.notify_all()

    def _judge_end(self, code: int | None, reason: str | None) -> None:
        """The protocol demands an end where it was given cause for one; every other is a loss."""
        nobody = self.person.token is None
        right = {"a binary message": 1003, "too long a frame": 1009, "this side closed it": 1000}
        if self._ended_by is not None and right[self._ended_by] == code:
            self.ledger.losses[self._ended_by] += 1
        elif nobody and self._ended_by is None and self._disconnect == _UNKNOWN_PEOPLE:
            self.ledger.losses["it did not say who it is"] += 1
        else:
            said = f"{code} {reason} {self._ended_by} disconnect {self._disconnect}"
            self.ledger.find("a connection was lost", None, f"{self.person.name}: {said}")


class HttpClient(Client):
    """What both kinds of calls have in common."""

    def __init__(self, scene: Scene, place: int) -> None:
        super().__init__(scene, place)
        self._http = httpx.AsyncClient(base_url=scene.url, timeout=ANSWER_WITHIN_S)

    async def finish(self) -> None:
        """See :class:`Client`."""
        await self._http.aclose()

    def bearer(self, name: str) -> dict[str, str]:
        """Return the header that has this token."""
        return {"Authorization": f"Bearer {self.facts.get(name, '')}", "Content-Type": "application/json"}

    async def open_session(self, index: int) -> bool:
        """Begin a session; tell whether there is one now."""
        answer = await self._http.post("/v1/sessions", headers=self.bearer("token"), json={"protocol": 1})
        if answer.status_code != 200:
            judge_problem(self.ledger, answer.json(), answer.status_code, index)
            await self.heed([{"error": answer.json()}])
            return False
        result = answer.json()
        self.learn([{"result": result}])
        self.facts["session_token"] = result["session_token"]
        return True


class SessionClient(HttpClient):
    """Posts frames to a session, and reads what comes for it now and then."""

    def __init__(self, scene: Scene, place: int) -> None:
        super().__init__(scene, place)
        self._posted = 0

    async def send(self, one: Case) -> None:
        """See :class:`Client`."""
        if self._posted % _REOPENED_AFTER == 0 and not await self.open_session(one.index):
            return
        if self._posted % _POLLED_EVERY == 0:
            await self._poll(one.index)
        self._posted += 1
        assert isinstance(one.body, str)
        body = self.put_in(one.body)
        owed = expected(one.index, body, max_bytes=HTTP_FRAME_MAX_BYTES, gateway=False)
        self.ledger.frames += max(1, len(owed))
        path = self.put_in(one.path)
        answer = await self._http.post(path, headers=self.bearer("session_token"), content=body.encode())
        if answer.status_code != 200:
            self.ledger.find("a session was lost", one.index, answer.text)
            self._posted = 0
            return
        replies = answer.json()
        self._judge(one, owed, replies)
        self.learn(replies)
        await self.heed(replies)

    def _judge(self, one: Case, owed: Sequence[Expected], replies: Sequence[dict[str, Any]]) -> None:
        """In order, each once; but a peer's answer comes on the other side."""
        answers, left = Answers(self.ledger), list(replies)
        for want in owed:
            if left and want.fits(left[0]):
                answers.add([want])
                answers.take(json.dumps(left.pop(0)))
            elif not want.later:
                self.ledger.find("no reply", one.index, want)
        if left:
            self.ledger.find("a reply that nothing asked for", one.index, left[0])

    async def _poll(self, index: int) -> None:
        path = self.put_in("/v1/sessions/${session}/frames")
        query = {"cursor": self.facts["cursor"]} if self.facts.get("cursor_of") == self.facts["session"] else {}
        answer = await self._http.get(path, headers=self.bearer("session_token"), params=query)
        if answer.status_code != 200:
            self.ledger.find("a poll was refused", index, f"{answer.status_code} {answer.text}")
            return
        self.facts |= {"cursor": answer.json()["cursor"], "cursor_of": self.facts["session"]}
        self.learn(answer.json()["frames"])


class CallClient(HttpClient):
    """Calls everything, and looks into streams."""

    async def send(self, one: Case) -> None:
        """See :class:`Client`."""
        if "session" not in self.facts and self.person.token is not None:
            await self.open_session(one.index)
        assert isinstance(one.body, str)
        self.ledger.frames += 1
        headers = {name: self.put_in(value).strip() for name, value in one.headers.items()}
        content = self.put_in(one.body).encode()
        try:
            request = self._http.build_request(one.method, self.put_in(one.path), headers=headers, content=content)
        except httpx.InvalidURL:
            self.ledger.outcomes["no request"] += 1
            return
        try:
            await self._exchange(one, request)
        except httpx.LocalProtocolError:
            self.ledger.outcomes["no request"] += 1
        except httpx.HTTPError as error:
            self.ledger.find("no answer", one.index, f"{error!r} {one.method} {one.path}")

    async def _exchange(self, one: Case, request: httpx.Request) -> None:
        answer = await self._http.send(request, stream=True)
        try:
            if answer.headers.get("content-type", "").startswith(("text/event-stream", "application/x-ndjson")):
                self.ledger.outcomes[f"stream {answer.status_code}"] += 1
                with suppress(TimeoutError):  # it goes on, and this has seen enough
                    async with asyncio.timeout(_STREAM_READ_S):
                        await answer.aread()
                return
            await answer.aread()
        finally:
            await answer.aclose()
        if answer.status_code < 400:
            self.ledger.outcomes["ok"] += 1
            return
        if not answer.content or one.method == "HEAD":
            self.ledger.outcomes[f"http {answer.status_code}"] += 1
            if answer.status_code >= 500:
                self.ledger.find("a failure", one.index, f"{answer.status_code} {one.method} {one.path}")
            return
        try:
            problem = answer.json()
        except ValueError:
            self.ledger.find("no problem that can be read", one.index, f"{answer.status_code} {answer.text}")
            return
        judge_problem(self.ledger, problem, answer.status_code, one.index)
        await self.heed([{"error": problem}])


class RawClient(Client):
    """Writes bytes to the port: whatever is answered, what is served has to go on."""

    async def send(self, one: Case) -> None:
        """See :class:`Client`."""
        assert isinstance(one.body, bytes)
        self.ledger.frames += 1
        address = urlsplit(self.scene.url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        try:
            writer.write(one.body)
            async with asyncio.timeout(_RAW_ANSWER_WITHIN_S):
                line = await reader.readline()
            self.ledger.outcomes[f"raw {line[9:12].decode(errors='replace') or 'closed'}"] += 1
            if line[9:12].startswith(b"5"):
                self.ledger.find("a failure", one.index, line)
        except TimeoutError:
            self.ledger.outcomes["raw unanswered"] += 1  # it waits for the rest
        except ConnectionError:
            self.ledger.outcomes["raw closed"] += 1
        finally:
            writer.transport.abort()


CLIENTS: Final[Mapping[Kind, type[Client]]] = {
    "socket": SocketClient,
    "session": SessionClient,
    "call": CallClient,
    "raw": RawClient,
}
