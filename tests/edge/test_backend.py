"""What whoever wants LocalStack is told when it can't be had: one line, with the cure."""

import re

import pytest
import yaml

from localstack.container import DEFAULT_ENDPOINT, ContainerError, LocalStackContainer
from localstack.deploy import ROOT
from localstack.ministack import free_port
from shared.contract import ENV_CONNECTIONS_ENDPOINT


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


def test_functions_in_containers_are_told_another_name_of_this_machine() -> None:
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]["localstack"]
    [port] = re.findall(r"^PORT \?= (\d+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    host = "host.docker.internal"
    assert compose["environment"]["LAMBDA_DOCKER_FLAGS"].split() == [
        *("--add-host", f"{host}:host-gateway"),
        *("-e", f"{ENV_CONNECTIONS_ENDPOINT}=http://{host}:${{PORT:-{port}}}"),
    ]
    assert ":?" in compose["environment"]["LOCALSTACK_AUTH_TOKEN"]  # compose starts nothing without it
    assert f"127.0.0.1:{DEFAULT_ENDPOINT.rpartition(':')[2]}:4566" in compose["ports"]
