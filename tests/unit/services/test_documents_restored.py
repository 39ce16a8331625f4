"""After a restore documents count on from an earlier version: whoever knows a later one, which is gone, finds out."""

from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Final

import pytest

from shared.adapters.memory import MemoryDocumentStore
from shared.adapters.raised_documents import RaisedDocumentStore
from shared.domain.document import GENERATION_VERSIONS
from shared.domain.principal import Principal
from shared.errors import LimitReachedError, VersionConflictError
from shared.namespaces import Namespaces, parse
from shared.services.document_reader import DocumentReader
from shared.services.documents import Documents, Write, Written
from tests.unit.stack import MemoryStack
from tidewire.replica import Replica

ROOM: Final = "room:a"
ANN: Final = Principal("ann", {"*": ["state.read", "state.write"]})
_KEPT: Final = 8  # versions that the table was restored to
_KNOWN: Final = 12  # version that a client has of it


@dataclass
class Restored:
    """A stage whose table was restored, and a client that has read it before."""

    documents: Documents
    reader: DocumentReader
    client: Replica

    def write(self, value: Any, key: str = "k", *, base_version: int | None = None) -> Written:
        return self.documents.write(ANN, Write(ROOM, key, value, base_version=base_version))

    def ask(self, asked: dict[str, Any] | None) -> None:
        while asked is not None:
            if "key" in asked:
                result = self.reader.one(ANN, ROOM, asked["key"], asked["since_version"])
                if "changes" in result:
                    return self.client.changed(asked["key"], result["changes"])
                asked = self.client.read(result)
            else:
                asked = self.client.read(
                    self.reader.page(ANN, ROOM, known=asked["known"], after=asked.get("after", ""))
                )

    def tell(self, written: Written, key: str = "k") -> None:
        """Push the document as it was written."""
        push = {"type": "state", "channel": ROOM, "key": key, **written.document.to_wire()}
        self.ask(self.client.pushed(push))

    def subscribe(self) -> None:
        self.ask({"known": dict(self.client.versions)})


@pytest.fixture
def restored() -> Restored:
    stack = MemoryStack()
    store = stack.document_store
    before: MemoryDocumentStore | None = None
    for number in range(1, _KNOWN + 1):
        stack.documents.write(ANN, Write(ROOM, "k", {"lost" if number > _KEPT else "kept": number}))
        if number == _KEPT:
            before = MemoryDocumentStore()
            before.snapshots, before.chunks = deepcopy(store.snapshots), deepcopy(store.chunks)
    stack.documents.write(ANN, Write(ROOM, "late", "lost"))
    client = Replica(ROOM)
    client.read(stack.document_reader.page(ANN, ROOM))
    assert client.versions == {"k": _KNOWN, "late": 1}
    assert before is not None
    raised = RaisedDocumentStore(before, GENERATION_VERSIONS)
    return Restored(replace(stack.documents, store=raised), DocumentReader(raised, GENERATION_VERSIONS), client)


def test_a_version_that_is_given_out_again_is_another_on_the_wire(restored: Restored) -> None:
    written = [restored.write({"new": number}).document.version for number in range(_KNOWN - _KEPT)]
    assert written == [GENERATION_VERSIONS + _KEPT + 1 + number for number in range(len(written))]
    assert min(written) > _KNOWN


@pytest.mark.parametrize("writes", [1, _KNOWN - _KEPT, _KNOWN - _KEPT + 1])
def test_who_held_it_all_the_while_takes_no_change_for_one_that_it_has(restored: Restored, writes: int) -> None:
    for number in range(writes):
        last = restored.write({"new": number})
    restored.tell(last)
    assert restored.client.values["k"] == {"new": writes - 1}
    assert restored.client.version("k") == last.document.version
    restored.tell(restored.write({"newer": True}))
    assert restored.client.values["k"] == {"newer": True}


def test_who_subscribes_again_has_what_there_is_and_learns_what_there_is_no_more(restored: Restored) -> None:
    restored.subscribe()
    assert restored.client.values == {"k": {"kept": _KEPT}}
    assert restored.client.versions == {"k": GENERATION_VERSIONS + _KEPT, "late": GENERATION_VERSIONS}
    told = restored.reader.page(ANN, ROOM, known=restored.client.versions)
    assert told == {"documents": {}}


def test_who_subscribes_again_after_it_was_written_has_it_whole(restored: Restored) -> None:
    for number in range(_KNOWN):
        restored.write({"new": number})
    restored.subscribe()
    assert restored.client.values == {"k": {"new": _KNOWN - 1}}


def test_a_document_that_is_born_again_is_taken(restored: Restored) -> None:
    restored.tell(restored.write("new", "late", base_version=0), "late")
    assert restored.client.values["late"] == "new"
    assert restored.client.version("late") == GENERATION_VERSIONS + 1


def test_a_write_on_a_version_that_is_gone_is_settled_as_one_on_an_old_version(restored: Restored) -> None:
    strict = replace(restored, documents=replace(restored.documents, namespaces=_strict()))
    with pytest.raises(VersionConflictError) as refused:
        strict.write({"mine": 1}, base_version=_KNOWN)
    assert (refused.value.details or {})["version"] == GENERATION_VERSIONS + _KEPT
    with pytest.raises(VersionConflictError) as gone:
        strict.write({"mine": 1}, "late", base_version=1)
    assert gone.value.details == {"version": GENERATION_VERSIONS, "deleted": True}


def test_what_is_stored_is_what_was_stored_before(restored: Restored) -> None:
    """So the next generation begins from the same table, and so would the one before."""
    for number in range(200):
        restored.write({"new": number, "text": "x" * 200})
    raised = restored.documents.store
    assert isinstance(raised, RaisedDocumentStore)
    log = raised.store.log(ROOM, "k")
    assert log.version == _KEPT + 200
    assert log.snapshot.version > 0  # compacted meanwhile
    assert log.current.value == {"new": 199, "text": "x" * 200}
    assert raised.log(ROOM, "k", known=raised.log(ROOM, "k")).current.version == GENERATION_VERSIONS + _KEPT + 200
    assert raised.count(ROOM, at_most=9) == 1


class Full(MemoryDocumentStore):
    def count(self, channel: str, *, at_most: int) -> int:
        return at_most


def test_in_a_full_channel_no_document_is_born_and_those_there_are_written(restored: Restored) -> None:
    raised = restored.documents.store
    assert isinstance(raised, RaisedDocumentStore) and isinstance(raised.store, MemoryDocumentStore)
    full = Full()
    full.snapshots, full.chunks = raised.store.snapshots, raised.store.chunks
    restored.documents = replace(restored.documents, store=replace(raised, store=full))
    restored.write("new")
    with pytest.raises(LimitReachedError):
        restored.write("new", "another")


def _strict() -> Namespaces:
    return parse('[namespaces.room]\nstate_strategy = "reject"\n')
