"""A bare session: what the server says is seen as it comes, and nothing is mended, as the client would."""

import asyncio
import json
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Final, Self

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from tidewire.errors import TidewireError, UnreachableError
from tidewire.frames import Frame
from tidewire.problems import refusal, stranger

_HELLO: Final[Frame] = {"type": "hello", "protocol": 1, "client": {"name": "tidewire doctor", "version": "1"}}
_WAIT_S: Final = 5


class Peer(ABC):
    """Says hello when it is entered; what is pushed is kept until somebody asks for it."""

    def __init__(self, token: str, patience_s: float) -> None:
        self._token, self._patience_s = token, patience_s
        self._asked: dict[Any, asyncio.Future[Any]] = {}
        self._pushes: list[Frame] = []
        self._news = asyncio.Condition()
        self._reading: asyncio.Task[None] | None = None
        self.hello: Frame = {}

    async def __aenter__(self) -> Self:
        try:
            async with asyncio.timeout(self._patience_s):
                self.hello = await self._open({**_HELLO, "token": self._token})
        except TimeoutError:
            await self._close()
            raise UnreachableError(f"no answer to hello within {self._patience_s:g} s") from None
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    @property
    def connection_id(self) -> str:
        """The connection's, as the server calls it."""
        return str(self.hello.get("connection_id"))

    @property
    def user_id(self) -> str:
        """Who the server says it is."""
        return str(self.hello.get("user_id"))

    async def ask(self, request: Frame) -> Any:
        """Send a request; return its result.

        Raises:
            TidewireError: The server refuses, or nothing comes back in time.
        """
        request_id = len(self._asked) + 1
        answered = self._asked[request_id] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(self._patience_s):
                await self._send({**request, "id": request_id})
                return await answered
        except TimeoutError:
            raise UnreachableError(f"no answer to {request['type']} within {self._patience_s:g} s") from None

    async def send(self, request: Frame) -> None:
        """Send a request whose answer nobody waits for."""
        await self._send({**request, "id": f"{request['type']} unasked"})

    async def pushed(self, is_it: Callable[[Frame], bool]) -> Frame | None:
        """Return the push, and drop those before it; ``None`` if it doesn't come in time."""
        try:
            async with asyncio.timeout(self._patience_s), self._news:
                while True:
                    while self._pushes:
                        if is_it(push := self._pushes.pop(0)):
                            return push
                    await self._news.wait()
        except TimeoutError:
            return None

    @abstractmethod
    async def _open(self, hello: Frame) -> Frame: ...

    @abstractmethod
    async def _send(self, frame: Frame) -> None: ...

    @abstractmethod
    async def _close(self) -> None: ...

    async def _take(self, frames: Any) -> None:
        for frame in frames if isinstance(frames, list) else [frames]:
            if not isinstance(frame, dict):
                continue
            answered = self._asked.get(frame.get("id", 0)) if frame.get("type") == "reply" else None
            if answered is not None and not answered.done():
                _answer(answered, frame)
            elif frame.get("type") != "reply":
                async with self._news:
                    self._pushes.append(frame)
                    self._news.notify_all()

    async def _stop_reading(self) -> None:
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def _lost(self, error: Exception) -> None:
        for answered in self._asked.values():
            if not answered.done():
                answered.set_exception(UnreachableError(f"the connection has ended: {error or type(error).__name__}"))
                answered.exception()  # whoever waits is told; where nobody does, it is no news


class WebSocketPeer(Peer):
    """A session over WebSocket."""

    def __init__(self, url: str, token: str, patience_s: float) -> None:
        super().__init__(token, patience_s)
        self._url = url
        self._socket: ClientConnection | None = None

    async def _open(self, hello: Frame) -> Frame:
        try:
            self._socket = await connect(self._url, open_timeout=None, close_timeout=1)
        except (OSError, WebSocketException, ImportError) as error:  # some proxies need a package
            raise UnreachableError(f"{self._url} can't be reached: {error or type(error).__name__}") from error
        self._reading = asyncio.create_task(self._read(self._socket))
        result: Frame = await self.ask(hello)
        return result

    async def _send(self, frame: Frame) -> None:
        assert self._socket is not None
        try:
            await self._socket.send(json.dumps(frame, separators=(",", ":")))
        except WebSocketException as error:
            raise UnreachableError(f"the connection has ended: {error}") from error

    async def _read(self, socket: ClientConnection) -> None:
        try:
            async for text in socket:
                with suppress(ValueError):
                    await self._take(json.loads(text))
            raise ConnectionError("closed by the server")
        except (WebSocketException, OSError) as error:
            self._lost(error)

    async def _close(self) -> None:
        await self._stop_reading()
        if self._socket is not None:
            await self._socket.close()


class HttpPeer(Peer):
    """A session by HTTP, read by long polling."""

    def __init__(self, url: str, token: str, patience_s: float) -> None:
        super().__init__(token, patience_s)
        self._http = httpx.AsyncClient(base_url=url, timeout=patience_s + _WAIT_S)
        self._path = ""

    async def _open(self, hello: Frame) -> Frame:
        fields = {name: value for name, value in hello.items() if name != "type"}
        session: Frame = await self._call("POST", "/v1/sessions", json=fields)
        self._path = f"/v1/sessions/{session['session_id']}"
        self._http.headers["Authorization"] = f"Bearer {session['session_token']}"
        self._reading = asyncio.create_task(self._read())
        return session

    async def _send(self, frame: Frame) -> None:
        await self._take(await self._call("POST", f"{self._path}/frames", json=frame))

    async def _read(self) -> None:
        params: dict[str, Any] = {"wait_s": _WAIT_S}
        try:
            while True:
                answer = await self._call("GET", f"{self._path}/frames", params=params)
                params["cursor"] = answer["cursor"]
                await self._take(answer["frames"])
        except (TidewireError, KeyError, TypeError) as error:
            self._lost(error)

    async def _close(self) -> None:
        await self._stop_reading()
        if self._path:
            with suppress(TidewireError):
                await self._call("DELETE", self._path)
        await self._http.aclose()

    async def _call(self, method: str, path: str, **more: Any) -> Any:
        try:
            response = await self._http.request(method, path, **more)
        except httpx.RequestError as error:
            raise UnreachableError(
                f"{self._http.base_url} can't be reached: {error or type(error).__name__}"
            ) from error
        if not response.is_success:
            raise refusal(response)
        try:
            return response.json() if response.content else None
        except ValueError:
            raise stranger(response) from None


def _answer(answered: "asyncio.Future[Any]", reply: Frame) -> None:
    if "error" not in reply:
        answered.set_result(reply.get("result"))
        return
    try:
        error: TidewireError = TidewireError.from_wire(reply["error"])
    except (KeyError, TypeError, ValueError, AttributeError):
        error = UnreachableError("the answer makes no sense")
    answered.set_exception(error)
    answered.exception()  # as above
