"""How a client keeps a channel's documents (docs/protocol.md section 3): what clients are held against."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tidewire.merge import patched

Frame = Mapping[str, Any]


@dataclass(slots=True)
class Replica:
    """One channel's documents.

    Attributes:
        versions: Of each document that is known, deleted ones too: what ``subscribe`` is to be given as ``state``.
        values: Those that are there.
        missing: Documents to be read by HTTP, since they are too large for a frame.
    """

    channel: str
    versions: dict[str, int] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    def read(self, result: Frame) -> dict[str, Any] | None:
        """Take documents: ``state`` in the result of ``subscribe``, or the result of ``state.get``.

        Returns:
            What has to be asked next, if those were not all.
        """
        for key, document in result["documents"].items():
            if "changes" in document:
                self.changed(key, document["changes"])
            elif document["version"] >= self.versions.get(key, 0):
                self._put(key, document["version"], document)
        if "more" not in result:
            return None
        after = {"after": max(result["documents"])} if result["documents"] else {}
        return {"type": "state.get", "channel": self.channel, "known": self.versions, **after}

    def changed(self, key: str, changes: list[Frame]) -> None:
        """Take ``changes`` of a document, in the result of ``state.get`` with ``since_version``."""
        for change in changes:
            if change["version"] == self.versions.get(key, 0) + 1:
                self._apply(key, change)

    def pushed(self, push: Frame) -> dict[str, Any] | None:
        """Take a ``state`` push; return what has to be asked where versions before it have not come."""
        key, known = push["key"], self.versions.get(push["key"], 0)
        return None if push["version"] <= known else self._next(key, push, known)

    def wrote(self, key: str, result: Frame) -> dict[str, Any] | None:
        """Take the result of a write: the document as it is settled, or its last change; return as :meth:`pushed`."""
        known = self.versions.get(key, 0)
        if "patch" in result:
            return None if result["version"] <= known else self._next(key, result, known)
        if result["version"] >= known:
            self._put(key, result["version"], result)
        return None

    def fetched(self, key: str, document: Frame | None) -> dict[str, Any] | None:
        """Take a missing document as it was read by HTTP, ``None`` if there is none.

        Returns:
            What has to be asked where changes have come meanwhile: they said nothing without it.
        """
        if key not in self.missing:
            return None
        known, document = self.versions[key], document or {"version": 0, "deleted": True}
        self._put(key, document["version"], document)
        return self._since(key, document["version"]) if document["version"] < known else None

    def _next(self, key: str, change: Frame, known: int) -> dict[str, Any] | None:
        if change["version"] > known + 1:
            return self._since(key, known)
        self._apply(key, change)
        return None

    def _since(self, key: str, version: int) -> dict[str, Any]:
        return {"type": "state.get", "channel": self.channel, "key": key, "since_version": version}

    def _apply(self, key: str, change: Frame) -> None:
        if "patch" in change and key not in self.missing:
            self._put(key, change["version"], {"value": patched(self.values.get(key), change["patch"])})
        else:  # a patch to what is not there says nothing
            self._put(key, change["version"], {} if "patch" in change else change)

    def _put(self, key: str, version: int, content: Frame) -> None:
        if version == self.versions.get(key) and "value" not in content and "deleted" not in content:
            return  # it was read by HTTP already, or is about to be
        self.versions[key] = version
        self.values.pop(key, None)
        self.missing.discard(key)
        if "value" in content:
            self.values[key] = content["value"]
        elif "deleted" not in content:
            self.missing.add(key)
