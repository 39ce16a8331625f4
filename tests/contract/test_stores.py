"""One suite for two implementations: the memory stores, and those on DynamoDB (moto)."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from shared.adapters.dynamodb_api_keys import DynamoDbApiKeyStore
from shared.adapters.dynamodb_buckets import DynamoDbBucketStore
from shared.adapters.dynamodb_commands import DynamoDbPendingCommandStore
from shared.adapters.dynamodb_connections import DynamoDbConnectionStore, DynamoDbTicketStore
from shared.adapters.dynamodb_mailboxes import DynamoDbHeldStreams, DynamoDbMailboxStore
from shared.adapters.dynamodb_presence import DynamoDbPresenceStore
from shared.adapters.dynamodb_read_markers import DynamoDbReadMarkers
from shared.adapters.dynamodb_revocations import DynamoDbRevocationStore
from shared.adapters.dynamodb_streams import DynamoDbStreamStore
from shared.adapters.dynamodb_telling import DynamoDbTelling
from shared.adapters.memory import (
    MemoryApiKeyStore,
    MemoryBucketStore,
    MemoryConnectionStore,
    MemoryHeldStreams,
    MemoryMailboxStore,
    MemoryPendingCommandStore,
    MemoryPresenceStore,
    MemoryReadMarkers,
    MemoryRevocationStore,
    MemoryStreamStore,
    MemoryTelling,
    MemoryTicketStore,
)
from shared.domain.api_key import ApiKey
from shared.domain.connection import Interest, Session
from shared.domain.held_stream import HeldStream
from shared.domain.mailbox import GONE_AFTER_S, Mailbox, Message
from shared.domain.pending_command import PendingCommand
from shared.domain.presence import Member, Told
from shared.domain.principal import Principal
from shared.domain.publication import StreamPosition
from shared.domain.rate import Rate
from shared.domain.segment import Segment, Tail
from shared.domain.telling import Positioned, Turn
from shared.ports import (
    ApiKeyStore,
    BucketStore,
    ConnectionStore,
    HeldStreams,
    MailboxStore,
    PendingCommandStore,
    PresenceStore,
    ReadMarkers,
    RevocationStore,
    Stream,
    StreamConflictError,
    StreamStore,
    Telling,
    TicketStore,
)
from tests.unit.stack import Clock, connection, events_of, publication

NOW_S = 1_800_000_000
ANN = Principal("ann", {"room:*": ["publish"]}, issued_at_s=5, expires_at_s=NOW_S + 60)


@dataclass
class Stores:
    streams: StreamStore
    connections: ConnectionStore
    tickets: TicketStore
    api_keys: ApiKeyStore
    buckets: BucketStore
    markers: ReadMarkers
    mailboxes: MailboxStore
    held_streams: HeldStreams
    pending_commands: PendingCommandStore
    presence: PresenceStore
    revocations: RevocationStore
    telling: Telling
    clock: Clock


def memory() -> Iterator[Stores]:
    clock = Clock()
    connections = MemoryConnectionStore(clock)
    yield Stores(
        MemoryStreamStore(),
        connections,
        MemoryTicketStore(),
        MemoryApiKeyStore(),
        MemoryBucketStore(),
        MemoryReadMarkers(),
        MemoryMailboxStore(),
        MemoryHeldStreams(),
        MemoryPendingCommandStore(),
        MemoryPresenceStore(clock),
        MemoryRevocationStore(),
        MemoryTelling(connections, clock),
        clock,
    )


def dynamodb() -> Iterator[Stores]:
    with mock_aws():
        client = boto3.client("dynamodb", region_name="us-east-1")
        for table, sort_type in (("connections", "S"), ("streams", "N"), ("limits", "S"), ("presence", "S")):
            client.create_table(
                TableName=table,
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
                AttributeDefinitions=[
                    {"AttributeName": "pk", "AttributeType": "S"},
                    {"AttributeName": "sk", "AttributeType": sort_type},  # type: ignore[typeddict-item]
                ],
                BillingMode="PAY_PER_REQUEST",
            )
        clock = Clock()
        yield Stores(
            DynamoDbStreamStore(client, "streams"),
            DynamoDbConnectionStore(client, "connections", clock),
            DynamoDbTicketStore(client, "connections"),
            DynamoDbApiKeyStore(client, "limits"),
            DynamoDbBucketStore(client, "limits"),
            DynamoDbReadMarkers(client, "presence"),
            DynamoDbMailboxStore(client, "connections"),
            DynamoDbHeldStreams(client, "connections"),
            DynamoDbPendingCommandStore(client, "connections"),
            DynamoDbPresenceStore(client, "presence", clock),
            DynamoDbRevocationStore(client, "connections"),
            DynamoDbTelling(client, "connections", clock),
            clock,
        )


@pytest.fixture(params=[memory, dynamodb])
def stores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    yield from request.param()


def segment(first: int, count: int, *, expires_at_s: int = NOW_S + 600) -> Segment:
    items = [publication(f"m{n}") for n in range(first, first + count)]
    tail = Tail(first - 1, (0, 0, first - 1, 0), Tail().ring.extended([publication("x")] * (first - 1), NOW_S))
    return tail.grow(items, now_ms=NOW_S * 1000, expires_at_s=expires_at_s)


class TestStreamStore:
    def test_a_stream_is_opened_once(self, stores: Stores) -> None:
        assert stores.streams.stream("room:a") is None
        assert stores.streams.open("room:a", Stream("e1"), replaces=None) == Stream("e1")
        assert stores.streams.open("room:a", Stream("e2"), replaces=None) == Stream("e1")
        assert stores.streams.stream("room:a") == Stream("e1")

    def test_a_stream_is_replaced_only_by_who_knows_it(self, stores: Stores) -> None:
        stores.streams.open("room:a", Stream("e1"), replaces=None)
        assert stores.streams.open("room:a", Stream("e1", 5), replaces=Stream("e1")) == Stream("e1", 5)
        assert stores.streams.open("room:a", Stream("e2"), replaces=Stream("e0")) == Stream("e1", 5)
        assert stores.streams.open("room:a", Stream("e2"), replaces=Stream("e1")) == Stream("e2")

    def test_a_place_is_taken_once_and_tells_by_whom(self, stores: Stores) -> None:
        taken = segment(1, 3)
        stores.streams.append("room:a", "e", taken)
        with pytest.raises(StreamConflictError) as caught:
            stores.streams.append("room:a", "e", segment(1, 1))
        assert caught.value.segment == taken
        assert stores.streams.newest("room:a", "e") == [taken]

    def test_a_segment_comes_back_as_it_was(self, stores: Stores) -> None:
        stored = segment(70, 10)
        stores.streams.append("room:a", "e", stored)
        (found,) = stores.streams.forward("room:a", "e", 1)
        assert found == stored
        assert found.tail() == stored.tail()

    def test_reads_begin_with_the_segment_that_holds_the_offset(self, stores: Stores) -> None:
        for first, count in ((1, 10), (11, 1), (12, 10), (22, 4)):
            stores.streams.append("room:a", "e", segment(first, count))
        stores.streams.append("room:a", "other", segment(1, 1))
        stores.streams.append("room:a", "e", segment(26, 0))  # the seal
        forward, backward = stores.streams.forward, stores.streams.backward
        assert [s.first for s in forward("room:a", "e", 10)] == [1, 11, 12, 22]
        assert [s.first for s in forward("room:a", "e", 11)] == [11, 12, 22]
        assert [s.first for s in forward("room:a", "e", 21)] == [12, 22]
        assert [s.first for s in forward("room:a", "e", 26)] == []
        assert [s.first for s in backward("room:a", "e", 21)] == [12, 11, 1]
        assert [s.first for s in backward("room:a", "e", 100)] == [22, 12, 11, 1]
        for offset, first in ((1, 1), (10, 1), (11, 11), (21, 12), (25, 22)):
            held = stores.streams.holding("room:a", "e", offset)
            assert held is not None
            assert held.first == first

    def test_the_newest_come_first_with_the_seal_and_no_more_than_asked_for(self, stores: Stores) -> None:
        for first, count in ((1, 10), (11, 1), (12, 10), (22, 0)):
            stores.streams.append("room:a", "e", segment(first, count))
        assert [s.first for s in stores.streams.newest("room:a", "e")] == [22]
        assert [s.first for s in stores.streams.newest("room:a", "e", 3)] == [22, 12, 11]
        assert [s.first for s in stores.streams.newest("room:a", "e", 9)] == [22, 12, 11, 1]

    def test_long_streams_are_read_to_their_end(self, stores: Stores) -> None:
        for first in range(1, 61):
            stores.streams.append("room:a", "e", segment(first, 1))
        assert [s.first for s in stores.streams.forward("room:a", "e", 1)] == list(range(1, 61))
        assert [s.first for s in stores.streams.backward("room:a", "e", 60)] == list(range(60, 0, -1))

    def test_rings_are_read_downwards_each_from_where_the_one_before_ends(self, stores: Stores) -> None:
        tail, stored = Tail(), {}
        for first in range(1, 400, 3):
            items = [publication(f"m{n}") for n in range(first, first + 3)]
            appended = tail.grow(items, now_ms=(NOW_S + first) * 1000, expires_at_s=NOW_S + 600)
            stores.streams.append("room:a", "e", appended)
            tail, stored[appended.last] = appended.tail(), appended
        rings = list(stores.streams.rings("room:a", "e", 299))
        # A ring has 64 marks: the next is that of the segment which holds the offset before its first.
        assert [ring.end for ring in rings] == [300, 237, 174, 111, 48]
        assert rings == [stored[ring.end].ring for ring in rings]

    def test_rings_go_on_where_segments_have_gone(self, stores: Stores) -> None:
        for first in (1, 100, 200):
            stores.streams.append("room:a", "e", segment(first, 10))
        assert [ring.end for ring in stores.streams.rings("room:a", "e", 209)] == [209, 109, 10]

    def test_nothing_is_nothing(self, stores: Stores) -> None:
        assert list(stores.streams.rings("room:a", "e", 1)) == []
        assert stores.streams.newest("room:a", "e") == []
        assert stores.streams.holding("room:a", "e", 1) is None
        assert list(stores.streams.forward("room:a", "e", 1)) == []


class TestMailboxStore:
    BOX = Mailbox(expires_at_s=NOW_S + 7200, seen_at_s=NOW_S)

    def test_every_writer_gets_a_number_of_its_own(self, stores: Stores) -> None:
        assert stores.mailboxes.get("m") is None
        assert stores.mailboxes.number("m", now_s=NOW_S) is None
        stores.mailboxes.open("m", self.BOX)
        assert stores.mailboxes.get("m") == self.BOX
        for number in range(1, 12):
            assert stores.mailboxes.number("m", now_s=NOW_S) == replace(self.BOX, last=number)
        assert stores.mailboxes.get("m") == replace(self.BOX, last=11)
        assert stores.mailboxes.number("m", now_s=NOW_S + GONE_AFTER_S) is None, "its client has gone"

    def test_a_reader_skips_to_the_last_number(self, stores: Stores) -> None:
        stores.mailboxes.open("m", replace(self.BOX, last=3))
        stores.mailboxes.claim("m", "first", way="stream", confirmed=None, seen_at_s=NOW_S)
        stores.mailboxes.number("m", now_s=NOW_S)
        assert stores.mailboxes.skip("m", "first", seen_at_s=NOW_S + 1) == 4
        assert stores.mailboxes.get("m") == replace(
            self.BOX, seen_at_s=NOW_S + 1, last=4, fetched=4, reader="first", way="stream"
        )
        stores.mailboxes.claim("m", "second", way="stream", confirmed=None, seen_at_s=NOW_S)
        assert stores.mailboxes.skip("m", "first", seen_at_s=NOW_S + 1) is None
        assert stores.mailboxes.skip("nobody's", "first", seen_at_s=NOW_S + 1) is None

    def test_messages_are_read_in_order_from_anywhere(self, stores: Stores) -> None:
        stores.mailboxes.open("m", self.BOX)
        for number in range(1, 31):
            stores.mailboxes.put("m", Message(number, str(number), 12345), expires_at_s=NOW_S)
        stores.mailboxes.put("m", Message(31, None, 12345), expires_at_s=NOW_S)
        assert [m.number for m in stores.mailboxes.read("m", 0, limit=5)] == [1, 2, 3, 4, 5]
        assert stores.mailboxes.read("m", 29, limit=5) == [Message(30, "30", 12345), Message(31, None, 12345)]
        assert stores.mailboxes.read("m", 31, limit=5) == []
        assert stores.mailboxes.newest("m", limit=2) == [Message(30, "30", 12345), Message(31, None, 12345)]
        assert stores.mailboxes.newest("nobody's", limit=2) == []

    def test_a_mailbox_that_is_there_is_renewed(self, stores: Stores) -> None:
        assert not stores.mailboxes.renew("m", expires_at_s=NOW_S + 9000, now_s=NOW_S)
        assert stores.mailboxes.get("m") is None
        stores.mailboxes.open("m", self.BOX)
        claimed = stores.mailboxes.claim("m", "ann", way="stream", confirmed=3, seen_at_s=NOW_S + 1)
        assert claimed == replace(self.BOX, seen_at_s=NOW_S + 1, fetched=3, confirmed=3, reader="ann", way="stream")
        assert stores.mailboxes.renew("m", expires_at_s=NOW_S + 9000, now_s=NOW_S + 5)
        assert stores.mailboxes.get("m") == replace(claimed, expires_at_s=NOW_S + 9000, seen_at_s=NOW_S + 5)
        assert not stores.mailboxes.renew("m", expires_at_s=NOW_S + 9000, now_s=NOW_S + 5 + GONE_AFTER_S)

    def test_the_newest_reader_is_the_reader(self, stores: Stores) -> None:
        assert stores.mailboxes.claim("m", "first", way="stream", confirmed=None, seen_at_s=NOW_S) is None
        assert not stores.mailboxes.note("m", "first", fetched=1, seen_at_s=NOW_S)
        stores.mailboxes.open("m", self.BOX)
        stores.mailboxes.claim("m", "first", way="stream", confirmed=None, seen_at_s=NOW_S)
        assert stores.mailboxes.note("m", "first", fetched=4, seen_at_s=NOW_S + 2)
        second = stores.mailboxes.claim("m", "second", way="stream", confirmed=None, seen_at_s=NOW_S + 3)
        assert second == replace(self.BOX, seen_at_s=NOW_S + 3, fetched=4, reader="second", way="stream")
        assert not stores.mailboxes.note("m", "first", fetched=9, seen_at_s=NOW_S + 4)
        third = stores.mailboxes.claim("m", "third", way="stream", confirmed=2, seen_at_s=NOW_S + 5)
        assert third == replace(self.BOX, seen_at_s=NOW_S + 5, fetched=2, confirmed=2, reader="third", way="stream")
        stores.mailboxes.remove("m")
        assert not stores.mailboxes.note("m", "third", fetched=9, seen_at_s=NOW_S + 6)
        assert stores.mailboxes.get("m") is None

    def test_many_are_looked_at_together(self, stores: Stores) -> None:
        names = [f"m{number}" for number in range(120)]
        for number, name in enumerate(names):
            stores.mailboxes.open(name, self.BOX)
            stores.mailboxes.claim(name, f"reader {name}", way="stream", confirmed=None, seen_at_s=NOW_S)
            if number % 2:
                stores.mailboxes.put(name, Message(7, "x", 0), expires_at_s=NOW_S)
        stores.mailboxes.put("m0", Message(8, "x", 0), expires_at_s=NOW_S)
        seen = stores.mailboxes.look([*((name, 7) for name in [*names, "gone"]), ("m0", 8), ("m0", 7)])
        assert seen == {
            **{(name, 7): (f"reader {name}", bool(number % 2)) for number, name in enumerate(names)},
            ("m0", 8): ("reader m0", True),
        }
        for _ in range(9):
            stores.mailboxes.number("m2", now_s=NOW_S)
        behind_a_hole = stores.mailboxes.look([("m2", 8), ("m2", 9)])
        assert behind_a_hole == {("m2", 8): ("reader m2", True), ("m2", 9): ("reader m2", False)}
        assert stores.mailboxes.look([]) == {}

    def test_whoever_was_silent_for_too_long_is_gone_for_good(self, stores: Stores) -> None:
        stores.mailboxes.open("m", self.BOX)
        late_s = NOW_S + GONE_AFTER_S
        assert stores.mailboxes.claim("m", "r", way="stream", confirmed=None, seen_at_s=late_s) is None
        assert not stores.mailboxes.remove("m", seen_at_s=NOW_S + 1), "it has been heard of since"
        assert stores.mailboxes.remove("m", seen_at_s=NOW_S)
        assert stores.mailboxes.get("m") is None
        assert not stores.mailboxes.remove("m")
        stores.mailboxes.open("m", self.BOX)
        assert stores.mailboxes.claim("m", "r", way="stream", confirmed=None, seen_at_s=late_s - 1) is not None

    def test_holes_are_read_over(self, stores: Stores) -> None:
        for number in (1, 2, 90, 91):
            stores.mailboxes.put("m", Message(number, "x", 0), expires_at_s=NOW_S)
        assert [m.number for m in stores.mailboxes.read("m", 1, limit=2)] == [2, 90]


class TestHeldStreams:
    def test_a_user_holds_so_many_and_all_of_them_so_many(self, stores: Stores) -> None:
        def hold(user_id: str, reader: str, now_s: int = NOW_S) -> bool:
            stream = HeldStream(reader, user_id, "", now_s + 120)
            return stores.held_streams.hold(stream, user_at_most=2, address_at_most=0, at_most=4, now_s=now_s)

        assert [hold("ann", reader) for reader in "abc"] == [True, True, False]
        assert hold("bob", "d")
        stores.held_streams.release("a")
        assert [hold("ann", reader) for reader in "ef"] == [True, False]
        assert [hold("cho", reader) for reader in "gh"] == [True, False], "all together have at most 4"
        assert hold("ann", "i", now_s=NOW_S + 120), "those that never said goodbye end"

    def test_an_address_holds_so_many(self, stores: Stores) -> None:
        def hold(reader: str, address: str) -> bool:
            stream = HeldStream(reader, f"user of {reader}", address, NOW_S + 120)
            return stores.held_streams.hold(stream, user_at_most=1, address_at_most=2, at_most=9, now_s=NOW_S)

        assert [hold(reader, "192.0.2.1") for reader in "abc"] == [True, True, False]
        assert hold("d", "192.0.2.2")


class TestConnectionStore:
    def test_a_connection_comes_back_as_it_was(self, stores: Stores) -> None:
        for item in (connection("pending", None), connection("c")):
            stores.connections.open(item)
            assert stores.connections.get(item.connection_id) == item
        assert stores.connections.get("nobody") is None

    def test_only_a_connection_that_is_there_can_say_who_it_is(self, stores: Stores) -> None:
        assert stores.connections.authenticate(connection("gone")) is False
        assert stores.connections.get("gone") is None
        stores.connections.open(connection("c", None))
        assert stores.connections.authenticate(connection("c")) is True
        assert stores.connections.get("c") == connection("c")

    def test_an_older_token_does_not_say_who_it_is(self, stores: Stores) -> None:
        older, newer = (replace(connection("c"), principal=Principal("ann", issued_at_s=at_s)) for at_s in (5, 6))
        stores.connections.open(connection("c", None))
        for item in (older, newer, newer):
            assert stores.connections.authenticate(item) is True
        assert stores.connections.authenticate(older) is False
        assert stores.connections.authenticate(replace(older, principal=Principal("bob", issued_at_s=7))) is False
        assert stores.connections.get("c") == newer

    def test_a_newer_token_takes_the_place_of_an_older_one(self, stores: Stores) -> None:
        before = Principal("ann", {"a:*": ["publish"]}, issued_at_s=5, expires_at_s=NOW_S + 60, public_claims={"n": 1})
        item = replace(connection("c"), principal=before, session_id="s")
        stores.connections.open(item)
        newer = Principal("ann", {"b:*": ["publish"]}, issued_at_s=6)
        assert stores.connections.refresh("c", newer) == replace(item, principal=newer)
        assert stores.connections.get("c") == replace(item, principal=newer)
        assert stores.connections.refresh("c", newer) == replace(item, principal=newer), "a repeat"
        assert stores.connections.refresh("c", before) is None, "it is older"
        assert stores.connections.refresh("c", Principal("bob", issued_at_s=7)) is None
        assert stores.connections.get("c") == replace(item, principal=newer)
        stores.connections.open(connection("pending", None))
        assert stores.connections.refresh("pending", newer) is None
        assert stores.connections.refresh("gone", newer) is None
        assert stores.connections.get("gone") is None

    def test_a_connection_is_announced_once(self, stores: Stores) -> None:
        before = Principal("ann", {}, issued_at_s=5)
        stores.connections.open(replace(connection("c"), principal=before))
        assert stores.connections.announce("c")
        after = replace(connection("c"), principal=before, announced=True)
        assert stores.connections.get("c") == after
        assert not stores.connections.announce("c")
        assert stores.connections.refresh("c", before) == after
        assert not stores.connections.announce("gone")
        assert stores.connections.get("gone") is None

    def test_a_pending_connection_goes_by_another_name_once(self, stores: Stores) -> None:
        stub, named = connection("c", None), replace(connection("named"), announced=True)
        assert not stores.connections.rename("c", named), "it is not there"
        stores.connections.open(stub)
        assert stores.connections.rename("c", named)
        assert stores.connections.get("c") == replace(stub, alias="named")
        assert stores.connections.get("named") == named
        assert not stores.connections.rename("c", replace(named, connection_id="other"))
        assert stores.connections.get("other") is None
        stores.connections.open(connection("known"))
        assert not stores.connections.rename("known", named), "somebody has said who it is"

    def test_a_session_has_the_newer_token_too_while_it_is_that_connections(self, stores: Stores) -> None:
        session = Session("s", ANN, "c", NOW_S + 600, "v")
        stores.connections.put_session(session)
        newer = Principal("ann", {}, issued_at_s=6, expires_at_s=NOW_S + 900, public_claims={"n": 1})
        assert stores.connections.refresh_session("s", newer, connection_id="c", version="v2")
        after = replace(session, principal=newer, version="v2")
        assert stores.connections.session("s") == after
        assert not stores.connections.refresh_session("s", ANN, connection_id="c", version="v3"), "it is older"
        assert not stores.connections.refresh_session("s", newer, connection_id="c1", version="v3"), "another has it"
        assert not stores.connections.refresh_session("nobody", newer, connection_id="c", version="v3")
        stores.connections.end_session("s", connection_id="c", expires_at_s=NOW_S)
        assert not stores.connections.refresh_session("s", newer, connection_id="c", version="v3"), "it has ended"
        assert stores.connections.session("s") is None

    def test_what_expired_is_not_there(self, stores: Stores) -> None:
        item = connection("c", expires_at_s=NOW_S + 5)
        stores.connections.open(item)
        stores.connections.subscribe(item, events_of("room:a"), expires_at_s=NOW_S + 5)
        stores.connections.put_session(Session("s", ANN, "c", NOW_S + 5, "v"))
        stores.clock.pass_s(5)
        assert stores.connections.get("c") is None
        assert list(stores.connections.subscribers("room:a").connection_ids) == []
        assert stores.connections.subscriptions("c") == {}
        assert stores.connections.session("s") is None

    def test_subscribe_and_unsubscribe_may_be_repeated(self, stores: Stores) -> None:
        item = connection("c")
        stores.connections.open(item)
        for _ in range(2):
            stores.connections.subscribe(item, events_of("room:a", "room:b"), expires_at_s=NOW_S + 60)
        assert stores.connections.subscriptions("c") == events_of("room:a", "room:b")
        for _ in range(2):
            stores.connections.unsubscribe("c", ["room:a"])
        assert list(stores.connections.subscribers("room:a").connection_ids) == []
        assert list(stores.connections.subscribers("room:b").connection_ids) == ["c"]

    def test_of_commands_about_a_channel_the_last_counts_whenever_it_is_handled(self, stores: Stores) -> None:
        item, seen = connection("c"), frozenset[Interest]({"presence"})
        stores.connections.open(item)

        def subscribe(command_id: int) -> bool:
            return stores.connections.subscribe_in_order(
                item, "room:a", seen, expires_at_s=NOW_S + 60, ends_at_s=NOW_S + 90, command_id=command_id
            )

        def unsubscribe(command_id: int) -> bool:
            return stores.connections.unsubscribe_in_order("c", "room:a", command_id=command_id)

        def there() -> bool:
            here = list(stores.connections.subscribers("room:a", interest="presence").connection_ids) == ["c"]
            assert (stores.connections.subscriptions("c") == {"room:a": seen}) is here
            assert (stores.connections.attended("c") == {"room:a": "ann"}) is here
            assert stores.connections.attending("c") == stores.connections.attended("c")
            return here

        assert stores.connections.last_command("c", "room:a") == 0
        assert unsubscribe(2)
        assert not subscribe(1)
        assert stores.connections.last_command("c", "room:a") == 2
        assert not there()
        assert subscribe(4)
        assert there()
        assert not unsubscribe(3)
        assert there()
        assert unsubscribe(4), "a repeat of the same number counts"
        assert not there()
        assert subscribe(7)
        assert subscribe(7)
        assert unsubscribe(8)
        assert unsubscribe(8)
        assert not there()
        assert subscribe(9)
        assert stores.connections.unsubscribe_in_order("c", "room:never", command_id=1)
        assert stores.connections.close("c") == item
        assert list(stores.connections.subscribers("room:a").connection_ids) == []
        assert stores.connections.attended("c") == {"room:a": "ann"}
        assert stores.connections.attending("c") == {}, "it has gone"

    def test_who_stays_in_a_channel_is_only_listed_no_more(self, stores: Stores) -> None:
        item, seen = connection("c"), frozenset[Interest]({"presence"})
        stores.connections.open(item)

        def subscribe(command_id: int) -> bool:
            return stores.connections.subscribe_in_order(
                item, "user:ann", seen, expires_at_s=NOW_S + 60, ends_at_s=NOW_S + 90, command_id=command_id
            )

        def unsubscribe(command_id: int) -> bool:
            return stores.connections.unsubscribe_in_order("c", "user:ann", command_id=command_id, stays=True)

        def wanting(interest: Interest | None = None) -> list[str]:
            return list(stores.connections.subscribers("user:ann", interest=interest).connection_ids)

        def stays() -> bool:
            listed = {*stores.connections.subscriptions("c"), *stores.connections.attended("c")}
            return wanting() == ["c"] and not wanting("presence") and not listed

        assert unsubscribe(1)
        assert wanting() == [], "it never was there"
        stores.connections.subscribe(item, events_of("user:ann"), expires_at_s=NOW_S + 60, kept=False)
        for command_id in (2, 5):
            assert subscribe(command_id)
            assert wanting("presence") == ["c"]
            assert unsubscribe(command_id + 1)
            assert unsubscribe(command_id + 1)
            assert not subscribe(command_id)
            assert stays()
        for _ in range(2):
            stores.connections.subscribe(item, {"user:ann": seen}, expires_at_s=NOW_S + 60)
            stores.connections.unsubscribe("c", ["user:ann"], stays=True)
            stores.connections.unsubscribe("c", ["user:ann"], stays=True)
            assert stays()
        assert subscribe(7)
        assert stores.connections.close("c") == item
        assert unsubscribe(8)
        stores.connections.unsubscribe("c", ["user:ann"], stays=True)
        assert wanting() == [], "it has gone"

    def test_what_is_prolonged_goes_on_as_long_as_it_can(self, stores: Stores) -> None:
        item = connection("c")
        stores.connections.open(item)
        for channel, ends_at_s in (("room:a", NOW_S + 200), ("room:b", NOW_S + 100), ("room:c", NOW_S + 200)):
            stores.connections.subscribe_in_order(
                item, channel, frozenset(), expires_at_s=NOW_S + 60, ends_at_s=ends_at_s, command_id=1
            )
        stores.connections.unsubscribe_in_order("c", "room:c", command_id=2)
        stores.connections.prolong("c", expires_at_s=NOW_S + 150)

        def there() -> list[str]:
            channels = ("room:a", "room:b", "room:c")
            return [one for one in channels if list(stores.connections.subscribers(one).connection_ids) == ["c"]]

        stores.clock.pass_s(70)
        assert there() == ["room:a", "room:b"]
        stores.clock.pass_s(40)
        assert there() == ["room:a"]
        stores.clock.pass_s(40)
        assert there() == []

    def test_one_is_prolonged_by_a_later_command_while_it_is_there(self, stores: Stores) -> None:
        item = connection("c")
        stores.connections.open(item)

        def prolong(command_id: int, expires_in_s: int) -> bool:
            at_s = NOW_S + expires_in_s
            return stores.connections.prolong_one(
                "c", "room:a", expires_at_s=at_s, ends_at_s=at_s + 100, command_id=command_id
            )

        def there() -> bool:
            return list(stores.connections.subscribers("room:a").connection_ids) == ["c"]

        assert not prolong(9, 100)
        assert not there()
        assert stores.connections.subscriptions("c") == {}
        stores.connections.subscribe_in_order(
            item, "room:a", frozenset(), expires_at_s=NOW_S + 50, ends_at_s=NOW_S + 50, command_id=2
        )
        assert not prolong(1, 1000)
        assert prolong(3, 100)
        assert stores.connections.last_command("c", "room:a") == 2, "that has subscribed it"
        stores.clock.pass_s(90)
        assert there()
        stores.clock.pass_s(20)
        assert not there()
        assert prolong(4, 130), "it could go on"
        assert there()
        stores.connections.unsubscribe_in_order("c", "room:a", command_id=5)
        assert not prolong(6, 1000)
        assert not there()
        assert stores.connections.subscriptions("c") == {}

    def test_subscribers_that_want_more_than_events(self, stores: Stores) -> None:
        wants: list[frozenset[Interest]] = [frozenset(), frozenset({"state"}), frozenset({"state", "presence"})]
        for n, interests in enumerate(wants):
            item = connection(f"c{n}")
            stores.connections.open(item)
            stores.connections.subscribe(item, {"room:a": interests}, expires_at_s=NOW_S + 60)
            assert stores.connections.subscriptions(f"c{n}") == {"room:a": interests}

        def wanting(interest: Interest | None, at_most: int | None = None) -> list[str]:
            return list(stores.connections.subscribers("room:a", interest=interest, at_most=at_most).connection_ids)

        assert wanting(None) == ["c0", "c1", "c2"]
        assert wanting("state") == ["c1", "c2"]
        assert wanting("state", 1) == ["c1"]
        assert wanting("presence", 2) == ["c2"]
        stores.connections.subscribe(connection("c2"), events_of("room:a"), expires_at_s=NOW_S + 60)
        assert wanting("presence") == []

    def test_closing_takes_it_out_of_every_channel_but_leaves_the_list(self, stores: Stores) -> None:
        item = connection("c")
        stores.connections.open(item)
        channels = [f"room:{n}" for n in range(60)]
        stores.connections.subscribe(item, events_of(*channels), expires_at_s=NOW_S + 60)
        stores.connections.subscribe(item, events_of("user:ann", "broadcast:all"), expires_at_s=NOW_S + 60, kept=False)
        assert stores.connections.close("c") == item
        assert stores.connections.close("c") is None
        assert stores.connections.get("c") is None
        for channel in [*channels, "user:ann", "broadcast:all"]:
            assert list(stores.connections.subscribers(channel).connection_ids) == []
        assert stores.connections.subscriptions("c") == events_of(*channels)

    def test_a_subscription_that_came_after_the_close_is_taken_out_by_the_next(self, stores: Stores) -> None:
        item = connection("c")
        stores.connections.open(item)
        stores.connections.close("c")
        stores.connections.subscribe(item, events_of("room:a", "room:b"), expires_at_s=NOW_S + 60)
        stores.connections.subscribe(item, events_of("user:ann"), expires_at_s=NOW_S + 60, kept=False)
        stores.connections.close("c", found_in="user:ann")
        for channel in ("room:a", "room:b", "user:ann"):
            assert list(stores.connections.subscribers(channel).connection_ids) == []
        assert stores.connections.subscriptions("c") == events_of("room:a", "room:b")

    def test_a_channel_that_is_listed_and_known_besides_is_left_once(self, stores: Stores) -> None:
        item = connection("c")
        for _ in range(2):
            stores.connections.subscribe(item, events_of("user:ann", "broadcast:all"), expires_at_s=NOW_S + 60)
            stores.connections.close("c", found_in="broadcast:all")
            assert list(stores.connections.subscribers("broadcast:all").connection_ids) == []
            stores.connections.open(item)

    def test_many_subscribers_are_all_found(self, stores: Stores) -> None:
        ids = [f"c{n:03}" for n in range(120)]
        for connection_id in ids:
            stores.connections.subscribe(connection(connection_id), events_of("room:a"), expires_at_s=NOW_S + 60)
        assert sorted(stores.connections.subscribers("room:a").connection_ids) == ids

    def test_a_session_comes_back_as_it_was(self, stores: Stores) -> None:
        session = Session("s", ANN, "c", NOW_S + 60, "v")
        stores.connections.put_session(session)
        assert stores.connections.session("s") == session

    def test_a_session_moves_only_in_the_version_that_is_known(self, stores: Stores) -> None:
        before = Session("s", ANN, "c", NOW_S + 60, "v")
        after = Session("s", Principal("ann", expires_at_s=NOW_S + 7), "c2", NOW_S + 600, "v2")
        assert not stores.connections.move_session(before, after), "there is none"
        stores.connections.put_session(before)
        assert stores.connections.move_session(before, after)
        assert stores.connections.session("s") == after
        assert stores.connections.move_session(before, after), "the answer to the first try got lost"
        assert not stores.connections.move_session(before, replace(before, version="v3")), "somebody was faster"
        assert stores.connections.session("s") == after
        stores.clock.pass_s(600)
        assert not stores.connections.move_session(after, replace(after, expires_at_s=NOW_S + 900)), "it has ended"

    def test_a_session_is_ended_only_by_the_connection_that_has_it_and_only_sooner(self, stores: Stores) -> None:
        session = Session("s", ANN, "c2", NOW_S + 600, "v")
        stores.connections.put_session(session)
        stores.connections.end_session("s", connection_id="c1", expires_at_s=NOW_S + 120)
        stores.connections.end_session("s", connection_id="c2", expires_at_s=NOW_S + 900)
        stores.connections.end_session("nobody", connection_id="c2", expires_at_s=NOW_S + 120)
        assert stores.connections.session("s") == session
        assert stores.connections.session("nobody") is None
        stores.connections.end_session("s", connection_id="c2", expires_at_s=NOW_S + 120)
        assert stores.connections.session("s") == Session("s", ANN, "c2", NOW_S + 120, "v")


class TestShards:
    def test_subscribers_are_spread_and_each_is_found_once(self, stores: Stores) -> None:
        ids = [f"c{n:03}" for n in range(60)]
        for connection_id in ids[:30]:
            stores.connections.subscribe(connection(connection_id), events_of("room:a"), expires_at_s=NOW_S + 600)
        stores.connections.grow("room:a", 4)
        stores.connections.grow("room:a", 2)
        stores.clock.pass_s(61)  # writers trust what they knew for a minute
        for connection_id in ids:
            stores.connections.subscribe(connection(connection_id), events_of("room:a"), expires_at_s=NOW_S + 600)
        assert stores.connections.subscribers("room:a").count == 4
        shards = [stores.connections.subscribers("room:a", shard).connection_ids for shard in range(4)]
        assert sorted(connection_id for shard in shards for connection_id in shard) == ids
        assert min(map(len, shards)) > 0

    def test_who_was_subscribed_before_it_grew_can_leave(self, stores: Stores) -> None:
        items = [connection(f"c{n}") for n in range(20)]
        for item in items:
            stores.connections.open(item)
            stores.connections.subscribe(item, events_of("room:a"), expires_at_s=NOW_S + 600)
            stores.connections.subscribe(item, events_of("broadcast:all"), expires_at_s=NOW_S + 600, kept=False)
        for channel in ("room:a", "broadcast:all"):
            stores.connections.grow(channel, 8)
        for item in items[:10]:
            stores.connections.unsubscribe(item.connection_id, ["room:a"])
        for item in items:
            stores.connections.close(item.connection_id)
        for channel in ("room:a", "broadcast:all"):
            assert [list(stores.connections.subscribers(channel, n).connection_ids) for n in range(8)] == [[]] * 8

    def test_a_few_are_read_without_the_rest(self, stores: Stores) -> None:
        for n in range(9):
            stores.connections.subscribe(connection(f"c{n}"), events_of("room:a"), expires_at_s=NOW_S + 600)
        assert len(stores.connections.subscribers("room:a", at_most=4).connection_ids) == 4
        stores.connections.grow("room:a", 2)
        assert stores.connections.subscribers("room:a", at_most=4).count == 2


def test_what_is_due_is_due_in_its_minute(stores: Stores) -> None:
    assert stores.connections.swept_minute() == 0
    for connection_id, minute in (("a", 5), ("b", 5), ("a", 5), ("c", 6)):
        stores.connections.remind(connection_id, minute=minute)
    assert [list(stores.connections.due(minute)) for minute in (4, 5, 6)] == [[], ["a", "b"], ["c"]]
    stores.connections.mark_looked_at(5, "a")
    assert [list(stores.connections.due(minute)) for minute in (5, 6)] == [["b"], ["c"]]
    stores.connections.mark_swept(5)
    assert stores.connections.swept_minute() == 5


def test_what_is_due_can_be_read_on_from_anywhere(stores: Stores) -> None:
    names = [f"c{number:03}" for number in range(25)]
    for name in names:
        stores.connections.remind(name, minute=5)
    assert list(stores.connections.due(5, at_a_time=10)) == names
    assert list(stores.connections.due(5, after="c011", at_a_time=10)) == names[12:]
    assert list(stores.connections.due(5, after="c024")) == []
    stores.connections.mark_looked_at(5, "c020")
    assert list(stores.connections.due(5, after="c011")) == names[21:]
    assert list(stores.connections.due(5, after="c022")) == names[23:]


def test_many_connections_are_read_together(stores: Stores) -> None:
    items = {f"c{number:03}": connection(f"c{number:03}") for number in range(230)}
    for item in items.values():
        stores.connections.open(item)
    stores.connections.open(replace(connection("old"), expires_at_s=NOW_S))
    assert stores.connections.get_all([*items, "old", "none"]) == items
    assert stores.connections.get_all([]) == {}


def test_many_mailboxes_are_read_together(stores: Stores) -> None:
    boxes = {f"m{number:03}": Mailbox(NOW_S + 7200, seen_at_s=NOW_S + number) for number in range(120)}
    for name, box in boxes.items():
        stores.mailboxes.open(name, box)
    stores.mailboxes.claim("m007", "ann", way="long_poll", confirmed=None, seen_at_s=NOW_S + 7)
    boxes["m007"] = replace(boxes["m007"], reader="ann", way="long_poll")
    assert stores.mailboxes.get_all([*boxes, "none"]) == boxes


class TestTelling:
    AT = StreamPosition("e", 7)

    def subscribed(self, stores: Stores, command_id: int = 1, *, positioned: bool = True) -> None:
        stores.connections.open(connection("c"))
        stores.connections.subscribe_in_order(
            connection("c"),
            "room:a",
            frozenset(),
            expires_at_s=NOW_S + 60,
            ends_at_s=NOW_S + 90,
            command_id=command_id,
            positioned=positioned,
        )

    def test_who_is_positioned_is_told_once_it_is_started_and_from_there(self, stores: Stores) -> None:
        assert stores.connections.shard_of("c", "room:a") == 0
        self.subscribed(stores, positioned=False)
        assert stores.connections.subscribers("room:a").positioned == frozenset()
        self.subscribed(stores)
        assert stores.connections.subscribers("room:a").positioned == {"c"}
        assert stores.telling.positioned("room:a", 0) == []
        fresh = Positioned("c", 1, self.AT)
        assert stores.telling.start("room:a", 0, fresh)
        assert stores.telling.positioned("room:a", 0) == [fresh]
        stores.telling.mark_told("room:a", 0, fresh)
        assert stores.telling.positioned("room:a", 0) == [replace(fresh, since=None)]
        stores.connections.prolong_one("c", "room:a", expires_at_s=NOW_S + 70, ends_at_s=NOW_S + 80, command_id=2)
        stores.connections.prolong("c", expires_at_s=NOW_S + 80)
        assert stores.telling.positioned("room:a", 0) == [Positioned("c", 1, None)], "the command that subscribed it"
        self.subscribed(stores, 2, positioned=False)
        assert stores.connections.subscribers("room:a").positioned == frozenset()
        assert list(stores.connections.subscribers("room:a").connection_ids) == ["c"]
        self.subscribed(stores, 3)
        assert stores.telling.positioned("room:a", 0) == []
        stores.telling.start("room:a", 0, replace(fresh, command_id=3))
        stores.clock.pass_s(60)
        assert stores.telling.positioned("room:a", 0) == []

    def test_whom_the_server_has_subscribed_is_so_until_its_client_asks_for_it(self, stores: Stores) -> None:
        stores.connections.open(connection("c"))
        stores.connections.subscribe(
            connection("c"), {"room:a": frozenset({"by_server", "presence"})}, expires_at_s=NOW_S + 60
        )
        assert stores.connections.subscribers("room:a").by_server == {"c"}
        self.subscribed(stores, positioned=False)
        assert stores.connections.subscribers("room:a").by_server == frozenset()

    def test_who_is_not_started_in_time_is_found(self, stores: Stores) -> None:
        self.subscribed(stores)
        stores.connections.prolong_one("c", "room:a", expires_at_s=NOW_S + 500, ends_at_s=NOW_S + 500, command_id=1)
        stores.clock.pass_s(65)
        assert stores.telling.positioned("room:a", 0) == []
        stores.clock.pass_s(1)
        assert stores.telling.positioned("room:a", 0) == [Positioned("c", 1, None, started=False)]
        fresh = Positioned("c", 1, self.AT)
        assert stores.telling.start("room:a", 0, fresh)
        assert stores.telling.positioned("room:a", 0) == [fresh]

    def test_only_the_command_that_counts_is_heard(self, stores: Stores) -> None:
        early = Positioned("c", 1, self.AT)
        assert not stores.telling.start("room:a", 0, early)
        assert stores.telling.positioned("room:a", 0) == []
        self.subscribed(stores, 2)
        assert not stores.telling.start("room:a", 0, early)
        late = replace(early, command_id=2)
        assert stores.telling.start("room:a", 0, late)
        stores.telling.mark_told("room:a", 0, early)
        stores.telling.stop("room:a", 0, early)
        assert stores.telling.positioned("room:a", 0) == [late]
        stores.telling.stop("room:a", 0, late)
        assert list(stores.connections.subscribers("room:a").connection_ids) == []
        assert "room:a" in stores.connections.subscriptions("c"), "it is to subscribe anew"

    def test_a_turn_is_one_holders_until_it_ends(self, stores: Stores) -> None:
        def take(holder: str) -> Turn:
            return stores.telling.take("room:a", 0, holder=holder, until_ms=stores.clock() + 1_000)

        assert take("x") == Turn(True, None)
        assert take("x") == Turn(True, None), "whoever repeats it has it"
        assert take("y") == Turn(False, None)
        assert stores.telling.take("room:a", 1, holder="y", until_ms=stores.clock() + 1_000).taken
        stores.telling.end("room:a", 0, holder="x", position=self.AT)
        stores.telling.end("room:a", 0, holder="x", position=replace(self.AT, offset=1))
        assert take("y") == Turn(True, self.AT)
        assert take("x") == Turn(False, self.AT)
        stores.telling.end("room:a", 0, holder="x", position=None)
        assert not take("x").taken
        stores.telling.end("room:a", 0, holder="y", position=None)
        assert take("z") == Turn(True, self.AT)
        stores.clock.pass_s(2)
        assert take("x") == Turn(True, self.AT), "it ends by itself"


class TestPresenceStore:
    """User ids are what they like: of one kind with the keys' own signs, and one that begins as another."""

    USERS = ("ann", "ann#1", "ann%231", "an", "!TOLD", "ünï/ç ode")

    def enter(self, stores: Stores, user_id: str, connection_id: str, *, seconds: int = 60) -> None:
        at_ms = stores.clock()
        ends_s = at_ms // 1000 + seconds
        stores.presence.enter(["room:a"], user_id, connection_id, at_ms=at_ms, expires_at_s=ends_s)

    def test_members_are_users_with_their_connections(self, stores: Stores) -> None:
        for user_id in self.USERS:
            for connection_id in ("c=", "mailbox.x#"):
                self.enter(stores, user_id, connection_id)
        attendees = stores.presence.attendees("room:a")
        assert sorted(attendees.members) == sorted(self.USERS)
        for user_id in self.USERS:
            member = Member(user_id, ("c=", "mailbox.x#"), last_active_at_ms=stores.clock())
            assert attendees.members[user_id] == stores.presence.member("room:a", user_id) == member
        assert stores.presence.attendees("room:b").members == {}
        assert stores.presence.member("room:a", "nobody") == Member("nobody")

    def test_a_connection_enters_many_channels_at_once_and_may_do_so_again(self, stores: Stores) -> None:
        channels = [f"room:{number}" for number in range(60)]
        for _ in range(2):
            stores.presence.enter(channels, "ann", "c", at_ms=1, expires_at_s=NOW_S + 60)
        for channel in channels:
            assert stores.presence.member(channel, "ann").connection_ids == ("c",)

    def test_a_connection_is_there_until_it_expires_or_leaves(self, stores: Stores) -> None:
        self.enter(stores, "ann", "c1", seconds=5)
        self.enter(stores, "ann", "c2")
        self.enter(stores, "bob", "c3")
        assert stores.presence.leave("room:a", "bob", "c3") is True
        assert stores.presence.leave("room:a", "bob", "c3") is False
        stores.clock.pass_s(5)
        attendees = stores.presence.attendees("room:a")
        assert [(m.user_id, m.connection_ids) for m in attendees.members.values()] == [("ann", ("c2",))]

    def test_a_grace_time_makes_no_stay_longer_and_nobody_come_back(self, stores: Stores) -> None:
        self.enter(stores, "ann", "c1")
        assert stores.presence.leave("room:a", "ann", "c1", at_s=NOW_S + 10) is True
        assert stores.presence.leave("room:a", "ann", "c1", at_s=NOW_S + 20) is False
        assert stores.presence.leave("room:a", "ann", "c2", at_s=NOW_S + 20) is False
        stores.clock.pass_s(9)
        assert stores.presence.member("room:a", "ann").connection_ids == ("c1",)
        stores.clock.pass_s(1)
        assert stores.presence.member("room:a", "ann").connection_ids == ()

    def test_what_a_user_says_is_kept_and_has_another_stamp_each_time(self, stores: Stores) -> None:
        self.enter(stores, "ann", "c1")
        stamps = [stores.presence.member("room:a", "ann").stamp]
        later_ms = stores.clock() + 5
        said: list[dict[str, Any]] = [
            {"status": "busy", "active": False, "data": {"x": [1, None]}},
            {"data": None},
            {"status": "away"},
        ]
        for fields in said:
            stores.presence.update("room:a", "ann", fields, active_at_ms=None, at_ms=later_ms)
            stamps.append(stores.presence.member("room:a", "ann").stamp)
            for name, value in fields.items():
                assert getattr(stores.presence.member("room:a", "ann"), name) == value
        assert len(set(stamps)) == 4
        stores.presence.update("room:a", "ann", {}, active_at_ms=later_ms, at_ms=later_ms)
        member = stores.presence.member("room:a", "ann")
        assert (member.stamp, member.last_active_at_ms, member.status) == (stamps[-1], later_ms, "away")

    def test_what_was_said_is_forgotten_unless_it_has_changed(self, stores: Stores) -> None:
        stores.presence.update("room:a", "ann", {"status": "busy"}, active_at_ms=None, at_ms=5)
        before = stores.presence.attendees("room:a").gone["ann"]
        stores.presence.update("room:a", "ann", {"status": "away"}, active_at_ms=None, at_ms=5)
        stores.presence.forget("room:a", before)
        assert stores.presence.member("room:a", "ann").status == "away"
        stores.presence.forget("room:a", stores.presence.member("room:a", "ann"))
        assert stores.presence.attendees("room:a").gone == {}
        stores.presence.update("room:a", "ann", {}, active_at_ms=7, at_ms=7)
        stores.presence.forget("room:a", stores.presence.member("room:a", "ann"))
        assert stores.presence.attendees("room:a").gone == {}

    def test_only_who_knows_what_was_told_last_tells_more(self, stores: Stores) -> None:
        assert stores.presence.told("room:a") == Told()
        first = Told(1, False, 2, 5, {"ann": ("0.0", 1), "ü": ("", 1)})
        assert stores.presence.tell("room:a", first, before=0) is True
        assert stores.presence.tell("room:a", Told(1), before=0) is False
        assert stores.presence.told("room:a") == stores.presence.attendees("room:a").told == first
        assert stores.presence.tell("room:a", Told(1, True, -1), before=1) is True
        assert stores.presence.tell("room:a", Told(3), before=2) is False
        assert stores.presence.told("room:a") == Told(1, True, -1)
        assert stores.presence.attendees("room:a").members == {}


