"""What the server has subscribed: recovered as far as one reply holds, and never given up by its SDK."""

from typing import Any

import pytest

from shared.protocol.limits import SERVER_FRAME_MAX_BYTES
from tests.unit.centrifugo.client import CHANNELS, Client, token
from tests.unit.centrifugo.test_in_order import stored
from tests.unit.stack import MemoryStack


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(CHANNELS)


def since_start(stack: MemoryStack, channel: str) -> dict[str, Any]:
    epoch = stack.streams.position(stack.streams.end(channel)).epoch
    return {"recover": True, "offset": 0, "epoch": epoch}


def test_what_many_channels_missed_is_recovered_as_far_as_one_reply_holds(stack: MemoryStack) -> None:
    channels = [f"room:{number}" for number in range(6)]
    subs = {}
    for channel in channels:
        stored(stack, *["x" * 4_000] * (7 if channel == "room:1" else 3), channel=channel)
        subs[channel] = since_start(stack, channel)
    ann = Client(stack, "a=")
    result = ann.ask("connect", token=token("ann", channels=channels), subs=subs)
    assert list(result["subs"]) == ["#ann", *channels]
    recovered = {name: sub["recovered"] for name, sub in result["subs"].items() if name != "#ann"}
    assert recovered == dict.fromkeys(channels, False) | {"room:0": True, "room:2": True}
    assert [len(result["subs"][name]["publications"]) for name in ("room:0", "room:2")] == [3, 3]
    assert max(map(len, stack.transport.inboxes["a="])) <= SERVER_FRAME_MAX_BYTES
