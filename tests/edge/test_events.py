"""The events of a proxy integration, field by field, as AWS sends them.

docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-integration-requests.html; recorded ones are in
gist.github.com/noid11/4aa8933d0b5cdbcc09d377c5d65d28c1 and in typelevel/feral (ApiGatewayV2WebSocketEventSuite).
"""

import datetime
import re
import time

from tests.edge.running import DEADLINE_S, Event, RawClient, RunningEdge

# requestTime is in the format of access logs.
CLF = "%d/%b/%Y:%H:%M:%S +0000"


def context_of(event: Event, kind: str, *more: str) -> Event:
    """Check what every event has; return the context."""
    context: Event = event["requestContext"]
    assert context.keys() == {
        "apiId",
        "connectedAt",
        "connectionId",
        "domainName",
        "eventType",
        "extendedRequestId",
        "identity",
        "messageDirection",
        "requestId",
        "requestTime",
        "requestTimeEpoch",
        "routeKey",
        "stage",
        *more,
    }
    assert (context["eventType"], context["messageDirection"]) == (kind, "IN")
    assert (context["apiId"], context["stage"]) == ("a1b2c3", "v1")
    assert re.fullmatch(r"[A-Za-z0-9_-]{15}=", context["connectionId"])
    assert context["connectedAt"] <= context["requestTimeEpoch"] <= time.time() * 1000
    told = datetime.datetime.strptime(context["requestTime"], CLF).replace(tzinfo=datetime.UTC)
    assert told.timestamp() == context["requestTimeEpoch"] // 1000
    return context


def test_connect(edge: RunningEdge) -> None:
    with edge.connect(
        "/v1/ws?ticket=a%20b&x=1&x=2&empty=",
        origin="https://example.org",
        user_agent_header="tests",
        additional_headers=[("X-More", "1"), ("X-More", "2")],
    ):
        event = edge.invoker.wait("CONNECT")
    assert event.keys() == {
        "headers",
        "multiValueHeaders",
        "queryStringParameters",
        "multiValueQueryStringParameters",
        "requestContext",
        "isBase64Encoded",
    }
    assert event["queryStringParameters"] == {"ticket": "a b", "x": "2", "empty": ""}
    assert event["multiValueQueryStringParameters"] == {"ticket": ["a b"], "x": ["1", "2"], "empty": [""]}
    context = context_of(event, "CONNECT")
    assert context["routeKey"] == "$connect"
    assert context["domainName"] == f"127.0.0.1:{edge.port}"
    assert context["identity"] == {"sourceIp": "127.0.0.1", "userAgent": "tests"}
    assert event["isBase64Encoded"] is False
    assert event["headers"]["X-More"] == "2"
    assert event["multiValueHeaders"]["X-More"] == ["1", "2"]


def test_headers_have_the_names_that_clients_write_so_that_code_must_not_count_on_lower_case(edge: RunningEdge) -> None:
    with edge.connect(origin="https://example.org"):
        event = edge.invoker.wait("CONNECT")
    assert event["headers"]["Origin"] == "https://example.org"
    assert event["headers"]["Host"] == f"127.0.0.1:{edge.port}"
    assert event["headers"]["Sec-WebSocket-Version"] == "13"
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}
    assert not {"Connection", "Upgrade"} & event["headers"].keys()


def test_without_a_query_its_fields_are_left_out(edge: RunningEdge) -> None:
    with edge.connect():
        event = edge.invoker.wait("CONNECT")
    assert event.keys() == {"headers", "multiValueHeaders", "requestContext", "isBase64Encoded"}


def test_a_client_without_a_user_agent_has_none_in_its_identity(edge: RunningEdge) -> None:
    with RawClient(edge) as client:
        client.ask()
        client.answer()
    assert edge.invoker.wait("CONNECT")["requestContext"]["identity"] == {"sourceIp": "127.0.0.1"}


def test_message(edge: RunningEdge) -> None:
    with edge.connect() as client:
        for count in (1, 2):
            client.send('{"type": "quiet"}')
            event = edge.invoker.wait("MESSAGE", count)
            assert event.keys() == {"requestContext", "body", "isBase64Encoded"}
            assert (event["body"], event["isBase64Encoded"]) == ('{"type": "quiet"}', False)
            context = context_of(event, "MESSAGE", "messageId")
            assert context["routeKey"] == "request/quiet"
    first, second = (event["requestContext"] for event in edge.invoker.of("MESSAGE"))
    connect = edge.invoker.wait("CONNECT")["requestContext"]
    for name in ("connectionId", "connectedAt", "domainName", "identity"):
        assert first[name] == second[name] == connect[name]
    for name in ("requestId", "messageId"):
        assert first[name] != second[name]


def test_disconnect(edge: RunningEdge) -> None:
    with edge.connect() as client:
        client.close(1000, "bye")
    event = edge.invoker.wait("DISCONNECT")
    assert event.keys() == {"headers", "multiValueHeaders", "requestContext", "isBase64Encoded"}
    host = f"127.0.0.1:{edge.port}"
    assert event["headers"] == {"Host": host, "x-api-key": "", "X-Forwarded-For": "", "x-restapi": ""}
    assert event["multiValueHeaders"] == {name: [value] for name, value in event["headers"].items()}
    context = context_of(event, "DISCONNECT", "disconnectStatusCode", "disconnectReason")
    assert context["routeKey"] == "$disconnect"


def test_get_connection_tells_when_and_who(edge: RunningEdge) -> None:
    begun = datetime.datetime.now(datetime.UTC)
    with edge.connect(user_agent_header="tests") as client:
        client.send("x")
        client.recv(DEADLINE_S)
        found = edge.connections.get_connection(ConnectionId=edge.connection_id())
    assert found["Identity"] == {"SourceIp": "127.0.0.1", "UserAgent": "tests"}
    millisecond = datetime.timedelta(milliseconds=1)
    assert begun - millisecond <= found["ConnectedAt"] <= found["LastActiveAt"] <= datetime.datetime.now(datetime.UTC)
