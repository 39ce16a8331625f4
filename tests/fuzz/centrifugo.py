"""Who sends commands of Centrifugo's that nobody should: each gets its reply, or the connection its disconnect."""

import asyncio
import json
from typing import Any, Final

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from shared.errors import TidewireError
from shared.protocol.centrifugo import codes
from shared.protocol.centrifugo.commands import parse, speaks_centrifugo
from shared.protocol.limits import WEBSOCKET_FRAME_MAX_BYTES
from tests.fuzz.cases import Case
from tests.fuzz.clients import ANSWER_WITHIN_S, GATEWAY_MAX_BYTES, Client

_PAUSE_S: Final = 1
_OUR_FAULTS: Final = {codes.INTERNAL.code, codes.SERVER_ERROR.code}


class CentrifugoClient(Client):
    """By WebSocket, one message after the other; where it is disconnected, it comes again."""

    _socket: ClientConnection | None = None

    async def send(self, one: Case) -> None:
        """See :class:`Client`."""
        try:
            if self._socket is None and not await self._open(one.index):
                return
            assert isinstance(one.body, str)
            body = self.put_in(one.body)
            self.ledger.frames += 1 + body.count("\n")
            async with asyncio.timeout(ANSWER_WITHIN_S):
                await self._hear(one.index, body)
        except TimeoutError:
            self.ledger.find("no reply", one.index, "of Centrifugo's")
            await self.finish()

    async def finish(self) -> None:
        """See :class:`Client`."""
        if self._socket is not None:
            await self._socket.close()
        self._socket = None

    async def _open(self, index: int) -> bool:
        """Connect; return whether that was answered."""
        url = f"{self.scene.url.replace('http', 'ws', 1)}/v1/ws"
        self._socket = await connect(url, proxy=None, open_timeout=ANSWER_WITHIN_S, ping_interval=None, max_size=None)
        await self._socket.send(json.dumps({"id": 1, "connect": {"token": self.facts["token"]}}))
        said: list[dict[str, Any]] = []
        try:
            async with asyncio.timeout(ANSWER_WITHIN_S):
                while not any(line.get("id") == 1 for line in said):
                    said += await self._lines()
        except ConnectionClosed:
            self.ledger.find("a connection was refused", index, f"{self.person.name}: {said}")
            self._socket = None
        return self._socket is not None

    async def _hear(self, index: int, body: str) -> None:
        """Read until there is nothing more to come of it."""
        assert self._socket is not None
        due = owed(body)
        said: list[dict[str, Any]] = []
        try:
            await self._socket.send(body)
            while due is None or not due <= {line.get("id", -1) for line in said}:
                lines = await self._lines()
                said += lines
                self.judge(index, lines)
                if any(line.get("error", {}).get("code") == codes.TOO_MANY_REQUESTS.code for line in lines):
                    await asyncio.sleep(_PAUSE_S)
        except ConnectionClosed:
            self._socket = None
            self._judge_end(index, body, said)

    async def _lines(self) -> list[dict[str, Any]]:
        assert self._socket is not None
        values = [json.loads(line) for line in str(await self._socket.recv()).splitlines()]
        return [line for value in values for line in (value if isinstance(value, list) else [value])]

    def judge(self, index: int, lines: list[dict[str, Any]]) -> None:
        """Note what came, and find what is a fault of ours."""
        for line in lines:
            if "connectionId" in line:  # the gateway's own words
                self.ledger.find("the integration failed", index, line)
            error = line.get("error") or line.get("push", {}).get("disconnect")
            self.ledger.outcomes[f"theirs {error['code']}" if error else "theirs ok"] += 1
            if error and error["code"] in _OUR_FAULTS:
                self.ledger.find("a failure", index, line)

    def _judge_end(self, index: int, body: str, said: list[dict[str, Any]]) -> None:
        """It is told why, but for what the gateway itself does not take."""
        told = said[-1] if said else {}
        if "disconnect" in told.get("push", {}) or told.get("event") == "disconnect":
            self.ledger.losses["Centrifugo's, and was told why"] += 1
        elif len(body.encode()) > GATEWAY_MAX_BYTES:
            self.ledger.losses["too long a frame"] += 1
        else:
            self.ledger.find("a connection was lost", index, f"{self.person.name}: {told}")


def owed(body: str) -> set[int] | None:
    """Return the ids that are to be replied to; ``None`` if the connection is to end."""
    if speaks_centrifugo(body) is False:
        return None
    try:
        commands = parse(body, max_bytes=WEBSOCKET_FRAME_MAX_BYTES)
    except TidewireError:
        return None
    ids = {command.id for command in commands if command.request and command.request[0] != "send"}
    return None if 0 in ids or any(command.id and not command.request for command in commands) else ids
