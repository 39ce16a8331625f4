"""Publish what EventBridge events ask for. Who may put such events is IAM's decision, so their senders are servers."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.domain.principal import Principal
from shared.errors import InternalError, TidewireError
from shared.ports import DeadLetters, Metrics
from shared.protocol.events import PublishEvent, parse_event
from shared.services.publish import Publishing, PublishRequest


@dataclass(frozen=True, slots=True)
class EventPublishing:
    """Events in, publications out.

    Attributes:
        on_refusal: Is told what was wrong with an event that was buried.
    """

    publishing: Publishing
    dead_letters: DeadLetters
    metrics: Metrics
    on_refusal: Callable[[Exception], None]

    def take(self, body: str, *, repeat: bool, last: bool) -> None:
        """Publish what an event asks for, in each of its channels; bury one that asks for what can't be published.

        A channel that fails does not stop the others, and what is buried has the failed ones alone: put back later than
        ids are remembered for, it would be stored twice in the rest. EventBridge and queues deliver more than once: the
        event's id is the publication's, so it is stored once all the same.

        Args:
            body: The event, as JSON.
            repeat: It was handed out before, and what became of it is unknown.
            last: It won't be handed out again.

        Raises:
            Exception: It may succeed later.
        """
        try:
            event = parse_event(body)
        except TidewireError as wrong:
            self._bury(body, wrong)
            return
        failed = self._publish(event, repeat=repeat)
        for error in failed.values():
            if not last and not (isinstance(error, TidewireError) and not error.temporary):
                raise error
        if failed:
            channels, (error, *_) = list(failed), failed.values()
            self._bury(body if channels == event.detail.all_channels else _only(channels, body), error)

    def _bury(self, body: str, error: Exception) -> None:
        self.metrics.count("EventsRefused")
        self.on_refusal(error)
        self.dead_letters.bury(body, error if isinstance(error, TidewireError) else InternalError())

    def _publish(self, event: PublishEvent, *, repeat: bool) -> dict[str, Exception]:
        """Return what failed, by channel."""
        principal = Principal(event.user_id, {"*": ["publish"]}, server=True)
        asked, failed, received_at_ms = event.detail, {}, self.publishing.now_ms()
        for channel in asked.all_channels:
            request = PublishRequest(
                channel=channel,
                name=asked.name,
                data=asked.data,
                message_id=asked.message_id or event.id,
                priority=asked.priority,
                retry=asked.retry or repeat,
                received_at_ms=received_at_ms,
            )
            try:
                self.publishing.publish(principal, request, connection_id=None)
            except Exception as error:  # raised again, or told to on_refusal
                failed[channel] = error
        return failed


def _only(channels: Sequence[str], body: str) -> str:
    """Return the event for these of its channels. All is escaped: there are characters that SQS refuses."""
    event = json.loads(body)
    return json.dumps(event | {"detail": event["detail"] | {"channels": channels}})