def test_who_attends_is_known_after_the_close_and_after_the_end(stores: Stores) -> None:
    item = connection("c", expires_at_s=NOW_S + 5)
    stores.connections.open(item)
    wants: dict[str, frozenset[Interest]] = {"room:a": frozenset({"presence"}), "room:b": frozenset({"state"})}
    stores.connections.subscribe(item, wants, expires_at_s=NOW_S + 5)
    assert stores.connections.attended("c") == {"room:a": "ann"}
    stores.connections.close("c")
    stores.clock.pass_s(5)
    assert stores.connections.attended("c") == {"room:a": "ann"}
    stores.connections.unsubscribe("c", ["room:a"])
    assert stores.connections.attended("c") == {}


def test_what_was_revoked_stays_so_and_never_less(stores: Stores) -> None:
    assert stores.revocations.revoked_at_ms("ann") is None
    for at_ms in (5_000, 7_000, 6_000):
        stores.revocations.revoke("ann", at_ms=at_ms)
    assert stores.revocations.revoked_at_ms("ann") == 7_000
    assert stores.revocations.revoked_at_ms("bob") is None


def test_read_markers_of_many_are_read_together(stores: Stores) -> None:
    users = [f"u{number}" for number in range(130)]
    for number, user_id in enumerate(users[:120], 1):
        stores.markers.advance("room:a", user_id, StreamPosition("e", number), expires_at_s=NOW_S + 60)
    stores.markers.advance("room:a", "u0", StreamPosition("f", 7), expires_at_s=NOW_S + 60)
    expected = {user_id: number for number, user_id in enumerate(users[:120], 1)}
    assert stores.markers.offsets("room:a", users, "e") == {u: n for u, n in expected.items() if u != "u0"}
    assert stores.markers.offsets("room:a", [], "e") == {}


