"""The command line against the deployed local stack: what one command does, another sees."""

import json
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from localstack.stack import LocalStack
from tests.integration.command_line import TIMEOUT_S, command, environment, lines, run

Tidewire = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def tidewire(warm_stack: LocalStack, tmp_path: Path) -> Tidewire:
    """Runs a command against the stack."""
    return lambda *arguments, stdin="": run(tmp_path, *arguments, "--url", warm_stack.url, stdin=stdin)


def following(stack: LocalStack, folder: Path, *arguments: str) -> "subprocess.Popen[str]":
    """Start a command that goes on."""
    return subprocess.Popen(
        command(*arguments, "--url", stack.url),
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(said: str, process: "subprocess.Popen[str]") -> None:
    """Return when the command has said so."""
    assert process.stderr is not None
    for line in process.stderr:
        if said in line:
            return
    raise AssertionError(f"it never said {said}")


def heard(process: "subprocess.Popen[str]", count: int) -> list[Any]:
    """Return what the next lines are as JSON."""
    assert process.stdout is not None
    return [json.loads(process.stdout.readline()) for _ in range(count)]


def test_what_is_published_is_heard_and_ctrl_c_ends_it(
    warm_stack: LocalStack, tmp_path: Path, tidewire: Tidewire, channel: str
) -> None:
    assert tidewire("pub", channel, '{"text": "before"}', "--user", "ann").returncode == 0
    with following(warm_stack, tmp_path, "sub", channel, "--json", "--history", "5", "--user", "bob") as sub:
        wait_for("connected", sub)
        assert [event["data"] for event in heard(sub, 1)] == [{"text": "before"}]
        assert (
            tidewire("pub", channel, "-", "--name", "said", "--user", "ann", stdin='1\n"two"\nthree\n').returncode == 0
        )
        events = heard(sub, 3)
        sub.send_signal(signal.SIGINT)
        _, errors = sub.communicate(timeout=TIMEOUT_S)
    assert [(event["name"], event["data"], event["sender"]["user_id"]) for event in events] == [
        ("said", 1, "ann"),
        ("said", "two", "ann"),
        ("said", "three", "ann"),
    ]
    assert sub.returncode == 130
    assert "Traceback" not in errors
    kept = lines(tidewire("history", channel, "--json"))
    assert [event["data"] for event in kept] == [{"text": "before"}, 1, "two", "three"]


def test_a_document_is_written_protected_watched_and_deleted(
    warm_stack: LocalStack, tmp_path: Path, tidewire: Tidewire, channel: str
) -> None:
    assert lines(tidewire("state", "set", channel, "board", '{"title": "Plans"}', "--json"))[0]["version"] == 1
    with following(warm_stack, tmp_path, "state", "watch", channel, "board", "--json") as watch:
        assert heard(watch, 1)[0]["value"] == {"title": "Plans"}
        assert tidewire("state", "patch", channel, "board", '{"open": true}').returncode == 0
        assert heard(watch, 1)[0]["value"] == {"title": "Plans", "open": True}
        watch.terminate()
        watch.communicate(timeout=TIMEOUT_S)
    refused = tidewire("state", "set", channel, "board", "1", "--if-version", "0")
    assert (refused.returncode, refused.stderr.count("\n")) == (1, 1)
    assert tidewire("state", "delete", channel, "board").returncode == 0
    assert tidewire("state", "get", channel, "board").returncode == 1


def test_a_key_is_made_used_listed_and_revoked(tidewire: Tidewire, channel: str) -> None:
    [made] = lines(tidewire("keys", "create", "billing", "--allow", "room:*=publish", "--json"))
    published = lines(tidewire("pub", channel, "1", "--api-key", made["key"], "--json"))
    assert published[0]["message_id"]
    refused = tidewire("history", channel, "--api-key", made["key"])
    assert refused.returncode == 4  # not allowed
    assert made["key_id"] in [key["key_id"] for key in lines(tidewire("keys", "list", "--json"))]
    assert tidewire("keys", "revoke", made["key_id"]).returncode == 0
    assert tidewire("pub", channel, "1", "--api-key", made["key"]).returncode == 4


def test_a_channel_is_purged(tidewire: Tidewire, channel: str) -> None:
    assert tidewire("pub", channel, "1", "--priority", "express").returncode == 0
    assert tidewire("purge", "--channel", channel).returncode == 2  # nobody is there to be asked
    assert tidewire("purge", "--channel", channel, "--yes").returncode == 0
    assert lines(tidewire("history", channel, "--json")) == []


def test_bench_measures_that_everything_arrives(tidewire: Tidewire) -> None:
    [figures] = lines(tidewire("bench", "--subscribers", "3", "--rate", "10", "--duration", "2s", "--json"))
    assert (figures["published"], figures["delivered"], figures["lost"], figures["duplicates"]) == (20, 60, 0, 0)
    assert 0 < figures["latency_ms"]["p50"] <= figures["latency_ms"]["max"]
