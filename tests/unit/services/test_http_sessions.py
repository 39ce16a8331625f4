"""Sessions by HTTP: what is pushed waits, whoever reads it, and whatever transport the session had before."""

import json
from typing import Any

import pytest

from shared.domain.connection import Connection, Session
from shared.domain.mailbox import GONE_AFTER_S, HOLE_MS, MAILBOX_MAX_MESSAGES, Message, is_mailbox
from shared.domain.principal import Principal
from shared.errors import (
    ConnectionGoneError,
    ContentionError,
    ForbiddenError,
    RateLimitedError,
    SessionUnknownError,
    UnauthenticatedError,
    UnavailableError,
)
from shared.services.mailbox_reader import Reading
from shared.services.sessions import HelloRequest
from shared.services.subscribe import SubscribeRequest
from tests.unit.stack import ALL, MemoryStack

ROOM = "room:a"


def principal(user_id: str = "ann", *, expires_at_s: int = 1_900_000_000) -> Principal:
    return Principal(user_id, ALL, expires_at_s=expires_at_s)


def opened(stack: MemoryStack, *channels: str, user_id: str = "ann", session_id: str | None = None) -> dict[str, Any]:
    request = HelloRequest(session_id=session_id, subscribe=[SubscribeRequest(channel) for channel in channels])
    return stack.http_sessions.open(principal(user_id), request)


def read(stack: MemoryStack, reading: Reading) -> list[dict[str, Any]]:
    frames: list[dict[str, Any]] = []
    while reads := stack.mailbox_reader.read(reading):
        for one in reads:
            value = json.loads(one.text)
            frames.extend(value if isinstance(value, list) else [value])
    return frames


def begin(stack: MemoryStack, session: dict[str, Any], cursor: str | None = None, user_id: str = "ann") -> Reading:
    return stack.mailbox_reader.begin(session["session_id"], user_id, cursor, "stream")


def publish(stack: MemoryStack, *names: str, channel: str = ROOM) -> None:
    if "bob" not in stack.transport.inboxes:
        stack.connect("bob", "bob")
    for name in names:
        reply = stack.ask("bob", {"type": "publish", "channel": channel, "name": name, "data": 1})
        assert "result" in reply, reply
        stack.drain()


def said(frames: list[dict[str, Any]]) -> list[str]:
    return [frame["name"] for frame in frames if frame["type"] == "event"]


def lagged(frames: list[dict[str, Any]]) -> dict[str, int]:
    return {f["channel"]: f["position"]["offset"] for f in frames if f.get("event") == "lagged"}


def test_what_is_published_waits_until_it_is_read() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    publish(stack, "one", "two")
    reading = begin(stack, session)
    assert said(read(stack, reading)) == ["one", "two"]
    assert read(stack, reading) == []
    publish(stack, "three")
    assert said(read(stack, reading)) == ["three"]


def test_the_next_reader_goes_on_behind_the_cursor() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    publish(stack, "one", "two", "three")
    cursors = [one.cursor for one in stack.mailbox_reader.read(begin(stack, session))]
    assert said(read(stack, begin(stack, session, cursors[0]))) == ["two", "three"]
    assert said(read(stack, begin(stack, session, cursors[2]))) == []


def test_without_a_cursor_it_goes_on_behind_what_was_confirmed() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    publish(stack, "one", "two", "three")
    [first, *_] = stack.mailbox_reader.read(begin(stack, session))
    assert said(read(stack, begin(stack, session))) == ["one", "two", "three"], "nothing is confirmed by reading alone"
    begin(stack, session, first.cursor)
    assert said(read(stack, begin(stack, session))) == ["two", "three"]


def test_requests_are_handled_as_everywhere() -> None:
    stack = MemoryStack()
    session = opened(stack)
    connection = stack.http_sessions.connection(session["session_id"], "ann")
    assert connection.connection_id == session["connection_id"]
    assert "result" in stack.ask(connection.connection_id, {"type": "subscribe", "channel": ROOM})
    publish(stack, "one")
    assert said(read(stack, begin(stack, session))) == ["one"]


