"""What the server sends, as the application has it: all that the protocol's models have, and nothing else."""

from dataclasses import fields
from typing import Any

import pytest

from shared.protocol import server
from tidewire.errors import TidewireError
from tidewire.frames import Event, HistoryResult, Member, Position, PublishResult, Receipt, Sender, read

POSITION = {"epoch": "e1", "offset": 2}
SENDER = {"user_id": "ann", "connection_id": "c1", "claims": {"name": "Ann"}}
PUBLICATION = {
    **{"channel": "room:a", "name": "said", "data": [1], "message_id": "m", "sender": SENDER, "published_at_ms": 5},
    **{"priority": "high", **POSITION, "prev_offset": 1},
}
REFUSAL = {"code": 1005, "name": "forbidden", "message": "no", "retryable": False}
WIRE: list[tuple[Any, dict[str, Any]]] = [
    (Position, POSITION),
    (Sender, SENDER),
    (Event, {**PUBLICATION, "covers_from": 1, "ephemeral": True}),
    (PublishResult, {"message_id": "m", "status": "accepted", "position": POSITION}),
    (HistoryResult, {"publications": [PUBLICATION], "position": POSITION, "more": True}),
    (
        Receipt,
        {
            **{"channel": "room:a", "message_id": "m", "status": "failed"},
            **{"position": POSITION, "user_id": "bob", "error": REFUSAL},
        },
    ),
    (
        Member,
        {
            **{"user_id": "bob", "status": "busy", "active": True, "data": 1, "connections": 2},
            **{"last_active_at_ms": 3, "read_offset": 4},
        },
    ),
]


@pytest.mark.parametrize("ours", [ours for ours, _ in WIRE])
def test_each_has_the_fields_of_the_protocols_model(ours: type[Any]) -> None:
    model: Any = getattr(server, ours.__name__)
    assert {field.name for field in fields(ours)} == set(model.model_fields) - {"type"}


@pytest.mark.parametrize(("ours", "wire"), WIRE, ids=lambda each: getattr(each, "__name__", ""))
def test_each_is_read_with_all_that_it_has(ours: Any, wire: dict[str, Any]) -> None:
    model: Any = getattr(server, ours.__name__)
    typed = {"type": ours.__name__.lower()} if "type" in model.model_fields else {}
    assert set(model.model_validate({**wire, **typed}).model_dump(exclude_none=True)) - {"type"} == set(wire)
    frame = ours.from_wire(wire)
    assert not [name for name in wire if getattr(frame, name) is None]


def test_what_makes_no_sense_is_as_if_nothing_had_come() -> None:
    with pytest.raises(TidewireError) as refused:
        read(Event.from_wire, {"channel": "room:a"})
    assert (refused.value.kind, refused.value.retryable) == ("timeout", True)


def test_what_is_ephemeral_has_no_position() -> None:
    event = Event.from_wire({name: value for name, value in PUBLICATION.items() if name not in ("epoch", "offset")})
    assert (event.position, Event.from_wire(PUBLICATION).position) == (None, Position("e1", 2))
