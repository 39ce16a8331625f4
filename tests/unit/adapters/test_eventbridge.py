"""The bus: every broadcast gets there, in requests that EventBridge takes, or the caller is told."""

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from hypothesis import given
from hypothesis import strategies as st

from shared.adapters.eventbridge import EventBridgeBus, broadcast
from shared.errors import UnavailableError
from shared.ports import Broadcast

# docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
MAX_ENTRIES, MAX_BYTES = 10, 262_144


class RecordingEvents:
    """Keeps what is put."""

    def __init__(self, failed: int = 0) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self._failed = failed

    def put_events(self, **request: Any) -> dict[str, Any]:
        self.requests.append(request["Entries"])
        return {"FailedEntryCount": self._failed}


def put(*broadcasts: Broadcast) -> list[list[dict[str, Any]]]:
    client: Any = RecordingEvents()
    EventBridgeBus(client, "the-bus").put(broadcasts)
    return list(client.requests)


def test_an_entry_says_what_it_is() -> None:
    ((entry,),) = put(Broadcast("room:a", [{"type": "event", "data": "ü", "offset": 1}]))
    frames = [{"type": "event", "data": "ü", "offset": 1}]
    assert json.loads(entry.pop("Detail")) == {"v": 1, "channel": "room:a", "frames": frames}
    assert entry == {"EventBusName": "the-bus", "Source": "tidewire", "DetailType": "tidewire.publications"}


@pytest.mark.parametrize("frame", [{"type": "event", "ephemeral": True}, {"type": "receipt"}, {"type": "system"}])
def test_what_is_in_no_stream_is_no_publication_to_other_targets(frame: dict[str, Any]) -> None:
    ((entry,),) = put(Broadcast("room:a", [frame]))
    assert entry["DetailType"] == "tidewire.pushes"


@pytest.mark.parametrize(
    "wanted",
    [
        Broadcast("room:a", [{"type": "event"}], fanned_out=True),
        Broadcast("user:ann", [{"type": "event"}], connection_id="c1"),
        Broadcast("room:a", [{"type": "state"}], interest="state", but="c1"),
    ],
)
def test_a_detail_says_whether_and_to_whom_it_is_still_to_be_fanned_out(wanted: Broadcast) -> None:
    ((entry,),) = put(wanted)
    detail = json.loads(entry["Detail"])
    assert detail.get("fanned_out", False) is wanted.fanned_out
    assert broadcast({"id": "e1", "detail-type": entry["DetailType"], "detail": detail}) == replace(
        wanted, fanned_out=False
    )


def test_nothing_is_not_put() -> None:
    assert put() == []
    assert put(Broadcast("room:a", [])) == []


def test_a_request_has_ten_entries_at_most() -> None:
    requests = put(*(Broadcast("room:a", [{"offset": 1}]) for _ in range(25)))
    assert [len(entries) for entries in requests] == [10, 10, 5]


def test_a_request_is_as_full_as_it_may_be() -> None:
    sizes = [200_000, 100_000, 100_000, 40_000, 200_000]
    requests = put(*(Broadcast("room:a", [{"data": "x" * size}]) for size in sizes))
    assert [len(entries) for entries in requests] == [1, 3, 1]


@given(sizes=st.lists(st.sampled_from([0, 20_000, 120_000, 200_000]), max_size=25))
def test_requests_stay_within_what_is_taken_and_lose_nothing(sizes: list[int]) -> None:
    requests = put(*(Broadcast(f"room:{n}", [{"data": "x" * size}]) for n, size in enumerate(sizes)))
    for entries in requests:
        assert 0 < len(entries) <= MAX_ENTRIES
        assert sum(len(value.encode()) for entry in entries for value in entry.values()) <= MAX_BYTES
    channels = [json.loads(entry["Detail"])["channel"] for entries in requests for entry in entries]
    assert channels == [f"room:{n}" for n in range(len(sizes))]


def test_an_entry_that_was_not_taken_fails_the_put() -> None:
    client: Any = RecordingEvents(failed=1)
    with pytest.raises(UnavailableError):
        EventBridgeBus(client, "the-bus").put([Broadcast("room:a", [{"offset": 1}])])


def test_a_throttle_is_told_as_unavailable() -> None:
    client = boto3.client("events", region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
    with Stubber(client) as stub:
        stub.add_client_error("put_events", "ThrottlingException", http_status_code=400)
        with pytest.raises(UnavailableError):
            EventBridgeBus(client, "the-bus").put([Broadcast("room:a", [{"offset": 1}])])
