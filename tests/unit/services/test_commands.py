"""Commands that the server runs: who may, what goes in and comes out, and that a handler can break nothing."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from typing import Any, Literal, cast
from uuid import UUID

import pytest
from pydantic import BaseModel, ConfigDict, Field, field_validator

from shared.domain.commands import Command, CommandContext, CommandError, catalogue, command
from shared.errors import ConfigError, ForbiddenError, RefusedError, UnavailableError
from shared.protocol.command_data import described
from shared.protocol.requests import Model
from tests.unit.stack import MemoryStack

ASK: dict[str, Any] = {"type": "command", "name": "test", "data": {"n": 1}}


class Inner(Model):
    when: date | None = None
    kind: UUID | None = None


class Input(Model):
    n: int
    inner: list[Inner] = Field(default_factory=list)
    tags: dict[str, int] = Field(default_factory=dict)


class Output(Model):
    n: int


def double(request: Input, context: CommandContext) -> Output:
    """Return twice as much.

    And no more.
    """
    return Output(n=2 * request.n)


def stack_with(
    handler: Callable[..., Any] | Command = double, *, timeout_s: float = 10, caps: Any = None
) -> MemoryStack:
    """Return a stack with a command ``test``, and ann on connection ``a``."""
    stack = MemoryStack()
    one = handler if isinstance(handler, Command) else command("test", timeout_s=timeout_s)(handler)
    stack.catalogue[one.name] = one
    stack.connect("a", "ann", caps)
    return stack


def doing(work: Callable[[CommandContext], Any], *, timeout_s: float = 10) -> MemoryStack:
    def handler(_request: Input, context: CommandContext) -> Output:
        return cast(Output, work(context))

    return stack_with(handler, timeout_s=timeout_s)


def error_of(stack: MemoryStack, **fields: Any) -> dict[str, Any]:
    reply = stack.ask("a", ASK | fields)
    error: dict[str, Any] = reply["error"]
    return error


def test_a_command_is_answered_with_what_its_handler_returns() -> None:
    stack = stack_with()
    assert stack.ask("a", ASK | {"data": {"n": 21}})["result"] == {"data": {"n": 42}}
    assert stack.metrics.values["Commands"] == [1]


def test_a_batch_is_handled_in_order_publications_too() -> None:
    seen: list[int] = []

    def look(_request: Input, context: CommandContext) -> Output:
        seen.append(len(stack.lanes.sent))
        return Output(n=0)

    stack = stack_with(look)
    publish: dict[str, Any] = {"type": "publish", "channel": "room:a", "name": "n", "data": 1}
    frames = [frame | {"id": number} for number, frame in enumerate((publish, ASK, publish, ASK))]
    replies = stack.dispatcher.handle("a", json.dumps(frames), max_bytes=32_000, received_at_ms=stack.clock())
    assert [reply["id"] for reply in replies] == [0, 1, 2, 3]
    assert all("result" in reply for reply in replies)
    assert seen == [1, 2]


# Who may


@pytest.mark.parametrize("name", ["test", "no.such"])
def test_who_may_not_learns_nothing_of_what_there_is(name: str) -> None:
    stack = stack_with(caps={"*": ["publish", "send"], "command:other*": ["command"], "test:*": ["command"]})
    assert error_of(stack, name=name)["name"] == "forbidden"
    assert stack.metrics.values["Commands"] == []


def test_who_may_is_told_what_there_is_not() -> None:
    stack = stack_with(caps={"command:te*": ["command"]})
    assert "result" in stack.ask("a", ASK)
    error = error_of(stack, name="te.st")
    assert (error["code"], error["name"], error["retryable"]) == (1008, "unknown_command", False)


def test_who_has_said_nothing_or_whose_token_has_ended_runs_nothing() -> None:
    stack = stack_with()
    stack.connect("pending")
    assert stack.ask("pending", ASK)["error"]["name"] == "unauthenticated"
    ann = stack.connections.connections["a"]
    assert ann.principal is not None
    ended = replace(ann.principal, expires_at_s=stack.clock() // 1000)
    stack.connections.connections["a"] = replace(ann, principal=ended)
    assert error_of(stack)["name"] == "unauthenticated"
    assert stack.metrics.values["Commands"] == []


def test_commands_are_listed_for_who_may_use_them() -> None:
    stack = stack_with()
    stack.catalogue["another"] = command("another", timeout_s=2.5)(double)
    listed = stack.commands.offered(stack.tokens.verify(stack.token("ann")))
    assert [one["name"] for one in listed] == ["another", "test"]
    assert [one["timeout_ms"] for one in listed] == [2500, 10_000]
    assert listed[1]["description"] == "Return twice as much."
    assert listed[1]["input"]["required"] == ["n"]
    assert listed[1]["output"]["properties"]["n"]["type"] == "integer"
    limited = stack.tokens.verify(stack.token("ann", {"command:test": ["command"]}))
    assert [one["name"] for one in stack.commands.offered(limited)] == ["test"]


# What goes in


@pytest.mark.parametrize(
    ("data", "field"),
    [
        (None, "data"),
        ([], "data"),
        ({}, "data.n"),
        ({"n": "1"}, "data.n"),
        ({"n": True}, "data.n"),
        ({"n": 1, "inner": [{}, {"when": "hush"}]}, "data.inner.1.when"),
        ({"n": 1, "inner": [{"kind": "hush"}]}, "data.inner.0.kind"),
        ({"n": 1, "tags": {"hush": "x"}}, "data.tags"),
    ],
)
def test_what_does_not_fit_is_told_by_its_field_and_not_repeated(data: Any, field: str) -> None:
    stack = stack_with()
    error = error_of(stack, data=data)
    assert error["name"] == "invalid_field"
    assert [problem["field"] for problem in error["details"]["fields"]] == [field]
    assert "hush" not in json.dumps(error)
    assert stack.failures == []


class Cat(Model):
    kind: Literal["cat"]


class Dog(Model):
    kind: Literal["dog"]


class Kennel(BaseModel):
    model_config = ConfigDict(extra="forbid")
    animal: Cat | Dog = Field(discriminator="kind")
    size: int = 1

    @field_validator("size")
    @classmethod
    def _small(cls, value: int) -> int:
        if value > 9:
            raise ValueError("at most nine fit")
        return value


def admit(request: Kennel, context: CommandContext) -> Output:
    return Output(n=request.size)


@pytest.mark.parametrize(
    ("data", "told"),
    [
        ({"animal": {"kind": "hush"}}, "union tag invalid"),
        ({"animal": {"kind": "cat"}, "hush": 1}, "Extra inputs"),
        ({"animal": {"kind": "cat"}, "size": 10}, "at most nine fit"),
    ],
)
def test_any_model_will_do_and_a_validators_words_are_told(data: Any, told: str) -> None:
    stack = stack_with(admit)
    error = error_of(stack, data=data)
    assert told in error["message"]
    assert "hush" not in json.dumps(error)
    assert stack.ask("a", ASK | {"data": {"animal": {"kind": "dog"}}})["result"] == {"data": {"n": 1}}


def test_a_strict_model_takes_what_json_has_no_type_for_as_text() -> None:
    def handler(request: Inner, context: CommandContext) -> Inner:
        return request

    data = {"when": "2026-07-01", "kind": "6f1c9c0e-7d3e-4b3f-8a41-0d2a60a0c2d4"}
    assert stack_with(handler).ask("a", ASK | {"data": data})["result"] == {"data": data}


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "n" * 101},
        {"name": "a b"},
        {"name": "test\n"},
        {"timeout_ms": 99},
        {"timeout_ms": 25_001},
        {"timeout_ms": "1000"},
        {"to": {}},
    ],
)
def test_a_command_that_cannot_be_one_is_no_request(fields: dict[str, Any]) -> None:
    assert error_of(stack_with(), **fields)["name"] == "invalid_field"


@pytest.mark.parametrize(("length", "name"), [(24_000 - 2, "invalid_field"), (24_000 - 1, "too_large")])
def test_data_has_the_limit_that_all_data_has(length: int, name: str) -> None:
    assert error_of(stack_with(), data="x" * length)["name"] == name


# What comes out


def raising(error: BaseException) -> Callable[[CommandContext], Any]:
    def raises(_context: CommandContext) -> Any:
        raise error

    return raises


def deep() -> Any:
    data: list[Any] = []
    for _ in range(300):
        data = [data]
    return data


FAULTS = [
    *(raising(error) for error in (KeyError("hush"), RecursionError(), SystemExit(1), TimeoutError("hush"))),
    raising(CommandError("x" * 9_000)),
    raising(CommandError("hush", {"x": {1}})),
    raising(CommandError("hush", {"x": float("nan")})),
    raising(RefusedError(details={"x": "x" * 9_000})),
    lambda _context: None,
    lambda _context: {"m": "hush"},
    lambda _context: Input(n=1, tags={}).tags,
    lambda _context: Output.model_construct(n=cast(int, "hush")),
]


@pytest.mark.parametrize("work", FAULTS)
def test_a_handler_that_fails_is_internal_and_told_to_us(work: Callable[[CommandContext], Any]) -> None:
    stack = doing(work)
    error = error_of(stack)
    assert (error["name"], error["message"], error.get("details")) == ("internal", "internal", None)
    assert len(stack.failures) == 1
    assert stack.metrics.values["CommandFailures"] == [1]
    assert "result" in stack_with().ask("a", ASK)


class Loose(BaseModel):
    value: Any


@pytest.mark.parametrize("value", ["\ud800", deep(), object(), "x" * 24_000])
def test_what_is_no_json_or_too_much_of_it_is_internal(value: Any) -> None:
    def handler(_request: Input, context: CommandContext) -> Loose:
        return Loose(value=value)

    stack = stack_with(handler)
    assert error_of(stack)["name"] == "internal"
    assert len(stack.failures) == 1


def test_as_much_as_data_may_have_comes_out() -> None:
    def handler(_request: Input, context: CommandContext) -> Loose:
        return Loose(value="x" * (24_000 - len('{"value":""}')))

    reply = stack_with(handler).ask("a", ASK)
    assert len(reply["result"]["data"]["value"]) == 23_988


def test_a_dictionary_that_fits_the_output_will_do() -> None:
    assert doing(lambda _context: {"n": 3}).ask("a", ASK)["result"] == {"data": {"n": 3}}


@pytest.mark.parametrize(("details", "told"), [(None, {}), ({"left": 0}, {"details": {"left": 0}})])
def test_a_handler_says_that_it_failed(details: Any, told: dict[str, Any]) -> None:
    stack = doing(raising(CommandError("sold out", details)))
    assert error_of(stack) == {
        "code": 1013,
        "name": "command_failed",
        "message": "the command says that it failed",
        "retryable": False,
        "details": {"message": "sold out", **told},
    }
    assert stack.failures == []


@pytest.mark.parametrize(
    "error", [ForbiddenError("not you"), UnavailableError("busy", retry_after_ms=5), RefusedError(details={"why": 1})]
)
def test_an_error_of_ours_is_passed_on(error: Any) -> None:
    stack = doing(raising(error))
    assert error_of(stack) == error.to_wire()
    assert stack.failures == []


# Time


@pytest.mark.parametrize(("own_s", "fields"), [(0.1, {}), (10, {"timeout_ms": 100})])
def test_the_shorter_of_both_times_is_the_commands(own_s: float, fields: dict[str, Any]) -> None:
    end, ended = threading.Event(), threading.Event()
    deadlines: list[int] = []

    def wait(context: CommandContext) -> Output:
        deadlines.append(context.deadline_at_ms)
        end.wait(20)
        ended.set()
        raise KeyError("late")

    stack = doing(wait, timeout_s=own_s)
    error = error_of(stack, **fields)
    assert (error["code"], error["name"], error["retryable"]) == (2002, "timeout", True)
    assert deadlines == [stack.clock() + 100]
    assert stack.metrics.values["CommandTimeouts"] == [1]
    end.set()
    assert ended.wait(20)
    assert stack.failures == []  # nobody is told what became of it
    assert stack.metrics.values["CommandFailures"] == []


def test_a_late_handler_does_nothing_more() -> None:
    late: list[str] = []

    def work(context: CommandContext) -> Output:
        stack.clock.pass_s(10)
        for call in (lambda: context.publish("room:a", "n", 1), lambda: context.history("room:a", 1)):
            with pytest.raises(Exception) as caught:
                call()
            late.append(caught.value.name)  # type: ignore[attr-defined]
        return Output(n=0)

    stack = doing(work)
    stack.ask("a", ASK)
    assert late == ["timeout", "timeout"]
    assert stack.lanes.sent == []


def test_what_came_in_too_long_ago_is_not_begun() -> None:
    """A batch's commands have the time of one frame together: the function ends, and with it every reply."""
    ran: list[int] = []

    def work(context: CommandContext) -> Output:
        ran.append(context.deadline_at_ms)
        return Output(n=0)

    stack = doing(work)
    received_at_ms = stack.clock()
    stack.clock.pass_s(20)
    text = json.dumps(ASK | {"id": 1})
    (reply,) = stack.dispatcher.handle("a", text, max_bytes=32_000, received_at_ms=received_at_ms)
    assert "result" in reply
    assert ran == [received_at_ms + 26_000]
    stack.clock.pass_s(6)
    (reply,) = stack.dispatcher.handle("a", text, max_bytes=32_000, received_at_ms=received_at_ms)
    assert reply["error"]["name"] == "timeout"
    assert len(ran) == 1


