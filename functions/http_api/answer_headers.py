"""What every answer says of itself unless it says better: it is nobody's to keep, and it is what it is said to be."""

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shared.page_headers import CONTENT_TYPE_OPTIONS


class AnswerHeaders:
    """ASGI middleware. Looks at no body: streams pass as they come."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""

        async def told(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.setdefault("Cache-Control", "no-store")
                headers.setdefault("X-Content-Type-Options", CONTENT_TYPE_OPTIONS)
            await send(message)

        await self._app(scope, receive, told)
