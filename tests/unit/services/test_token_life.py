"""A token on a live connection: refreshed, about to end, ended."""

from typing import Any

import pytest

from shared.domain.connection import CHECK_AFTER_S, DEADLINE_MAX_DELAY_S
from shared.errors import UnauthenticatedError, UnavailableError
from shared.ports import Broadcast
from shared.services.sessions import HelloRequest
from shared.services.subscribe import SubscribeRequest
from tests.unit.known_tokens import NOW_S, KnownTokens
from tests.unit.services.test_http_sessions import begin, read
from tests.unit.stack import MemoryStack

ROOM = "room:a"
EXPIRED = {"type": "system", "event": "disconnect", "code": 3500, "name": "token_expired", "reconnect": False}


@pytest.fixture
def tokens() -> KnownTokens:
    return KnownTokens()


@pytest.fixture
def stack(tokens: KnownTokens) -> MemoryStack:
    return MemoryStack(tokens=tokens)


def come(stack: MemoryStack, token: str, *channels: str, connection_id: str = "c", **fields: Any) -> None:
    stack.connect(connection_id)
    hello = {"type": "hello", "protocol": 1, "token": token}
    hello["subscribe"] = [{"channel": channel, **fields} for channel in channels]
    reply = stack.ask(connection_id, hello)
    assert "result" in reply, reply
    stack.deadlines_queue.sent.remove((connection_id, 10))  # whether it has said who it is


def refresh(stack: MemoryStack, token: str, connection_id: str = "c") -> Any:
    reply = stack.ask(connection_id, {"type": "refresh", "token": token})
    return reply["result"] if "result" in reply else reply["error"]["name"]


def warning(expires_at_s: int) -> dict[str, Any]:
    return {"type": "system", "event": "token_expiring", "expires_at_ms": expires_at_s * 1000}


def system(stack: MemoryStack, connection_id: str = "c") -> list[dict[str, Any]]:
    return [frame for frame in stack.events(connection_id) if frame["type"] == "system"]


def run_deadlines(stack: MemoryStack, seconds: int) -> None:
    """Let time pass, and each message come when it is due; those that they cause too."""
    queue, until_ms = stack.deadlines_queue, stack.clock.now_ms + seconds * 1000
    due: list[tuple[int, str, int]] = []

    def take() -> None:
        due.extend((stack.clock.now_ms + delay_s * 1000, one, 0) for one, delay_s in queue.sent)
        due.extend((stack.clock.now_ms + delay_s * 1000, one, ends_s) for one, ends_s, delay_s in queue.token_ends)
        queue.sent.clear()
        queue.token_ends.clear()
        due.sort()

    take()
    while due and due[0][0] <= until_ms:
        stack.clock.now_ms, connection_id, ends_s = due.pop(0)
        stack.deadlines.check(connection_id, ends_s or None)
        take()
    stack.clock.now_ms = until_ms
    for at_ms, connection_id, ends_s in due:
        left_s = (at_ms - until_ms) // 1000
        if ends_s:
            queue.token_ends.append((connection_id, ends_s, left_s))
        else:
            queue.sent.append((connection_id, left_s))


def receives(stack: MemoryStack, name: str, connection_id: str = "c", channel: str = ROOM) -> bool:
    stack.fan_out.deliver(Broadcast(channel, [{"type": "event", "name": name}]))
    return {"type": "event", "name": name} in stack.events(connection_id)


# refresh


def test_a_connection_goes_on_with_a_newer_token(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 100), ROOM, presence=True)
    newer = tokens.make(issued_at_s=NOW_S + 50, expires_at_s=NOW_S + 5000)
    assert refresh(stack, newer) == {"expires_at_ms": (NOW_S + 5000) * 1000}
    connection = stack.connections.get("c")
    assert connection is not None
    assert connection.principal == tokens.principals[newer]
    assert connection.session_id is not None
    session = stack.connections.session(connection.session_id)
    assert session is not None
    assert (session.connection_id, session.principal) == ("c", tokens.principals[newer])
    stack.clock.pass_s(101)
    assert receives(stack, "later")
    assert receives(stack, "for me", channel="user:ann")
    assert "ann" in stack.presence_store.attendees(ROOM).members


