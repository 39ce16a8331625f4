"""From where a request comes."""

from fastapi import Request

from shared.domain.address import client_address


def address_of(request: Request) -> str:
    """Return the address that the request is counted by.

    It is what Mangum takes from an event (``requestContext.http.sourceIp``), functions/http_api/stream.py from the
    adapter's header, and uvicorn from the socket:
    docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html,
    docs.aws.amazon.com/lambda/latest/dg/urls-invocation.html.
    """
    return "" if request.client is None else client_address(request.client.host or "")
