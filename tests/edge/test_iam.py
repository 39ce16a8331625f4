"""Who may call ``/iam/…`` at the edge: whoever has signed just this call, just now, with the credentials."""

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from localstack.edge.iam import IamAuthorizer

ORIGIN = "http://localhost:8080"
NOW = datetime(2026, 11, 26, 21, 0, 0, tzinfo=UTC)
BODY = b'{"channel": "room:a", "name": "said", "data": 1}'


async def told(request: Request) -> Response:
    body = (await request.body()).decode()
    return JSONResponse({"iam": request.scope.get("aws.event"), "path": request.url.path, "body": body})


@pytest.fixture
def http() -> httpx.AsyncClient:
    app = Starlette(routes=[Route("/{path:path}", told, methods=["GET", "POST", "PUT"])])
    authorizer = IamAuthorizer(app, key_id="AKIA", secret_key="secret", now_s=NOW.timestamp)
    return httpx.AsyncClient(transport=httpx.ASGITransport(authorizer), base_url=ORIGIN)


class At(SigV4Auth):
    """Signs at a time of its own; botocore asks the clock."""

    def __init__(self, at: datetime, key: str, secret: str, service: str, token: str | None = None) -> None:
        super().__init__(Credentials(key, secret, token), service, "eu-central-1")
        self._at = at.strftime("%Y%m%dT%H%M%SZ")

    def add_auth(self, request: AWSRequest) -> None:
        request.context["timestamp"] = self._at
        self._modify_request_before_signing(request)  # type: ignore[attr-defined]  # the stubs have no private ones
        text = self.string_to_sign(request, self.canonical_request(request))
        self._inject_signature_to_request(request, self.signature(text, request))  # type: ignore[attr-defined]


def signed(
    method: str = "POST",
    target: str = "/iam/v1/publish",
    body: bytes = BODY,
    *,
    late_s: float = 0,
    key: str = "AKIA",
    secret: str = "secret",
    service: str = "execute-api",
    headers: Mapping[str, str] | None = None,
    token: str | None = None,
) -> dict[str, str]:
    """Return the headers of a call that is signed."""
    request = AWSRequest(method=method, url=ORIGIN + target, data=body, headers=dict(headers or {}))
    At(NOW - timedelta(seconds=late_s), key, secret, service, token).add_auth(request)
    return dict(request.headers.items())


async def test_a_signed_call_is_passed_on_with_who_signed_it(http: httpx.AsyncClient) -> None:
    answer = await http.post("/iam/v1/publish", content=BODY, headers=signed())
    assert answer.json()["body"] == BODY.decode()
    assert (
        answer.json()["iam"]["requestContext"]["authorizer"]["iam"]["userArn"] == "arn:aws:iam::000000000000:user/AKIA"
    )


@pytest.mark.parametrize(
    "target",
    [
        "/iam/v1/keys?after=b&after=a&limit=",
        "/iam/v1/keys?b=%20+%2F&a=%C3%BC",
        "/iam/v1/channels/user%3Aann%2540x/history",
        "/iam/v1/users/a%2Fb%20c/data",
        "/iam/",
    ],
)
async def test_whatever_its_path_and_query_are(http: httpx.AsyncClient, target: str) -> None:
    answer = await http.get(target, headers=signed("GET", target, b""))
    assert answer.status_code == 200, answer.text


async def test_temporary_credentials_and_other_headers_may_be_signed(http: httpx.AsyncClient) -> None:
    headers = signed(token="session", headers={"Content-Type": "application/json", "If-Match": '"3"'})
    assert (await http.post("/iam/v1/publish", content=BODY, headers=headers)).status_code == 200


@pytest.mark.parametrize("late_s", [-299, 299])
async def test_clocks_may_differ_by_five_minutes(http: httpx.AsyncClient, late_s: float) -> None:
    headers = signed(late_s=late_s)
    assert (await http.post("/iam/v1/publish", content=BODY, headers=headers)).status_code == 200


def without(name: str) -> dict[str, str]:
    return {header: value for header, value in signed().items() if header.lower() != name}


def changed(old: str, new: str) -> dict[str, str]:
    headers = signed()
    assert old in headers["Authorization"]
    return headers | {"Authorization": headers["Authorization"].replace(old, new)}


