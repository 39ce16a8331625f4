"""Pushes on the bus: ``{"v", "channel", "frames": [push, ...], "fanned_out"?: true}``, and to whom if not to everybody.

What has a place in a stream is ``tidewire.publications``, for whoever archives or counts; all else is
``tidewire.pushes``.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aws import translated
from shared.adapters.schema_version import marked, understood
from shared.contract import DETAIL_PUBLICATIONS, DETAIL_PUSHES, EVENT_SOURCE
from shared.errors import UnavailableError
from shared.ports import Broadcast
from shared.protocol.encode import to_json

if TYPE_CHECKING:
    from mypy_boto3_events.client import EventBridgeClient

# docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
_ENTRIES_MAX: Final = 10
_REQUEST_MAX_BYTES: Final = 256_000
_NARROWING: Final = ("connection_id", "interest", "but")  # what says to whom


class EventBridgeBus:
    """One custom bus."""

    def __init__(self, client: "EventBridgeClient", bus_name: str) -> None:
        self._client = client
        self._bus_name = bus_name

    def put(self, broadcasts: Sequence[Broadcast]) -> None:
        entries: list[Any] = []
        size = 0
        for broadcast in broadcasts:
            if not broadcast.frames:
                continue
            detail: dict[str, Any] = {"channel": broadcast.channel, "frames": list(broadcast.frames)}
            if broadcast.fanned_out:
                detail["fanned_out"] = True
            for name in _NARROWING:
                if (value := getattr(broadcast, name)) is not None:
                    detail[name] = value
            encoded = to_json(marked(detail))
            if entries and (len(entries) == _ENTRIES_MAX or size + len(encoded) > _REQUEST_MAX_BYTES):
                self._send(entries)
                entries, size = [], 0
            entries.append(
                {
                    "EventBusName": self._bus_name,
                    "Source": EVENT_SOURCE,
                    "DetailType": DETAIL_PUBLICATIONS if _in_stream(broadcast) else DETAIL_PUSHES,
                    "Detail": encoded.decode(),
                }
            )
            size += len(encoded)
        if entries:
            self._send(entries)

    def _send(self, entries: list[Any]) -> None:
        with translated():
            answer = self._client.put_events(Entries=entries)
        if answer["FailedEntryCount"]:
            # All of them are put again: a repeated event costs its receivers a duplicate, which they drop.
            raise UnavailableError("the event bus is busy", retry_after_ms=1000)


def broadcast(event: Mapping[str, Any]) -> Broadcast:
    """Read an event.

    Raises:
        NewerSchemaError: A newer release has written it.
    """
    detail = understood(event["detail"], place=event["detail-type"], key=event["id"])
    narrowing: dict[str, Any] = {name: detail.get(name) for name in _NARROWING}
    return Broadcast(detail["channel"], detail["frames"], **narrowing)


def _in_stream(broadcast: Broadcast) -> bool:
    return all("offset" in frame for frame in broadcast.frames)
