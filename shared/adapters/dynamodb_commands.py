"""Commands that wait for a peer's answer, in DynamoDB's ``connections`` table (docs/data-model.md, "connections")."""

import json
from typing import TYPE_CHECKING, Any, Final

from shared.adapters.aws import translated
from shared.contract import PK, SK, TTL_ATTRIBUTE
from shared.domain.pending_command import PendingCommand
from shared.protocol.encode import to_json

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.client import DynamoDBClient

# A command is looked at when its time is up, and again for half an hour where that fails (shared/contract.QUEUE_TRIES).
_KEPT_S: Final = 3_600


class DynamoDbPendingCommandStore:
    """The ``connections`` table.

    Items::

        pk COMMAND#<id>  sk META  asker_user_id S, asker_connection_id S, asker_session_id S, request_id S (JSON),
                                  peer_user_id S, peer_connection_id S, expires_at_ms N, expires_at_s N
    """

    def __init__(self, client: "DynamoDBClient", table: str) -> None:
        self._client = client
        self._table = table

    def put(self, pending: PendingCommand) -> None:
        with translated():
            self._client.put_item(TableName=self._table, Item=_item(pending))

    def get(self, command_id: str) -> PendingCommand | None:
        with translated():
            answer = self._client.get_item(TableName=self._table, Key=_key(command_id), ConsistentRead=True)
        return _pending(command_id, answer.get("Item"))

    def take(self, command_id: str) -> PendingCommand | None:
        # The delete decides: of two at the same time one is handed the item.
        with translated():
            answer = self._client.delete_item(TableName=self._table, Key=_key(command_id), ReturnValues="ALL_OLD")
        return _pending(command_id, answer.get("Attributes"))


def _item(pending: PendingCommand) -> dict[str, Any]:
    item = _key(pending.command_id) | {
        "asker_user_id": {"S": pending.asker_user_id},
        "asker_connection_id": {"S": pending.asker_connection_id},
        "request_id": {"S": to_json(pending.request_id).decode()},
        "peer_user_id": {"S": pending.peer_user_id},
        "expires_at_ms": {"N": str(pending.expires_at_ms)},
        TTL_ATTRIBUTE: {"N": str(pending.expires_at_ms // 1000 + _KEPT_S)},
    }
    if pending.asker_session_id is not None:
        item["asker_session_id"] = {"S": pending.asker_session_id}
    if pending.peer_connection_id is not None:
        item["peer_connection_id"] = {"S": pending.peer_connection_id}
    return item


def _pending(command_id: str, item: Any) -> PendingCommand | None:
    if not item:
        return None
    return PendingCommand(
        command_id=command_id,
        asker_user_id=item["asker_user_id"]["S"],
        asker_connection_id=item["asker_connection_id"]["S"],
        asker_session_id=item["asker_session_id"]["S"] if "asker_session_id" in item else None,
        request_id=json.loads(item["request_id"]["S"]),
        peer_user_id=item["peer_user_id"]["S"],
        peer_connection_id=item["peer_connection_id"]["S"] if "peer_connection_id" in item else None,
        expires_at_ms=int(item["expires_at_ms"]["N"]),
    )


def _key(command_id: str) -> dict[str, Any]:
    return {PK: {"S": f"COMMAND#{command_id}"}, SK: {"S": "META"}}
