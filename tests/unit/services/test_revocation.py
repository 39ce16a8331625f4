"""Thrown out: every connection and session of a user, whatever is under way; and tokens that were issued before."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.domain.mailbox import MAILBOX_MAX_MESSAGES, READ_MAX_MESSAGES
from shared.domain.principal import LEEWAY_S, Principal
from shared.errors import (
    ForbiddenError,
    NotFoundError,
    SessionUnknownError,
    UnauthenticatedError,
    UnavailableError,
)
from shared.ports import Broadcast
from shared.services.sessions import HelloRequest
from shared.services.subscribe import SubscribeRequest
from tests.unit.known_tokens import NOW_S, KnownTokens
from tests.unit.services.test_http_sessions import begin, read
from tests.unit.services.test_token_life import come
from tests.unit.stack import MemoryStack

ROOM = "room:a"
ADMIN = Principal("root", {"*": ["admin"]})
REVOKED = {"type": "system", "event": "disconnect", "code": 3501, "name": "revoked", "reconnect": False}


@pytest.fixture
def tokens() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def stack(tokens: KnownTokens) -> MemoryStack:
    return MemoryStack(tokens=tokens)


def revoke(stack: MemoryStack, user_id: str = "ann") -> None:
    stack.revocation.revoke_user(ADMIN, user_id)


def session_of(stack: MemoryStack, connection_id: str) -> str:
    connection = stack.connections.connections[connection_id]
    assert connection.session_id is not None
    return connection.session_id


def nothing_is_left(stack: MemoryStack, user_id: str = "ann") -> bool:
    """Tell whether no connection of a user's is there that would be pushed anything or may ask, nor a session."""
    known = [c.principal for c in stack.connections.connections.values() if c.principal]
    theirs = [one for one in known if one.user_id == user_id and not one.expired(NOW_S)]
    sessions = [one for one in stack.connections.sessions if stack.connections.session(one)]
    subscribed = [one for subscribers in stack.connections.channels.values() for one in subscribers]
    return not theirs and not sessions and not subscribed


def test_all_connections_of_a_user_are_told_and_closed(stack: MemoryStack, tokens: KnownTokens) -> None:
    for connection_id in ("phone", "laptop"):
        come(stack, tokens.make(), ROOM, connection_id=connection_id, presence=True)
    come(stack, tokens.make("bob"), ROOM, connection_id="bob", presence=True)
    revoke(stack)
    for connection_id in ("phone", "laptop"):
        assert stack.events(connection_id)[-1] == REVOKED
        assert stack.connections.get(connection_id) is None
    assert sorted(stack.transport.closed) == ["laptop", "phone"]
    assert stack.connections.get("bob") is not None
    assert stack.metrics.values["ConnectionsRevoked"] == [1, 1]
    stack.clock.pass_s(20)
    assert list(stack.presence_store.attendees(ROOM).members) == ["bob"]


def test_tokens_until_now_are_refused_wherever_one_may_show_them(stack: MemoryStack, tokens: KnownTokens) -> None:
    old, without_time = tokens.make(), tokens.make(issued_at_s=0)
    come(stack, tokens.make("bob"), connection_id="bob")
    ticket = stack.sessions.issue_ticket(tokens.verify(old))
    revoke(stack)
    stack.connect("c")
    # Also one of the very second, and of an issuer whose clock is as far ahead as it may be.
    for token in (old, without_time, tokens.make(issued_at_s=NOW_S), tokens.make(issued_at_s=NOW_S + LEEWAY_S)):
        reply = stack.ask("c", {"type": "hello", "protocol": 1, "token": token})
        assert reply["error"]["name"] == "unauthenticated"
        with pytest.raises(UnauthenticatedError):
            stack.authentication.of_token(token)
    assert stack.sessions.redeem_ticket(ticket) is None
    with pytest.raises(UnauthenticatedError):
        stack.http_sessions.open(tokens.verify(old), HelloRequest())
    assert stack.connections.subscribers("user:ann").connection_ids == []


