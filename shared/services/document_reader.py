"""Read state documents: whole, or what has changed since a version that the reader knows."""

from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.document import Document, DocumentLog
from shared.domain.principal import Principal
from shared.errors import ForbiddenError, NotFoundError
from shared.ports import DocumentStore
from shared.protocol.encode import to_json
from shared.protocol.limits import DATA_MAX_BYTES
from shared.services.history import PAGE_MAX_BYTES


@dataclass(frozen=True, slots=True)
class DocumentReader:
    """The documents of channels, for those who may read them.

    Attributes:
        above: All versions are greater, once a table was restored: there may be readers then who know documents that
            are there no more.
    """

    store: DocumentStore
    above: int = 0

    def whole(self, principal: Principal, channel: str, key: str) -> Document:
        """Return a document as it is.

        Raises:
            ForbiddenError: The principal may not read this channel's documents.
            NotFoundError: There is none.
        """
        _check(principal, channel)
        document = self.store.log(channel, key).current
        if document.value is None:
            raise NotFoundError("there is no such document")
        return document

    def one(self, principal: Principal, channel: str, key: str, since_version: int | None) -> dict[str, Any]:
        """Return the result of ``state.get`` with a key: the changes since a version if they are kept and fit.

        Raises:
            ForbiddenError: The principal may not read this channel's documents.
        """
        _check(principal, channel)
        log = self.store.log(channel, key)
        changes = None if since_version is None else _changes(log, since_version)
        if changes is not None and len(to_json(changes)) <= DATA_MAX_BYTES:
            return {"changes": changes}
        return {"documents": {key: sendable(log.current)} if log.version else {}}

    def page(
        self,
        principal: Principal,
        channel: str,
        *,
        known: Mapping[str, int] | None = None,
        after: str = "",
        max_bytes: int = PAGE_MAX_BYTES,
    ) -> dict[str, Any]:
        """Return the result of ``state.get`` without a key, and what ``subscribe`` has as ``state``.

        Args:
            known: Versions that the reader has: of those documents it gets what has changed since.
            after: Go on behind this key.
            max_bytes: How long the documents are, together.

        Raises:
            ForbiddenError: The principal may not read this channel's documents.
        """
        _check(principal, channel)
        documents: dict[str, Any] = {}
        left = max_bytes
        for log in self._logs(channel, after, known or {}):
            entry = _entry(log, (known or {}).get(log.key))
            if entry is None:
                continue
            left -= len(to_json(entry)) + len(log.key) + 4  # quotes, colon, comma
            if left < 0:
                return {"documents": documents, "more": True}
            documents[log.key] = entry
        return {"documents": documents}

    def _logs(self, channel: str, after: str, known: Mapping[str, int]) -> Iterator[DocumentLog]:
        """Yield the channel's logs, and empty ones of what is known and gone, in the order of their keys."""
        missing = deque(sorted(key for key in known if key > after) if self.above else ())
        for log in self.store.logs(channel, after=after):
            while missing and missing[0] <= log.key:
                if (key := missing.popleft()) != log.key:
                    yield DocumentLog(key).raised(self.above)
            yield log
        for key in missing:
            yield DocumentLog(key).raised(self.above)


def sendable(document: Document) -> dict[str, Any]:
    """Return a document as frames have it: without a value that is too large for one."""
    wire = document.to_wire()
    if too_large(document.value):
        del wire["value"]
    return wire


def too_large(value: Any) -> bool:
    """Tell whether a value, or a patch, is too large for a frame."""
    return len(to_json(value)) > DATA_MAX_BYTES


def _check(principal: Principal, channel: str) -> None:
    if not principal.may("state.read", channel):
        raise ForbiddenError("the token does not allow to read this channel's documents")


def _entry(log: DocumentLog, known: int | None) -> dict[str, Any] | None:
    """Return what a reader needs of a document, ``None`` if it is nothing."""
    current = log.current
    if known == log.version or (known is None and current.value is None):
        return None
    whole = sendable(current)
    changes = None if known is None else _changes(log, known)
    # In place of one that is too large, its changes are worth as much as a frame holds.
    length = DATA_MAX_BYTES if too_large(current.value) else len(to_json(whole))
    if changes is None or len(to_json(changes)) >= length:
        return whole
    return {"version": log.version, "changes": changes}


def _changes(log: DocumentLog, since: int) -> list[dict[str, Any]] | None:
    """Return the changes since a version, or ``None`` if they are not all kept."""
    if not log.snapshot.version <= since <= log.version:
        return None
    return [change.to_wire() for change in log.since(since)]