def test_the_token_is_of_one_session_and_ends() -> None:
    stack = MemoryStack()
    ann, bob = opened(stack), opened(stack, user_id="bob")
    assert stack.http_sessions.user_of(ann["session_token"], ann["session_id"]) == "ann"
    for token in (bob["session_token"], ann["session_token"][:-2], "", "nonsense", "é"):
        with pytest.raises(UnauthenticatedError):
            stack.http_sessions.user_of(token, ann["session_id"])
    stack.clock.pass_s(7300)
    with pytest.raises(UnauthenticatedError):
        stack.http_sessions.user_of(ann["session_token"], ann["session_id"])


def test_a_cursor_is_no_session_token() -> None:
    stack = MemoryStack()
    session = opened(stack)
    cursor = stack.mailbox_reader.cursor(begin(stack, session))
    with pytest.raises(UnauthenticatedError):
        stack.http_sessions.user_of(cursor, session["session_id"])
    with pytest.raises(ForbiddenError):
        begin(stack, session, session["session_token"])


@pytest.mark.parametrize("user_id", ["ann", "bob"])
def test_a_cursor_is_of_its_session_and_user(user_id: str) -> None:
    stack = MemoryStack()
    mine, others = opened(stack), opened(stack, user_id=user_id)
    cursor = stack.mailbox_reader.cursor(begin(stack, others, user_id=user_id))
    with pytest.raises(ForbiddenError):
        begin(stack, mine, cursor)
    assert stack.mailbox_reader.user_of(cursor, mine["session_id"]) is None
    assert stack.mailbox_reader.user_of(cursor, others["session_id"]) == user_id


def test_a_session_is_its_users() -> None:
    stack = MemoryStack()
    session = opened(stack)
    with pytest.raises(SessionUnknownError):
        opened(stack, user_id="bob", session_id=session["session_id"])
    with pytest.raises(SessionUnknownError):
        begin(stack, session, user_id="bob")


def test_who_reads_too_often_is_told() -> None:
    stack = MemoryStack()
    session = opened(stack)
    with pytest.raises(RateLimitedError):
        for _ in range(10_000):
            begin(stack, session)


def test_the_newer_reader_takes_the_older_ones_place() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    first = begin(stack, session)
    assert stack.mailbox_reader.stay(first)
    second = begin(stack, session)
    assert (stack.mailbox_reader.stay(first), stack.mailbox_reader.stay(second)) == (False, True)


def test_a_reader_whose_token_has_expired_may_not_go_on() -> None:
    stack = MemoryStack()
    now_s = stack.clock() // 1000
    session = stack.http_sessions.open(principal(expires_at_s=now_s + 60), HelloRequest())
    reading = begin(stack, session)
    stack.clock.pass_s(60)
    with pytest.raises(UnauthenticatedError):
        begin(stack, session)
    assert stack.mailbox_reader.stay(reading), "it is about to be told"
    stack.clock.pass_s(5)
    assert not stack.mailbox_reader.stay(reading)
    newer = stack.http_sessions.open(principal(), HelloRequest(session_id=session["session_id"]))
    assert newer["connection_id"] == session["connection_id"]
    begin(stack, session)


def test_a_client_that_falls_silent_is_gone_and_costs_nothing_more() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    stack.clock.pass_s(GONE_AFTER_S - 1)
    publish(stack, "one")
    stack.clock.pass_s(1)
    publish(stack, "two")
    assert stack.connections.subscribers(ROOM).connection_ids == []
    with pytest.raises(SessionUnknownError):
        begin(stack, session)


def test_a_reader_that_stays_keeps_its_session() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    reading = begin(stack, session)
    for _ in range(10):
        stack.clock.pass_s(GONE_AFTER_S - 1)
        assert stack.mailbox_reader.stay(reading)
    publish(stack, "one")
    assert said(read(stack, reading)) == ["one"]


