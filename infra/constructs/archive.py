"""The other way out, as an example to copy: a rule on Tidewire's bus, and whatever you like behind it."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.constructs.queues import standard_queue
from shared import contract


class Archive(Construct):
    """Every publication of one namespace → a queue, as ``{"channel", "frames": [event push, …]}``.

    At least once, and not in order: ``epoch`` and ``offset`` in each frame tell what is a repeat, and what comes first.
    """

    def __init__(self, scope: Construct, construct_id: str, *, bus: events.EventBus, namespace: str) -> None:
        super().__init__(scope, construct_id)
        self.queue = standard_queue(
            self, "Publications", visibility=Duration.minutes(1), mend="Mend the cause, then put them back."
        )
        assert self.queue.dead_letter_queue is not None
        events.Rule(
            self,
            "Rule",
            event_bus=bus,
            event_pattern=events.EventPattern(
                source=[contract.EVENT_SOURCE],
                detail_type=[contract.DETAIL_PUBLICATIONS],
                detail={"channel": events.Match.prefix(f"{namespace}:")},
            ),
            targets=[
                targets.SqsQueue(
                    self.queue,
                    message=events.RuleTargetInput.from_event_path("$.detail"),
                    dead_letter_queue=self.queue.dead_letter_queue.queue,
                )
            ],
        )
