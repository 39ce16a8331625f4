"""What is shown: colours and columns for people, plain lines for programs; what is typed and read."""

import json
import os
import pty
import re
import select
import subprocess
import sys

import pytest
import typer

from tests.unit.client.cli.conftest import ROOT, Run
from tests.unit.stack import MemoryStack
from tidewire.cli.output import time_of
from tidewire.cli.printable import json_line, printable
from tidewire.cli.values import capabilities, duration_s, json_or_text

ESCAPE = "\x1b["


def on_a_terminal(*arguments: str, answer: str = "", **environment: str) -> tuple[int, str]:
    """Run a command on a terminal of its own; return its exit code and what is on the screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "tidewire.cli.main", *arguments],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ
        | {"PYTHONPATH": str(ROOT / "clients/python/src"), "TERM": "xterm-256color", "COLUMNS": "60"}
        | environment,
    )
    os.close(theirs)
    os.write(ours, answer.encode())
    seen = b""
    while select.select([ours], [], [], 30)[0]:
        try:
            seen += os.read(ours, 65_536)
        except OSError:  # the other end is closed
            break
    os.close(ours)
    return process.wait(30), seen.decode()


def test_piped_there_are_no_colours_and_nothing_is_wrapped(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "long " * 100)
    run("state", "set", "room:a", "k", "long " * 100)
    for command in (["history", "room:a"], ["state", "get", "room:a"], ["state", "get", "room:a", "k"]):
        out = run(*command).out
        assert (ESCAPE in out, out.count("\n"), "long " * 100 in out) == (False, 1, True)


def test_on_a_terminal_there_are_colours_unless_they_are_not_wanted(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", '{"n": 1}', "--name", "said")
    code, screen = on_a_terminal("history", "room:a")
    assert (code, ESCAPE in screen, "\t" in screen) == (0, True, False)
    _, plain = on_a_terminal("history", "room:a", NO_COLOR="1")
    assert "36m" not in plain and '{"n":1}' in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", plain)


def test_on_a_terminal_a_line_is_not_cut(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "x" * 200)
    assert "x" * 200 in on_a_terminal("history", "room:a", NO_COLOR="1")[1]
    run("state", "set", "room:a", "k", "y" * 200)
    assert on_a_terminal("state", "get", "room:a", NO_COLOR="1")[1].count("y") == 200 + "key by".count("y")


def test_a_key_fits_on_a_terminal_of_80_columns(served: MemoryStack, run: Run) -> None:
    run("keys", "create", "billing", "--allow", "room:*=publish,history")
    _, screen = on_a_terminal("keys", "list", NO_COLOR="1", COLUMNS="80")
    _, key = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).splitlines()
    assert re.fullmatch(r"\w{16}  billing  [\d-]{10} [\d:]{8}  \{\"room:\*\":\[.*\]\} *", key)


@pytest.mark.parametrize(("answer", "code", "left"), [("n\n", 1, 1), ("\n", 1, 1), ("y\n", 0, 0)])
def test_purging_asks_first(served: MemoryStack, run: Run, answer: str, code: int, left: int) -> None:
    run("pub", "room:a", "1")
    ended, screen = on_a_terminal("purge", "--channel", "room:a", answer=answer)
    assert (ended, len(run("history", "room:a").lines)) == (code, left)
    assert "Delete all that was published in room:a" in screen


def test_a_terminal_that_lacks_a_character_gets_its_number(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "★")
    ended = subprocess.run(
        [sys.executable, "-m", "tidewire.cli.main", "history", "room:a"],
        capture_output=True,
        env=os.environ | {"PYTHONPATH": str(ROOT / "clients/python/src"), "PYTHONIOENCODING": "latin-1"},
    )
    assert (ended.returncode, ended.stdout.rstrip().endswith(b'"\\u2605"')) == (0, True)


@pytest.mark.parametrize(
    "command",
    [
        ["pub"],
        ["sub"],
        ["history"],
        ["presence"],
        ["token"],
        ["bench"],
        ["doctor"],
        ["cost"],
        ["redrive"],
        ["purge"],
        *(["state", name] for name in ("get", "set", "patch", "delete", "watch")),
        *(["keys", name] for name in ("create", "list", "revoke")),
        *(["profile", name] for name in ("list", "set", "remove")),
    ],
    ids=" ".join,
)
def test_the_help_of_each_command_has_an_example(run: Run, command: list[str]) -> None:
    ended = run(*command, "--help")
    assert (ended.code, f"Example: tidewire {' '.join(command)}" in " ".join(ended.out.split())) == (0, True)


def test_profiles_are_completed_by_the_shell(run: Run) -> None:
    run("profile", "set", "prod", "--url", "http://h")
    ended = subprocess.run(
        [sys.executable, "-m", "tidewire.cli.main"],
        capture_output=True,
        text=True,
        env=os.environ
        | {
            "PYTHONPATH": str(ROOT / "clients/python/src"),
            "_TIDEWIRE_COMPLETE": "complete_bash",
            "COMP_WORDS": "tidewire history --profile p",
            "COMP_CWORD": "3",
        },
    )
    assert ended.stdout.split() == ["prod"]


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain ä 漢 👩‍👧", "plain ä 漢 👩‍👧"),
        ("a\tb\nc\r\x1b\x7f\x85", "a\\tb\\nc\\r\\u001b\\u007f\\u0085"),
        ("\u202e\u2066\u2028\ufeff", "\\u202e\\u2066\\u2028\\ufeff"),
        ("\ud800", "\\ud800"),
        ("\U000e0001", "\\udb40\\udc01"),
    ],
)
def test_what_a_terminal_would_obey_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_json_stays_the_same_value() -> None:
    for value in ("\x1b\x7f\x9b\u202e\U000e0001", {"\u2028": ["\ud800"]}):
        assert json.loads(json_line(value)) == value
        assert printable(json_line(value)) == json_line(value)


@pytest.mark.parametrize(
    ("text", "value"), [("1", 1), ("null", None), ("{}", {}), ("{", "{"), ("", ""), ("NaN", "NaN")]
)
def test_json_or_text(text: str, value: object) -> None:
    assert json_or_text(text) == value


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("10s", 10), ("1.5m", 90), ("2h", 7200), ("1d", 86_400), ("500ms", 0.5)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "0", "-1s", "1w", "s", "1e3", "٣s", "9" * 400])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        duration_s(text)


def test_capabilities_of_one_pattern_are_put_together() -> None:
    assert capabilities(["room:*=a, b", "room:*=b,c", "user:x=a"]) == {"room:*": ["a", "b", "c"], "user:x": ["a"]}


@pytest.mark.parametrize("text", ["room:*", "=a", "room:*=", "room:*=,"])
def test_what_allows_nothing_is_refused(text: str) -> None:
    with pytest.raises(typer.BadParameter):
        capabilities([text])


@pytest.mark.parametrize("at_ms", [10**18, -(10**18), 10**400])
def test_a_time_beyond_all_is_shown_as_it_came(at_ms: int) -> None:
    assert time_of(at_ms) == str(at_ms)
