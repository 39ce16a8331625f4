"""API Gateway's part before ``/iam/…``: checks the signature of a call (SigV4), and tells the app who has signed it.

There are the emulator's credentials alone, and no policies: whoever has them may call everything.
"""

import hashlib
import hmac
import json
import re
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_PREFIX: Final = "/iam/"
_SERVICE: Final = "execute-api"
_ACCOUNT: Final = "000000000000"
# docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-troubleshooting.html: within five minutes.
_SKEW_MAX_S: Final = 300
_PAYLOAD_MAX_BYTES: Final = 10_000_000  # docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
_AUTHORIZATION: Final = re.compile(
    r"AWS4-HMAC-SHA256 "
    r"Credential=(?P<key>[^/ ]+)/(?P<day>\d{8})/(?P<region>[a-z0-9-]+)/(?P<service>[a-z-]+)/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[a-z0-9;-]+), ?Signature=(?P<signature>[0-9a-f]{64})"
)


class IamAuthorizer:
    """ASGI middleware: as an IAM authorizer on the route ``/iam/{proxy+}``."""

    def __init__(self, app: ASGIApp, *, key_id: str, secret_key: str, now_s: Callable[[], float] = time.time) -> None:
        self._app = app
        self._credentials = Credentials(key_id, secret_key)
        self._now_s = now_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or not scope["path"].startswith(_PREFIX):
            await self._app(scope, receive, send)
            return
        body = await _whole(receive)
        if body is None or not self._signed(scope, body):
            # As clients of AWS see it, whatever is wrong.
            await Response(json.dumps({"message": "Forbidden"}), 403, media_type="application/json")(
                scope, receive, send
            )
            return

        async def again() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            read, body = body, None
            return {"type": "http.request", "body": read, "more_body": False}

        await self._app({**scope, "aws.event": self._event()}, again, send)

    def _signed(self, scope: Scope, body: bytes) -> bool:
        names = [name.decode("latin-1") for name, _ in scope["headers"]]
        headers = {name: value.decode("latin-1") for name, (_, value) in zip(names, scope["headers"], strict=True)}
        claimed = _AUTHORIZATION.fullmatch(headers.get("authorization", ""))
        signed_at = headers.get("x-amz-date", "")
        if claimed is None or claimed["key"] != self._credentials.access_key or claimed["service"] != _SERVICE:
            return False
        if not signed_at.startswith(claimed["day"]) or not self._recent(signed_at):
            return False
        signed = claimed["headers"].split(";")
        if "host" not in signed or any(names.count(name) != 1 for name in signed):
            return False
        if headers.get("x-amz-content-sha256", _sha256(body)) != _sha256(body):
            return False  # botocore takes the header's word for it
        signature = self._signature(scope, body, {name: headers[name] for name in signed}, claimed["region"], signed_at)
        return hmac.compare_digest(signature, claimed["signature"])

    def _signature(self, scope: Scope, body: bytes, headers: Mapping[str, str], region: str, signed_at: str) -> str:
        """Return the signature that the owner of the credentials makes for this call."""
        path, query = scope["raw_path"].decode("latin-1"), scope["query_string"].decode("latin-1")
        url = f"http://{headers['host']}{path}{'?' if query else ''}{query}"
        request = AWSRequest(method=scope["method"], url=url, data=body, headers=dict(headers))
        request.context["timestamp"] = signed_at
        signer = SigV4Auth(self._credentials, _SERVICE, region)
        text: str = signer.string_to_sign(request, signer.canonical_request(request))
        made: str = signer.signature(text, request)
        return made

    def _recent(self, signed_at: str) -> bool:
        try:
            at = datetime.strptime(signed_at, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        except ValueError:
            return False
        return abs(at.timestamp() - self._now_s()) <= _SKEW_MAX_S

    def _event(self) -> dict[str, Any]:
        """Return what the app reads of an event: github.com/aws/aws-lambda-go, events/apigw.go."""
        name = self._credentials.access_key
        iam = {
            "accessKey": name,
            "accountId": _ACCOUNT,
            "callerId": name,
            "cognitoIdentity": None,
            "principalOrgId": None,
            "userArn": f"arn:aws:iam::{_ACCOUNT}:user/{name}",
            "userId": name,
        }
        return {"requestContext": {"accountId": _ACCOUNT, "authorizer": {"iam": iam}}}


async def _whole(receive: Receive) -> bytes | None:
    """Return the body; ``None`` if it is too large, or does not come."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        body += message.get("body", b"")
        if len(body) > _PAYLOAD_MAX_BYTES:
            return None
        if not message.get("more_body", False):
            return bytes(body)


def _sha256(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()
