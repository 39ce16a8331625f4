"""Commands: asked of the server or a peer, and done for peers."""

import asyncio
from random import Random
from typing import Any

import pytest

from tests.unit.client.host import FakeHost, raising, wire_error
from tests.unit.client.virtual import settle, virtual_time
from tidewire.commands import CommandContext, CommandError, Commands
from tidewire.errors import TidewireError, closed, uncertain
from tidewire.frames import Frame, Sender

NOW_MS = 1_000_000_000  # as the tests' clock begins
SENDER = {"user_id": "bob", "connection_id": "c2"}
CIRCLE: Frame = {}
CIRCLE["self"] = CIRCLE


def command(**fields: Any) -> Frame:
    base = {"type": "command", "command_id": "k1", "name": "move", "data": {"to": "e4"}, "sender": SENDER}
    return {**base, "expires_at_ms": NOW_MS + 10_000, **fields}


def results(fake: FakeHost) -> list[Frame]:
    return [sent.request for sent in fake.sent]


@virtual_time
async def test_asks_the_server_or_a_peer_and_waits_longer_for_the_answer_than_the_peer_has() -> None:
    fake = FakeHost()
    commands = Commands(fake.host)
    asking = asyncio.create_task(commands.ask("dice.roll", {"dice": 2}))
    await settle()
    assert fake.last.request == {"type": "command", "name": "dice.roll", "data": {"dice": 2}, "timeout_ms": 10_000}
    assert fake.last.timeout_s == 15
    fake.last.resolve({"data": {"total": 7}})
    assert await asking == {"total": 7}
    refusing = asyncio.create_task(commands.ask("move", to={"user_id": "bob"}, timeout_s=0.25))
    await settle()
    request = {"type": "command", "name": "move", "data": None, "timeout_ms": 250, "to": {"user_id": "bob"}}
    assert (fake.last.request, fake.last.timeout_s) == (request, 5.25)
    fake.last.reject(uncertain("no answer came"))
    with pytest.raises(TidewireError, match="no answer came"):
        await refusing
    assert len(fake.sent) == 2  # it may have been done


@virtual_time
async def test_what_no_frame_can_hold_is_not_asked() -> None:
    fake = FakeHost()
    with pytest.raises(TidewireError, match="24002 bytes"):
        await Commands(fake.host).ask("x", "ä" * 12_000)
    with pytest.raises(TypeError):
        await Commands(fake.host).ask("x", fake)
    with pytest.raises(ValueError):
        await Commands(fake.host).ask("x", CIRCLE)
    assert fake.sent == []


@pytest.mark.parametrize("later", [True, False])
@pytest.mark.parametrize("data", [{"ok": True}, None, 0])
@virtual_time
async def test_answers_with_what_the_handler_returns_or_what_can_be_awaited_for(data: Any, later: bool) -> None:
    fake, heard = FakeHost(reply=lambda _: {}), []

    def handler(data_in: Any, context: CommandContext) -> Any:
        heard.append((data_in, context))
        return asyncio.sleep(1, data) if later else data

    commands = Commands(fake.host)
    commands.on("move", handler)
    commands.push(command())
    await asyncio.sleep(1)
    await settle()
    assert heard == [({"to": "e4"}, CommandContext(Sender("bob", "c2"), NOW_MS + 10_000))]
    assert results(fake) == [{"type": "result", "command_id": "k1", "data": data}]
    assert fake.reports == []


