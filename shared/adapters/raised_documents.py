"""Documents of a stage whose table was restored: no version comes a second time (docs/runbooks/restore.md)."""

from collections.abc import Iterator
from dataclasses import dataclass

from shared.domain.document import Change, Chunk, DocumentLog
from shared.ports import DocumentStore


@dataclass(frozen=True, slots=True)
class RaisedDocumentStore:
    """Another store, whose versions are told as so much greater than they are stored.

    A restored document counts on from where it was. Whoever knows a later version, which is gone, is to take the next
    one neither for that nor for the one behind it.
    """

    store: DocumentStore
    by: int

    def log(self, channel: str, key: str, *, known: DocumentLog | None = None) -> DocumentLog:
        known = None if known is None else known.raised(-self.by)
        return self.store.log(channel, key, known=known).raised(self.by)

    def logs(self, channel: str, *, after: str = "") -> Iterator[DocumentLog]:
        for log in self.store.logs(channel, after=after):
            yield log.raised(self.by)

    def append(self, channel: str, key: str, change: Change, *, to: Chunk | None, full: bool) -> bool:
        to = None if to is None else to.raised(-self.by)
        return self.store.append(channel, key, change.raised(-self.by), to=to, full=full)

    def compact(self, channel: str, log: DocumentLog) -> None:
        self.store.compact(channel, log.raised(-self.by))

    def count(self, channel: str, *, at_most: int) -> int:
        return self.store.count(channel, at_most=at_most)
