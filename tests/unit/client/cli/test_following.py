"""What keeps a connection: ``sub`` and ``state watch``."""

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from typing import IO

from tests.unit.client.cli.conftest import Run
from tests.unit.client.cli.server import tidewire
from tests.unit.stack import MemoryStack

Start = Callable[..., subprocess.Popen[str]]


def line(stream: IO[str] | None) -> str:
    assert stream is not None
    return stream.readline().rstrip("\n")


def test_it_begins_with_what_was_and_goes_on_with_what_comes(served: MemoryStack, run: Run, start: Start) -> None:
    for text in ("one", "two", "three"):
        run("pub", "room:a", text)
    process = start("sub", "room:a", "--history", "2", "--count", "3")
    assert [line(process.stdout).split("\t")[-1] for _ in range(2)] == ['"two"', '"three"']
    run("pub", "room:a", "four", "--user", "bob")
    out, err = process.communicate(timeout=20)
    assert out.rstrip("\n").split("\t")[1:] == ["room:a", "bob", "message", '"four"']
    assert (process.returncode, err) == (0, "tidewire: connected by websocket\n")


def test_several_channels_and_names_are_told_apart(served: MemoryStack, run: Run, start: Start) -> None:
    process = start("sub", "room:a", "room:b", "--name", "said", "--json", "--count", "2", "--transport", "short_poll")
    assert line(process.stderr) == "tidewire: connected by short_poll"
    while not all(served.connections.subscribers(channel).connection_ids for channel in ("room:a", "room:b")):
        time.sleep(0.01)  # memory has no event for it
    run("pub", "room:a", "1", "--name", "moved")
    run("pub", "room:a", "2", "--name", "said")
    run("pub", "room:b", "3", "--name", "said")
    out, _ = process.communicate(timeout=20)
    events = [json.loads(text) for text in out.splitlines()]
    assert {(event["channel"], event["name"], event["data"]) for event in events} == {
        ("room:a", "said", 2),
        ("room:b", "said", 3),
    }


def test_a_document_is_shown_whenever_it_changes(served: MemoryStack, run: Run, start: Start) -> None:
    process = start("state", "watch", "room:a", "board")
    assert line(process.stdout) == "0\t"
    run("state", "set", "room:a", "board", '{"n": 1}')
    assert line(process.stdout) == '1\t{"n":1}'
    run("state", "delete", "room:a", "board")
    assert line(process.stdout) == "2\t"
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 130


def test_a_document_that_may_not_be_read_is_told(served: MemoryStack, run: Run) -> None:
    token = served.token("ann", {"room:a": ["subscribe"]})
    ended = run("state", "watch", "room:a", "board", "--token", token)
    assert (ended.code, ended.out, "forbidden" in ended.err) == (4, "", True)


def test_it_survives_a_server_that_is_gone_for_a_while(run: Run, start: Start) -> None:
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(("127.0.0.1", 0))
        address = sock.getsockname()
        with tidewire(sock=sock) as (url, stack):
            process = start("sub", "room:a", "--url", url, "--transport", "long_poll", "--json")
            assert line(process.stderr) == "tidewire: connected by long_poll"
            while not stack.connections.subscribers("room:a").connection_ids:
                time.sleep(0.01)
            run("pub", "room:a", "1", "--url", url)
            assert json.loads(line(process.stdout))["data"] == 1
    assert line(process.stderr).startswith("tidewire: reconnecting…")
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind(address)
        with tidewire(sock=sock, stack=stack):
            run("pub", "room:a", "2", "--url", url)
            assert json.loads(line(process.stdout))["data"] == 2
            assert line(process.stderr) == "tidewire: connected by long_poll"
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 130


def test_a_stream_that_starts_over_is_told(served: MemoryStack, run: Run, start: Start) -> None:
    run("pub", "room:a", "1")
    process = start("sub", "room:a", "--history", "1", "--json")
    assert json.loads(line(process.stdout))["data"] == 1
    assert line(process.stderr) == "tidewire: connected by websocket"
    run("purge", "--channel", "room:a", "--yes")
    assert line(process.stderr) == "tidewire: room:a started over: more was missed than is kept"
    run("pub", "room:a", "2")
    assert json.loads(line(process.stdout))["data"] == 2
