"""What whoever wants LocalStack is told when it can't be had: one line, with the cure."""

import pytest

from localstack.container import DEFAULT_ENDPOINT, ContainerError, LocalStackContainer
from localstack.ministack import free_port


def test_without_a_token_it_says_where_to_get_one() -> None:
    for environment in ({}, {"LOCALSTACK_AUTH_TOKEN": " "}):
        with pytest.raises(
            ContainerError, match=r"^LOCALSTACK_AUTH_TOKEN is not set: .*export LOCALSTACK_AUTH_TOKEN=…$"
        ):
            LocalStackContainer(environment).start()


def test_where_nothing_answers_it_says_how_to_start_it() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    container = LocalStackContainer({"LOCALSTACK_AUTH_TOKEN": "ls-1", "LOCALSTACK_ENDPOINT": endpoint})
    with pytest.raises(
        ContainerError, match=f"^no LocalStack answers at {endpoint}: .*docker compose up --detach --wait$"
    ):
        container.start()


@pytest.mark.parametrize("endpoint", ["4566", "http://[", "http://nowhere.invalid:4566"])
def test_an_address_that_is_none_is_told_in_the_same_way(endpoint: str) -> None:
    with pytest.raises(ContainerError, match="no LocalStack answers"):
        LocalStackContainer({"LOCALSTACK_AUTH_TOKEN": "ls-1", "LOCALSTACK_ENDPOINT": endpoint}).start()


def test_no_token_is_in_what_is_told() -> None:
    endpoint = f"http://127.0.0.1:{free_port()}"
    with pytest.raises(ContainerError) as told:
        LocalStackContainer({"LOCALSTACK_AUTH_TOKEN": "ls-secret", "LOCALSTACK_ENDPOINT": endpoint}).start()
    assert "ls-secret" not in str(told.value)


def test_it_is_looked_for_at_localstacks_own_port() -> None:
    assert LocalStackContainer({}).endpoint == DEFAULT_ENDPOINT == "http://127.0.0.1:4566"
