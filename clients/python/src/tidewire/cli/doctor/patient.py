"""The deployment that is examined, as steps use it: calls, bare sessions, clients; everything with a time limit."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import httpx

from tidewire import Tidewire
from tidewire.cli.beside import beside
from tidewire.cli.deployment import Deployment
from tidewire.cli.doctor.findings import Fault, NotExaminedError
from tidewire.cli.doctor.peer import HttpPeer, Peer, WebSocketPeer
from tidewire.cli.identity import DevelopmentToken, config_of
from tidewire.cli.paths import channel_path
from tidewire.errors import TidewireError, UnreachableError
from tidewire.rest import Rest
from tidewire.ways import Way

_LOOK_S: Final = 0.2


class Patient:
    """What steps share.

    Attributes:
        patience_s: How long each thing is waited for.
        answers: Whether anything answers at the URL.
        known: Whether our credential is taken.
    """

    def __init__(self, deployment: Deployment, patience_s: float) -> None:
        self.deployment, self.patience_s = deployment, patience_s
        self._name = secrets.token_hex(4)
        self._config: dict[str, Any] | None = None
        self.answers, self.known = False, True
        self._has_web_socket = True

    def channel(self, what: str) -> str:
        """Return a channel of this examination's own."""
        return f"room:doctor-{self._name}-{what}"

    async def get(self, path: str) -> httpx.Response:
        """Return what is answered, whatever it is.

        Raises:
            TidewireError: Nothing is.
        """
        try:
            response = await beside(self.deployment.http.get, self.deployment.url + path)
        except (httpx.RequestError, httpx.InvalidURL) as error:
            raise UnreachableError(
                f"{self.deployment.url} can't be reached: {error or type(error).__name__}"
            ) from error
        self.answers = True
        return response

    async def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Call the HTTP API as :meth:`Deployment.call`."""
        return await beside(self.deployment.call, method, path, **more)

    async def ask(self, method: str, path: str, **more: Any) -> dict[str, Any]:
        """Call the HTTP API as :meth:`Deployment.ask`."""
        return await beside(self.deployment.ask, method, path, **more)

    async def refused(self, *call: Any, **more: Any) -> str:
        """Return the name of the error that a call is refused with; ``granted`` if it isn't."""
        try:
            await self.call(*call, **more)
        except UnreachableError:
            raise
        except TidewireError as error:
            return error.kind
        return "granted"

    async def config(self) -> dict[str, Any]:
        """Return what ``GET /v1/config`` answers; it is asked once."""
        if self._config is None:
            rest = Rest(self.deployment.url, http=self.deployment.http)
            self._config = dict(await beside(config_of, rest))
        return self._config

    async def token(self) -> str:
        """Return our token.

        Raises:
            NotExaminedError: There is an API key alone.
        """
        token = await beside(self.deployment.identity.token, False)
        if token is None:
            raise NotExaminedError("needs a user's token, not an API key")
        return token

    async def another_token(self) -> str | None:
        """Return a token of a second user; ``None`` where the deployment gives none by itself."""
        if not self.deployment.of_stage_local:
            return None
        other = DevelopmentToken(self.deployment.url, f"{self.deployment.user}-2", self.deployment.http, admin=False)
        return await beside(other.token, False)

    async def web_socket_peer(self, token: str | None = None) -> WebSocketPeer:
        """Return a bare session over WebSocket, to be entered."""
        config = await self.config()
        return WebSocketPeer(str(config["websocket_url"]), token or await self.token(), self.patience_s)

    async def http_peer(self, token: str | None = None) -> HttpPeer:
        """Return a bare session by HTTP, to be entered."""
        return HttpPeer(self.deployment.url, token or await self.token(), self.patience_s)

    @asynccontextmanager
    async def peer(self, token: str | None = None) -> AsyncIterator[Peer]:
        """Enter a bare session: over WebSocket, or by HTTP where that was not to be had once."""
        peer: Peer | None = None
        try:
            if self._has_web_socket:
                peer = await (await self.web_socket_peer(token)).__aenter__()
        except TidewireError as error:
            if not error.retryable:
                raise
            self._has_web_socket = False
        if peer is None:
            peer = await (await self.http_peer(token)).__aenter__()
        try:
            yield peer
        finally:
            await peer.__aexit__(None, None, None)

    @asynccontextmanager
    async def client(self, way: Way) -> AsyncIterator[Tidewire]:
        """Enter a client that takes that way alone, once it is connected.

        Raises:
            Fault: It doesn't connect in time.
        """
        await self.token()
        last: TidewireError | None = None
        connected = asyncio.Event()

        def changed(state: str, error: TidewireError | None) -> None:
            nonlocal last
            last = error or last
            if state in ("connected", "closed"):
                connected.set()

        async with self.deployment.client(way) as client:
            client.on_state(changed)
            client.connect()
            try:
                async with asyncio.timeout(self.patience_s):
                    await connected.wait()
            except TimeoutError:
                pass
            if client.state != "connected":
                why = f": {last}" if last else ""
                raise Fault(f"a connection by {way} within {self.patience_s:g} s", f"none{why}")
            yield client

    async def stored(self, channel: str, message_ids: list[str]) -> bool:
        """Tell whether they are all in the channel's history, in this order, within the time."""

        async def are() -> bool:
            answer = await self.ask("GET", channel_path(channel, "history"), params={"limit": 300})
            found = [one.get("message_id") for one in answer.get("publications", ())]
            return [one for one in found if one in message_ids] == message_ids

        return await self.becomes(are)

    async def becomes(self, is_so: Callable[[], Any]) -> bool:
        """Tell whether it is so within the time."""
        until_s = time.monotonic() + self.patience_s
        while not await is_so():
            if time.monotonic() > until_s:
                return False
            await asyncio.sleep(_LOOK_S)
        return True
