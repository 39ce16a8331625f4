"""Change state documents: settle what others have overtaken, keep it, tell subscribers."""

import json
import random
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

from shared.domain.channel import namespace_of
from shared.domain.document import Change, Chunk, Document, DocumentLog
from shared.domain.merge import conflicts, merged, patch_between, patched, same
from shared.domain.principal import Principal
from shared.domain.resolving import Reject, Resolver
from shared.errors import (
    BadFrameError,
    ContentionError,
    ForbiddenError,
    InternalError,
    LimitReachedError,
    RefusedError,
    TooLargeError,
    UnavailableError,
    VersionConflictError,
)
from shared.namespaces import Namespaces
from shared.ports import Broadcast, DocumentStore, EventBus, Metrics
from shared.protocol.encode import to_json
from shared.protocol.limits import DOCUMENT_MAX_BYTES, DOCUMENTS_MAX
from shared.services.document_reader import sendable, too_large
from shared.services.fan_out import FanOut
from shared.services.limits import RateLimits

# A channel with more subscribers than that is told by the function made for it: here it would take too long.
_TOLD_AT_ONCE: Final = 100
_LOGS_MAX_BYTES: Final = 1_000_000  # remembered, as JSON; as objects they take some ten times that
_TRIES: Final = 30  # each time another writer was faster
_BACKOFF_S: Final = 0.005
_BACKOFF_MAX_S: Final = 0.2
_REPEATED_MS: Final = 60_000  # so soon a client repeats what was not answered
_REFUSAL_MAX_BYTES: Final = 8_000  # of the error object: replies have their limit too

Resolution = Literal["applied", "merged"]


class ResolverFaultError(Exception):
    """A resolver returned what can't be used."""


class Rules(Protocol):
    """What documents may be."""

    def check(self, channel: str, name: str, data: Any) -> None:
        """Hold a document, by its key, to the rules of its channel.

        Raises:
            RefusedError: It does not keep them.
        """
        ...


@dataclass(frozen=True, slots=True)
class Write:
    """What somebody wants of a document.

    Attributes:
        value: The whole of it; ``None`` to have it deleted, or where there is a patch.
        patch: A merge patch (RFC 7396).
        base_version: The version that the writer knows, 0 if there is to be none; ``None`` if it does not matter.
        connection_id: The writer's, which gets the answer and no push.
    """

    channel: str
    key: str
    value: Any = None
    patch: Mapping[str, Any] | None = None
    base_version: int | None = None
    connection_id: str | None = None

    def to(self, value: Any) -> Any:
        """Return what it makes of a value."""
        return self.value if self.patch is None else patched(value, dict(self.patch))


@dataclass(frozen=True, slots=True)
class Written:
    """What became of a write.

    Attributes:
        document: As it is settled.
        resolution: ``merged`` if it was settled with what others have written since the base.
        readable: Its writer may read it. Whoever may only write learns the version.
        patch: What it changed, where that is a patch.
    """

    document: Document
    resolution: Resolution
    readable: bool
    patch: Mapping[str, Any] | None

    @property
    def content(self) -> dict[str, Any]:
        """The value, or that it is deleted; nothing for whom may not read it."""
        if self.document.value is None:
            return {"deleted": True}
        return {"value": self.document.value} if self.readable else {}

    def to_wire(self) -> dict[str, Any]:
        """Return the result of ``state.set``, ``state.patch`` and ``state.delete``.

        Where the value is too large for a frame, it has what was changed, if that is not.
        """
        content = self.content
        if too_large(content.get("value")):
            content = {} if self.patch is None or too_large(self.patch) else {"patch": self.patch}
        return {"version": self.document.version, **content, "resolution": self.resolution}


