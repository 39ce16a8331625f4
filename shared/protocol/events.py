"""EventBridge events that ask for a publication (docs/protocol.md 4.4). Validated once, here."""

from typing import Annotated, Any
from urllib.parse import quote

from pydantic import BeforeValidator, StringConstraints, ValidationError

from shared.domain.channel import is_user_id
from shared.errors import BadFrameError, InvalidFieldError
from shared.protocol.decode import check_data, parse
from shared.protocol.limits import HTTP_FRAME_MAX_BYTES
from shared.protocol.requests import Channel, MessageId, Model
from shared.protocol.rest import PublishBody


def _joined(value: Any) -> Any:
    """Make a channel of its parts: each percent-encoded outside ``A-Za-z0-9_.~-``, so that none reaches beyond itself.

    So an input transformer can put values of an event into a channel's name: inside a string it would not escape them.
    """
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return ":".join(quote(part, safe="") for part in value)
    return value


class EventDetail(PublishBody):
    """What is asked for: as by HTTP; a ``channel`` may be given in parts."""

    channel: Annotated[Channel, BeforeValidator(_joined)] | None = None


class PublishEvent(Model):
    """An event as EventBridge delivers it, or as a rule's input transformer makes it."""

    id: MessageId
    source: Annotated[str, StringConstraints(min_length=1)]
    detail: EventDetail

    @property
    def user_id(self) -> str:
        """Who publishes."""
        return f"event:{self.source}"


def parse_event(body: str) -> PublishEvent:
    """Return the event that ``body`` is.

    Raises:
        BadFrameError, InvalidFieldError, TooLargeError: It is none, or asks for what can't be published.
    """
    frames = parse(body, max_bytes=HTTP_FRAME_MAX_BYTES)
    if len(frames) != 1:
        raise BadFrameError("an event is one object")
    try:
        event = PublishEvent.model_validate(frames[0])
    except ValidationError as error:
        issue = error.errors(include_input=False, include_url=False, include_context=False)[0]
        # Every step is a field of ours: what is inside `data` is not looked at.
        raise InvalidFieldError(f"{'.'.join(map(str, issue['loc']))}: {issue['msg']}") from None
    if not is_user_id(event.user_id):
        raise InvalidFieldError("source: too long to be a sender's name")
    check_data(event.detail.data)
    return event
