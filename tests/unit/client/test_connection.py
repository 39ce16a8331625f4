"""The connection: hello, tokens, answers, losses, and the server's own wish to end it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from tests.unit.client.fakes import ENDPOINTS, HELLO, FakeNetwork, FakeTransport, error, error_of, event
from tests.unit.client.virtual import settle, virtual_time
from tidewire.connection import Connection, ConnectionOptions, ConnectionState
from tidewire.errors import TidewireError, UnreachableError
from tidewire.frames import Frame
from tidewire.transports.transport import Endpoints

SYNC: Frame = {"type": "sync", "positions": {}}
RETRY_S = 0.25  # the first wait, where chance is 0
DISCONNECT: Frame = {"type": "system", "event": "disconnect"}


class SetUp:
    """A connection, and the network under it."""

    def __init__(self, *ways: str) -> None:
        self.network = FakeNetwork()
        self.states: list[ConnectionState] = []
        self.errors: list[TidewireError | None] = []
        self.pushes: list[Frame] = []
        self.reports: list[BaseException] = []
        self.asked_for_token: list[bool] = []
        self.hellos: list[Frame] = []
        self.chance = 0.0
        self.on_state: Callable[[ConnectionState], None] = lambda _state: None
        self.find: Callable[[], Awaitable[Endpoints]] = _found
        self.token: Callable[[bool], Awaitable[str]] = self._token
        self.open_session: Callable[[Endpoints, Frame], Awaitable[Any]] = _no_session
        self._tasks: set[asyncio.Task[None]] = set()
        self.connection = Connection(
            ConnectionOptions(
                endpoints=lambda: self.find(),
                token=lambda fresh: self.token(fresh),
                ways=self.network.ways(*(ways or ("websocket",))),
                open_session=lambda endpoints, hello: self.open_session(endpoints, hello),
                spawn=self._spawn,
                let_go=self._spawn,
                report=self.reports.append,
                on_push=self.pushes.append,
                on_state=self._state,
                on_connected=self.hellos.append,
                random=lambda: self.chance,
            )
        )

    @property
    def last(self) -> FakeTransport:
        return self.network.made[-1][1]

    @property
    def state(self) -> ConnectionState:
        return self.connection.state

    async def _token(self, fresh: bool) -> str:
        self.asked_for_token.append(fresh)
        return "fresh" if fresh else "good"

    def _state(self, state: ConnectionState, error: TidewireError | None) -> None:
        self.states.append(state)
        self.errors.append(error)
        self.on_state(state)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def _found() -> Endpoints:
    return ENDPOINTS


async def _no_session(_endpoints: Endpoints, _hello: Frame) -> Any:
    raise AssertionError("nothing is too large here")


async def opened(*ways: str) -> SetUp:
    """Open, and find the first transport."""
    set_up = SetUp(*ways)
    set_up.connection.open()
    await settle()
    return set_up


async def connected(*ways: str, hello: Frame = HELLO) -> SetUp:
    set_up = await opened(*ways)
    set_up.last.greet(hello)
    await settle()
    return set_up


async def on_sse() -> SetUp:
    """Connected by the lesser of two ways."""
    set_up = await opened("websocket", "sse")
    set_up.last.end()
    await settle()
    set_up.last.greet()
    await settle()
    return set_up


async def pass_(seconds: float) -> None:
    await asyncio.sleep(seconds)
    await settle()


# Hello and tokens.


@virtual_time
async def test_it_says_hello_with_the_token_and_is_connected_when_that_is_answered() -> None:
    set_up = await opened()
    set_up.last.open()
    hello = set_up.last.request("hello")
    assert (hello["protocol"], hello["token"], "session_id" in hello) == (1, "good", False)
    assert set_up.state == "connecting"
    set_up.last.reply(hello, HELLO)
    assert (set_up.states, set_up.hellos) == (["connecting", "connected"], [HELLO])


@virtual_time
async def test_a_refused_token_is_asked_for_afresh_once_and_the_second_refusal_is_final() -> None:
    set_up = await opened()
    set_up.last.open()
    set_up.last.refuse(set_up.last.request("hello"), error(1004, "unauthenticated"))
    await pass_(RETRY_S)
    set_up.last.open()
    assert set_up.last.request("hello")["token"] == "fresh"
    set_up.last.refuse(set_up.last.request("hello"), error(1004, "unauthenticated"))
    assert set_up.state == "closed"
    assert set_up.errors[-1] is not None and set_up.errors[-1].kind == "unauthenticated"
    assert set_up.asked_for_token == [False, True]


@virtual_time
async def test_a_fresh_token_of_use_makes_the_next_refusal_the_first_again() -> None:
    set_up = await connected()
    for _ in range(3):
        asked = set_up.connection.ask([SYNC])[0]
        set_up.last.refuse(set_up.last.request("sync"), error(1004, "unauthenticated"))
        assert (await error_of(asked)).retryable  # nothing was done: it may be asked again
        await pass_(20)
        set_up.last.greet()
        answered = set_up.connection.ask([SYNC])[0]
        set_up.last.reply(set_up.last.request("sync"), {})
        await answered
    assert set_up.state == "connected"


@virtual_time
async def test_a_hello_refused_for_another_reason_closes_unless_it_may_be_tried_again() -> None:
    set_up = await opened()
    set_up.last.open()
    set_up.last.refuse(set_up.last.request("hello"), error(2001, "unavailable", retry_after_ms=3_000))
    assert set_up.states[-1] == "reconnecting"
    await pass_(2.9)
    assert len(set_up.network.made) == 1
    await pass_(0.2)
    set_up.last.open()
    set_up.last.refuse(set_up.last.request("hello"), error(1012, "unsupported_protocol"))
    assert set_up.state == "closed"
    assert set_up.errors[-1] is not None and set_up.errors[-1].kind == "unsupported_protocol"


@virtual_time
async def test_a_token_that_cannot_be_had_is_asked_for_again_later_and_a_fault_is_reported() -> None:
    set_up = SetUp()

    async def fails(_fresh: bool) -> str:
        raise RuntimeError("the backend is down")

    set_up.token = fails
    set_up.connection.open()
    await settle()
    assert (set_up.state, set_up.network.made) == ("reconnecting", [])
    assert [str(error) for error in set_up.reports] == ["the backend is down"]
    set_up.token = set_up._token
    await pass_(RETRY_S)
    set_up.last.greet()
    assert set_up.state == "connected"


@virtual_time
async def test_who_says_that_there_is_no_tidewire_closes_it_and_who_cannot_be_reached_does_not() -> None:
    set_up = SetUp()
    answers: list[TidewireError] = [UnreachableError("nobody"), TidewireError(1012, "unsupported_protocol", "no")]

    async def find() -> Endpoints:
        raise answers.pop(0)

    set_up.find = find
    set_up.connection.open()
    await settle()
    assert set_up.states[-1] == "reconnecting"
    await pass_(RETRY_S)
    assert set_up.state == "closed"
    assert set_up.errors[-1] is not None and set_up.errors[-1].kind == "unsupported_protocol"


@virtual_time
async def test_a_connection_that_does_not_open_is_given_up_and_gets_twice_the_time_at_each_attempt() -> None:
    set_up = await opened()
    for patience_s in (4, 8, 16, 30, 30):
        transport = set_up.last
        await pass_(patience_s - 0.1)
        assert not transport.ended
        await pass_(0.1)
        assert transport.ended
        await pass_(RETRY_S)


@virtual_time
async def test_a_hello_without_an_answer_is_given_up_after_ten_seconds() -> None:
    set_up = await opened()
    set_up.last.open()
    await pass_(9.9)
    assert not set_up.last.ended
    await pass_(0.2)
    assert (set_up.last.ended, set_up.state) == (True, "reconnecting")


@pytest.mark.parametrize("nonsense", [None, {}, {**HELLO, "heartbeat_s": "soon"}, "well met", {**HELLO, "user_id": 7}])
@virtual_time
async def test_a_hello_answered_with_nonsense_is_none(nonsense: Any) -> None:
    set_up = await opened()
    set_up.last.open()
    set_up.last.reply(set_up.last.request("hello"), nonsense)
    assert (set_up.state, set_up.hellos) == ("reconnecting", [])


# Asking.


@virtual_time
async def test_requests_are_answered_by_their_ids_in_whatever_order_the_replies_come() -> None:
    set_up = await connected()
    first, second = (set_up.connection.ask([SYNC])[0] for _ in range(2))
    one, two = set_up.last.asked("sync")
    set_up.last.reply(two, "second")
    set_up.last.reply(one, "first")
    assert (await first, await second) == ("first", "second")


@virtual_time
async def test_several_requests_travel_as_one_batch() -> None:
    set_up = await connected()
    answers = set_up.connection.ask([SYNC, SYNC])
    assert len(set_up.last.sent) == 2  # hello, and the batch
    one, two = set_up.last.asked("sync")
    set_up.last.say([{"type": "reply", "id": two["id"], "result": 2}, {"type": "reply", "id": one["id"], "result": 1}])
    assert await asyncio.gather(*answers) == [1, 2]


@virtual_time
async def test_a_request_without_an_answer_is_uncertain_and_a_connection_without_a_sound_is_dead() -> None:
    set_up = await connected()
    asked = set_up.connection.ask([SYNC])[0]
    await pass_(10.01)
    assert (await error_of(asked)).kind == "timeout"
    assert set_up.last.asked("ping")
    transport = set_up.last
    await pass_(4)
    assert (transport.ended, set_up.state) == (True, "reconnecting")


@virtual_time
async def test_a_server_that_is_too_busy_to_answer_but_not_to_ping_keeps_its_connections() -> None:
    set_up = await connected()
    asked = set_up.connection.ask([SYNC])[0]
    await pass_(10.01)
    await error_of(asked)
    set_up.last.say({"type": "pong"})
    await pass_(60)
    assert (set_up.last.ended, set_up.state) == (False, "connected")


@virtual_time
async def test_a_gateway_error_makes_every_outstanding_request_uncertain() -> None:
    set_up = await connected()
    asked = set_up.connection.ask([SYNC, SYNC])
    set_up.last.say({"message": "Internal server error", "connectionId": "x", "requestId": "y"})
    assert [(await error_of(each)).retryable for each in asked] == [True, True]
    assert set_up.state == "connected"


@virtual_time
async def test_an_answer_that_nobody_waits_for_any_more_hurts_nothing() -> None:
    set_up = await connected()
    asked = set_up.connection.ask([SYNC])[0]
    asked.cancel()
    set_up.last.reply(set_up.last.request("sync"), {})
    set_up.last.reply({"id": 999}, {})
    assert set_up.state == "connected"


@virtual_time
async def test_without_a_connection_it_is_refused_at_once_and_may_be_tried_again() -> None:
    set_up = SetUp()
    assert (await error_of(set_up.connection.ask([SYNC])[0])).retryable
    set_up.connection.open()
    await settle()
    set_up.connection.close()
    assert (await error_of(set_up.connection.ask([SYNC])[0])).kind == "closed"


NONSENSE = ["", "[", "null", "7", '"x"', "[[]]", '{"type": 7}', '{"type": "reply"}', '{"type":"reply","id":[]}']


@pytest.mark.parametrize("text", [*NONSENSE, "[" * 100_000, '{"type":"reply","id":2,"error":7}', '{"type":"push"}'])
@virtual_time
async def test_messages_that_make_no_sense_are_passed_over(text: str) -> None:
    set_up = await connected()
    set_up.last.say(text)
    set_up.last.say(event(1))
    assert set_up.pushes[-1]["offset"] == 1
    assert set_up.state == "connected"


# Losses, and the server's wish.


@virtual_time
async def test_a_loss_refuses_what_is_under_way_and_comes_back_with_growing_waits() -> None:
    set_up = await connected()
    asked = set_up.connection.ask([SYNC])[0]
    set_up.last.end()
    assert (await error_of(asked)).retryable
    assert set_up.state == "reconnecting"
    await pass_(RETRY_S)
    assert len(set_up.network.made) == 2


@virtual_time
async def test_pushes_are_handed_on_once_connected_and_not_before() -> None:
    set_up = await opened()
    set_up.last.open()
    set_up.last.say(event(1))
    # What follows the greeting in the same read is heard.
    greeting = {"type": "reply", "id": set_up.last.request("hello")["id"], "result": HELLO}
    set_up.last.say([greeting, event(2)])
    assert [push["offset"] for push in set_up.pushes] == [2]


@pytest.mark.parametrize("code", [3000, 3001, 3499])
@virtual_time
async def test_a_disconnect_that_may_come_back_does_after_what_the_server_asks(code: int) -> None:
    set_up = await connected()
    set_up.last.say({**DISCONNECT, "code": code, "name": "going_away", "after_ms": 5_000})
    assert (set_up.state, set_up.last.ended) == ("reconnecting", True)
    await pass_(4.9)
    assert len(set_up.network.made) == 1
    await pass_(0.2)
    assert len(set_up.network.made) == 2


@pytest.mark.parametrize("code", [3501, 3502, 3503, 3999, None, "soon"])
@virtual_time
async def test_a_disconnect_for_good_is_final_and_says_why(code: Any) -> None:
    set_up = await connected()
    set_up.last.say([{**DISCONNECT, "code": code, "name": "revoked"}, event(1)])
    assert (set_up.state, set_up.pushes) == ("closed", [])
    assert set_up.errors[-1] is not None and set_up.errors[-1].kind == "revoked"
    await pass_(300)
    assert len(set_up.network.made) == 1


@virtual_time
async def test_a_token_that_ends_makes_it_come_back_with_a_fresh_one() -> None:
    set_up = await connected()
    set_up.last.say({**DISCONNECT, "code": 3500, "name": "token_expired"})
    await pass_(RETRY_S)
    set_up.last.greet()
    assert (set_up.asked_for_token, set_up.state) == ([False, True], "connected")


@virtual_time
async def test_closed_it_makes_no_attempt_and_hears_nothing() -> None:
    set_up = await connected()
    set_up.connection.close()
    assert (set_up.last.ended, set_up.last.for_good, set_up.state) == (True, True, "closed")
    set_up.last.say(event(1))
    await pass_(300)
    assert (set_up.pushes, len(set_up.network.made)) == ([], 1)


@virtual_time
async def test_woken_it_does_not_wait_for_the_next_attempt() -> None:
    set_up = await connected()
    set_up.last.end()
    set_up.connection.wake()
    await settle()
    assert len(set_up.network.made) == 2
    set_up.connection.wake()  # one is under way
    await settle()
    assert len(set_up.network.made) == 2


@pytest.mark.parametrize("when", ["connecting", "connected", "reconnecting"])
@virtual_time
async def test_a_listener_may_close_it(when: str) -> None:
    set_up = SetUp()
    set_up.on_state = lambda state: set_up.connection.close() if state == when else None
    set_up.connection.open()
    await settle()
    if when != "connecting":
        set_up.last.greet()
        set_up.last.end()
    await pass_(300)
    assert (set_up.state, len(set_up.network.made) <= 1) == ("closed", True)


@virtual_time
async def test_one_that_lets_connect_and_cuts_is_asked_more_and_more_seldom_and_one_that_lasted_at_once() -> None:
    set_up = await connected()
    set_up.chance = 1
    for wait_s in (0.5, 1, 2, 4, 8, 16, 20, 20):
        made = len(set_up.network.made)
        set_up.last.end()
        await pass_(wait_s - 0.1)
        assert len(set_up.network.made) == made
        await pass_(0.2)
        set_up.last.greet()
    await pass_(11)
    set_up.last.end()
    await pass_(0.6)
    assert set_up.last.ended is False


# Ways.


@virtual_time
async def test_a_way_that_is_refused_or_does_not_open_is_followed_by_the_next() -> None:
    set_up = await opened("websocket", "sse", "stream")
    set_up.last.end()
    await settle()
    await pass_(4.01)
    assert set_up.network.tried == ["websocket", "sse", "stream"]
    set_up.last.greet()
    assert (set_up.connection.way, set_up.states) == ("stream", ["connecting", "connected"])


@virtual_time
async def test_the_one_that_stood_comes_first_after_a_loss() -> None:
    set_up = await on_sse()
    set_up.last.end()
    await pass_(RETRY_S)
    assert set_up.network.tried == ["websocket", "sse", "sse"]


@virtual_time
async def test_the_better_ones_are_tried_each_minute_without_a_loss_when_none_stands() -> None:
    set_up = await on_sse()
    await pass_(60.01)
    assert set_up.network.tried[2:] == ["websocket"]
    set_up.network.last("websocket").end()
    assert set_up.state == "connected"
    asked = set_up.connection.ask([SYNC])[0]
    set_up.network.last("sse").reply(set_up.network.last("sse").request("sync"), "still")
    assert await asked == "still"


@virtual_time
async def test_one_that_stands_takes_the_session_over_and_what_was_asked_on_the_last_is_answered_there() -> None:
    set_up = await on_sse()
    await pass_(60.01)
    better, lesser = set_up.network.last("websocket"), set_up.network.last("sse")
    better.open()
    assert better.request("hello")["session_id"] == "s1"
    asked = set_up.connection.ask([SYNC])[0]  # still the last's
    better.greet()
    assert (set_up.connection.way, set_up.states, len(set_up.hellos)) == ("websocket", ["connecting", "connected"], 2)
    assert (lesser.retired, lesser.ended, better.retired) == (True, False, False)
    lesser.reply(lesser.request("sync"), "late")
    assert await asked == "late"
    await pass_(10.01)
    assert (lesser.ended, set_up.state) == (True, "connected")


@pytest.mark.parametrize("what", ["stands", "ends", "is refused for good", "has a bad token"])
@virtual_time
async def test_the_last_may_be_told_of_its_successor_before_that_is_answered(what: str) -> None:
    set_up = await on_sse()
    await pass_(60.01)
    better, lesser = set_up.network.last("websocket"), set_up.network.last("sse")
    better.open()
    asked = set_up.connection.ask([SYNC])[0]
    lesser.say({"type": "system", "event": "superseded"})
    assert (lesser.ended, better.ended, set_up.state) == (True, False, "connected")
    assert (await error_of(asked)).retryable
    if what == "stands":
        better.greet()
    elif what == "ends":
        better.end()
    else:
        better.refuse(better.request("hello"), error(1004 if what == "has a bad token" else 1005))
    assert set_up.state == ("connected" if what == "stands" else "reconnecting")
    if what != "stands":
        await pass_(RETRY_S)
        set_up.network.last("sse").greet()
    await pass_(20)
    assert set_up.state == "connected"


@virtual_time
async def test_after_three_failures_a_better_one_is_asked_more_and_more_seldom() -> None:
    set_up = await on_sse()
    for _ in range(10):
        await pass_(60.01)
        for transport in set_up.network.all("websocket"):
            transport.end()
    assert len(set_up.network.all("websocket")) < 7
    assert set_up.state == "connected"


# Before the server's age limit, and sessions.


@virtual_time
async def test_the_next_link_follows_with_an_overlap_in_the_same_session() -> None:
    set_up = await connected(hello={**HELLO, "connection_max_age_s": 100})
    await pass_(79.9)
    assert len(set_up.network.made) == 1
    await pass_(0.2)
    old, next_ = set_up.network.all()
    next_.open()
    assert next_.request("hello")["session_id"] == "s1"
    old.say(event(1))
    next_.greet()
    next_.say(event(2))
    old.say(event(3))
    assert [push["offset"] for push in set_up.pushes] == [1, 2, 3]
    await pass_(0.01)
    assert (old.ended, next_.ended, set_up.states) == (True, False, ["connecting", "connected"])


@virtual_time
async def test_what_has_no_place_is_taken_from_the_newer_of_two_links_alone() -> None:
    set_up = await connected(hello={**HELLO, "connection_max_age_s": 100})
    await pass_(80.01)
    set_up.connection.ask([SYNC])  # what is not answered yet keeps the old one
    old, next_ = set_up.network.all()
    next_.greet()
    cursor = {name: value for name, value in event(1).items() if name not in ("epoch", "offset", "prev_offset")}
    old.say({**cursor, "ephemeral": True})
    assert set_up.pushes == []
    next_.say({**cursor, "ephemeral": True})
    assert len(set_up.pushes) == 1


@pytest.mark.parametrize("code", [1004, 1005])
@virtual_time
async def test_a_successor_that_is_refused_leaves_the_link_as_it_is(code: int) -> None:
    set_up = await connected(hello={**HELLO, "connection_max_age_s": 100})
    await pass_(80.01)
    set_up.last.open()
    set_up.last.refuse(set_up.last.request("hello"), error(code))
    assert (set_up.state, set_up.network.all()[0].ended) == ("connected", False)
    await pass_(60.01)
    assert len(set_up.network.made) == 3
    assert set_up.asked_for_token[-1] is (code == 1004)


@virtual_time
async def test_the_next_connection_takes_the_session_up_and_one_that_the_server_does_not_know_is_left_at_once() -> None:
    set_up = await connected()
    set_up.last.end()
    await pass_(RETRY_S)
    set_up.last.open()
    assert set_up.last.request("hello")["session_id"] == "s1"
    set_up.last.refuse(set_up.last.request("hello"), error(1011, "session_unknown"))
    assert len(set_up.network.made) == 3
    set_up.last.open()
    assert "session_id" not in set_up.last.request("hello")


@virtual_time
async def test_a_session_that_somebody_else_reads_is_left_to_them() -> None:
    set_up = await connected()
    set_up.last.say({"type": "system", "event": "superseded"})
    assert set_up.state == "reconnecting"
    await pass_(RETRY_S)
    set_up.last.open()
    assert "session_id" not in set_up.last.request("hello")


@virtual_time
async def test_a_first_hello_that_took_the_server_too_long_is_said_again() -> None:
    set_up = await opened()
    set_up.last.open()
    set_up.last.say({**DISCONNECT, "code": 3503, "name": "not_authenticated_in_time"})
    await pass_(RETRY_S)
    set_up.last.greet()
    assert (set_up.state, len(set_up.network.made)) == ("connected", 2)


# What goes by HTTP.


@virtual_time
async def test_a_session_that_is_being_asked_for_by_http_is_given_up_with_its_link() -> None:
    async def open_session(_endpoints: Endpoints, _hello: Frame) -> None:
        await asyncio.Event().wait()

    set_up = await connected()
    set_up.open_session = open_session
    set_up.last.max_bytes = 10
    asking = set_up.connection.ask([SYNC])[0]
    await settle()
    set_up.connection.close()
    assert (await error_of(asking)).kind == "closed"


@virtual_time
async def test_what_is_half_a_character_is_as_long_as_what_is_sent_for_it() -> None:
    set_up = await connected()
    set_up.last.max_bytes = 1_000
    asking = set_up.connection.ask([{**SYNC, "positions": {"\ud800": {}}}])[0]
    set_up.last.reply(set_up.last.request("sync"), {"behind": {}})
    assert await asking == {"behind": {}}
