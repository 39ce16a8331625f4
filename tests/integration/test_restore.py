"""docs/runbooks/restore.md on the emulator: tables as they were, a raised generation, clients that know it at once."""

import secrets
from collections.abc import Iterator

import boto3
import pytest

from localstack.stack import LocalStack
from shared.contract import ENV_GENERATION, ENV_STATE_TABLE, ENV_STREAMS_TABLE, OUTPUT_TABLE_NAMES
from tests.integration.conftest import Connect
from tidewire.replica import Replica
from tools.restore import main, restore


@pytest.fixture
def streams(stack: LocalStack) -> str:
    return stack.outputs[OUTPUT_TABLE_NAMES[ENV_STREAMS_TABLE]]


@pytest.fixture
def raised(stack: LocalStack) -> Iterator[None]:
    """Every function deployed with the next generation, as by a deploy after it was raised in the stage file."""
    client = boto3.client("lambda")
    before = {}
    for name in stack.function_names().values():
        variables = client.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        assert variables[ENV_GENERATION] == "1"
        before[name] = variables

    def deploy(generation: str) -> None:
        for name, variables in before.items():
            client.update_function_configuration(
                FunctionName=name, Environment={"Variables": {**variables, ENV_GENERATION: generation}}
            )

    deploy("2")
    yield
    deploy("1")


@pytest.fixture
def restored() -> Iterator[str]:
    name = f"restored-{secrets.token_hex(4)}"
    yield name
    boto3.client("dynamodb").delete_table(TableName=name)


async def test_after_a_restore_old_cursors_are_refused_and_what_is_left_is_served(
    stack: LocalStack,
    connect: Connect,
    channel: str,
    streams: str,
    restored: str,
    request: pytest.FixtureRequest,
    capsys: pytest.CaptureFixture[str],
) -> None:
    ann = await connect("ann")
    kept = (await ann.publish(channel, "kept", priority="express"))["position"]
    boto3.client("dynamodb").restore_table_to_point_in_time(
        SourceTableName=streams, TargetTableName=restored, UseLatestRestorableTime=True
    )
    lost = (await ann.publish(channel, "lost", priority="express"))["position"]
    assert (lost["epoch"], lost["offset"]) == (kept["epoch"], 2)
    await ann.close()

    assert main([restored, streams]) == 0
    assert "1 deleted" in capsys.readouterr().out
    request.getfixturevalue("raised")

    bob = await connect("bob")
    # Both cursors name a stream that is no more: nobody takes an offset that is given out again for the old one.
    for cursor in (kept, lost):
        answer = await bob.ask("subscribe", channel=channel, since=cursor)
        assert (answer["recovered"], answer["publications"]) == (False, [])
        assert answer["position"]["epoch"] == f"2-{kept['epoch'].removeprefix('1-')}"
        assert answer["position"]["offset"] == 1
        await bob.ask("unsubscribe", channel=channel)
    page = await bob.ask("history", channel=channel)
    assert [publication["data"] for publication in page["publications"]] == ["kept"]
    again = (await bob.publish(channel, "again", priority="express"))["position"]
    assert again["offset"] == lost["offset"]  # what the generation is for
    assert again["epoch"] != lost["epoch"]


async def test_after_a_restore_who_stayed_takes_no_version_of_a_document_for_the_one_that_is_gone(
    stack: LocalStack, connect: Connect, channel: str, restored: str, request: pytest.FixtureRequest
) -> None:
    state = stack.outputs[OUTPUT_TABLE_NAMES[ENV_STATE_TABLE]]
    ann, bob = await connect("ann"), await connect("bob")
    assert (await ann.ask("state.set", channel=channel, key="k", value={"kept": 1}))["version"] == 1
    boto3.client("dynamodb").restore_table_to_point_in_time(
        SourceTableName=state, TargetTableName=restored, UseLatestRestorableTime=True
    )
    await ann.ask("state.set", channel=channel, key="k", value={"lost": 1})
    await ann.ask("state.set", channel=channel, key="born_later", value="lost")
    replica = Replica(channel)
    replica.read((await bob.ask("subscribe", channel=channel, state=True))["state"])
    assert replica.versions == {"k": 2, "born_later": 1}

    assert main([restored, state]) == 0
    request.getfixturevalue("raised")

    # Stored, it is version 2 again.
    await ann.ask("state.patch", channel=channel, key="k", patch={"new": 1})
    [push] = await bob.wait_for(lambda: [one for one in bob.frames if one.get("type") == "state"])
    asked = replica.pushed(push)
    assert asked == {"type": "state.get", "channel": channel, "key": "k", "since_version": 2}
    replica.read(await bob.ask(**{"type_" if name == "type" else name: value for name, value in asked.items()}))
    assert replica.values["k"] == {"kept": 1, "new": 1}
    answer = await ann.ask("subscribe", channel=channel, state=dict(replica.versions))
    assert answer["state"]["documents"].keys() == {"born_later"}
    replica.read(answer["state"])
    assert replica.values == {"k": {"kept": 1, "new": 1}}


def test_an_empty_table_is_no_moment_to_go_back_to(streams: str, restored: str) -> None:
    client = boto3.client("dynamodb")
    like = client.describe_table(TableName=streams)["Table"]
    client.create_table(
        TableName=restored,
        KeySchema=like["KeySchema"],
        AttributeDefinitions=like["AttributeDefinitions"],
        BillingMode="PAY_PER_REQUEST",
    )
    count = client.scan(TableName=streams, Select="COUNT")["Count"]
    with pytest.raises(ValueError, match="has no items; nothing was changed"):
        restore(restored, streams)
    assert client.scan(TableName=streams, Select="COUNT")["Count"] == count
