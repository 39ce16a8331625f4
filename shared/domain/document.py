"""State documents: a document is the log of its changes, from a snapshot on."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from shared.domain.merge import patched

KEY_MAX_LENGTH: Final = 100
# So far above those of the stage's generation before it lie a generation's versions: no document comes so far, and the
# thousandth generation's are still integers to JavaScript.
GENERATION_VERSIONS: Final = 10**12
_KEY = re.compile(r"[A-Za-z0-9_.:~%-]+\Z")
# A snapshot is taken of what lies so many units back, and when there are twice as many: so a log always reaches back at
# least so far, and a change costs its own unit and at most half a one for snapshots.
_LOG_MIN_UNITS: Final = 32
_UNIT_BYTES: Final = 1_000  # DynamoDB's write unit is 1 KB, and an item has its keys as well
# A chunk with more than this is full: another change of the usual size still fits its unit.
_CHUNK_FULL_BYTES: Final = 700


def is_key(text: str) -> bool:
    """Tell whether ``text`` may name a document. Two names stand for folders, wherever they are a step of a path."""
    return len(text) <= KEY_MAX_LENGTH and _KEY.match(text) is not None and text not in (".", "..")


@dataclass(frozen=True, slots=True)
class Change:
    """One version of a document, as what it changed.

    Attributes:
        version: 1, 2, 3 … without holes.
        change_id: Another one for each try to write: so that a writer knows its own.
        value: The whole document; ``None`` where ``patch`` has the change, or where the document was deleted.
        patch: A merge patch (RFC 7396) to the version before.
    """

    version: int
    change_id: str
    user_id: str
    at_ms: int
    value: Any = None
    patch: Mapping[str, Any] | None = None

    @property
    def deleted(self) -> bool:
        """Whether the document is gone with it."""
        return self.value is None and self.patch is None

    def apply(self, document: "Document") -> "Document":
        """Return the document with this change, which has to be the next one."""
        value = self.value if self.patch is None else patched(document.value, dict(self.patch))
        return Document(self.version, value, self.user_id, self.at_ms)

    def raised(self, by: int) -> "Change":
        """Return it with a version so much greater."""
        return replace(self, version=self.version + by)

    def to_wire(self) -> dict[str, Any]:
        """Return it as ``state.get`` has changes, and as pushes tell of them."""
        return {
            "version": self.version,
            **self._content("value", "patch", "deleted"),
            "updated_by": self.user_id,
            "updated_at_ms": self.at_ms,
        }

    def to_record(self) -> str:
        """Return it as it is stored."""
        record = {"n": self.version, "i": self.change_id, "u": self.user_id, "t": self.at_ms}
        return json.dumps(record | self._content("v", "p", "d"), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_record(cls, text: str) -> "Change":
        """Read what :meth:`to_record` wrote."""
        record = json.loads(text)
        return cls(record["n"], record["i"], record["u"], record["t"], record.get("v"), record.get("p"))

    def _content(self, value: str, patch: str, deleted: str) -> dict[str, Any]:
        if self.patch is not None:
            return {patch: self.patch}
        return {deleted: True} if self.value is None else {value: self.value}


@dataclass(frozen=True, slots=True)
class Document:
    """A document at one version.

    Attributes:
        version: 0 if it never was.
        value: Any JSON value; ``None`` if it never was or is deleted.
        user_id: Who changed it last.
        at_ms: When, Unix milliseconds.
    """

    version: int = 0
    value: Any = None
    user_id: str = ""
    at_ms: int = 0

    def to_wire(self) -> dict[str, Any]:
        """Return it as ``state.get`` has documents."""
        content: dict[str, Any] = {"deleted": True} if self.value is None else {"value": self.value}
        return {"version": self.version, **content, "updated_by": self.user_id, "updated_at_ms": self.at_ms}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Changes that lie together.

    Attributes:
        full: The next change begins another one. This stands in the store, so that all writers agree. Only full chunks
            are ever deleted: nobody grows one that is about to go.
    """

    changes: tuple[Change, ...]
    full: bool

    def raised(self, by: int) -> "Chunk":
        """Return it with versions so much greater."""
        return replace(self, changes=tuple(change.raised(by) for change in self.changes))

    @property
    def first(self) -> int:
        """The version of the first."""
        return self.changes[0].version

    @property
    def last(self) -> int:
        """The version of the last."""
        return self.changes[-1].version


