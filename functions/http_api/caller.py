"""Who calls: a bearer token, an API key, or what IAM says; and from where, where nobody has to be known."""

from typing import Annotated, Final

from fastapi import Depends, Header, Request

from functions.http_api.address import address_of
from functions.http_api.iam import iam_principal
from shared.bootstrap import Services
from shared.domain.principal import Principal
from shared.errors import UnauthenticatedError

_API_KEY_MAX_LENGTH: Final = 200  # those that are made have 60


def services_of(request: Request) -> Services:
    """Return the services that the app was made with."""
    services: Services = request.app.state.services
    return services


ServicesDep = Annotated[Services, Depends(services_of)]


def anonymous(request: Request, services: ServicesDep) -> None:
    """Count a call that nobody has to be known for.

    Raises:
        RateLimitedError: There are too many of that address.
    """
    services.limits.anonymous(address_of(request))


def bearer(services: ServicesDep, authorization: Annotated[str | None, Header()] = None) -> Principal:
    """Return whom the bearer token names.

    Raises:
        UnauthenticatedError: There is none, or it is not good.
        RateLimitedError: Whoever it is calls too often.
    """
    scheme, _, token = (authorization or "").partition(" ")
    if scheme.lower() != "bearer" or not token:
        raise UnauthenticatedError("send Authorization: Bearer with a token")
    principal = services.authentication.of_token(token.strip())
    services.limits.http_request(principal.user_id)
    return principal


def caller(
    request: Request,
    services: ServicesDep,
    authorization: Annotated[str | None, Header()] = None,
    x_api_key: Annotated[str | None, Header()] = None,
) -> Principal:
    """Return whom IAM has let in, whose the API key is, or whom the bearer token names.

    Raises:
        UnauthenticatedError: None of them is good.
        RateLimitedError: Whoever it is calls too often, or its address has guessed too often.
    """
    principal = iam_principal(request.scope)
    if principal is None and x_api_key is None:
        return bearer(services, authorization)
    if principal is None:
        services.limits.check_failures(address_of(request))
        principal = _server(services, x_api_key or "")
    services.limits.http_request(principal.user_id, server=True)
    return principal


def _server(services: Services, api_key: str) -> Principal:
    key = services.api_keys.find(api_key) if len(api_key) <= _API_KEY_MAX_LENGTH else None
    if key is None:
        raise UnauthenticatedError("the API key is not good")
    return key.principal


Bearer = Annotated[Principal, Depends(bearer)]
Caller = Annotated[Principal, Depends(caller)]
