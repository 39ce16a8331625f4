"""How commands end: the exit code that fits, one line on standard error, and never a traceback."""

import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable

import pytest

from tests.unit.client.cli.conftest import ROOT, Little, Run
from tests.unit.client.cli.server import CONFIG, NOT_FOUND, Answer, problem, tidewire
from tests.unit.stack import MemoryStack
from tidewire.cli.exit_codes import ExitCode, epilog

Start = Callable[..., subprocess.Popen[str]]
HISTORY = "/v1/channels/room:a/history"
# Every way to the network that commands have.
REACHING = [
    ["pub", "room:a", "1"],
    ["history", "room:a"],
    ["presence", "room:a"],
    ["state", "get", "room:a"],
    ["state", "watch", "room:a", "k"],
    ["sub", "room:a"],
    ["keys", "list"],
    ["redrive"],
    ["purge", "--channel", "room:a", "--yes"],
    ["bench"],
    ["token"],
]


def one_line(text: str) -> str:
    [line] = text.splitlines()
    assert line.startswith("tidewire: ")
    return line


def quoted(path: str) -> str:
    return path.replace(":", "%3A")


@pytest.mark.parametrize("command", REACHING, ids=" ".join)
def test_3_when_nothing_answers(run: Run, command: list[str]) -> None:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{sock.getsockname()[1]}"
        ended = run(*command, "--url", url)
    assert (ended.code, ended.out) == (3, "")
    assert url in one_line(ended.err)


@pytest.mark.parametrize("status", [200, 404])
@pytest.mark.parametrize("command", REACHING, ids=" ".join)
def test_5_when_something_else_answers(run: Run, little: Little, command: list[str], status: int) -> None:
    little.otherwise = Answer("<html><p>It works!</p></html>", status, {"Content-Type": "text/html"})
    ended = run(*command)
    assert (ended.code, ended.out) == (5, "")
    assert "not as Tidewire does" in one_line(ended.err)


def test_3_when_a_proxy_answers_for_what_is_down(run: Run, little: Little) -> None:
    little.otherwise = Answer("<html>Bad Gateway</html>", 502)
    assert run("history", "room:a").code == 3


@pytest.mark.parametrize("command", [["sub", "room:a", "--transport", "short_poll"]], ids=" ".join)
def test_5_when_it_speaks_another_version(run: Run, little: Little, command: list[str]) -> None:
    origin = {"http_url": "", "stream_url": "", "websocket_url": "ws://127.0.0.1:1"}

    def config(_asked: object) -> Answer:
        return Answer({**CONFIG, **origin, "http_url": os.environ["TIDEWIRE_URL"]})

    little.answers[("GET", "/v1/config")] = config
    little.answers[("POST", "/v1/sessions")] = problem(
        1012, "unsupported_protocol", 400, "protocol 1 is not spoken here", details={"supported": [2]}
    )
    ended = run(*command)
    assert ended.code == 5
    assert one_line(ended.err) == "tidewire: protocol 1 is not spoken here (unsupported_protocol)"


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (problem(1004, "unauthenticated", 401, "the token has expired"), 4),
        (problem(1005, "forbidden", 403, "it may not be read"), 4),
        (problem(1002, "invalid_field", 422, "channel: a channel is namespace:name"), 1),
        (problem(2004, "rate_limited", 429, "too many", retry_after_ms=2000), 1),
    ],
    ids=["unauthenticated", "forbidden", "invalid_field", "rate_limited"],
)
def test_the_servers_error_is_shown(run: Run, little: Little, answer: Answer, code: int) -> None:
    little.answers[("GET", quoted(HISTORY))] = answer
    ended = run("history", "room:a")
    assert (ended.code, ended.out) == (code, "")
    assert str(answer.body["message"]) in one_line(ended.err)
    assert ("again in 2 s" in ended.err) == (answer.body["name"] == "rate_limited")


def test_an_error_cannot_write_what_the_terminal_obeys(run: Run, little: Little) -> None:
    little.answers[("GET", quoted(HISTORY))] = problem(1005, "forbidden", 403, "no\x1b[2J\nway")
    assert one_line(run("history", "room:a").err) == "tidewire: no\\u001b[2J\\nway (forbidden)"


@pytest.mark.parametrize(
    "answer",
    [
        {"publications": "none", "position": None, "more": False},
        {"publications": [{"name": "said"}], "position": {"epoch": "e", "offset": 1}, "more": False},
        {"publications": []},
        [],
        7,
    ],
)
def test_5_when_the_answer_makes_no_sense(run: Run, little: Little, answer: object) -> None:
    little.answers[("GET", quoted(HISTORY))] = Answer(answer)
    ended = run("history", "room:a")
    assert ended.code == 5
    one_line(ended.err)