def test_the_same_token_again_writes_nothing(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 100), ROOM, presence=True)
    newer = tokens.make(issued_at_s=NOW_S + 50, expires_at_s=NOW_S + 5000)
    answer = refresh(stack, newer)
    connection = stack.connections.get("c")
    assert connection is not None
    assert connection.session_id is not None
    before = stack.connections.session(connection.session_id)
    stack.deadlines_queue.token_ends.clear()
    stack.looks.sent.clear()
    assert refresh(stack, newer) == answer
    assert stack.connections.session(connection.session_id) == before, "not even another version"
    assert (stack.deadlines_queue.token_ends, stack.looks.sent) == ([], [])


def test_a_refresh_that_failed_half_way_is_done_by_the_next(stack: MemoryStack, tokens: KnownTokens) -> None:
    """Its record has the token already."""
    come(stack, tokens.make(expires_at_s=NOW_S + 100), ROOM)
    newer = tokens.make(issued_at_s=NOW_S + 50, expires_at_s=NOW_S + 5000)
    subscribing = stack.connections.subscribe

    def busy(*_args: Any, **_fields: Any) -> None:
        stack.connections.subscribe = subscribing  # type: ignore[method-assign]
        raise UnavailableError("busy")

    stack.connections.subscribe = busy  # type: ignore[method-assign]
    assert refresh(stack, newer) == "unavailable"
    assert refresh(stack, newer) == {"expires_at_ms": (NOW_S + 5000) * 1000}
    stack.clock.pass_s(101)
    assert receives(stack, "later")


@pytest.mark.parametrize("frame", ["hello", "refresh"])
def test_who_says_who_they_are_again_and_again_is_slowed(stack: MemoryStack, tokens: KnownTokens, frame: str) -> None:
    come(stack, tokens.make())

    def again() -> str:
        reply = stack.ask("c", {"type": frame, "protocol": 1, "token": tokens.make()})
        return "done" if "result" in reply else reply["error"]["name"]

    answers = [again() for _ in range(30)]
    assert answers == ["done"] * 10 + ["rate_limited"] * 20  # with the one before: the burst, and one for nothing
    assert stack.ask("c", {"type": "sync", "positions": {}})["result"] == {"behind": {}}
    come(stack, tokens.make(), connection_id="another")
    stack.clock.pass_s(5)
    assert again() == "done"


def test_what_it_was_subscribed_to_ends_to_the_second_without(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 100), ROOM)
    stack.clock.pass_s(99)
    assert receives(stack, "in time")
    stack.clock.pass_s(1)
    for channel in (ROOM, "user:ann", "broadcast:all"):
        assert not receives(stack, "too late", channel=channel)
    assert stack.connections.subscriptions("c").keys() == {ROOM}, "whoever takes its session up finds its channels"


@pytest.mark.parametrize("passed_s", [50, 150])
def test_also_when_the_old_one_has_just_ended(stack: MemoryStack, tokens: KnownTokens, passed_s: int) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 100), ROOM)
    stack.clock.pass_s(passed_s)
    newer = tokens.make(issued_at_s=NOW_S + 50, expires_at_s=NOW_S + 5000)
    assert refresh(stack, newer) == {"expires_at_ms": (NOW_S + 5000) * 1000}
    assert receives(stack, "later")


def test_a_token_that_will_not_do_changes_nothing(stack: MemoryStack, tokens: KnownTokens) -> None:
    first = tokens.make(issued_at_s=NOW_S + 10, expires_at_s=NOW_S + 3600)
    come(stack, first, ROOM)
    before = stack.connections.get("c")
    stack.clock.pass_s(20)
    assert refresh(stack, tokens.make("eve", issued_at_s=NOW_S + 20)) == "forbidden"
    assert refresh(stack, tokens.make(issued_at_s=NOW_S + 9, expires_at_s=NOW_S + 9999)) == "forbidden"
    assert refresh(stack, tokens.make(issued_at_s=NOW_S + 19, expires_at_s=NOW_S + 20)) == "unauthenticated"
    assert refresh(stack, "forged") == "unauthenticated"
    assert stack.connections.get("c") == before
    stack.connect("pending")
    assert refresh(stack, first, "pending") == "unauthenticated"
    assert receives(stack, "later")


def test_of_two_at_the_same_time_the_newer_token_stays(stack: MemoryStack, tokens: KnownTokens) -> None:
    """Frames are handled concurrently: the one with the older token has read the record before the other wrote it."""
    come(stack, tokens.make(), ROOM)
    older, newer = tokens.make(issued_at_s=NOW_S + 1), tokens.make(issued_at_s=NOW_S + 2)
    before = stack.connections.get("c")
    assert before is not None
    refresh(stack, newer)
    with pytest.raises(Exception, match="newer token"):
        stack.sessions.refresh(before, older)
    connection = stack.connections.get("c")
    assert connection is not None
    assert connection.principal == tokens.principals[newer]


