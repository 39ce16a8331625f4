"""A client of Centrifugo's on a stack in memory."""

import json
import time
from typing import Any

import jwt

from shared.domain.centrifugo import centrifugo_id
from tests.unit.stack import SECRET, MemoryStack

# What is theirs to publish, read and see once they are there.
CHANNELS = """
[namespaces.centrifugo]
subscribers_may = ["publish", "history", "presence"]
join_leave = true

[namespaces.exact]
force_positioning = true

[namespaces.short]
history_count = 2
subscribers_may = ["publish", "history"]
"""


def token(user_id: str, **claims: Any) -> str:
    return jwt.encode({"sub": user_id, **claims}, SECRET, algorithm="HS256")


def in_seconds(seconds: int) -> int:
    """Return the second that many from now by the clock that tokens are verified by."""
    return int(time.time()) + seconds


class Client:
    """Sends commands; what comes is told line by line.

    Attributes:
        name: What its connection goes by.
    """

    def __init__(self, stack: MemoryStack, websocket_id: str) -> None:
        self.stack, self.websocket_id, self.name = stack, websocket_id, centrifugo_id(websocket_id)
        stack.sessions.connect(websocket_id, None)
        self._inbox: list[bytes] = []
        self._early: list[dict[str, Any]] = []  # what came before the replies to the last message
        stack.transport.inboxes[websocket_id] = self._inbox
        stack.transport.active_ms[websocket_id] = stack.clock()
        self._read = self._id = 0

    def send(self, *commands: dict[str, Any]) -> list[dict[str, Any]]:
        """Send commands as one message; return the replies, whichever way they came, and what came behind them."""
        body = "\n".join(map(json.dumps, commands))
        replies = self.stack.centrifugo.handle(self.websocket_id, body, received_at_ms=self.stack.clock())
        if replies:
            return [dict(reply) for reply in replies]
        lines = self._lines()
        first = next((place for place, line in enumerate(lines) if "id" in line), len(lines))
        self._early += lines[:first]
        return lines[first:]

    def ask(self, name: str, **fields: Any) -> dict[str, Any]:
        """Send one command; return its result, or the reply with its error."""
        self._id += 1
        reply, *_ = self.send({"id": self._id, name: fields}) or [{}]
        assert reply.get("id", self._id) == self._id
        found: dict[str, Any] = reply.get(name, reply)
        return found

    def connect(self, user_id: str, **claims: Any) -> dict[str, Any]:
        result = self.ask("connect", token=token(user_id, **claims))
        assert result["client"] == self.name
        return result

    def subscribe(self, channel: str, user_id: str, **fields: Any) -> dict[str, Any]:
        """Subscribe with a token for that channel."""
        return self.ask("subscribe", channel=channel, token=token(user_id, channel=channel), **fields)

    def pushes(self) -> list[dict[str, Any]]:
        """Return what was pushed since the last call."""
        early, self._early = self._early, []
        return [line["push"] for line in early + self._lines()]

    def _lines(self) -> list[dict[str, Any]]:
        messages = self._inbox[self._read :]
        self._read += len(messages)
        return [json.loads(line) for message in messages for line in message.split(b"\n")]

    def publications(self) -> list[tuple[str, Any]]:
        return [(push["channel"], push["pub"]["data"]) for push in self.pushes() if "pub" in push]