def test_handlers_that_never_end_do_not_take_all_threads() -> None:
    end = threading.Event()
    stack = doing(lambda _context: end.wait(20), timeout_s=0.1)
    object.__setattr__(stack.commands, "_threads", threading.BoundedSemaphore(2))
    try:
        assert [error_of(stack)["name"] for _ in range(3)] == ["timeout", "timeout", "unavailable"]
    finally:
        end.set()


# What a handler may do


def test_a_handler_knows_who_calls() -> None:
    seen: list[Any] = []

    def look(context: CommandContext) -> Output:
        seen.append((context.principal.user_id, context.principal.may("publish", "room:a"), context.connection_id))
        return Output(n=0)

    doing(look).ask("a", ASK)
    assert seen == [("ann", True, "a")]


def test_a_handler_publishes_as_the_server() -> None:
    results: list[Any] = []

    def say(context: CommandContext) -> Output:
        results.append(context.publish("news:a", "told", {"x": 1}, "m1"))
        return Output(n=0)

    stack = doing(say)
    object.__setattr__(stack.namespaces.of("news:a"), "publishers", "servers")
    stack.ask("a", {"type": "subscribe", "channel": "news:a"})
    for _ in range(2):
        stack.ask("a", ASK)
    stack.drain()
    (event,) = stack.events("a")
    assert (event["name"], event["data"], event["message_id"]) == ("told", {"x": 1}, "m1")
    assert event["sender"] == {"user_id": "command:test", "connection_id": None}
    assert results[0] == {"message_id": "m1", "status": "accepted"}


