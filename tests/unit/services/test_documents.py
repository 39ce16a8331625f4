"""Writing documents: how what others have overtaken is settled, who is told, and what is refused."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from shared.adapters.memory import MemoryDocumentStore
from shared.adapters.schemas import Schemas
from shared.domain.document import Change, Chunk
from shared.domain.resolving import Reject, Resolver
from shared.errors import UnavailableError
from shared.protocol.encode import to_json
from shared.protocol.limits import DATA_MAX_BYTES, DOCUMENT_MAX_BYTES, DOCUMENTS_MAX
from shared.services.documents import Write
from tests.unit.stack import MemoryStack
from tidewire.replica import Replica

ROOM = "room:a"
KEY = "board"
STRATEGIES = """
[namespaces.room]
[namespaces.strict]
state_strategy = "reject"
[namespaces.last]
state_strategy = "last_write_wins"
[namespaces.own]
state_strategy = "resolve"
"""


class Somebody:
    """A user with a connection, and one document."""

    def __init__(self, stack: MemoryStack, name: str, channel: str) -> None:
        self.stack, self.name, self.channel = stack, name, channel
        stack.connect(name, name)

    def ask(self, type_: str, **fields: Any) -> dict[str, Any]:
        return self.stack.ask(self.name, {"type": f"state.{type_}", "channel": self.channel, "key": KEY, **fields})

    def set(self, value: Any, **fields: Any) -> Any:
        return self.ask("set", value=value, **fields)["result"]

    def patch(self, patch: Any, **fields: Any) -> Any:
        return self.ask("patch", patch=patch, **fields)["result"]

    def error(self, type_: str, **fields: Any) -> Any:
        reply = self.ask(type_, **fields)
        assert "error" in reply, reply
        return reply["error"]

    def value(self) -> Any:
        return self.ask("get")["result"]["documents"][KEY].get("value")

    def pushes(self) -> list[dict[str, Any]]:
        return [frame for frame in self.stack.events(self.name) if frame["type"] == "state"]


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(STRATEGIES)


def two(stack: MemoryStack, channel: str = ROOM) -> tuple[Somebody, Somebody]:
    return Somebody(stack, "ann", channel), Somebody(stack, "bob", channel)


# versions and pushes


def test_versions_are_counted_without_holes(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    assert ann.set({"a": 1}) == {"version": 1, "value": {"a": 1}, "resolution": "applied"}
    assert bob.patch({"b": 2}, base_version=1) == {"version": 2, "value": {"a": 1, "b": 2}, "resolution": "applied"}
    assert ann.ask("delete")["result"] == {"version": 3, "deleted": True, "resolution": "applied"}
    assert bob.ask("get")["result"]["documents"][KEY] == {
        "version": 3,
        "deleted": True,
        "updated_by": "ann",
        "updated_at_ms": stack.clock(),
    }
    assert bob.set([1], base_version=0) == {"version": 4, "value": [1], "resolution": "applied"}


def test_a_patch_of_what_is_not_there_applies_to_an_empty_object(stack: MemoryStack) -> None:
    ann, _ = two(stack)
    assert ann.patch({"a": {"b": None, "c": 1}})["value"] == {"a": {"c": 1}}


def test_subscribers_who_asked_are_told_but_not_the_writer(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    cyd = Somebody(stack, "cyd", ROOM)
    for one in (ann, bob):
        stack.ask(one.name, {"type": "subscribe", "channel": ROOM, "state": True})
    stack.ask("cyd", {"type": "subscribe", "channel": ROOM, "state": False})
    ann.set({"text": "long enough", "n": 1})
    ann.set({"text": "long enough", "n": 2})
    ann.ask("delete")
    stack.drain()
    common = {"type": "state", "channel": ROOM, "key": KEY, "updated_by": "ann", "updated_at_ms": stack.clock()}
    assert bob.pushes() == [
        common | {"version": 1, "value": {"text": "long enough", "n": 1}},
        common | {"version": 2, "patch": {"n": 2}},
        common | {"version": 3, "deleted": True},
    ]
    assert (ann.pushes(), cyd.pushes()) == ([], [])


def test_the_bus_tells_large_channels_and_other_targets(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    for number in range(101):
        stack.connect(f"c{number}", "many")
        stack.ask(f"c{number}", {"type": "subscribe", "channel": ROOM, "state": True})
    ann.set(1)
    assert bob.pushes() == []
    [broadcast] = stack.bus.broadcasts
    assert (broadcast.fanned_out, broadcast.interest, broadcast.but) == (False, "state", "ann")
    stack.drain()
    assert [push["value"] for push in bob.pushes()] == [1]


def test_a_write_that_changes_nothing_is_no_version(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    ann.set({"a": 1})
    assert ann.patch({"a": 1, "b": None})["version"] == 1
    assert bob.set({"a": 1}, base_version=1)["version"] == 1
    assert ann.set({"a": True})["version"] == 2


def test_only_a_quick_repeat_is_told_again(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    ann.set(5)
    stack.clock.pass_s(61)
    ann.set(5)
    assert [push["version"] for push in bob.pushes()] == [1]


def test_a_repeat_of_what_was_put_and_not_told_tells_it(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    put = stack.bus.put
    stack.bus.put = raising(UnavailableError("busy"))  # type: ignore[method-assign]
    stack.transport.failures = {"bob": UnavailableError("busy")}
    assert ann.error("set", value=5, base_version=0)["name"] == "unavailable"
    stack.bus.put, stack.transport.failures = put, {}  # type: ignore[method-assign]
    assert bob.pushes() == []
    assert ann.set(5, base_version=0) == {"version": 1, "value": 5, "resolution": "applied"}
    assert [push["value"] for push in bob.pushes()] == [5]


# settling


def test_a_merge_loses_nothing_that_only_one_has_changed(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    ann.set({"a": 1, "b": 1, "c": {"d": 1, "e": 1}})
    ann.set({"a": 2, "b": 1, "c": {"d": 2, "e": 1}}, base_version=1)
    merged = bob.set({"a": 1, "b": 3, "c": {"d": 1, "e": None}}, base_version=1)
    assert merged == {"version": 3, "value": {"a": 2, "b": 3, "c": {"d": 2, "e": None}}, "resolution": "merged"}
    assert bob.patch({"a": 9, "c": {"d": None}}, base_version=1) == {
        "version": 4,
        "value": {"a": 9, "b": 3, "c": {"e": None}},
        "resolution": "merged",
    }


def test_the_last_write_wins_where_that_is_wanted(stack: MemoryStack) -> None:
    ann, bob = two(stack, "last:a")
    ann.set({"a": 1, "b": 1})
    ann.patch({"a": 2})
    assert bob.set({"b": 2}, base_version=1) == {"version": 3, "value": {"b": 2}, "resolution": "applied"}
    assert ann.patch({"c": 1}, base_version=2)["value"] == {"b": 2, "c": 1}


def test_a_stale_write_is_rejected_where_that_is_wanted(stack: MemoryStack) -> None:
    ann, bob = two(stack, "strict:a")
    ann.set({"a": 1})
    ann.set({"a": 2}, base_version=1)
    for type_, fields in (("set", {"value": 1}), ("patch", {"patch": {"b": 1}}), ("delete", {})):
        error = bob.error(type_, base_version=1, **fields)
        assert (error["code"], error["name"], error["retryable"]) == (1007, "version_conflict", False)
        assert error["details"] == {"version": 2, "value": {"a": 2}}
    assert bob.set({"a": 2}, base_version=1)["version"] == 2, "who wants what is there has no conflict"
    assert bob.set({"a": 3})["version"] == 3, "who names no base has none"


def test_who_made_a_document_may_say_so_again_and_nobody_else(stack: MemoryStack) -> None:
    """Who asks for a document that is not there yet knows from the answer that nobody else has made it."""
    ann, bob = two(stack, "strict:a")
    ann.set("mine", base_version=0)
    assert ann.set("mine", base_version=0)["version"] == 1, "its answer got lost"
    assert bob.error("set", value="mine", base_version=0)["name"] == "version_conflict"
    assert bob.error("set", value="mine", base_version=7)["name"] == "version_conflict"


@pytest.mark.parametrize("channel", ["room:a", "strict:a", "last:a", "own:a"])
def test_a_base_from_the_future_or_a_document_that_was_not_to_be_there(stack: MemoryStack, channel: str) -> None:
    ann, bob = two(stack, channel)
    ann.set({"a": 1})
    for base_version in (0, 2, 2**53 - 1):
        for type_, fields in (("set", {"value": {"b": 1}}), ("patch", {"patch": {"b": 1}}), ("delete", {})):
            error = bob.error(type_, base_version=base_version, **fields)
            assert error["name"] == "version_conflict"
            assert error["details"]["version"] == 1
    assert bob.value() == {"a": 1}
    assert stack.failures == []


def test_the_details_of_a_conflict_fit_a_frame(stack: MemoryStack) -> None:
    ann, bob = two(stack, "strict:a")
    ann.set("x" * (DATA_MAX_BYTES - 2))
    assert bob.error("delete", base_version=7)["details"]["value"] == ann.value()
    stack.documents.write(stack.connections.get("ann").principal, large("strict:a"))  # type: ignore[union-attr,arg-type]
    assert bob.error("delete", base_version=7)["details"] == {"version": 2}


def test_a_base_that_is_not_kept_is_a_conflict_on_the_whole(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    for number in range(200):
        stack.clock.pass_s(1)
        ann.set({"text": "x" * 300, "n": number})
    assert stack.document_store.log(ROOM, KEY).snapshot.version > 1
    assert bob.error("set", value={"text": "y"}, base_version=1)["name"] == "version_conflict"
    # A patch says itself what it touches.
    assert bob.patch({"m": 1}, base_version=1)["value"] == {"text": "x" * 300, "n": 199, "m": 1}


def resolved(stack: MemoryStack, resolver: Resolver) -> tuple[Somebody, Somebody]:
    """Return two, of whom the first has written version 2, while the second knows 1."""
    stack.resolvers["own"] = resolver
    ann, bob = two(stack, "own:a")
    ann.set({"a": 1, "b": 1})
    ann.set({"a": 2, "b": 1}, base_version=1)
    return ann, bob


def test_a_resolver_is_given_all_and_has_the_last_word(stack: MemoryStack) -> None:
    seen: list[Any] = []

    def resolve(base: Any, current: Any, update: Any, conflicts: Any) -> Any:
        seen.append((base, current, update, conflicts))
        current["a"] = "its own copy"
        return {"sum": update["a"]}

    _, bob = resolved(stack, resolve)
    assert bob.set({"a": 3, "b": 2}, base_version=1)["value"] == {"sum": 3}
    assert seen == [({"a": 1, "b": 1}, {"a": "its own copy", "b": 1}, {"a": 3, "b": 2}, ["/a"])]
    assert bob.value() == {"sum": 3}
    assert bob.set(7, base_version=3)["value"] == 7
    assert len(seen) == 1, "who is not overtaken is not resolved"


def test_a_resolver_of_a_patch_and_of_a_deletion(stack: MemoryStack) -> None:
    seen: list[Any] = []

    def resolve(base: Any, current: Any, update: Any, conflicts: Any) -> Any:
        seen.append((update, conflicts))
        return update

    _, bob = resolved(stack, resolve)
    assert bob.patch({"b": 5}, base_version=1)["value"] == {"a": 1, "b": 5}
    assert bob.ask("delete", base_version=1)["result"] == {"version": 4, "deleted": True, "resolution": "merged"}
    assert seen == [({"a": 1, "b": 5}, []), (None, [""])]


def test_a_resolver_whose_base_is_not_kept(stack: MemoryStack) -> None:
    seen: list[Any] = []

    def resolve(base: Any, current: Any, update: Any, conflicts: Any) -> Any:
        seen.append((base, update["m"], update["n"], conflicts))
        return update

    ann, bob = resolved(stack, resolve)
    for number in range(200):
        stack.clock.pass_s(1)
        ann.set({"text": "x" * 300, "n": number})
    bob.patch({"m": 1}, base_version=1)
    assert seen == [(None, 1, 199, [""])]


def test_a_resolver_may_say_no(stack: MemoryStack) -> None:
    _, bob = resolved(stack, lambda *_: Reject("closed", {"since": 5}))
    error = bob.error("set", value={"a": 3}, base_version=1)
    assert (error["code"], error["message"], error["details"]) == (1014, "closed", {"since": 5})
    assert bob.value() == {"a": 2, "b": 1}
    assert stack.failures == []


def raising(error: Exception) -> Callable[..., Any]:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    return fail


@pytest.mark.parametrize(
    "resolver",
    [
        raising(RuntimeError("secret")),
        lambda *_: {1, 2},
        lambda *_: float("nan"),
        lambda *_: Reject("x" * 9_000),
        lambda *_: Reject("no", {"why": object()}),
        lambda *_: "\ud800",
        lambda *_: None,  # it has forgotten to return anything
    ],
)
def test_a_resolver_that_fails_harms_nothing(stack: MemoryStack, resolver: Resolver) -> None:
    _, bob = resolved(stack, resolver)
    before = stack.document_store.log("own:a", KEY)
    error = bob.error("set", value={"a": 3}, base_version=1)
    assert (error["name"], error["message"]) == ("internal", "internal")
    assert stack.document_store.log("own:a", KEY) == before
    assert len(stack.failures) == 1
    assert sum(stack.metrics.values["ResolverFailures"]) == 1


def test_a_resolver_that_makes_too_much_of_it(stack: MemoryStack) -> None:
    _, bob = resolved(stack, lambda *_: "x" * DOCUMENT_MAX_BYTES)
    assert bob.error("set", value={"a": 3}, base_version=1)["name"] == "too_large"
    assert bob.value() == {"a": 2, "b": 1}


# what is refused


def test_capabilities_decide(stack: MemoryStack) -> None:
    stack.connect("reader", "ann", {"room:*": ["state.read"]})
    stack.connect("writer", "bob", {"room:*": ["state.write"]})
    stack.connect("nobody", "cyd", {"other:*": ["state.read", "state.write", "subscribe"], "room:*": ["subscribe"]})

    def refused(name: str, type_: str, **fields: Any) -> bool:
        reply = stack.ask(name, {"type": type_, "channel": ROOM, **fields})
        return "error" in reply and reply["error"]["name"] == "forbidden"

    for type_, fields in WRITES:
        assert refused("reader", type_, **fields)
        assert refused("nobody", type_, **fields)
        assert not refused("writer", type_, **fields)
    for fields in ({}, {"key": KEY}):
        assert not refused("reader", "state.get", **fields)
        assert refused("writer", "state.get", **fields)
    assert refused("nobody", "subscribe", state=True)
    assert not refused("nobody", "subscribe")


WRITES: list[tuple[str, dict[str, Any]]] = [
    ("state.set", {"key": KEY, "value": 1}),
    ("state.patch", {"key": KEY, "patch": {}}),
    ("state.delete", {"key": KEY}),
]


def test_who_may_only_write_reads_nothing(stack: MemoryStack) -> None:
    stack.connect("writer", "bob", {"strict:*": ["state.write"]})
    ann = Somebody(stack, "ann", "strict:a")
    ann.set({"secret": 1})
    writer = {"channel": "strict:a", "key": KEY}
    patched = stack.ask("writer", {"type": "state.patch", **writer, "patch": {"mine": 1}})["result"]
    assert patched == {"version": 2, "resolution": "applied"}
    refused = stack.ask("writer", {"type": "state.set", **writer, "value": 1, "base_version": 0})["error"]
    assert refused["details"] == {"version": 2}


def test_who_may_read_no_more_is_not_told_either(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    token = stack.token("bob", {"room:*": ["subscribe"]})
    stack.ask("bob", {"type": "hello", "protocol": 1, "token": token})
    ann.set({"secret": 1})
    stack.drain()
    assert bob.pushes() == []


@pytest.mark.parametrize(
    ("type_", "fields", "field"),
    [
        ("set", {"value": None}, "value"),
        ("set", {}, "value"),
        ("set", {"value": 1, "key": "a#b"}, "key"),
        ("set", {"value": 1, "key": "x" * 101}, "key"),
        ("set", {"value": 1, "base_version": -1}, "base_version"),
        ("set", {"value": 1, "base_version": "1"}, "base_version"),
        ("patch", {"patch": [1]}, "patch"),
        ("patch", {"patch": None}, "patch"),
        ("get", {"since_version": 2**53}, "since_version"),
        ("get", {"key": None, "since_version": 1}, ""),
        ("get", {"after": "a"}, ""),
    ],
)
def test_wrong_fields_are_named(stack: MemoryStack, type_: str, fields: dict[str, Any], field: str) -> None:
    ann, _ = two(stack)
    error = ann.error(type_, **fields)
    assert error["name"] == "invalid_field"
    assert error["details"]["fields"][0]["field"] == field


def large(channel: str, size: int = DOCUMENT_MAX_BYTES - 2) -> Any:
    return Write(channel, KEY, value="x" * size)


def test_a_document_has_200_000_bytes_at_most(stack: MemoryStack) -> None:
    _, bob = two(stack)
    principal: Any = stack.connections.get("ann").principal  # type: ignore[union-attr]
    assert stack.documents.write(principal, large(ROOM)).document.version == 1
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    assert "value" not in bob.ask("get")["result"]["documents"][KEY], "it fits no frame"
    handled = stack.dispatcher.handle(
        "ann",
        f'{{"type":"state.set","id":1,"channel":"{ROOM}","key":"{KEY}","value":"{"ü" * (DOCUMENT_MAX_BYTES // 2)}"}}',
        max_bytes=256_000,
        received_at_ms=stack.clock(),
    )
    assert handled[0]["error"]["name"] == "too_large"
    assert handled[0]["error"]["details"] == {"max_bytes": DOCUMENT_MAX_BYTES}


def test_a_change_that_is_too_large_for_a_frame_is_told_without_it(stack: MemoryStack) -> None:
    _, bob = two(stack)
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    principal: Any = stack.connections.get("ann").principal  # type: ignore[union-attr]
    written = stack.documents.write(principal, large(ROOM, DATA_MAX_BYTES))
    assert written.to_wire() == {"version": 1, "resolution": "applied"}
    [push] = bob.pushes()
    assert push.keys() == {"type", "channel", "key", "version", "updated_by", "updated_at_ms"}


def test_a_small_change_of_a_large_document_goes_by_itself(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    principal: Any = stack.connections.get("ann").principal  # type: ignore[union-attr]
    stack.documents.write(principal, Write(ROOM, KEY, value={"text": "x" * DATA_MAX_BYTES}))
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": {KEY: 1}})
    assert ann.patch({"n": 1}) == {"version": 2, "patch": {"n": 1}, "resolution": "applied"}
    assert [push["patch"] for push in bob.pushes()] == [{"n": 1}]
    again = stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": {KEY: 1}})["result"]["state"]
    assert [change["patch"] for change in again["documents"][KEY]["changes"]] == [{"n": 1}]


def test_numbers_that_are_none_and_nesting_without_end(stack: MemoryStack) -> None:
    two(stack)
    for value in ("1e999", "[" * 300 + "]" * 300, "NaN"):
        text = f'{{"type":"state.set","id":1,"channel":"{ROOM}","key":"{KEY}","value":{value}}}'
        [reply] = stack.dispatcher.handle("ann", text, max_bytes=32_000, received_at_ms=0)
        assert reply["error"]["name"] == "bad_frame"
    deep: Any = 1
    for _ in range(190):
        deep = {"a": deep}
    assert Somebody(stack, "cyd", ROOM).set(deep)["version"] == 1
    assert Somebody(stack, "dan", ROOM).patch(deep, base_version=1)["version"] == 1


def test_a_channel_has_so_many_documents(stack: MemoryStack) -> None:
    two(stack)
    for number in range(DOCUMENTS_MAX):
        change = Change(1, "", "ann", 0, value=number)
        stack.document_store.append(ROOM, f"d{number}", change, to=None, full=False)
    frame = {"type": "state.set", "channel": ROOM, "value": 1}
    assert stack.ask("ann", frame | {"key": "one-more"})["error"]["name"] == "limit_reached"
    assert stack.ask("ann", frame | {"key": "d7"})["result"]["version"] == 2


def test_a_schema_decides_what_a_document_may_be(stack: MemoryStack) -> None:
    schemas = Schemas({"room:*#board": {"required": ["a"]}}, Path())
    stack.dispatcher = replace(stack.dispatcher, documents=replace(stack.documents, rules=schemas))
    ann, bob = two(stack)
    assert ann.error("set", value={"b": 1})["name"] == "refused"
    assert ann.set({"a": 1, "b": 1})["version"] == 1
    error = bob.error("patch", patch={"a": None})
    assert error["details"] == {"schema": "room:*", "problems": [{"pointer": "/a", "keyword": "required"}]}
    assert bob.ask("delete")["result"]["version"] == 2, "a document that is not there fits every schema"


def test_writes_count_for_the_limits_of_publications(stack: MemoryStack) -> None:
    stack = MemoryStack("[namespaces.room]\npublish_rate_per_s = 1\npublish_burst = 5")
    ann, _ = two(stack)
    errors = [ann.ask("set", value=number).get("error", {}).get("name") for number in range(8)]
    assert errors[-1] == "rate_limited"


# writers at one document


class Overtaken(MemoryDocumentStore):
    """A store where others are faster, so many times."""

    def __init__(self, times: int, *, lost_answer: bool = False) -> None:
        super().__init__()
        self.times, self.lost_answer = times, lost_answer

    def append(self, channel: str, key: str, change: Change, *, to: Chunk | None, full: bool) -> bool:
        if self.times and change.user_id == "ann":
            self.times -= 1
            if self.lost_answer:
                super().append(channel, key, change, to=to, full=full)
            else:
                log = self.log(channel, key)
                patch = {f"bob{log.version}": 1}
                other = Change(log.version + 1, "theirs", "bob", 1, patch=patch)
                place, closing = log.room(other)
                super().append(channel, key, other, to=place, full=closing)
            return False
        return super().append(channel, key, change, to=to, full=full)


def over(stack: MemoryStack, store: MemoryDocumentStore) -> None:
    reader = replace(stack.document_reader, store=store)
    documents = replace(stack.documents, store=store)
    stack.dispatcher = replace(stack.dispatcher, documents=documents, document_reader=reader)


def test_who_is_overtaken_tries_again_on_what_is_there_then(stack: MemoryStack) -> None:
    over(stack, Overtaken(3))
    ann, _ = two(stack)
    assert ann.patch({"ann": 1})["value"] == {"bob0": 1, "bob1": 1, "bob2": 1, "ann": 1}


def test_who_is_overtaken_without_end_is_told(stack: MemoryStack) -> None:
    over(stack, Overtaken(10_000))
    ann, _ = two(stack)
    error = ann.error("patch", patch={"ann": 1})
    assert (error["name"], error["retryable"]) == ("contention", True)


def test_a_write_whose_answer_was_lost_is_not_written_twice(stack: MemoryStack) -> None:
    store = Overtaken(1, lost_answer=True)
    over(stack, store)
    ann, bob = two(stack)
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    assert ann.patch({"ann": 1}) == {"version": 1, "value": {"ann": 1}, "resolution": "applied"}
    assert [push["version"] for push in bob.pushes()] == [1]


def test_a_store_that_fails_once_after_it_has_put_does_not_keep_it_from_being_told(stack: MemoryStack) -> None:
    class Failing(MemoryDocumentStore):
        times = 1

        def append(self, channel: str, key: str, change: Change, *, to: Chunk | None, full: bool) -> bool:
            put = super().append(channel, key, change, to=to, full=full)
            if self.times:
                self.times -= 1
                raise UnavailableError("busy")
            return put

    over(stack, Failing())
    ann, bob = two(stack)
    stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})
    assert ann.set(1) == {"version": 1, "value": 1, "resolution": "applied"}
    assert [push["version"] for push in bob.pushes()] == [1]


def test_a_snapshot_that_fails_fails_no_write(stack: MemoryStack) -> None:
    ann, _ = two(stack)
    compact = stack.document_store.compact
    stack.document_store.compact = raising(UnavailableError("busy"))  # type: ignore[method-assign]
    for number in range(100):
        stack.clock.pass_s(1)
        ann.set({"n": number, "text": "x" * 300})
    assert {type(error) for error in stack.failures} == {UnavailableError}
    stack.document_store.compact = compact  # type: ignore[method-assign]
    assert stack.document_store.log(ROOM, KEY).snapshot.version == 0
    ann.set({"n": 101})
    assert stack.document_store.log(ROOM, KEY).snapshot.version > 0


# reading


def filled(stack: MemoryStack, values: Mapping[str, Any], channel: str = ROOM) -> None:
    for key, value in values.items():
        stack.clock.pass_s(1)
        reply = stack.ask("ann", {"type": "state.set", "channel": channel, "key": key, "value": value})
        assert "result" in reply, reply


def test_subscribing_brings_the_documents_and_then_what_has_changed(stack: MemoryStack) -> None:
    two(stack)
    filled(stack, {"a": {"text": "x" * 200, "n": 1}, "b": 1, "gone": 1})
    stack.ask("ann", {"type": "state.delete", "channel": ROOM, "key": "gone"})
    first = stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": True})["result"]["state"]
    assert {key: entry["value"] for key, entry in first["documents"].items()} == {
        "a": {"text": "x" * 200, "n": 1},
        "b": 1,
    }
    filled(stack, {"a": {"text": "x" * 200, "n": 2}, "new": 3})
    stack.ask("ann", {"type": "state.delete", "channel": ROOM, "key": "b"})
    known = {"a": 1, "b": 1, "gone": 2, "never": 4}
    second = stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": known})["result"]["state"]["documents"]
    assert second.keys() == {"a", "b", "new"}
    assert [change["patch"] for change in second["a"]["changes"]] == [{"n": 2}]
    assert second["b"]["deleted"] is True
    assert second["new"]["value"] == 3


def test_changes_since_a_version(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    filled(stack, {KEY: {"text": "x" * 200, "n": 1}})
    ann.patch({"n": 2})
    ann.patch({"n": 3})
    [one, other] = bob.ask("get", since_version=1)["result"]["changes"]
    assert (one["version"], one["patch"], other["version"], other["patch"]) == (2, {"n": 2}, 3, {"n": 3})
    assert one.keys() == {"version", "patch", "updated_by", "updated_at_ms"}
    assert bob.ask("get", since_version=3)["result"] == {"changes": []}
    assert bob.ask("get", since_version=9)["result"]["documents"][KEY]["version"] == 3
    assert bob.ask("get", since_version=0)["result"]["changes"][0]["value"]["n"] == 1
    assert stack.ask("bob", {"type": "state.get", "channel": ROOM, "key": "none"})["result"] == {"documents": {}}


def test_changes_that_are_not_kept_or_fit_no_frame(stack: MemoryStack) -> None:
    ann, bob = two(stack)
    for number in range(200):
        stack.clock.pass_s(1)
        ann.set({"n": number, "text": "x" * 300})
    assert bob.ask("get", since_version=1)["result"]["documents"][KEY]["value"]["n"] == 199
    ann.set({"text": "y" * 20_000})
    ann.set({"text": "z" * 20_000})
    assert bob.ask("get", since_version=200)["result"]["documents"][KEY]["version"] == 202


def test_documents_come_in_pages_that_fit(stack: MemoryStack) -> None:
    two(stack)
    filled(stack, {f"d{number:02}": f"{number:02}" + "x" * 9_000 for number in range(10)})
    seen: dict[str, Any] = {}
    after: dict[str, str] = {}
    pages = 0
    while True:
        page = stack.ask("bob", {"type": "state.get", "channel": ROOM, **after})["result"]
        seen |= page["documents"]
        pages += 1
        if "more" not in page:
            break
        after = {"after": max(page["documents"])}
    assert (sorted(seen), pages) == ([f"d{number:02}" for number in range(10)], 4)


def test_what_is_known_has_its_changes_and_deletions_on_every_page(stack: MemoryStack) -> None:
    two(stack)
    keys = [f"d{number:02}" for number in range(10)]
    filled(stack, dict.fromkeys(keys, "x" * 9_000))
    replica = Replica(ROOM)
    wanted: Any = {"type": "state.get", "channel": ROOM}
    while wanted is not None:
        wanted = replica.read(stack.ask("bob", wanted)["result"])
    filled(stack, dict.fromkeys(keys, "y" * 9_000))
    stack.ask("ann", {"type": "state.delete", "channel": ROOM, "key": "d09"})
    wanted = replica.read(
        stack.ask("bob", {"type": "subscribe", "channel": ROOM, "state": replica.versions})["result"]["state"]
    )
    assert wanted is not None
    while wanted is not None:
        wanted = replica.read(stack.ask("bob", wanted)["result"])
    assert replica.values == dict.fromkeys(keys[:-1], "y" * 9_000)


def test_hello_s_subscriptions_fit_one_frame_together(stack: MemoryStack) -> None:
    two(stack)
    for room in range(5):
        filled(stack, {"a": "x" * 15_000, "b": "y" * 10_000}, f"room:{room}")
    subscribe = [{"channel": f"room:{room}", "state": True} for room in range(5)]
    stack.connect("c")
    reply = stack.ask("c", {"type": "hello", "protocol": 1, "token": stack.token("cyd"), "subscribe": subscribe})
    assert len(to_json(reply)) <= 32_000
    states = [result["state"] for result in reply["result"]["subscriptions"]]
    assert [sorted(state["documents"]) for state in states] == [["a", "b"], [], [], [], []]
    assert [state.get("more", False) for state in states] == [False, True, True, True, True]