def test_the_janitor_finds_who_fell_silent() -> None:
    stack = MemoryStack()
    opened(stack, ROOM)
    stack.connections.mark_swept(stack.clock() // 60_000)
    stack.clock.pass_s(800)
    assert stack.janitor.sweep(lambda: True) == 1
    assert stack.connections.subscribers(ROOM).connection_ids == []


def test_an_ended_session_is_gone_at_once() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    reading = begin(stack, session)
    stack.session_end.end(session["session_id"], "ann")
    assert not stack.mailbox_reader.stay(reading)
    assert stack.connections.subscribers(ROOM).connection_ids == []
    with pytest.raises(SessionUnknownError):
        begin(stack, session)
    with pytest.raises(SessionUnknownError):
        opened(stack, session_id=session["session_id"])


def test_a_session_in_its_time_of_grace_can_be_ended() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    stack.sessions.disconnect("ws")
    stack.session_end.end(hello["session_id"], "ann")
    with pytest.raises(SessionUnknownError):
        opened(stack, session_id=hello["session_id"])


def test_a_session_that_moves_while_it_is_being_ended_ends() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    end_session, moved = stack.connections.end_session, list[Reading]()

    def overtaken(session_id: str, **fields: Any) -> None:
        if not moved:
            moved.append(begin(stack, hello))
        end_session(session_id, **fields)

    stack.connections.end_session = overtaken  # type: ignore[method-assign]
    stack.session_end.end(hello["session_id"], "ann")
    assert not stack.mailbox_reader.stay(moved[0])
    assert [name for name in stack.connections.connections if is_mailbox(name)] == []
    with pytest.raises(SessionUnknownError):
        begin(stack, hello)


# a slow reader


def test_who_was_silent_for_too_long_is_gone_for_good() -> None:
    """It could not know what it had missed: its place is gone with the first push that is dropped."""
    stack = MemoryStack()
    session = opened(stack, ROOM)
    cursor = stack.mailbox_reader.cursor(begin(stack, session))
    stack.clock.pass_s(GONE_AFTER_S)
    with pytest.raises(ConnectionGoneError):
        stack.mailboxes.push(session["connection_id"], b"{}")
    with pytest.raises(SessionUnknownError):
        begin(stack, session, cursor)


def test_a_superseded_reader_is_not_told_what_the_next_one_has_to_be() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    for _ in range(MAILBOX_MAX_MESSAGES + 1):
        stack.mailboxes.push(session["connection_id"], b'{"type":"x"}')
    first = begin(stack, session)
    second = begin(stack, session)
    assert lagged(read(stack, first)) == {}
    assert first.ended
    publish(stack, "dropped")
    third = begin(stack, session, stack.mailbox_reader.cursor(first))
    assert lagged(read(stack, third)) == {ROOM: 1}
    assert not second.ended


def test_a_mailbox_that_nobody_reads_is_bounded_and_its_session_told_where_its_channels_are() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM, "room:b")
    for number in range(MAILBOX_MAX_MESSAGES):
        stack.mailboxes.push(session["connection_id"], f'{{"type":"x","number":{number}}}'.encode())
    publish(stack, "one", "two", "three")
    kept = [message.text for message in stack.mailbox_store.messages[session["connection_id"]].values()]
    assert kept[MAILBOX_MAX_MESSAGES:] == [None, None, None]
    frames = read(stack, begin(stack, session))
    assert [frame["number"] for frame in frames if frame["type"] == "x"] == list(range(MAILBOX_MAX_MESSAGES))
    assert (said(frames), lagged(frames)) == ([], {ROOM: 3, "room:b": 0})


def test_what_is_pushed_after_the_reader_is_told_finds_room_again() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM, "room:b")
    publish(stack, "zero", channel="room:b")
    for number in range(MAILBOX_MAX_MESSAGES - 1):
        stack.mailboxes.push(session["connection_id"], f'{{"type":"x","number":{number}}}'.encode())
    publish(stack, "one", "two")
    frames = read(stack, reading := begin(stack, session))
    assert said(frames) == ["zero"]
    assert lagged(frames) == {ROOM: 2, "room:b": 1}
    publish(stack, "three")
    assert said(read(stack, reading)) == ["three"]
    frames = read(stack, begin(stack, session))
    assert (said(frames), lagged(frames)) == (["zero"], {ROOM: 3, "room:b": 1}), "who may not have been told is again"


def test_nobody_reads_past_a_message_that_is_on_its_way() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    put, on_its_way = stack.mailbox_store.put, list[Any]()

    def slow(mailbox_id: str, message: Message, *, expires_at_s: int) -> None:
        on_its_way.append(message)

    stack.mailbox_store.put = slow  # type: ignore[method-assign]
    publish(stack, "one")
    stack.mailbox_store.put = put  # type: ignore[method-assign]
    reading = begin(stack, session)
    assert (read(stack, reading), reading.hole) == ([], False)
    publish(stack, "two")
    assert (read(stack, reading), reading.hole) == ([], True)
    stack.mailbox_store.put(reading.mailbox_id, *on_its_way, expires_at_s=2**31)
    assert (said(read(stack, reading)), reading.hole) == (["one", "two"], False)