def test_4_when_no_credential_is_given_where_one_is_needed(run: Run) -> None:
    with tidewire("prod") as (url, _):
        ended = run("history", "room:a", "--url", url)
    assert (ended.code, "asks who you are" in one_line(ended.err)) == (4, True)


def test_4_when_the_token_is_not_good(served: MemoryStack, run: Run) -> None:
    for command in (["history", "room:a"], ["sub", "room:a"]):
        ended = run(*command, "--token", "a.b.c")
        assert (ended.code, "unauthenticated" in ended.err) == (4, True)


def test_4_when_the_channel_may_not_be_subscribed_to(served: MemoryStack, run: Run) -> None:
    ended = run("sub", "room:a", "--token", served.token("ann", {"room:b": ["subscribe"]}))
    assert (ended.code, "forbidden" in ended.err) == (4, True)


@pytest.mark.parametrize(
    "command",
    [
        ["nothing"],
        ["history"],
        ["history", "room:a", "--since", "7"],
        ["history", "room:a", "--url", "rt.example.com"],
        ["history", "room:a", "--token", "a.b.c", "--api-key", "k"],
        ["history", "room:a", "--profile", "none"],
        ["pub", "room:a", "1", "--priority", "highest"],
        ["pub", "room:a", '"\\ud800"'],
        ["pub", "room:a", "1e999"],
        ["pub", "room:a", "[" * 100_000],
        ["state", "set", "room:a", "k", "null"],
        ["state", "patch", "room:a", "k", "[1]"],
        ["purge", "--yes"],
        ["purge", "--channel", "room:a"],
        ["keys", "create", "billing", "--allow", "room"],
        ["bench", "--duration", "soon"],
        ["sub", "room:a", "--transport", "pigeon"],
    ],
    ids=lambda command: " ".join(command)[:60],
)
def test_2_for_wrong_usage(run: Run, command: list[str]) -> None:
    ended = run(*command)
    assert (ended.code, ended.out) == (2, "")
    assert "Traceback" not in ended.err and ended.err


def test_130_after_ctrl_c(served: MemoryStack, start: Start) -> None:
    process = start("sub", "room:a")
    assert process.stderr is not None
    assert process.stderr.readline() == "tidewire: connected by websocket\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert (process.returncode, out, err) == (130, "", "")


def test_130_at_once_though_the_server_stays_silent(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        process = start("doctor", f"http://127.0.0.1:{server.getsockname()[1]}", "--patience", "60s")
        asking, _ = server.accept()
        assert asking.recv(1)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=10)
        asking.close()
    assert (process.returncode, out, err) == (130, "", "")


def test_141_when_whoever_read_has_gone(served: MemoryStack, start: Start) -> None:
    served.connect("c1", "ann")
    for _ in range(300):
        served.ask("c1", {"type": "publish", "channel": "room:a", "name": "said", "data": "x" * 1000})
    served.drain()
    process = start("history", "room:a", "--all")
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline()
    process.stdout.close()
    assert (process.wait(20), process.stderr.read()) == (141, "")


def test_141_though_nothing_more_is_written(served: MemoryStack, start: Start) -> None:
    process = start("sub", "room:a")
    assert process.stdout is not None and process.stderr is not None
    assert process.stderr.readline() == "tidewire: connected by websocket\n"
    process.stdout.close()
    assert (process.wait(20), process.stderr.read()) == (141, "")


def test_a_missing_extra_is_told() -> None:
    script = "import sys; sys.modules['typer'] = None; from tidewire.cli.main import main; main()"
    ended = subprocess.run(
        [sys.executable, "-c", script],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(ROOT / "clients/python/src")},
    )
    assert (ended.returncode, ended.stdout) == (1, "")
    assert "pip install 'tidewire[cli]'" in one_line(ended.stderr)


def test_the_help_lists_every_exit_code(run: Run) -> None:
    text = " ".join(run("--help").out.split())
    assert epilog() in text
    assert all(f"{code.value} {code.meaning}" in text for code in ExitCode)


def test_not_found_of_another_stage_is_no_reason_to_doubt_it(run: Run, little: Little) -> None:
    little.otherwise = NOT_FOUND
    little.answers[("GET", "/v1/config")] = Answer(CONFIG)
    ended = run("token")
    assert (ended.code, "asks who you are" in ended.err) == (4, True)


def test_the_packages_page_lists_every_exit_code() -> None:
    page = re.sub(" +", " ", (ROOT / "clients/python/README.md").read_text().replace("`", ""))
    assert all(f"| {code.value} | {code.meaning} |" in page for code in ExitCode)
