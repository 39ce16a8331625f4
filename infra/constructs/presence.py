"""Presence: looks → queue → function, which tells channels' subscribers who is there."""

from aws_cdk import Duration
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from infra.constructs.functions import Functions, table_environment
from infra.constructs.message_store import MessageStore, grant_read, grant_read_write
from infra.constructs.publish_pipeline import PublishPipeline
from infra.constructs.queues import standard_queue
from shared import contract

_TIMEOUT_S = 15
# Looks of a second come together, so that who comes and goes in that time is told of in one event. With more than 10
# in a batch there has to be a window: docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html. The emulator
# takes both settings, and gives at most 10 at once.
_WINDOW_S = 1
_BATCH_SIZE = 200  # each perhaps of another channel: with 16 threads, a second
CONCURRENCY = 10  # 2,000 channels a second that have changed


class Presence(Construct):
    """The look queue, and the function behind it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        store: MessageStore,
        functions: Functions,
        pipeline: PublishPipeline,
    ) -> None:
        super().__init__(scope, construct_id)
        self._store = store
        self.looks = standard_queue(
            self,
            "Looks",
            # AWS asks for 6 times the function's timeout and the window (same page).
            visibility=Duration.seconds(6 * _TIMEOUT_S + _WINDOW_S),
            mend="Mend the cause, then purge the queue: whoever looks next into these channels tells the rest.",
        )
        self.function = functions.make(
            "presence",
            timeout_s=_TIMEOUT_S,
            memory_mb=512,
            environment={
                **table_environment(store, contract.ENV_STREAMS_TABLE, contract.ENV_PRESENCE_TABLE),
                contract.ENV_EVENT_BUS_NAME: pipeline.bus.event_bus_name,
            },
        )
        grant_read_write(store.presence, self.function)
        grant_read(store.streams, self.function)
        pipeline.bus.grant_put_events_to(self.function)
        self._grant_look(self.function)
        functions.entry(self.function).add_event_source(
            SqsEventSource(
                self.looks,
                batch_size=_BATCH_SIZE,
                max_batching_window=Duration.seconds(_WINDOW_S),
                max_concurrency=CONCURRENCY,
                report_batch_item_failures=True,
            )
        )
        # Where numbers alone are told, one look leads to another. Lambda would stop such a chain after about 16 turns:
        # docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
        function = self.function.node.default_child
        assert isinstance(function, lambda_.CfnFunction)
        function.recursive_loop = "Allow"

    def grant_attend(self, function: lambda_.Function) -> None:
        """Let a function take connections into channels and out of them, and tell it where."""
        grant_read_write(self._store.presence, function)
        self._name(function)

    def grant_end(self, function: lambda_.Function) -> None:
        """Let a function take out connections that have ended, which is an update, and tell it where."""
        self._store.presence.grant(function, "dynamodb:UpdateItem")
        self._name(function)

    def _name(self, function: lambda_.Function) -> None:
        function.add_environment(contract.ENV_PRESENCE_TABLE, self._store.presence.table_name)
        self._grant_look(function)

    def _grant_look(self, function: lambda_.Function) -> None:
        self.looks.grant_send_messages(function)
        function.add_environment(contract.ENV_LOOK_QUEUE_URL, self.looks.queue_url)
