"""Whatever happens in whatever order: when it is quiet again, everybody knows who is there."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Final

import hypothesis.strategies as st
from hypothesis import HealthCheck, settings
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from shared.domain.mailbox import is_mailbox
from tests.unit.stack import MemoryStack
from tidewire.members import Members

ROOM: Final = "room:a"
USERS: Final = ("ann", "bob", "cyd", "dan")
STEPS: Final = (
    *(("presence_store", name) for name in ("enter", "leave", "attendees", "update", "tell", "forget")),
    *(("connections", name) for name in ("subscribe", "unsubscribe", "attended", "close", "move_session")),
    ("looks", "send"),
    ("bus", "put"),
)


class StoppedError(Exception):
    """A function was stopped here."""


@dataclass
class Device:
    """A client's connection, as the client knows it."""

    connection_id: str
    user_id: str
    session_id: str
    members: Members | None = None
    read: int = 0  # of a mailbox
    status: str = "online"
    seen: list[dict[str, Any]] = field(default_factory=list)


class PresenceMachine(RuleBasedStateMachine):
    @initialize(seed=st.integers(0, 2**32))
    def begin(self, seed: int) -> None:
        self.stack = MemoryStack()
        self.random = random.Random(seed)
        self.devices: list[Device] = []
        self.made = 0
        for user in USERS:
            self.connect(user)
            self.subscribe(len(self.devices) - 1, 0)

    # what clients do

    @precondition(lambda self: len(self.devices) < 7)
    @rule(user=st.sampled_from(USERS))
    def connect(self, user: str) -> None:
        connection_id = self._new_id()
        self.stack.connect(connection_id, user)
        session_id = self.stack.connections.connections[connection_id].session_id
        assert session_id is not None
        self.devices.append(Device(connection_id, user, session_id))

    @precondition(lambda self: self.devices)
    @rule(place=st.integers(0, 6), stop=st.integers(0, 8))
    def subscribe(self, place: int, stop: int) -> None:
        device = self._device(place)
        device.members = device.members or Members()
        device.members.asked()
        result = self._ask(device, {"type": "subscribe", "channel": ROOM, "presence": True}, stop)
        device.members.answered([result["presence"]], now_ms=self.stack.clock())

    @precondition(lambda self: self.devices)
    @rule(place=st.integers(0, 6), stop=st.integers(0, 8), how=st.sampled_from(["unsubscribe", "subscribe"]))
    def leave(self, place: int, stop: int, how: str) -> None:
        device = self._device(place)
        self._ask(device, {"type": how, "channel": ROOM}, stop)
        device.members = None

    @precondition(lambda self: any(device.members for device in self.devices))
    @rule(place=st.integers(0, 6), stop=st.integers(0, 5), status=st.sampled_from(["online", "away", "busy"]))
    def update(self, place: int, stop: int, status: str) -> None:
        there = [device for device in self.devices if device.members]
        device = there[place % len(there)]
        self._ask(device, {"type": "presence.update", "channel": ROOM, "status": status}, stop)

    @precondition(lambda self: self.devices)
    @rule(place=st.integers(0, 6), stop=st.integers(0, 8))
    def close(self, place: int, stop: int) -> None:
        """API Gateway says so, once, and what it calls may be stopped."""
        device = self._gone(place)
        if not is_mailbox(device.connection_id):
            with self._stopping(stop):
                self.stack.sessions.disconnect(device.connection_id)

    @precondition(lambda self: self.devices)
    @rule(place=st.integers(0, 6))
    def vanish(self, place: int) -> None:
        """Nobody says so."""
        self._gone(place)

    @precondition(lambda self: self.devices)
    @rule(place=st.integers(0, 6), stop=st.integers(0, 12), closed=st.booleans())
    def move_to_websocket(self, place: int, stop: int, closed: bool) -> None:
        device = self._gone(place)
        connection_id = self._new_id()
        self.stack.connect(connection_id)
        token = self.stack.token(device.user_id)
        hello = {"type": "hello", "protocol": 1, "token": token, "session_id": device.session_id}
        moved = Device(connection_id, device.user_id, device.session_id)
        reply = self._try(connection_id, hello, stop)
        if "result" in reply:
            self._arrive(device, moved)
        if closed and not is_mailbox(device.connection_id):
            self.stack.sessions.disconnect(device.connection_id)

    @precondition(lambda self: self.devices)
    @rule(place=st.integers(0, 6), stop=st.integers(0, 12), closed=st.booleans())
    def move_to_mailbox(self, place: int, stop: int, closed: bool) -> None:
        device = self.devices[place % len(self.devices)]
        if is_mailbox(device.connection_id):
            return
        self._gone(place)
        connection = None
        for attempt in range(2):
            with self._stopping(stop if not attempt else 0):
                connection = self.stack.http_sessions.with_mailbox(device.session_id, device.user_id)
            if connection is not None:
                break
        assert connection is not None
        self._arrive(device, Device(connection.connection_id, device.user_id, device.session_id))
        if closed:
            self.stack.sessions.disconnect(device.connection_id)

    # what the server does

    @rule(share=st.floats(0, 1), stop=st.integers(0, 6))
    def look(self, share: float, stop: int) -> None:
        """Some of the looks that wait come in one batch, and what sees to them may be stopped."""
        waiting = [look for look, delay_s in self.stack.looks.sent if not delay_s]
        taken = self.random.sample(waiting, round(share * len(waiting)))
        with self._stopping(stop):
            if not self.stack.presence_watch.see_to(taken):
                for look in taken:
                    self.stack.looks.sent.remove((look, 0))
        self.stack.failures.clear()

    @precondition(lambda self: self.devices)
    @rule(place=st.integers(0, 6), step=st.integers(1, 8), what=st.sampled_from(["leave", "subscribe", "both"]))
    def look_meanwhile(self, place: int, step: int, what: str) -> None:
        """While one looks, something changes and another one looks."""
        ours = self.stack.looks.sent.copy()
        self.stack.looks.sent.clear()

        def meanwhile() -> None:
            if what != "subscribe":
                self.leave(place, 0, "unsubscribe")
            if what != "leave":
                self.subscribe(place, 0)
            self.look(1.0, 0)

        with self._stopping(step, meanwhile):
            assert not self.stack.presence_watch.see_to([look for look, delay_s in ours if not delay_s])
        self.stack.looks.sent += [(look, delay_s) for look, delay_s in ours if delay_s]

    @precondition(lambda self: len(self.devices) > 1)
    @rule(places=st.tuples(st.integers(0, 6), st.integers(0, 6)), step=st.integers(1, 6), leave=st.booleans())
    def subscribe_meanwhile(self, places: tuple[int, int], step: int, leave: bool) -> None:
        """While one comes, another one comes or goes and is told of."""
        here, there = self._device(places[0]), self._device(places[1])
        if here is there:
            return

        def meanwhile() -> None:
            if leave:
                self.leave(self.devices.index(there), 0, "unsubscribe")
            else:
                self.subscribe(self.devices.index(there), 0)
            self.look(1.0, 0)
            self.push(1.0)

        here.members = here.members or Members()
        here.members.asked()
        with self._stopping(step, meanwhile):
            result = self.stack.ask(here.connection_id, {"type": "subscribe", "channel": ROOM, "presence": True})[
                "result"
            ]
        here.members.answered([result["presence"]], now_ms=self.stack.clock())

    @rule(share=st.floats(0, 1))
    def push(self, share: float) -> None:
        """Some of what is on the bus is delivered, in any order."""
        waiting = self.stack.bus.broadcasts
        self.random.shuffle(waiting)
        for _ in range(round(share * len(waiting))):
            self.stack.fan_out.deliver(waiting.pop())
        self._receive()

    @rule(seconds=st.integers(1, 12))
    def wait(self, seconds: int) -> None:
        self.stack.clock.pass_s(seconds)
        self._be_heard_of()
        self._look_at_what_was_put_off(seconds)

    def teardown(self) -> None:
        if not hasattr(self, "stack"):
            return
        for _ in range(16):
            for _ in range(5):
                self._settle()
                self.stack.clock.pass_s(12)
                self._look_at_what_was_put_off(12)
            self._be_heard_of()
            self.stack.janitor.sweep(lambda: True)
        self._settle()
        self._check()

    def _check(self) -> None:
        there = [device for device in self.devices if device.members is not None]
        truth = {device.user_id for device in there}
        page = self.stack.presence.get(self.stack.tokens.verify(self.stack.token("eve")), ROOM)
        assert {member["user_id"] for member in page["members"]} == truth, (page, truth)
        assert self.stack.looks.sent == []  # what was told is true as well
        said = {member["user_id"]: member["status"] for member in page["members"]}
        for device in there:
            assert device.members is not None
            if device.members.needs_get(now_ms=self.stack.clock()):
                self._get(device)
            known = {user_id: member["status"] for user_id, member in device.members.members.items()}
            assert known == said, (device, page)
        for member in page["members"]:
            devices = [device for device in there if device.user_id == member["user_id"]]
            assert member["connections"] == len(devices)

    # the ways of a test

    def _be_heard_of(self) -> None:
        """Whoever is there is read, or answers the gateway."""
        for device in self.devices:
            self.stack.transport.active_ms[device.connection_id] = self.stack.clock()
            expires_at_s = self.stack.clock() // 1000 + 3600
            if is_mailbox(device.connection_id):
                assert self.stack.mailboxes.renew(device.connection_id, expires_at_s=expires_at_s)

    def _settle(self) -> None:
        for _ in range(10):
            self.look(1.0, 0)
            self.push(1.0)

    def _look_at_what_was_put_off(self, seconds: int) -> None:
        self.stack.looks.sent = [(look, max(0, delay_s - seconds)) for look, delay_s in self.stack.looks.sent]

    def _receive(self) -> None:
        for device in self.devices:
            for frame in self._frames(device):
                if device.members is not None and frame["type"] == "presence":
                    device.members.push(frame, now_ms=self.stack.clock())

    def _frames(self, device: Device) -> list[dict[str, Any]]:
        connection_id = device.connection_id
        if is_mailbox(connection_id):
            messages = self.stack.mailbox_store.read(connection_id, device.read, limit=1_000)
            device.read = messages[-1].number if messages else device.read
            self.stack.transport.inboxes[connection_id] = [m.text.encode() for m in messages if m.text]
        frames = self.stack.events(connection_id)
        self.stack.transport.inboxes[connection_id].clear()
        return frames

    def _arrive(self, before: Device, now: Device) -> None:
        """A session that has moved has its subscriptions, and asks who is there."""
        self.devices.append(now)
        if before.members is not None:
            now.members = Members()
            self._get(now)

    def _get(self, device: Device) -> None:
        assert device.members is not None
        device.members.asked()
        page = self._ask(device, {"type": "presence.get", "channel": ROOM}, 0)
        device.members.answered([page], now_ms=self.stack.clock())

    def _ask(self, device: Device, frame: dict[str, Any], stop: int) -> Any:
        reply = self._try(device.connection_id, frame, stop)
        assert "result" in reply, reply
        return reply["result"]

    def _try(self, connection_id: str, frame: dict[str, Any], stop: int) -> Any:
        """Ask; if that was stopped on the way, once more."""
        reply: Any = {}
        with self._stopping(stop):
            reply = self.stack.ask(connection_id, frame)
        self.stack.failures.clear()
        return reply if "result" in reply else self.stack.ask(connection_id, frame)

    @contextmanager
    def _stopping(self, at_step: int, meanwhile: Callable[[], None] | None = None) -> Iterator[None]:
        """Have what runs within be stopped before or after that step, and do nothing more; 0 for not at all.

        With ``meanwhile``, that happens there, and what runs goes on.
        """
        calls = [0]
        before = self.random.random() < 0.5
        whole = {step: getattr(getattr(self.stack, step[0]), step[1]) for step in STEPS}

        def wrapped(step: tuple[str, str]) -> Any:
            def call(*arguments: Any, **more: Any) -> Any:
                calls[0] += 1
                if meanwhile is not None:
                    if calls[0] == at_step:
                        meanwhile()
                    return whole[step](*arguments, **more)
                if calls[0] > at_step or (calls[0] == at_step and before):
                    raise StoppedError
                result = whole[step](*arguments, **more)
                if calls[0] == at_step:
                    raise StoppedError
                return result

            return call

        if at_step:
            for step in STEPS:
                setattr(getattr(self.stack, step[0]), step[1], wrapped(step))
        try:
            yield
        except StoppedError:
            pass
        finally:
            for holder, name in STEPS if at_step else ():
                delattr(getattr(self.stack, holder), name)

    def _new_id(self) -> str:
        self.made += 1
        return f"c{self.random.randrange(1_000)}-{self.made}"  # not in the order of their making

    def _device(self, place: int) -> Device:
        return self.devices[place % len(self.devices)]

    def _gone(self, place: int) -> Device:
        device = self.devices.pop(place % len(self.devices))
        if is_mailbox(device.connection_id):
            self.stack.mailboxes.close(device.connection_id)
        self.stack.transport.inboxes.pop(device.connection_id, None)
        return device


PresenceMachine.TestCase.settings = settings(
    max_examples=60, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
TestPresence = PresenceMachine.TestCase
