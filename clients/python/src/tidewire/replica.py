"""How a client keeps a channel's documents (docs/protocol.md section 3): what clients are held against.

No timers, no network: what is to be asked is returned. What makes no sense changes nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

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

    def version(self, key: str) -> int:
        """Return the version that is known of a document; 0 if none is."""
        return self.versions.get(key, 0)

    def read(self, result: Frame) -> dict[str, Any] | None:
        """Take documents: ``state`` in the result of ``subscribe``, or the result of ``state.get``.

        Returns:
            What has to be asked next, if those were not all.
        """
        documents = result["documents"]
        for key, document in documents.items():
            if isinstance(document, dict) and isinstance(document.get("changes"), list):
                self.changed(key, document["changes"])
            elif is_version(document) and document["version"] >= self.version(key):
                self._put(key, document["version"], document)
        if not result.get("more"):
            return None
        after = {"after": max(documents)} if documents else {}
        return {"type": "state.get", "channel": self.channel, "known": dict(self.versions), **after}

    def changed(self, key: str, changes: list[Frame]) -> None:
        """Take ``changes`` of a document, in the result of ``state.get`` with ``since_version``."""
        for change in changes:
            if is_version(change) and change["version"] == self.version(key) + 1:
                self._apply(key, change)

    def pushed(self, push: Frame) -> dict[str, Any] | None:
        """Take a ``state`` push; return what has to be asked: the versions before a patch, where they have not come."""
        return self._take(push["key"], push)

    def wrote(self, key: str, result: Frame) -> dict[str, Any] | None:
        """Take the result of a write: the document as it is settled, or its last change; return as :meth:`pushed`."""
        if not is_version(result) or result.get("patch") is not None:
            return self._take(key, result)
        if result["version"] >= self.version(key):
            self._put(key, result["version"], result)
        return None

    def fetched(self, key: str, document: Frame | None) -> dict[str, Any] | None:
        """Take a missing document as it was read by HTTP, ``None`` if there is none.

        Returns:
            What has to be asked where changes have come meanwhile: they said nothing without it.
        """
        document = document or {"version": 0, "deleted": True}
        if key not in self.missing or not is_version(document):
            return None
        known, version = self.version(key), document["version"]
        self._put(key, version, document)
        return self._since(key) if version < known else None

    def _take(self, key: str, change: Frame) -> dict[str, Any] | None:
        if not is_version(change) or change["version"] <= self.version(key):
            return None
        if change.get("patch") is not None and change["version"] > self.version(key) + 1:
            return self._since(key)
        self._apply(key, change)
        return None

    def _since(self, key: str) -> dict[str, Any]:
        return {"type": "state.get", "channel": self.channel, "key": key, "since_version": self.version(key)}

    def _apply(self, key: str, change: Frame) -> None:
        patch = change.get("patch")
        if patch is None:
            self._put(key, change["version"], change)
        else:  # a patch to what is not there says nothing
            known = {} if key in self.missing else {"value": patched(self.values.get(key), patch)}
            self._put(key, change["version"], known)

    def _put(self, key: str, version: int, content: Frame) -> None:
        deleted = content.get("deleted") is True
        empty = "value" not in content and not deleted
        if empty and version == self.versions.get(key):
            return  # it was read by HTTP already, or is about to be
        self.versions[key] = version
        self.values.pop(key, None)
        self.missing.discard(key)
        if empty:
            self.missing.add(key)
        elif not deleted:
            self.values[key] = content["value"]


def is_version(said: object) -> TypeGuard[Frame]:
    """Tell whether that says something of one version of a document. Python takes True for 1; JSON does not."""
    if not isinstance(said, Mapping) or type(said.get("version")) is not int or said["version"] < 0:
        return False
    return said.get("patch") is None or isinstance(said["patch"], dict)
