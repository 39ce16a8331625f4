"""The checker finds what is wrong with a journal, and only that: tested without server or clients."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.torture.checker import Kind, Report, check

CHANNEL = "room:a"
PRIORITIES = ("express", "high", "normal", "low")

Line = dict[str, Any]


def published(offset: int, priority: str = "normal", *, acknowledged: bool = True, known: bool = False) -> Line:
    return {
        "kind": "published",
        "channel": CHANNEL,
        "user": "pub",
        "message_id": f"m{offset}",
        "priority": priority,
        "acknowledged": acknowledged,
        "position": {"epoch": "e", "offset": offset} if known else None,
        "digest": 7,
        "sent_at_ms": offset * 10,
        "batch": offset,
        "index": 0,
        "acknowledged_at_ms": offset * 10 + 5 if acknowledged else None,
    }


def told(kind: str, subscriber: str, offset: int, **fields: Any) -> Line:
    return {"kind": kind, "subscriber": subscriber, "channel": CHANNEL, "epoch": "e", "offset": offset} | fields


def handed(subscriber: str, offset: int, priority: str = "normal", **fields: Any) -> Line:
    message = {"user": "pub", "message_id": f"m{offset}", "priority": priority, "digest": 7, "at_ms": 0, "by": "push"}
    return told("handed", subscriber, offset) | message | fields


def recovered(subscriber: str, since: int, end: int, offsets: list[int], **fields: Any) -> Line:
    line = {"kind": "recovered", "subscriber": subscriber, "channel": CHANNEL, "offsets": offsets, "more": False}
    positions = {"since": {"epoch": "e", "offset": since}, "position": {"epoch": "e", "offset": end}}
    return line | positions | {"whole": True, "asked_at_ms": -1} | fields


def good(count: int = 6) -> list[Line]:
    """Return a journal in which all is well: two subscribers, one of whom lost its connection for a while."""
    lines = [published(offset, known=offset % 2 == 0) for offset in range(1, count + 1)]
    for who in ("s1", "s2"):
        lines += [told("subscribed", who, 0), *(handed(who, offset) for offset in range(1, count + 1))]
    return [*lines, recovered("s2", 2, 4, [3, 4])]


def kinds(report: Report) -> set[Kind]:
    return {finding.kind for finding in report.findings}


def test_nothing_is_wrong_with_a_good_journal() -> None:
    report = check(good())
    assert report.findings == []
    assert (report.publications, report.acknowledged, report.subscribers, report.recovered) == (6, 6, 2, 1)
    assert report.handed == {"push": 12}
    assert report.pushed_share == 1


def without(lines: list[Line], *gone: Line) -> list[Line]:
    return [line for line in lines if line not in gone]


def exchanged(lines: list[Line], one: Line, other: Line) -> list[Line]:
    return [other if line == one else one if line == other else line for line in lines]


MUTATIONS: dict[str, tuple[Kind, Callable[[list[Line]], list[Line]]]] = {
    "one is lost on its way to a subscriber": ("lost", lambda lines: without(lines, handed("s1", 3))),
    "the last one is lost": ("lost", lambda lines: without(lines, handed("s1", 6))),
    "one was acknowledged and is nowhere": ("lost", lambda lines: [*lines, published(7)]),
    "one is stored and nobody was handed it": (
        "lost",
        lambda lines: without(lines, handed("s1", 3), handed("s2", 3), published(3)),
    ),
    "one comes twice": ("doubled", lambda lines: [*lines, handed("s1", 3)]),
    "one is stored twice": (
        "doubled",
        lambda lines: [*lines, *(handed(who, 7, message_id="m3") for who in ("s1", "s2"))],
    ),
    "one has two positions": (
        "doubled",
        lambda lines: [*lines, published(3) | {"position": {"epoch": "e", "offset": 5}}],
    ),
    "two are swapped": ("reordered", lambda lines: exchanged(lines, handed("s1", 3), handed("s1", 4))),
    "a later one is stored before an earlier one": (
        "reordered",
        lambda lines: exchanged_fields(lines, "m3", "m4"),
    ),
    "two subscribers saw different things": (
        "conflicting",
        lambda lines: exchanged(lines, handed("s1", 3), handed("s1", 3, message_id="m4")),
    ),
    "one changed its priority": ("conflicting", lambda lines: exchanged(lines, published(3), published(3, "high"))),
    "one was published by nobody": ("invented", lambda lines: without(lines, published(3))),
    "a whole recovery has a hole": (
        "wrongly_recovered",
        lambda lines: [*lines, recovered("s1", 1, 4, [2, 4])],
    ),
    "a whole recovery ends early": (
        "wrongly_recovered",
        lambda lines: [*lines, recovered("s1", 1, 4, [2, 3])],
    ),
    "a whole recovery begins late": (
        "wrongly_recovered",
        lambda lines: [*lines, recovered("s1", 1, 4, [3, 4], more=True)],
    ),
    "a whole recovery leaves out what was known": (
        "wrongly_recovered",
        lambda lines: [*lines, recovered("s1", 1, 2, [2], asked_at_ms=46)],
    ),
    "a whole recovery leaves out what somebody was handed before": (
        "wrongly_recovered",
        lambda lines: [*lines, recovered("s1", 1, 2, [2], asked_at_ms=1)],
    ),
    "a recovery is of another stream": (
        "wrongly_recovered",
        lambda lines: [*lines, recovered("s1", 1, 4, []) | {"since": {"epoch": "x", "offset": 4}}],
    ),
    "a recovery is refused": ("refused", lambda lines: [*lines, recovered("s1", 1, 4, [], whole=False)]),
    "an application starts over for little": (
        "refused",
        lambda lines: [told("started_over", "s1", 4) if line == handed("s1", 4) else line for line in lines],
    ),
    "an application starts over out of the blue": (
        "refused",
        lambda lines: [*many(302), told("started_over", "s1", 302)],
    ),
    "contents are another's": (
        "conflicting",
        lambda lines: exchanged(lines, handed("s1", 3), handed("s1", 3, digest=8)),
    ),
    "an event covers another where none may": (
        "conflicting",
        lambda lines: [handed("s1", 4, covers_from=3) if line == handed("s1", 4) else line for line in lines],
    ),
    "a batch is stored in another order": (
        "reordered",
        lambda lines: [
            {**line, "sent_at_ms": 5, "acknowledged_at_ms": 99, "batch": 1, "index": int(line["message_id"][1:])}
            if line["kind"] == "published"
            else line
            for line in exchanged_fields(lines, "m3", "m4")
        ],
    ),
    "one never began": ("lost", lambda lines: [*lines, recovered("s3", 2, 6, [3, 4, 5, 6])]),
    "a stream is replaced": ("refused", lambda lines: [*lines, told("started_over", "s1", 0, epoch="f")]),
}


def many(count: int) -> list[Line]:
    """Return publications that one subscriber was handed, and the other was not."""
    lines = [published(offset) for offset in range(1, count + 1)]
    lines += [told("subscribed", "s2", 0), *(handed("s2", offset) for offset in range(1, count + 1))]
    return [*lines, told("subscribed", "s1", 0)]


def exchanged_fields(lines: list[Line], one: str, other: str) -> list[Line]:
    """Exchange two messages wherever they were handed over, and forget their positions."""
    names = {one: other, other: one}
    swapped = [
        {**line, "message_id": names.get(line["message_id"], line["message_id"])} if line["kind"] == "handed" else line
        for line in lines
    ]
    return [{**line, "position": None} if line["kind"] == "published" else line for line in swapped]


@pytest.mark.parametrize("mutation", MUTATIONS)
def test_it_is_found_that(mutation: str) -> None:
    kind, mutate = MUTATIONS[mutation]
    assert kind in kinds(check(mutate(good())))


def test_what_was_sent_at_the_same_time_may_stand_in_any_order() -> None:
    at_once = {"sent_at_ms": 30, "acknowledged_at_ms": 60}
    lines = [line | at_once if line["kind"] == "published" else line for line in exchanged_fields(good(), "m3", "m4")]
    assert check(lines).findings == []


def test_a_higher_priority_may_overtake() -> None:
    lines = [line | {"priority": "high"} if line.get("message_id") == "m4" else line for line in good()]
    three, four = handed("s1", 3), handed("s1", 4, "high")
    assert check(exchanged(lines, three, four)).findings == []


def test_what_was_not_acknowledged_may_be_missing() -> None:
    assert check([*good(), published(7, acknowledged=False)]).findings == []


def test_a_repeat_that_is_acknowledged_counts() -> None:
    lines = [*good(), published(7, acknowledged=False), published(7)]
    report = check(lines)
    assert kinds(report) == {"lost"}
    assert report.repeats == 1


def test_who_was_too_far_behind_may_start_over_and_misses_nothing_else() -> None:
    lines = [*many(400), handed("s1", 1), recovered("s1", 1, 399, [], whole=False), told("started_over", "s1", 399)]
    assert kinds(check(lines)) == {"lost"}
    report = check([*lines, handed("s1", 400)])
    assert report.findings == []
    assert report.too_far_behind == 1


def test_what_nobody_could_read_may_hold_what_nobody_saw() -> None:
    lines = [published(offset) for offset in range(1, 1_201)]
    lines += [told("subscribed", "s1", 0), told("started_over", "s1", 1_199), handed("s1", 1_200)]
    report = check(lines)
    assert (report.findings, report.dark) == ([], 1_199)
    assert kinds(check([*lines, published(1_201)])) == {"lost"}


def test_a_conflated_event_stands_for_what_it_covers() -> None:
    lines = [published(offset) for offset in range(1, 5)] + [told("subscribed", "s1", 0)]
    covering = [handed("s1", 1), handed("s1", 4, covers_from=2)]
    assert check([*lines, *covering], conflated=True).findings == []
    assert kinds(check([*lines, handed("s1", 1), handed("s1", 4, covers_from=3)], conflated=True)) == {"lost"}


def test_who_comes_late_is_owed_only_what_comes_after() -> None:
    assert check([*good(), told("subscribed", "s3", 5), handed("s3", 6)]).findings == []
    assert kinds(check([*good(), told("subscribed", "s3", 5)])) == {"lost"}


def test_channels_have_nothing_to_do_with_each_other() -> None:
    other = [line | {"channel": "room:b"} for line in good()]
    assert check([*good(), *other]).findings == []
    assert kinds(check([*good(), *without(other, other[-2])])) == {"lost"}


@st.composite
def journals(draw: st.DrawFn) -> tuple[list[Line], list[list[Line]]]:
    """Return publishers' lines, and each subscriber's: in any order that their priorities allow."""
    lanes = draw(st.lists(st.sampled_from(PRIORITIES), min_size=4, max_size=12))
    publishers = [published(o, lane, known=lane == "express") for o, lane in enumerate(lanes, 1)]
    subscribers = []
    for number in range(draw(st.integers(1, 3))):
        who, start = f"s{number}", draw(st.integers(0, 2))
        waiting = {p: [o for o, lane in enumerate(lanes, 1) if lane == p and o > start] for p in PRIORITIES}
        lines = [told("subscribed", who, start)]
        while any(waiting.values()):
            priority = draw(st.sampled_from([p for p in PRIORITIES if waiting[p]]))
            lines.append(handed(who, waiting[priority].pop(0), priority, by=draw(st.sampled_from(["push", "repair"]))))
        subscribers.append(lines)
    return publishers, subscribers


def flat(publishers: list[Line], subscribers: list[list[Line]]) -> list[Line]:
    return publishers + [line for lines in subscribers for line in lines]


@given(journals())
def test_no_good_journal_is_blamed(journal: tuple[list[Line], list[list[Line]]]) -> None:
    assert check(flat(*journal)).findings == []


@given(journals(), st.data())
def test_each_lost_doubled_or_swapped_entry_is_found(
    journal: tuple[list[Line], list[list[Line]]], data: st.DataObject
) -> None:
    publishers, subscribers = journal
    lines = data.draw(st.sampled_from([lines for lines in subscribers if len(lines) > 1]))
    index = data.draw(st.integers(1, len(lines) - 1))
    mutation = data.draw(st.sampled_from(["lost", "doubled", "reordered"]))
    line = lines[index]
    if mutation == "lost":
        del lines[index]
    elif mutation == "doubled":
        lines.insert(data.draw(st.integers(index, len(lines))), dict(line))
    else:
        later = [i for i in range(index + 1, len(lines)) if lines[i]["priority"] == line["priority"]]
        if not later:
            return
        other = data.draw(st.sampled_from(later))
        lines[index], lines[other] = lines[other], lines[index]
    found = kinds(check(flat(publishers, subscribers)))
    assert found == {"lost"} if mutation == "lost" else mutation in found
