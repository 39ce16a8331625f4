"""Rate limits: free while it is calm, counted in the store when it is hot, and how far over a limit one gets."""

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.memory import MemoryConnectionStore
from shared.domain.mailbox import GONE_AFTER_S
from shared.domain.principal import Principal
from shared.domain.rate import Rate
from shared.domain.stage_limits import DEFAULT_LIMITS
from shared.errors import LimitReachedError, RateLimitedError, SessionUnknownError, UnavailableError
from shared.services.limits import RateLimits
from shared.services.sessions import HelloRequest
from tests.unit.stack import ALL, MemoryStack

ANN = Principal("ann", ALL)
TEN_A_SECOND = "[namespaces.room]\npublish_rate_per_s = 10\npublish_burst = 20"


def publish_many(limits: RateLimits, count: int, principal: Principal = ANN) -> int:
    """Return how many are let through."""
    through = 0
    for _ in range(count):
        try:
            limits.publish(principal, "room:a")
        except RateLimitedError:
            continue
        through += 1
    return through


def test_a_calm_user_costs_nothing() -> None:
    stack = MemoryStack(TEN_A_SECOND)
    for _ in range(50):
        stack.limits.publish(ANN, "room:a")
        stack.clock.pass_s(1)
    assert stack.buckets.asked == 0


def test_a_flood_is_cut_to_burst_and_rate_and_costs_little() -> None:
    stack = MemoryStack(TEN_A_SECOND)
    assert publish_many(stack.limits, 1000) == 22  # the burst, and the tenth that a process lets through by itself
    asked = stack.buckets.asked
    assert asked <= 22
    stack.clock.pass_s(0.05)
    assert publish_many(stack.limits, 1000) == 0
    assert stack.buckets.asked == asked, "while it is refused, nobody asks the store"
    stack.clock.pass_s(10)
    assert publish_many(stack.limits, 1000) == 22


def test_the_refusal_says_when_to_come_back() -> None:
    stack = MemoryStack(TEN_A_SECOND)
    publish_many(stack.limits, 1000)
    with pytest.raises(RateLimitedError) as caught:
        stack.limits.publish(ANN, "room:a")
    assert caught.value.retry_after_ms is not None
    stack.clock.pass_s(caught.value.retry_after_ms / 1000 + 0.001)
    stack.limits.publish(ANN, "room:a")


def test_many_processes_together_stay_near_the_limit() -> None:
    stack = MemoryStack(TEN_A_SECOND)
    processes = [RateLimits(stack.buckets, stack.namespaces, stack.metrics, stack.clock) for _ in range(5)]
    through = sum(publish_many(process, 100) for process in processes)
    assert through <= 20 + 5 * 2


def test_users_do_not_share_a_limit_but_their_channel_has_one() -> None:
    stack = MemoryStack("[namespaces.room]\nchannel_rate_per_s = 30\nchannel_burst = 60")
    through = [publish_many(stack.limits, 50, replace(ANN, user_id=f"u{n}")) for n in range(4)]
    assert sum(through) == 66
    assert publish_many(stack.limits, 50, replace(ANN, server=True)) == 0


def test_no_users_name_reaches_into_another_channels_limit() -> None:
    stack = MemoryStack("[namespaces.room]\npublish_rate_per_s = 1\npublish_burst = 5")
    for user_id in ("2:x", "2 x", " x", ":2 x"):
        for _ in range(20):
            with suppress(RateLimitedError):
                stack.limits.publish(Principal(user_id, ALL), "room:1")
    stack.limits.publish(Principal("x", ALL), "room:1:2")


def test_servers_are_limited_by_the_channel_alone() -> None:
    stack = MemoryStack(TEN_A_SECOND)
    assert publish_many(stack.limits, 500, replace(ANN, server=True)) == 500


def test_a_store_that_does_not_count_stops_nobody() -> None:
    class Away:
        def take(self, key: str, rate: Rate, tokens: int, *, now_ms: int) -> float:
            raise UnavailableError

    stack = MemoryStack(TEN_A_SECOND)
    assert publish_many(replace(stack.limits, store=Away()), 100) == 100
    assert stack.metrics.values["LimitsNotCounted"]