@pytest.mark.parametrize(
    ("thrown", "error", "reports"),
    [
        (TypeError("no move"), {"message": "no move"}, 1),
        (ValueError(), {"message": "failed"}, 1),
        (ValueError("\U0001f600" * 1_001), {"message": "\U0001f600" * 1_000}, 1),
        (ValueError("\ud800"), {"message": "?"}, 1),
        (CommandError("not yet", {"turn": 3}), {"message": "not yet", "details": {"turn": 3}}, 0),
        (CommandError("not yet"), {"message": "not yet"}, 0),
        (CommandError("not yet", {"x": "x" * 8_000}), {"message": "not yet"}, 0),
        (CommandError("not yet", CIRCLE), {"message": "not yet"}, 0),
        (CommandError("not yet", [1]), {"message": "not yet"}, 0),  # type: ignore[arg-type]
    ],
    ids=lambda value: repr(value)[:40],
)
@virtual_time
async def test_tells_of_a_failure_no_more_than_its_words(thrown: Exception, error: Frame, reports: int) -> None:
    async def later(*_: Any) -> None:
        raise thrown

    for handler in (raising(thrown), later):
        fake = FakeHost(reply=lambda _: {})
        commands = Commands(fake.host)
        commands.on("move", handler)
        commands.push(command())
        await settle()
        assert results(fake) == [{"type": "result", "command_id": "k1", "error": error}]
        assert len(fake.reports) == reports


@virtual_time
async def test_a_handler_that_was_cancelled_has_failed() -> None:
    fake = FakeHost(reply=lambda _: {})
    commands = Commands(fake.host)

    async def handler(*_: Any) -> None:
        never = asyncio.get_running_loop().create_future()
        never.cancel()
        await never

    commands.on("move", handler)
    commands.push(command())
    await settle()
    assert results(fake) == [{"type": "result", "command_id": "k1", "error": {"message": "it was cancelled"}}]


@virtual_time
async def test_a_handler_ends_with_the_client() -> None:
    fake = FakeHost(reply=lambda _: {})
    commands = Commands(fake.host)
    commands.on("move", lambda *_: asyncio.sleep(5))
    commands.push(command())
    await settle()
    await fake.close()
    assert (fake.sent, fake.reports) == ([], [])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({1, 2}, "Object of type set is not JSON serializable"),
        ("ä" * 12_000, "24002 bytes is too much"),
        (CIRCLE, "Circular reference detected"),
    ],
    ids=["no JSON", "too large", "a circle"],
)
@virtual_time
async def test_an_answer_that_can_not_be_sent_is_an_error(data: Any, message: str) -> None:
    fake = FakeHost(reply=lambda _: {})
    commands = Commands(fake.host)
    commands.on("move", lambda *_: data)
    commands.push(command())
    await settle()
    assert results(fake) == [{"type": "result", "command_id": "k1", "error": {"message": message}}]
    assert len(fake.reports) == 1


@virtual_time
async def test_a_command_without_a_handler_an_expired_one_and_a_repeat_are_not_run() -> None:
    fake = FakeHost(reply=lambda _: {})
    commands = Commands(fake.host)
    first: list[Any] = []
    other: list[Any] = []

    async def run(**fields: Any) -> tuple[int, int]:
        commands.push(command(**fields))
        await settle()
        return len(first), len(other)

    def one(*called: Any) -> None:
        first.append(called)

    stop = commands.on("move", one)
    assert await run(name="other") == (0, 0)
    assert await run(expires_at_ms=NOW_MS) == (0, 0)
    assert await run() == (1, 0)
    assert await run() == (1, 0)
    assert len(fake.sent) == 1
    commands.on("move", lambda *called: other.append(called))
    stop()  # it has been replaced
    assert await run(command_id="k2") == (1, 1)
    await asyncio.sleep(10)  # what has expired is forgotten
    assert await run(expires_at_ms=NOW_MS + 20_000) == (1, 2)
    commands.on("move", one)()
    assert await run(command_id="k3", expires_at_ms=NOW_MS + 20_000) == (1, 2)


@virtual_time
async def test_the_servers_clock_counts() -> None:
    fake = FakeHost(reply=lambda _: {}, ahead_ms=60_000)
    commands = Commands(fake.host)
    commands.on("move", lambda *_: 1)
    commands.push(command())
    commands.push(command(command_id="k2", expires_at_ms=NOW_MS + 60_001))
    await settle()
    assert [result["command_id"] for result in results(fake)] == ["k2"]


