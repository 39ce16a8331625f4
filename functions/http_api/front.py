"""Who comes by CloudFront, where the stage has it, and whose address it says; whoever comes another way is refused."""

from typing import Final

from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from functions.http_api.problems import problem
from shared.adapters.telemetry import failure
from shared.bootstrap import Services
from shared.errors import InternalError, TidewireError
from shared.services.front_door import FrontDoor

# AWS Lambda Web Adapter asks for it from inside the function before there is any request, and it tells nothing.
_FOR_ALL: Final = "/healthz"


class ByFrontDoor:
    """ASGI middleware: behind it ``request.client`` is the client, not CloudFront."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or refuse it."""
        services: Services = scope["app"].state.services
        door = services.front_door
        if door is None or scope["type"] != "http" or scope["path"] == _FOR_ALL or _is_signed(scope):
            await self._app(scope, receive, send)
            return
        try:
            address = await run_in_threadpool(_address, door, scope)
        except Exception as error:  # route.py, which takes care of them, is behind this
            if not isinstance(error, TidewireError):
                failure(error)
                error = InternalError()
            await problem(error)(scope, receive, send)
            return
        await self._app({**scope, "client": (address, 0)}, receive, send)


def _address(door: FrontDoor, scope: Scope) -> str:
    peer, _ = scope["client"] or ("", 0)
    return door.address(Headers(scope=scope), peer)


def _is_signed(scope: Scope) -> bool:
    """Whether API Gateway has checked an IAM signature: it signs the host, so it can't come by another one.

    Source: docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
    (``authorizer.iam``, which API Gateway alone can set).
    """
    context = scope.get("aws.event", {}).get("requestContext", {})
    return bool((context.get("authorizer") or {}).get("iam"))
