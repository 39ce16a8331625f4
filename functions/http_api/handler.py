"""The HTTP API's Lambda: FastAPI under Mangum. Answers whole; what streams is another function's."""

from typing import Any
from urllib.parse import quote

from mangum import Mangum

from functions.http_api.app import create_app
from functions.http_api.pages import PAGES
from shared import bootstrap
from shared.adapters.telemetry import observed

bootstrap.prewarm("session_end", "mailbox_reader", "dispatcher", "api_keys")

_asgi = Mangum(create_app(bootstrap.services(), streams=False, pages=PAGES), lifespan="off")


@observed
def lambda_handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
    """Answer one HTTP request."""
    # API Gateway has decoded the path, and Mangum would decode it again, though channels have a % of their own.
    # Source: AWS's imitation of the event, github.com/aws/aws-lambda-dotnet, Tools/LambdaTestTool-v2,
    # Extensions/HttpContextExtensions.cs ("this should be decoded value").
    http = event["requestContext"]["http"]
    http["path"] = quote(http["path"])
    answer: dict[str, Any] = _asgi(event, context)
    return answer
