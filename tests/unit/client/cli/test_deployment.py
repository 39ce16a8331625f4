"""Which deployment a command talks to, and as whom."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.client.cli.conftest import Little, Run
from tests.unit.client.cli.server import Answer, Asked, answering, problem
from tests.unit.stack import MemoryStack
from tidewire.cli.deployment import DEFAULT_URL, Given, resolve
from tidewire.cli.exit_codes import CommandError
from tidewire.cli.profiles import Profile, Profiles

PRESENCE = ("GET", "/v1/channels/room%3Aa/presence")
NOBODY = Answer({"members": [], "count": 0, "version": 0})


@pytest.fixture
def profiles(surroundings: Path) -> Profiles:
    return Profiles(surroundings)


@pytest.fixture
def environment(surroundings: Path) -> dict[str, str]:
    return {"TIDEWIRE_CONFIG": str(surroundings)}


def test_the_option_goes_before_the_environment_before_the_profile_before_the_default(
    profiles: Profiles, environment: dict[str, str]
) -> None:
    profiles.set("prod", Profile(url="https://profile.example.com"))
    given = Given(profile="prod")
    assert resolve(Given(), environment).url == DEFAULT_URL
    assert resolve(given, environment).url == "https://profile.example.com"
    environment["TIDEWIRE_URL"] = "https://environment.example.com/"
    assert resolve(given, environment).url == "https://environment.example.com"
    assert resolve(Given(url="http://[::1]:8080", profile="prod"), environment).url == "http://[::1]:8080"
    environment |= {"TIDEWIRE_URL": "", "TIDEWIRE_PROFILE": "prod"}
    assert resolve(Given(), environment).url == "https://profile.example.com"


def test_credentials_have_the_same_order_whatever_their_kind(profiles: Profiles, environment: dict[str, str]) -> None:
    profiles.set("prod", Profile(token="of-profile"))
    environment |= {"TIDEWIRE_API_KEY": "of-environment", "TIDEWIRE_PROFILE": "prod"}
    assert resolve(Given(), environment).api_key == "of-environment"
    assert resolve(Given(token="of-option"), environment).identity.token(False) == "of-option"
    assert resolve(Given(token="of-option"), environment).api_key is None
    del environment["TIDEWIRE_API_KEY"]
    assert resolve(Given(), environment).identity.token(False) == "of-profile"


def test_a_profiles_credential_goes_to_its_url_alone(profiles: Profiles, environment: dict[str, str]) -> None:
    profiles.set("prod", Profile(url="https://rt.example.com", token="secret"))
    assert not resolve(Given(url="https://rt.example.com/", profile="prod"), environment).of_stage_local
    assert resolve(Given(url="https://other.example.com", profile="prod"), environment).of_stage_local


@pytest.mark.parametrize(
    "url",
    ["rt.example.com", "ftp://rt.example.com", "http://", "http://a b", "http://h:port", "http://h?x=1", "http://["],
)
def test_what_is_no_url_is_told(environment: dict[str, str], url: str) -> None:
    with pytest.raises(CommandError, match="is no URL"):
        resolve(Given(url=url), environment)


@pytest.mark.parametrize("token", ["a b", "a\nb: c", "é"])
def test_a_credential_adds_nothing_to_the_request(environment: dict[str, str], token: str) -> None:
    with pytest.raises(CommandError, match="characters"):
        resolve(Given(token=token), environment)


def test_a_profile_with_two_credentials_is_refused(surroundings: Path, environment: dict[str, str]) -> None:
    surroundings.parent.mkdir()
    surroundings.write_text('[profiles.prod]\ntoken = "t"\napi_key = "k"\n')
    with pytest.raises(CommandError, match="more than one credential"):
        resolve(Given(profile="prod"), environment)


def test_an_api_key_is_sent_as_such(run: Run, little: Little, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEWIRE_TOKEN")
    little.answers[PRESENCE] = NOBODY
    assert run("presence", "room:a", "--api-key", "k_1.secret").code == 0
    headers = {name.lower(): value for name, value in little.asked[0].headers.items()}
    assert headers["x-api-key"] == "k_1.secret"
    assert "authorization" not in headers


def test_an_api_key_keeps_no_connection(served: MemoryStack, run: Run) -> None:
    for command in (["sub", "room:a"], ["state", "watch", "room:a", "k"], ["bench"]):
        ended = run(*command, "--api-key", "k_1.secret")
        assert (ended.code, "user's token" in ended.err) == (2, True)


def test_stage_local_gives_a_token_for_the_user(served: MemoryStack, run: Run) -> None:
    run("pub", "room:a", "1")
    run("pub", "room:a", "2", "--user", "bob")
    senders = [json.loads(line)["sender"]["user_id"] for line in run("history", "room:a", "--json").lines]
    assert senders == ["ann", "bob"]


def test_admin_is_asked_for_where_it_is_needed_alone(run: Run, little: Little, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TIDEWIRE_TOKEN")
    little.answers |= {
        ("POST", "/v1/dev/token"): Answer({"token": "a.b.c"}),
        PRESENCE: NOBODY,
        ("GET", "/v1/keys"): Answer({"keys": []}),
    }
    run("presence", "room:a")
    assert little.asked[0].body == {"user_id": "ann"}
    run("keys", "list")
    assert "admin" in little.asked[2].body["caps"]["*"]


def counting(tokens: Path) -> str:
    """Return a command that prints token-1, then token-2 ..."""
    return f"echo x >> {tokens}; echo token-$(wc -l < {tokens} | tr -d ' ')"


def test_the_token_command_is_run_anew_when_its_token_was_refused(
    run: Run, little: Little, profiles: Profiles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TIDEWIRE_TOKEN")
    tokens = tmp_path / "tokens"
    profiles.set("prod", Profile(url=os.environ["TIDEWIRE_URL"], token_command=counting(tokens)))

    def second(asked: Asked) -> Answer:
        good = asked.headers["Authorization"] == "Bearer token-2"
        return NOBODY if good else problem(1004, "unauthenticated", 401, "it has expired")

    little.answers[PRESENCE] = second
    assert run("presence", "room:a", "-p", "prod").code == 0
    little.answers[PRESENCE] = problem(1004, "unauthenticated", 401, "it has expired")
    assert run("presence", "room:a", "-p", "prod").code == 4
    assert len(little.asked) == 4


@pytest.mark.parametrize("command", ["exit 3", "true", "echo two words", "printf '\\377'"])
def test_a_token_command_without_a_token_is_told(
    run: Run, little: Little, profiles: Profiles, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.delenv("TIDEWIRE_TOKEN")
    profiles.set("prod", Profile(token_command=command))
    ended = run("presence", "room:a", "-p", "prod")
    assert (ended.code, ended.err.startswith("tidewire: token_command ")) == (4, True)
    assert len(ended.err.splitlines()) == 1


def test_a_token_is_not_taken_along_by_a_redirect(run: Run, little: Little) -> None:
    asked: list[Asked] = []

    def thief(one: Asked) -> Answer:
        asked.append(one)
        return NOBODY

    with answering(thief) as elsewhere:
        little.answers[PRESENCE] = Answer("", 307, {"Location": elsewhere + "/v1/channels/room%3Aa/presence"})
        assert run("presence", "room:a").code == 5
    assert asked == []
