"""Of several events with one name, the last stands for all: what a subscriber that wants the newest is sent."""

from collections.abc import Iterable
from itertools import groupby
from typing import Any

Event = dict[str, Any]


def conflate(events: Iterable[Event]) -> list[Event]:
    """Return the last event of each name in every run of contiguous offsets of one priority.

    Each says in ``covers_from`` from which offset on it stands for others, and has as ``prev_offset`` what came before
    those: whoever receives it has settled everything from there to its own offset.

    Args:
        events: ``event`` pushes with offsets, ascending.
    """
    kept: list[Event] = []
    numbered = enumerate(events)
    for _, run in groupby(numbered, key=lambda pair: (pair[1]["offset"] - pair[0], pair[1]["priority"])):
        kept += _last_of_each(event for _, event in run)
    return kept


def _last_of_each(run: Iterable[Event]) -> list[Event]:
    first: Event | None = None
    last: dict[str, Event] = {}
    for event in run:
        first = first or event
        last[event["name"]] = event
    if first is None:
        return []
    covers_from, prev_offset = first["offset"], first["prev_offset"]
    kept: list[Event] = []
    for event in sorted(last.values(), key=lambda item: int(item["offset"])):
        covering = {"covers_from": covers_from} if covers_from < event["offset"] else {}
        kept.append(event | {"prev_offset": prev_offset} | covering)
        covers_from, prev_offset = event["offset"] + 1, event["offset"]
    return kept
