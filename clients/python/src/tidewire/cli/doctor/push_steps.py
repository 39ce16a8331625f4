"""Steps that need what is pushed: transports, priorities, recovery, presence, peers."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, Final

from tidewire.cli.doctor.findings import Fault, NotExaminedError, Step
from tidewire.cli.doctor.http_steps import expect_unknown_type, too_large
from tidewire.cli.doctor.patient import Patient
from tidewire.cli.doctor.peer import Peer
from tidewire.cli.paths import channel_path
from tidewire.errors import TidewireError
from tidewire.frames import Event, Frame
from tidewire.ways import WAYS, Way

PRIORITIES: Final = ("express", "high", "normal", "low")
_PUSHED_BY_BUS: Final = "EventBridge rule tidewire.publications and its dead letters; fan_out's log; the delivery queue"
_LOOK_AT_WAY: Final[dict[Way, str]] = {
    "websocket": "the logs of ws_connect and ws_message; the WebSocket API and its stage; WEBSOCKET_URL",
    "sse": "http_stream's log and its function URL (STREAM_URL); a proxy that holds answers back",
    "stream": "http_stream's log and its function URL (STREAM_URL); a proxy that holds answers back",
    "long_poll": "http_api's log; a proxy that ends what takes 25 s",
    "short_poll": "http_api's log; the table connections, where mailboxes are",
}


def transport(way: Way) -> Callable[[Patient], Awaitable[str]]:
    """Return what examines a way: hello, subscribe, publish, receive."""

    async def work(patient: Patient) -> str:
        config = await patient.config()
        if way not in config["transports"]:
            raise NotExaminedError("is not on offer")
        name = patient.channel(way.replace("_", "-"))
        within = f"within {patient.patience_s:g} s"
        async with patient.client(way) as client:
            channel = client.channel(name)
            received: asyncio.Queue[Event] = asyncio.Queue()
            channel.on("*", received.put_nowait)
            await _within(patient, channel.subscribe(), Fault(f"an answer to subscribe {within}", "none"))
            # Express takes neither lane nor bus: here the way is examined, not what stands behind it.
            published = channel.publish("doctor", {"way": way}, priority="express")
            await _within(patient, published, Fault(f"an answer to publish {within}", "none"))
            event = await _within(
                patient, received.get(), Fault(f"what was published, {within}", "subscribed, but nothing came")
            )
            if event.data != {"way": way}:
                raise Fault("what was published", str(event.data)[:100])
            return "hello, subscribed, published, received"

    return work


def priority(of: str) -> Callable[[Patient], Awaitable[str]]:
    """Return what examines a priority, or ``ephemeral``: accepted, stored, pushed."""

    async def work(patient: Patient) -> str:
        name = patient.channel(of)
        message_id = str(uuid.uuid4())
        asked: Frame = {"type": "publish", "channel": name, "name": "doctor", "data": of, "message_id": message_id}
        asked |= {"ephemeral": True} if of == "ephemeral" else {"priority": of}
        async with patient.peer() as peer:
            await peer.ask({"type": "subscribe", "channel": name})
            await _accepted(peer, asked, of)
            if of != "ephemeral" and not await patient.stored(name, [message_id]):
                where = f"publish_worker's log; the lane {of} and its dead letters; the table streams"
                raise Fault(
                    f"stored within {patient.patience_s:g} s",
                    "accepted, but not stored",
                    "ws_message's log; the table streams" if of == "express" else where,
                )
            if await peer.pushed(lambda push: push.get("message_id") == message_id) is None:
                express = "ws_message's log, which pushes in small channels itself; what it may do at @connections"
                raise Fault(
                    f"pushed within {patient.patience_s:g} s",
                    "accepted, but not pushed" if of == "ephemeral" else "accepted and stored, but not pushed",
                    express if of == "express" else _PUSHED_BY_BUS,
                )
        return "accepted, pushed" if of == "ephemeral" else "accepted, stored, pushed"

    return work


async def _accepted(peer: Peer, asked: Frame, of: str) -> None:
    try:
        await peer.ask(asked)
    except TidewireError as error:
        if not error.retryable:
            raise
        lane = "the table streams" if of == "express" else "the bus" if of == "ephemeral" else f"the lane {of}"
        raise Fault(f"accepted as {of}", f"{error} ({error.kind})", f"ws_message's log; {lane}") from None


async def recovery(patient: Patient) -> str:
    """Tell whether who comes back gets what it has missed: all of it, and nothing else."""
    name = patient.channel("recovery")
    async with patient.peer() as peer:
        await _publish(patient, name, ["seen"])
        answer = await peer.ask({"type": "subscribe", "channel": name})
    missed = [f"missed {number}" for number in (1, 2, 3)]
    await _publish(patient, name, missed)
    async with patient.peer() as peer:
        again = await peer.ask({"type": "subscribe", "channel": name, "since": answer["position"]})
    found = [one.get("name") for one in again.get("publications", ())]
    if again.get("recovered") is not True or found != missed:
        came = ", ".join(map(str, found)) or "nothing"
        raise Fault("recovered: true, and the three that were missed", f"recovered: {again.get('recovered')}, {came}")
    return "three were missed, and came"


async def _publish(patient: Patient, channel: str, names: list[str]) -> None:
    ids = [str(uuid.uuid4()) for _ in names]
    for name, message_id in zip(names, ids, strict=True):
        body = {"channel": channel, "name": name, "data": None, "message_id": message_id}
        await patient.call("POST", "/v1/publish", json=body)
    if not await patient.stored(channel, ids):
        raise Fault("what is published is stored", "it is not: see the priorities")


async def presence(patient: Patient) -> str:
    """Tell whether users see each other come and go."""
    name = patient.channel("presence")
    subscribe: Frame = {"type": "subscribe", "channel": name, "presence": True}
    another = await patient.another_token()
    async with patient.peer() as ann:
        seen = (await ann.ask(subscribe)).get("presence", {}).get("members", ())
        if ann.user_id not in [member.get("user_id") for member in seen]:
            raise Fault("the user itself among the members", str(list(seen))[:100])
        if another is not None:
            async with patient.peer(another) as bob:
                await bob.ask(subscribe)
                await _told(ann, "join", bob.user_id)
                await bob.ask({"type": "unsubscribe", "channel": name})
                await _told(ann, "leave", bob.user_id)
        await ann.ask({"type": "unsubscribe", "channel": name})

        async def empty() -> bool:
            return (await patient.ask("GET", channel_path(name, "presence"))).get("count") == 0

        if not await patient.becomes(empty):
            raise Fault("nobody in the channel, once all have left", "somebody")
    return "one user came and went: seen by HTTP" if another is None else "two users saw each other come and go"


async def _told(peer: Peer, event: str, user_id: str) -> None:
    def is_it(push: Frame) -> bool:
        member = push.get("member")
        return (
            push.get("type") == "presence"
            and push.get("event") == event
            and isinstance(member, dict)
            and member.get("user_id") == user_id
        )

    if await peer.pushed(is_it) is None:
        raise Fault(f"the {event} of {user_id} is pushed", "no such push came")


async def peers(patient: Patient) -> str:
    """Tell whether a client can have another one do something."""
    async with patient.peer() as ann, patient.peer() as bob:
        asking = asyncio.create_task(
            ann.ask({"type": "command", "name": "doctor", "data": 1, "to": {"connection_id": bob.connection_id}})
        )
        answering = asyncio.create_task(bob.pushed(lambda push: push.get("type") == "command"))
        try:
            # The asker's error may come first: then nothing is pushed.
            await asyncio.wait([asking, answering], return_when=asyncio.FIRST_COMPLETED)
            if asking.done():
                asking.result()
            command = await answering
            if command is None:
                raise Fault("the command is pushed to the other client", "no such push came")
            await bob.send({"type": "result", "command_id": command.get("command_id"), "data": 2})
            answer = await asking
        finally:
            for task in (asking, answering):
                task.cancel()
            await asyncio.gather(asking, answering, return_exceptions=True)
    if answer != {"data": 2}:
        raise Fault("the other client's answer", str(answer)[:100])
    return "one client asked, another answered"


async def limits_by_websocket(patient: Patient) -> str:
    """Tell whether what is too large, or unknown, is refused over WebSocket."""
    async with await patient.web_socket_peer() as peer:
        request: Frame = {"type": "publish", "channel": patient.channel("limits"), "name": "large", "data": too_large()}
        try:
            came: Any = await peer.ask(request)
        except TidewireError as error:
            came = error.kind
        if came != "too_large":
            raise Fault("too_large to 24,001 bytes of data", str(came))
        await expect_unknown_type(peer)
    return "too_large, unknown_type"


async def _within(patient: Patient, work: Awaitable[Any], otherwise: Fault) -> Any:
    try:
        async with asyncio.timeout(patient.patience_s):
            return await work
    except TimeoutError:
        raise otherwise from None


WAYS_ALONE: Final = tuple(
    Step(f"transport {way}", "hello, subscribe, publish and receive", _LOOK_AT_WAY[way], transport(way)) for way in WAYS
)
LANES: Final = tuple(
    Step(
        name if name == "ephemeral" else f"priority {name}",
        "accepted, stored and pushed",
        "ws_message's log",
        priority(name),
    )
    for name in (*PRIORITIES, "ephemeral")
)
TOGETHER: Final = (
    Step(
        "recovery", "what was missed", "ws_message's log; the table streams; recovery_limit of channels.toml", recovery
    ),
    Step("presence", "members", f"presence's log; the look queue; the table presence; {_PUSHED_BY_BUS}", presence),
)
PEERS: Final = (
    Step("commands of peers", "an answer", f"ws_message's log; the table connections; {_PUSHED_BY_BUS}", peers),
    Step("limits by WebSocket", "an error that says so", _LOOK_AT_WAY["websocket"], limits_by_websocket),
)
