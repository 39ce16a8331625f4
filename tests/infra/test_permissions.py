"""What functions may do: what docs/architecture.md says, nothing else; and every wildcard has been looked at."""

import json
import re
from collections.abc import Iterator
from typing import Any, Final

import pytest

from tests.infra.template import FUNCTIONS, LANES, ROOT, STATEFUL, Right, Synthesised, arn, listed, ref, text, values_of

_READ: Final = {f"dynamodb:{action}" for action in ("BatchGetItem", "GetItem", "Query")}
_WRITE: Final = {f"dynamodb:{action}" for action in ("BatchWriteItem", "DeleteItem", "PutItem", "UpdateItem")}
_SEND: Final = {"sqs:GetQueueAttributes", "sqs:GetQueueUrl", "sqs:SendMessage"}
_CONSUME: Final = {
    f"sqs:{action}"
    for action in ("ChangeMessageVisibility", "DeleteMessage", "GetQueueAttributes", "GetQueueUrl", "ReceiveMessage")
}
_LOG: Final = {"logs:CreateLogStream", "logs:PutLogEvents"}
TRACE: Final = {"xray:PutTelemetryRecords", "xray:PutTraceSegments"}
# A request that names no key would satisfy the first alone.
_BUCKETS: Final = json.dumps(
    {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": "BUCKET#*"},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }
)
_READ_SECRET: Final = {"secretsmanager:DescribeSecret", "secretsmanager:GetSecretValue"}

_CONNECTIONS: Final = (
    "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${WebsocketApiD2C932E4}/v1/*/@connections/*"
)

# Resources with a wildcard, and why there is one.
_REVIEWED: Final = {
    ("*", frozenset(TRACE)): (
        "X-Ray has no resources to name here: "
        "docs.aws.amazon.com/service-authorization/latest/reference/list_awsx-ray.html"
    ),
    ("*", frozenset({"cloudwatch:GetMetricData"})): (
        "nor has CloudWatch: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/permissions-reference-cw.html"
    ),
    (_CONNECTIONS, frozenset({"execute-api:ManageConnections"})): (
        "method and connection id; one API, one stage: "
        "docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html"
    ),
}

Statement = dict[str, Any]


def _statements(stage: Synthesised, effect: str) -> list[Statement]:
    """Return every statement of every policy, whatever kind of resource it stands in."""
    found = [statement for statements in values_of("Statement", stage.document) for statement in listed(statements)]
    return [statement for statement in found if statement["Effect"] == effect]


def traced(stage: Synthesised) -> bool:
    """Tell whether its functions are: the emulator has no X-Ray."""
    return stage.name != "local"


def _resources(statement: Statement) -> Iterator[str]:
    return (text(resource) for resource in listed(statement.get("Resource", [])))


def test_no_action_is_a_wildcard(stage: Synthesised) -> None:
    actions = {action for statement in _statements(stage, "Allow") for action in listed(statement["Action"])}
    assert {"sqs:SendMessage", "sts:AssumeRole"} <= actions  # it looks into roles and policies of queues as well
    assert [action for action in actions if "*" in action] == []


def test_nothing_is_allowed_by_exception(stage: Synthesised) -> None:
    assert not list(values_of("NotAction", stage.document))
    assert not list(values_of("NotResource", stage.document))
    assert not list(values_of("NotPrincipal", stage.document))


def test_every_wildcard_in_a_resource_has_a_reason_and_every_reason_a_wildcard(stage: Synthesised) -> None:
    found = {
        (resource, frozenset(listed(statement["Action"])))
        for statement in _statements(stage, "Allow")
        for resource in _resources(statement)
        if "*" in resource
    }
    assert found == {one for one in _REVIEWED if traced(stage) or one[1] != TRACE}


def test_nobody_has_a_policy_of_awss(stage: Synthesised) -> None:
    assert list(values_of("ManagedPolicyArns", stage.document)) == []


def test_queues_and_the_topic_are_used_over_tls_alone(stage: Synthesised) -> None:
    denied = _statements(stage, "Deny")
    for statement in denied:
        assert (statement["Action"], statement["Principal"]) in (("sqs:*", {"AWS": "*"}), ("sns:Publish", "*"))
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}
    used = [text(arn(queue)) for queue in stage.of_type("AWS::SQS::Queue")]
    used += [text(ref(topic)) for topic in stage.of_type("AWS::SNS::Topic")]  # a topic's Ref is its ARN
    assert sorted(next(_resources(statement)) for statement in denied) == sorted(used)


