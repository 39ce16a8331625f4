"""What CloudFront shows, over a Secrets Manager that is made up. How values are kept: test_rotated_secret.py."""

from functools import partial
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from shared.adapters.front_secret import FrontSecret
from shared.adapters.rotated_secret import RotatedSecret, read_values
from shared.errors import DependencyError, UnavailableError

NEW, OLD = "new-" * 16, "old-" * 16


class SecretsManager:
    """Keeps values by stage."""

    class exceptions:
        ResourceNotFoundException = type("ResourceNotFoundException", (ClientError,), {})

    def __init__(self, **values: str) -> None:
        self.values, self.away = values, False

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, Any]:
        assert SecretId == "arn"
        if self.away:
            raise EndpointConnectionError(endpoint_url="https://secretsmanager")
        if VersionStage not in self.values:
            code = {"Error": {"Code": "ResourceNotFoundException"}}
            raise self.exceptions.ResourceNotFoundException(code, "GetSecretValue")
        return {"SecretString": self.values[VersionStage]}


class Clock:
    now_ms = 1_800_000_000_000

    def __call__(self) -> int:
        return self.now_ms


def secret_of(manager: SecretsManager, clock: Clock) -> FrontSecret:
    def unexpected(error: Exception) -> None:
        raise error

    return FrontSecret(RotatedSecret(partial(read_values, manager, "arn"), clock, unexpected))


def test_its_value_is_known_and_nothing_else() -> None:
    secret = secret_of(SecretsManager(AWSCURRENT=NEW), Clock())
    assert secret.is_known(NEW)
    assert not any(secret.is_known(value) for value in ("", NEW[:-1], NEW + "n", NEW.upper(), "é", "\ud800"))


def test_the_one_before_is_good_too() -> None:
    secret = secret_of(SecretsManager(AWSCURRENT=NEW, AWSPREVIOUS=OLD), Clock())
    assert secret.is_known(OLD)
    assert secret.is_known(NEW)


def test_a_new_one_is_found_when_it_is_shown_and_one_that_was_withdrawn_is_forgotten() -> None:
    manager, clock = SecretsManager(AWSCURRENT=OLD), Clock()
    secret = secret_of(manager, clock)
    assert secret.is_known(OLD)
    manager.values = {"AWSCURRENT": NEW, "AWSPREVIOUS": OLD}
    clock.now_ms += 10_000
    assert secret.is_known(NEW)
    assert secret.is_known(OLD)
    manager.values = {"AWSCURRENT": NEW}
    clock.now_ms += 300_000
    assert not secret.is_known(OLD)


def test_one_that_cannot_be_read_lets_nobody_in() -> None:
    manager = SecretsManager()
    with pytest.raises(DependencyError):
        secret_of(manager, Clock()).is_known(NEW)
    manager.away = True
    with pytest.raises(UnavailableError):
        secret_of(manager, Clock()).is_known(NEW)
