"""What every call has in common: its body is held to what frames are held to, and a failure is told as no more."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from shared.adapters.telemetry import failure
from shared.errors import InternalError, TidewireError
from shared.protocol.decode import parse
from shared.protocol.limits import HTTP_FRAME_MAX_BYTES


class Route(APIRoute):
    """A route that refuses the bodies which :func:`parse` refuses, before FastAPI reads them its own way.

    FastAPI's way takes NaN, lone surrogates and any nesting: things that the log and the lanes can't be given.
    """

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler, between both checks."""
        handle = super().get_route_handler()

        async def checked(request: Request) -> Response:
            try:
                body = await _body(request)
            except ClientDisconnect:
                return Response(status_code=400)  # which nobody gets
            if self.body_field is not None:
                parse(body, max_bytes=HTTP_FRAME_MAX_BYTES)
            try:
                return await handle(request)
            except (TidewireError, RequestValidationError, HTTPException):
                raise
            except Exception as error:
                # Not by an exception handler: after those Starlette raises the error again, and hosts log its text.
                failure(error)
                raise InternalError from None

        return checked


async def _body(request: Request) -> bytes:
    """Return the body, which is kept for whoever asks for it; of one that no call takes, enough to refuse it."""
    chunks, size = [], 0
    async for chunk in request.stream():
        chunks.append(chunk)
        size += len(chunk)
        if size > HTTP_FRAME_MAX_BYTES:
            break
    request._body = b"".join(chunks)  # as Request.body() keeps it
    return request._body