def test_only_lambda_may_take_a_functions_role(stage: Synthesised) -> None:
    for role in stage.of_type("AWS::IAM::Role").values():
        (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
        assert statement["Principal"] == {"Service": "lambda.amazonaws.com"}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_may_do_what_the_architecture_lists_and_no_more(stage: Synthesised, name: str) -> None:
    traces = {(action, "*", "") for action in TRACE} if traced(stage) else set()
    documented = _documented(name) | traces | _consumed(stage, name)
    assert stage.granted(name) == documented | _logs(stage, name)


def test_every_policy_belongs_to_one_function(stage: Synthesised) -> None:
    roles = [stage.function(name)["Role"]["Fn::GetAtt"][0] for name in stage.functions]
    used = [text(role) for policy in stage.of_type("AWS::IAM::Policy").values() for role in policy["Roles"]]
    assert sorted(used) == sorted(text(ref(role)) for role in roles)
    assert set(roles) == set(stage.of_type("AWS::IAM::Role"))


def _logs(stage: Synthesised, name: str) -> set[Right]:
    """Return that a function may write into its own log group; CloudFormation has made that."""
    group = stage.function(name)["LoggingConfig"]["LogGroup"]["Ref"]
    return {(action, text(arn(group)), "") for action in _LOG}


def _consumed(stage: Synthesised, name: str) -> set[Right]:
    """Return what Lambda needs of the function's role to wake it from its queues."""
    mappings = stage.of_type("AWS::Lambda::EventSourceMapping").values()
    queues = [
        mapping["EventSourceArn"] for mapping in mappings if mapping["FunctionName"] == ref(stage.function_ids[name])
    ]
    return {(action, text(queue), "") for queue in queues for action in _CONSUME}


def _documented(name: str) -> set[Right]:
    """Return what the table of docs/architecture.md says that a function may do."""
    row = re.search(rf"^\| `{name}` \|.*\| (.+) \|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE)
    assert row
    rights = set[Right]()
    for clause in row.group(1).split("; "):
        verb, _, objects = clause.partition(" ")
        for what in objects.split(", "):
            rights |= _rights(verb, what)
    return rights


def _rights(verb: str, what: str) -> set[Right]:
    actions: set[str]
    condition = ""
    resources: list[Any]
    match verb, what:
        case "manage", "connections":
            return {("execute-api:ManageConnections", _CONNECTIONS, "")}
        case "read", "metrics":
            return {("cloudwatch:GetMetricData", "*", "")}
        case "put", "events":
            actions, resources = {"events:PutEvents"}, [arn(STATEFUL["bus"])]
        case "put", "buckets":
            actions, resources, condition = {"dynamodb:PutItem"}, [arn(STATEFUL["limits"])], _BUCKETS
        case "read", "token secret":
            actions, resources = _READ_SECRET, [ref(STATEFUL["token secret"])]  # a secret's Ref is its ARN
        case "send", "lanes":
            actions, resources = _SEND, [arn(STATEFUL[f"{lane} lane"]) for lane in LANES]
        case "send", "lanes' dead letters":
            actions, resources = _SEND, [arn(STATEFUL[f"{lane} lane's dead letters"]) for lane in LANES]
        case "take", "lanes' dead letters":
            actions, resources = _CONSUME, [arn(STATEFUL[f"{lane} lane's dead letters"]) for lane in LANES]
        case "take", queue:
            actions, resources = _CONSUME, [arn(STATEFUL[queue])]
        case "send", queue:
            actions, resources = _SEND, [arn(STATEFUL[queue])]
        case "update", table:
            actions, resources = {"dynamodb:UpdateItem"}, [arn(STATEFUL[table])]
        case "read", table:
            actions, resources = _READ, [arn(STATEFUL[table])]
        case "append", table:
            actions, resources = _READ | {"dynamodb:PutItem"}, [arn(STATEFUL[table])]
        case "rw", table:
            actions, resources = _READ | _WRITE, [arn(STATEFUL[table])]
        case _:
            raise AssertionError(f"{verb} {what}: not known here")
    return {(action, text(resource), condition) for action in actions for resource in resources}
