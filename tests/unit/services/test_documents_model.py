"""Writers with stale bases, pushes that are lost or late, clients that were away: all end with what the server has."""

import random
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test

from functions.documents.keep_larger import keep_larger
from shared.adapters.memory import MemoryDocumentStore
from shared.domain.document import Change, Chunk, DocumentLog
from tests.unit.stack import MemoryStack
from tidewire.replica import Replica

CLIENTS = ("ann", "bob", "cyd")
KEYS = ("board", "cursor")
CHANNELS = """
[namespaces.reject]
state_strategy = "reject"
[namespaces.last_write_wins]
state_strategy = "last_write_wins"
[namespaces.merge]
state_strategy = "merge"
[namespaces.resolve]
state_strategy = "resolve"
"""
clients = st.sampled_from(CLIENTS)
keys = st.sampled_from(KEYS)


class Interrupted(MemoryDocumentStore):
    """A store that lets somebody else in before a change is put, and before a log is compacted."""

    def __init__(self) -> None:
        super().__init__()
        self.before_append: list[Callable[[], None]] = []
        self.before_compact: list[Callable[[], None]] = []
        self.deleted: Callable[[str], None] = lambda key: None

    def append(self, channel: str, key: str, change: Change, *, to: Chunk | None, full: bool) -> bool:
        while self.before_append:
            self.before_append.pop()()
        put = super().append(channel, key, change, to=to, full=full)
        if put and change.deleted:
            self.deleted(key)
        return put

    def compact(self, channel: str, log: DocumentLog) -> None:
        while self.before_compact:
            self.before_compact.pop()()
        super().compact(channel, log)


class Client:
    """Somebody with a replica, on a network that loses pushes."""

    def __init__(self, stack: MemoryStack, name: str, channel: str) -> None:
        self.stack, self.name, self.channel = stack, name, channel
        self.replica = Replica(channel)
        self.here = False
        self.written: dict[str, int] = {}
        stack.connect(name, name)
        self.come()

    def come(self) -> None:
        known = self.replica.versions or True
        reply = self.ask({"type": "subscribe", "state": known})
        wanted = self.replica.read(reply["result"]["state"])
        while wanted is not None:
            wanted = self.replica.read(self.ask(wanted)["result"])
        self.here = True

    def go(self) -> None:
        self.ask({"type": "unsubscribe"})
        self.stack.transport.inboxes[self.name].clear()
        self.here = False

    def ask(self, frame: dict[str, Any]) -> dict[str, Any]:
        return self.stack.ask(self.name, {"channel": self.channel, **frame})

    def write(self, key: str, *, whole: bool) -> None:
        """Count on in a field of one's own, on what one knows; it may be stale."""
        number = self.written.get(key, 0) + 1
        known = self.replica.values.get(key)
        base: dict[str, Any] = {"base_version": self.replica.versions[key]} if known is not None else {}
        if whole and known is not None:
            frame = {"type": "state.set", "value": {**known, self.name: number}}
        else:
            frame = {"type": "state.patch", "patch": {self.name: number}}
        reply = self.ask(frame | base | {"key": key})
        if "result" in reply:
            self.written[key] = number
            self.replica.wrote(key, reply["result"])
        elif reply["error"]["name"] == "refused":  # the resolver has nothing to settle it with: it was deleted
            self.come()
        else:
            assert reply["error"]["name"] == "version_conflict", reply
            details = reply["error"]["details"]
            self.replica.read({"documents": {key: details}})

    def delete(self, key: str) -> None:
        self.replica.wrote(key, self.ask({"type": "state.delete", "key": key})["result"])

    def receive(self, dice: random.Random, lose: bool) -> None:
        """Take what was pushed, in any order, some of it never."""
        frames = self.stack.events(self.name)
        self.stack.transport.inboxes[self.name].clear()
        dice.shuffle(frames)
        for frame in frames:
            if frame["type"] != "state" or (lose and dice.random() < 0.4):
                continue
            wanted = self.replica.pushed(frame)
            if wanted is not None:
                result = self.ask(wanted)["result"]
                if "changes" in result:
                    self.replica.changed(frame["key"], result["changes"])
                else:
                    self.replica.read(result)


