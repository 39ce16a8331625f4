"""Channel names: which there are, and that no user's id can name somebody else's channel."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.channel import (
    BROADCAST_CHANNEL,
    is_channel,
    is_pattern,
    is_user_id,
    matches,
    namespace_of,
    personal_channel,
)

GOOD = ["room:a", "a:b:c", "a::", "r.o_o~m%-9:x", "x:" + "y" * 198, BROADCAST_CHANNEL]
BAD = ["", ":", "room", "room:", ":a", "room:a b", "room:a\n", "\nroom:a", "room:ä", "ä:a", "room:a/b", "room:*"]


@pytest.mark.parametrize("name", GOOD)
def test_a_channel_is_a_namespace_and_a_name(name: str) -> None:
    assert is_channel(name)


@pytest.mark.parametrize("name", [*BAD, "x:" + "y" * 199])
def test_everything_else_is_none(name: str) -> None:
    assert not is_channel(name)


def test_the_namespace_ends_at_the_first_colon() -> None:
    assert namespace_of("a:b:c") == "a"


@given(name=st.text())
def test_a_channel_has_only_characters_that_go_unchanged_into_urls_and_keys(name: str) -> None:
    if is_channel(name):
        assert name.isascii()
        assert len(name) <= 200
        assert not set(name) & set(" #/?*\x00\n")


def test_a_user_id_is_percent_encoded_outside_the_unreserved_characters() -> None:
    assert personal_channel("Ann.B-c_d~1") == "user:Ann.B-c_d~1"
    assert personal_channel("ann@example.org") == "user:ann%40example.org"
    assert personal_channel("a:b/c%40ü") == "user:a%3Ab%2Fc%2540%C3%BC"


@given(one=st.text(max_size=20), other=st.text(max_size=20))
def test_two_users_never_share_a_personal_channel(one: str, other: str) -> None:
    if is_user_id(one) and is_user_id(other):
        assert (personal_channel(one) == personal_channel(other)) == (one == other)


@given(user_id=st.text(alphabet=st.characters(), max_size=140))
def test_who_is_a_user_has_a_channel(user_id: str) -> None:
    if is_user_id(user_id):
        assert is_channel(personal_channel(user_id))


@pytest.mark.parametrize("user_id", ["", "x" * 129, "ü" * 33, "\ud800", "a\udfff", ".", ".."])
def test_who_could_not_be_addressed_is_no_user(user_id: str) -> None:
    assert not is_user_id(user_id)


@pytest.mark.parametrize("user_id", ["a", "x" * 128, "ü" * 32, " ", "\x00", "🦦", "...", ".a"])
def test_any_other_text_names_a_user(user_id: str) -> None:
    assert is_user_id(user_id)


@pytest.mark.parametrize("pattern", ["*", "room:*", "room*", "room:a*", "a:b:*", *GOOD])
def test_a_pattern_is_a_channel_or_the_beginning_of_one_and_a_star(pattern: str) -> None:
    assert is_pattern(pattern)


@pytest.mark.parametrize("pattern", ["", "room", "room:", "*:a", "room:*a", "room:**", "ro om*", "room:ä*", "room:a#b"])
def test_what_could_match_no_channel_is_no_pattern(pattern: str) -> None:
    assert not is_pattern(pattern)


@given(channel=st.sampled_from(GOOD), cut=st.integers(0, 10))
def test_a_channel_matches_itself_and_every_beginning_of_it(channel: str, cut: int) -> None:
    assert matches(channel, channel)
    assert matches(channel[:cut] + "*", channel)
    assert not matches(channel + "x*", channel)
    assert not matches(channel, channel + "x")