def test_a_token_that_is_issued_later_is_good(stack: MemoryStack, tokens: KnownTokens) -> None:
    revoke(stack)
    stack.clock.pass_s(LEEWAY_S + 1)
    come(stack, tokens.make(issued_at_s=NOW_S + LEEWAY_S + 1), ROOM)
    stack.fan_out.deliver(Broadcast(ROOM, [{"type": "event", "name": "n"}]))
    assert stack.events("c") == [{"type": "event", "name": "n"}]


def test_a_refresh_with_an_old_token_is_refused(stack: MemoryStack, tokens: KnownTokens) -> None:
    stack.revocations.revoke("ann", at_ms=NOW_S * 1000)
    come(stack, tokens.make(issued_at_s=NOW_S + LEEWAY_S + 1))
    reply = stack.ask("c", {"type": "refresh", "token": tokens.make()})
    assert reply["error"]["name"] == "unauthenticated"
    assert stack.connections.get("c") is not None


def test_a_session_by_http_is_told_and_its_token_is_good_for_nothing(stack: MemoryStack, tokens: KnownTokens) -> None:
    request = HelloRequest(subscribe=[SubscribeRequest(ROOM)])
    session = stack.http_sessions.open(tokens.verify(tokens.make()), request)
    reading = begin(stack, session)
    revoke(stack)
    assert not stack.mailbox_reader.stay(reading)
    assert reading.over
    assert read(stack, reading) == [REVOKED]
    assert stack.http_sessions.user_of(session["session_token"], session["session_id"]) == "ann"
    for use in (
        lambda: begin(stack, session),
        lambda: stack.http_sessions.connection(session["session_id"], "ann"),
        lambda: stack.session_end.end(session["session_id"], "ann"),
    ):
        with pytest.raises(SessionUnknownError):
            use()
    assert nothing_is_left(stack)


@pytest.mark.parametrize("waiting", [30, MAILBOX_MAX_MESSAGES, MAILBOX_MAX_MESSAGES + 50])
def test_a_reader_is_told_last_however_far_behind_it_is(stack: MemoryStack, tokens: KnownTokens, waiting: int) -> None:
    session = stack.http_sessions.open(tokens.verify(tokens.make()), HelloRequest())
    reading = begin(stack, session)
    for _ in range(waiting):
        stack.mailboxes.push(reading.mailbox_id, b'{"type":"event"}')
    revoke(stack)
    assert not stack.mailbox_reader.stay(reading)
    *others, last = map(json.loads, (one.text for one in stack.mailbox_reader.last_words(reading)))
    assert others == [{"type": "event"}] * READ_MAX_MESSAGES
    assert last == REVOKED
    assert stack.mailbox_reader.last_words(reading) == [], "once"


def test_a_reader_is_told_that_skips_a_full_mailbox_in_that_moment(stack: MemoryStack, tokens: KnownTokens) -> None:
    session = stack.http_sessions.open(tokens.verify(tokens.make()), HelloRequest())
    reading = begin(stack, session)
    for _ in range(MAILBOX_MAX_MESSAGES + 1):
        stack.mailboxes.push(reading.mailbox_id, b'{"type":"event"}')
    first(stack.mailboxes.store, "remove", lambda: read(stack, reading))
    revoke(stack)
    assert not stack.mailbox_reader.stay(reading)
    assert [json.loads(one.text) for one in stack.mailbox_reader.last_words(reading)] == [REVOKED]


def test_a_reader_is_told_behind_what_was_never_put(stack: MemoryStack, tokens: KnownTokens) -> None:
    session = stack.http_sessions.open(tokens.verify(tokens.make()), HelloRequest())
    reading = begin(stack, session)
    stack.mailbox_store.number(reading.mailbox_id, now_s=NOW_S)
    revoke(stack)
    assert not stack.mailbox_reader.stay(reading)
    assert [json.loads(one.text) for one in stack.mailbox_reader.last_words(reading)] == [REVOKED]