@virtual_time
async def test_a_result_is_sent_again_until_the_command_expires() -> None:
    fake = FakeHost()
    commands = Commands(fake.host)
    commands.on("move", lambda *_: 1)
    commands.push(command())
    await settle()
    fake.last.reject(wire_error(retry_after_ms=4_000))
    await asyncio.sleep(3.9)
    assert len(fake.sent) == 1
    await asyncio.sleep(0.2)
    assert len(fake.sent) == 2
    fake.last.reject(uncertain("the connection ended"))
    await asyncio.sleep(0.3)
    assert len(fake.sent) == 3
    fake.last.reject(wire_error(retry_after_ms=6_000))
    await asyncio.sleep(60)
    assert (len(fake.sent), fake.reports) == (3, [])


@virtual_time
async def test_a_result_that_fails_again_and_again_is_sent_less_and_less_often() -> None:
    fake = FakeHost(reply=raising(uncertain("no answer")), random=lambda: 1.0)
    commands = Commands(fake.host)
    commands.on("move", lambda *_: 1)
    commands.push(command())
    counts = []
    for _ in range(4):
        await asyncio.sleep(2)
        counts.append(len(fake.sent))
    await fake.close()
    assert counts == [3, 4, 4, 5]


@virtual_time
async def test_an_answer_that_comes_after_the_command_has_expired_is_not_sent() -> None:
    fake = FakeHost()
    commands = Commands(fake.host)
    commands.on("move", lambda *_: asyncio.sleep(10))
    commands.push(command())
    await asyncio.sleep(11)
    assert fake.sent == []


@pytest.mark.parametrize(
    ("error", "reports"),
    [
        (wire_error(1008, "unknown_command"), 0),
        (wire_error(1005, "forbidden"), 0),
        (closed("the client is closed"), 0),
        (wire_error(1002, "invalid_field"), 1),
    ],
    ids=["the first answer was another's", "of another connection", "closed", "unreadable"],
)
@virtual_time
async def test_a_result_that_is_refused_is_not_sent_again(error: TidewireError, reports: int) -> None:
    fake = FakeHost()
    commands = Commands(fake.host)
    commands.on("move", lambda *_: 1)
    commands.push(command())
    await settle()
    fake.last.reject(error)
    await asyncio.sleep(10)
    assert (len(fake.sent), len(fake.reports)) == (1, reports)


@pytest.mark.parametrize("seed", range(20))
@virtual_time
async def test_whatever_is_said_nothing_is_raised(seed: int) -> None:
    random, fake = Random(seed), FakeHost()
    commands = Commands(fake.host)
    ran = []

    def move(data: Any, _: CommandContext) -> Any:
        ran.append(data)
        return data if random.random() < 0.5 else raising(OSError())()

    commands.on("move", move)
    junk: list[Any] = [None, 1, "move", "k1", {}, [], 1e21, -1, "", NOW_MS + 5_000, {"user_id": 1}, True, float("nan")]
    for number in range(100):
        key = random.choice(["command_id", "name", "data", "sender", "expires_at_ms"])
        frame = command(command_id=f"k{number}", expires_at_ms=NOW_MS + 10**9) | {key: random.choice(junk)}
        if random.random() < 0.1:
            del frame[key]
        commands.push(frame)
        asking = asyncio.create_task(commands.ask("x", number))
        await settle()
        for sent in fake.sent:
            if random.random() < 0.5:
                sent.resolve(random.choice(junk))
            else:
                sent.reject(wire_error(random.choice((1002, 1005, 1008, 2001)), retry_after_ms=random.choice(junk)))
        fake.sent.clear()
        await asyncio.wait([asking])
        assert asking.exception() is None or isinstance(asking.exception(), TidewireError)
        await asyncio.sleep(random.random() * 0.3)
    assert ran
    assert all(isinstance(error, OSError | TidewireError | ValueError) for error in fake.reports)
    await fake.close()
