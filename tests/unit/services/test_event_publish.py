"""Events that ask for a publication: what is published, by whom, once; and what becomes of those that can't be."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.memory import MemoryDeadLetters, MemoryLaneQueue
from shared.domain.channel import is_channel
from shared.errors import RefusedError, TidewireError, UnavailableError
from shared.ports import Lane, LaneMessage
from shared.protocol.events import parse_event
from shared.services.event_publish import EventPublishing
from tests.unit.stack import MemoryStack

# As EventBridge delivers it: docs.aws.amazon.com/eventbridge/latest/userguide/eb-events-structure.html
DETAIL = {"channel": "orders:1", "name": "paid", "data": {"by": "card"}}
EVENT = {
    "version": "0",
    "id": "7bf73129-1428-4cd3-a780-95db273d1602",
    "detail-type": "tidewire.publish",
    "source": "billing",
    "account": "123456789012",
    "time": "2026-11-25T21:29:54Z",
    "region": "us-east-1",
    "resources": [],
    "detail": DETAIL,
}


class Events:
    """The service over a memory stack."""

    def __init__(self, channels: str = "") -> None:
        self.stack = MemoryStack(channels)
        self.dead_letters = MemoryDeadLetters()
        self.told: list[Exception] = []
        self.publishing = EventPublishing(
            self.stack.publishing, self.dead_letters, self.stack.metrics, self.told.append
        )

    def take(self, event: Any = EVENT, *, repeat: bool = False, last: bool = False, **detail: Any) -> None:
        changed = event | {"detail": event["detail"] | detail} if detail else event
        self.publishing.take(json.dumps(changed), repeat=repeat, last=last)

    def published(self, channel: str) -> list[dict[str, Any]]:
        self.stack.drain()
        page = self.stack.history.read(channel, None, limit=300, reverse=False)[1]
        return list(page.publications)


def test_an_event_is_published_in_its_channel_by_its_source_under_its_id() -> None:
    events = Events()
    events.take()
    (publication,) = events.published("orders:1")
    assert (publication["name"], publication["data"]) == ("paid", {"by": "card"})
    assert publication["message_id"] == EVENT["id"]
    assert publication["sender"] == {"user_id": "event:billing", "connection_id": None}
    assert publication["priority"] == "normal"
    assert events.dead_letters.buried == []


def test_it_may_say_its_own_id_its_priority_and_several_channels() -> None:
    events = Events()
    detail = {"channels": ["orders:1", "orders:2"], "name": "paid", "data": 1, "message_id": "m", "priority": "express"}
    events.take(EVENT | {"detail": detail})
    for channel in ("orders:1", "orders:2"):
        (publication,) = events.published(channel)
        assert (publication["message_id"], publication["priority"]) == ("m", "express")


def test_it_may_go_where_only_servers_publish() -> None:
    events = Events()
    events.take(channel="broadcast:all")
    assert len(events.published("broadcast:all")) == 1


@pytest.mark.parametrize("priority", ["normal", "express"])
def test_delivered_twice_it_is_stored_once(priority: str) -> None:
    events = Events()
    events.take(priority=priority)
    events.stack.drain()
    events.stack.clock.pass_s(200)
    events.take(priority=priority, repeat=True)
    assert len(events.published("orders:1")) == 1


def test_a_repeat_is_found_behind_everything_that_came_since() -> None:
    events = Events()
    for number in range(100):
        events.take(priority="express", message_id=f"m{number}")
    events.stack.clock.pass_s(60)
    events.take(priority="express", message_id="m0", repeat=True)
    assert len(events.published("orders:1")) == 100


@given(parts=st.lists(st.text('ab:%/" *ü\n', min_size=1, max_size=9), min_size=2, max_size=4))
def test_a_channel_given_in_parts_has_as_many_parts_whatever_is_in_them(parts: list[str]) -> None:
    channel = parse_event(json.dumps(EVENT | {"detail": DETAIL | {"channel": parts}})).detail.channel
    assert channel is not None
    assert is_channel(channel)
    assert [unquote(part) for part in channel.split(":")] == parts


def test_a_part_is_encoded_as_user_ids_are_in_personal_channels() -> None:
    events = Events()
    events.take(channel=["uploads", "in/a b:c.txt"])
    assert len(events.published("uploads:in%2Fa%20b%3Ac.txt")) == 1


BAD = [
    (EVENT | {"detail": {}}, "invalid_field"),
    (EVENT | {"detail": DETAIL | {"channel": "orders"}}, "invalid_field"),
    (EVENT | {"detail": DETAIL | {"channel": ["orders", ""]}}, "invalid_field"),
    (EVENT | {"detail": DETAIL | {"channel": ["orders", 5]}}, "invalid_field"),
    (EVENT | {"detail": DETAIL | {"channels": ["a:b"]}}, "invalid_field"),
    (EVENT | {"detail": DETAIL | {"name": ""}}, "invalid_field"),
    (EVENT | {"detail": DETAIL | {"data": "x" * 24_000}}, "too_large"),
    (EVENT | {"source": "x" * 200}, "invalid_field"),
    (EVENT | {"id": None}, "invalid_field"),
    ({"detail": DETAIL}, "invalid_field"),
    ([EVENT, EVENT], "bad_frame"),
    (5, "bad_frame"),
]


@pytest.mark.parametrize(("event", "name"), BAD)
def test_an_event_that_asks_for_what_can_not_be_published_is_buried_as_it_came(event: Any, name: str) -> None:
    events = Events()
    events.take(event)
    assert events.dead_letters.buried == [(json.dumps(event), name)]
    assert [error.name for error in events.told if isinstance(error, TidewireError)] == [name]
    assert events.stack.metrics.values["EventsRefused"] == [1]
    assert events.stack.lanes.sent == []


@pytest.mark.parametrize("body", ["", "{", "[" * 100_000, '{"detail": NaN}'])
def test_so_is_what_is_no_json(body: str) -> None:
    events = Events()
    events.publishing.take(body, repeat=False, last=False)
    assert events.dead_letters.buried == [(body, "bad_frame")]


def test_what_was_wrong_is_told_without_what_was_sent() -> None:
    events = Events()
    events.take(name=["secret"], data={"secret": 1})
    assert str(events.told[0]) == "detail.name: Input should be a valid string"


def refuse_the_first(draft: Any, context: Any) -> Any:
    if context.channel == "orders:1":
        raise RefusedError
    return draft


def test_a_channel_that_is_refused_does_not_stop_the_others() -> None:
    events = Events()
    events.stack.processors.append(refuse_the_first)
    detail = {"channels": ["orders:1", "orders:2"], "name": "paid", "data": 1}
    events.take(EVENT | {"detail": detail})
    assert events.published("orders:1") == []
    assert len(events.published("orders:2")) == 1
    ((body, name),) = events.dead_letters.buried
    assert name == "refused"
    assert json.loads(body) == EVENT | {"detail": {"channels": ["orders:1"], "name": "paid", "data": 1}}


@pytest.mark.parametrize("priority", ["normal", "express"])
def test_put_back_however_late_it_is_stored_only_where_it_was_not(priority: str) -> None:
    events = Events()
    events.stack.processors.append(refuse_the_first)
    detail = {"channels": ["orders:1", "orders:2"], "name": "paid", "data": "\ufffe", "priority": priority}
    events.take(EVENT | {"detail": detail})
    events.stack.drain()
    events.stack.processors.clear()
    events.stack.clock.pass_s(3600)
    ((body, _),) = events.dead_letters.buried
    assert "\ufffe" not in body, "SQS refuses it"
    events.publishing.take(body, repeat=False, last=False)
    assert [len(events.published(channel)) for channel in detail["channels"]] == [1, 1]
    assert events.published("orders:1")[0]["data"] == "\ufffe"


class Failing(MemoryLaneQueue):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def send(self, lane: Lane, messages: Sequence[LaneMessage]) -> set[int]:
        if "orders:1" in [message.channel for message in messages]:
            raise self.error
        return super().send(lane, messages)


@pytest.fixture(params=[UnavailableError(), ValueError()])
def one_fails(request: pytest.FixtureRequest) -> Events:
    events = Events()
    publishing = replace(events.stack.publishing, lanes=Failing(request.param))
    events.publishing = replace(events.publishing, publishing=publishing)
    return events


CHANNELS = EVENT | {"detail": {"channels": ["orders:1", "orders:2"], "name": "paid", "data": 1}}


def test_what_may_succeed_later_is_raised_for_the_queue_to_keep_it(one_fails: Events) -> None:
    with pytest.raises((UnavailableError, ValueError)):
        one_fails.take(CHANNELS)
    assert one_fails.dead_letters.buried == []


def test_at_the_last_try_it_is_buried_with_the_channels_that_failed(one_fails: Events) -> None:
    one_fails.take(CHANNELS, repeat=True, last=True)
    ((body, name),) = one_fails.dead_letters.buried
    assert json.loads(body)["detail"]["channels"] == ["orders:1"]
    assert name in ("unavailable", "internal")
