"""Events of EventBridge, both ways: into channels, from Tidewire's bus and from AWS's own events; and out of them."""

import asyncio
import json
import secrets
from typing import Any

import boto3
import httpx

from localstack.stack import LocalStack
from shared.contract import (
    DETAIL_PUBLISH,
    OUTPUT_ARCHIVE_QUEUE_URL,
    OUTPUT_EVENT_BUS_NAME,
    OUTPUT_EVENT_DEAD_LETTERS_URL,
)
from tests.integration.checks import eventually
from tests.integration.conftest import Connect


def put_event(stack: LocalStack, detail: dict[str, Any]) -> str:
    """Ask for a publication on Tidewire's bus; return the event's id."""
    entry: Any = {
        "EventBusName": stack.outputs[OUTPUT_EVENT_BUS_NAME],
        "Source": "billing",
        "DetailType": DETAIL_PUBLISH,
        "Detail": json.dumps(detail),
    }
    answer = boto3.client("events").put_events(Entries=[entry])
    assert answer["FailedEntryCount"] == 0
    return answer["Entries"][0]["EventId"]


def receive(queue_url: str, wanted: str) -> list[dict[str, Any]]:
    """Take what waits in a queue; return the messages that have a text in their bodies."""
    answer = boto3.client("sqs").receive_message(
        QueueUrl=queue_url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=1
    )
    return [dict(message) for message in answer.get("Messages", []) if wanted in message["Body"]]


async def test_an_event_on_the_bus_is_published(stack: LocalStack, connect: Connect, channel: str) -> None:
    client = await connect(subscribe=[{"channel": channel}])
    event_id = put_event(stack, {"channel": channel, "name": "paid", "data": {"by": "card"}})
    (event,) = await client.wait_for_events(channel, 1)
    assert (event["name"], event["data"], event["message_id"]) == ("paid", {"by": "card"}, event_id)
    assert event["sender"] == {"user_id": "event:billing", "connection_id": None}


async def test_what_an_aws_service_tells_on_the_default_bus_is_published(stack: LocalStack, connect: Connect) -> None:
    """Here Step Functions: the rule and its transformer are deployed with the stage."""
    name = f"job-{secrets.token_hex(6)}"
    channel = f"executions:{name}"
    client = await connect(subscribe=[{"channel": channel}])
    states = boto3.client("stepfunctions")
    role = boto3.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    machine = states.create_state_machine(
        name=name,
        definition=json.dumps({"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}),
        roleArn=role,
    )
    execution = states.start_execution(stateMachineArn=machine["stateMachineArn"], name=name)

    def succeeded() -> bool:
        return any(event["data"]["status"] == "SUCCEEDED" for event in client.events(channel))

    await client.wait_for(succeeded)
    for event in client.events(channel):
        assert event["name"] == "status"
        assert event["data"]["execution"] == execution["executionArn"]
        assert event["sender"]["user_id"] == "event:aws.states"


async def test_an_event_that_can_not_be_published_ends_where_somebody_will_look(stack: LocalStack) -> None:
    mark = secrets.token_hex(6)
    put_event(stack, {"channel": "no-channel", "name": "paid", "data": mark})
    url = stack.outputs[OUTPUT_EVENT_DEAD_LETTERS_URL]
    (message,) = await eventually(lambda: receive(url, mark))
    assert json.loads(message["Body"])["detail"]["data"] == mark
    assert message["MessageAttributes"]["ErrorCode"]["StringValue"] == "1002"


async def test_an_event_among_the_dead_letters_is_put_back(
    stack: LocalStack, connect: Connect, channel: str, http: httpx.Client, admin: dict[str, str]
) -> None:
    client = await connect(subscribe=[{"channel": channel}])
    event = {"id": secrets.token_hex(8), "source": "billing", "detail-type": DETAIL_PUBLISH}
    detail = {"channel": channel, "name": "paid", "data": 1}
    boto3.client("sqs").send_message(
        QueueUrl=stack.outputs[OUTPUT_EVENT_DEAD_LETTERS_URL], MessageBody=json.dumps({**event, "detail": detail})
    )
    answer = await asyncio.to_thread(http.post, "/v1/dead-letters/events/redrive", headers=admin)
    assert answer.raise_for_status().json()["redriven"] >= 1
    (published,) = await client.wait_for_events(channel, 1)
    assert (published["message_id"], published["data"]) == (event["id"], 1)


async def test_a_publication_of_the_archived_namespace_reaches_the_queue(stack: LocalStack, connect: Connect) -> None:
    mark = secrets.token_hex(6)
    client = await connect()
    await client.publish(f"room:{mark}", "not for the archive")
    lane = await client.publish(f"orders:{mark}", 1)
    express = await client.publish(f"orders:{mark}", 2, priority="express")
    found: dict[str, Any] = {}

    def all_there() -> bool:
        for message in receive(stack.outputs[OUTPUT_ARCHIVE_QUEUE_URL], mark):
            detail = json.loads(message["Body"])
            assert detail["channel"] == f"orders:{mark}"
            found.update({frame["message_id"]: frame for frame in detail["frames"]})
        return len(found) == 2

    await eventually(all_there)
    assert {found[lane["message_id"]]["data"], found[express["message_id"]]["data"]} == {1, 2}
    assert {frame["offset"] for frame in found.values()} == {1, 2}


async def test_what_a_token_says_in_public_comes_with_the_event(stack: LocalStack, connect: Connect) -> None:
    """The processors are in the deployed function."""
    channel = f"room:{secrets.token_hex(6)}"
    listener = await connect("bob", subscribe=[{"channel": channel}])
    speaker = await connect("ann", public={"name": "Ann"})
    await speaker.publish(channel, "hi")
    (event,) = await listener.wait_for_events(channel, 1)
    assert event["sender"]["claims"] == {"name": "Ann"}
