"""Route ``$disconnect``: the connection goes, its session may come back."""

import pytest

from functions.ws_disconnect.handler import lambda_handler
from tests.unit.functions.conftest import Context
from tests.unit.stack import MemoryStack

EVENT = {"requestContext": {"connectionId": "c"}}


@pytest.mark.usefixtures("services")
def test_the_connection_leaves_every_channel_and_its_session_stays(stack: MemoryStack) -> None:
    stack.connect("c", "ann")
    stack.ask("c", {"type": "subscribe", "channel": "room:a"})
    connection = stack.connections.get("c")
    assert connection is not None
    for _ in range(2):  # API Gateway may call twice
        assert lambda_handler(EVENT, Context()) == {"statusCode": 200}
    assert stack.connections.get("c") is None
    assert stack.connections.subscribers("room:a").connection_ids == []
    stack.connect("d")
    hello = {"type": "hello", "protocol": 1, "token": stack.token("ann"), "session_id": connection.session_id}
    assert stack.ask("d", hello)["result"]["session_id"] == connection.session_id
    assert stack.connections.subscribers("room:a").connection_ids == ["d"]


@pytest.mark.usefixtures("services")
def test_a_connection_that_nobody_knows_is_no_error() -> None:
    assert lambda_handler(EVENT, Context()) == {"statusCode": 200}
