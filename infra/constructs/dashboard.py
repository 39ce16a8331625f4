"""The dashboard: whether it is healthy, how fast, who suffers, and what it costs, at a look (docs/observability.md).

Its syntax and limits: docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html
"""

from collections.abc import Mapping
from itertools import groupby
from operator import attrgetter
from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from infra import widgets
from infra.constructs.functions import Functions
from infra.widgets import HEIGHT, MINUTE, WIDTH, graph, math, own, table, usd
from shared.domain.prices import PRICED_ON, PRICES, REGION

_HOURS_A_MONTH: Final = 730
_SHOWN: Final = Duration.hours(3)
_DEAD_LETTERS: Final = "DeadLetters"  # ids of their queues end so (infra/constructs/queues.py)
_REFUSALS: Final = (
    *("RequestErrors", "RateLimited", "NotAuthenticatedInTime", "PublicationsRefused", "ProcessorFailures"),
    *("EventsRefused", "CommandFailures", "CommandTimeouts", "ResolverFailures"),
)
_MISSED: Final = (
    *("RecoveryRefused", "GapsFilled", "DeliveriesDelayed", "DeliveriesGivenUp", "MailboxesFull", "EphemeralShed"),
    *("StaleConnectionsRemoved", "RecordsBuried"),
)
# As shared/adapters/telemetry.py writes them. Looked for as text, since the emulator's Logs Insights knows no fields.
_FAILURES: Final = (
    r'filter @message like /"level":"ERROR"/',
    "stats count(*) as failures by error, aws_code, namespace",
    "sort failures desc",
    "limit 10",
)
# Whatever ends so measures nothing: docs.aws.amazon.com/lambda/latest/dg/troubleshooting-invocation.html
_CUT_OFF: Final = (
    "filter @message like /Task timed out|Runtime exited/",
    "stats count(*) as ended by @log",
    "sort ended desc",
    "limit 10",
)


