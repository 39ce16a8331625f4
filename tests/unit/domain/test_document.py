"""Logs of documents: what is kept of them, and what it costs."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.document import Change, Chunk, Document, DocumentLog, is_key, log_of


def grown(log: DocumentLog, **content: Any) -> DocumentLog:
    change = Change(log.version + 1, f"id-{log.version + 1}", "ann", log.version + 1, **content)
    to, full = log.room(change)
    return log.with_change(change, to, full=full)


@given(sizes=st.lists(st.sampled_from([0, 100, 400, 3_000, 40_000]), max_size=120))
def test_a_log_is_the_document_whatever_is_compacted(sizes: list[int]) -> None:
    log, values = DocumentLog("k"), [None]
    for number, size in enumerate(sizes):
        patched = number and number % 3
        values.append((values[-1] or {} if patched else {}) | {f"f{number % 5}": "x" * size})  # type: ignore[arg-type]
        log = grown(log, patch={f"f{number % 5}": "x" * size}) if patched else grown(log, value=values[-1])
        log = log.compaction() or log
        assert log.version == number + 1
        assert log.current == Document(number + 1, values[-1], "ann", number + 1)
        for version in range(log.version + 1):
            known = log.at(version)
            assert (known is None) is (version < log.snapshot.version)
            assert known is None or known.value == values[version]
        assert [change.version for change in log.since(log.snapshot.version)] == list(
            range(log.snapshot.version + 1, log.version + 1)
        )


@pytest.mark.parametrize("size", [1_000, 50_000])
def test_a_small_patch_costs_two_units_at_most(size: int) -> None:
    """As DynamoDB counts: a write costs the item it makes or the one it removes, in KB, rounded up."""

    def units(length: int) -> int:
        return math.ceil(length / 1024)

    log, written, patches = grown(DocumentLog("k"), value={"text": "x" * size}), 0, 2_000
    for number in range(patches):
        before = log
        log = grown(log, patch={f"field{number % 10}": "y" * 185})
        chunk = log.chunks[-1]
        written += units(100 + sum(len(change.to_record()) for change in chunk.changes))
        compacted = log.compaction()
        if compacted is not None:
            written += units(100 + size + 2_000)
            written += sum(
                units(100 + sum(len(change.to_record()) for change in chunk.changes)) for chunk in compacted.stale
            )
            log = DocumentLog("k", compacted.snapshot, compacted.chunks)
        assert log.version == before.version + 1
    assert written / patches <= 2
    assert len(log.chunks) < 200


def test_a_deleted_document_is_short() -> None:
    log = grown(grown(DocumentLog("k"), value={"a": 1}))
    compacted = log.compaction()
    assert compacted is not None
    assert (compacted.snapshot, compacted.chunks, compacted.stale) == (Document(2, None, "ann", 2), (), log.chunks)
    again = DocumentLog("k", compacted.snapshot)
    assert again.compaction() is None
    assert grown(again, value=5).current.version == 3


def test_one_large_change_does_not_make_it_compact_without_end() -> None:
    log = grown(grown(DocumentLog("k"), value={"a": "x" * 100_000}), patch={"b": 1})
    assert log.compaction() is None


def test_what_was_read_has_no_hole() -> None:
    log = DocumentLog("k")
    for number in range(9):
        log = grown(log, value="x" * 600 + str(number))
    assert len(log.chunks) > 3
    assert log_of("k", Document(), log.chunks) == log
    assert log_of("k", Document(), log.chunks[1:]) is None
    snapshot = log.at(log.chunks[1].last)
    assert snapshot is not None
    read = log_of("k", snapshot, log.chunks)
    assert read == DocumentLog("k", snapshot, log.chunks[2:], log.chunks[:2])
    assert read.current == log.current


def test_a_chunk_is_full_before_the_next_unit_begins() -> None:
    log = DocumentLog("k")
    for _ in range(30):
        log = grown(log, patch={"a": "y" * 200})
    assert {len(chunk.changes) for chunk in log.chunks[:-1]} == {3}
    assert all(sum(len(change.to_record()) for change in chunk.changes) < 900 for chunk in log.chunks)


@pytest.mark.parametrize("content", [{"value": {"a": "ü"}}, {"patch": {"a": None}}, {}])
def test_a_change_is_read_as_it_was_written(content: Any) -> None:
    change = Change(7, "id", "bob", 5, **content)
    assert Change.from_record(change.to_record()) == change
    assert change.deleted is (content == {})


@pytest.mark.parametrize("text", ["a", "x" * 100, "A.b_c:d~e-f%20"])
def test_keys(text: str) -> None:
    assert is_key(text)


@pytest.mark.parametrize("text", ["", "x" * 101, "a#b", "a b", "a\n", "ü", "a$"])
def test_no_keys(text: str) -> None:
    assert not is_key(text)


def test_chunks_say_where_they_are() -> None:
    changes = tuple(Change(number, "", "", 0, value=number) for number in (4, 5))
    assert (Chunk(changes, False).first, Chunk(changes, False).last) == (4, 5)
