"""Publish what EventBridge events ask for. Who may put such events is IAM's decision, so their senders are servers."""

from collections.abc import Callable
from dataclasses import dataclass

from shared.domain.principal import Principal
from shared.errors import TidewireError
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
    on_refusal: Callable[[TidewireError], None]

    def take(self, body: str, *, repeat: bool) -> None:
        """Publish what an event asks for, in each of its channels; bury one that asks for what can't be published.

        A channel that fails does not stop the others. EventBridge and queues deliver more than once: the event's id is
        the publication's, so it is stored once all the same.

        Args:
            body: The event, as JSON.
            repeat: It was handed out before, and what became of it is unknown.

        Raises:
            TidewireError: It may succeed later.
        """
        try:
            errors = self._publish(parse_event(body), repeat=repeat)
        except TidewireError as wrong:
            errors = [wrong]
        for error in errors:
            if error.temporary:
                raise error
        if errors:
            self.metrics.count("EventsRefused")
            self.on_refusal(errors[0])
            self.dead_letters.bury(body, errors[0])

    def _publish(self, event: PublishEvent, *, repeat: bool) -> list[TidewireError]:
        principal = Principal(event.user_id, {"*": ["publish"]}, server=True)
        asked, errors = event.detail, []
        for channel in asked.all_channels:
            request = PublishRequest(
                channel=channel,
                name=asked.name,
                data=asked.data,
                message_id=asked.message_id or event.id,
                priority=asked.priority,
                retry=asked.retry or repeat,
            )
            try:
                self.publishing.publish(principal, request, connection_id=None)
            except TidewireError as error:
                errors.append(error)
        return errors
