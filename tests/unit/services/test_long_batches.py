"""A batch that takes its time: what happens to its connection meanwhile holds for the rest of it."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from shared.domain.principal import Principal
from shared.domain.processing import Context, Draft
from shared.services.sessions import HelloRequest
from tests.unit.known_tokens import NOW_S, KnownTokens
from tests.unit.services.test_token_life import come
from tests.unit.stack import MemoryStack

ROOM = "room:a"
ADMIN = Principal("root", {"*": ["admin"]})
PUBLISH: Mapping[str, Any] = {"type": "publish", "channel": ROOM, "name": "said", "data": {}}
HISTORY: Mapping[str, Any] = {"type": "history", "channel": ROOM}
SUBSCRIBE: Mapping[str, Any] = {"type": "subscribe", "channel": "room:b"}


@pytest.fixture
def tokens() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def stack(tokens: KnownTokens) -> MemoryStack:
    return MemoryStack(tokens=tokens)


class Slow:
    """A processor that takes this long for each, and has something happen at the first."""

    def __init__(self, stack: MemoryStack, *, each_s: float, first: Any) -> None:
        self.stack, self.each_s, self.first, self.seen = stack, each_s, first, 0
        stack.processors.append(self)

    def __call__(self, draft: Draft, _context: Context) -> Draft:
        self.stack.clock.pass_s(self.each_s)
        self.seen += 1
        if self.seen == 1:
            self.first()
        return draft


def batch(stack: MemoryStack, *frames: Mapping[str, Any], connection_id: str = "c") -> list[Any]:
    """Return what each was answered: ``ok`` or its error's name; and what it was told, by its code."""
    body = json.dumps([{"id": place, **frame} for place, frame in enumerate(frames)])
    replies = stack.dispatcher.handle(connection_id, body, max_bytes=32_000, received_at_ms=stack.clock())
    return [
        one["code"] if one["type"] == "system" else one["error"]["name"] if "error" in one else "ok" for one in replies
    ]


@pytest.mark.parametrize("priority", ["normal", "express"])
def test_who_is_revoked_publishes_and_reads_nothing_more(
    stack: MemoryStack, tokens: KnownTokens, priority: str
) -> None:
    come(stack, tokens.make())
    Slow(stack, each_s=0.4, first=lambda: stack.revocation.revoke_user(ADMIN, "ann"))
    slow, other = {**PUBLISH} | {"priority": priority}, {**PUBLISH} | {"priority": priority, "channel": "room:c"}
    answers = batch(stack, *[slow, HISTORY, SUBSCRIBE] * 2, slow, other, HISTORY, SUBSCRIBE, {"type": "ping"})
    assert answers == ["ok"] * 6 + ["unavailable"] * 5 + [3004]
    _, page = stack.history.latest(ROOM, 10, max_bytes=10_000)
    assert len(stack.lanes.sent) + len(page.publications) == 2


def test_what_was_admitted_before_a_slow_one_does_not_go_with_it(stack: MemoryStack, tokens: KnownTokens) -> None:
    """They wait for each other, to go together: by then their sender may have gone."""
    come(stack, tokens.make())
    Slow(stack, each_s=1.5, first=lambda: stack.revocation.revoke_user(ADMIN, "ann"))
    assert batch(stack, PUBLISH) == ["unavailable", 3004]
    assert stack.lanes.sent == []


@pytest.mark.parametrize("to", [{"user_id": "bob"}, {"connection_id": "b"}])
def test_nor_does_what_is_for_a_peer(stack: MemoryStack, tokens: KnownTokens, to: dict[str, str]) -> None:
    come(stack, tokens.make())
    come(stack, tokens.make("bob"), connection_id="b")
    Slow(stack, each_s=1.5, first=lambda: stack.revocation.revoke_user(ADMIN, "ann"))
    assert batch(stack, {"type": "send", "to": to, "name": "hi", "data": 1}) == ["unavailable", 3004]
    stack.drain()
    assert [one for one in stack.events("b") if one["type"] == "event"] == []


def test_a_session_by_http_reads_nothing_more_either(stack: MemoryStack, tokens: KnownTokens) -> None:
    session = stack.http_sessions.open(tokens.verify(tokens.make()), HelloRequest())
    Slow(stack, each_s=1.5, first=lambda: stack.revocation.revoke_user(ADMIN, "ann"))
    mailbox = stack.http_sessions.connection(session["session_id"], "ann").connection_id
    assert batch(stack, PUBLISH, HISTORY, connection_id=mailbox) == ["unavailable", "unavailable", 3004]


def test_a_token_that_is_refreshed_meanwhile_holds_for_the_rest(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 2))
    less = tokens.make(caps={ROOM: ["publish"]}, issued_at_s=NOW_S + 1)
    Slow(stack, each_s=1.5, first=lambda: stack.ask("c", {"type": "refresh", "token": less}))
    assert batch(stack, PUBLISH, PUBLISH, SUBSCRIBE) == ["ok", "ok", "forbidden"]


def test_a_hello_in_the_batch_stays_said(stack: MemoryStack, tokens: KnownTokens) -> None:
    stack.connect("c")
    Slow(stack, each_s=1.5, first=lambda: None)
    hello = {"type": "hello", "protocol": 1, "token": tokens.make()}
    assert batch(stack, hello, PUBLISH, PUBLISH, hello, SUBSCRIBE) == ["ok"] * 5
    assert len(stack.connections.sessions) == 1


def test_a_short_batch_reads_its_connection_once(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make())
    Slow(stack, each_s=0.1, first=lambda: stack.connections.close("c"))
    assert batch(stack, *[PUBLISH, HISTORY] * 5) == ["ok"] * 10, "nobody has looked again"
