"""The composition root: what it makes of an environment."""

import boto3
import pytest

from shared.bootstrap import Services
from shared.errors import UnavailableError
from shared.settings import Settings


def test_a_secret_that_cannot_be_read_makes_requests_try_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no bad token: who sent it would give up."""
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    for name in ("AWS_SHARED_CREDENTIALS_FILE", "AWS_CONFIG_FILE"):
        monkeypatch.setenv(name, "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")  # so there are no credentials, and no call is made
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with pytest.raises(UnavailableError):
        Services(Settings.from_env({"TOKEN_SECRET_ARN": "secret"})).tokens.verify("any.to.ken")
