"""What a processor is given, and gives back: a publication on its way in, as far as it may be changed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from shared.domain.publication import Priority


@dataclass(frozen=True, slots=True)
class Draft:
    """The part of a publication that a processor may change.

    Attributes:
        data: Pure JSON, the processor's own copy.
        claims: What subscribers are told of the sender, as ``sender.claims``; at most 1,000 bytes of JSON.
    """

    name: str
    data: Any
    priority: Priority
    claims: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Context:
    """The part that stands.

    Attributes:
        connection_id: ``None`` for a publication by HTTP or from an event.
        server: The sender came with an API key or IAM.
        public_claims: What the sender's token says of them in public.
        ephemeral: It will get no place in the stream.
    """

    channel: str
    message_id: str
    user_id: str
    connection_id: str | None
    server: bool
    public_claims: Mapping[str, Any]
    ephemeral: bool


# Returns the draft, as it is or changed, or raises RefusedError. It may be asked again about the same message_id.
Processor = Callable[[Draft, Context], Draft]
