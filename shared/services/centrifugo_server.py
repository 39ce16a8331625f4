"""Centrifugo's HTTP API for servers, by our services. Who calls has the rights of its API key, and no more."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.principal import Principal
from shared.errors import InternalError, TidewireError
from shared.protocol.centrifugo import codes, server_api
from shared.protocol.centrifugo.codes import ReplyError, error_of
from shared.protocol.centrifugo.replies import EVENT_NAME
from shared.protocol.limits import BATCH_MAX_FRAMES
from shared.services.centrifugo_census import CentrifugoCensus
from shared.services.centrifugo_reading import CentrifugoReading, RefusedReplyError, channel_of
from shared.services.centrifugo_users import CentrifugoUsers
from shared.services.publish import Published, Publishing, PublishRequest
from shared.services.purge import Purge
from shared.services.revocation import Revocation


@dataclass(frozen=True, slots=True)
class CentrifugoServer:
    """Answers servers' calls.

    Attributes:
        on_failure: Is told of what should not have happened.
    """

    publishing: Publishing
    reading: CentrifugoReading
    purge: Purge
    revocation: Revocation
    users: CentrifugoUsers
    census: CentrifugoCensus
    now_ms: Callable[[], int]
    on_failure: Callable[[Exception], None]

    def call(self, principal: Principal, method: str, body: Any) -> dict[str, Any]:
        """Return the answer of a method: ``{"result"}`` or ``{"error"}``, and ``{"replies"}`` for ``batch``."""
        result = self._outcome(principal, method, body)
        if isinstance(result, ReplyError):
            return _error(result)
        return result if method == "batch" else {"result": result}

    def _outcome(self, principal: Principal, method: str, body: Any) -> dict[str, Any] | ReplyError:
        if method not in server_api.METHODS:
            return codes.METHOD_NOT_FOUND
        try:
            return self._result(principal, method, server_api.read(method, body))
        except RefusedReplyError as refused:
            return refused.error
        except TidewireError as error:
            return error_of(error)
        except Exception as failure:
            self.on_failure(failure)
            return error_of(InternalError())

    def _result(self, principal: Principal, method: str, request: server_api.Request) -> dict[str, Any]:
        match request:
            case server_api.Publish():
                return self._publish(principal, request.channel, request)
            case server_api.Broadcast():
                return {"responses": [self.call(principal, "publish", one) for one in _each(request)]}
            case server_api.Batch():
                if request.publications > BATCH_MAX_FRAMES:
                    raise RefusedReplyError(codes.LIMIT_EXCEEDED)
                return {"replies": [self._reply(principal, command) for command in request.commands]}
            case server_api.Subscribe():
                self.users.subscribe(principal, request)
                return {}
            case server_api.Unsubscribe():
                channel = channel_of(request.channel)
                self.revocation.unsubscribe_user(principal, request.user, channel, only=request.client)
                return {}
            case server_api.Refresh():
                self.users.refresh(principal, request)
                return {}
            case server_api.Disconnect():
                self.users.disconnect(principal, request)
                return {}
            case server_api.Channels():
                return self.census.channels(principal, request.pattern)
            case server_api.History():
                return self.reading.history(principal, request)
            case server_api.Channel():
                return self._of_channel(principal, method, channel_of(request.channel))
            case _:
                return self.census.info(principal)

    def _of_channel(self, principal: Principal, method: str, channel: str) -> dict[str, Any]:
        if method == "history_remove":
            self.purge.purge(principal, channel)
            return {}
        return getattr(self.reading, method)(principal, channel)  # type: ignore[no-any-return]

    def _publish(
        self, principal: Principal, name: str, request: server_api.Publish | server_api.Broadcast
    ) -> dict[str, Any]:
        wanted = PublishRequest(
            channel=channel_of(name),
            name=request.tags.name or EVENT_NAME,
            data=request.data,
            message_id=request.idempotency_key or None,
            # Express: the result has the place in the history. Whether a key was sent before, nobody knows.
            priority="express",
            retry=bool(request.idempotency_key),
            ephemeral=request.skip_history,
            received_at_ms=self.now_ms(),
        )
        published: Published = self.publishing.publish(principal, wanted, connection_id=None)
        return {} if published.position is None else published.position.to_wire()

    def _reply(self, principal: Principal, command: Mapping[str, Any]) -> dict[str, Any]:
        """Return the reply to one of a batch: the first method that it names counts, and it is no batch again."""
        method = next((name for name in command if name != "batch"), "")
        result = self._outcome(principal, method, command.get(method))
        return _error(result) if isinstance(result, ReplyError) else {method: result}


def _each(request: server_api.Broadcast) -> list[dict[str, Any]]:
    shared = request.model_dump(exclude={"channels"})
    return [{"channel": channel, **shared} for channel in request.channels]


def _error(error: ReplyError) -> dict[str, Any]:
    return {"error": {"code": error.code, "message": error.message}}
