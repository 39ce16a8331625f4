"""The contract of :class:`shared.ports.DocumentStore`, in memory and in DynamoDB's own emulation."""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from shared.adapters.dynamodb_documents import DynamoDbDocumentStore
from shared.adapters.memory import MemoryDocumentStore
from shared.domain.document import Change, Document, DocumentLog
from shared.ports import DocumentStore

ROOM = "room:a"


def memory() -> Iterator[DocumentStore]:
    yield MemoryDocumentStore()


def dynamodb() -> Iterator[DocumentStore]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        client.create_table(
            TableName="state",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
            AttributeDefinitions=[
                {"AttributeName": "pk", "AttributeType": "S"},
                {"AttributeName": "sk", "AttributeType": "S"},
            ],
            BillingMode="PAY_PER_REQUEST",
        )
        yield DynamoDbDocumentStore(client, "state")


@pytest.fixture(params=[memory, dynamodb])
def store(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[DocumentStore]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    yield from request.param()


def put(store: DocumentStore, key: str, value: object, *, log: DocumentLog | None = None) -> bool:
    """Put the next version of a document, as whoever has read ``log`` would."""
    log = store.log(ROOM, key) if log is None else log
    change = Change(log.version + 1, f"{log.version + 1} {str(value)[:20]}", "ann", 1, value=value)
    to, full = log.room(change)
    return store.append(ROOM, key, change, to=to, full=full)


def filled(store: DocumentStore, count: int, key: str = "k") -> DocumentLog:
    for number in range(count):
        assert put(store, key, {"n": number, "text": "x" * 100})
    return store.log(ROOM, key)


def emptied(log: DocumentLog) -> DocumentLog:
    """Return what is left when all full chunks are covered."""
    full = [chunk for chunk in log.chunks if chunk.full]
    return log.from_version(full[-1].last)


def deleted(store: DocumentStore, key: str = "k") -> DocumentLog:
    """Delete a document; return what is left of it."""
    log = store.log(ROOM, key)
    change = Change(log.version + 1, "deletion", "bob", 9)
    to, full = log.room(change)
    assert store.append(ROOM, key, change, to=to, full=full)
    compacted = store.log(ROOM, key).compaction()
    assert compacted is not None
    return compacted


def test_what_never_was_has_an_empty_log(store: DocumentStore) -> None:
    assert store.log(ROOM, "k") == DocumentLog("k")
    assert list(store.logs(ROOM)) == []
    assert store.count(ROOM, at_most=5) == 0


def test_changes_lie_in_order_in_chunks(store: DocumentStore) -> None:
    log = filled(store, 10)
    assert log.version == 10
    assert log.current.value == {"n": 9, "text": "x" * 100}
    assert 1 < len(log.chunks) < 10
    assert [chunk.full for chunk in log.chunks[:-1]] == [True] * (len(log.chunks) - 1)


@pytest.mark.parametrize("before", range(12))
def test_of_two_who_write_one_version_one_succeeds(store: DocumentStore, before: int) -> None:
    """Whether the next change goes into a chunk or begins one."""
    log = filled(store, before)
    assert put(store, "k", "first", log=log)
    assert not put(store, "k", "second", log=log)
    assert store.log(ROOM, "k").current.value == "first"
    assert put(store, "k", "third")
    assert not put(store, "k", "fourth", log=log)


def test_a_snapshot_takes_the_place_of_what_it_covers(store: DocumentStore) -> None:
    log = filled(store, 12)
    compacted = log.from_version(log.chunks[1].last)
    store.compact(ROOM, compacted)
    read = store.log(ROOM, "k")
    assert read == DocumentLog("k", compacted.snapshot, compacted.chunks)
    assert read.current == log.current
    store.compact(ROOM, log.from_version(log.chunks[0].last))
    assert store.log(ROOM, "k") == read, "an older one changes nothing"


@pytest.mark.parametrize("before", range(4))
def test_who_was_held_up_while_all_was_compacted_writes_nothing(store: DocumentStore, before: int) -> None:
    slow = filled(store, before)
    filled(store, 12)
    store.compact(ROOM, deleted(store))
    assert not put(store, "k", "late", log=slow)
    read = store.log(ROOM, "k")
    assert (read.current, read.chunks) == (Document(before + 13, None, "bob", 9), ())
    assert put(store, "k", "next")
    assert store.log(ROOM, "k").current == Document(before + 14, "next", "ann", 1)


def test_who_writes_while_a_deletion_is_compacted_is_not_lost(store: DocumentStore) -> None:
    filled(store, 5)
    compacted = deleted(store)
    for value in ("meanwhile", "x" * 700, "again"):
        assert put(store, "k", value)
    store.compact(ROOM, compacted)
    log = store.log(ROOM, "k")
    assert (log.version, log.current.value, log.snapshot.version) == (9, "again", 6)


def test_what_a_late_writer_left_is_not_grown(store: DocumentStore) -> None:
    """Two are held up: one who begins a chunk, and one who has seen it begun by another, and grows it."""
    begins = filled(store, 7)
    while not begins.chunks[-1].full:
        begins = filled(store, 1)
    grows = filled(store, 1)
    filled(store, 9)
    store.compact(ROOM, emptied(store.log(ROOM, "k")))
    before = store.log(ROOM, "k")
    assert not put(store, "k", "late", log=begins)
    assert not put(store, "k", "later", log=grows)
    assert store.log(ROOM, "k", known=grows).current == before.current, "nor taken for what was there"
    assert store.log(ROOM, "k").current == before.current


def test_what_is_remembered_goes_on_from_where_it_was(store: DocumentStore) -> None:
    known = filled(store, 4)
    assert store.log(ROOM, "k", known=known) == known
    for count in (1, 1, 5):
        log = filled(store, count)
        assert store.log(ROOM, "k", known=known).current == log.current
    assert store.log(ROOM, "k", known=known).snapshot == known.snapshot
    store.compact(ROOM, emptied(log))
    assert store.log(ROOM, "k", known=known).snapshot == emptied(log).snapshot


def test_what_a_late_writer_left_is_deleted_with_the_next_snapshot(store: DocumentStore) -> None:
    slow = DocumentLog("k")
    filled(store, 12)
    store.compact(ROOM, deleted(store))
    put(store, "k", "late", log=slow)
    left = store.log(ROOM, "k")
    assert [chunk.first for chunk in left.stale] == [1]
    compacted = left.compaction()
    assert compacted is not None
    store.compact(ROOM, compacted)
    assert store.log(ROOM, "k") == DocumentLog("k", left.current)


def test_a_deleted_document_has_a_snapshot_without_a_value(store: DocumentStore) -> None:
    filled(store, 1)
    store.compact(ROOM, deleted(store))
    assert store.log(ROOM, "k") == DocumentLog("k", Document(2, None, "bob", 9))


def test_a_channel_s_documents_come_by_their_keys(store: DocumentStore) -> None:
    keys = ["a", "a-b", "a.b", "a:b", "ab", "b", "B", "a%20"]
    for key in keys:
        filled(store, 8, key)
    log = store.log(ROOM, "ab")
    store.compact(ROOM, emptied(log))
    assert [log.key for log in store.logs(ROOM)] == sorted(keys)
    for place, key in enumerate(sorted(keys)):
        assert [log.key for log in store.logs(ROOM, after=key)] == sorted(keys)[place + 1 :]
    assert all(log.version == 8 for log in store.logs(ROOM))
    assert list(store.logs("room:b")) == []
    assert [store.count(ROOM, at_most=n) for n in (1, 8, 100)] == [1, 8, 8]


def test_large_documents_fill_many_pages(store: DocumentStore) -> None:
    for key in "abcdefgh":
        assert put(store, key, "x" * 199_000)
    assert [(log.key, len(log.current.value)) for log in store.logs(ROOM)] == [(key, 199_000) for key in "abcdefgh"]
    assert store.count(ROOM, at_most=100) == 8
