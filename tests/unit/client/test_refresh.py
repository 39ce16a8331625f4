"""A token that ends soon is replaced on the connection that stands."""

import asyncio
from typing import Any

import pytest

from tests.unit.client.fakes import HELLO, error, error_of, event
from tests.unit.client.test_connection import DISCONNECT, RETRY_S, SYNC, SetUp, connected, pass_
from tests.unit.client.virtual import settle, virtual_time
from tidewire.errors import closed, uncertain
from tidewire.frames import Frame

EXPIRING: Frame = {
    "type": "system",
    "event": "token_expiring",
    "expires_at_ms": HELLO["server_time_ms"] + 60_000,  # a minute after hello
}
REFUSED = error(1004, "unauthenticated")


def refreshes(set_up: SetUp) -> list[Frame]:
    return [request for _, transport in set_up.network.made for request in transport.asked("refresh")]


async def expiring(set_up: SetUp) -> None:
    set_up.last.say(EXPIRING)
    await settle()


@virtual_time
async def test_a_token_that_ends_soon_is_replaced_and_nothing_else_happens_to_the_connection() -> None:
    set_up = await connected()
    (answer,) = set_up.connection.ask([SYNC])
    await expiring(set_up)
    assert set_up.asked_for_token == [False, True]
    (refresh,) = refreshes(set_up)
    assert refresh == {"type": "refresh", "id": refresh["id"], "token": "fresh"}
    set_up.last.reply(refresh, {"expires_at_ms": EXPIRING["expires_at_ms"] + 3_600_000})
    set_up.last.reply(set_up.last.request("sync"), {"behind": {}})
    assert await answer == {"behind": {}}
    set_up.last.say(event(1))
    await pass_(60)
    assert set_up.pushes == [event(1)]  # what the connection itself was told is nobody else's
    assert (len(refreshes(set_up)), len(set_up.network.made)) == (1, 1)
    assert set_up.states == ["connecting", "connected"]
    await expiring(set_up)  # and this token's end
    assert len(refreshes(set_up)) == 2
    set_up.connection.close()
    await pass_(1)


@virtual_time
async def test_told_several_times_it_asks_for_one_token_and_sends_it_once() -> None:
    set_up = await connected()
    set_up.last.say([EXPIRING, EXPIRING])
    await settle()
    await expiring(set_up)
    assert set_up.asked_for_token == [False, True]
    assert len(refreshes(set_up)) == 1
    set_up.connection.close()
    await pass_(1)


@virtual_time
@pytest.mark.parametrize(
    ("failure", "told"),
    [(OSError("no network"), True), (asyncio.CancelledError(), True), (closed("not now"), False)],
    ids=lambda value: type(value).__name__,
)
async def test_a_token_that_cannot_be_had_is_asked_for_again_with_growing_waits(
    failure: BaseException, told: bool
) -> None:
    set_up = await connected()
    failures = 2

    async def token(_fresh: bool) -> str:
        nonlocal failures
        failures -= 1
        if failures >= 0:
            raise failure
        return "fresh"

    set_up.token, set_up.chance = token, 0.5
    await expiring(set_up)
    await pass_(0.375)
    assert failures == 0
    await pass_(0.624)
    assert refreshes(set_up) == []
    await pass_(0.002)
    assert [each["token"] for each in refreshes(set_up)] == ["fresh"]
    assert set_up.reports == ([failure] * 2 if told else [])
    assert set_up.states == ["connecting", "connected"]
    set_up.connection.close()
    await pass_(2)


@virtual_time
async def test_a_refresh_that_fails_in_passing_or_is_not_answered_is_sent_again_with_the_same_token_if_need_be() -> (
    None
):
    set_up = await connected()
    await expiring(set_up)
    set_up.last.refuse(set_up.last.request("refresh"), error(2001))
    await pass_(RETRY_S)
    assert [each["token"] for each in refreshes(set_up)] == ["fresh", "fresh"]
    await pass_(9)
    set_up.last.say({"type": "pong"})
    await pass_(1 + RETRY_S)
    assert len(refreshes(set_up)) == 3
    set_up.connection.close()
    await pass_(1)


