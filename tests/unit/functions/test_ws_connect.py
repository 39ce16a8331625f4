"""Route ``$connect``: who may come in."""

from dataclasses import replace
from typing import Any

import pytest

from functions.ws_connect.handler import lambda_handler
from shared.bootstrap import Services
from shared.domain.stage_limits import DEFAULT_LIMITS
from tests.unit.functions.conftest import Context
from tests.unit.stack import MemoryStack


def connect(
    origin: str | None = None, ticket: str | None = None, *, header: str = "Origin", address: str = "192.0.2.1"
) -> int:
    context = {"connectionId": "c1", "identity": {"sourceIp": address}}
    event: dict[str, Any] = {"requestContext": context, "headers": {"Host": "example.org"}}
    if origin is not None:
        event["headers"][header] = origin
    if ticket is not None:
        event["queryStringParameters"] = {"ticket": ticket}
    answer = lambda_handler(event, Context())
    assert answer.keys() == {"statusCode"}
    return int(answer["statusCode"])


def ticket_of(stack: MemoryStack) -> str:
    return stack.sessions.issue_ticket(stack.tokens.verify(stack.token("ann")))


@pytest.mark.usefixtures("services")
def test_who_has_no_ticket_comes_in_with_a_deadline(stack: MemoryStack) -> None:
    assert connect() == 200
    assert stack.deadlines_queue.sent == [("c1", 10)]
    found = stack.connections.get("c1")
    assert found is not None
    assert found.principal is None


@pytest.mark.usefixtures("services")
def test_who_speaks_protobuf_of_centrifugos_is_refused(stack: MemoryStack) -> None:
    event = {
        "requestContext": {"connectionId": "c1", "identity": {"sourceIp": "192.0.2.1"}},
        "headers": {"Sec-WebSocket-Protocol": "centrifuge-protobuf"},
    }
    assert lambda_handler(event, Context()) == {"statusCode": 400}
    assert stack.connections.get("c1") is None


@pytest.mark.usefixtures("services")
def test_a_ticket_says_who_it_is_and_is_used_up(stack: MemoryStack) -> None:
    ticket = ticket_of(stack)
    assert connect(ticket=ticket) == 200
    found = stack.connections.get("c1")
    assert found is not None
    assert found.principal is not None
    assert found.principal.user_id == "ann"
    assert stack.deadlines_queue.sent == []
    assert stack.deadlines_queue.arrived == [("c1", 10)]
    assert connect(ticket=ticket) == 401


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("ticket", ["", "made up", "é", "x" * 5_000])
def test_a_bad_ticket_is_401_and_leaves_nothing(stack: MemoryStack, ticket: str) -> None:
    assert connect(ticket=ticket) == 401
    assert stack.connections.connections == {}


@pytest.mark.usefixtures("services")
def test_a_ticket_that_is_too_old_is_401(stack: MemoryStack) -> None:
    ticket = ticket_of(stack)
    stack.clock.pass_s(31)
    assert connect(ticket=ticket) == 401


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize("header", ["Origin", "origin", "ORIGIN"])
@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("https://chat.example.org", 200),
        ("https://example.org", 200),
        ("http://example.org", 403),
        ("https://example.org:8443", 403),
        ("https://example.org.evil.org", 403),
        ("https://evil-example.org", 403),
        ("https://example.org@evil.org", 403),
        ("https://example.org/", 403),
        ("https://example.org:443", 403),  # no browser writes it
        ("https://EXAMPLE.ORG", 403),  # nor this
        ("HTTPS://example.org", 403),
        (" https://example.org", 403),
        ("https://example.org\n", 403),
        ("https://ex\u0430mple.org", 403),  # Cyrillic
        ("https://example.org.", 403),
        ("https://evil.org/https://example.org", 403),
        ("https://example.org,https://chat.example.org", 403),
        ("null", 403),
        ("", 403),
        ("*", 403),
    ],
)
def test_only_known_origins_come_in(origin: str, status: int, header: str) -> None:
    assert connect(origin, header=header) == status


