"""``@connections``: who has gone is told from what may pass by itself."""

import datetime
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import boto3
import pytest
from botocore.exceptions import ClientError
from botocore.stub import Stubber

from shared.adapters.apigateway import ApiGatewayTransport
from shared.errors import ConnectionGoneError, UnavailableError

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi.client import ApiGatewayManagementApiClient

CONNECTION_ID = "L0SM9cOFIAMCJqQ="
POST, DELETE = "post_to_connection", "delete_connection"
CALLS: dict[str, Callable[[ApiGatewayTransport], None]] = {
    POST: lambda transport: transport.push(CONNECTION_ID, b"{}"),
    DELETE: lambda transport: transport.close(CONNECTION_ID),
}


@pytest.fixture
def client() -> "ApiGatewayManagementApiClient":
    return boto3.client(
        "apigatewaymanagementapi",
        endpoint_url="http://localhost",
        region_name="us-east-1",
        aws_access_key_id="x",
        aws_secret_access_key="x",
    )


@pytest.fixture
def stub(client: "ApiGatewayManagementApiClient") -> Iterator[Stubber]:
    with Stubber(client) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def test_a_message_goes_to_its_connection(client: "ApiGatewayManagementApiClient", stub: Stubber) -> None:
    stub.add_response(POST, {}, {"ConnectionId": CONNECTION_ID, "Data": b'{"type":"pong"}'})
    ApiGatewayTransport(client).push(CONNECTION_ID, b'{"type":"pong"}')


def test_closing_is_deleting(client: "ApiGatewayManagementApiClient", stub: Stubber) -> None:
    stub.add_response(DELETE, {}, {"ConnectionId": CONNECTION_ID})
    ApiGatewayTransport(client).close(CONNECTION_ID)


def test_a_connection_that_is_there_tells_when_it_was_last_used(
    client: "ApiGatewayManagementApiClient", stub: Stubber
) -> None:
    at = datetime.datetime(2026, 11, 25, 12, tzinfo=datetime.UTC)
    stub.add_response("get_connection", {"LastActiveAt": at}, {"ConnectionId": CONNECTION_ID})
    assert ApiGatewayTransport(client).last_active_ms(CONNECTION_ID) == 1_795_608_000_000
    stub.add_client_error("get_connection", "GoneException", http_status_code=410)
    assert ApiGatewayTransport(client).last_active_ms(CONNECTION_ID) is None


@pytest.mark.parametrize("method", CALLS)
def test_410_is_a_connection_that_has_gone(client: "ApiGatewayManagementApiClient", stub: Stubber, method: str) -> None:
    stub.add_client_error(method, "GoneException", http_status_code=410)
    with pytest.raises(ConnectionGoneError):
        CALLS[method](ApiGatewayTransport(client))


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(("code", "status"), [("LimitExceededException", 429), ("InternalServerError", 500)])
def test_a_throttle_and_a_failure_there_may_pass(
    client: "ApiGatewayManagementApiClient", stub: Stubber, method: str, code: str, status: int
) -> None:
    stub.add_client_error(method, code, http_status_code=status)
    with pytest.raises(UnavailableError) as caught:
        CALLS[method](ApiGatewayTransport(client))
    assert caught.value.retry_after_ms == 1000


@pytest.mark.parametrize("method", CALLS)
@pytest.mark.parametrize(("code", "status"), [("ForbiddenException", 403), ("PayloadTooLargeException", 413)])
def test_what_will_not_pass_is_not_hidden(
    client: "ApiGatewayManagementApiClient", stub: Stubber, method: str, code: str, status: int
) -> None:
    stub.add_client_error(method, code, http_status_code=status)
    with pytest.raises(ClientError, match=code):
        CALLS[method](ApiGatewayTransport(client))
