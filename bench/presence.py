"""500 members that join a channel and leave it: how much each of them is told."""

import asyncio
import json
import secrets
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from bench.results import Bar, NotMeasuredError, Report, Row
from localstack.stack import LocalStack
from tests.integration.client import dev_token

MEMBERS: Final = 500
AT_A_TIME: Final = 6  # cold functions have to answer within 10 s, else the connection is closed
QUIET_S: Final = 14  # longer than what is told least often waits
BAR_MESSAGES: Final = 10
_TRIES: Final = 5


@dataclass(slots=True)
class _Member:
    """One connection, and what it was told of presence.

    Attributes:
        messages: WebSocket messages; ``frames``: what was in them.
    """

    socket: ClientConnection
    messages: int = 0
    frames: int = 0
    replies: asyncio.Queue[Any] = field(default_factory=asyncio.Queue)

    async def read(self) -> None:
        try:
            async for message in self.socket:
                value = json.loads(message)
                frames = value if isinstance(value, list) else [value]
                told = sum(frame.get("type") == "presence" for frame in frames)
                self.frames += told
                self.messages += told > 0
                for frame in frames:
                    # What has no type is the gateway's own error: the function did not answer in time.
                    if frame.get("type", "reply") == "reply":
                        self.replies.put_nowait(frame)
        except ConnectionClosed as closed:
            self.replies.put_nowait({"error": str(closed)})

    async def ask(self, **frame: Any) -> Any:
        for _ in range(_TRIES):
            await self.socket.send(json.dumps({"id": 1, **frame}))
            async with asyncio.timeout(60):
                reply = await self.replies.get()
            if "result" in reply:
                return reply["result"]
        raise NotMeasuredError(f"{frame['type']}: {reply}")


def run(stack: LocalStack) -> Report:
    """Let them come and go."""
    came, went = asyncio.run(_churn(stack.url))
    rows = [_row("joining", came), _row("and leaving", went)]
    mean = rows[-1].values["messages each"]
    bars = [Bar(f"frames that a member is sent for {MEMBERS} that join and leave:", mean, BAR_MESSAGES)]
    setting = (
        f"{MEMBERS} members, {AT_A_TIME} at a time; a message is one WebSocket frame, with up to 100 of the protocol's"
    )
    return Report("presence", "Members that come and go", setting, rows, bars)


def _row(name: str, told: list[tuple[int, int]]) -> Row:
    messages, frames = ([one[part] for one in told] for part in (0, 1))
    values = {
        "messages each": sum(messages) / len(told),
        "messages at most": max(messages),
        "events each": sum(frames) / len(told),
    }
    return Row(name, values)


async def _churn(url: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    channel, turns = f"room:bench-presence-{secrets.token_hex(4)}", asyncio.Semaphore(AT_A_TIME)
    address = f"{url.replace('http', 'ws', 1)}/v1/ws"
    tokens = [await asyncio.to_thread(dev_token, url, f"member-{number}") for number in range(MEMBERS)]
    readers = []

    async def come(token: str) -> _Member:
        async with turns:
            member = _Member(await connect(address, proxy=None, compression=None, ping_interval=None, max_size=None))
            readers.append(asyncio.create_task(member.read()))
            subscribe = [{"channel": channel, "presence": True}]
            await member.ask(type="hello", protocol=1, token=token, subscribe=subscribe)
        return member

    async def go(member: _Member) -> None:
        async with turns:
            await member.ask(type="unsubscribe", channel=channel)

    first = await come(tokens[0])  # it waits for the functions to start
    members = [first, *await asyncio.gather(*map(come, tokens[1:]))]
    await _settled(url, channel, tokens[0], MEMBERS)
    came = [(member.messages, member.frames) for member in members]
    await asyncio.gather(*map(go, members))
    await _settled(url, channel, tokens[0], 0)
    went = [(member.messages, member.frames) for member in members]
    await asyncio.gather(*(member.socket.close() for member in members), *readers)
    return came, went


async def _settled(url: str, channel: str, token: str, count: int) -> None:
    """Wait until all is told that there is to be told."""
    await asyncio.sleep(QUIET_S)
    async with httpx.AsyncClient(base_url=url, timeout=30) as http:
        path = f"/v1/channels/{channel.replace(':', '%3A')}/presence"
        answer = (await http.get(path, headers={"Authorization": f"Bearer {token}"})).raise_for_status().json()
    if answer["count"] != count:
        raise NotMeasuredError(f"{answer['count']} members are there, not {count}")
