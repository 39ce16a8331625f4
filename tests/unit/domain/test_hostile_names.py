"""Names that are made to be taken for others: none is a channel, widens a right, or reaches what is somebody else's."""

import unicodedata
from typing import get_args
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.channel import is_channel, is_pattern, is_user_id, matches, namespace_of, personal_channel
from shared.domain.document import is_key
from shared.domain.principal import Capability, Principal

# What would change a name's meaning, were it decoded, normalised, cut or split somewhere.
NO_CHANNELS = {
    "a star": "room:*",
    "a star in the middle": "room:*a",
    "a star for the namespace": "*:a",
    "a slash": "room:a/b",
    "a backslash": "room:a\\b",
    "a separator of keys": "room:a#0",
    "a bang": "room:a!b",
    "NUL": "room:a\x00",
    "a line's end": "room:a\n",
    "a line's end before": "\nroom:a",
    "CR and LF": "room:a\r\nX-Evil: 1",
    "an escape": "room:\x1b[31ma",
    "right to left": "room:\u202ea",
    "a zero width": "room:a\u200b",
    "a byte order mark": "\ufeffroom:a",
    "a Cyrillic a": "room:\u0430",
    "full width": "\uff52\uff4f\uff4f\uff4d:a",
    "a full-width colon": "room\uff1aa",
    "a full-width star": "room:\uff0a",
    "a ligature": "room:\ufb01",
    "composed": "room:\u00e9",
    "decomposed": "room:e\u0301",
    "a Turkish i": "room:\u0131",
    "an Arabic digit": "room:\u0661",
    "a space": "room:a ",
    "a space before": " room:a",
    "nothing": "",
    "no name": "room:",
    "no namespace": ":a",
    "no colon": "room",
    "a lone surrogate": "room:\ud800",
    "too much": "room:" + "a" * 196,
}
# These are names like all others: nothing is decoded.
CHANNELS = [
    "room:%2A",
    "room:%2a",
    "room:%252A",
    "room:a%2Fb",
    "room:%23",
    "room:%00",
    "room:..",
    "room:.",
    "%2A:a",
    "..:..",
]


@pytest.mark.parametrize("name", NO_CHANNELS)
def test_they_are_no_channels(name: str) -> None:
    assert not is_channel(NO_CHANNELS[name])


@pytest.mark.parametrize("name", CHANNELS)
def test_what_is_encoded_means_itself(name: str) -> None:
    assert is_channel(name)
    everything: dict[str, list[str]] = {unquote(name): ["publish"], unquote(unquote(name)): ["publish"]}
    decoded = {pattern: names for pattern, names in everything.items() if pattern != name}
    assert not Principal("ann", decoded).may("publish", name) or any(pattern.endswith("*") for pattern in decoded)
    assert not Principal("ann", {name: ["publish"]}).may("publish", unquote(name)) or unquote(name) == name


@pytest.mark.parametrize("pattern", [name for name in NO_CHANNELS.values() if not name.endswith("*")])
def test_nor_are_they_patterns(pattern: str) -> None:
    assert not is_pattern(pattern)


def test_an_encoded_star_is_no_star() -> None:
    ann = Principal("ann", {"room:%2A": ["publish"]})
    assert ann.may("publish", "room:%2A")
    for other in ("room:a", "room:*", "room:%2a", "room:%252A", "room:", "room:%2Aa"):
        assert not ann.may("publish", other)


@pytest.mark.parametrize(
    "other", ["Room:a", "room:A", "ROOM:a", "room:a.", "room:a:", "room::a", "room:a:b", "room.:a"]
)
def test_what_is_almost_the_same_is_another(other: str) -> None:
    assert not Principal("ann", {"room:a": ["publish"]}).may("publish", other)


NAMES = st.one_of(
    st.sampled_from([*NO_CHANNELS.values(), *CHANNELS, "room:a", "user:ann", "user:ann%40x", "broadcast:all"]),
    st.text(alphabet="ab:*.%/#2AF\x00\n\u0430", max_size=8),
)


@given(granted=NAMES, target=NAMES, capability=st.sampled_from(get_args(Capability)))
def test_a_right_is_for_what_it_says_character_by_character(granted: str, target: str, capability: Capability) -> None:
    ann = Principal("ann", {granted: [capability]})
    allowed = target.startswith(granted[:-1]) if granted.endswith("*") else target == granted
    assert ann.may(capability, target) is allowed is matches(granted, target)
    for other in get_args(Capability):
        assert other == capability or not ann.may(other, target)


@given(one=NAMES, two=NAMES)
def test_no_two_names_are_one_after_any_normalisation(one: str, two: str) -> None:
    if one != two and is_channel(one) and is_channel(two):
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            assert unicodedata.normalize(form, one) != unicodedata.normalize(form, two)


USERS = st.one_of(
    st.sampled_from(
        ["ann", "Ann", "ann ", "a:nn", "a#nn", "ann*", "*", "!", "ann%40x", "ann@x", "a/../b", "..", "\x00", "ann\n"]
    ),
    st.sampled_from(
        ["\u202enna", "\u0430nn", "\uff41nn", "e\u0301", "\u00e9", "user:ann", "broadcast:all", "connection:1", "%2A"]
    ),
    st.text(max_size=30),
)


@given(one=USERS, two=USERS)
def test_a_users_id_reaches_no_channel_but_its_own(one: str, two: str) -> None:
    if not is_user_id(one):
        return
    own = personal_channel(one)
    assert is_channel(own)
    assert namespace_of(own) == "user"
    assert own.count(":") == 1
    nobody = Principal(one)
    if one != two and is_user_id(two):
        for capability in ("subscribe", "history"):
            assert not nobody.may_receive(capability, personal_channel(two))
    assert not nobody.may("send", own)
    assert not Principal(one, {own: ["send"]}).may("send", f"connection:{one}")


@given(user_id=USERS)
def test_no_user_is_the_broadcast_channel_or_a_pattern(user_id: str) -> None:
    if is_user_id(user_id):
        assert personal_channel(user_id) != "broadcast:all"
        assert not personal_channel(user_id).endswith("*")


def test_a_right_for_connections_is_no_right_for_users_nor_the_other_way() -> None:
    to_connections = Principal("ann", {"connection:*": ["send"]})
    to_users = Principal("ann", {"user:*": ["send"]})
    assert not to_connections.may("send", personal_channel("connection:x"))
    assert not to_users.may("send", "connection:user:ann")


@pytest.mark.parametrize("key", ["a/b", "..", ".", "", "a#b", "a*", "a\x00", "a\n", "\u0430", "a b", "a" * 101, "a!b"])
def test_a_documents_key_is_no_path_and_no_other_item(key: str) -> None:
    assert not is_key(key)


@pytest.mark.parametrize("key", ["%2F", "%2E%2E", "%23", "..."])
def test_an_encoded_one_means_itself(key: str) -> None:
    assert is_key(key)
