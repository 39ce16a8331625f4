"""Rate limits: free while it is calm, counted in the store when it is hot, and how far over a limit one gets."""

import json
from contextlib import suppress
from dataclasses import replace
from itertools import count

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.principal import Principal
from shared.domain.rate import Rate
from shared.errors import RateLimitedError, UnavailableError
from shared.services.limits import CONNECTION_RATE, RateLimits
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
    replies = [stack.ask("c", {"type": "ping"}) for _ in range(int(CONNECTION_RATE.burst * 1.2))]
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
        for _ in range(int(CONNECTION_RATE.burst * 1.2))
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
