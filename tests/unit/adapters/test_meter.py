"""What AWS bills is counted where it is called, and where it calls."""

from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from shared.adapters.memory import MemoryMetrics
from shared.adapters.meter import invoked, metered

KEY = {"pk": {"S": "a"}, "sk": {"S": "b"}}


@pytest.fixture
def metrics() -> MemoryMetrics:
    return MemoryMetrics()


def plain(service: str) -> Any:
    return boto3.client(  # type: ignore[call-overload]  # by any name
        service,
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
        endpoint_url="http://localhost",
    )


def client_of(service: str, metrics: MemoryMetrics, *answers: tuple[str, dict[str, Any]]) -> Any:
    client = plain(service)
    stubber = Stubber(client)
    for operation, answer in answers:
        stubber.add_response(operation, answer)
    stubber.activate()
    return metered(client, metrics)


def sums(metrics: MemoryMetrics) -> dict[str, float]:
    return {name: sum(values) for name, values in metrics.values.items()}


def units(number: float) -> dict[str, Any]:
    return {"TableName": "t", "CapacityUnits": number}


def test_units_are_those_that_dynamodb_says(metrics: MemoryMetrics) -> None:
    client = client_of(
        "dynamodb",
        metrics,
        ("get_item", {"ConsumedCapacity": units(0.5)}),
        ("query", {"Items": [], "ConsumedCapacity": units(3)}),
        ("batch_get_item", {"Responses": {}, "ConsumedCapacity": [units(2), units(5)]}),
        ("put_item", {"ConsumedCapacity": units(4)}),
        ("batch_write_item", {"ConsumedCapacity": [units(10), units(1)]}),
        ("transact_write_items", {"ConsumedCapacity": [units(6)]}),
    )
    client.get_item(TableName="t", Key=KEY)
    client.query(TableName="t")
    client.batch_get_item(RequestItems={"t": {"Keys": [KEY]}})
    client.put_item(TableName="t", Item=KEY)
    client.batch_write_item(RequestItems={"t": [{"PutRequest": {"Item": KEY}}]})
    client.transact_write_items(TransactItems=[{"Put": {"TableName": "t", "Item": KEY}}])
    assert sums(metrics) == {"DynamoDbReadUnits": 10.5, "DynamoDbWriteUnits": 21}


def test_dynamodb_is_asked_for_them(metrics: MemoryMetrics) -> None:
    client = client_of("dynamodb", metrics, ("get_item", {}))
    sent: list[Any] = []
    client.meta.events.register_last("before-parameter-build", lambda params, **_event: sent.append(params))
    client.get_item(TableName="t", Key=KEY)
    assert sent == [{"TableName": "t", "Key": KEY, "ReturnConsumedCapacity": "TOTAL"}]
    assert sums(metrics) == {}, "nobody has said"


def test_a_write_that_was_refused_is_not_known(metrics: MemoryMetrics) -> None:
    client = plain("dynamodb")
    with Stubber(client) as stubber:
        stubber.add_client_error("put_item", "ConditionalCheckFailedException")
        with pytest.raises(ClientError):
            metered(client, metrics).put_item(TableName="t", Item=KEY)
    assert sums(metrics) == {}


def test_sqs_is_billed_by_call_and_chunk_and_fifo_by_itself(metrics: MemoryMetrics) -> None:
    done: dict[str, Any] = {"Successful": [], "Failed": []}
    client = client_of(
        "sqs",
        metrics,
        ("send_message", {}),
        ("send_message_batch", done),
        ("send_message_batch", done),
        ("change_message_visibility_batch", done),
    )
    client.send_message(QueueUrl="http://q/looks", MessageBody="x")
    chunk = [{"Id": str(place), "MessageBody": "ü" * 16_384} for place in range(2)]
    client.send_message_batch(QueueUrl="http://q/looks", Entries=chunk)
    client.send_message_batch(QueueUrl="http://q/high.fifo", Entries=[*chunk, {"Id": "9", "MessageBody": "x"}])
    client.change_message_visibility_batch(
        QueueUrl="http://q/high.fifo", Entries=[{"Id": "1", "ReceiptHandle": "r", "VisibilityTimeout": 1}]
    )
    assert sums(metrics) == {"SqsRequests": 2, "SqsFifoRequests": 3}


def test_each_event_is_billed_by_its_chunks(metrics: MemoryMetrics) -> None:
    client = client_of("events", metrics, ("put_events", {}))
    details = ["{}", "x" * 65_536, "x" * 65_537]
    client.put_events(Entries=[{"Source": "s", "DetailType": "d", "Detail": detail} for detail in details])
    assert sums(metrics) == {"EventBridgeEvents": 4}


def test_a_service_without_prices_is_not_taken_for_free(metrics: MemoryMetrics) -> None:
    with pytest.raises(ValueError, match="s3"):
        client_of("s3", metrics)


RECORD = {"messageId": "r", "body": "x" * 40_000, "eventSourceARN": "arn:aws:sqs:us-east-1:0:normal.fifo"}
MESSAGE = {"requestContext": {"eventType": "MESSAGE"}, "body": "ü" * 16_385}
CALL = {"version": "2.0", "requestContext": {"http": {"method": "GET"}}}


@pytest.mark.parametrize(
    ("event", "answer", "billed"),
    [
        ({"detail": {}}, None, {}),
        (None, None, {}),
        ({"Records": [RECORD, RECORD]}, {"batchItemFailures": []}, {"SqsFifoRequests": 3}),
        ({"Records": [RECORD | {"eventSourceARN": "arn:aws:sqs:us-east-1:0:looks"}]}, None, {"SqsRequests": 2}),
        ({"requestContext": {"eventType": "CONNECT"}}, {"statusCode": 200}, {}),
        (MESSAGE, {"statusCode": 200, "body": "x"}, {"WebSocketMessages": 3}),
        (MESSAGE | {"body": "x"}, {"statusCode": 200}, {"WebSocketMessages": 1}),
        (MESSAGE | {"body": "x"}, None, {"WebSocketMessages": 1}),
        (CALL, {"body": "x"}, {"HttpApiRequests": 1}),
        (CALL | {"body": "x" * 524_289}, {"body": ""}, {"HttpApiRequests": 2}),
        (CALL, {"body": "x" * 524_288 * 3}, {"HttpApiRequests": 3}),
    ],
)
def test_an_invocation_is_billed_with_what_has_made_it(
    metrics: MemoryMetrics, event: Any, answer: Any, billed: dict[str, float]
) -> None:
    invoked(metrics, event, answer, 0.0101, 512)
    assert sums(metrics) == {"LambdaRequests": 1, "LambdaGbSeconds": pytest.approx(0.0055), **billed}
