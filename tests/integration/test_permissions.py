"""Each deployed function, by its role: what it was granted it is not refused, and everything else it is.

tests/infra/test_permissions.py compares the template with what docs/architecture.md says, action by action. Here the
emulator judges, and the table below was written without looking at either.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import boto3
import pytest
from botocore.exceptions import ClientError

from localstack.stack import LocalStack
from shared import contract

# As a caller of a function, not as somebody with its role, one would be refused less.
_REFUSALS: Final = {"AccessDenied", "AccessDeniedException", "AuthorizationError"}
_KEY: Final = {"pk": {"S": "permission-test"}}
_NEVER: Final = {"ConditionExpression": "attribute_exists(never)"}  # so that nothing is written where it may be

_CLIENTS_SIDE: Final = {"http_api", "ws_message"}
_PUBLISHERS: Final = {*_CLIENTS_SIDE, "event_publish"}
_LIMITED: Final = {*_PUBLISHERS, "http_stream"}
_CONNECTED: Final = {*_LIMITED, "ws_connect", "ws_disconnect", "fan_out", "janitor"}
_STREAMING: Final = {*_LIMITED, "publish_worker", "fan_out"}
_ATTENDING: Final = {*_CLIENTS_SIDE, "http_stream", "presence"}
_ENDING: Final = {"ws_disconnect", "fan_out", "janitor", "event_publish"}
_NOBODY: Final[set[str]] = set()

# Who may do what. A call is named by its table, queue or service, and its action.
MAY: Final[dict[tuple[str, str], set[str]]] = {
    **{("connections", action): _CONNECTED for action in ("get", "query", "put", "update", "delete")},
    **{("streams", action): {*_STREAMING, "presence"} for action in ("get", "query")},
    ("streams", "put"): _STREAMING,
    **{("streams", action): _NOBODY for action in ("update", "delete")},
    **{("state", action): _CLIENTS_SIDE for action in ("get", "query", "put", "update", "delete")},
    **{("presence", action): _ATTENDING for action in ("get", "query", "put", "delete")},
    ("presence", "update"): {*_ATTENDING, *_ENDING},
    # API keys lie there too.
    **{("limits", action): {"http_api"} for action in ("get", "query", "put", "put an API key", "update", "delete")},
    ("limits", "put a bucket"): {*_LIMITED, "ws_connect"},
    **{
        (table, action): _NOBODY
        for table in ("connections", "streams", "state", "presence", "limits")
        for action in ("scan", "change table", "describe")
    },
    **{(lane, "send"): _PUBLISHERS for lane in ("high lane", "normal lane", "low lane")},
    **{(lane, "take"): {"publish_worker"} for lane in ("high lane", "normal lane", "low lane")},
    ("normal dead letters", "send"): {"publish_worker"},
    ("normal dead letters", "take"): {"http_api"},
    ("delivery queue", "send"): {*_PUBLISHERS, "fan_out"},
    ("delivery queue", "take"): {"fan_out"},
    ("deadline queue", "send"): {*_CLIENTS_SIDE, "http_stream", "ws_connect", "janitor"},
    ("deadline queue", "take"): {"janitor"},
    ("look queue", "send"): {*_ATTENDING, *_ENDING},
    ("look queue", "take"): {"presence"},
    ("event queue", "send"): {"http_api"},
    ("event queue", "take"): {"event_publish"},
    ("bus", "put"): {*_LIMITED, "publish_worker", "janitor", "presence"},
    ("default bus", "put"): _NOBODY,
    ("token secret", "read"): {*_CLIENTS_SIDE, "http_stream", "canary"},
    ("token secret", "write"): _NOBODY,
    ("another secret", "read"): _NOBODY,
    ("a connection", "post"): {*_PUBLISHERS, "fan_out", "janitor"},
    ("metrics", "read"): {"http_api"},
    ("a function", "invoke"): _NOBODY,
    ("logs", "read"): _NOBODY,
    ("roles", "list"): _NOBODY,
}

Call = Callable[[], object]


class Calls:
    """Every call of the table, as one role makes it. Where it is allowed it fails all the same, or does no harm."""

    def __init__(self, stack: LocalStack, role: boto3.Session, other_secret: str) -> None:
        self._stack, self._role, self._other_secret = stack, role, other_secret
        lambda_ = boto3.client("lambda")
        names = stack.function_names()
        configuration = [lambda_.get_function_configuration(FunctionName=name) for name in names.values()]
        self._environment: dict[str, str] = {}
        for one in configuration:
            self._environment |= one["Environment"]["Variables"]
        self._some_function = names["janitor"]

    def of(self, thing: str, action: str) -> Call:
        """Return a call of the table."""
        if f"{thing} table" in self._tables():
            return self._table(self._tables()[f"{thing} table"], action)
        if thing in self._queues():
            return self._queue(self._queues()[thing], action)
        client = self._role.client
        secret = self._environment[contract.ENV_TOKEN_SECRET_ARN]
        match thing, action:
            case "bus", _:
                return lambda: self._put_event(EventBusName=self._environment[contract.ENV_EVENT_BUS_NAME])
            case "default bus", _:
                return self._put_event
            case "token secret", "read":
                return lambda: client("secretsmanager").get_secret_value(SecretId=secret)
            case "token secret", _:
                return lambda: client("secretsmanager").update_secret_version_stage(SecretId=secret, VersionStage="x")
            case "another secret", _:
                return lambda: client("secretsmanager").get_secret_value(SecretId=self._other_secret)
            case "a connection", _:
                # The edge checks nothing: this is the emulator's own way to the connections of the same API.
                url = f"{self._stack.emulator.endpoint}/_aws/execute-api/{self._stack.outputs['WebSocketApiId']}/v1"
                api = client("apigatewaymanagementapi", endpoint_url=url)
                return lambda: api.post_to_connection(ConnectionId="none", Data=b"{}")
            case "metrics", _:
                day = datetime(2026, 1, 1, tzinfo=UTC)
                return lambda: client("cloudwatch").get_metric_data(MetricDataQueries=[], StartTime=day, EndTime=day)
            case "a function", _:
                return lambda: client("lambda").invoke(FunctionName=self._some_function, Payload=b'{"Records": []}')
            case "logs", _:
                return lambda: client("logs").filter_log_events(logGroupName="none")
            case _:
                return lambda: client("iam").list_roles()

    def _tables(self) -> dict[str, str]:
        outputs = contract.OUTPUT_TABLE_NAMES
        variables = {
            "connections": contract.ENV_CONNECTIONS_TABLE,
            "streams": contract.ENV_STREAMS_TABLE,
            "state": contract.ENV_STATE_TABLE,
            "presence": contract.ENV_PRESENCE_TABLE,
            "limits": contract.ENV_LIMITS_TABLE,
        }
        return {f"{name} table": self._stack.outputs[outputs[variable]] for name, variable in variables.items()}

    def _queues(self) -> dict[str, str]:
        lanes = {f"{lane} lane": self._environment[name] for lane, name in contract.ENV_LANE_URLS.items()}
        return lanes | {
            "normal dead letters": self._environment[contract.ENV_DEAD_LETTER_URLS["normal"]],
            "delivery queue": self._environment[contract.ENV_DELIVERY_QUEUE_URL],
            "deadline queue": self._environment[contract.ENV_DEADLINE_QUEUE_URL],
            "look queue": self._environment[contract.ENV_LOOK_QUEUE_URL],
            "event queue": self._environment[contract.ENV_EVENT_QUEUE_URL],
        }

    def _table(self, table: str, action: str) -> Call:
        client: Any = self._role.client("dynamodb")
        # The streams' sort key is a number.
        key = _KEY | ({"sk": {"N": "0"}} if "Streams" in table else {"sk": {"S": "none"}})
        calls: dict[str, Call] = {
            "get": lambda: client.get_item(TableName=table, Key=key),
            "query": lambda: client.query(
                TableName=table, KeyConditionExpression="pk = :pk", ExpressionAttributeValues={":pk": key["pk"]}
            ),
            "put": lambda: client.put_item(TableName=table, Item=key, **_NEVER),
            "put a bucket": lambda: client.put_item(TableName=table, Item=key | {"pk": {"S": "BUCKET#x"}}, **_NEVER),
            "put an API key": lambda: client.put_item(TableName=table, Item=key | {"pk": {"S": "APIKEY#x"}}, **_NEVER),
            "update": lambda: client.update_item(TableName=table, Key=key, UpdateExpression="REMOVE never", **_NEVER),
            "delete": lambda: client.delete_item(TableName=table, Key=key, **_NEVER),
            "scan": lambda: client.scan(TableName=table, Limit=1),
            "change table": lambda: client.update_table(TableName=table, BillingMode="PAY_PER_REQUEST"),
            "describe": lambda: client.describe_table(TableName=table),
        }
        return calls[action]

    def _queue(self, url: str, action: str) -> Call:
        client: Any = self._role.client("sqs")
        if action == "take":
            return lambda: client.delete_message(QueueUrl=url, ReceiptHandle="none")
        group = {"MessageGroupId": "g", "MessageDeduplicationId": "d"} if url.endswith(".fifo") else {}
        return lambda: client.send_message(QueueUrl=url, MessageBody="{}", DelaySeconds=901, **group)

    def _put_event(self, **bus: str) -> object:
        entry: Any = {"Source": "tidewire.test", "DetailType": "nobody listens", "Detail": "{}", **bus}
        return self._role.client("events").put_events(Entries=[entry])


@pytest.fixture(scope="module")
def other_secret() -> Iterator[str]:
    client = boto3.client("secretsmanager")
    arn = client.create_secret(Name="somebody-elses", SecretString="x")["ARN"]
    yield arn
    client.delete_secret(SecretId=arn, ForceDeleteWithoutRecovery=True)


def role_of(function: str) -> boto3.Session:
    """Return a session with the function's role: the emulator lets the account's root have it."""
    role = boto3.client("lambda").get_function_configuration(FunctionName=function)["Role"]
    given = boto3.client("sts").assume_role(RoleArn=role, RoleSessionName="test")["Credentials"]
    return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])


def allowed(call: Call) -> bool:
    """Tell whether it is not refused; it may fail otherwise."""
    try:
        call()
    except ClientError as error:
        return error.response["Error"]["Code"] not in _REFUSALS
    return True


def names(stack: LocalStack) -> dict[str, str]:
    """Return the deployed name of every function."""
    return stack.function_names() | {"http_stream": stack.outputs[contract.OUTPUT_STREAM_FUNCTION]}


def test_the_table_has_every_function(stack: LocalStack) -> None:
    assert set(names(stack)) == set().union(*MAY.values())


FUNCTIONS: Final = sorted(set().union(*MAY.values()))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_what_it_was_granted_and_nothing_else(stack: LocalStack, other_secret: str, name: str) -> None:
    calls = Calls(stack, role_of(names(stack)[name]), other_secret)
    wrong = {
        f"{thing}: {action}": "allowed" if name not in may else "refused"
        for (thing, action), may in MAY.items()
        if allowed(calls.of(thing, action)) != (name in may)
    }
    assert wrong == {}
