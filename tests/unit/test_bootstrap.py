"""The composition root: what it makes of an environment."""

import boto3
import pytest

from shared.adapters.raised_documents import RaisedDocumentStore
from shared.bootstrap import Services
from shared.contract import ENV_GENERATION, ENV_STAGE, ENV_STATE_TABLE
from shared.domain.document import GENERATION_VERSIONS
from shared.errors import DependencyError, UnavailableError
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


@pytest.mark.parametrize(("stage", "taken"), [("local", True), ("dev", False), ("prod", False), ("", False)])
def test_a_secret_that_can_be_guessed_is_taken_on_stage_local_alone(
    monkeypatch: pytest.MonkeyPatch, stage: str, taken: bool
) -> None:
    services = Services(Settings.from_env({ENV_STAGE: stage}))
    monkeypatch.setattr(services, "_read_token_secret", lambda: ["secret"])
    if taken:
        assert services.token_secret.current() == "secret"
    else:
        with pytest.raises(DependencyError):
            services.token_secret.current()


@pytest.mark.parametrize("generation", [1, 2, 3])
def test_documents_count_above_those_of_the_generations_before(
    monkeypatch: pytest.MonkeyPatch, generation: int
) -> None:
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    services = Services(Settings.from_env({ENV_STATE_TABLE: "state", ENV_GENERATION: str(generation)}))
    reader = services.document_reader
    assert reader.above == (generation - 1) * GENERATION_VERSIONS
    assert (reader.store.by if isinstance(reader.store, RaisedDocumentStore) else 0) == reader.above