def test_read_markers_go_forward_within_a_stream(stores: Stores) -> None:
    def advanced(epoch: str, offset: int) -> int:
        stores.markers.advance("room:a", "ann", StreamPosition(epoch, offset), expires_at_s=NOW_S + 60)
        return stores.markers.offset("room:a", "ann", epoch)

    assert stores.markers.offset("room:a", "ann", "e") == 0
    assert [advanced("e", 3), advanced("e", 2), advanced("e", 3), advanced("e", 7)] == [3, 3, 3, 7]
    assert [advanced("f", 1), advanced("f", 1)] == [1, 1]
    assert stores.markers.offset("room:a", "ann", "e") == 0
    assert stores.markers.offset("room:a", "bob", "f") == 0


def test_a_bucket_gives_what_it_has(stores: Stores) -> None:
    rate, now_ms = Rate(per_s=10, burst=5), NOW_S * 1000

    def take(key: str, tokens: int, at_ms: int) -> float:
        return stores.buckets.take(key, rate, tokens, now_ms=now_ms + at_ms)

    assert [take("a", 3, 0), take("a", 2, 0), take("b", 5, 0)] == [0, 0, 0]
    assert take("a", 1, 0) == pytest.approx(100)
    assert take("a", 2, 150) == pytest.approx(50)
    assert [take("a", 1, 150), take("a", 5, 5_000), take("a", 5, 90_000_000)] == [0, 0, 0]


