"""Whatever a server says, the client raises nothing into the transport, hangs nowhere, and goes on working."""

import asyncio
import copy
import json
import random
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.unit.client.fakes import HELLO, event
from tests.unit.client.server import AS_EVER, Server
from tests.unit.client.virtual import settle, virtual_time
from tidewire.client import Tidewire
from tidewire.errors import TidewireError
from tidewire.frames import Frame

WORDS: Final = [
    *["type", "id", "event", "reply", "system", "pong", "result", "error", "channel", "room:a", "e1", "said", "*", ""],
    *["disconnect", "code", "after_ms", "offset", "prev_offset", "epoch", "publications", "position", "recovered"],
    *["more", "behind", "sender", "data", "name", "retryable", "retry_after_ms", "covers_from", "\ud800"],
]
ASKED: Final = [
    *["hello", "subscribe", "publish", "history", "sync", "command", "result"],
    *["state.get", "state.patch", "presence.get", "presence.update", "typing"],
]
NUMBERS: Final = [0, 1, 2, 3, 5, -1, 0.5, 1005, 2001, 3000, 1e21, 10**400, -(10**400)]
MEMBER: Final[Frame] = {"user_id": "bob", "status": "online", "active": True, "data": None, "connections": 1}


class Fuzz:
    """Makes messages, the same for each seed."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)

    def happens(self, share: float) -> bool:
        return self.chance.random() < share

    def anything(self, depth: int = 0) -> Any:
        match self.chance.randrange(4 if depth > 3 else 6):
            case 0:
                return self.chance.choice(WORDS)
            case 1:
                return self.chance.choice(NUMBERS)
            case 2:
                return self.chance.choice([None, True, False, float("nan"), float("inf")])
            case 3:
                return self.chance.choice([{}, []])
            case 4:
                return [self.anything(depth + 1) for _ in range(self.chance.randrange(4))]
            case _:
                return {self.chance.choice(WORDS): self.anything(depth + 1) for _ in range(self.chance.randrange(4))}

    def spoilt(self, frame: Any) -> Any:
        """Return a copy with something of it replaced, left out or added."""
        spoilt = copy.deepcopy(frame)
        keys: Any = list(spoilt) if isinstance(spoilt, dict) else range(len(spoilt))
        key, how = self.chance.choice(keys), self.chance.random()
        if isinstance(spoilt[key], dict | list) and spoilt[key] and how < 0.5:
            spoilt[key] = self.spoilt(spoilt[key])
        elif how < 0.7:
            del spoilt[key]
        elif how < 0.8 and isinstance(spoilt, dict):
            spoilt[self.chance.choice(WORDS)] = self.anything()
        else:
            spoilt[key] = self.anything()
        return spoilt

    def result(self) -> Frame:
        position = {"epoch": "e1", "offset": self.chance.choice(NUMBERS)}
        publications = [event(1), event(2), event(3, covers_from=2)]
        results: list[Frame] = [
            {"channel": "room:a", "position": position, "recovered": self.happens(0.5), "publications": publications},
            {"channel": "room:a", "position": position, "recovered": True, "publications": publications, "more": True},
            {"publications": publications, "position": position, "more": self.happens(0.5)},
            {"behind": {"room:a": position}},
            {"documents": {"k": {"version": 2, "value": {"a": 1}}}, "more": True},
            {"version": self.chance.choice(NUMBERS), "value": {"a": 1}, "resolution": "applied"},
            {"members": [MEMBER], "count": 1, "version": self.chance.choice(NUMBERS)},
            {"message_id": "m1", "status": "accepted"},
            HELLO,
        ]
        return self.chance.choice(results)

    def message(self, id_: int) -> Any:
        number, position = self.chance.choice(NUMBERS), {"epoch": "e1", "offset": self.chance.choice(NUMBERS)}
        refusal = {"code": self.chance.choice(NUMBERS), "name": "no", "message": "no", "retry_after_ms": number}
        state = {"type": "state", "channel": "room:a", "key": "k", "version": number, "patch": {"a": 1}}
        command = {"type": "command", "command_id": "c", "name": "said", "data": 1, "sender": {"user_id": "b"}}
        presence = {"type": "presence", "channel": "room:a", "event": "join", "member": MEMBER}
        frames: list[Frame] = [
            {**event(3), "offset": number},
            {"type": "reply", "id": id_, "result": self.result()},
            {"type": "reply", "id": id_, "result": self.spoilt(self.result())},
            {"type": "reply", "id": id_, "error": refusal},
            {"type": "system", "event": "disconnect", "code": 3000, "name": "max_age", "after_ms": number},
            {"type": "system", "event": "lagged", "channel": "room:a", "position": position},
            {"type": "system", "event": "resubscribe", "channel": "room:a"},
            {"type": "system", "event": "superseded"},
            {"type": "pong", "id": id_},
            {"type": "receipt", "channel": "room:a", "message_id": "m1", "status": "failed", "error": refusal},
            {**command, "expires_at_ms": 2**60},
            {**state, "updated_by": "b"},
            {**presence, "count": 1, "version": number},
            {"type": "typing", "channel": "room:a", "user_id": "bob", "active": self.happens(0.5)},
            {"message": "Internal server error", "connectionId": "c1", "requestId": "r1"},
        ]
        how = self.chance.random()
        if how < 0.2:
            return self.anything()
        if how < 0.25:
            return self.chance.choice(["", "{", "nonsense", '"', "[", "[1,", "\u0000", "[" * 100_000])
        if how < 0.4:
            return self.chance.choice(frames)
        if how < 0.5:
            return [self.spoilt(self.chance.choice(frames)), self.chance.choice(frames), self.anything()]
        return self.spoilt(self.chance.choice(frames))


@pytest.fixture
def same_delays(seed: int) -> Iterator[None]:
    before = random.getstate()
    random.seed(seed)
    yield
    random.setstate(before)


class Use:
    """A client in use."""

    def __init__(self, fuzz: Fuzz) -> None:
        self.server = Server()
        self.fuzz = fuzz
        self.errors: list[BaseException] = []
        self.client = Tidewire(
            "http://127.0.0.1:1",  # nobody answers by HTTP here, and no name has to be looked up
            lambda _fresh: "good",
            transports={"websocket": self.server.open_transport},
            websocket_url="ws://test",
            on_error=self.errors.append,
        )
        self.asked: list[asyncio.Future[Any]] = []

    def ask(self, work: Any) -> None:
        self.asked.append(asyncio.ensure_future(work))

    def begin(self) -> None:
        room = self.client.channel("room:a")
        self.ask(room.subscribe(history=2))
        self.ask(room.presence.join())
        room.on_receipt(lambda _receipt: None)
        room.on("*", lambda _event: None)
        self.client.on_command("said", lambda data, _context: data)

    def step(self, step: int) -> None:
        room, happens = self.client.channel("room:a"), self.fuzz.happens
        if happens(0.3):
            self.ask(room.publish("said", step))
        if happens(0.2):
            self.ask(room.history())
        if happens(0.2):
            self.ask(room.document("k").patch({"step": step}))
        if happens(0.1):
            self.ask(room.presence.update(status="busy"))
        if happens(0.1):
            room.presence.type()
        if happens(0.1):
            self.ask(self.client.command("said"))
        if happens(0.1):
            self.ask(room.subscribe())
        if happens(0.03):
            self.ask(room.unsubscribe())
        # What the server answers itself is spoilt as well.
        self.server.instead[self.fuzz.chance.choice(ASKED)] = lambda _: self.fuzz.anything()
        if happens(0.5):
            self.server.instead.clear()

    def hear(self) -> None:
        last = self.server.requests[-1]["id"] if self.server.requests else 0
        said = self.fuzz.message(last + self.fuzz.happens(0.3))
        self.server.last.hear(said if isinstance(said, str) else json.dumps(said))
        if self.client.state == "closed":
            self.client.connect()


@pytest.mark.usefixtures("same_delays")
@pytest.mark.parametrize("seed", range(60))
@virtual_time
async def test_whatever_is_said(seed: int) -> None:
    use = Use(Fuzz(seed))
    async with use.client:
        use.begin()
        await settle()
        for step in range(60):
            use.step(step)
            use.hear()
            await asyncio.sleep(use.fuzz.chance.random() * 2)
        use.server.instead.clear()
        if use.client.state == "closed":
            use.client.connect()
        use.server.cut_all()
        await asyncio.sleep(400)  # what is uncertain is given up by then
        assert use.client.state == "connected"
        room = use.client.channel("room:b")
        heard: list[Any] = []
        room.on("said", lambda event: heard.append(event.data))
        await room.subscribe()
        await room.publish("said", "still here")
        await use.client.channel("room:a").subscribe()
        await settle()
        assert heard == ["still here"]
    outcomes = await asyncio.wait_for(asyncio.gather(*use.asked, return_exceptions=True), 1)
    assert {type(each) for each in outcomes if isinstance(each, BaseException)} <= {TidewireError}


def subscribed(**fields: Any) -> Frame:
    position = {"epoch": "e1", "offset": 3}
    return {"channel": "room:a", "position": position, "recovered": False, "publications": [], **fields}


@pytest.mark.parametrize(
    "spoilt",
    [
        {"recovered": None, "more": True},
        {"channel": "room:b"},
        {"channel": None},
        {"position": {"epoch": "e1", "offset": 10.5}},
        {"publications": {}},
        {"publications": [event(3, name=["said"])]},
        {"publications": [event(3, channel={})]},
        {"publications": [{key: value for key, value in event(3).items() if key != "data"}]},
        {"publications": [event(3, covers_from="1")]},
        {"publications": [event(3, sender={"user_id": 1})]},
    ],
    ids=str,
)
@virtual_time
async def test_a_subscription_whose_answer_makes_no_sense_is_asked_for_again(spoilt: Frame) -> None:
    use = Use(Fuzz(0))
    answers = [subscribed(**spoilt)]
    use.server.instead["subscribe"] = lambda _: answers.pop() if answers else AS_EVER
    async with use.client:
        await use.client.channel("room:a").subscribe(history=1)
        use.server.publish("room:a")
        await settle()
        assert use.client.channel("room:a").position is not None
    assert (len(use.server.asked("subscribe")), use.errors) == (2, [])


@pytest.mark.parametrize(
    "spoilt",
    [{"more": None, "recovered": True}, {"publications": [event(1, name=["said"])]}, {"position": {}}, {"more": 1}],
    ids=str,
)
@virtual_time
async def test_a_fill_whose_answer_makes_no_sense_is_asked_for_again(spoilt: Frame) -> None:
    use = Use(Fuzz(0))
    heard: list[Any] = []
    answers = [{"publications": [], "position": {"epoch": "e1", "offset": 2}, "more": False, **spoilt}]
    use.server.instead["history"] = lambda _: answers.pop() if answers else AS_EVER
    async with use.client:
        room = use.client.channel("room:a")
        room.on("*", lambda event: heard.append(event.offset))
        await room.subscribe()
        use.server.network.copies = lambda: 0
        use.server.publish("room:a")
        use.server.network.copies = lambda: 1
        use.server.publish("room:a")
        await asyncio.sleep(4)
    assert (heard, use.errors) == ([1, 2], [])


@pytest.mark.parametrize("field", ["name", "data", "channel", "priority"])
@virtual_time
async def test_an_event_that_makes_no_sense_takes_no_place_and_is_read_again(field: str) -> None:
    use = Use(Fuzz(0))
    heard: list[Any] = []
    async with use.client:
        room = use.client.channel("room:a")
        room.on("*", lambda event: heard.append(event.offset))
        await room.subscribe()
        use.server.network.copies = lambda: 0
        use.server.publish("room:a")
        spoilt = event(1)
        del spoilt[field]
        use.server.last.say(spoilt)
        await asyncio.sleep(8)
    assert heard == [1]


@pytest.mark.parametrize(
    "message",
    [
        '{"type":"reply","id":2,"error":{"code":1e999,"name":"no"}}',
        '{"type":"reply","id":2,"error":{"code":2001,"name":"no","retry_after_ms":-1' + "0" * 400 + "}}",
        '{"type":"receipt","channel":"room:a"}',
        '{"type":"receipt","channel":"room:a","message_id":"m","status":"failed","error":{"code":1e999}}',
        '{"type":"system","event":"disconnect","code":3000,"after_ms":NaN}',
        '{"type":"system","event":"lagged","channel":["room:a"]}',
        '{"type":["event"]}',
    ],
)
@virtual_time
async def test_what_makes_no_sense_does_not_reach_the_transport(message: str) -> None:
    use = Use(Fuzz(0))
    async with use.client:
        use.server.instead["subscribe"] = lambda _: None
        subscribing = asyncio.ensure_future(use.client.channel("room:a").subscribe())
        await settle()
        use.server.instead.clear()
        use.server.last.hear(message)
        assert await subscribing == []


@pytest.mark.parametrize("name", ["heartbeat_s", "server_time_ms", "connection_max_age_s"])
@pytest.mark.parametrize("value", ["1e999", "NaN", "1" + "0" * 400, "true", '"1"', "null"])
@virtual_time
async def test_a_hello_that_makes_no_sense_is_no_connection(name: str, value: str) -> None:
    use = Use(Fuzz(0))
    hello = json.dumps({**HELLO, name: "?"}).replace('"?"', value)
    use.server.instead["hello"] = lambda _: None
    async with use.client:
        use.client.connect()
        await settle()
        use.server.instead.clear()
        use.server.last.hear('{"type":"reply","id":1,"result":' + hello + "}")
        states = [use.client.state]
        await asyncio.sleep(12)
        states.append(use.client.state)
    assert states[0] != states[1] == "connected"


@virtual_time
async def test_an_epoch_that_is_no_text_is_sent_back_all_the_same() -> None:
    use = Use(Fuzz(0))
    async with use.client:
        use.server.stream("room:a").epoch = "\ud800"
        await use.client.channel("room:a").subscribe()
        use.server.max_bytes = 30_000
        use.server.cut_all()
        await asyncio.sleep(2)
        await use.client.channel("room:a").subscribe()
    assert use.errors == []
