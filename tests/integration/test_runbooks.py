"""Every command of docs/runbooks is typed into a shell, as it stands there, while what the page is for is the case.

Every block is ``sh``; a comment above it says why one is not run: what it needs the emulator has not.
"""

import asyncio
import json
import re
import secrets
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import boto3
import pytest

from localstack.deploy import ROOT
from localstack.stack import LocalStack
from tests.docs import pages
from tests.integration.checks import eventually, next_second
from tests.integration.client import Client, dev_token
from tests.integration.command_line import forget_dead_letters
from tests.integration.conftest import Connect
from tests.integration.shell import Shell
from tests.integration.test_canary import sing
from tests.integration.test_dead_letters import bury, record
from tests.integration.test_deploy import share_set_up
from tests.integration.test_doctor import lane_without_worker, no_fan_out, throttled

_PAGES: Final = ROOT / "docs" / "runbooks"
_INDEX: Final = "README"
_MEASURED_S: Final = 60  # on a busy machine

pytestmark = pytest.mark.timeout(300)


def blocks(page: str) -> list[str]:
    """Return what is typed, block by block."""
    return [block.code for block in pages.blocks(f"docs/runbooks/{page}.md") if "not-run" not in block.marks]


@pytest.fixture(scope="module")
def shell(warm_stack: LocalStack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One in which the first page's commands have been typed, on a stack that is well."""
    forget_dead_letters(warm_stack)
    with Shell(tmp_path_factory.mktemp("shell"), ROOT) as shell:
        [first] = blocks(_INDEX)
        assert re.search(r"^ok\s+priority normal", shell.type(first), re.MULTILINE)
        yield shell


def type_all(shell: Shell, page: str) -> str:
    return "".join(shell.type(block) for block in blocks(page))


def test_every_block_is_typed_or_says_why_not() -> None:
    for page in _PAGES.glob("*.md"):
        for block in pages.blocks(f"docs/runbooks/{page.name}"):
            assert block.language == "sh" and block.marks.keys() <= {"not-run"}, block.where


@pytest.mark.parametrize("page", ["breaker", "budget", "extensions", "latency", "quotas", "recoveries"])
async def test_what_a_page_has_one_type_can_be_typed(page: str, shell: Shell) -> None:
    assert await asyncio.to_thread(type_all, shell, page)


async def test_what_is_measured_is_told(shell: Shell, connect: Connect, channel: str) -> None:
    begun = await next_second()
    ann = await connect("ann", subscribe=[{"channel": channel}])
    await ann.publish(channel, 1, priority="normal")
    await ann.wait_for_events(channel, 1)

    def told(command: str) -> list[list[str]]:
        rows = [line.split("\t") for line in shell.type(f"python -m tools.runbook {command}").splitlines()]
        return [row for row in rows[1:] if row[0] >= f"{begun:%m-%d %H:%M}"]

    await eventually(lambda: told("metric PublishToDeliverLatency p99 --minutes 5"), deadline_s=_MEASURED_S)
    await eventually(lambda: told("function ws_message --minutes 5"), deadline_s=_MEASURED_S)


async def test_a_lane_that_nobody_works_on(
    shell: Shell, warm_stack: LocalStack, connect: Connect, channel: str
) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    with lane_without_worker(warm_stack), throttled(warm_stack, "publish_worker"):
        await ann.publish(channel, "late")
        look, *_, do, over = blocks("age")
        said = await asyncio.to_thread(shell.type, look)
        assert re.search(r"^PublishNormalLane\t1\t0\t0\tpublish_worker, Disabled", said, re.MULTILINE)
        assert "publish_worker\t0\treserved" in await asyncio.to_thread(shell.type, blocks("age")[1])
        for block in blocks("age")[2:-2]:
            await asyncio.to_thread(shell.type, block)
        await asyncio.to_thread(shell.type, do)
        [event] = await ann.wait_for_events(channel, 1)
        assert event["data"] == "late"
        said = await asyncio.to_thread(shell.type, over)
        assert re.search(r"^PublishNormalLane\t0\t0\t0\tpublish_worker, Enabled", said, re.MULTILINE)


async def test_dead_letters(shell: Shell, warm_stack: LocalStack, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    bury(warm_stack, "normal", record(channel, "buried"))
    [deliveries] = [url for url in _queue_urls() if "DeliveriesDeadLetters" in url]
    boto3.client("sqs").send_message(QueueUrl=deliveries, MessageBody="{}")
    look, why, redrive, purge, over = blocks("dead-letters")
    said = await asyncio.to_thread(shell.type, look)
    assert re.search(r"^PublishNormalDeadLetters\t1\t", said, re.MULTILINE)
    assert re.search(r"^FanOutDeliveriesDeadLetters\t1\t", said, re.MULTILINE)
    for block in (why, redrive, purge):
        await asyncio.to_thread(shell.type, block)
    [event] = await ann.wait_for_events(channel, 1)
    assert event["message_id"] == "buried"
    said = await asyncio.to_thread(shell.type, over)
    assert set(re.findall(r"^\w+DeadLetters\t(\d+)\t", said, re.MULTILINE)) == {"0"}


async def next_minute() -> None:
    """Return in another minute than this: what is measured in one is told together."""
    this = datetime.now(UTC).minute
    await eventually(lambda: datetime.now(UTC).minute != this, deadline_s=61)


def _queue_urls() -> list[str]:
    urls: list[str] = boto3.client("sqs").list_queues()["QueueUrls"]
    return urls


async def test_a_function_that_fails(shell: Shell, warm_stack: LocalStack) -> None:
    mark = f"no_such_thing_{secrets.token_hex(4)}"
    name = warm_stack.function_names()["ws_message"]
    answer = boto3.client("lambda").invoke(FunctionName=name, Payload=json.dumps({mark: 1}).encode())
    assert "errorMessage" in json.loads(answer["Payload"].read())
    how_much, why, stopped, over = blocks("errors")
    said = await asyncio.to_thread(shell.type, how_much)
    assert re.search(r"^\d\d-\d\d \d\d:\d\d\t[1-9]\d*\t[1-9]\d*\t0\t", said, re.MULTILINE), said
    assert "KeyError: 'requestContext'" in await asyncio.to_thread(shell.type, why)
    said = await asyncio.to_thread(shell.type, stopped)
    assert ("event_publish runs no more\n" in said, "event_publish runs\n" in said) == (True, True)
    await asyncio.to_thread(shell.type, over)


async def test_a_function_that_was_stopped(shell: Shell, warm_stack: LocalStack, connect: Connect) -> None:
    ann = await connect("ann")
    with throttled(warm_stack, "ws_message"):
        look, table, start, over = blocks("throttles")
        assert "ws_message\t0\treserved" in await asyncio.to_thread(shell.type, look)
        await asyncio.to_thread(shell.type, table)
        assert "ws_message runs\n" in await asyncio.to_thread(shell.type, start)
        await ann.ask("history", channel="room:throttles")
        await asyncio.to_thread(shell.type, over)


async def test_clients_that_are_not_served(shell: Shell, warm_stack: LocalStack) -> None:
    failed, runs, step_by_step, now, over = blocks("canary")
    with no_fan_out(warm_stack):
        sing(warm_stack)
    said = await asyncio.to_thread(shell.type, failed)
    for way in ("websocket", "http"):
        assert re.search(rf'"step": ?"receive".+"way": ?"{way}"|"way": ?"{way}".+"step": ?"receive"', said), said
    assert re.search(r"^\d\d-\d\d \d\d:\d\d\t[1-9]", await asyncio.to_thread(shell.type, runs), re.MULTILINE)
    forget_dead_letters(warm_stack)
    assert "fault" not in await asyncio.to_thread(shell.type, step_by_step)
    await next_minute()
    assert "it ran" in await asyncio.to_thread(shell.type, now)
    await eventually(lambda: shell.type(over).splitlines()[-1].endswith("\t1"), deadline_s=_MEASURED_S)


def test_what_is_not_there_is_refused(shell: Shell) -> None:
    with pytest.raises(AssertionError, match=r"ws_mesage is no function of this stage; there are .*ws_message"):
        shell.type("python -m tools.runbook function ws_mesage")


@pytest.mark.timeout(900)
async def test_a_restore(tmp_path: Path) -> None:
    """On a stack of its own: it is deployed anew, and its functions are stopped."""
    clone, channel = tmp_path / "tidewire", f"room:{secrets.token_hex(6)}"
    await asyncio.to_thread(subprocess.run, ["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)
    share_set_up(clone)
    with ExitStack() as started:
        stack = await asyncio.to_thread(started.enter_context, LocalStack(tmp_path / "run"))
        shell = started.enter_context(Shell(tmp_path, clone, MOMENT="latest", EDGE_URL=stack.url))
        [first] = blocks(_INDEX)
        await asyncio.to_thread(shell.type, first)
        beside, stop, back, deploy, start, forget = blocks("restore")
        ann = await Client.open(stack.url)
        await ann.hello(dev_token(stack.url, "ann"))
        kept = (await ann.publish(channel, "kept", priority="express"))["position"]
        await asyncio.to_thread(shell.type, beside)
        await ann.publish(channel, "lost", priority="express")
        await ann.close()
        await asyncio.to_thread(shell.type, stop)
        assert "1 deleted" in await asyncio.to_thread(shell.type, back)
        stage = clone / "infra" / "stage.py"
        stage.write_text(stage.read_text().replace("generation: int = 1", "generation: int = 2"))
        said = await asyncio.to_thread(shell.type, deploy)
        assert re.search(r"\d+ faulty", said), said  # so it came as far as doctor
        await asyncio.to_thread(shell.type, start)
        bob = await Client.open(stack.url)
        await bob.hello(dev_token(stack.url, "bob"))
        answer = await bob.ask("subscribe", channel=channel, since=kept)
        assert (answer["recovered"], answer["position"]["epoch"][:2]) == (False, "2-")
        page = await bob.ask("history", channel=channel)
        assert [publication["data"] for publication in page["publications"]] == ["kept"]
        await bob.close()
        assert "is deleted" in await asyncio.to_thread(shell.type, forget)
