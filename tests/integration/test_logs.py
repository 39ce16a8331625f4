"""What nobody may read in a log, at any level: data, tokens, tickets, keys."""

import json
import logging
import secrets
import time
from functools import partial
from pathlib import Path

import boto3
import httpx
import pytest
from websockets.exceptions import InvalidStatus

from localstack.stack import LocalStack
from tests.integration.checks import eventually
from tests.integration.client import Client, dev_token
from tests.integration.conftest import Connect

TEST_THREAD = "MainThread"  # the edge and what it calls run in others


class CloudWatchLogs:
    """What the functions have logged since this was made."""

    def __init__(self) -> None:
        self._client = boto3.client("logs")
        self._since_ms = time.time_ns() // 1_000_000

    def groups(self) -> list[str]:
        pages = self._client.get_paginator("describe_log_groups").paginate()
        return [group["logGroupName"] for page in pages for group in page["logGroups"]]

    def lines(self, group: str) -> list[str]:
        pages = self._client.get_paginator("filter_log_events").paginate(logGroupName=group, startTime=self._since_ms)
        return [event["message"] for page in pages for event in page["events"]]


async def send_everything(
    stack: LocalStack, connect: Connect, everywhere: httpx.Client, api_key: str, channel: str, secret: str
) -> list[str]:
    """Send ``secret`` wherever something can be said; return what else must not be told."""
    token = dev_token(stack.url, "ann")
    bearer = {"Authorization": f"Bearer {token}"}
    ticket = everywhere.post("/v1/tickets", headers=bearer).raise_for_status().json()["ticket"]
    ann = await connect(None, ticket=ticket)
    with pytest.raises(InvalidStatus):
        await Client.open(stack.url, ticket=ticket)
    await ann.hello(token, subscribe=[{"channel": channel}])
    for fields in ({}, {"priority": "express"}, {"priority": "high"}, {"ephemeral": True}):
        await ann.publish(channel, {"secret": secret}, message_id=f"m{len(ann.frames)}", **fields)
    for headers in (bearer, {"X-API-Key": api_key}):
        body = {"channel": channel, "name": "said", "data": secret}
        everywhere.post("/v1/publish", json=body, headers=headers).raise_for_status()

    for text in (
        secret,
        json.dumps({"type": secret, "id": 1}),
        json.dumps({"type": "publish", "id": 1, "channel": secret, "name": [secret], "data": secret}),
        json.dumps({"type": "publish", "id": 1, "channel": channel, "name": "said", "data": secret * 1_050}),
        json.dumps({"type": "hello", "id": 1, "protocol": 1, "token": secret}),
        json.dumps({"type": "hello", "id": 1, "protocol": 1, "token": f"{token}{secret}"}),
        json.dumps({"type": "hello", "id": 1, "protocol": 1, "session_id": secret}),
    ):
        assert "error" in await ann.answer(text)
    for content, headers in ((secret, bearer), (json.dumps({"name": [secret]}), bearer), ("{}", {"X-API-Key": secret})):
        assert everywhere.post("/v1/publish", content=content, headers=headers).is_client_error
    assert everywhere.get("/v1/config", headers={"Authorization": f"Bearer {secret}"}).is_success
    with pytest.raises(InvalidStatus):
        await Client.open(stack.url, ticket=secret)
    await ann.wait_for_events(channel, 5)
    return [token, ticket, api_key]


async def test_no_line_holds_what_was_sent_or_who_sent_it(
    stack: LocalStack,
    connect: Connect,
    everywhere: httpx.Client,
    api_key: str,
    channel: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    cloudwatch = CloudWatchLogs()
    emulator_bytes = stack.emulator.log.stat().st_size
    secret = secrets.token_hex(12)
    told = [secret, *await send_everything(stack, connect, everywhere, api_key, channel, secret)]
    own = [f"{record.name}: {record.getMessage()}" for record in caplog.records if record.threadName != TEST_THREAD]
    caplog.clear()

    busy = ("WsConnect", "WsMessage", "PublishWorker", "FanOut")
    groups = {name: next(group for group in cloudwatch.groups() if name in group) for name in busy}
    for group in groups.values():
        await eventually(partial(cloudwatch.lines, group))
    lines = {
        "the edge": own,
        "the emulator": read_from(stack.emulator.log, emulator_bytes).splitlines(),
        **{group: cloudwatch.lines(group) for group in cloudwatch.groups()},
    }
    assert lines["the edge"]
    assert lines["the emulator"]
    telling = [(where, line) for where, all_ in lines.items() for line in all_ if any(word in line for word in told)]
    assert telling == []


def read_from(path: Path, start: int) -> str:
    with path.open("rb") as file:
        file.seek(start)
        return file.read().decode(errors="replace")