PENDING = PendingCommand("k", "ann", "a", "s", 7, "bob", "b", NOW_S * 1000 + 1)
PENDING_COMMANDS = [
    PENDING,
    replace(PENDING, asker_session_id=None, peer_connection_id=None),
    replace(PENDING, request_id="7", asker_user_id="ünï", peer_user_id="\n"),
    replace(PENDING, request_id="", expires_at_ms=1),
]


@pytest.mark.parametrize("pending", PENDING_COMMANDS)
class TestPendingCommandStore:
    def test_a_command_comes_back_as_it_was_until_it_is_taken(self, stores: Stores, pending: PendingCommand) -> None:
        other = replace(pending, command_id="other")
        for command in (pending, other):
            stores.pending_commands.put(command)
        assert [stores.pending_commands.get("k") for _ in range(2)] == [pending, pending]
        assert stores.pending_commands.take("k") == pending
        assert stores.pending_commands.get("k") is None
        assert stores.pending_commands.take("k") is None
        assert stores.pending_commands.get("other") == other

    def test_a_command_can_be_put_back(self, stores: Stores, pending: PendingCommand) -> None:
        stores.pending_commands.put(pending)
        assert stores.pending_commands.take("k") == pending
        stores.pending_commands.put(pending)
        assert stores.pending_commands.take("k") == pending


