"""Servers that sign their calls with AWS credentials (SigV4): what the REST calls are below ``/iam`` (docs/iam.md).

API Gateway checks the signature and the caller's policy on the route ``/iam/{proxy+}`` and tells who it is:
docs.aws.amazon.com/apigateway/latest/developerguide/http-api-access-control-iam.html. Nothing that a client can send
is asked: without what API Gateway adds to the event, nobody gets in here.
"""

from collections.abc import Mapping
from typing import Any, Final, get_args

from starlette.types import ASGIApp, Receive, Scope, Send

from functions.http_api.problems import problem
from shared.domain.channel import is_user_id
from shared.domain.principal import Capability, Principal
from shared.errors import ForbiddenError

PREFIX: Final = "/iam"
_PRINCIPAL: Final = "tidewire.iam_principal"  # in the scope: no header or body gets there
# What IAM has let through to a call may do all that the call does: the policy is by method and path.
_EVERYTHING: Final = {"*": get_args(Capability)}


class Iam:
    """ASGI middleware: serves ``/iam/…`` as ``/…`` for whom API Gateway names, and for nobody else."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not f"{scope['path']}/".startswith(f"{PREFIX}/"):
            await self._app(scope, receive, send)
            return
        principal = _named(scope.get("aws.event", {}))
        if principal is None:
            await problem(ForbiddenError("sign the call with AWS credentials"))(scope, receive, send)
            return
        await self._app({**scope, "path": scope["path"].removeprefix(PREFIX), _PRINCIPAL: principal}, receive, send)


def iam_principal(scope: Mapping[str, Any]) -> Principal | None:
    """Return whom IAM has let in, if it was asked."""
    principal: Principal | None = scope.get(_PRINCIPAL)
    return principal


def _named(event: Mapping[str, Any]) -> Principal | None:
    """Return whom the event names: ``iam:`` and a role's or user's name.

    Its shape: github.com/aws/aws-lambda-go, events/apigw.go, APIGatewayV2HTTPRequestContextAuthorizerIAMDescription.
    Forms of ARNs: docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html.
    """
    authorizer = event.get("requestContext", {}).get("authorizer") or {}
    arn = (authorizer.get("iam") or {}).get("userArn") or ""
    kind, _, name = arn.rpartition(":")[2].partition("/")
    # A session of a role is named by whoever takes the role, the role by its account. A user's path is no part of it.
    name = name.partition("/")[0] if kind == "assumed-role" else name.rpartition("/")[2]
    user_id = f"iam:{name or kind}"
    return Principal(user_id, _EVERYTHING, server=True) if arn and is_user_id(user_id) else None
