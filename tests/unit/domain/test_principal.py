"""Capabilities: a pattern allows what it says, and no target can be named so that it allows more."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.channel import personal_channel
from shared.domain.principal import Principal


def may_publish(pattern: str, channel: str) -> bool:
    return Principal("ann", {pattern: ["publish"]}).may("publish", channel)


@pytest.mark.parametrize(
    ("pattern", "channel", "allowed"),
    [
        ("room:a", "room:a", True),
        ("room:a", "room:ab", False),
        ("room:a", "room:A", False),
        ("room:*", "room:a", True),
        ("room:*", "room:a:b", True),
        ("room:*", "rooms:a", False),
        ("room:*", "room", False),
        ("room*", "rooms:a", True),
        ("*", "anything:at.all", True),
        ("", "room:a", False),
        ("*:a", "room:a", False),
        ("ro*m:a", "room:a", False),
        ("room:**", "room:a", False),
    ],
)
def test_only_a_trailing_star_matches_the_rest(pattern: str, channel: str, allowed: bool) -> None:
    assert may_publish(pattern, channel) is allowed


@given(channel=st.text(alphabet="ab:*.%", max_size=6), pattern=st.text(alphabet="ab:.%", max_size=6))
def test_no_target_widens_a_right(channel: str, pattern: str) -> None:
    assert may_publish(pattern, channel) is (channel == pattern)
    assert may_publish(pattern + "*", channel) is channel.startswith(pattern)


def test_a_pattern_allows_only_what_it_lists_and_patterns_add_up() -> None:
    principal = Principal("ann", {"room:*": ["subscribe"], "room:a": ["publish"], "news:*": []})
    assert principal.may("subscribe", "room:a")
    assert principal.may("publish", "room:a")
    assert not principal.may("publish", "room:b")
    assert not principal.may("history", "room:a")
    assert not principal.may("subscribe", "news:a")


def test_a_capability_is_a_whole_word() -> None:
    assert not Principal("ann", {"*": ["state.read.all", "publishing", "*"]}).may("publish", "room:a")


@given(user_id=st.text(min_size=1, max_size=20))
def test_nobody_needs_a_right_to_receive_what_is_theirs_and_everybodys(user_id: str) -> None:
    nobody = Principal(user_id)
    for capability in ("subscribe", "history"):
        assert nobody.may_receive(capability, personal_channel(user_id))
        assert nobody.may_receive(capability, "broadcast:all")
        assert not nobody.may_receive(capability, personal_channel(user_id + "x"))
        assert not nobody.may_receive(capability, "broadcast:other")


def test_receiving_is_not_publishing() -> None:
    assert not Principal("ann").may("publish", "user:ann")


def test_a_token_ends_in_the_second_it_names() -> None:
    principal = Principal("ann", expires_at_s=100)
    assert not principal.expired(99.9)
    assert principal.expired(100)
    assert not Principal("server").expired(10**12)