def test_a_message_that_never_came_is_told_of() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    put = stack.mailbox_store.put
    stack.mailbox_store.put = lambda *_arguments, **_more: None  # type: ignore[method-assign]
    publish(stack, "one")
    stack.mailbox_store.put = put  # type: ignore[method-assign]
    publish(stack, "two")
    stack.clock.pass_s(HOLE_MS // 1000)
    frames = read(stack, reading := begin(stack, session))
    assert (said(frames), lagged(frames)) == ([], {ROOM: 2}), "both are to be had from the log"
    publish(stack, "three")
    assert said(read(stack, reading)) == ["three"]


def test_a_mailbox_that_never_was_is_gone() -> None:
    stack = MemoryStack()
    with pytest.raises(ConnectionGoneError):
        stack.mailboxes.push("mailbox.nobody", b"{}")


# from one transport to another


def test_a_session_that_a_websocket_has_stays_there_until_it_is_read() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    session = opened(stack, ROOM, session_id=hello["session_id"])
    assert session["connection_id"] == "ws"
    publish(stack, "one")
    assert said(stack.events("ws")) == ["one"]
    frames = read(stack, reading := begin(stack, session))
    assert lagged(frames) == {ROOM: 1}
    assert is_mailbox(reading.mailbox_id)
    publish(stack, "two")
    assert said(read(stack, reading)) == ["two"]
    assert stack.http_sessions.connection(session["session_id"], "ann").connection_id == reading.mailbox_id


def test_a_session_moves_to_a_websocket_and_leaves_its_mailbox() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    reading = begin(stack, session)
    stack.connect("ws")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann"), "session_id": session["session_id"]}
    assert "result" in stack.ask("ws", hello)
    publish(stack, "one")
    assert said(stack.events("ws")) == ["one"]
    assert not stack.mailbox_reader.stay(reading)
    assert list(stack.connections.subscribers(ROOM).connection_ids) == ["ws"]
    assert stack.http_sessions.connection(session["session_id"], "ann").connection_id == "ws"


def test_a_session_whose_websocket_has_gone_is_taken_up_with_its_channels() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    stack.ask("ws", {"type": "subscribe", "channel": ROOM})
    stack.sessions.disconnect("ws")
    publish(stack, "one")
    session = opened(stack, session_id=hello["session_id"])
    assert session["session_id"] == hello["session_id"]
    publish(stack, "two")
    frames = read(stack, begin(stack, session))
    assert (lagged(frames), said(frames)) == ({ROOM: 2}, ["two"])


@pytest.mark.parametrize("first", ["read", "post"])
def test_a_session_whose_websocket_goes_before_it_is_read_goes_on(first: str) -> None:
    """A client falls back since its socket failed: the gateway may find out between its hello and its first read."""
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    stack.ask("ws", {"type": "subscribe", "channel": ROOM})
    session = opened(stack, session_id=hello["session_id"])
    stack.sessions.disconnect("ws")
    publish(stack, "one")
    if first == "post":
        assert is_mailbox(stack.http_sessions.connection(session["session_id"], "ann").connection_id)
    frames = read(stack, reading := begin(stack, session))
    assert lagged(frames) == {ROOM: 1}
    publish(stack, "two")
    assert said(read(stack, reading)) == ["two"]


def test_a_connection_that_lost_its_session_takes_it_back_only_by_name() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann")}
    first = stack.ask("ws", hello)["result"]
    reading = begin(stack, first)
    second = stack.ask("ws", hello)["result"]
    assert second["session_id"] != first["session_id"]
    assert stack.mailbox_reader.stay(reading)
    stack.connect("ws2")
    assert stack.ask("ws2", hello | {"session_id": first["session_id"]})["result"]["session_id"] == first["session_id"]
    assert not stack.mailbox_reader.stay(reading)


def test_a_connection_has_one_session() -> None:
    stack = MemoryStack()
    one, two = opened(stack, ROOM), opened(stack, ROOM)
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann"), "session_id": two["session_id"]}
    assert stack.ask(one["connection_id"], hello)["error"]["name"] == "forbidden"
    assert "result" in stack.ask(two["connection_id"], hello)


def test_a_session_that_is_read_for_the_first_time_while_it_says_hello_has_one_mailbox() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    authenticate, readings = stack.connections.authenticate, list[Reading]()

    def meanwhile(connection: Connection) -> bool:
        if not readings:
            readings.append(begin(stack, hello))
        return authenticate(connection)

    stack.connections.authenticate = meanwhile  # type: ignore[method-assign]
    opened(stack, ROOM, session_id=hello["session_id"])
    begin(stack, hello)
    assert len([one for one in stack.mailbox_store.mailboxes if stack.mailbox_store.get(one)]) == 1


def test_of_two_hellos_at_once_both_have_the_sessions_channels() -> None:
    stack = MemoryStack()
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann")}
    stack.connect("w0", "ann")
    first = stack.ask("w0", hello)["result"]
    stack.ask("w0", {"type": "subscribe", "channel": ROOM})
    move, faster = stack.connections.move_session, list[Any]()

    def overtaken(before: Session, after: Session) -> bool:
        if not faster:
            faster.append(None)
            stack.connect("w2")
            faster[0] = stack.ask("w2", hello | {"session_id": first["session_id"]})
        return move(before, after)

    stack.connections.move_session = overtaken  # type: ignore[method-assign]
    stack.connect("w1")
    assert "result" in stack.ask("w1", hello | {"session_id": first["session_id"]})
    assert stack.http_sessions.connection(first["session_id"], "ann").connection_id == "w1"
    assert stack.connections.subscriptions("w1").keys() == {ROOM}


def test_who_reads_a_session_that_is_on_its_way_finds_its_channels() -> None:
    stack = MemoryStack()
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann")}
    stack.connect("w0", "ann")
    first = stack.ask("w0", hello)["result"]
    stack.ask("w0", {"type": "subscribe", "channel": ROOM})
    publish(stack, "missed")
    move, readings = stack.connections.move_session, list[Reading]()

    def read_at_once(before: Session, after: Session) -> bool:
        stack.connections.move_session = move  # type: ignore[method-assign]
        moved = move(before, after)
        readings.append(begin(stack, first))
        return moved

    stack.connections.move_session = read_at_once  # type: ignore[method-assign]
    stack.connect("w1")
    stack.ask("w1", hello | {"session_id": first["session_id"]})
    assert lagged(read(stack, readings[0])) == {ROOM: 1}


def test_a_mailbox_whose_session_a_websocket_takes_meanwhile_does_not_take_it_back() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    renew = stack.mailbox_store.renew
    stack.connect("ws")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann"), "session_id": session["session_id"]}

    def overtaken(mailbox_id: str, *, expires_at_s: int, now_s: int) -> bool:
        renewed = renew(mailbox_id, expires_at_s=expires_at_s, now_s=now_s)
        stack.ask("ws", hello)
        return renewed

    stack.mailbox_store.renew = overtaken  # type: ignore[method-assign]
    connection = stack.connections.get(session["connection_id"])
    assert connection is not None
    close, closed = stack.connections.close, list[str]()
    stack.connections.close = lambda one, **more: closed.append(one)  # type: ignore[method-assign]
    with pytest.raises(ContentionError):
        opened(stack, session_id=session["session_id"])
    for one in closed:
        close(one)
    assert stack.http_sessions.connection(session["session_id"], "ann").connection_id == "ws"


def test_a_read_that_is_refused_moves_nothing() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    with pytest.raises(ForbiddenError):
        begin(stack, hello, "no cursor")
    assert stack.http_sessions.connection(hello["session_id"], "ann").connection_id == "ws"


def test_a_connection_whose_session_has_ended_begins_another() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann")}
    first = stack.ask("ws", hello)["result"]
    begin(stack, first)
    stack.session_end.end(first["session_id"], "ann")
    assert stack.ask("ws", hello)["result"]["session_id"] != first["session_id"]


def test_a_session_is_taken_up_again_in_the_same_mailbox() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM)
    publish(stack, "one")
    stack.clock.pass_s(60)
    again = opened(stack, session_id=session["session_id"])
    assert again["connection_id"] == session["connection_id"]
    assert said(read(stack, begin(stack, again))) == ["one"]


