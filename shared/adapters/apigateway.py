"""``@connections``: the way to a live WebSocket."""

from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from shared.adapters.aws import translated
from shared.errors import ConnectionGoneError

if TYPE_CHECKING:
    from mypy_boto3_apigatewaymanagementapi.client import ApiGatewayManagementApiClient


class ApiGatewayTransport:
    """Posts to, and deletes, connections of one WebSocket API. Safe to use from many threads."""

    def __init__(self, client: "ApiGatewayManagementApiClient") -> None:
        self._client = client

    def push(self, connection_id: str, message: bytes) -> None:
        try:
            with translated():
                self._client.post_to_connection(ConnectionId=connection_id, Data=message)
        except ClientError as error:
            raise _gone_or(error) from error

    def last_active_ms(self, connection_id: str) -> int | None:
        try:
            with translated():
                answer = self._client.get_connection(ConnectionId=connection_id)
        except ClientError as error:
            if isinstance(_gone_or(error), ConnectionGoneError):
                return None
            raise
        return int(answer["LastActiveAt"].timestamp() * 1000)

    def close(self, connection_id: str) -> None:
        try:
            with translated():
                self._client.delete_connection(ConnectionId=connection_id)
        except ClientError as error:
            raise _gone_or(error) from error


def _gone_or(error: ClientError) -> Exception:
    return ConnectionGoneError() if error.response["Error"]["Code"] == "GoneException" else error
