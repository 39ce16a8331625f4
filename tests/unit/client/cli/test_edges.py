"""What surrounds the process: closed and full streams, arguments that are no text, names that lead elsewhere."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.client.cli.conftest import ROOT, Little, Run
from tests.unit.client.cli.server import Answer
from tests.unit.client.cli.test_exit_codes import one_line
from tests.unit.stack import MemoryStack


def in_a_shell(command: str, *, streams: str = "", limit: str = ":", file: Path | None = None) -> tuple[int, str, str]:
    """Run ``tidewire`` by a shell; return its exit code and both streams.

    Args:
        streams: Where they lead, as the shell has it; ``"$1"`` is the file.
        limit: What the shell does before.
    """
    ended = subprocess.run(
        ["sh", "-c", f'{limit}; "$0" -B -m tidewire.cli.main {command} {streams}', sys.executable, str(file)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "clients/python/src")},
    )
    return ended.returncode, ended.stdout, ended.stderr


@pytest.mark.parametrize(
    ("command", "code", "said"),
    [
        ("pub room:a - <&-", 0, "tidewire: 0 published\n"),
        ("purge --channel room:a <&-", 2, "tidewire: nobody is there to ask: --yes says that you mean it\n"),
        ("pub room:a 1 >&-", 0, ""),
        ("history room:a <&- >&- 2>&-", 0, ""),
    ],
)
def test_a_stream_that_is_closed_leads_nowhere(served: MemoryStack, command: str, code: int, said: str) -> None:
    assert in_a_shell(command) == (code, "", said)


@pytest.mark.parametrize("command", ["pub room:a 1", "--help", "token"])
def test_output_that_cannot_be_written_is_told(served: MemoryStack, tmp_path: Path, command: str) -> None:
    code, _, err = in_a_shell(command, limit="ulimit -f 0", streams='> "$1"', file=tmp_path / "out")
    assert (code, one_line(err)) == (1, "tidewire: the output can't be written: File too large")


def test_complaints_that_cannot_be_written_change_no_exit_code(tmp_path: Path) -> None:
    assert in_a_shell("nothing", limit="ulimit -f 0", streams='2> "$1"', file=tmp_path / "err")[0] == 2


@pytest.mark.parametrize(
    "command",
    [
        ["pub", "room:\udcff", "1"],
        ["pub", "room:a", "1", "--name", "\udcff"],
        ["history", "room:a", "--since", "\udcff:1"],
        ["state", "get", "room:a", "\udcff"],
        ["purge", "--user", "\udcff", "--yes"],
        ["keys", "create", "\udcff", "--allow", "room:*=publish"],
        ["profile", "set", "prod", "--user", "\udcff"],
    ],
)
def test_an_argument_that_is_no_text_is_told(run: Run, command: list[str]) -> None:
    ended = run(*command)
    assert (ended.code, ended.out) == (2, "")
    assert one_line(ended.err).endswith("is not UTF-8")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b"])
def test_a_name_that_would_lead_elsewhere_is_not_sent(run: Run, little: Little, name: str) -> None:
    # "state delete CHANNEL .." would purge the channel.
    for command in (
        ["state", "delete", "room:a", name],
        ["history", name],
        ["purge", "--channel", name, "--yes"],
        ["keys", "revoke", name],
    ):
        ended = run(*command)
        assert (ended.code, one_line(ended.err)) == (2, f"tidewire: nothing can be called {name!r}")
    assert little.asked == []


@pytest.mark.parametrize(("user_id", "path"), [(".", "%2E"), ("..", "%2E%2E"), ("a/../b", "a%2F..%2Fb")])
def test_users_may_be_called_anything(run: Run, little: Little, user_id: str, path: str) -> None:
    little.answers[("DELETE", f"/v1/users/{path}/data")] = Answer("", 204)
    assert run("purge", "--user", user_id, "--yes").code == 0


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (["history"], "Missing argument 'CHANNEL' (see: tidewire history --help)"),
        (["histry"], "No such command 'histry'. Did you mean 'history'? (see: tidewire --help)"),
        (["history", "room:a", "--tomorrow"], "No such option: --tomorrow (see: tidewire history --help)"),
        (
            ["pub", "room:a", "1", "--priority", "fast"],
            "Invalid value for '--priority': 'fast' is not one of 'express', 'high', 'normal', 'low'"
            " (see: tidewire pub --help)",
        ),
    ],
)
def test_wrong_usage_is_one_line(run: Run, command: list[str], said: str) -> None:
    ended = run(*command)
    assert (ended.code, ended.out, one_line(ended.err)) == (2, "", f"tidewire: {said}")


@pytest.mark.parametrize("command", [[], ["state"]])
def test_without_a_command_there_is_the_help_alone(run: Run, command: list[str]) -> None:
    ended = run(*command)
    assert (ended.code, ended.err) == (2, "")
    assert "Usage: tidewire" in ended.out


def test_141_when_nobody_reads_the_help() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    environment = os.environ | {"PYTHONPATH": str(ROOT / "clients/python/src")}
    ended = subprocess.run(
        [sys.executable, "-m", "tidewire.cli.main", "--help"],
        stdout=writing,
        stderr=subprocess.PIPE,
        env=environment,
    )
    os.close(writing)
    assert (ended.returncode, ended.stderr) == (141, b"")


@pytest.mark.parametrize(
    "url", ["http://h:99999", "http://h:0", "http://ann:secret@h", "h:80", "http://", "ftp://h", "http://h?x=1"]
)
def test_what_is_no_origin_is_wrong_usage(run: Run, url: str) -> None:
    ended = run("history", "room:a", "--url", url)
    assert (ended.code, "is no URL of a deployment" in one_line(ended.err)) == (2, True)


def test_5_when_a_server_of_files_answers(run: Run, little: Little) -> None:
    little.otherwise = Answer("<html>Unsupported method ('POST')</html>", 501, {"Content-Type": "text/html"})
    assert run("pub", "room:a", "1").code == 5


def test_a_token_command_whose_output_no_header_takes_is_told(run: Run, surroundings: Path) -> None:
    run("profile", "set", "prod", "--url", "http://127.0.0.1:1", "--token-command", "echo töken")
    ended = run("history", "room:a", "--profile", "prod")
    assert (ended.code, one_line(ended.err)) == (2, "tidewire: the credential has characters that none has")