def test_nor_does_the_session_take_the_older_one(stack: MemoryStack, tokens: KnownTokens) -> None:
    """The older one has written the connection's record; before it writes the session's, the newer one does all."""
    come(stack, tokens.make(), ROOM)
    older, newer = tokens.make(issued_at_s=NOW_S + 1), tokens.make(issued_at_s=NOW_S + 2)
    before = stack.connections.get("c")
    assert before is not None
    assert before.session_id is not None
    refreshing = stack.connections.refresh_session

    def overtaken(*args: Any, **fields: Any) -> bool:
        stack.connections.refresh_session = refreshing  # type: ignore[method-assign]
        refresh(stack, newer)
        return refreshing(*args, **fields)

    stack.connections.refresh_session = overtaken  # type: ignore[method-assign]
    stack.sessions.refresh(before, older)
    connection, session = stack.connections.get("c"), stack.connections.session(before.session_id)
    assert connection is not None
    assert session is not None
    assert connection.principal == session.principal == tokens.principals[newer]
    assert stack.http_sessions.with_mailbox(before.session_id, "ann").principal == tokens.principals[newer]


def test_what_the_new_token_does_not_allow_is_left_and_told(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(), ROOM, "room:b", state=True, presence=True)
    less = tokens.make(caps={ROOM: ["subscribe", "state.read"]}, issued_at_s=NOW_S + 1)
    replies = stack.dispatcher.handle(
        "c", f'{{"type":"refresh","id":1,"token":"{less}"}}', max_bytes=32_000, received_at_ms=stack.clock()
    )
    told = {"type": "system", "event": "resubscribe", "reason": "capabilities"}
    assert replies[0]["result"] == {"expires_at_ms": (NOW_S + 3600) * 1000}
    assert replies[1:] == [{**told, "channel": ROOM}, {**told, "channel": "room:b"}]
    assert stack.connections.subscriptions("c") == {ROOM: {"state"}}
    assert receives(stack, "still here")
    assert not receives(stack, "not here", channel="room:b")
    assert list(stack.presence_store.attendees("room:b").members) == []
    more = tokens.make(issued_at_s=NOW_S + 2)
    refresh(stack, more)
    assert "result" in stack.ask("c", {"type": "subscribe", "channel": "room:b", "presence": True})


def test_a_session_that_moves_meanwhile_takes_the_new_token_along(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 100), ROOM)
    connection = stack.connections.get("c")
    assert connection is not None
    assert connection.session_id is not None
    refreshing = stack.connections.refresh

    def moves_first(*args: Any) -> Any:
        stack.connections.refresh = refreshing  # type: ignore[method-assign]
        stack.http_sessions.with_mailbox(connection.session_id or "", "ann")
        return refreshing(*args)

    stack.connections.refresh = moves_first  # type: ignore[method-assign, assignment]
    refresh(stack, tokens.make(issued_at_s=NOW_S + 1, expires_at_s=NOW_S + 5000))
    stack.clock.pass_s(101)
    mailbox = stack.http_sessions.with_mailbox(connection.session_id, "ann")
    assert mailbox.principal is not None
    assert mailbox.principal.expires_at_s == NOW_S + 5000
    assert mailbox.connection_id in stack.connections.subscribers(ROOM).connection_ids


# the end


def test_a_client_is_warned_a_minute_before_and_closed_at_the_end(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 600), ROOM)
    run_deadlines(stack, 539)
    assert system(stack) == []
    run_deadlines(stack, 1)
    assert system(stack) == [warning(NOW_S + 600)]
    run_deadlines(stack, 59)
    assert stack.transport.closed == []
    run_deadlines(stack, 1)
    assert system(stack) == [warning(NOW_S + 600), EXPIRED]
    assert stack.transport.closed == ["c"]
    assert stack.connections.get("c") is None
    assert stack.metrics.values["TokensExpired"] == [1]


def test_one_with_a_short_token_at_half_of_it(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 20))
    run_deadlines(stack, 9)
    assert system(stack) == []
    run_deadlines(stack, 1)
    assert system(stack) == [warning(NOW_S + 20)]
    run_deadlines(stack, 10)
    assert stack.transport.closed == ["c"]


