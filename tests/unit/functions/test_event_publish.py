"""The event queue's handler: what it hands on, and what it hands back."""

from collections.abc import Iterator
from typing import Any

import pytest

from functions.event_publish.handler import lambda_handler
from shared import bootstrap
from shared.errors import UnavailableError


class Taking:
    """Stands for the service; raises what a body is."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, bool, bool]] = []

    def take(self, body: str, *, repeat: bool, last: bool) -> None:
        self.taken.append((body, repeat, last))
        if body == "later":
            raise UnavailableError
        if body == "bug":
            raise KeyError(body)


@pytest.fixture
def taking() -> Iterator[Taking]:
    bootstrap.services.cache_clear()
    services = bootstrap.services()
    services.__dict__["event_publishing"] = taking = Taking()
    yield taking
    bootstrap.services.cache_clear()


def record(message_id: str, body: str, tries: int = 1) -> dict[str, Any]:
    return {"messageId": message_id, "body": body, "attributes": {"ApproximateReceiveCount": str(tries)}}


def test_each_event_is_taken_and_what_may_succeed_later_is_handed_back(taking: Taking) -> None:
    records = [record("1", "good"), record("2", "later"), record("3", "bug"), record("4", "good", tries=2)]
    records.append(record("5", "good", tries=5))
    answer = lambda_handler({"Records": records}, None)
    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}, {"itemIdentifier": "3"}]}
    assert taking.taken == [
        ("good", False, False),
        ("later", False, False),
        ("bug", False, False),
        ("good", True, False),
        ("good", True, True),
    ]
