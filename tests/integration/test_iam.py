"""Servers that sign their calls, on the deployed stack: by the edge, which stands where API Gateway stands."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest

from localstack.stack import LocalStack
from tests.integration.conftest import Connect
from tests.integration.test_http import assert_problem


class Signed(httpx.Auth):
    """As a server does it: with what boto3 finds as credentials."""

    requires_request_body = True

    def auth_flow(self, request: httpx.Request) -> Any:
        aws = AWSRequest(method=request.method, url=str(request.url), data=request.content)
        credentials = boto3.Session().get_credentials()
        assert credentials is not None
        SigV4Auth(credentials, "execute-api", "us-east-1").add_auth(aws)
        request.headers.update(dict(aws.headers.items()))
        yield request


@pytest.fixture
def server(http: httpx.Client) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=http.base_url, auth=Signed(), timeout=http.timeout) as client:
        yield client


async def test_it_publishes_and_is_an_admin_without_a_key(server: httpx.Client, connect: Connect, channel: str) -> None:
    ann = await connect("ann", subscribe=[{"channel": channel}])
    body = {"channel": channel, "name": "said", "data": "signed"}
    answer = server.post("/iam/v1/publish", json=body)
    assert answer.status_code == 200, answer.text
    [event] = await ann.wait_for_events(channel, 1)
    assert (event["data"], event["sender"]["user_id"]) == ("signed", "iam:test")
    history = server.get(f"/iam/v1/channels/{channel}/history", params={"limit": 1})
    assert [one["data"] for one in history.json()["publications"]] == ["signed"]
    assert server.get("/iam/v1/keys").status_code == 200
    assert server.get("/v1/keys").status_code == 401, "elsewhere a signature says nothing"


def test_what_was_tampered_with_is_forbidden(server: httpx.Client, http: httpx.Client, channel: str) -> None:
    body = json.dumps({"channel": channel, "name": "said", "data": 1}).encode()
    json_ = {"Content-Type": "application/json"}
    request = httpx.Request("POST", f"{http.base_url}/iam/v1/publish", content=body, headers=json_)
    headers = next(Signed().auth_flow(request)).headers
    for path, content in (
        ("/iam/v1/publish", body.replace(b"1", b"2")),
        ("/iam/v1/keys", body),
        ("/iam/v1/publish?x=1", body),
    ):
        answer = http.post(path, content=content, headers=headers)
        assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})
    late = httpx.Headers(headers)
    late["X-Amz-Date"] = "20200101T000000Z"
    assert http.post("/iam/v1/publish", content=body, headers=late).status_code == 403
    assert http.post("/iam/v1/publish", content=body).status_code == 403
    assert http.post("/iam/v1/publish", content=body, headers=headers).status_code == 200, "it was a good one"


def test_the_function_asks_nothing_that_a_client_can_say(everywhere: httpx.Client, stack: LocalStack) -> None:
    context = {"authorizer": {"iam": {"userArn": "arn:aws:iam::000000000000:user/test"}}}
    headers = {"x-amzn-request-context": json.dumps(context), "Authorization": "AWS4-HMAC-SHA256 x"}
    answer = everywhere.get("/iam/v1/keys", headers=headers)
    assert answer.status_code == 403
    if "name" in answer.json():  # the function's own word; before the edge's app it is API Gateway's
        assert_problem(answer, 403, "forbidden")