@pytest.mark.parametrize("ahead_s", [0, 3, 4, 5])
@pytest.mark.parametrize("life_s", [4, 20, 100, 119, 120, 121])
def test_also_where_its_issuers_clock_is_ahead(
    stack: MemoryStack, tokens: KnownTokens, ahead_s: int, life_s: int
) -> None:
    ends_s = NOW_S + ahead_s + life_s
    come(stack, tokens.make(issued_at_s=NOW_S + ahead_s, expires_at_s=ends_s))
    while stack.connections.get("c"):
        assert len(stack.deadlines_queue.token_ends) == 1, "there is one message at a time"
        run_deadlines(stack, 1)
        assert (stack.clock() // 1000 < ends_s) == bool(stack.connections.get("c"))
    assert system(stack) == [warning(ends_s), EXPIRED]


def test_a_message_that_comes_early_comes_again_at_the_right_time(stack: MemoryStack, tokens: KnownTokens) -> None:
    """A function's clock may be behind that of the one that has sent it."""
    come(stack, tokens.make(expires_at_s=NOW_S + 600))
    stack.clock.pass_s(-1)
    run_deadlines(stack, 540)
    assert system(stack) == []
    assert stack.deadlines_queue.token_ends == [("c", NOW_S + 600, 1)]
    run_deadlines(stack, 1)
    assert system(stack) == [warning(NOW_S + 600)]


def test_messages_of_tokens_that_were_replaced_cause_no_others(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 600))
    for passed_s in range(100, 1000, 100):
        run_deadlines(stack, 100)
        refresh(stack, tokens.make(issued_at_s=NOW_S + passed_s, expires_at_s=NOW_S + passed_s + 600))
    run_deadlines(stack, 539)
    assert system(stack) == []
    assert stack.deadlines_queue.token_ends == [("c", NOW_S + 1500, 1)]


def test_whoever_refreshes_when_warned_is_warned_of_the_next_end_alone(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 600))
    run_deadlines(stack, 541)
    refresh(stack, tokens.make(issued_at_s=NOW_S + 541, expires_at_s=NOW_S + 1141))
    run_deadlines(stack, 500)
    assert system(stack) == [warning(NOW_S + 600)]
    run_deadlines(stack, 100)
    assert system(stack) == [warning(NOW_S + 600), warning(NOW_S + 1141), EXPIRED]


def test_messages_may_come_twice_early_or_late(stack: MemoryStack, tokens: KnownTokens) -> None:
    ends_s = NOW_S + 600
    come(stack, tokens.make(expires_at_s=ends_s))
    stack.deadlines_queue.token_ends.clear()
    stack.deadlines.check("c", ends_s)
    assert system(stack) == []
    assert stack.deadlines_queue.token_ends == [("c", ends_s, 540)], "it was early, and comes again"
    stack.deadlines_queue.token_ends.clear()
    stack.clock.pass_s(570)
    for _ in range(2):
        stack.deadlines.check("c", ends_s)
    assert system(stack) == [warning(ends_s)] * 2
    assert stack.deadlines_queue.token_ends == [("c", ends_s, 30)] * 2
    stack.clock.pass_s(45)
    for _ in range(2):
        stack.deadlines.check("c", ends_s)
    assert system(stack)[2:] == [EXPIRED]
    assert stack.metrics.values["Disconnects"] == [1]


def test_the_end_comes_also_where_the_warning_can_not_be_pushed(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 600))
    stack.deadlines_queue.token_ends.clear()
    stack.clock.pass_s(550)
    stack.transport.failures = {"c": UnavailableError("busy")}
    with pytest.raises(UnavailableError):
        stack.deadlines.check("c", NOW_S + 600)
    assert stack.deadlines_queue.token_ends == [("c", NOW_S + 600, 50)]
    stack.transport.failures = {}
    del stack.transport.inboxes["c"]
    stack.deadlines.check("c", NOW_S + 600)
    assert stack.connections.get("c") is None, "it went without a word"


