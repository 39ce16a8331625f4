"""What is done, each thing by itself: a room of its own, whose processes are warm and whose log is full."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from bench.ledger.deployment import Deployment, Taken
from shared.domain.api_key import ApiKey
from shared.domain.segment import RING_KEPT_S, RING_SIZE, SEGMENT_MAX_PUBLICATIONS

DATA_BYTES: Final = 250
_CAPABILITIES: Final = {
    "*": ["subscribe", "publish", "history", "presence", "state.read", "state.write"],
    "command:*": ["command"],
}
_KEY: Final = "0123456789abcdef.a-secret-of-the-ledgers"
_PAUSE_MS: Final = 2_000  # between what is measured: nothing comes close to a rate limit
_QUIET_MS: Final = 400_000  # everything has been told, and every limit is whole again
_EVERY_MINUTE: Final = {"source": "aws.events"}  # what the janitor's rule sends, as far as it looks
Way = str  # a priority, or "ephemeral"


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done.

    Attributes:
        what: In words.
    """

    what: str
    taken: Taken


@dataclass
class Client:
    """A user's WebSocket."""

    deployment: Deployment
    connection_id: str
    user_id: str
    numbers: int = 0

    @classmethod
    def new(cls, deployment: Deployment) -> "Client":
        """Return one that has not come yet. API Gateway's ids have 16 characters."""
        return cls(deployment, deployment.new_id("c", 16), deployment.new_id("user-", 12))

    def connect(self, *channels: str, **options: Any) -> None:
        """Come, say hello, and subscribe with it."""
        self.deployment.websocket("ws_connect", self.connection_id, "CONNECT")
        token = self.deployment.token(self.user_id, _CAPABILITIES)
        subscribe = [{"channel": channel, **options} for channel in channels]
        self.ask({"type": "hello", "protocol": 1, "token": token, "subscribe": subscribe})

    def ask(self, *frames: Mapping[str, Any]) -> Any:
        """Send a frame, or several as a batch; return the results."""
        numbered: list[Any] = []
        for frame in frames:
            self.numbers += 1
            numbered.append({"id": self.numbers, **frame})
        body = numbered if len(frames) > 1 else numbered[0]
        replies = self.deployment.websocket("ws_message", self.connection_id, "MESSAGE", body)
        replies = replies if isinstance(replies, list) else [replies]
        assert all("result" in reply for reply in replies), replies
        return [reply["result"] for reply in replies]

    def publish(self, channel: str, count: int = 1, way: Way = "normal") -> None:
        """Publish as the clients do, several in one batch."""
        self.ask(*(publication(self.deployment, channel, way) for _ in range(count)))

    def disconnect(self) -> None:
        """Go."""
        self.deployment.websocket("ws_disconnect", self.connection_id, "DISCONNECT")


def publication(deployment: Deployment, channel: str, way: Way = "normal") -> dict[str, Any]:
    """Return a ``publish`` frame with 250 bytes of data."""
    text = "x" * (DATA_BYTES - len('{"text":""}'))
    frame = {"type": "publish", "channel": channel, "name": "message", "data": {"text": text}}
    kind = {"ephemeral": True} if way == "ephemeral" else {"priority": way}
    return frame | kind | {"message_id": deployment.new_id("m", 22)}


