"""Publishing as processes do it: on a network whose connections grow stale, forked, and to the very end."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tidewire.publisher import Publisher

WAIT_S = 20


class Handler(BaseHTTPRequestHandler):
    """Takes all publications; ends the connection where the server is told to."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.taken(sent)
        if self.server.cuts_before_answer:
            self.server.cuts_before_answer -= 1
            self.close_connection = True
            return
        results = [{"channel": "c", "message_id": one["message_id"], "status": "accepted"} for one in sent]
        body = json.dumps({"results": results}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = self.server.cuts_after_answer

    def log_message(self, *_args: Any) -> None:
        pass


class Server(ThreadingHTTPServer):
    """Notes what it is sent."""

    cuts_before_answer = 0
    cuts_after_answer = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.sent: list[dict[str, Any]] = []
        self._changed = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def taken(self, sent: list[dict[str, Any]]) -> None:
        with self._changed:
            self.sent += sent

    def handle_error(self, *_args: Any) -> None:
        pass  # who has gone waits for no answer


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def run(script: str, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, *args],
        capture_output=True,
        text=True,
        timeout=WAIT_S,
        check=False,
    )


def test_a_connection_that_has_grown_stale_is_only_a_retry(server: Server) -> None:
    with Publisher(server.url) as publisher:
        publisher.publish("c", "n", 0).result(WAIT_S)
        server.cuts_before_answer = 1
        publisher.publish("c", "n", 1).result(WAIT_S)
        server.cuts_after_answer = True
        for number in range(2, 5):
            publisher.publish("c", "n", number).result(WAIT_S)
    assert list(dict.fromkeys(one["data"] for one in server.sent)) == [0, 1, 2, 3, 4]
    again = [one for one in server.sent if one["data"] == 1]
    assert [one.get("retry") for one in again] == [None, True]
    assert len({one["message_id"] for one in again}) == 1


PUBLISH = """
import sys
from tidewire.publisher import Publisher

publisher = Publisher(sys.argv[1])
for number in range(300):
    publisher.publish("c", "n", number)
"""


@pytest.mark.parametrize("end", ["", "raise SystemExit(0)", "1 / 0"])
def test_a_process_that_just_ends_has_sent_it_all(server: Server, end: str) -> None:
    ended = run(PUBLISH + end, server.url)
    assert ("ZeroDivisionError" in ended.stderr) == (end == "1 / 0")
    assert [one["data"] for one in server.sent] == list(range(300))


def test_what_could_not_be_sent_by_then_is_told(server: Server) -> None:
    server.cuts_before_answer = 1_000_000
    ended = run("import tidewire.publisher\ntidewire.publisher.EXIT_S = 0.3\n" + PUBLISH, server.url)
    assert ended.returncode == 0
    assert ended.stderr.startswith(f"as the process ends, 300 publications are not settled after 0.3 s: {server.url}")


FORK = """
import os, sys
from tidewire.publisher import Publisher

publisher = Publisher(sys.argv[1])
publisher.publish("c", "n", "before").result(10)
child = os.fork()
publisher.publish("c", "n", "child" if child == 0 else "parent").result(10)
if child == 0:
    publisher.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
publisher.publish("c", "n", "after")
"""


def test_a_forked_process_publishes_as_well_and_its_parent_goes_on(server: Server) -> None:
    ended = run(FORK, server.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert sorted(one["data"] for one in server.sent) == ["after", "before", "child", "parent"]


FORK_WAITING = """
import os, sys
from tidewire.publisher import Publisher

publisher = Publisher(sys.argv[1])
for number in range(1000):
    publisher.publish("c", "n", number)
child = os.fork()
if child == 0:
    publisher.flush(0)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""


def test_what_waits_when_a_process_forks_is_sent_once(server: Server) -> None:
    ended = run(FORK_WAITING, server.url)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [one["data"] for one in server.sent] == list(range(1000))


LAMBDA = """
import os, signal, sys
from tidewire.publisher import Publisher

publisher = Publisher(sys.argv[1])

def handler(number):
    for one in range(3):
        publisher.publish("c", "n", [number, one])
    publisher.flush(10)

handler(0)
os.kill(os.getpid(), signal.SIGSTOP)
handler(1)
os._exit(0)
"""


def test_a_function_that_is_frozen_between_its_calls_goes_on_publishing(server: Server) -> None:
    server.cuts_after_answer = True
    with subprocess.Popen([sys.executable, "-c", LAMBDA, server.url]) as process:
        _, status = os.waitpid(process.pid, os.WUNTRACED)
        assert os.WIFSTOPPED(status)
        assert [one["data"] for one in server.sent] == [[0, 0], [0, 1], [0, 2]]
        process.send_signal(signal.SIGCONT)
        assert process.wait(WAIT_S) == 0
    published = {one["message_id"]: one["data"] for one in server.sent}
    assert list(published.values()) == [[0, 0], [0, 1], [0, 2], [1, 0], [1, 1], [1, 2]]
