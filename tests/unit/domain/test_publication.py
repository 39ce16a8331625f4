"""Publications: the record that lanes and segments hold, the push that subscribers see, the mark of a repeat."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shared.domain.publication import PRIORITIES, Entry, Publication, StreamPosition, fingerprint, identity
from tests.unit.stack import publication

texts = st.text(max_size=20)
publications = st.builds(
    Publication,
    message_id=texts,
    name=texts,
    data=st.none() | st.booleans() | st.integers() | texts | st.lists(texts) | st.dictionaries(texts, texts),
    user_id=texts,
    connection_id=st.none() | texts,
    priority=st.sampled_from(PRIORITIES),
    published_at_ms=st.integers(0, 2**53),
)


@given(item=publications)
def test_a_record_reads_back_as_what_was_written(item: Publication) -> None:
    assert Publication.from_record(item.to_record()) == item


def test_the_order_of_priorities_is_that_of_every_log_ever_written() -> None:
    assert PRIORITIES == ("express", "high", "normal", "low")
    assert publication(priority="low").to_record()["p"] == 3


def test_the_push_tells_all_but_a_place() -> None:
    item = Publication("m1", "said", {"text": "hi"}, "ann", "c1", "high", 1_800_000_000_000)
    assert item.to_event("room:a") == {
        "type": "event",
        "channel": "room:a",
        "name": "said",
        "data": {"text": "hi"},
        "message_id": "m1",
        "sender": {"user_id": "ann", "connection_id": "c1"},
        "published_at_ms": 1_800_000_000_000,
        "priority": "high",
    }


@given(item=publications, offset=st.integers(1, 2**53), prev_offset=st.integers(0, 2**53))
def test_an_entry_adds_its_place_and_changes_nothing(item: Publication, offset: int, prev_offset: int) -> None:
    event = Entry(item, offset, prev_offset).to_event("room:a", "1-e")
    place: dict[str, Any] = {"epoch": "1-e", "offset": offset, "prev_offset": prev_offset}
    assert event == item.to_event("room:a") | place


def test_a_position_on_the_wire() -> None:
    assert StreamPosition("1-e", 42).to_wire() == {"epoch": "1-e", "offset": 42}


@given(text=st.text(alphabet="\0:1a", max_size=6), border=st.integers(0, 6), other=st.integers(0, 6))
def test_another_border_between_user_and_message_id_is_another_mark(text: str, border: int, other: int) -> None:
    one, two = (text[:border], text[border:]), (text[:other], text[other:])
    assert (identity(*one) == identity(*two)) is (one == two)
    assert (fingerprint(*one) == fingerprint(*two)) is (one == two)


def test_marks_that_lie_in_logs_stay_known() -> None:
    """Another fingerprint would make every repeat of the last 5 minutes a new publication."""
    assert fingerprint("ann", "m1").hex() == "49cb4460903ce573"
