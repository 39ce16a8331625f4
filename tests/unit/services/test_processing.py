"""The pipeline of processors: every publication goes through it, and nothing that a processor does gets past it."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, cast

import pytest

from shared.domain.principal import Principal
from shared.domain.processing import Context, Draft
from shared.errors import InternalError, RefusedError, TidewireError, TooLargeError, UnavailableError
from shared.services.publish import PublishRequest
from tests.unit.stack import MemoryStack

PUBLISH = {"type": "publish", "channel": "room:a", "name": "said", "data": {"text": "hi"}, "message_id": "m"}
SERVER = Principal("billing", {"*": ["publish"]}, server=True)


def stack_with(*processors: Callable[[Draft, Context], Any]) -> MemoryStack:
    """Return a stack with these processors, in which ann, on connection ``a``, receives what is published."""
    stack = MemoryStack()
    stack.processors += processors
    stack.connect("a", "ann")
    stack.ask("a", {"type": "subscribe", "channel": "room:a"})
    return stack


def wrap(draft: Draft, _context: Context) -> Draft:
    return replace(draft, data={"was": draft.data})


def mark(draft: Draft, _context: Context) -> Draft:
    draft.data["marked"] = True
    return draft


def refuse(_draft: Draft, _context: Context) -> Draft:
    raise RefusedError("not here", details={"why": "because"})


def nothing_was_published(stack: MemoryStack) -> bool:
    return not stack.lanes.sent and not stack.bus.broadcasts and not stack.events("a")


@pytest.mark.parametrize(
    "fields", [{"priority": p} for p in ("express", "high", "normal", "low")] + [{"ephemeral": True}]
)
def test_what_is_published_in_any_way_is_what_the_processors_made_of_it(fields: dict[str, Any]) -> None:
    stack = stack_with(wrap)
    assert "result" in stack.ask("a", PUBLISH | fields)
    stack.drain()
    (event,) = stack.events("a")
    assert (event["name"], event["data"], event["message_id"]) == ("said", {"was": {"text": "hi"}}, "m")


@pytest.mark.parametrize("to", [{"user_id": "ann"}, {"connection_id": "a"}])
def test_what_is_sent_to_a_peer_goes_through_them_too(to: dict[str, str]) -> None:
    stack = stack_with(wrap)
    assert "result" in stack.ask("a", {"type": "send", "to": to, "name": "hi", "data": 1})
    stack.drain()
    assert [event["data"] for event in stack.events("a")] == [{"was": 1}]


def test_each_processor_is_given_what_the_one_before_it_returned() -> None:
    stack = stack_with(wrap, mark, wrap)
    stack.ask("a", PUBLISH)
    stack.drain()
    assert stack.events("a")[0]["data"] == {"was": {"was": {"text": "hi"}, "marked": True}}


def test_a_processor_may_change_name_priority_and_claims() -> None:
    stack = stack_with(lambda draft, _: replace(draft, name="shouted", priority="high", claims={"name": "Ann"}))
    stack.ask("a", PUBLISH)
    assert stack.lanes.sent[0][0] == "high"
    stack.drain()
    (event,) = stack.events("a")
    assert (event["name"], event["priority"], event["sender"]["claims"]) == ("shouted", "high", {"name": "Ann"})


def test_a_processor_knows_who_publishes_what_and_where() -> None:
    seen: list[Context] = []

    def look(draft: Draft, context: Context) -> Draft:
        seen.append(context)
        return draft

    stack = stack_with(look)
    stack.ask("a", PUBLISH | {"ephemeral": True})
    principal = replace(SERVER, public_claims={"name": "Billing"})
    published = stack.publishing.publish(principal, PublishRequest("room:b", "paid", 1), connection_id=None)
    assert seen == [
        Context("room:a", "m", "ann", "a", server=False, public_claims={}, ephemeral=True),
        Context(
            "room:b",
            published.message_id,
            "billing",
            None,
            server=True,
            public_claims={"name": "Billing"},
            ephemeral=False,
        ),
    ]


def test_a_refusal_is_told_with_its_details_and_nothing_is_published() -> None:
    stack = stack_with(refuse, wrap)
    assert stack.ask("a", PUBLISH)["error"] == {
        "code": 1014,
        "name": "refused",
        "message": "not here",
        "retryable": False,
        "details": {"why": "because"},
    }
    assert nothing_was_published(stack)
    assert stack.failures == []
    assert stack.metrics.values["PublicationsRefused"] == [1]


def raising(error: Exception) -> Callable[[Draft, Context], Draft]:
    def raises(_draft: Draft, _context: Context) -> Draft:
        raise error

    return raises


def returning(value: Any) -> Callable[[Draft, Context], Draft]:
    return lambda _draft, _context: cast(Draft, value)


def deep() -> Any:
    data: list[Any] = []
    for _ in range(300):
        data = [data]
    return data


BAD_DRAFTS = [
    Draft("", 1, "normal"),
    Draft("n" * 101, 1, "normal"),
    Draft("\ud800", 1, "normal"),
    Draft(cast(str, 5), 1, "normal"),
    Draft("said", 1, cast(Any, "urgent")),
    Draft("said", float("nan"), "normal"),
    Draft("said", datetime(2026, 1, 1), "normal"),
    Draft("said", "\ud800", "normal"),
    Draft("said", deep(), "normal"),
    Draft("said", 1, "normal", claims={"name": "x" * 1000}),
    Draft("said", 1, "normal", claims=cast(Any, ["name"])),
]
FAULTS = [
    *(
        raising(error)
        for error in (KeyError("secret"), RecursionError(), UnavailableError(), RefusedError(details={"x": {1}}))
    ),
    raising(RefusedError(details={"x": "x" * 9000})),
    *(returning(value) for value in (None, {"data": 1}, *BAD_DRAFTS)),
]


@pytest.mark.parametrize("processor", FAULTS)
def test_a_processor_that_fails_publishes_nothing_and_its_sender_is_told_internal(
    processor: Callable[[Draft, Context], Draft],
) -> None:
    stack = stack_with(processor)
    error = stack.ask("a", PUBLISH)["error"]
    assert (error["name"], error["message"], error.get("details")) == ("internal", "internal", None)
    assert nothing_was_published(stack)
    assert len(stack.failures) == 1
    assert stack.metrics.values["ProcessorFailures"] == [1]


def test_a_server_is_told_the_same() -> None:
    stack = stack_with(raising(KeyError("secret")))
    with pytest.raises(InternalError):
        stack.publishing.publish(SERVER, PublishRequest("room:a", "said", 1), connection_id=None)


@pytest.mark.parametrize(("length", "fits"), [(24_000 - 2, True), (24_000 - 1, False)])
def test_processed_data_has_the_limit_that_all_data_has(length: int, fits: bool) -> None:
    stack = stack_with(lambda draft, _: replace(draft, data="x" * length))
    reply = stack.ask("a", PUBLISH)
    assert ("result" in reply) is fits
    if not fits:
        assert reply["error"]["name"] == "too_large"
        assert nothing_was_published(stack)
        assert stack.failures == []


def test_a_processor_that_changes_what_it_is_given_changes_its_own_copy() -> None:
    stack = stack_with(mark)
    data = {"text": "hi"}
    for channel in ("room:a", "room:b"):
        stack.publishing.publish(SERVER, PublishRequest(channel, "said", data), connection_id=None)
    assert data == {"text": "hi"}


def test_what_is_published_is_json_whatever_python_a_processor_returns() -> None:
    stack = stack_with(lambda draft, _: replace(draft, data=({1: (2, 3)},)))
    stack.ask("a", PUBLISH | {"priority": "express"})
    assert stack.events("a")[0]["data"] == [{"1": [2, 3]}]


def test_data_too_deep_to_be_handed_on_is_its_senders_fault() -> None:
    stack = stack_with(wrap)
    with pytest.raises(TidewireError) as caught:
        stack.publishing.publish(SERVER, PublishRequest("room:a", "said", deep()), connection_id=None)
    assert caught.value.name == "bad_frame"
    assert stack.failures == []


def test_who_may_not_publish_reaches_no_processor() -> None:
    stack = stack_with(refuse)
    stack.connect("b", "bob", caps={})
    assert stack.ask("b", PUBLISH)["error"]["name"] == "forbidden"


def test_a_repeat_is_processed_again_and_stored_once() -> None:
    tries: list[str] = []

    def count(draft: Draft, context: Context) -> Draft:
        tries.append(context.message_id)
        return replace(draft, data=len(tries))

    stack = stack_with(count)
    first = stack.ask("a", PUBLISH | {"priority": "express"})
    again = stack.ask("a", PUBLISH | {"priority": "express", "retry": True})
    assert tries == ["m", "m"]
    assert again["result"] == first["result"]
    assert {event["data"] for event in stack.events("a")} == {1}


def test_too_large_is_an_error_of_its_own() -> None:
    stack = stack_with(returning(Draft("said", "x" * 30_000, "normal")))
    with pytest.raises(TooLargeError):
        stack.publishing.publish(SERVER, PublishRequest("room:a", "said", 1), connection_id=None)