def test_of_many_who_take_a_command_one_gets_it(stores: Stores) -> None:
    stores.pending_commands.put(PENDING)
    with ThreadPoolExecutor(8) as threads:
        taken = list(threads.map(lambda _: stores.pending_commands.take("k"), range(8)))
    assert [one for one in taken if one is not None] == [PENDING]


PRINCIPALS = [
    ANN,
    Principal("ünï\n", {}, server=True),
]


@pytest.mark.parametrize("principal", PRINCIPALS)
class TestTicketStore:
    def test_a_ticket_is_good_once(self, stores: Stores, principal: Principal) -> None:
        stores.tickets.issue("t", principal, expires_at_s=NOW_S + 30)
        assert stores.tickets.redeem("other", now_s=NOW_S) is None
        assert stores.tickets.redeem("t", now_s=NOW_S) == principal
        assert stores.tickets.redeem("t", now_s=NOW_S) is None

    def test_a_ticket_gets_too_old(self, stores: Stores, principal: Principal) -> None:
        stores.tickets.issue("t", principal, expires_at_s=NOW_S + 30)
        assert stores.tickets.redeem("t", now_s=NOW_S + 30) is None


def api_key(key_id: str, name: str = "billing ü") -> ApiKey:
    return ApiKey(key_id, name, {"*": ["publish"], "room:*": ["history", "admin"]}, NOW_S * 1000)