@pytest.mark.usefixtures("services")
def test_a_refused_origin_costs_its_visitor_no_ticket(stack: MemoryStack) -> None:
    ticket = ticket_of(stack)
    assert connect("https://evil.org", ticket) == 403
    assert connect("https://example.org", ticket) == 200


def test_a_star_lets_every_origin_in(services: Services, stack: MemoryStack) -> None:
    object.__setattr__(services.settings, "allowed_origins", frozenset({"*"}))
    assert connect("https://anywhere.example") == 200
    assert stack.connections.get("c1") is not None


@pytest.mark.usefixtures("services")
def test_events_without_headers_and_query_come_from_no_browser() -> None:
    event = {"requestContext": {"connectionId": "c1"}, "headers": None, "queryStringParameters": None}
    assert lambda_handler(event, Context()) == {"statusCode": 200}


@pytest.mark.usefixtures("services")
@pytest.mark.parametrize(
    ("origins", "status"),
    [
        (["https://example.org"], 200),
        (["https://example.org", "https://evil.org"], 403),
        (["https://evil.org", "https://example.org"], 403),
        (["https://example.org", "https://chat.example.org"], 200),
        ([], 200),
    ],
)
def test_of_several_origins_each_has_to_be_good(origins: list[str], status: int) -> None:
    event = {
        "requestContext": {"connectionId": "c1"},
        "headers": {"Origin": origins[-1]} if origins else {},
        "multiValueHeaders": {"Origin": origins} if origins else {"Host": ["example.org"]},
    }
    assert lambda_handler(event, Context()) == {"statusCode": status}


class TestLimits:
    @pytest.fixture(autouse=True)
    def small(self, services: Services, stack: MemoryStack) -> None:
        stage = replace(DEFAULT_LIMITS, connect_rate_per_s=1, connect_burst=20, address_pending=10, pending=40)
        services.limits = replace(stack.limits, stage=stage)

    def test_an_address_has_so_many_that_nobody_knows(self, stack: MemoryStack) -> None:
        assert [connect() for _ in range(12)] == [200] * 11 + [429]
        assert connect(address="192.0.2.2") == 200
        assert len(stack.deadlines_queue.sent) == 12, "of one that is refused nothing is written"

    def test_who_has_a_ticket_is_known(self, stack: MemoryStack) -> None:
        assert [connect() for _ in range(12)][-1] == 429
        assert connect(ticket=ticket_of(stack)) == 200

    def test_an_address_has_so_many_in_all(self, stack: MemoryStack) -> None:
        assert [connect(ticket=ticket_of(stack)) for _ in range(23)] == [200] * 22 + [429]

    def test_who_is_refused_keeps_the_ticket(self, stack: MemoryStack) -> None:
        ticket = ticket_of(stack)
        for _ in range(23):
            connect(ticket="x")
        assert connect(ticket=ticket) == 429
        stack.clock.pass_s(10)
        assert connect(ticket=ticket) == 200

    def test_guesses_of_tickets_are_counted_and_then_not_even_looked_up(
        self, services: Services, stack: MemoryStack
    ) -> None:
        stage = replace(DEFAULT_LIMITS, failure_rate_per_s=1, failure_burst=10)
        services.limits = replace(stack.limits, stage=stage)
        assert [connect(ticket="x") for _ in range(12)] == [401] * 11 + [429]
        ticket = ticket_of(stack)
        assert connect(ticket=ticket) == 429
        assert connect(ticket=ticket, address="192.0.2.2") == 200

    def test_a_network_of_ipv6_is_one_address(self) -> None:
        assert [connect(address=f"2001:db8::{number}") for number in range(1, 13)] == [200] * 11 + [429]

    def test_all_addresses_together_have_so_many_that_nobody_knows(self) -> None:
        answers = [connect(address=f"192.0.2.{number}") for number in range(60)]
        assert answers == [200] * 44 + [429] * 16
