"""Who is connected: everybody who lives, once, whatever the janitor does meanwhile."""

from collections.abc import Sequence

import pytest

from shared.domain.connection import CHECK_AFTER_S
from shared.domain.mailbox import GONE_AFTER_S
from shared.domain.principal import Principal
from shared.errors import ForbiddenError, InvalidFieldError
from shared.services.connection_list import PAGE_MAX, ConnectionList, Listed
from shared.services.sessions import HelloRequest
from shared.services.subscribe import SubscribeRequest
from tests.unit.stack import ALL, InlineExecutor, MemoryStack

ROOT = Principal("root", {"*": ["admin"]})
ANN = Principal("ann", ALL)


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


@pytest.fixture
def listing(stack: MemoryStack) -> ConnectionList:
    return ConnectionList(stack.connections, stack.mailbox_store, stack.signer, InlineExecutor(), stack.clock)


def pages(listing: ConnectionList) -> list[Sequence[Listed]]:
    page, after = listing.page(ROOT, None)
    found = [page]
    while after is not None:
        page, after = listing.page(ROOT, after)
        found.append(page)
    return found


def ids(listing: ConnectionList) -> list[str]:
    return [one.connection.connection_id for page in pages(listing) for one in page]


def test_websockets_are_listed_with_their_channels_until_they_end(stack: MemoryStack, listing: ConnectionList) -> None:
    stack.connect("pending")
    stack.clock.pass_s(1)
    stack.connect("a", "ann")
    for channel in ("room:b", "room:a"):
        stack.ask("a", {"type": "subscribe", "channel": channel})
    ((ann, pending),) = pages(listing)
    assert (ann.connection.connection_id, ann.transport, ann.channels) == ("a", "websocket", ["room:a", "room:b"])
    assert ann.connection.principal is not None
    assert ann.connection.principal.user_id == "ann"
    assert (pending.connection.principal, pending.transport, pending.channels) == (None, "websocket", [])
    stack.sessions.disconnect("a")
    assert ids(listing) == ["pending"]


def test_a_session_by_http_is_listed_as_it_is_read(stack: MemoryStack, listing: ConnectionList) -> None:
    session = stack.http_sessions.open(ANN, HelloRequest(subscribe=[SubscribeRequest("room:a")]))
    ((unread,),) = pages(listing)
    assert (unread.transport, unread.channels) == (None, ["room:a"])
    for way in ("sse", "long_poll", "stream", "short_poll"):
        stack.mailbox_reader.begin(session["session_id"], "ann", None, way)
        ((one,),) = pages(listing)
        assert one.transport == way
    stack.session_end.end(session["session_id"], "ann")
    assert ids(listing) == []


def test_one_that_went_silent_is_not_listed(stack: MemoryStack, listing: ConnectionList) -> None:
    stack.http_sessions.open(ANN, HelloRequest())
    stack.clock.pass_s(GONE_AFTER_S - 1)
    assert len(ids(listing)) == 1
    stack.clock.pass_s(1)
    assert ids(listing) == []


def test_everybody_is_on_some_page(stack: MemoryStack, listing: ConnectionList) -> None:
    names = [f"c{number:04}" for number in range(450)]
    for number, name in enumerate(names):
        stack.connect(name)
        if number % 50 == 49:
            stack.clock.pass_s(61)
    found = pages(listing)
    assert sorted(one.connection.connection_id for page in found for one in page) == names
    assert max(map(len, found)) <= PAGE_MAX
    assert found[0][0].connection.connection_id > "c0399"  # the newest come first


def test_many_that_have_ended_fill_no_pages_up_for_ever(stack: MemoryStack, listing: ConnectionList) -> None:
    for number in range(2_500):
        stack.connections.remind(f"gone{number:04}", minute=stack.clock() // 60_000 + 5)
    stack.connect("a")
    assert ids(listing) == ["a"]
    assert len(pages(listing)) == 3


def test_at_every_minute_of_its_life_a_connection_is_listed_once(stack: MemoryStack, listing: ConnectionList) -> None:
    stack.connect("a")
    for _ in range(3 * CHECK_AFTER_S // 20):
        stack.clock.pass_s(20)
        stack.transport.active_ms["a"] = stack.clock() - 15_000
        assert ids(listing) == ["a"]
        stack.janitor.sweep(lambda: True)
        assert ids(listing) == ["a"]


def test_one_that_the_janitor_puts_off_between_two_pages_is_not_missed(
    stack: MemoryStack, listing: ConnectionList
) -> None:
    stack.connect("old")
    stack.clock.pass_s(CHECK_AFTER_S)
    for number in range(PAGE_MAX):
        stack.connect(f"new{number:03}")
    first, after = listing.page(ROOT, None)
    assert "old" not in [one.connection.connection_id for one in first]
    stack.clock.pass_s(61)
    stack.transport.active_ms["old"] = stack.clock()
    stack.janitor.sweep(lambda: True)
    found = [one.connection.connection_id for one in first]
    while after is not None:
        page, after = listing.page(ROOT, after)
        found += [one.connection.connection_id for one in page]
    assert sorted(found) == sorted(["old", *(f"new{number:03}" for number in range(PAGE_MAX))])


def test_while_the_janitor_was_away_they_are_found_where_they_were_due(
    stack: MemoryStack, listing: ConnectionList
) -> None:
    stack.connect("a")
    stack.janitor.sweep(lambda: True)
    stack.clock.pass_s(3_600)
    assert ids(listing) == ["a"]


@pytest.mark.parametrize("after", ["", "x", "WyJhIl0", "ü", "a" * 300])
def test_another_cursor_is_refused(listing: ConnectionList, after: str) -> None:
    with pytest.raises(InvalidFieldError):
        listing.page(ROOT, after)


def test_so_is_one_of_something_else(stack: MemoryStack, listing: ConnectionList) -> None:
    with pytest.raises(InvalidFieldError):
        listing.page(ROOT, stack.signer.sign("cursor", [1, 2, "a"]))


@pytest.mark.parametrize("capabilities", [{}, ALL, {"room:*": ["admin"]}])
def test_it_is_for_admins_alone(listing: ConnectionList, capabilities: dict[str, list[str]]) -> None:
    with pytest.raises(ForbiddenError):
        listing.page(Principal("ann", capabilities), None)
