"""The Python client, in the tests' own event loop."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import httpx

from tests.clients.network import Network
from tests.clients.scenario import Arguments, RefusedError
from tidewire import Channel, CommandError, Document, Tidewire, TidewireError

_TOKEN_TIMEOUT_S: Final = 30


class _Seen:
    """A channel, and what was seen of it."""

    def __init__(self, channel: Channel, notice: Callable[[], None]) -> None:
        self.channel = channel
        self.events: list[Any] = []
        self.connections: set[str | None] = set()
        self.receipts: list[str] = []
        self.resets = 0
        self.documents: dict[str, Document] = {}
        self._notice = notice
        channel.on("*", lambda event: self.connections.add(event.sender.connection_id))
        channel.on("*", lambda event: self._see(self.events, event.data))
        channel.on_receipt(lambda receipt: self._see(self.receipts, receipt.status))
        channel.on_reset(lambda _position: self._reset())
        channel.presence.on_change(lambda _presence: notice())

    def document(self, key: str) -> Document:
        """Return the document of that key."""
        if key not in self.documents:
            self.documents[key] = self.channel.document(key)
            self.documents[key].on_change(lambda _value, _document: self._notice())
        return self.documents[key]

    def _see(self, seen: list[Any], value: Any) -> None:
        seen.append(value)
        self._notice()

    def _reset(self) -> None:
        self.resets += 1
        self._notice()


class PythonDriver:
    """One client, by way of a network of its own. Close it."""

    def __init__(self, network: Network, user_id: str, token: Arguments, outbox: Path, **options: Any) -> None:
        self._network, self._asked = network, {"user_id": user_id, **token}
        self._complaints: list[str] = []
        self._news = asyncio.Event()
        self._channels: dict[str, _Seen] = {}
        self._token: str | None = None
        self._tokens = 0
        self._end: str | None = None
        self.client = Tidewire(
            network.url,
            self._get_token,
            websocket_url=network.websocket_url,
            outbox=outbox,
            on_error=lambda error: self._complaints.append(repr(error)),
            **options,
        )
        self.client.on_state(self._told)
        self.client.connect()

    async def start(self, action: str, arguments: Arguments) -> Awaitable[Any]:
        """See :class:`tests.clients.scenario.Driver`."""
        if action in ("cut", "away", "back"):
            getattr(self._network, action)()
            if action == "back":
                self.client.wake()
            return asyncio.sleep(0)
        outcome = getattr(self, f"_{action}")(**arguments)
        # What is asked for first is sent first, whoever waits for it.
        return self._outcome(asyncio.ensure_future(outcome if outcome is not None else asyncio.sleep(0)))

    async def see(self, what: str, arguments: Arguments) -> Any:
        """See :class:`tests.clients.scenario.Driver`."""
        self._news.clear()
        return getattr(self, f"_see_{what}")(**arguments)

    async def news(self) -> None:
        """See :class:`tests.clients.scenario.Driver`."""
        await self._news.wait()

    async def complaints(self) -> list[str]:
        """See :class:`tests.clients.scenario.Driver`."""
        return self._complaints

    async def _outcome(self, outcome: Awaitable[Any]) -> Any:
        try:
            return await outcome
        except TidewireError as error:
            raise RefusedError(error.kind) from error

    async def _get_token(self, fresh: bool) -> str:
        if self._token is None or fresh:
            async with httpx.AsyncClient(timeout=_TOKEN_TIMEOUT_S) as http:
                answer = await http.post(f"{self._network.url}/v1/dev/token", json=self._asked)
            token: str = answer.raise_for_status().json()["token"]
            self._token = token
            self._tokens += 1
            self._news.set()
        return self._token

    def _told(self, _state: str, error: TidewireError | None) -> None:
        self._end = None if error is None else error.kind
        self._news.set()

    async def _revoke(self, user: str) -> None:
        async with httpx.AsyncClient(timeout=_TOKEN_TIMEOUT_S) as http:
            headers = {"Authorization": f"Bearer {await self._get_token(False)}"}
            answer = await http.delete(f"{self._network.url}/v1/users/{user}/connections", headers=headers)
        answer.raise_for_status()

    def _of(self, name: str) -> _Seen:
        if name not in self._channels:
            self._channels[name] = _Seen(self.client.channel(name), self._news.set)
        return self._channels[name]

    def _close(self) -> Awaitable[Any]:
        return self.client.close()

    def _connect(self) -> None:
        self.client.connect()

    async def _subscribe(self, channel: str, **options: Any) -> list[Any]:
        return [event.data for event in await self._of(channel).channel.subscribe(**options)]

    def _unsubscribe(self, channel: str) -> Awaitable[Any]:
        return self._of(channel).channel.unsubscribe()

    def _publish(
        self, channel: str, data: Any = None, name: str = "said", times: int = 0, **options: Any
    ) -> Awaitable[Any]:
        publish = self._of(channel).channel.publish
        return asyncio.gather(*[publish(name, each, **options) for each in range(1, times + 1) or [data]])

    def _send(self, to: str, data: Any, **options: Any) -> Awaitable[Any]:
        self._of(f"user:{to}")  # where its receipts come
        return self.client.send({"user_id": to}, "said", data, **options)

    async def _history(self, channel: str, **options: Any) -> list[Any]:
        return [event.data for event in (await self._of(channel).channel.history(**options)).publications]

    def _command(self, name: str, data: Any = None, to: str | None = None) -> Awaitable[Any]:
        return self.client.command(name, data, to={"user_id": to} if to else None)

    def _answer(self, name: str, data: Any = None, error: str | None = None) -> None:
        def handle(_data: Any, _context: Any) -> Any:
            if error:
                raise CommandError(error)
            return data

        self.client.on_command(name, handle)

    def _set(self, channel: str, key: str, value: Any, offline: bool = False) -> Awaitable[Any]:
        return self._written(self._of(channel).document(key).set(value, offline=offline))

    def _patch(self, channel: str, key: str, patch: Any, offline: bool = False) -> Awaitable[Any]:
        return self._written(self._of(channel).document(key).patch(patch, offline=offline))

    def _delete(self, channel: str, key: str, offline: bool = False) -> Awaitable[Any]:
        return self._written(self._of(channel).document(key).delete(offline=offline))

    async def _written(self, result: Awaitable[Any]) -> Any:
        try:
            return (await result).value
        finally:
            self._news.set()  # one write less waits

    def _read(self, channel: str, key: str) -> Awaitable[Any]:
        return self._of(channel).document(key).ready()

    def _settle(self, channel: str, key: str, value: Any) -> None:
        self._of(channel).document(key).on_conflict(lambda _conflict: value)

    def _join(self, channel: str) -> Awaitable[Any]:
        return self._of(channel).channel.presence.join()

    def _leave(self, channel: str) -> Awaitable[Any]:
        return self._of(channel).channel.presence.leave()

    def _update(self, channel: str, **said: Any) -> Awaitable[Any]:
        return self._of(channel).channel.presence.update(**said)

    def _type(self, channel: str, active: bool = True) -> None:
        self._of(channel).channel.presence.type(active)

    def _mark_read(self, channel: str, offset: int) -> None:
        self._of(channel).channel.presence.mark_read(offset)

    def _see_events(self, channel: str) -> list[Any]:
        return list(self._of(channel).events)

    def _see_receipts(self, channel: str) -> list[str]:
        return list(self._of(channel).receipts)

    def _see_resets(self, channel: str) -> int:
        return self._of(channel).resets

    def _see_document(self, channel: str, key: str) -> Any:
        return self._of(channel).document(key).value

    def _see_pending(self, channel: str, key: str) -> int:
        return self._of(channel).document(key).pending

    def _see_members(self, channel: str) -> list[Any]:
        members = self._of(channel).channel.presence.members
        return [{name: getattr(member, name) for name in member.__slots__} for member in members]

    def _see_typing(self, channel: str) -> list[str]:
        return list(self._of(channel).channel.presence.typing)

    def _see_state(self) -> str:
        return self.client.state

    def _see_end(self) -> str | None:
        return self._end

    def _see_tokens(self) -> int:
        return self._tokens

    def _see_connections(self, channel: str) -> int:
        return len(self._of(channel).connections)