class Room:
    """A channel in its steady state: its log is full, its processes are warm, and someone publishes there."""

    def __init__(self, deployment: Deployment, way: Way = "normal", **options: Any) -> None:
        self.deployment = deployment
        self.channel = deployment.new_id("room:", 20)
        self.way = way
        self.options = options
        self.publishers: list[Client] = []
        self.subscribers: list[Client] = []
        self.need(publishers=1)
        self.fill()

    def need(self, *, publishers: int = 0, subscribers: int = 0) -> None:
        """Have at least so many of each there."""
        while len(self.publishers) < publishers:
            self.publishers.append(Client.new(self.deployment))
            self.publishers[-1].connect()
        while len(self.subscribers) < subscribers:
            self.subscribers.append(Client.new(self.deployment))
            self.subscribers[-1].connect(self.channel, **self.options)
        self.rest()

    def fill(self) -> None:
        """Have so many publications in the last minutes that each is followed by as large a ring as there may be."""
        if self.way != "ephemeral":
            for _ in range(RING_SIZE // SEGMENT_MAX_PUBLICATIONS + 1):
                self.publishers[0].publish(self.channel, SEGMENT_MAX_PUBLICATIONS, self.way)
                self.rest()
        self.publish()
        self.rest()

    def rest(self) -> None:
        """Let everything become quiet; the process that stores remembers a channel for a minute."""
        self.deployment.settle()
        self.deployment.pass_ms(_PAUSE_MS)

    def publish(self) -> None:
        """Have one publication on its way."""
        self.publishers[0].publish(self.channel, way=self.way)

    def single(self) -> Taken:
        """Return what a publication takes, from the publisher's frame to the last delivery."""
        self.publish()
        self.rest()
        return self.deployment.measure(self.publish, self.deployment.settle)

    def until_answered(self, action: Callable[[], object]) -> Taken:
        """Return what a request takes until it is answered; what follows happens, too."""
        taken = self.deployment.measure(action)
        self.rest()
        return taken

    def batch(self, count: int) -> Taken:
        """Return what so many publications of as many publishers take that wait together, from their lane on."""
        self.need(publishers=count)
        self.publish()
        self.rest()
        for one in self.publishers[:count]:
            one.publish(self.channel)
        return self.deployment.measure(self.deployment.settle)

    def quiet(self) -> Taken:
        """Return what a publication takes, from its lane on, where there was one 6 minutes before."""
        self.publish()
        self.rest()
        self.deployment.pass_ms(RING_KEPT_S * 1000)
        self.publish()
        return self.deployment.measure(self.deployment.settle)


def saturated(deployment: Deployment, *, publishers: int = 20, rounds: int = 25, every_ms: int = 200) -> Taken:
    """Return what each of 100 publications a second of one channel takes, over 5 s, with its limits.

    The lane hands out full batches: so many come while one is stored.
    """
    room = Room(deployment)
    room.need(publishers=publishers)
    deployment.pass_ms(_QUIET_MS)
    room.fill()

    def flood() -> None:
        for _ in range(rounds):
            for one in room.publishers:
                one.publish(room.channel)
            deployment.settle()
            deployment.pass_ms(every_ms)

    return deployment.measure(flood).over(publishers * rounds)


def steps(deployment: Deployment) -> dict[str, Step]:
    """Do each thing once, and return what it takes."""
    key_id, _, secret = _KEY.partition(".")
    deployment.services.api_keys.add(ApiKey(key_id, "ledger", _CAPABILITIES, 0), secret, at_most=1)
    room, seen = Room(deployment), Room(deployment, presence=True, state={})
    return (
        connections(deployment, room)
        | _requests(seen)
        | _presence(seen)
        | _publications(room)
        | {
            f"{way}_request": Step(f"one {way} publication, without deliveries", Room(deployment, way).single())
            for way in ("express", "ephemeral")
        }
        | {
            "delivery": Step("one more subscriber gets one message", _delivery(room)),
            "ping": Step("and its pong: API Gateway answers by itself", _ping()),
        }
    )


def connections(deployment: Deployment, room: Room) -> dict[str, Step]:
    """Return the steps of a connection's life."""
    client, other = Client.new(deployment), deployment.new_id("room:", 20)
    deployment.pass_ms(_QUIET_MS)  # how many shards a channel has is remembered for a minute: not here

    def come() -> None:
        client.connect(room.channel)
        deployment.pass_ms(20_000)  # the look at whether it has said hello is part of it

    connect = deployment.measure(come, deployment.settle)
    client.ask({"type": "subscribe", "channel": other})  # so that it has a stream
    client.ask({"type": "unsubscribe", "channel": other})
    subscribe = deployment.measure(lambda: client.ask({"type": "subscribe", "channel": other}))
    unsubscribe = deployment.measure(lambda: client.ask({"type": "unsubscribe", "channel": other}))
    disconnect = deployment.measure(client.disconnect, deployment.settle)
    there, gone = _check(deployment)
    return {
        "connect": Step("$connect, hello with a token and one subscription, and the look after 10 s", connect),
        "subscribe": Step("one more subscription, without history", subscribe),
        "unsubscribe": Step("the end of one", unsubscribe),
        "disconnect": Step("$disconnect with one subscription", disconnect),
        "connection_check": Step("a connection is asked after, once in 640 s of silence", there),
        "closed_check": Step("the same, once, of one that has said goodbye with one subscription", gone),
        "idle_minute": Step("the janitor's sweep, each minute, where no connection is due", _idle(deployment)),
    }


def _idle(deployment: Deployment, minutes: int = 1) -> Taken:
    """Return what a sweep of so many minutes takes in which no connection is due."""
    deployment.pass_ms(_QUIET_MS * 4)
    deployment.invoke("janitor", _EVERY_MINUTE)  # whoever is there is put off by 640 s
    return _sweep(deployment, minutes)


def _check(deployment: Deployment) -> tuple[Taken, Taken]:
    """Return what a connection adds to a sweep that is there, and one that has been closed."""
    idle = _idle(deployment, minutes=3)

    def check(*, closed: bool) -> Taken:
        client = Client.new(deployment)
        client.connect(deployment.new_id("room:", 20))
        if closed:
            client.disconnect()
        deployment.settle()
        deployment.pass_ms(540_000)
        deployment.invoke("janitor", _EVERY_MINUTE)  # so that it is alone in the next ones
        return _sweep(deployment, minutes=3).less(idle)

    gone = check(closed=True)  # which is asked after once, and so is not among what the other one is counted with
    return check(closed=False), gone


def _sweep(deployment: Deployment, minutes: int) -> Taken:
    deployment.pass_ms(minutes * 60_000)
    return deployment.measure(lambda: deployment.invoke("janitor", _EVERY_MINUTE))


def _requests(room: Room) -> dict[str, Step]:
    room.need(subscribers=1)
    deployment, channel, [client] = room.deployment, room.channel, room.subscribers
    position = client.ask({"type": "history", "channel": channel, "limit": 1})[0]["position"]
    marker = {"type": "ack", "channel": channel, "offset": position["offset"]}

    def asking(**frame: Any) -> Taken:
        room.rest()
        return deployment.measure(lambda: client.ask(frame), deployment.settle)

    def patching(text: str) -> Taken:
        return asking(type="state.patch", channel=channel, key="doc", patch={"text": text})

    def typing() -> None:
        frame = {"type": "typing", "channel": channel, "active": True}
        deployment.websocket("ws_message", client.connection_id, "MESSAGE", frame)

    def rolling() -> None:
        client.ask({"type": "command", "name": "dice.roll", "data": {"channel": channel}})

    patching("first")
    return {
        "sync": Step("one channel, nothing is missing", asking(type="sync", positions={channel: position})),
        "history": Step("50 publications of 250 bytes", asking(type="history", channel=channel, limit=50)),
        "ack": Step(
            "a read marker goes on, told to the one who is there",
            asking(**marker),
        ),
        "typing": Step("is told to others, without deliveries", deployment.measure(typing, deployment.settle)),
        "state_patch": Step("200 bytes of a document, without deliveries", patching("x" * 187)),
        "command": Step("dice.roll: run, and what it publishes put into its lane", room.until_answered(rolling)),
    }


def _presence(room: Room) -> dict[str, Step]:
    deployment, client = room.deployment, Client.new(room.deployment)
    client.connect()
    room.rest()
    join = {"type": "subscribe", "channel": room.channel, "presence": True}
    joined = deployment.measure(lambda: client.ask(join), deployment.settle)
    left = deployment.measure(client.disconnect, deployment.settle)
    return {
        "presence_join": Step("a subscription with presence, told to the one who is there and to itself", joined),
        "presence_leave": Step("$disconnect with such a subscription, told to the one who is there", left),
    }


def _publications(room: Room) -> dict[str, Step]:
    deployment, [publisher] = room.deployment, room.publishers
    body = {name: value for name, value in publication(deployment, room.channel).items() if name != "type"}

    def by_http() -> None:
        deployment.http("POST", "/v1/publish", body, {"x-api-key": _KEY})

    def ten() -> None:
        publisher.publish(room.channel, SEGMENT_MAX_PUBLICATIONS)

    room.fill()  # time has passed
    singly, http, together = (room.until_answered(action) for action in (room.publish, by_http, ten))
    requests = {
        "publish_request": Step("a publish by WebSocket until it is in its lane, and its reply", singly),
        "publish_http": Step("POST /v1/publish with an API key until it is in its lane", http),
        "publish_ten_request": Step("ten publications in one frame until they are in their lane", together),
    }
    way = "from the lane through the log and the bus, without deliveries"
    return requests | {
        "batch": Step(f"one {way}", room.batch(1)),
        "batch_of_ten": Step(f"ten of one channel {way}", room.batch(SEGMENT_MAX_PUBLICATIONS)),
        "batch_quiet": Step(f"one {way}, where there was none for 6 minutes", room.quiet()),
    }


def _ping() -> Taken:
    """Return what no handler sees (infra/constructs/websocket_gateway.py): both messages are billed all the same.

    Source: aws.amazon.com/api-gateway/pricing, "messages sent and received".
    """
    return Taken({"WebSocketMessages": 2}, {}, {}, {})


def _delivery(room: Room) -> Taken:
    room.need(subscribers=1)
    room.fill()
    one = room.single()
    room.need(subscribers=2)
    return room.single().less(one)
