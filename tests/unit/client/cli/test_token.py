"""Tokens: given by a deployment of stage local, or signed here, as the server verifies them."""

import sys
import time
from pathlib import Path

import pytest

from shared.adapters.memory import fixed_secret
from shared.adapters.tokens import Hs256Tokens
from tests.unit.client.cli.conftest import Run
from tests.unit.client.cli.server import Answer, Asked, answering, tidewire
from tests.unit.stack import ALL, SECRET, MemoryStack

ARN = "arn:aws:secretsmanager:us-east-1:000000000000:secret:TokenSecret"
ALLOW = ["--allow", "room:*=subscribe,publish", "--allow", "room:*=history", "--allow", "user:*=send"]
CAPS = {"room:*": ["subscribe", "publish", "history"], "user:*": ["send"]}


def test_stage_local_signs(served: MemoryStack, run: Run) -> None:
    ended = run("token")
    principal = served.tokens.verify(ended.out.strip())
    assert (ended.err, principal.user_id) == ("", "ann")
    assert set(principal.capabilities["*"]) == set(ALL["*"])
    principal = served.tokens.verify(run("token", "--user", "bob", "--ttl", "5m", *ALLOW).out.strip())
    assert (principal.user_id, principal.capabilities) == ("bob", CAPS)
    assert principal.expires_at_s is not None and 290 < principal.expires_at_s - time.time() <= 301


def test_a_secret_signs_what_the_server_takes(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "secret"
    file.write_text(SECRET + "\n")
    by_file = run("token", "--secret-file", str(file), "--ttl", "2d", *ALLOW)
    monkeypatch.setenv("TIDEWIRE_SECRET", SECRET)
    by_environment = run("token", "--user", "bob", *ALLOW)
    for ended, user in ((by_file, "ann"), (by_environment, "bob")):
        principal = Hs256Tokens(fixed_secret(SECRET)).verify(ended.out.strip())
        assert (ended.code, principal.user_id, principal.capabilities) == (0, user, CAPS)
        assert abs(principal.issued_at_s - time.time()) < 5


def test_what_it_allows_is_to_be_said_where_it_is_signed_here(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TIDEWIRE_SECRET", SECRET)
    ended = run("token")
    assert (ended.code, ended.out, "--allow" in ended.err) == (2, "", True)


@pytest.mark.parametrize("secret", ["short", "\xff" * 40])
def test_what_is_no_secret_signs_nothing(run: Run, tmp_path: Path, secret: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(secret.encode("latin-1"))
    ended = run("token", "--secret-file", str(file), *ALLOW)
    assert (ended.code, ended.out) == (2, "")
    assert run("token", "--secret-file", str(tmp_path / "none"), *ALLOW).code == 2
    assert run("token", "--secret-file", str(file), "--stack", "TidewireDev", *ALLOW).code == 2


def test_another_stage_signs_for_nobody(run: Run) -> None:
    with tidewire("prod") as (url, _):
        ended = run("token", "--url", url)
    assert (ended.code, ended.out) == (4, "")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")


def described(outputs: str) -> Answer:
    """Return CloudFormation's answer."""
    stack = f"<member><StackName>TidewireDev</StackName><Outputs>{outputs}</Outputs></member>"
    answer = f"<DescribeStacksResult><Stacks>{stack}</Stacks></DescribeStacksResult>"
    return Answer(f"<DescribeStacksResponse>{answer}</DescribeStacksResponse>")


def test_the_secret_of_a_stack_is_read(run: Run, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    def amazon(asked: Asked) -> Answer:
        if "X-Amz-Target" in asked.headers:
            assert asked.body == {"SecretId": ARN}
            return Answer({"SecretString": SECRET})
        return described(f"<member><OutputKey>TokenSecretArn</OutputKey><OutputValue>{ARN}</OutputValue></member>")

    with answering(amazon) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        ended = run("token", "--stack", "TidewireDev", *ALLOW)
    assert Hs256Tokens(fixed_secret(SECRET)).verify(ended.out.strip()).capabilities == CAPS


def test_the_region_is_the_one_that_was_deployed_to(run: Run, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """``AWS_REGION`` is what the CDK CLI reads, and what make deploy asks for."""
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    monkeypatch.setenv("AWS_REGION", "eu-west-1")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nowhere")
    regions = []

    def amazon(asked: Asked) -> Answer:
        regions.append(asked.headers["Authorization"].split("/")[2])  # AWS4-HMAC-SHA256 Credential=key/day/region/…
        if "X-Amz-Target" in asked.headers:
            return Answer({"SecretString": SECRET})
        return described(f"<member><OutputKey>TokenSecretArn</OutputKey><OutputValue>{ARN}</OutputValue></member>")

    with answering(amazon) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        assert run("token", "--stack", "TidewireDev", *ALLOW).code == 0
    assert regions == ["eu-west-1", "eu-west-1"]


@pytest.mark.parametrize(
    ("answer", "code", "told"),
    [
        (described(""), 5, "it is no Tidewire"),
        (
            Answer(
                "<ErrorResponse><Error><Code>ValidationError</Code><Message>no such stack</Message></Error>"
                "</ErrorResponse>",
                400,
            ),
            1,
            "AWS refuses: no such stack",
        ),
    ],
    ids=["another stack", "no stack"],
)
def test_a_stack_without_the_secret_is_told(
    run: Run, aws: None, monkeypatch: pytest.MonkeyPatch, answer: Answer, code: int, told: str
) -> None:
    with answering(lambda _asked: answer) as url:
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        ended = run("token", "--stack", "TidewireDev", *ALLOW)
    assert (ended.code, told in ended.err, len(ended.err.splitlines())) == (code, True, 1)


def test_aws_that_cannot_be_reached_is_told(run: Run, aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    assert run("token", "--stack", "TidewireDev", *ALLOW).code == 3


def test_without_boto3_its_installation_is_told(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    ended = run("token", "--stack", "TidewireDev", *ALLOW)
    assert (ended.code, "pip install boto3" in ended.err) == (2, True)