class TestApiKeyStore:
    def test_a_key_is_found_by_all_of_it(self, stores: Stores) -> None:
        stores.api_keys.add(api_key("id"), "secret", at_most=10)
        assert stores.api_keys.find("id.secret") == api_key("id")
        for other in ("id.secre", "id.", "id", "other.secret", "", ".", "id.secret.", "id .secret", "x" * 3_000):
            assert stores.api_keys.find(other) is None

    def test_one_that_was_removed_is_neither_found_nor_listed(self, stores: Stores) -> None:
        for key_id in ("a", "b"):
            stores.api_keys.add(api_key(key_id), "secret", at_most=10)
        assert stores.api_keys.remove("a")
        assert (stores.api_keys.find("a.secret"), stores.api_keys.find("b.secret")) == (None, api_key("b"))
        assert stores.api_keys.page("", limit=10) == [api_key("b")]
        for key_id in ("a", "c", "", "#", "META", "x" * 3_000):
            assert not stores.api_keys.remove(key_id)
        assert stores.api_keys.page("", limit=10) == [api_key("b")]

    def test_they_are_listed_by_id_page_by_page(self, stores: Stores) -> None:
        keys = [api_key(f"{number:02}", f"server {number}") for number in range(7)]
        for key in reversed(keys):
            stores.api_keys.add(key, "secret", at_most=10)
        assert stores.api_keys.page("", limit=3) == keys[:3]
        assert stores.api_keys.page("02", limit=3) == keys[3:6]
        assert stores.api_keys.page("05", limit=3) == keys[6:]
        assert stores.api_keys.page("025", limit=1) == keys[3:4]  # there is none of this id
        assert stores.api_keys.page("zz", limit=3) == []

    def test_there_are_only_so_many_and_one_for_each_that_is_removed(self, stores: Stores) -> None:
        added = [stores.api_keys.add(api_key(key_id), "secret", at_most=3) for key_id in "abcdd"]
        assert added == [True, True, True, False, False]
        assert stores.api_keys.find("d.secret") is None
        assert [key.key_id for key in stores.api_keys.page("", limit=10)] == ["a", "b", "c"]
        assert not stores.api_keys.remove("d")
        assert stores.api_keys.remove("a")
        assert [stores.api_keys.add(api_key(key_id), "secret", at_most=3) for key_id in "de"] == [True, False]


def test_tickets_and_keys_are_not_kept_in_clear() -> None:
    recorded: list[Any] = []

    class Client:
        def put_item(self, **request: Any) -> None:
            recorded.append(request)

        def transact_write_items(self, **request: Any) -> None:
            recorded.append(request)

    client: Any = Client()
    DynamoDbTicketStore(client, "t").issue("very-secret", Principal("ann"), expires_at_s=1)
    DynamoDbApiKeyStore(client, "t").add(api_key("id"), "very-secret", at_most=10)
    assert len(recorded) == 2
    assert "very-secret" not in str(recorded)