@pytest.mark.parametrize("life_s", [2, 3, 30, 119, 121, 600, 959, 960, 961, 1000, 1400, 1500, 1700, 3600, 7000])
def test_whenever_it_ends_somebody_looks_in_time(stack: MemoryStack, tokens: KnownTokens, life_s: int) -> None:
    """What is further away than a message may be put off is left to the janitor, which looks at everybody."""
    stack.clock.pass_s(17)
    ends_s = NOW_S + 17 + life_s
    come(stack, tokens.make(expires_at_s=ends_s))
    warned_s = None
    while stack.connections.get("c"):
        assert all(0 <= delay_s <= DEADLINE_MAX_DELAY_S for *_, delay_s in stack.deadlines_queue.token_ends)
        run_deadlines(stack, 1)
        now_s = stack.clock() // 1000
        stack.transport.active_ms["c"] = stack.clock()
        if now_s % 60 == 20:
            stack.janitor.sweep(lambda: True)
        if warned_s is None and system(stack):
            warned_s = now_s
        assert now_s <= ends_s + 1
    assert warned_s is not None
    assert ends_s - 61 <= warned_s < ends_s
    assert len(system(stack)) <= 4, "warned seldom, and told the end once"
    assert system(stack)[-1] == EXPIRED


def test_a_token_that_lives_long_costs_nothing(stack: MemoryStack, tokens: KnownTokens) -> None:
    come(stack, tokens.make(expires_at_s=NOW_S + 86_400))
    stack.clock.pass_s(CHECK_AFTER_S + 120)
    stack.transport.active_ms["c"] = stack.clock()
    stack.janitor.sweep(lambda: True)
    assert stack.deadlines_queue.token_ends == []


def test_the_session_is_taken_up_again_with_a_new_token(stack: MemoryStack, tokens: KnownTokens) -> None:
    old = tokens.make(expires_at_s=NOW_S + 100)
    come(stack, old, ROOM)
    connection = stack.connections.get("c")
    assert connection is not None
    run_deadlines(stack, 160)
    stack.connect("c2")
    hello = {"type": "hello", "protocol": 1, "session_id": connection.session_id}
    assert stack.ask("c2", hello | {"token": old})["error"]["name"] == "unauthenticated"
    assert "result" in stack.ask("c2", hello | {"token": tokens.make(issued_at_s=NOW_S + 160)})
    assert receives(stack, "later", "c2")


# by HTTP


def opened(stack: MemoryStack, tokens: KnownTokens, token: str) -> dict[str, Any]:
    request = HelloRequest(subscribe=[SubscribeRequest(ROOM)])
    return stack.http_sessions.open(tokens.verify(token), request)


def test_a_reader_is_warned_and_told_the_end(stack: MemoryStack, tokens: KnownTokens) -> None:
    session = opened(stack, tokens, tokens.make(expires_at_s=NOW_S + 100))
    reading = begin(stack, session)
    run_deadlines(stack, 100)
    assert not stack.mailbox_reader.stay(reading)
    assert (reading.ended, reading.over) == (True, True)
    assert read(stack, reading) == [warning(NOW_S + 100), EXPIRED]
    with pytest.raises(UnauthenticatedError):
        begin(stack, session)


def test_a_reader_goes_on_with_a_refreshed_token(stack: MemoryStack, tokens: KnownTokens) -> None:
    session = opened(stack, tokens, tokens.make(expires_at_s=NOW_S + 100))
    reading = begin(stack, session)
    stack.clock.pass_s(50)
    assert "expires_at_ms" in refresh(
        stack, tokens.make(issued_at_s=NOW_S + 50, expires_at_s=NOW_S + 5000), reading.mailbox_id
    )
    stack.clock.pass_s(60)
    assert stack.mailbox_reader.stay(reading)
    stack.fan_out.deliver(Broadcast(ROOM, [{"type": "event", "name": "later"}]))
    assert read(stack, reading) == [{"type": "event", "name": "later"}]
    assert begin(stack, session).connection.principal == stack.connections.connections[reading.mailbox_id].principal


def test_a_session_by_http_is_taken_up_again_with_a_new_token(stack: MemoryStack, tokens: KnownTokens) -> None:
    session = opened(stack, tokens, tokens.make(expires_at_s=NOW_S + 100))
    begin(stack, session)
    run_deadlines(stack, 160)
    fresh = tokens.verify(tokens.make(issued_at_s=NOW_S + 160))
    again = stack.http_sessions.open(fresh, HelloRequest(session_id=session["session_id"]))
    reading = begin(stack, again)
    stack.fan_out.deliver(Broadcast(ROOM, [{"type": "event", "name": "later"}]))
    assert read(stack, reading)[-1] == {"type": "event", "name": "later"}
