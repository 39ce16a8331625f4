"""``@connections`` over HTTP, as boto3's ``apigatewaymanagementapi`` client speaks it."""

import asyncio
import datetime
from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from localstack.edge.gateway import Gateway, GoneError, PayloadTooLargeError, ThrottledError

_ERRORS = {
    410: "GoneException",
    413: "PayloadTooLargeException",
    429: "LimitExceededException",
    500: "InternalServerException",
}


def routes(gateway: Gateway) -> list[Route]:
    """Return the routes of ``/@connections/{connection_id}``."""

    async def post(connection_id: str, request: Request) -> Response:
        data = await request.body()
        if fault := gateway.faults.next("post"):
            await asyncio.sleep(fault.delay_s)
            if fault.status is not None:
                return _error(fault.status)
            if fault.drop:
                return Response()
        await gateway.post(connection_id, data)
        return Response()

    async def get(connection_id: str, _request: Request) -> Response:
        connection = gateway.describe(connection_id)
        return JSONResponse(
            {
                "connectedAt": _iso(connection.connected_at_ms),
                "lastActiveAt": _iso(connection.last_active_at_ms),
                "identity": connection.handshake.identity,
            }
        )

    async def delete(connection_id: str, _request: Request) -> Response:
        gateway.delete(connection_id)
        return Response(status_code=204)

    methods = {"POST": post, "GET": get, "DELETE": delete}
    return [
        Route("/@connections/{connection_id}", _answering(handler), methods=[method])
        for method, handler in methods.items()
    ]


def _answering(
    handler: Callable[[str, Request], Awaitable[Response]],
) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        try:
            return await handler(request.path_params["connection_id"], request)
        except GoneError:
            return _error(410)
        except PayloadTooLargeError:
            return _error(413)
        except ThrottledError:
            return _error(429)

    return endpoint


def _error(status: int) -> Response:
    name = _ERRORS.get(status, "UnknownError")
    return JSONResponse({"message": name}, status, headers={"x-amzn-ErrorType": name})


def _iso(at_ms: int) -> str:
    return datetime.datetime.fromtimestamp(at_ms / 1000, datetime.UTC).isoformat()
