"""Who calls: a bearer token, or an API key."""

from typing import Annotated

from fastapi import Depends, Header, Request

from shared.bootstrap import Services
from shared.domain.principal import Principal
from shared.errors import UnauthenticatedError


def services_of(request: Request) -> Services:
    """Return the services that the app was made with."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


def bearer(services: ServicesDep, authorization: Annotated[str | None, Header()] = None) -> Principal:
    """Return whom the bearer token names.

    Raises:
        UnauthenticatedError: There is none, or it is not good.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("send Authorization: Bearer with a token")
    return services.authentication.of_token(token.strip())


def caller(
    services: ServicesDep,
    authorization: Annotated[str | None, Header()] = None,
    x_api_key: Annotated[str | None, Header()] = None,
) -> Principal:
    """Return whose the API key is, or whom the bearer token names.

    Raises:
        UnauthenticatedError: Neither is good.
    """
    if x_api_key is None:
        return bearer(services, authorization)
    key = services.api_keys.find(x_api_key)
    if key is None:
        raise UnauthenticatedError("the API key is not good")
    return key.principal


Bearer = Annotated[Principal, Depends(bearer)]
Caller = Annotated[Principal, Depends(caller)]
