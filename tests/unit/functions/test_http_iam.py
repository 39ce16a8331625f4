"""Below ``/iam``: only whom API Gateway names in the event gets in, as a server that may do all that it can call."""

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from shared.bootstrap import Services
from tests.unit.functions.conftest import add_key
from tests.unit.functions.test_http_app import app_of, client_of
from tests.unit.functions.test_http_handler import event
from tests.unit.stack import MemoryStack

ROLE = "arn:aws:sts::123456789012:assumed-role/orders-service/i-0abc"
PUBLISH = json.dumps({"channel": "broadcast:all", "name": "said", "data": 1, "priority": "express"})

Call = Callable[..., tuple[int, Any]]


@pytest.fixture
def call(http_function: Callable[[Any], Any]) -> Call:
    def invoke(
        method: str, path: str, body: str | None = None, headers: Any = None, *, context: Any = None
    ) -> tuple[int, Any]:
        asked = event(method, path, body, headers)
        asked["requestContext"] |= context or {}
        answer = http_function(asked)
        text = base64.b64decode(answer["body"]) if answer["isBase64Encoded"] else answer["body"]
        return answer["statusCode"], json.loads(text or "null")

    return invoke


def iam(arn: Any) -> dict[str, Any]:
    """Return what API Gateway adds to the request's context."""
    described = {"accessKey": "ASIA", "accountId": "123456789012", "callerId": "AROA:i", "cognitoIdentity": None}
    return {"authorizer": {"iam": described | {"principalOrgId": "", "userArn": arn, "userId": "AROA:i"}}}


@pytest.mark.parametrize(
    ("arn", "user_id"),
    [
        (ROLE, "iam:orders-service"),
        ("arn:aws:sts::123456789012:assumed-role/orders-service/broadcast/../x", "iam:orders-service"),
        ("arn:aws-cn:sts::123456789012:assumed-role/a+b=c,d.e@f-g/s", "iam:a+b=c,d.e@f-g"),
        ("arn:aws:iam::123456789012:user/alice", "iam:alice"),
        ("arn:aws:iam::123456789012:user/division/team/alice", "iam:alice"),
        ("arn:aws:sts::123456789012:federated-user/carol", "iam:carol"),
        ("arn:aws:iam::123456789012:root", "iam:root"),
    ],
)
def test_it_publishes_as_a_server_by_its_roles_or_users_name(
    call: Call, stack: MemoryStack, arn: str, user_id: str
) -> None:
    stack.connect("c", "ann")
    status, answer = call("POST", "/iam/v1/publish", PUBLISH, context=iam(arn))
    assert (status, [result["channel"] for result in answer["results"]]) == (200, ["broadcast:all"])
    assert [pushed["sender"]["user_id"] for pushed in stack.events("c")] == [user_id]


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/channels/room:a/history", "/v1/dead-letters", "/v1/connections"])
def test_it_may_what_admins_may(call: Call, path: str) -> None:
    assert call("GET", f"/iam{path}", context=iam(ROLE))[0] == 200
    assert call("GET", path, context=iam(ROLE))[0] == 401, "but only there, where the policy was asked"


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"authorizer": None},
        {"authorizer": {}},
        {"authorizer": {"iam": None}},
        {"authorizer": {"iam": {}}},
        iam(None),
        iam(""),
        iam("arn:aws:iam::123456789012:user/" + "ü" * 64),
        {"authorizer": {"jwt": {"claims": {"userArn": ROLE}}}},
        {"authorizer": {"lambda": {"iam": {"userArn": ROLE}}}},
        {"iam": {"userArn": ROLE}},
    ],
)
@pytest.mark.parametrize(
    "path", ["/iam/v1/keys", "/iam/v1/config", "/iam/healthz", "/iam/", "/iam", "/iam/iam/v1/keys"]
)
def test_whom_the_event_does_not_name_gets_nowhere(call: Call, stack: MemoryStack, context: Any, path: str) -> None:
    headers = {
        "authorization": f"Bearer {stack.token('root', {'*': ['admin']})}",
        "x-amzn-request-context": json.dumps(iam(ROLE)),
        "tidewire.iam_principal": "root",
    }
    status, problem = call("GET", path, None, headers, context=context)
    assert (status, problem["name"]) == (403, "forbidden")


@pytest.mark.parametrize(
    "path", ["/iamb/v1/keys", "/IAM/v1/keys", "//iam/v1/keys", "/v1/../iam/v1/keys", "/iam%2Fv1/keys"]
)
def test_what_only_looks_like_it_is_no_path(call: Call, path: str) -> None:
    assert call("GET", path, context=iam(ROLE))[0] == 404


def test_once_in_it_does_not_go_in_again(call: Call) -> None:
    assert call("GET", "/iam/iam/v1/keys", context=iam(ROLE))[0] == 404


def test_what_it_sends_beside_makes_it_nobody_else(call: Call, stack: MemoryStack, services: Services) -> None:
    add_key(services, "billing.secret", {"*": ["publish"]})
    stack.connect("c", "ann")
    headers = {"authorization": f"Bearer {stack.token('ann')}", "x-api-key": "billing.secret"}
    assert call("POST", "/iam/v1/publish", PUBLISH, headers, context=iam(ROLE))[0] == 200
    assert [pushed["sender"]["user_id"] for pushed in stack.events("c")] == ["iam:orders-service"]


@pytest.mark.parametrize("path", ["/v1/tickets", "/v1/sessions"])
def test_what_is_for_users_is_not_for_servers(call: Call, path: str) -> None:
    assert call("POST", f"/iam{path}", '{"protocol": 1}', context=iam(ROLE))[0] == 401


def test_channels_are_read_as_they_are_there_too(call: Call, stack: MemoryStack) -> None:
    assert call("GET", "/iam/v1/channels/user:50%25/history", context=iam(ROLE))[0] == 200


async def test_who_comes_by_another_host_of_the_app_gets_nowhere(services: Services) -> None:
    """As by the function URL: what a client says is in headers alone."""
    async with client_of(services) as http:
        for headers in ({}, {"x-amzn-request-context": json.dumps(iam(ROLE)), "aws.event": json.dumps(iam(ROLE))}):
            assert (await http.get("/iam/v1/keys", headers=headers)).status_code == 403


def test_it_is_no_path_of_the_documented_api() -> None:
    assert not [path for path in app_of("local").openapi()["paths"] if path.startswith("/iam")]
