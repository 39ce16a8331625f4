"""The way in: three FIFO lanes, the worker behind them, and the bus in front of everybody else."""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from infra.constructs.functions import Functions, table_environment
from infra.constructs.message_store import MessageStore, grant_append
from infra.constructs.queues import fifo_queue
from infra.stage import StageConfig
from shared import contract

_WORKER_TIMEOUT_S = 5


class PublishPipeline(Construct):
    """SQS FIFO (high, normal, low) → worker → log and EventBridge."""

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, store: MessageStore, functions: Functions
    ) -> None:
        super().__init__(scope, construct_id)
        self.bus = events.EventBus(self, "Bus", description=f"Tidewire {stage.name}: what is published")
        self.worker = functions.make(
            "publish_worker",
            timeout_s=_WORKER_TIMEOUT_S,
            environment={
                **table_environment(store, contract.ENV_STREAMS_TABLE),
                contract.ENV_EVENT_BUS_NAME: self.bus.event_bus_name,
            },
        )
        grant_append(store.streams, self.worker)
        self.bus.grant_put_events_to(self.worker)
        self.lanes: dict[str, sqs.Queue] = {}
        for lane, concurrency in stage.lane_concurrency:
            # AWS asks for a visibility of at least 6 times the function's timeout:
            # docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
            queue = fifo_queue(self, lane.capitalize(), visibility=Duration.seconds(6 * _WORKER_TIMEOUT_S))
            self.lanes[lane] = queue
            self._let_bury(lane, _dead_letters(queue))
            functions.entry(self.worker).add_event_source(
                SqsEventSource(
                    queue,
                    batch_size=10,  # the most that FIFO allows, and what a segment holds
                    report_batch_item_failures=True,
                    max_concurrency=concurrency,
                )
            )

    def _let_bury(self, lane: str, dead_letters: sqs.IQueue) -> None:
        dead_letters.grant_send_messages(self.worker)
        self.worker.add_environment(contract.ENV_LANE_URLS[lane], self.lanes[lane].queue_url)
        self.worker.add_environment(contract.ENV_DEAD_LETTER_URLS[lane], dead_letters.queue_url)

    @property
    def dead_letter_urls(self) -> dict[str, str]:
        """Where ends what a lane gives up on, by lane."""
        return {lane: _dead_letters(queue).queue_url for lane, queue in self.lanes.items()}

    def grant_publish(self, function: lambda_.Function) -> None:
        """Let a function send to the lanes and put events, and tell it where they are."""
        for lane, queue in self.lanes.items():
            queue.grant_send_messages(function)
            function.add_environment(contract.ENV_LANE_URLS[lane], queue.queue_url)
        self.grant_put_events(function)

    def grant_put_events(self, function: lambda_.Function) -> None:
        """Let a function put events, and tell it where."""
        self.bus.grant_put_events_to(function)
        function.add_environment(contract.ENV_EVENT_BUS_NAME, self.bus.event_bus_name)

    def grant_redrive(self, function: lambda_.Function) -> None:
        """Let a function that publishes take the lanes' dead letters, and tell it where they are."""
        for lane, queue in self.lanes.items():
            _dead_letters(queue).grant_consume_messages(function)
            function.add_environment(contract.ENV_DEAD_LETTER_URLS[lane], _dead_letters(queue).queue_url)


def _dead_letters(queue: sqs.Queue) -> sqs.IQueue:
    assert queue.dead_letter_queue is not None
    return queue.dead_letter_queue.queue
