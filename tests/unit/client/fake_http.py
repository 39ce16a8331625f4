"""A network whose answers the test gives by hand; no I/O, for tests with a time of their own."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx

from tests.unit.client.virtual import settle


class Body(httpx.AsyncByteStream):
    """What the test writes as the answer is read."""

    def __init__(self) -> None:
        self._chunks: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
        self.let_go = False

    async def write(self, content: str | bytes) -> None:
        self._chunks.put_nowait(content.encode() if isinstance(content, str) else content)
        await settle()

    async def end(self, error: BaseException | None = None) -> None:
        self._chunks.put_nowait(error)
        await settle()

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (chunk := await self._chunks.get()) is not None:
            if isinstance(chunk, BaseException):
                raise chunk
            yield chunk

    async def aclose(self) -> None:
        self.let_go = True


class Call:
    """What was asked, to be answered."""

    def __init__(self, request: httpx.Request, body: bytes) -> None:
        self.request, self.body = request, body
        self._answer: asyncio.Future[httpx.Response] = asyncio.get_running_loop().create_future()

    @property
    def what(self) -> str:
        return f"{self.request.method} {self.request.url.path}"

    @property
    def params(self) -> dict[str, str]:
        return dict(self.request.url.params)

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    async def answer(self, content: Any, status: int = 200, type_: str | None = None) -> None:
        """Answer with a body to be written, with text as it is, or with JSON."""
        headers = {"Content-Type": type_ or self.request.headers["Accept"].replace("*/*", "application/json")}
        if isinstance(content, Body):
            response = httpx.Response(status, headers=headers, stream=content)
        else:
            text = content if isinstance(content, str | bytes) else json.dumps(content)
            response = httpx.Response(status, headers=headers, content=text)
        self._answer.set_result(response)
        await settle()

    async def fail(self) -> None:
        self._answer.set_exception(httpx.ReadError("the network has gone"))
        await settle()

    async def response(self) -> httpx.Response:
        return await self._answer


class FakeHttp(httpx.AsyncBaseTransport):
    """Notes each call, and waits for the test to answer it."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.client = httpx.AsyncClient(transport=self)

    @property
    def last(self) -> Call:
        return self.calls[-1]

    def asked(self, method: str) -> list[Call]:
        return [call for call in self.calls if call.request.method == method]

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        call = Call(request, await request.aread())
        self.calls.append(call)
        return await call.response()
