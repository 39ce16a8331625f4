"""Errors as application/problem+json (RFC 9457), with the members of the protocol's error object."""

from fastapi import FastAPI, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from pydantic_core import ErrorDetails
from starlette.exceptions import HTTPException

from functions.http_api.address import address_of
from shared.errors import BadFrameError, RateLimitedError, TidewireError, UnauthenticatedError
from shared.protocol.decode import field_path, invalid_fields

PROBLEM = "application/problem+json"


def problem(error: TidewireError) -> JSONResponse:
    """Return the answer for an error."""
    wire = error.to_wire()
    headers = {}
    if error.retry_after_ms is not None:
        headers["Retry-After"] = str(-(-error.retry_after_ms // 1000))
    if error.http_status == 401:
        headers["WWW-Authenticate"] = "Bearer"  # RFC 9110 section 11.6.1: a 401 names its scheme
    body = {"type": "about:blank", "title": error.name, "status": error.http_status, "detail": wire["message"], **wire}
    return JSONResponse(body, error.http_status, headers=headers, media_type=PROBLEM)


def add_handlers(app: FastAPI) -> None:
    """Make every error of the app a problem; failures are made errors in route.py."""

    @app.exception_handler(TidewireError)
    async def on_error(request: Request, error: TidewireError) -> JSONResponse:
        if isinstance(error, UnauthenticatedError):
            try:
                await run_in_threadpool(request.app.state.services.limits.failed, address_of(request))
            except RateLimitedError as limited:
                return problem(limited)
        return problem(error)

    @app.exception_handler(RequestValidationError)
    async def on_invalid(_request: Request, error: RequestValidationError) -> JSONResponse:
        return problem(_invalid(list(error.errors())))

    @app.exception_handler(HTTPException)
    async def on_http(_request: Request, error: HTTPException) -> JSONResponse:
        # Routing's own: no such path, no such method. The protocol has no code for them.
        body = {"type": "about:blank", "title": error.detail, "status": error.status_code}
        return JSONResponse(body, error.status_code, headers=error.headers, media_type=PROBLEM)


def _invalid(errors: list[ErrorDetails]) -> TidewireError:
    # Valid JSON by now (route.py), but no object, or not said to be JSON.
    if any(error["type"] == "model_attributes_type" for error in errors):
        return BadFrameError("the body is not a JSON object, nor, where that may be, an array of them")
    return invalid_fields((_path(error["loc"]), error["msg"]) for error in errors)


def _path(location: tuple[int | str, ...]) -> str:
    where, *steps = location
    return field_path(steps) if where == "body" else ".".join(map(str, steps))