def test_a_session_without_a_connection_is_not_taken_up_by_its_session_token(
    stack: MemoryStack, tokens: KnownTokens
) -> None:
    """Its WebSocket has gone a moment ago: in no channel is there anything of it."""
    come(stack, tokens.make(), ROOM)
    session_id = session_of(stack, "c")
    stack.sessions.disconnect("c")
    revoke(stack)
    for _ in range(2):
        with pytest.raises(SessionUnknownError):
            stack.http_sessions.with_mailbox(session_id, "ann")
    assert nothing_is_left(stack)


@pytest.mark.parametrize("by_http", [False, True])
def test_a_session_without_a_connection_is_not_taken_up_with_a_new_token(
    stack: MemoryStack, tokens: KnownTokens, by_http: bool
) -> None:
    come(stack, tokens.make(), ROOM)
    session_id = session_of(stack, "c")
    stack.sessions.disconnect("c")
    revoke(stack)
    stack.clock.pass_s(20)
    renewed = tokens.make(issued_at_s=NOW_S + 20)
    if by_http:
        with pytest.raises(SessionUnknownError):
            stack.http_sessions.open(tokens.verify(renewed), HelloRequest(session_id=session_id))
        assert stack.mailbox_store.mailboxes == {}
    else:
        stack.connect("again")
        hello = {"type": "hello", "protocol": 1, "token": renewed}
        assert stack.ask("again", hello | {"session_id": session_id})["error"]["name"] == "session_unknown"
        assert "result" in stack.ask("again", hello), "it begins a new one"


def first(store: Any, name: str, does: Callable[[], object], *, after: bool = False) -> None:
    """Have something happen once, right before a store's method works, or right after."""
    works = getattr(store, name)

    def stands_in(*args: Any, **fields: Any) -> Any:
        setattr(store, name, works)
        if not after:
            does()
        result = works(*args, **fields)
        if after:
            does()
        return result

    setattr(store, name, stands_in)


STEPS = [
    ("authenticate", False),
    ("authenticate", True),
    ("subscribe", True),
    ("put_session", False),
    ("put_session", True),
]


@pytest.mark.parametrize(("step", "after"), STEPS)
def test_whoever_says_hello_meanwhile_is_out_too(
    stack: MemoryStack, tokens: KnownTokens, step: str, after: bool
) -> None:
    stack.connect("c")
    first(stack.connections, step, lambda: revoke(stack), after=after)
    reply = stack.ask("c", {"type": "hello", "protocol": 1, "token": tokens.make(), "subscribe": [{"channel": ROOM}]})
    assert reply["error"]["name"] in ("unauthenticated", "session_unknown")
    assert nothing_is_left(stack)
    for connection_id, _ in stack.deadlines_queue.sent:
        stack.deadlines.check(connection_id)
    assert "c" in stack.transport.closed, "nobody stays connected"
    assert json.loads(stack.transport.received["c"][-1]) == REVOKED


@pytest.mark.parametrize(("step", "after"), [*STEPS[1:3], ("move_session", False), ("move_session", True)])
def test_whoever_takes_a_session_up_meanwhile_is_out_too(
    stack: MemoryStack, tokens: KnownTokens, step: str, after: bool
) -> None:
    token = tokens.make()
    come(stack, token, ROOM, connection_id="before")
    session_id = session_of(stack, "before")
    stack.connect("c")
    first(stack.connections, step, lambda: revoke(stack), after=after)
    reply = stack.ask("c", {"type": "hello", "protocol": 1, "token": token, "session_id": session_id})
    assert reply["error"]["name"] in ("unauthenticated", "session_unknown", "contention")
    assert nothing_is_left(stack)


