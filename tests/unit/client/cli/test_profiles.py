"""Profiles: a file of the user's, changed with care."""

import json
import stat
from pathlib import Path

import pytest

from tests.unit.client.cli.conftest import Run
from tidewire.cli.options import complete_profile
from tidewire.cli.profiles import Profile, Profiles

BY_HAND = """# mine
title = "kept"

[profiles.prod] # the real one
url = "https://rt.example.com"
token_command = "pass show tidewire"
# below it

# of dev
[profiles.dev]
url = "http://localhost:8080"   # here
user = 'bob'
"""


@pytest.fixture
def by_hand(surroundings: Path) -> Path:
    surroundings.parent.mkdir()
    surroundings.write_text(BY_HAND)
    return surroundings


def test_what_is_set_is_listed_without_its_secret(run: Run, surroundings: Path) -> None:
    assert run("profile", "list").out == ""
    assert run("profile", "set", "prod", "--url", "https://rt.example.com", "--token", "secret-1").code == 0
    run("profile", "set", "dev", "--url", "http://localhost:8080", "--user", "bob")
    ended = run("profile", "list")
    assert ended.lines == ["dev\thttp://localhost:8080\tbob\t", "prod\thttps://rt.example.com\t\ttoken"]
    assert "secret" not in run("profile", "list", "--json").out
    assert json.loads(run("profile", "list", "--json").lines[1])["credential"] == "token"


def test_the_file_is_its_owners_alone(run: Run, by_hand: Path) -> None:
    by_hand.chmod(0o644)
    run("profile", "set", "prod", "--token", "secret-1")
    assert stat.S_IMODE(by_hand.stat().st_mode) == 0o600
    assert [path.name for path in by_hand.parent.iterdir()] == ["config.toml"]


def test_the_rest_of_the_file_stays_as_it_is(run: Run, by_hand: Path) -> None:
    run("profile", "set", "prod", "--api-key", 'k"\\1')
    text = by_hand.read_text()
    assert text.startswith('# mine\ntitle = "kept"\n')
    assert '# of dev\n[profiles.dev]\nurl = "http://localhost:8080"   # here\n' in text
    assert Profiles(by_hand).all() == {
        "dev": Profile(url="http://localhost:8080", user="bob"),
        "prod": Profile(api_key='k"\\1'),
    }
    run("profile", "remove", "prod")
    assert list(Profiles(by_hand).all()) == ["dev"]


@pytest.mark.parametrize(
    "text",
    ["profiles = { prod = { url = 'http://h' } }\n", "[profiles]\nprod.url = 'http://h'\n"],
    ids=["inline", "dotted"],
)
def test_what_is_written_in_another_way_is_left_alone(run: Run, surroundings: Path, text: str) -> None:
    surroundings.parent.mkdir()
    surroundings.write_text(text)
    ended = run("profile", "remove", "prod")
    assert (ended.code, "by hand" in ended.err) == (2, True)
    assert surroundings.read_text() == text


@pytest.mark.parametrize(
    "text",
    [
        "[profiles.prod\n",
        "[profiles.prod]\nurl = 7\n",
        "[profiles.prod]\nulr = 'x'\n",
        "[profiles]\nprod = 1\n",
        "\xff",
    ],
)
def test_a_file_that_is_not_as_it_should_be_is_told(run: Run, surroundings: Path, text: str) -> None:
    surroundings.parent.mkdir()
    surroundings.write_bytes(text.encode("latin-1"))
    for command in (["profile", "list"], ["presence", "room:a", "-p", "prod"]):
        ended = run(*command)
        assert (ended.code, len(ended.err.splitlines())) == (2, 1)
        assert str(surroundings) in ended.err


def test_a_profile_that_is_not_there_is_told_with_those_that_are(run: Run, by_hand: Path) -> None:
    ended = run("presence", "room:a", "-p", "stage")
    assert (ended.code, "there are dev, prod" in ended.err) == (2, True)
    assert run("profile", "remove", "stage").code == 2


@pytest.mark.parametrize("options", [["--token", "t", "--api-key", "k"], ["--url", "example.com"]])
def test_a_profile_that_could_not_be_used_is_not_written(run: Run, surroundings: Path, options: list[str]) -> None:
    assert run("profile", "set", "prod", *options).code == 2
    assert run("profile", "set", "a.b", "--url", "http://h").code == 2
    assert not surroundings.exists()


def test_a_linked_file_stays_a_link(run: Run, surroundings: Path, tmp_path: Path) -> None:
    surroundings.parent.mkdir()
    surroundings.symlink_to(tmp_path / "dotfile")
    run("profile", "set", "dev", "--url", "http://h")
    assert surroundings.is_symlink()
    assert list(Profiles(tmp_path / "dotfile").all()) == ["dev"]


def test_names_are_completed(by_hand: Path) -> None:
    assert complete_profile("") == ["dev", "prod"]
    assert complete_profile("p") == ["prod"]
    by_hand.write_text("[broken")
    assert complete_profile("") == []
