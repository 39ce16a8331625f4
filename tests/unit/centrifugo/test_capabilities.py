"""Centrifugo PRO's capabilities, as ours."""

from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from shared.domain.centrifugo import to_channel
from shared.domain.centrifugo_capabilities import capabilities_of
from shared.domain.principal import Principal
from tests.unit.centrifugo.client import CHANNELS, Client, token
from tests.unit.centrifugo.test_service import code, told_and_closed
from tests.unit.stack import MemoryStack

ALL = ["sub", "pub", "prs", "hst"]


@pytest.mark.parametrize(
    ("caps", "ours"),
    [
        ([], {}),
        (
            [{"channels": ["news", "room:1"], "allow": ["sub"]}],
            {"centrifugo:news": ["subscribe"], "room:1": ["subscribe"]},
        ),
        (
            [{"channels": ["news:*"], "match": "wildcard", "allow": ALL}],
            {"news:*": ["subscribe", "publish", "presence", "history"]},
        ),
        ([{"channels": ["*"], "match": "wildcard", "allow": ["hst"]}], {"*": ["history"]}),
        (
            [{"channels": ["news*"], "match": "wildcard", "allow": ["sub"]}],
            {"news*": ["subscribe"], "centrifugo:news*": ["subscribe"]},
        ),
        ([{"channels": ["a b:é*"], "match": "wildcard", "allow": ["sub"]}], {"a%20b:%C3%A9*": ["subscribe"]}),
        ([{"channels": ["news:*"], "allow": ["sub"]}], {"news:%2A": ["subscribe"]}),
        # The first that fits counts alone.
        (
            [{"channels": ["news"], "allow": ["pub"]}, {"channels": ["news"], "allow": ["sub"]}],
            {"centrifugo:news": ["publish"]},
        ),
        (
            [
                {"channels": ["news:1"], "allow": ["sub", "pub"]},
                {"channels": ["news:*"], "match": "wildcard", "allow": ["sub"]},
            ],
            {"news:1": ["subscribe", "publish"], "news:*": ["subscribe"]},
        ),
    ],
)
def test_what_says_the_same(caps: list[Any], ours: dict[str, list[str]]) -> None:
    assert capabilities_of(caps) == ours


@pytest.mark.parametrize(
    "caps",
    [
        [{"channels": ["^a$"], "match": "regex", "allow": ["sub"]}],
        [{"channels": ["a"], "match": 5, "allow": ["sub"]}],
        [{"channels": ["a"], "match": [], "allow": ["sub"]}],
        [{"channels": ["a"], "allow": ["admin"]}],
        [{"channels": ["a"], "allow": "sub"}],
        [{"channels": "a", "allow": ["sub"]}],
        [{"allow": ["sub"]}],
        ["news"],
        [{"channels": ["user:1"], "allow": ["sub"]}],
        *([{"channels": [name], "match": "wildcard", "allow": ["sub"]}] for name in ("a*b", "a:?", "a:**", "[ab]*")),
        *(
            [{"channels": [name], "match": "wildcard", "allow": ["sub"]}]
            for name in ("us*", "user:*", "c*", "#*", "%*")
        ),
        [
            {"channels": ["news:1"], "allow": ["sub"]},
            {"channels": ["news:*"], "match": "wildcard", "allow": ["sub", "pub"]},
        ],
    ],
)
def test_what_ours_can_t_say_is_refused(caps: list[Any]) -> None:
    with pytest.raises(ValueError, match=r"^caps\[\d\]: "):
        capabilities_of(caps)


NAMES = st.text("ab:#é%", min_size=1, max_size=4)
ENTRIES = st.builds(
    lambda channels, wild, allow: {
        "channels": [f"{one}*" if wild else one for one in channels],
        "match": "wildcard" if wild else "",
        "allow": allow,
    },
    st.lists(NAMES, min_size=1, max_size=2),
    st.booleans(),
    st.lists(st.sampled_from(["sub", "pub"]), unique=True),
)


@given(caps=st.lists(ENTRIES, max_size=3), name=st.text("abc:#é%", min_size=1, max_size=6))
def test_what_is_not_refused_says_the_same_of_every_channel(caps: list[dict[str, Any]], name: str) -> None:
    channel = to_channel(name)
    assume(channel is not None)
    assert channel is not None
    try:
        principal = Principal("ann", capabilities_of(caps))
    except ValueError:
        return
    fitting = [one["allow"] for one in caps if any(fnmatchcase(name, pattern) for pattern in one["channels"])]
    assert principal.may("subscribe", channel) is ("sub" in (fitting or [[]])[0])
    assert principal.may("publish", channel) is ("pub" in (fitting or [[]])[0])


def test_a_token_has_them() -> None:
    client = Client(MemoryStack(CHANNELS), "a=")
    client.connect("ann", caps=[{"channels": ["room:*"], "match": "wildcard", "allow": ["sub", "hst"]}])
    assert client.ask("subscribe", channel="room:1")["recoverable"]
    assert "offset" in client.ask("history", channel="room:1")
    assert code(client.ask("publish", channel="room:1", data=1)) == 103


def test_who_has_others_is_told_why_it_can_t_be() -> None:
    client = Client(MemoryStack(CHANNELS), "a=")
    caps = [{"channels": ["^a"], "match": "regex", "allow": ["sub"]}]
    client.ask("connect", token=token("ann", caps=caps))
    (push,) = client.stack.transport.received["a="]
    assert b"caps[0]: match is wildcard, or not there" in push
    assert told_and_closed(client) == [3500]
