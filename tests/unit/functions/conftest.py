"""The handlers' services over the memory adapters: whatever would call AWS is set, all else is wired as in Lambda."""

import asyncio
import importlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from shared import bootstrap
from shared.adapters import telemetry
from shared.adapters.memory import (
    MemoryApiKeyStore,
    MemoryDeadLetterQueues,
    MemoryHeldStreams,
    MemoryMetricSource,
    fixed_secret,
)
from shared.bootstrap import Services
from shared.domain.api_key import ApiKey
from shared.settings import Settings
from tests.unit.stack import SECRET, MemoryStack

ENVIRONMENT = {
    "TIDEWIRE_STAGE": "local",
    "ALLOWED_ORIGINS": "https://chat.example.org,https://example.org",
    "WEBSOCKET_URL": "wss://example.org/v1/ws",
    "HTTP_URL": "https://example.org",
    "LANE_NORMAL_URL": "https://sqs.us-east-1.amazonaws.com/000000000000/normal",
}


def over_memory(services: Services, stack: MemoryStack) -> Services:
    """Let the services work on the stack's stores, queues and connections."""
    services.connections = stack.connections
    services.api_keys = MemoryApiKeyStore()
    services.dead_letter_queues = MemoryDeadLetterQueues()
    services.connection_list = stack.connection_list
    services.metric_source = MemoryMetricSource()
    services.tokens = stack.tokens
    services.token_secret = fixed_secret(SECRET)
    services.revocations = stack.revocations
    services.revocation = stack.revocation
    services.transport = stack.sinks
    services.mailbox_store = stack.mailbox_store
    services.mailboxes = stack.mailboxes
    services.held_streams = MemoryHeldStreams()
    services.signer = stack.signer
    services.http_sessions = stack.http_sessions
    services.session_end = stack.session_end
    services.channel_tail = stack.channel_tail
    services.mailbox_reader = stack.mailbox_reader
    services.bus = stack.bus
    services.streams = stack.streams
    services.fan_out = replace(stack.fan_out, on_failure=telemetry.channel_failure)
    services.telling = stack.telling
    services.publishing = stack.publishing
    services.sessions = stack.sessions
    services.limits = stack.limits
    services.document_reader = stack.document_reader
    services.documents = stack.documents
    services.attendance = stack.attendance
    services.presence = stack.presence
    services.presence_watch = replace(stack.presence_watch, on_failure=telemetry.channel_failure)
    services.reading = stack.reading
    services.document_reader = stack.document_reader
    services.documents = stack.documents
    services.deadline_queue = stack.deadlines_queue
    services.pending_commands = stack.pending_commands
    services.receipts = stack.receipts
    services.publish_worker = replace(stack.worker, on_failure=telemetry.channel_failure)
    return services


def services_of(stack: MemoryStack, **environment: str) -> Services:
    """Return services for an app of their own."""
    return over_memory(Services(Settings.from_env(ENVIRONMENT | environment)), stack)


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack()


@pytest.fixture
def services(stack: MemoryStack, monkeypatch: pytest.MonkeyPatch) -> Iterator[Services]:
    """What ``bootstrap.services()`` returns to handlers."""
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    bootstrap.services.cache_clear()
    yield over_memory(bootstrap.services(), stack)
    bootstrap.services.cache_clear()


def lane_event(record_id: str, body: str, *, count: int = 1) -> dict[str, Any]:
    """Return a record of the lane ``normal`` as Lambda is handed it."""
    return {
        "messageId": record_id,
        "receiptHandle": f"handle-{record_id}",
        "body": body,
        "attributes": {
            "ApproximateReceiveCount": str(count),
            "MessageGroupId": "group",
            "MessageDeduplicationId": record_id,
        },
        "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:normal",
    }


def add_key(services: Services, key: str, caps: Mapping[str, Sequence[str]]) -> None:
    """Have a server's key; it is named as its id is."""
    key_id, _, secret = key.partition(".")
    services.api_keys.add(ApiKey(key_id, key_id, caps, 1_800_000_000_000), secret, at_most=10)


class Context:
    """Lambda's."""

    aws_request_id = "request-1"

    def __init__(self, remaining_ms: int = 5_000) -> None:
        self._remaining_ms = remaining_ms

    def get_remaining_time_in_millis(self) -> int:
        return self._remaining_ms


@pytest.fixture
def context() -> Any:
    return Context()


@pytest.fixture
def http_function(services: Services) -> Iterator[Callable[[Any], Any]]:
    """The HTTP function, made anew over these services.

    In a thread of its own, since Mangum takes its thread's event loop, or makes one and leaves it open.
    """
    assert services is bootstrap.services()
    name = "functions.http_api.handler"
    with ThreadPoolExecutor(1) as thread:
        sys.modules.pop(name, None)
        handler = thread.submit(importlib.import_module, name).result().lambda_handler
        yield lambda event: thread.submit(handler, event, Context()).result()
        thread.submit(lambda: asyncio.get_event_loop().close()).result()
        sys.modules.pop(name)  # made over services that end here