def test_every_request_of_a_connection_counts() -> None:
    stack = MemoryStack()
    stack.connect("c", "ann")
    replies = [stack.ask("c", {"type": "ping"}) for _ in range(DEFAULT_LIMITS.request_burst * 6 // 5)]
    refused = [reply for reply in replies if reply["type"] == "reply"]
    assert {reply["error"]["name"] for reply in refused} == {"rate_limited"}
    assert refused[0]["error"]["retry_after_ms"] >= 1
    stack.clock.pass_s(3)
    assert stack.ask("c", {"type": "ping"})["type"] == "pong"


@pytest.mark.parametrize("body", ["no json", "[]", '{"type": "publish"}', '{"type": "dance"}', "[5]"])
def test_so_does_what_is_no_request(body: str) -> None:
    stack = MemoryStack()
    stack.connect("c", "ann")
    replies = [
        stack.dispatcher.handle("c", body, max_bytes=1000, received_at_ms=stack.clock())[0]
        for _ in range(DEFAULT_LIMITS.request_burst * 6 // 5)
    ]
    assert replies[0]["error"]["name"] != "rate_limited"
    assert replies[-1]["error"]["name"] == "rate_limited"


def test_a_batch_over_the_limit_is_refused_from_there_on() -> None:
    stack = MemoryStack()
    stack.connect("c", "ann")
    clock = count(stack.clock(), 4)  # milliseconds from one frame to the next: 10 bring a request back
    dispatcher = replace(stack.dispatcher, limits=replace(stack.limits, now_ms=lambda: next(clock)))
    batch = json.dumps([{"type": "ping"}] * 100)
    let_through = []
    for _ in range(10):
        replies = dispatcher.handle("c", batch, max_bytes=32_000, received_at_ms=stack.clock())
        let_through.append([reply["type"] for reply in replies].count("pong"))
        assert all(reply["type"] == "pong" for reply in replies[: let_through[-1]]), "and none after one refused"
    assert let_through[:3] == [100, 100, 100]
    assert let_through[-1] < 100


@given(
    st.floats(0.1, 100), st.integers(1, 50), st.lists(st.tuples(st.integers(0, 500), st.integers(1, 5)), max_size=50)
)
def test_a_bucket_never_gives_more_than_burst_and_rate(per_s: float, burst: int, takes: list[tuple[int, int]]) -> None:
    rate, now_ms, full_at_ms, taken = Rate(per_s, burst), 0, 0.0, 0
    for pause_ms, tokens in takes:
        now_ms += pause_ms
        if rate.wait_ms(full_at_ms, now_ms, tokens) == 0:
            full_at_ms = rate.full_at_ms(full_at_ms, now_ms, tokens)
            taken += tokens
    assert taken <= burst + per_s * now_ms / 1000 + 1e-6


def through(call: Callable[[], None], times: int) -> int:
    """Return how many of so many calls are let through."""
    passed = 0
    for _ in range(times):
        with suppress(RateLimitedError):
            call()
            passed += 1
    return passed


def limited(stack: MemoryStack, **limits: Any) -> RateLimits:
    return replace(stack.limits, stage=replace(DEFAULT_LIMITS, **limits))


# By kind: limits that are small, a call of somebody, one of somebody else, and how many come through at once: the burst
# and a tenth of it, which is at least one.
KINDS: dict[str, tuple[dict[str, Any], Callable[[RateLimits], None], Callable[[RateLimits], None], int]] = {
    "a user's HTTP requests": (
        {"user_http_rate_per_s": 1, "user_http_burst": 10},
        lambda limits: limits.http_request("ann"),
        lambda limits: limits.http_request("bob"),
        11,
    ),
    "a server's HTTP requests": (
        {"server_http_rate_per_s": 1, "server_http_burst": 20},
        lambda limits: limits.http_request("key:a", server=True),
        lambda limits: limits.http_request("key:a"),  # a user of that name is somebody else
        22,
    ),
    "a user's tickets": (
        {"ticket_rate_per_s": 1, "ticket_burst": 10},
        lambda limits: limits.ticket("ann"),
        lambda limits: limits.ticket("bob"),
        11,
    ),
    "an address's connections": (
        {"connect_rate_per_s": 1, "connect_burst": 10},
        lambda limits: limits.connect("192.0.2.1", pending=False),
        lambda limits: limits.connect("192.0.2.2", pending=False),
        11,
    ),
    "an address's pending connections": (
        {"address_pending": 10},
        lambda limits: limits.connect("192.0.2.1", pending=True),
        lambda limits: limits.connect("192.0.2.1", pending=False),
        11,
    ),
    "everybody's pending connections": (
        {"pending": 10},
        lambda limits: limits.connect("", pending=True),
        lambda limits: limits.connect("192.0.2.1", pending=False),
        11,
    ),
    "an address's calls for nobody": (
        {"anonymous_rate_per_s": 1, "anonymous_burst": 10},
        lambda limits: limits.anonymous("192.0.2.1"),
        lambda limits: limits.anonymous("192.0.2.2"),
        11,
    ),
    "an address's failures": (
        {"failure_rate_per_s": 1, "failure_burst": 10},
        lambda limits: limits.failed("192.0.2.1"),
        lambda limits: limits.failed("192.0.2.2"),
        11,
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_so_many_come_through_and_nobody_else_is_hit(kind: str) -> None:
    stack = MemoryStack()
    small, call, elses, expected = KINDS[kind]
    limits = limited(stack, **small)
    assert through(lambda: call(limits), 100) == expected
    assert through(lambda: elses(limits), 1) == 1
    stack.clock.pass_s(60)
    assert through(lambda: call(limits), 100) == expected


@pytest.mark.parametrize("kind", KINDS)
def test_while_it_is_calm_none_of_them_costs_anything(kind: str) -> None:
    stack = MemoryStack()
    for _ in range(50):
        KINDS[kind][1](stack.limits)
        stack.clock.pass_s(10)
    assert stack.buckets.asked == 0


def test_an_address_that_is_refused_takes_nothing_from_everybodys() -> None:
    limits = limited(MemoryStack(), address_pending=10, pending=100)
    through(lambda: limits.connect("192.0.2.1", pending=True), 1_000)
    assert through(lambda: limits.connect("192.0.2.2", pending=True), 10) == 10


def test_who_waits_for_pending_ones_to_end_may_open_as_many_again() -> None:
    stack = MemoryStack()
    limits = limited(stack, address_pending=100)
    assert through(lambda: limits.connect("192.0.2.1", pending=True), 500) == 110
    stack.clock.pass_s(1)
    again = through(lambda: limits.connect("192.0.2.1", pending=True), 500)
    assert 10 <= again <= 12, "a tenth of what may be pending, in a tenth of the time that it may be"


def test_whose_address_is_not_known_is_not_counted_by_it() -> None:
    stack = MemoryStack()
    limits = limited(stack, anonymous_burst=1, failure_burst=1, connect_burst=1)
    for call in (limits.anonymous, limits.failed, lambda address: limits.connect(address, pending=False)):
        assert through(lambda call=call: call(""), 50) == 50  # type: ignore[misc]


def test_failures_are_remembered_before_the_next_one() -> None:
    stack = MemoryStack()
    limits = limited(stack, failure_rate_per_s=1, failure_burst=10)
    limits.check_failures("192.0.2.1")
    through(lambda: limits.failed("192.0.2.1"), 20)
    with pytest.raises(RateLimitedError) as caught:
        limits.check_failures("192.0.2.1")
    limits.check_failures("192.0.2.2")
    stack.clock.pass_s((caught.value.retry_after_ms or 0) / 1000 + 0.001)
    limits.check_failures("192.0.2.1")


def test_bytes_are_counted_whatever_they_are() -> None:
    stack = MemoryStack()
    stack.connect("c", "ann")
    dispatcher = replace(stack.dispatcher, limits=limited(stack, bytes_rate_per_s=100_000, bytes_burst=1_000_000))

    def send(body: str | bytes) -> list[dict[str, Any]]:
        return dispatcher.handle("c", body, max_bytes=32_000, received_at_ms=stack.clock())

    large = json.dumps({"type": "sync", "id": 7, "positions": {}, "more": "ü" * 15_000}, ensure_ascii=False)
    bodies = {
        "frames": (large, 7, 35),
        "batches": (json.dumps([{"type": "ping", "id": 7, "x": "x" * 14_900}] * 2), 7, 36),
        "no JSON": ("x" * 30_000, None, 36),
        "too large": ("x" * 300_000, None, 3),
    }
    for name, (body, id_, most) in bodies.items():
        replies = [send(body)[0] for _ in range(50)]
        refused = [reply for reply in replies if reply.get("error", {}).get("name") == "rate_limited"]
        assert len(replies) - len(refused) in (most, most + 1), name
        assert {reply["id"] for reply in refused} == {id_}, "who asked is told"
        assert refused[-1]["error"]["retry_after_ms"] >= 1
        stack.clock.pass_s(60)
    assert send(large)[0]["result"] == {"behind": {}}


def test_small_frames_are_counted_by_their_number_alone() -> None:
    stack = MemoryStack()
    stack.connect("c", "ann")
    asked = stack.buckets.asked
    for _ in range(100):
        stack.ask("c", {"type": "ping", "x": "x" * 1_000})
        stack.clock.pass_s(0.1)
    assert stack.buckets.asked == asked


class TestSessionsTakenUpByHttp:
    @pytest.fixture
    def stack(self) -> MemoryStack:
        return MemoryStack()

    def open(self, stack: MemoryStack, session_id: str | None = None, user_id: str = "ann") -> str:
        session = stack.http_sessions.open(Principal(user_id, ALL), HelloRequest(session_id=session_id))
        return str(session["session_id"])

    def times(self, stack: MemoryStack, session_id: str) -> int:
        """Return how many times it can be taken up at once."""
        for done in range(50):
            try:
                self.open(stack, session_id)
            except RateLimitedError as error:
                assert error.retry_after_ms
                return done
        return 50

    def test_each_has_a_rate(self, stack: MemoryStack) -> None:
        """Each time all that it is subscribed to is written again."""
        session, other = self.open(stack), self.open(stack)
        assert 10 <= self.times(stack, session) <= 11
        assert 10 <= self.times(stack, other) <= 11
        stack.clock.pass_s(5)
        assert self.times(stack, session) == 1

    def test_the_rate_is_the_sessions_whatever_has_it(self, stack: MemoryStack) -> None:
        session, done = self.open(stack), 0
        for _ in range(5):
            stack.mailbox_store.mailboxes.clear()  # each time a new one
            done += self.times(stack, session)
        assert 10 <= done <= 12

    def test_nobody_uses_up_anothers(self, stack: MemoryStack) -> None:
        session = self.open(stack)
        for _ in range(50):
            with pytest.raises(SessionUnknownError):
                self.open(stack, session, "bob")
        assert 10 <= self.times(stack, session) <= 11

    def test_beginning_one_is_not_counted(self, stack: MemoryStack) -> None:
        for _ in range(50):
            self.open(stack)
        assert stack.buckets.asked == 0


class TestConnectionsOfAUser:
    @pytest.fixture
    def stack(self) -> MemoryStack:
        stack = MemoryStack()
        object.__setattr__(stack.subscriptions, "limits", replace(DEFAULT_LIMITS, user_connections=2))
        return stack

    def hello(self, stack: MemoryStack, connection_id: str, user_id: str, **fields: Any) -> dict[str, Any]:
        stack.connect(connection_id)
        return stack.ask(connection_id, {"type": "hello", "protocol": 1, "token": stack.token(user_id), **fields})

    def test_one_more_is_refused_and_another_users_is_not(self, stack: MemoryStack) -> None:
        for connection_id in ("1", "2"):
            assert "result" in self.hello(stack, connection_id, "ann")
        error = self.hello(stack, "3", "ann")["error"]
        assert (error["name"], error["details"]) == ("limit_reached", {"limit": 2})
        assert "result" in self.hello(stack, "4", "bob")
        stack.sessions.disconnect("1")
        assert "result" in stack.ask("3", {"type": "hello", "protocol": 1, "token": stack.token("ann")})

    def test_saying_hello_again_takes_no_place(self, stack: MemoryStack) -> None:
        for connection_id in ("1", "2"):
            assert "result" in self.hello(stack, connection_id, "ann")
        for _ in range(3):
            assert "result" in stack.ask("1", {"type": "hello", "protocol": 1, "token": stack.token("ann")})

    def test_a_session_may_move_but_not_for_ever(self, stack: MemoryStack) -> None:
        session = self.hello(stack, "1", "ann")["result"]["session_id"]
        assert "result" in self.hello(stack, "2", "ann")
        assert "result" in self.hello(stack, "3", "ann", session_id=session), "the one before is about to be closed"
        assert self.hello(stack, "4", "ann", session_id=session)["error"]["name"] == "limit_reached"
        stack.sessions.disconnect("1")
        assert "result" in stack.ask(
            "4", {"type": "hello", "protocol": 1, "token": stack.token("ann"), "session_id": session}
        )

    def test_sessions_by_http_count_as_well(self, stack: MemoryStack) -> None:
        ann = stack.tokens.verify(stack.token("ann"))
        for _ in range(2):
            session = stack.http_sessions.open(ann, HelloRequest())["session_id"]
        connections = len(stack.connections.connections)
        with pytest.raises(LimitReachedError):
            stack.http_sessions.open(ann, HelloRequest())
        assert len(stack.connections.connections) == connections, "nothing is left of it"
        assert self.hello(stack, "1", "ann")["error"]["name"] == "limit_reached"
        stack.http_sessions.open(ann, HelloRequest(session_id=session))

    def live(self, stack: MemoryStack) -> int:
        return len(stack.connections.subscribers("user:ann").connection_ids)

    def left(self, stack: MemoryStack) -> list[str]:
        """Return two sessions that nothing has any more."""
        sessions = []
        for connection_id in ("a", "b"):
            sessions.append(self.hello(stack, connection_id, "ann")["result"]["session_id"])
            stack.sessions.disconnect(connection_id)
        return sessions

    @pytest.mark.parametrize("way", ["open", "read", "websocket"])
    def test_one_that_comes_back_takes_a_place_when_what_it_had_has_gone(self, stack: MemoryStack, way: str) -> None:
        sessions, ann = self.left(stack), stack.tokens.verify(stack.token("ann"))
        assert "result" in self.hello(stack, "1", "ann")

        def back(number: int) -> None:
            if way == "open":
                stack.http_sessions.open(ann, HelloRequest(session_id=sessions[number]))
            elif way == "read":
                stack.mailbox_reader.begin(sessions[number], "ann", None, "sse")
            else:
                stack.connect(f"back {number}")
                hello = HelloRequest(token=stack.token("ann"), session_id=sessions[number])
                stack.sessions.hello(stack.connections.connections[f"back {number}"], hello)

        back(0)
        mailboxes = len(stack.mailbox_store.mailboxes)
        with pytest.raises(LimitReachedError):
            back(1)
        assert (self.live(stack), len(stack.mailbox_store.mailboxes)) == (2, mailboxes)
        stack.sessions.disconnect("1")
        back(1)

    @pytest.mark.parametrize("before", ["websocket", "mailbox"])
    def test_one_that_leaves_its_connection_has_a_place_by_http(self, stack: MemoryStack, before: str) -> None:
        ann = stack.tokens.verify(stack.token("ann"))
        assert "result" in self.hello(stack, "1", "ann")
        if before == "websocket":
            session = self.hello(stack, "2", "ann")["result"]["session_id"]
        else:
            session = stack.http_sessions.open(ann, HelloRequest())["session_id"]
            stack.clock.pass_s(GONE_AFTER_S)  # it is there, but no more to be renewed: another one takes its place
        stack.http_sessions.open(ann, HelloRequest(session_id=session))
        stack.mailbox_reader.begin(session, "ann", None, "sse")

    def test_with_no_limit_nobody_is_counted(self) -> None:
        class Uncountable(MemoryConnectionStore):
            def subscribers(self, *_arguments: Any, **_named: Any) -> Any:
                raise AssertionError("was counted")

        stack = MemoryStack()
        subscriptions = replace(stack.subscriptions, connections=Uncountable(stack.clock))
        subscriptions.check_connections("ann")
        with pytest.raises(AssertionError):
            replace(subscriptions, limits=replace(DEFAULT_LIMITS, user_connections=1)).check_connections("ann")


def test_a_connection_has_as_many_subscriptions_as_the_stage_says() -> None:
    stack = MemoryStack()
    subscriptions = replace(stack.subscriptions, limits=replace(DEFAULT_LIMITS, subscriptions=2))
    stack.sessions = replace(stack.sessions, subscriptions=subscriptions)
    stack.dispatcher = replace(stack.dispatcher, sessions=stack.sessions, subscriptions=subscriptions)
    stack.connect("c")
    hello = stack.ask("c", {"type": "hello", "protocol": 1, "token": stack.token("ann")})
    assert hello["result"]["limits"]["max_subscriptions"] == 2
    for number in range(2):
        assert "result" in stack.ask("c", {"type": "subscribe", "channel": f"room:{number}"})
    error = stack.ask("c", {"type": "subscribe", "channel": "room:2"})["error"]
    assert (error["name"], error["details"]) == ("limit_reached", {"limit": 2})