@pytest.mark.parametrize(
    "call",
    [
        lambda context: context.publish("room", "n", 1),
        lambda context: context.publish("room:a", "", 1),
        lambda context: context.publish("room:a", "n" * 101, 1),
        lambda context: context.publish("room:a", "n", 1, ""),
        lambda context: context.publish("room:a", "n", 1, "m" * 65),
        lambda context: context.publish("room:a", "n", {1}),
        lambda context: context.history("room", 1),
        lambda context: context.history("room:a", 0),
        lambda context: context.history("room:a", 301),
    ],
)
def test_what_a_handler_asks_wrongly_is_its_fault(call: Callable[[CommandContext], Any]) -> None:
    stack = doing(call)
    assert error_of(stack)["name"] == "internal"
    assert len(stack.failures) == 1
    assert stack.lanes.sent == []


def read_by_a_handler(stack: MemoryStack, channel: str, limit: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []

    def work(_request: Input, context: CommandContext) -> Output:
        found.extend(context.history(channel, limit))
        return Output(n=len(found))

    stack.catalogue["test"] = command("test")(work)
    assert stack.ask("a", ASK)["result"] == {"data": {"n": len(found)}}
    return found


def test_a_handler_reads_further_back_than_one_page() -> None:
    stack = stack_with()
    for number in range(7):
        data = {"n": number, "pad": "x" * 20_000}
        frame = {"type": "publish", "channel": "room:a", "name": "n", "data": data, "priority": "express"}
        assert "result" in stack.ask("a", frame)
    found = read_by_a_handler(stack, "room:a", 5)
    assert [publication["data"]["n"] for publication in found] == [6, 5, 4, 3, 2]
    assert "type" not in found[0]
    assert len(read_by_a_handler(stack, "room:a", 300)) == 7


def test_of_a_channel_that_never_was_there_is_no_history() -> None:
    stack = stack_with()
    assert read_by_a_handler(stack, "room:never", 300) == []
    assert stack.store.streams == {}


# How commands are written


def test_a_command_can_be_called_as_the_function_that_it_was() -> None:
    one = command("test")(double)
    assert one(Input(n=2), cast(Any, None)) == Output(n=4)


@pytest.mark.parametrize("name", ["", "a b", "a:b", "ä", "n" * 101, "test\n", None, 5])
def test_a_name_that_no_client_could_say_is_told_at_once(name: Any) -> None:
    with pytest.raises(ConfigError, match="a name has 1 to 100 characters"):
        command(name)


@pytest.mark.parametrize("timeout_s", [0, -1, 0.05, 25.1])
def test_so_is_a_time_that_nobody_waits(timeout_s: float) -> None:
    with pytest.raises(ConfigError, match="timeout_s"):
        command("test", timeout_s=timeout_s)


def no_input(request, context) -> Output:  # type: ignore[no-untyped-def]
    return Output(n=0)


def no_output(request: Input, context: CommandContext):  # type: ignore[no-untyped-def]
    return Output(n=0)


def not_a_model(request: dict[str, int], context: CommandContext) -> Output:
    return Output(n=0)


def nothing(request: Input, context: CommandContext) -> None:
    return None


def one_argument(request: Input) -> Output:
    return Output(n=0)


def by_name(request: Input, *, context: CommandContext) -> Output:
    return Output(n=0)


def unknown(request: "Nowhere", context: CommandContext) -> Output:  # type: ignore[name-defined]  # noqa: F821
    return Output(n=0)


async def later(request: Input, context: CommandContext) -> Output:
    return Output(n=0)


@pytest.mark.parametrize(
    ("handler", "told"),
    [
        (no_input, "'test': argument 'request' must be annotated"),
        (no_output, "'test': what it returns must be annotated"),
        (not_a_model, "'request'"),
        (nothing, "what it returns"),
        (one_argument, "two arguments"),
        (by_name, "two arguments"),
        (unknown, "Nowhere"),
        (later, "not async"),
    ],
)
def test_a_mistake_in_a_signature_is_told_when_it_is_read(handler: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        command("test")(handler)


def test_two_of_one_name_and_what_is_no_command_are_told() -> None:
    with pytest.raises(ConfigError, match="'test': two have this name"):
        catalogue([command("test")(double), command("test")(nothing_wrong)])
    with pytest.raises(ConfigError, match="'double' is no command"):
        catalogue([cast(Any, double)])


def nothing_wrong(request: Input, context: CommandContext) -> Output:
    return Output(n=0)


class Odd(BaseModel):
    call: Callable[[], int]


def test_a_model_that_no_schema_can_describe_is_told() -> None:
    def handler(request: Odd, context: CommandContext) -> Output:
        return Output(n=0)

    with pytest.raises(ConfigError, match="'test'"):
        described(command("test")(handler))
