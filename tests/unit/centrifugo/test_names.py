"""Channels by their names and by ours: one to one."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from shared.domain.centrifugo import centrifugo_id, is_centrifugo, to_channel, to_name, users_of, websocket_id
from shared.domain.channel import is_channel, personal_channel


@pytest.mark.parametrize(
    ("name", "channel"),
    [
        ("room:1", "room:1"),
        ("a:b:c", "a:b:c"),
        ("news", "centrifugo:news"),
        ("a b", "centrifugo:a%20b"),
        ("chat:été", "chat:%C3%A9t%C3%A9"),
        ("$private:x", "%24private:x"),
        ("#42", "user:42"),
        ("#é:1", "user:%C3%A9%3A1"),
        ("dialog#1,2", "centrifugo:dialog%231%2C2"),
        ("a:%41", "a:%41"),
    ],
)
def test_a_name_means_a_channel(name: str, channel: str) -> None:
    assert to_channel(name) == channel
    assert to_name(channel) == name


@pytest.mark.parametrize(
    "name", ["", "#", ":a", "a:", "user:42", "centrifugo:news", "chat:%C3%A9", "x" * 256, "\ud800"]
)
def test_what_would_come_back_as_another_name_means_none(name: str) -> None:
    assert to_channel(name) is None


@given(st.text(max_size=60))
def test_no_two_names_mean_one_channel(name: str) -> None:
    channel = to_channel(name)
    if channel is not None:
        assert is_channel(channel)
        assert to_name(channel) == name


@example("0:%80")
@given(st.from_regex(r"[A-Za-z0-9_.~%-]{1,20}:[A-Za-z0-9_.:~%-]{1,40}", fullmatch=True))
def test_what_our_channels_are_called_means_nothing_else(channel: str) -> None:
    assert to_channel(to_name(channel)) in (channel, None)


def test_a_users_personal_channel_has_their_name() -> None:
    assert to_name(personal_channel("a b")) == "#a b"


def test_users_behind_the_boundary() -> None:
    assert users_of("dialog#1,2") == {"1", "2"}
    assert users_of("a#b#3") == {"3"}
    assert users_of("news") is None


def test_a_connection_has_the_gateways_id_in_its_name() -> None:
    assert is_centrifugo(centrifugo_id("abc="))
    assert not is_centrifugo("abc=")
    assert websocket_id(centrifugo_id("abc=")) == websocket_id("abc=") == "abc="