BAD: dict[str, Callable[[], dict[str, str]]] = {
    "not signed": dict,
    "a bearer token": lambda: {"Authorization": "Bearer x"},
    "an API key": lambda: {"X-API-Key": "a.b"},
    "another method's": lambda: signed("PUT"),
    "another path's": lambda: signed(target="/iam/v1/keys"),
    "another query's": lambda: signed(target="/iam/v1/publish?x=1"),
    "another body's": lambda: signed(body=BODY.replace(b"1", b"2")),
    "no body's": lambda: signed(body=b""),
    "a body that is said to be another": lambda: signed(
        body=BODY.replace(b"1", b"2"),
        headers={"X-Amz-Content-SHA256": hashlib.sha256(BODY.replace(b"1", b"2")).hexdigest()},
    ),
    "a body that is not signed": lambda: signed(headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}),
    "too old": lambda: signed(late_s=301),
    "of the future": lambda: signed(late_s=-301),
    "of another day": lambda: signed(late_s=86_400),
    "of another secret": lambda: signed(secret="guess"),
    "of nobody's key": lambda: signed(key="AKIB"),
    "for another service": lambda: signed(service="sqs"),
    "without its date": lambda: without("x-amz-date"),
    "with another date": lambda: signed() | {"X-Amz-Date": "20261126T210001Z"},
    "with a date that is none": lambda: signed() | {"X-Amz-Date": "20261126Tnow"},
    "with another host": lambda: signed() | {"Host": "evil.example"},
    "without the host among what is signed": lambda: changed("SignedHeaders=host;", "SignedHeaders="),
    "with a header signed that is not there": lambda: changed("SignedHeaders=host;", "SignedHeaders=host;x-a;"),
    "with a header changed": lambda: signed(headers={"If-Match": '"3"'}) | {"If-Match": '"4"'},
    "with another region": lambda: changed("eu-central-1", "us-east-1"),
    "with a signature too short": lambda: changed("Signature=", "Signature=0"),
    "with a line's end": lambda: changed("AKIA/", "AKIA/\t"),
    "with an empty signature": lambda: {"Authorization": "AWS4-HMAC-SHA256 Credential=, SignedHeaders=, Signature="},
}


@pytest.mark.parametrize("name", BAD)
async def test_every_other_call_is_forbidden(http: httpx.AsyncClient, name: str) -> None:
    answer = await http.post("/iam/v1/publish", content=BODY, headers=BAD[name]())
    assert (answer.status_code, answer.json()) == (403, {"message": "Forbidden"})


async def test_a_header_that_comes_twice_is_not_signed(http: httpx.AsyncClient) -> None:
    headers = [*signed(headers={"If-Match": '"3"'}).items(), ("If-Match", '"4"')]
    assert (await http.post("/iam/v1/publish", content=BODY, headers=headers)).status_code == 403


async def test_a_body_is_read_up_to_what_api_gateway_takes(http: httpx.AsyncClient) -> None:
    body = b"x" * 10_000_001
    assert (await http.post("/iam/v1/publish", content=body, headers=signed(body=body))).status_code == 403


@pytest.mark.parametrize("path", ["/v1/publish", "/iamb/v1/publish", "/iam", "//iam/v1/publish"])
async def test_other_paths_are_nothing_to_it_and_tell_of_nobody(http: httpx.AsyncClient, path: str) -> None:
    answer = await http.post(path, content=BODY, headers=signed(target=path))
    assert (answer.status_code, answer.json()["iam"]) == (200, None)


async def test_nobody_signs_again_with_what_was_read_once() -> None:
    """A client that has gone before its body is whole calls nothing."""
    called: list[Any] = []

    async def app(scope: Scope, _receive: Receive, _send: Send) -> None:
        called.append(scope)

    async def gone() -> Any:
        return {"type": "http.disconnect"}

    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/iam/v1/publish", "raw_path": b"", "headers": []}
    await IamAuthorizer(app, key_id="AKIA", secret_key="secret")(scope, gone, send)
    assert not called
    assert sent[0]["status"] == 403
    assert json.loads(sent[1]["body"]) == {"message": "Forbidden"}