@pytest.mark.parametrize(("step", "after"), [("open", True), ("subscribe", True), ("put_session", True)])
def test_whoever_opens_a_session_by_http_meanwhile_is_out_too(
    stack: MemoryStack, tokens: KnownTokens, step: str, after: bool
) -> None:
    principal = tokens.verify(tokens.make())
    first(stack.connections, step, lambda: revoke(stack), after=after)
    with pytest.raises((UnauthenticatedError, SessionUnknownError)):
        stack.http_sessions.open(principal, HelloRequest(subscribe=[SubscribeRequest(ROOM)]))
    assert nothing_is_left(stack)


@pytest.mark.parametrize("step", ["open", "subscribe", "move_session"])
@pytest.mark.parametrize("after", [False, True])
def test_a_session_that_is_moved_by_a_reader_meanwhile_is_over(
    stack: MemoryStack, tokens: KnownTokens, step: str, after: bool
) -> None:
    come(stack, tokens.make(), ROOM)
    session_id = session_of(stack, "c")
    first(stack.connections, step, lambda: revoke(stack), after=after)
    with pytest.raises((UnauthenticatedError, SessionUnknownError)):
        stack.http_sessions.with_mailbox(session_id, "ann")
    assert nothing_is_left(stack)


@pytest.mark.parametrize("step", ["refresh", "refresh_session", "subscribe"])
@pytest.mark.parametrize("after", [False, True])
def test_whoever_refreshes_meanwhile_is_out_too(
    stack: MemoryStack, tokens: KnownTokens, step: str, after: bool
) -> None:
    come(stack, tokens.make(), ROOM)
    first(stack.connections, step, lambda: revoke(stack), after=after)
    reply = stack.ask("c", {"type": "refresh", "token": tokens.make(issued_at_s=NOW_S + 1)})
    assert reply["error"]["name"] in ("unauthenticated", "session_unknown")
    assert nothing_is_left(stack)


def test_one_that_does_without_hello_is_found_too(stack: MemoryStack, tokens: KnownTokens) -> None:
    """By its ticket it may ask whatever it likes: it has no session, and no channel but those that it asks for."""
    stack.sessions.connect("t", stack.sessions.issue_ticket(tokens.verify(tokens.make())))
    stack.transport.inboxes["t"] = []
    assert "result" in stack.ask("t", {"type": "subscribe", "channel": ROOM})
    revoke(stack)
    assert stack.events("t") == [REVOKED]
    assert nothing_is_left(stack)


def test_one_that_does_without_hello_is_refused_later(stack: MemoryStack, tokens: KnownTokens) -> None:
    stack.sessions.connect("t", stack.sessions.issue_ticket(tokens.verify(tokens.make())))
    stack.transport.inboxes["t"] = []
    revoke(stack)
    assert stack.ask("t", {"type": "subscribe", "channel": ROOM})["error"]["name"] == "unauthenticated"
    assert nothing_is_left(stack)


def test_a_connection_is_ended_and_its_user_may_come_back(stack: MemoryStack, tokens: KnownTokens) -> None:
    token = tokens.make()
    come(stack, token, ROOM)
    come(stack, tokens.make(), ROOM, connection_id="other")
    session_id = session_of(stack, "c")
    stack.revocation.revoke_connection(ADMIN, "c")
    assert stack.events("c") == [REVOKED]
    assert stack.connections.get("other") is not None
    stack.connect("again")
    hello = {"type": "hello", "protocol": 1, "token": token}
    assert stack.ask("again", hello | {"session_id": session_id})["error"]["name"] == "session_unknown"
    assert "result" in stack.ask("again", hello)


def test_one_that_has_lost_its_session_is_ended_without_it(stack: MemoryStack, tokens: KnownTokens) -> None:
    token = tokens.make()
    come(stack, token, ROOM, connection_id="old")
    stack.connect("new")
    session_id = session_of(stack, "old")
    stack.ask("new", {"type": "hello", "protocol": 1, "token": token, "session_id": session_id})
    stack.revocation.revoke_connection(ADMIN, "old")
    assert stack.connections.get("new") is not None
    assert stack.connections.session(session_id) is not None