class Dashboard(Construct):
    """Shows what the whole stack measures: it is made after all else that is in it."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        functions: Functions,
        waiting: Mapping[str, sqs.IQueue],
        canary: bool,
    ) -> None:
        """Show it.

        Args:
            functions: All that were made, without CDK's own.
            waiting: The queues where a publication may be on its way, by label.
            canary: Whether there is one.
        """
        super().__init__(scope, construct_id)
        self._constructs = sorted(Stack.of(self).node.find_all(), key=lambda construct: construct.node.path)
        self._functions = {
            item.node.id: item
            for item in self._constructs
            if isinstance(item, lambda_.Function) and item.node.scope is functions
        }
        board = cloudwatch.Dashboard(self, "Dashboard", default_interval=_SHOWN)
        self.name = board.dashboard_name
        prices = (
            f"What was counted, at the list prices of {REGION} of {PRICED_ON}, without what is less for much. "
            "Logs, metrics, storage and data transfer are not in it (docs/cost.md)."
        )
        for question, answer, row in (
            ("Is it healthy?", "An alarm that is red names its page in docs/runbooks.", self._healthy(canary)),
            ("How fast?", "Minute by minute.", self._fast(waiting, canary)),
            ("Who is suffering?", "What was kept from somebody, or came late, and why.", self._suffering()),
            ("What does it cost?", prices, self._cost()),
        ):
            board.add_widgets(cloudwatch.TextWidget(markdown=f"## {question}\n{answer}", width=WIDTH, height=2))
            board.add_widgets(*row)

    def _healthy(self, canary: bool) -> list[cloudwatch.IWidget]:
        alarms = [construct for construct in self._constructs if isinstance(construct, cloudwatch.Alarm)]
        dead = [
            construct.metric_approximate_number_of_messages_visible(
                period=MINUTE, statistic="Maximum", label=_label(construct)
            )
            for construct in self._constructs
            if isinstance(construct, sqs.Queue) and construct.node.id.endswith(_DEAD_LETTERS)
        ]
        breakers = [own("PushBreakerOpen", "Maximum", "pushes"), own("StorageBreakerOpen", "Maximum", "DynamoDB")]
        return [
            cloudwatch.AlarmStatusWidget(
                title="Alarms",
                alarms=alarms,
                sort_by=cloudwatch.AlarmStatusWidgetSortBy.STATE_UPDATED_TIMESTAMP,
                width=6,
                height=HEIGHT,
            ),
            graph("Errors", self._error_rates(), 5, unit="%"),
            graph("Dead letters", dead, 5, unit="messages"),
            graph("Breakers", breakers, 4, unit="1: open"),
            *([graph("Canary", [own("CanarySuccess", "Minimum")], 4, unit="1: served")] if canary else []),
        ]

    def _error_rates(self) -> list[cloudwatch.IMetric]:
        functions = self._functions.values()
        failed = {f"failed{place}": item.metric_errors(period=MINUTE) for place, item in enumerate(functions)}
        begun = {
            f"begun{place}": function.metric_invocations(period=MINUTE) for place, function in enumerate(functions)
        }
        of_all = f"100 * {widgets.total(failed)} / {widgets.total(begun)}"
        requests = {"refused": own("RequestErrors"), "requests": own("Requests")}
        return [
            math("100 * FILL(refused, 0) / requests", "requests answered with an error", requests),
            math(of_all, "invocations that failed", {**failed, **begun}),
        ]

    def _fast(self, waiting: Mapping[str, sqs.IQueue], canary: bool) -> list[cloudwatch.IWidget]:
        latencies = [own("PublishToDeliverLatency", percentile, percentile) for percentile in ("p50", "p90", "p99")]
        seen = [own("CanaryLatency", "Maximum", "canary, at most")] if canary else []
        ages = [
            queue.metric_approximate_age_of_oldest_message(period=MINUTE, statistic="Maximum", label=label)
            for label, queue in waiting.items()
        ]
        durations = [
            function.metric_duration(period=MINUTE, statistic="p90", label=name)
            for name, function in self._functions.items()
        ]
        rates = [
            math(f"{name} / PERIOD({name})", name, {name: own(metric)})
            for name, metric in (("requests", "Requests"), ("publications", "Publishes"), ("deliveries", "Deliveries"))
        ]
        return [
            graph("From publish to delivery", [*latencies, *seen], 6, unit="ms"),
            graph("Age of the oldest that waits", ages, 6, unit="s"),
            graph("Functions, 90th percentile", durations, 6, unit="ms"),
            graph("How much", rates, 6, unit="a second"),
        ]

    def _suffering(self) -> list[cloudwatch.IWidget]:
        throttles = [function.metric_throttles(period=MINUTE, label=name) for name, function in self._functions.items()]
        log_groups = [function.log_group.log_group_name for function in self._functions.values()]
        return [
            graph("Throttled, by function", throttles, 8, unit="invocations"),
            graph("Refused and failed, by cause", map(own, _REFUSALS), 8, unit="how many"),
            graph("Missed or late, by cause", map(own, _MISSED), 8, unit="how many"),
            table("What failed, by error and namespace", log_groups, _FAILURES),
            table("What was cut off, by function", log_groups, _CUT_OFF),
        ]

    def _cost(self) -> list[cloudwatch.IWidget]:
        service = attrgetter("service")
        by_service = [usd(name, list(prices)) for name, prices in groupby(sorted(PRICES, key=service), service)]
        told = {"told": own("Deliveries")}
        sums = [
            math(widgets.bill(PRICES), "USD in the time shown", widgets.units(PRICES)),
            usd("USD a month, if all were like it", PRICES, hours=_HOURS_A_MONTH),
            math(f"{widgets.bill(PRICES)} / told * 1000000", "USD a million deliveries", widgets.units(PRICES) | told),
        ]
        return [
            cloudwatch.SingleValueWidget(
                title="Of the time shown", metrics=sums, set_period_to_time_range=True, width=8, height=HEIGHT
            ),
            graph("By service", by_service, 8, unit="USD an hour", stacked=True),
            graph(
                "By what is billed",
                [usd(f"{price.service}: {price.what}", [price]) for price in PRICES],
                8,
                unit="USD an hour",
            ),
        ]


def _label(dead_letters: sqs.Queue) -> str:
    """Return ``Publish high`` for the queue ``Publish/HighDeadLetters``."""
    assert dead_letters.node.scope is not None
    return f"{dead_letters.node.scope.node.id} {dead_letters.node.id.removesuffix(_DEAD_LETTERS).lower()}"