@dataclass(frozen=True, slots=True)
class Documents:
    """The writer of documents.

    Attributes:
        resolvers: By namespace.
        on_failure: Is told the channel and what should not have happened.
    """

    store: DocumentStore
    namespaces: Namespaces
    rules: Rules
    resolvers: Mapping[str, Resolver]
    bus: EventBus
    fan_out: FanOut
    limits: RateLimits
    metrics: Metrics
    now_ms: Callable[[], int]
    on_failure: Callable[[str, Exception], None]
    sleep: Callable[[float], None] = time.sleep
    _logs: OrderedDict[tuple[str, str], tuple[DocumentLog, int]] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, principal: Principal, write: Write) -> Written:
        """Change a document; return it as it is settled: it is durable then, and subscribers have been told.

        Raises:
            ForbiddenError: The principal may not change this channel's documents.
            VersionConflictError: Others have changed it since the base, and that can't be settled.
            RefusedError: The resolver or a schema says no.
            TooLargeError: It would have more than 200,000 bytes.
            LimitReachedError: The channel has as many documents as it may.
            ContentionError: Other writers were always faster.
        """
        if not principal.may("state.write", write.channel):
            raise ForbiddenError("the token does not allow to change this channel's documents")
        self.limits.publish(principal, write.channel)
        change_id = secrets.token_urlsafe(6)
        resolution: Resolution = "applied"
        for attempt in range(_TRIES):
            log = self._log(write)
            if log.has(change_id):  # it was put, and the answer got lost
                return self._written(principal, write, log, resolution)
            value, resolution = self._settled(principal, write, log)
            if same(value, log.current.value):
                return self._written(principal, write, log, resolution, push=self._repeats(principal, log.current))
            if log.never_was:
                self._check_room(write.channel)
            change = self._change(principal, log, change_id, value)
            to, full = log.room(change)
            if self._put(write, change, to, full=full, again=attempt == 0):
                self.metrics.count("DocumentsChanged")
                return self._written(principal, write, log.with_change(change, to, full=full), resolution)
            longest_s = min(_BACKOFF_S * 2**attempt, _BACKOFF_MAX_S)
            self.sleep(random.uniform(0, longest_s))  # nosec B311 # spreads tries; nothing is secret
        raise ContentionError("too many write this document", retry_after_ms=500)

    def _put(self, write: Write, change: Change, to: Chunk | None, *, full: bool, again: bool) -> bool:
        """Put a change; ``again``: where it fails, look whether it is there before that is told."""
        try:
            return self.store.append(write.channel, write.key, change, to=to, full=full)
        except UnavailableError:
            if again:
                return False
            raise

    def _repeats(self, principal: Principal, current: Document) -> bool:
        """Tell whether a write that changes nothing may be the repeat of one that was kept and never told."""
        return current.user_id == principal.user_id and self.now_ms() - current.at_ms < _REPEATED_MS

    def _log(self, write: Write) -> DocumentLog:
        known, _ = self._logs.get((write.channel, write.key), (None, 0))
        return self.store.log(write.channel, write.key, known=known)

    def _remember(self, write: Write, log: DocumentLog) -> None:
        place, size = (write.channel, write.key), log.size
        with self._lock:
            self._logs.pop(place, None)
            self._logs[place] = log, size
            while sum(size for _, size in self._logs.values()) > _LOGS_MAX_BYTES:
                self._logs.popitem(last=False)

    def _settled(self, principal: Principal, write: Write, log: DocumentLog) -> tuple[Any, Resolution]:
        """Return what the document shall be."""
        current, base = log.current, write.base_version
        value: Any
        resolution: Resolution = "applied"
        if base is None or base == current.version or (base == 0 and current.value is None):
            value = write.to(current.value)
        else:
            value, resolution = self._overtaken(principal, write, log, base)
        if value is not None:
            _check_size(value)
            self.rules.check(write.channel, write.key, value)
        return value, resolution

    def _overtaken(
        self, principal: Principal, write: Write, log: DocumentLog, base_version: int
    ) -> tuple[Any, Resolution]:
        """As :meth:`_settled`, where others have written since the base."""
        current = log.current
        base = log.at(base_version)
        wanted = write.to((base or current).value)
        if wanted is not None:
            _check_size(wanted)
        # Nobody knows a version that is not there yet, and who wants a document not to be there has no base.
        settled = 0 < base_version < current.version
        made = base_version == 0 and current.user_id == principal.user_id  # perhaps by this very write
        if (settled or made) and same(wanted, current.value):
            return current.value, "applied"  # there is nothing to settle
        strategy = self.namespaces.of(write.channel).state_strategy
        if settled and strategy == "last_write_wins":
            return write.to(current.value), "applied"
        if settled and strategy == "merge" and write.patch is not None:
            return write.to(current.value), "merged"
        if settled and strategy == "merge" and base is not None:
            return merged(base.value, wanted, current.value), "merged"
        if settled and strategy == "resolve":
            return self._resolved(write.channel, base, current, wanted), "merged"
        shown = ("version", "value", "deleted") if _may_read(principal, write) else ("version",)
        details = {name: value for name, value in sendable(current).items() if name in shown}
        raise VersionConflictError("the document has another version", details=details)

    def _resolved(self, channel: str, base: Document | None, current: Document, wanted: Any) -> Any:
        resolve = self.resolvers[namespace_of(channel)]
        at = [""] if base is None else conflicts(base.value, wanted, current.value)
        try:
            outcome = resolve(_copy(base.value if base else None), _copy(current.value), _copy(wanted), at)
            if isinstance(outcome, Reject):
                refusal = RefusedError(outcome.message, details=dict(outcome.details))
                if len(to_json(refusal.to_wire())) > _REFUSAL_MAX_BYTES:
                    raise ResolverFaultError("a refusal is too long")
            elif outcome is None and wanted is not None and current.value is not None:
                raise ResolverFaultError("nobody wants the document deleted, and the resolver returned nothing")
            else:
                return _copy(outcome)
        except Exception as error:
            self.metrics.count("ResolverFailures")
            self.on_failure(channel, error)
            raise InternalError from error
        raise refusal

    def _check_room(self, channel: str) -> None:
        if self.store.count(channel, at_most=DOCUMENTS_MAX) >= DOCUMENTS_MAX:
            raise LimitReachedError(
                f"a channel has at most {DOCUMENTS_MAX} documents", details={"limit": DOCUMENTS_MAX}
            )

    def _change(self, principal: Principal, log: DocumentLog, change_id: str, value: Any) -> Change:
        """Return the change that makes this of the document: a patch if that is shorter."""
        before = log.current.value
        patch = None if before is None else patch_between(before, value)
        if patch is not None and len(to_json(patch)) >= len(to_json(value)):
            patch = None
        change = Change(log.version + 1, change_id, principal.user_id, self.now_ms(), patch=patch)
        return replace(change, value=value) if patch is None else change

    def _written(
        self, principal: Principal, write: Write, log: DocumentLog, resolution: Resolution, *, push: bool = True
    ) -> Written:
        document, last = log.current, log.since(log.version - 1)
        if last and push:
            self._tell(write, last[-1])
        try:
            log = self._compacted(write, log)
        except Exception as error:  # the change is kept, and the next one tries again
            self.on_failure(write.channel, error)
        self._remember(write, log)
        readable = _may_read(principal, write)
        return Written(document, resolution, readable, last[-1].patch if last and readable else None)

    def _compacted(self, write: Write, log: DocumentLog) -> DocumentLog:
        if log.compaction() is None:
            return log
        log = self.store.log(write.channel, write.key)  # what is remembered may reach back further
        compacted = log.compaction()
        if compacted is None:
            return log
        self.store.compact(write.channel, compacted)
        return replace(compacted, stale=())

    def _tell(self, write: Write, change: Change) -> None:
        push = {"type": "state", "channel": write.channel, "key": write.key, **change.to_wire()}
        if too_large(push.get("patch", push.get("value"))):
            push = {name: value for name, value in push.items() if name not in ("patch", "value")}
        broadcast = Broadcast(write.channel, [push], interest="state", but=write.connection_id)
        fanned_out = self.fan_out.deliver_to_few(broadcast, at_most=_TOLD_AT_ONCE)
        self.bus.put([replace(broadcast, fanned_out=fanned_out)])


def _may_read(principal: Principal, write: Write) -> bool:
    return principal.may("state.read", write.channel)


def _check_size(value: Any) -> None:
    try:
        size = len(to_json(value))
    except ValueError:
        raise BadFrameError("the document has a number that is not finite") from None
    if size > DOCUMENT_MAX_BYTES:
        raise TooLargeError(
            f"a document has at most {DOCUMENT_MAX_BYTES} bytes", details={"max_bytes": DOCUMENT_MAX_BYTES}
        )


def _copy(value: Any) -> Any:
    return json.loads(to_json(value))