def test_what_is_subscribed_to_while_a_session_moves_comes_with_it() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    move = stack.connections.move_session

    def meanwhile(*arguments: Any, **fields: Any) -> bool:
        assert "result" in stack.ask("ws", {"type": "subscribe", "channel": ROOM})
        return move(*arguments, **fields)

    stack.connections.move_session = meanwhile  # type: ignore[method-assign]
    before = stack.http_sessions.connection(hello["session_id"], "ann")
    reading = begin(stack, hello)
    publish(stack, "one")
    assert said(read(stack, reading)) == ["one"]
    stack.ask("ws", {"type": "subscribe", "channel": "room:late"})  # it was on its way when the session had moved
    stack.http_sessions.follow(before.connection_id, hello["session_id"], "ann")
    publish(stack, "two", channel="room:late")
    assert said(read(stack, reading)) == ["two"]


def test_a_session_that_moves_has_all_its_time() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    stack.clock.pass_s(7_000)
    reading = begin(stack, hello)
    for _ in range(10):
        stack.clock.pass_s(100)
        assert stack.mailbox_reader.stay(reading)
    begin(stack, hello)


def test_a_narrower_token_leaves_what_it_does_not_allow() -> None:
    stack = MemoryStack()
    session = opened(stack, ROOM, "room:b")
    narrower = Principal("ann", {"room:b": ["subscribe"]}, expires_at_s=1_900_000_000)
    stack.http_sessions.open(narrower, HelloRequest(session_id=session["session_id"]))
    publish(stack, "one")
    publish(stack, "two", channel="room:b")
    assert said(read(stack, begin(stack, session))) == ["two"]