class Writers(RuleBasedStateMachine):
    strategy = "merge"

    def __init__(self) -> None:
        super().__init__()
        self.stack = MemoryStack(CHANNELS)
        self.store = Interrupted()
        for service in (self.stack.documents, self.stack.document_reader):
            object.__setattr__(service, "store", self.store)
        self.stack.resolvers["resolve"] = keep_larger
        self.channel = f"{self.strategy}:a"

    @initialize()
    def connect(self) -> None:
        self.clients = {name: Client(self.stack, name, self.channel) for name in CLIENTS}

        def deleted(key: str) -> None:
            for client in self.clients.values():
                client.written[key] = 0

        self.store.deleted = deleted

    @rule(name=clients, key=keys, whole=st.booleans(), others=st.lists(clients, max_size=3))
    def write(self, name: str, key: str, whole: bool, others: list[str]) -> None:
        """Write; ``others`` do as well, between this one's reading and its putting."""
        self.stack.clock.pass_s(1)
        self.store.before_append = self._writing(key, others, but=name)
        self.clients[name].write(key, whole=whole)
        self.store.before_append = []

    @rule(name=clients, key=keys, others=st.lists(clients, max_size=3))
    def delete(self, name: str, key: str, others: list[str]) -> None:
        """Delete; ``others`` write, when that is put and not compacted yet."""
        self.stack.clock.pass_s(1)
        self.store.before_compact = self._writing(key, others, but=name)
        self.clients[name].delete(key)
        self.store.before_compact = []

    def _writing(self, key: str, others: list[str], *, but: str) -> list[Callable[[], None]]:
        return [partial(self.clients[other].write, key, whole=False) for other in others if other != but]

    @rule(name=clients, seed=st.integers(0, 9), lose=st.booleans())
    def receive(self, name: str, seed: int, lose: bool) -> None:
        self.clients[name].receive(random.Random(seed), lose)

    @rule(name=clients)
    def leave_or_return(self, name: str) -> None:
        client = self.clients[name]
        client.go() if client.here else client.come()

    @rule(name=clients, key=keys)
    def write_much(self, name: str, key: str) -> None:
        """So much that the log is compacted: bases of others are not kept any more."""
        for _ in range(70):
            self.stack.clock.pass_s(1)
            self.clients[name].write(key, whole=False)

    @invariant()
    def versions_have_no_hole(self) -> None:
        for key in KEYS:
            log = self.store.log(self.channel, key)
            versions = [change.version for change in log.since(log.snapshot.version)]
            assert versions == list(range(log.snapshot.version + 1, log.version + 1))

    def teardown(self) -> None:
        for client in getattr(self, "clients", {}).values():
            client.receive(random.Random(1), lose=False)
            client.come()
            for key in KEYS:
                document = self.store.log(self.channel, key).current
                # Of what is deleted, only those are told who knew it.
                assert client.replica.versions.get(key, 0) in (document.version, 0 if document.value is None else -1)
                assert client.replica.values.get(key) == document.value
                # What was accepted of a field that nobody else writes is there.
                there, accepted = (document.value or {}).get(client.name, 0), client.written.get(key, 0)
                if self.strategy == "resolve":
                    assert there >= accepted, "larger numbers of before it was deleted may have come back"
                elif self.strategy != "last_write_wins":
                    assert there == accepted
        assert self.stack.failures == []


@pytest.mark.parametrize("strategy", ["reject", "last_write_wins", "merge", "resolve"])
def test_all_replicas_end_with_what_the_server_has(strategy: str) -> None:
    machine = type("Writers", (Writers,), {"strategy": strategy})
    run_state_machine_as_test(machine, settings=settings(max_examples=20, stateful_step_count=15))
