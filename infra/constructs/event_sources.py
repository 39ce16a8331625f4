"""The other way in: events that ask for a publication, put by whoever may, or made of AWS's own events by a rule."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from aws_cdk import Duration, Token
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from infra.constructs.fan_out_bus import FanOutBus
from infra.constructs.functions import Functions, table_environment
from infra.constructs.message_store import MessageStore, grant_append, grant_count, grant_read_write
from infra.constructs.publish_pipeline import PublishPipeline
from infra.constructs.queues import REDRIVE, standard_queue
from shared import contract

_TIMEOUT_S = 10
_WHOLE_TOKEN = re.compile(r"\$\{Token\[[^\]]+\]\}\Z")


class EventSources(Construct):
    """Rule on Tidewire's bus → queue → event_publish → the lanes.

    A queue stands between, since Lambda would try an event again but twice, and a queue lets one see what waits.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        store: MessageStore,
        functions: Functions,
        pipeline: PublishPipeline,
        fan_out: FanOutBus,
    ) -> None:
        super().__init__(scope, construct_id)
        self.queue = standard_queue(self, "Events", visibility=Duration.seconds(6 * _TIMEOUT_S), mend=REDRIVE)
        self.function = functions.make(
            "event_publish",
            timeout_s=_TIMEOUT_S,
            layer="publish",
            memory_mb=512,
            environment=table_environment(
                store, contract.ENV_CONNECTIONS_TABLE, contract.ENV_STREAMS_TABLE, contract.ENV_LIMITS_TABLE
            ),
        )
        functions.entry(self.function).add_event_source(
            SqsEventSource(self.queue, batch_size=10, report_batch_item_failures=True)
        )
        grant_read_write(store.connections, self.function)
        grant_append(store.streams, self.function)
        grant_count(store.limits, self.function)
        pipeline.grant_publish(self.function)
        fan_out.grant_deliver_later(self.function)
        self._let_bury()
        events.Rule(
            self,
            "Asked",
            event_bus=pipeline.bus,
            event_pattern=events.EventPattern(detail_type=[contract.DETAIL_PUBLISH]),
            targets=[self.target()],
        )

    def target(self, message: events.RuleTargetInput | None = None) -> targets.SqsQueue:
        """Return the target for rules whose events (or what ``message`` makes of them) ask for a publication."""
        return targets.SqsQueue(self.queue, message=message, dead_letter_queue=self._dead_letters)

    def grant_redrive(self, function: lambda_.Function) -> None:
        """Let a function put dead letters back, and tell it where they are and where they belong."""
        self._dead_letters.grant_consume_messages(function)
        self.queue.grant_send_messages(function)
        function.add_environment(contract.ENV_EVENT_DEAD_LETTERS_URL, self._dead_letters.queue_url)
        function.add_environment(contract.ENV_EVENT_QUEUE_URL, self.queue.queue_url)

    @property
    def dead_letters_url(self) -> str:
        """Where events end that can't be published."""
        return self._dead_letters.queue_url

    @property
    def _dead_letters(self) -> sqs.IQueue:
        assert self.queue.dead_letter_queue is not None
        return self.queue.dead_letter_queue.queue

    def _let_bury(self) -> None:
        self._dead_letters.grant_send_messages(self.function)
        self.function.add_environment(contract.ENV_EVENT_DEAD_LETTERS_URL, self._dead_letters.queue_url)


class AwsEventSource(Construct):
    """A rule on the account's default bus that publishes the AWS events it matches; use one for each kind of event.

    Values of the event are ``events.EventField.from_path("$.detail.…")``. They stand alone, as a part of the channel or
    as a value in ``data``: inside a string EventBridge would not escape them, and who chooses them could ask for more.
    Source: docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        sources: EventSources,
        pattern: events.EventPattern,
        channel: Sequence[str],
        name: str,
        data: Mapping[str, Any],
    ) -> None:
        super().__init__(scope, construct_id)
        detail = {"channel": list(channel), "name": name, "data": dict(data)}
        check_whole(detail)
        asked = {
            "id": events.EventField.event_id,
            "source": events.EventField.source,
            "detail-type": contract.DETAIL_PUBLISH,
            "detail": detail,
        }
        target = sources.target(events.RuleTargetInput.from_object(asked))
        events.Rule(self, "Rule", event_pattern=pattern, targets=[target])


def check_whole(value: Any) -> None:
    """Refuse a value of the event inside a longer string.

    Raises:
        ValueError: There is one.
    """
    if isinstance(value, Mapping):
        for item in value.values():
            check_whole(item)
    elif isinstance(value, list):
        for item in value:
            check_whole(item)
    elif isinstance(value, str) and Token.is_unresolved(value) and not _WHOLE_TOKEN.match(value):
        raise ValueError("a value of the event stands inside a longer string: give it alone")