def test_pending_ones_can_be_ended_and_unknown_ones_not(stack: MemoryStack) -> None:
    stack.connect("pending")
    stack.revocation.revoke_connection(ADMIN, "pending")
    assert stack.transport.closed == ["pending"]
    with pytest.raises(NotFoundError):
        stack.revocation.revoke_connection(ADMIN, "pending")


def test_one_that_can_not_be_ended_stops_no_other_and_is_told(stack: MemoryStack, tokens: KnownTokens) -> None:
    for connection_id in ("a", "b", "c"):
        come(stack, tokens.make(), ROOM, connection_id=connection_id)
    stack.transport.failures = {"b": UnavailableError("busy")}
    with pytest.raises(UnavailableError, match="try again"):
        revoke(stack)
    assert sorted(stack.transport.closed) == ["a", "c"]
    assert [type(error) for error in stack.failures] == [UnavailableError] * 2
    assert nothing_is_left(stack), "it is connected, and gets nothing: its record has gone"
    assert stack.authentication.revoked("ann", NOW_S)


def test_one_that_can_not_be_told_is_closed(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(), ROOM)
    pushing = stack.transport.push

    def busy(_connection_id: str, _message: bytes) -> None:
        raise UnavailableError("busy")

    stack.transport.push = busy  # type: ignore[method-assign, assignment]
    stack.revocation.revoke_connection(ADMIN, "c")
    stack.transport.push = pushing  # type: ignore[method-assign]
    assert stack.transport.closed == ["c"]
    assert [type(error) for error in stack.failures] == [UnavailableError]


def test_one_whose_record_has_gone_can_still_be_closed(stack: MemoryStack, tokens: KnownTokens) -> None:
    """Neither push nor close came through: nothing reaches it any more, but it is there."""
    come(stack, tokens.make(), ROOM)
    stack.transport.failures = {"c": UnavailableError("busy")}
    with pytest.raises(UnavailableError, match="try again"):
        stack.revocation.revoke_connection(ADMIN, "c")
    assert stack.connections.get("c") is None
    stack.transport.failures = {}
    stack.revocation.revoke_connection(ADMIN, "c")
    assert [json.loads(message) for message in stack.transport.received["c"]] == [REVOKED]
    with pytest.raises(NotFoundError):
        stack.revocation.revoke_connection(ADMIN, "c")


def test_one_that_went_without_a_word_is_ended_as_well(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(), ROOM)
    stack.transport.inboxes.clear()
    revoke(stack)
    assert nothing_is_left(stack)


def test_only_admins_may(stack: MemoryStack) -> None:
    nobody = Principal("eve", {"*": ["publish", "subscribe"]})
    with pytest.raises(ForbiddenError):
        stack.revocation.revoke_user(nobody, "ann")
    with pytest.raises(ForbiddenError):
        stack.revocation.revoke_connection(nobody, "c")
    assert not stack.authentication.revoked("ann", 0)


def test_a_channels_onlooker_is_refused_with_its_cursors(stack: MemoryStack, tokens: KnownTokens) -> None:
    onlooker = stack.channel_tail.admit(tokens.verify(tokens.make()), ROOM)
    come(stack, tokens.make("bob"), connection_id="bob")
    position = stack.channel_tail.begin(onlooker, None)
    stack.ask("bob", {"type": "publish", "channel": ROOM, "name": "said", "data": 1})
    stack.drain()
    _, (first_read,) = stack.channel_tail.read(onlooker, position)
    assert stack.channel_tail.known(first_read.cursor, ROOM) == onlooker
    stack.channel_tail.check(onlooker)
    revoke(stack)
    assert stack.channel_tail.known(first_read.cursor, ROOM) is None
    with pytest.raises(UnauthenticatedError):
        stack.channel_tail.check(onlooker)
