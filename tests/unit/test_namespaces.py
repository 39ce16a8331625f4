"""channels.toml: what it says, and that every mistake is told with its line."""

import pytest

from shared import namespaces


def test_the_projects_own_file_is_good() -> None:
    settings = namespaces.load()
    assert settings.of("user:x").publishers == "servers"
    assert settings.of("room:x") == settings.defaults


def test_a_namespace_takes_the_rest_from_the_defaults() -> None:
    settings = namespaces.parse("[defaults]\nhistory_count = 5\n[namespaces.a]\nrecovery_limit = 7")
    assert (settings.of("a:x").history_count, settings.of("a:x").recovery_limit) == (5, 7)
    assert settings.of("b:x").recovery_limit == 300


def test_nobody_is_seen_in_everybodys_channels_unless_the_file_says_so() -> None:
    settings = namespaces.parse("[namespaces.user]\njoin_leave = true")
    assert [settings.of(channel).presence for channel in ("user:x", "broadcast:all", "room:x")] == [
        "off",
        "off",
        "members",
    ]
    assert namespaces.parse("[namespaces.user]\npresence = 'members'").of("user:x").presence == "members"


def test_subscribers_are_told_in_order_where_the_file_says_so() -> None:
    settings = namespaces.parse("[namespaces.a]\nforce_positioning = true")
    assert (settings.of("a:x").force_positioning, settings.defaults.force_positioning) == (True, False)


def test_a_subscription_alone_allows_what_the_file_says_and_by_default_nothing() -> None:
    settings = namespaces.parse("[namespaces.a]\nsubscribers_may = ['publish', 'history']\njoin_leave = true")
    assert (settings.of("a:x").subscribers_may, settings.of("a:x").join_leave) == (("publish", "history"), True)
    assert (settings.defaults.subscribers_may, settings.defaults.join_leave) == ((), False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[defaults]\n\nhistroy_count = 1", "channels.toml:3: defaults.histroy_count: unknown"),
        ("[defaults]\nhistory_ttl_s = 5", "channels.toml:2: defaults.history_ttl_s: must be a whole number from 600"),
        ("[defaults]\nhistory_count = true", "channels.toml:2: defaults.history_count: must be a whole number"),
        ("[namespaces.room]\n\npublishers = 'x'", "channels.toml:3: namespaces.room.publishers: must be one of"),
        ("[defaults]\njoin_leave = 1", "channels.toml:2: defaults.join_leave: must be true or false"),
        (
            "[defaults]\nsubscribers_may = ['admin']",
            "channels.toml:2: defaults.subscribers_may: must be a list of some of",
        ),
        (
            "[defaults]\nsubscribers_may = 'publish'",
            "channels.toml:2: defaults.subscribers_may: must be a list of some of",
        ),
        ("\n[namespaces.'a b']\n", "channels.toml:2: namespaces.a b: a namespace has 1 to 100"),
        ("\n[namespaces]\nroom = 1", "channels.toml:3: namespaces.room: must be a table"),
        ("\n[foo]\n", "channels.toml:2: foo: unknown"),
        ("a =", "channels.toml: "),
    ],
)
def test_mistakes_are_told_with_their_line(text: str, message: str) -> None:
    with pytest.raises(namespaces.ChannelsFileError) as caught:
        namespaces.parse(text)
    assert str(caught.value).startswith(message)
