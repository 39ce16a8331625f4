"""Publishing by HTTP (docs/protocol.md 4.4): one publication for several channels, or several at once."""

from collections.abc import Sequence
from functools import partial
from typing import Annotated, Any

from fastapi import Body, FastAPI
from fastapi.responses import JSONResponse, Response

from functions.http_api.caller import Caller, ServicesDep
from shared.adapters.telemetry import failure
from shared.bootstrap import Services
from shared.domain.principal import Principal
from shared.errors import InternalError, TidewireError
from shared.protocol.decode import check_data
from shared.protocol.rest import ListedPublication, Publications, PublishBody
from shared.services.publish import Published, PublishRequest
from shared.services.publish_batch import PublishBatch


def add_publish(app: FastAPI) -> None:
    """Add the route."""
    app.post("/v1/publish")(publish)


def publish(services: ServicesDep, principal: Caller, body: Annotated[Publications, Body()]) -> Response:
    """Publish: one publication into a channel or several, or an array of publications. The answer tells each result.

    One that fails does not stop the others. When a single publication fails in every channel, the status is that of the
    first error; an array without invalid fields is answered with 200, whatever fails.
    """
    if isinstance(body, PublishBody):
        return JSONResponse({"results": _publish_one(services, principal, body)})
    return JSONResponse({"results": _publish_all(services, principal, body)})


def _publish_one(services: Services, principal: Principal, body: PublishBody) -> list[dict[str, Any]]:
    check_data(body.data)
    received_at_ms = services.now_ms()
    results: list[dict[str, Any]] = []
    errors: list[TidewireError] = []
    for channel in body.all_channels:
        request = _request(channel, body, received_at_ms)
        try:
            published = services.publishing.publish(principal, request, connection_id=None)
            results.append({"channel": channel, **published.to_wire()})
        except TidewireError as error:
            errors.append(error)
            results.append({"channel": channel, "error": error.to_wire()})
    if len(errors) == len(results):
        raise errors[0]
    return results


def _publish_all(
    services: Services, principal: Principal, publications: Sequence[ListedPublication]
) -> list[dict[str, Any]]:
    for place, one in enumerate(publications):
        check_data(one.data, field=f"{place}.data")
    received_at_ms = services.now_ms()
    batch = PublishBatch(services.publishing)
    for place, one in enumerate(publications):
        request = _request(one.channel, one, received_at_ms)
        alike = None if one.ephemeral else one.channel
        batch.add(place, alike, partial(services.publishing.admit, principal, request, connection_id=None))
    outcomes = batch.finish()
    return [{"channel": one.channel, **_told(outcomes[place])} for place, one in enumerate(publications)]


def _request(channel: str, body: PublishBody | ListedPublication, received_at_ms: int) -> PublishRequest:
    return PublishRequest(
        channel=channel,
        name=body.name,
        data=body.data,
        message_id=body.message_id,
        priority=body.priority,
        retry=body.retry,
        ephemeral=body.ephemeral,
        received_at_ms=received_at_ms,
    )


def _told(outcome: Published | Exception) -> dict[str, Any]:
    if isinstance(outcome, Published):
        return outcome.to_wire()
    if isinstance(outcome, TidewireError):
        return {"error": outcome.to_wire()}
    failure(outcome)
    return {"error": InternalError().to_wire()}
