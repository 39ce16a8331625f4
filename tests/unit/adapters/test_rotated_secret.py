"""A secret with two good values, over a Secrets Manager that is made up."""

from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from shared.adapters.rotated_secret import RotatedSecret
from shared.errors import DependencyError, UnavailableError


class SecretsManager:
    """Keeps values by stage; ``reads`` is what was asked for."""

    class exceptions:
        ResourceNotFoundException = type("ResourceNotFoundException", (ClientError,), {})

    def __init__(self, **values: str) -> None:
        self.values, self.reads, self.away = values, list[str](), False

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, Any]:
        assert SecretId == "arn"
        self.reads.append(VersionStage)
        if self.away:
            raise EndpointConnectionError(endpoint_url="https://secretsmanager")
        if VersionStage not in self.values:
            code = {"Error": {"Code": "ResourceNotFoundException"}}
            raise self.exceptions.ResourceNotFoundException(code, "GetSecretValue")
        return {"SecretString": self.values[VersionStage]}


class Clock:
    now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock() -> Clock:
    return Clock()


def test_its_value_is_known_and_nothing_else(clock: Clock) -> None:
    secret = RotatedSecret(SecretsManager(AWSCURRENT="new"), "arn", clock)
    assert secret.is_known("new")
    assert not any(secret.is_known(value) for value in ("", "ne", "newer", "NEW", "é", "\ud800"))


def test_the_one_before_is_good_too(clock: Clock) -> None:
    secret = RotatedSecret(SecretsManager(AWSCURRENT="new", AWSPREVIOUS="old"), "arn", clock)
    assert secret.is_known("old")
    assert secret.is_known("new")


def test_what_is_known_is_read_once_in_five_minutes(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="new", AWSPREVIOUS="old")
    secret = RotatedSecret(manager, "arn", clock)
    for clock.now_s in (0, 1, 299):
        assert secret.is_known("new")
    assert manager.reads == ["AWSCURRENT", "AWSPREVIOUS"]
    del manager.values["AWSPREVIOUS"]
    assert secret.is_known("old")
    clock.now_s = 300
    assert not secret.is_known("old")


def test_what_is_made_up_has_it_read_once_in_ten_seconds(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="old")
    secret = RotatedSecret(manager, "arn", clock)
    assert secret.is_known("old")
    for clock.now_s in (1, 5, 9):
        assert not secret.is_known("made up")
    assert len(manager.reads) == 2
    manager.values = {"AWSCURRENT": "new", "AWSPREVIOUS": "old"}
    clock.now_s = 10
    assert secret.is_known("new")
    assert secret.is_known("old")
    assert len(manager.reads) == 4


def test_while_secrets_manager_is_away_what_was_known_stays_so(clock: Clock) -> None:
    manager = SecretsManager(AWSCURRENT="new")
    secret = RotatedSecret(manager, "arn", clock)
    assert secret.is_known("new")
    manager.away, clock.now_s = True, 300
    assert secret.is_known("new")
    reads = len(manager.reads)
    assert secret.is_known("new")
    assert len(manager.reads) == reads
    clock.now_s = 310
    with pytest.raises(UnavailableError):
        secret.is_known("made up")


def test_one_that_was_never_read_lets_nobody_in(clock: Clock) -> None:
    manager = SecretsManager()
    with pytest.raises(DependencyError):
        RotatedSecret(manager, "arn", clock).is_known("new")
    manager.away = True
    with pytest.raises(UnavailableError):
        RotatedSecret(manager, "arn", clock).is_known("new")