@virtual_time
async def test_refused_when_nobody_waits_for_it_any_more_it_is_still_no_affair_of_the_connection() -> None:
    set_up = await connected()
    await expiring(set_up)
    late = set_up.last.request("refresh")
    await pass_(9)
    set_up.last.say({"type": "pong"})
    await pass_(1 + RETRY_S)
    assert len(refreshes(set_up)) == 2
    set_up.last.refuse(late, REFUSED)
    set_up.last.reply(set_up.last.request("refresh"), {})
    await pass_(10)
    assert set_up.states == ["connecting", "connected"]
    assert len(refreshes(set_up)) == 2
    set_up.connection.close()
    await pass_(1)


@virtual_time
@pytest.mark.parametrize("refusal", [REFUSED, error(1005, "forbidden")], ids=lambda refusal: refusal["name"])
async def test_a_token_that_was_refused_is_not_sent_again_another_one_is(refusal: Frame) -> None:
    set_up = await connected()
    (waits,) = set_up.connection.ask([SYNC], 60)
    await expiring(set_up)
    set_up.last.refuse(set_up.last.request("refresh"), refusal)
    await pass_(5)
    assert len(set_up.asked_for_token) > 3
    assert len(refreshes(set_up)) == 1

    async def token(_fresh: bool) -> str:
        return "new"

    set_up.token = token
    await pass_(RETRY_S)
    assert [each["token"] for each in refreshes(set_up)] == ["fresh", "new"]
    assert set_up.state == "connected"
    set_up.connection.close()
    assert (await error_of(waits)).kind == "closed"  # nothing had become of it before
    await pass_(1)


@virtual_time
async def test_when_the_time_is_up_nothing_is_asked_any_more_and_the_servers_end_brings_one_more_round() -> None:
    set_up = await connected()
    await expiring(set_up)
    set_up.last.refuse(set_up.last.request("refresh"), REFUSED)
    await pass_(60)
    asked = len(set_up.asked_for_token)
    await pass_(60)
    assert len(set_up.asked_for_token) == asked
    set_up.last.say({**DISCONNECT, "code": 3500, "name": "token_expired"})
    assert set_up.states[-1] == "reconnecting"
    await pass_(RETRY_S)
    assert set_up.asked_for_token[asked:] == [True]
    set_up.last.open()
    set_up.last.refuse(set_up.last.request("hello"), REFUSED)
    assert set_up.state == "closed"
    assert set_up.errors[-1] is not None and set_up.errors[-1].kind == "unauthenticated"


@virtual_time
@pytest.mark.parametrize("at_ms", [-1, None, "soon", HELLO["server_time_ms"]])
async def test_it_is_tried_once_however_late_it_was_told(at_ms: Any) -> None:
    set_up = await connected()
    set_up.last.say({**EXPIRING, "expires_at_ms": at_ms})
    await settle()
    set_up.last.refuse(set_up.last.request("refresh"), error(2001))
    await pass_(60)
    assert len(refreshes(set_up)) == 1
    set_up.connection.close()


@virtual_time
async def test_once_it_is_closed_no_token_is_asked_for() -> None:
    set_up = await connected()
    asked = 0

    async def token(_fresh: bool) -> str:
        nonlocal asked
        asked += 1
        raise uncertain("no token now")

    set_up.token = token
    await expiring(set_up)
    set_up.connection.close()
    await pass_(60)
    assert asked == 1


@virtual_time
async def test_a_connection_that_was_lost_while_a_token_was_awaited_is_not_told_it() -> None:
    set_up = await connected()
    given: list[asyncio.Future[str]] = []

    def token(fresh: bool) -> "asyncio.Future[str]":
        future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        if fresh:
            given.append(future)
        else:
            future.set_result("good")
        return future

    set_up.token = token
    await expiring(set_up)
    set_up.last.end()
    given[0].set_result("fresh")
    await pass_(RETRY_S)
    set_up.last.greet()
    await settle()
    assert refreshes(set_up) == []
    await expiring(set_up)  # the next one, of its own token's end
    given[1].set_result("fresh")
    await settle()
    assert len(refreshes(set_up)) == 1
    set_up.connection.close()
    await pass_(1)