def test_mailboxes_that_fail_suspend_no_websocket() -> None:
    stack = MemoryStack()
    sessions = [opened(stack, "room:b") for _ in range(40)]
    stack.connect("ws", "cho")
    stack.ask("ws", {"type": "subscribe", "channel": ROOM})

    def failing(mailbox_id: str, *, now_s: int) -> Any:
        raise UnavailableError

    stack.mailbox_store.number = failing  # type: ignore[method-assign]
    publish(stack, "one", channel="room:b")
    assert len(stack.deliveries.sent[0][0].connection_ids or ()) == len(sessions)
    publish(stack, "two")
    assert said(stack.events("ws")) == ["two"]


def test_of_two_that_read_a_websockets_session_first_both_find_one_mailbox() -> None:
    stack = MemoryStack()
    stack.connect("ws", "ann")
    hello = stack.ask("ws", {"type": "hello", "protocol": 1, "token": stack.token("ann")})["result"]
    others: list[Reading] = []
    join = stack.sessions.join

    def overtaken(*arguments: Any) -> None:
        if not others:
            others.append(None)  # type: ignore[arg-type]
            others[0] = begin(stack, hello)
        join(*arguments)

    object.__setattr__(stack.http_sessions, "sessions", _With(stack.sessions, join=overtaken))
    mine = begin(stack, hello)
    assert mine.mailbox_id == others[0].mailbox_id
    assert [name for name in stack.connections.connections if is_mailbox(name)] == [mine.mailbox_id]


class _With:
    """Something with one part exchanged."""

    def __init__(self, whole: Any, **parts: Any) -> None:
        self.__dict__.update(parts)
        self._whole = whole

    def __getattr__(self, name: str) -> Any:
        return getattr(self._whole, name)


def test_a_push_finds_its_way_by_the_connections_id() -> None:
    stack = MemoryStack()
    first, second = (opened(stack, ROOM)["connection_id"] for _ in range(2))
    stack.transport.inboxes["socket"] = []
    stack.mailboxes.close(second)
    ids = [first, "socket", second, "gone"]
    outcomes = stack.sinks.push_all(ids, [b'{"type":"x"}', b'{"type":"y"}'])
    assert [type(error) if error else None for error in outcomes] == [
        None,
        None,
        ConnectionGoneError,
        ConnectionGoneError,
    ]
    assert stack.transport.inboxes["socket"] == [b'{"type":"x"}', b'{"type":"y"}']
    assert [message.text for message in stack.mailbox_store.read(first, 0, limit=9)] == ['{"type":"x"}', '{"type":"y"}']
    assert stack.sinks.push_all(["socket"], [b"{}"]) == [None]
