"""The way out: from the bus, and from the delivery queue, to every subscriber; and the deadlines of
connections and commands.
"""

from aws_cdk import Duration
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from aws_cdk import aws_lambda as lambda_
from aws_cdk.aws_lambda_destinations import SqsDestination
from aws_cdk.aws_lambda_event_sources import SqsEventSource
from constructs import Construct

from infra.constructs.functions import Functions, table_environment
from infra.constructs.message_store import MessageStore, grant_append, grant_read_write
from infra.constructs.queues import NOTHING_LOST, dead_letter_queue, standard_queue
from infra.stage import StageConfig
from shared import contract

_FAN_OUT_TIMEOUT_S = 60
_JANITOR_TIMEOUT_S = 60
_JANITOR_CONCURRENCY = 20  # however many connections end at the same second, requests find functions
# Older than this, an event reaches its subscribers sooner by their own recovery.
_EVENT_MAX_AGE = Duration.minutes(5)


class FanOutBus(Construct):
    """Rule → fan_out → ``@connections``; what is left of a delivery → queue → fan_out; deadline queue → janitor."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        bus: events.EventBus,
        store: MessageStore,
        functions: Functions,
    ) -> None:
        super().__init__(scope, construct_id)
        visibility = Duration.seconds(6 * _FAN_OUT_TIMEOUT_S)
        self.deliveries = standard_queue(self, "Deliveries", visibility=visibility, mend=NOTHING_LOST)
        self.deadlines = standard_queue(
            self,
            "Deadlines",
            visibility=Duration.seconds(6 * _JANITOR_TIMEOUT_S),
            mend="Mend the cause, then purge the queue: what waited there has ended by itself within 2 hours.",
        )
        connections = table_environment(store, contract.ENV_CONNECTIONS_TABLE)
        push_rate = {contract.ENV_PUSH_RATE_PER_S: str(stage.push_rate_per_s // stage.push_concurrency)}
        # Who is told in order is told from the log what is missing between.
        streams = table_environment(store, contract.ENV_STREAMS_TABLE)
        self.fan_out = functions.make(
            "fan_out", timeout_s=_FAN_OUT_TIMEOUT_S, environment=connections | streams | push_rate
        )
        put_events = {contract.ENV_EVENT_BUS_NAME: bus.event_bus_name}
        self.janitor = functions.make(
            "janitor", timeout_s=_JANITOR_TIMEOUT_S, environment=connections | put_events, memory_mb=512
        )
        grant_read_write(store.connections, self.fan_out)
        grant_append(store.streams, self.fan_out)  # a stream that has ended is replaced by whoever reads it
        grant_read_write(store.connections, self.janitor)
        bus.grant_put_events_to(self.janitor)
        self.grant_set_deadlines(self.janitor)
        self.grant_deliver_later(self.fan_out)
        fan_out, janitor = functions.entry(self.fan_out), functions.entry(self.janitor)
        self._listen(bus, fan_out)
        fan_out.add_event_source(
            SqsEventSource(
                self.deliveries,
                batch_size=1,
                report_batch_item_failures=True,
                max_concurrency=stage.push_concurrency,
            )
        )
        janitor.add_event_source(
            SqsEventSource(
                self.deadlines,
                batch_size=10,
                report_batch_item_failures=True,
                max_concurrency=_JANITOR_CONCURRENCY,
            )
        )
        # A sweep that comes late finds more to do: none is worth trying again.
        events.Rule(
            self,
            "EveryMinute",
            schedule=events.Schedule.rate(Duration.minutes(1)),
            targets=[targets.LambdaFunction(janitor, retry_attempts=0)],
        )
        # A delivery that is left goes back to the function's own queue, a few times by our own count. Lambda would stop
        # such a loop after about 16 turns: docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
        function = self.fan_out.node.default_child
        assert isinstance(function, lambda_.CfnFunction)
        function.recursive_loop = "Allow"

    def grant_deliver_later(self, function: lambda_.Function) -> None:
        """Let a function put deliveries aside, and tell it where."""
        self.deliveries.grant_send_messages(function)
        function.add_environment(contract.ENV_DELIVERY_QUEUE_URL, self.deliveries.queue_url)

    def grant_set_deadlines(self, function: lambda_.Function) -> None:
        """Let a function ask for a look at a connection or a command later, and tell it where."""
        self.deadlines.grant_send_messages(function)
        function.add_environment(contract.ENV_DEADLINE_QUEUE_URL, self.deadlines.queue_url)

    def _listen(self, bus: events.EventBus, fan_out: lambda_.IFunction) -> None:
        dead_letters = dead_letter_queue(self, "EventDeadLetters", mend=NOTHING_LOST)
        events.Rule(
            self,
            "Publications",
            event_bus=bus,
            event_pattern=events.EventPattern(
                source=[contract.EVENT_SOURCE],
                detail_type=[contract.DETAIL_PUBLICATIONS, contract.DETAIL_PUSHES],
                detail={"fanned_out": events.Match.does_not_exist()},
            ),
            targets=[
                targets.LambdaFunction(
                    fan_out,
                    dead_letter_queue=dead_letters,
                    max_event_age=_EVENT_MAX_AGE,
                    retry_attempts=10,
                )
            ],
        )
        # The rule's part ends when Lambda has taken the event; from there on its failures are Lambda's:
        # docs.aws.amazon.com/lambda/latest/dg/invocation-async-error-handling.html
        fan_out.configure_async_invoke(
            on_failure=SqsDestination(dead_letters), max_event_age=_EVENT_MAX_AGE, retry_attempts=2
        )