@dataclass(frozen=True)
class DocumentLog:
    """All that is kept of a document: ``chunks`` go on from ``snapshot`` without a hole.

    Attributes:
        key: Its name.
        snapshot: The oldest version that is known.
        stale: Chunks that the snapshot covers, and that somebody has not come to delete.
    """

    key: str
    snapshot: Document = Document()
    chunks: tuple[Chunk, ...] = ()
    stale: tuple[Chunk, ...] = ()

    @property
    def never_was(self) -> bool:
        """Whether nobody has ever written it."""
        return not self.chunks and not self.snapshot.at_ms

    def raised(self, by: int) -> "DocumentLog":
        """Return it with versions so much greater, that of a document that never was as well."""
        snapshot = replace(self.snapshot, version=self.snapshot.version + by)
        chunks, stale = (tuple(chunk.raised(by) for chunk in some) for some in (self.chunks, self.stale))
        return DocumentLog(self.key, snapshot, chunks, stale)

    @cached_property
    def current(self) -> Document:
        """The document as it is."""
        document = self.snapshot
        for change in self.since(document.version):
            document = change.apply(document)
        return document

    @property
    def size(self) -> int:
        """How many bytes it takes, as JSON."""
        snapshot = len(json.dumps(self.snapshot.value, ensure_ascii=False).encode())
        return snapshot + sum(_size(change) for change in self.since(self.snapshot.version))

    @property
    def version(self) -> int:
        """The current version."""
        return self.chunks[-1].last if self.chunks else self.snapshot.version

    def at(self, version: int) -> Document | None:
        """Return the document as it was, or ``None`` if that is not kept."""
        if not self.snapshot.version <= version <= self.version:
            return None
        document = self.snapshot
        for change in self.since(document.version):
            if change.version <= version:
                document = change.apply(document)
        return document

    def since(self, version: int) -> list[Change]:
        """Return the changes after a version, as far as they are kept."""
        return [
            change
            for chunk in self.chunks
            if chunk.last > version
            for change in chunk.changes
            if change.version > version
        ]

    def has(self, change_id: str) -> bool:
        """Tell whether a change is in it."""
        return any(change.change_id == change_id for change in self.since(self.snapshot.version))

    def room(self, change: Change) -> tuple[Chunk | None, bool]:
        """Return the chunk that the change goes into, ``None`` for a new one, and whether it is full then."""
        last = self.chunks[-1] if self.chunks else None
        if last is not None and last.full:
            last = None
        before = sum(_size(one) for one in last.changes) if last else 0
        # A deletion is the last of its chunk, which goes with it.
        return last, change.deleted or before + _size(change) >= _CHUNK_FULL_BYTES

    def with_change(self, change: Change, to: Chunk | None, *, full: bool) -> "DocumentLog":
        """Return the log with one change more, in the chunk that :meth:`room` gave for it."""
        before = self.chunks[:-1] if to is not None else self.chunks
        chunk = Chunk((*(to.changes if to is not None else ()), change), full)
        return replace(self, chunks=(*before, chunk))

    def extended(self, chunks: Sequence[Chunk]) -> "DocumentLog | None":
        """Return the log with its last chunk, and those behind it, as they were read again.

        Returns:
            ``None`` if they do not go on from what is known: that is gone meanwhile.
        """
        known = self.chunks[-1].changes if self.chunks else ()
        if not known or not chunks or chunks[0].changes[: len(known)] != known:
            return None
        return log_of(self.key, self.snapshot, (*self.stale, *self.chunks[:-1], *chunks))

    def compaction(self) -> "DocumentLog | None":
        """Return what is left when all that is due is in the snapshot, or ``None`` while nothing is."""
        current = self.current
        if current.value is None:
            return self.from_version(self.version) if self.chunks or self.stale else None
        keep = max(_LOG_MIN_UNITS, 2 * _units(len(json.dumps(current.value, ensure_ascii=False).encode())))
        left, units = list(self.chunks), self._units()
        if units < 2 * keep:
            return None
        # Whole chunks, since they are what is deleted.
        while units - (oldest := _chunk_units(left[0])) >= keep:
            units -= oldest
            left.pop(0)
        return self.from_version(left[0].first - 1) if len(left) < len(self.chunks) else None

    def from_version(self, version: int) -> "DocumentLog":
        """Return the log whose snapshot is this version, which has to be kept."""
        snapshot = self.at(version)
        assert snapshot is not None
        covered = tuple(chunk for chunk in self.chunks if chunk.last <= version)
        assert all(chunk.full for chunk in covered)
        return DocumentLog(self.key, snapshot, self.chunks[len(covered) :], (*self.stale, *covered))

    def _units(self) -> int:
        return sum(map(_chunk_units, self.chunks))


def log_of(key: str, snapshot: Document, chunks: Sequence[Chunk]) -> DocumentLog | None:
    """Put a log together from what was read; ``None`` if a hole is in it, which one who reads again does not find."""
    stale = tuple(chunk for chunk in chunks if chunk.last <= snapshot.version)
    kept = tuple(chunk for chunk in chunks if chunk.last > snapshot.version)
    expected = snapshot.version + 1
    for chunk in kept:
        if chunk.first > expected:
            return None
        expected = chunk.last + 1
    return DocumentLog(key, snapshot, kept, stale)


def _chunk_units(chunk: Chunk) -> int:
    return sum(_units(_size(change)) for change in chunk.changes)


def _size(change: Change) -> int:
    return len(change.to_record().encode())


def _units(size: int) -> int:
    return 1 + size // _UNIT_BYTES
