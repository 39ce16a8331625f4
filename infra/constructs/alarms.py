"""Alarms over Tidewire's own metrics, the age of what waits, and the topic that all alarms of the stack tell."""

from collections.abc import Mapping, Sequence
from typing import Final

from aws_cdk import Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sqs as sqs
from constructs import Construct

from shared.contract import METRICS_NAMESPACE, SERVICE_NAME

_OLDEST_S: Final = 60
# Name, metric, statistic, what is too much in each of three minutes, its page in docs/runbooks.
_OWN: Final = (
    ("Latency", "PublishToDeliverLatency", "p99", 2_000, "latency"),
    ("PushBreaker", "PushBreakerOpen", "Maximum", 1, "breaker"),
    ("StorageBreaker", "StorageBreakerOpen", "Maximum", 1, "breaker"),
    ("Recoveries", "RecoveryRefused", "Sum", 100, "recoveries"),
    ("Resolvers", "ResolverFailures", "Sum", 1, "extensions"),
    ("CommandFaults", "CommandFailures", "Sum", 1, "extensions"),
    ("CommandTimeouts", "CommandTimeouts", "Sum", 10, "extensions"),
)


class Alarms(Construct):
    """Missing data is no fault: these metrics are written, and queues measured, only while something happens."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        queues: Mapping[str, sqs.IQueue],
        functions: Sequence[lambda_.IFunction],
    ) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True)
        for name, metric, statistic, threshold, page in _OWN:
            measured = cloudwatch.Metric(
                namespace=METRICS_NAMESPACE,
                metric_name=metric,
                dimensions_map={"service": SERVICE_NAME},
                statistic=statistic,
                period=Duration.minutes(1),
            )
            self._alarm(name, measured, threshold, page)
        for name, queue in queues.items():
            age = queue.metric_approximate_age_of_oldest_message(period=Duration.minutes(1), statistic="Maximum")
            self._alarm(f"{name}Age", age, _OLDEST_S, "age")
        for function in functions:
            name, minute = function.node.id, Duration.minutes(1)
            self._alarm(f"{name}Errors", function.metric_errors(period=minute), 1, "functions")
            self._alarm(f"{name}Throttles", function.metric_throttles(period=minute), 1, "functions")
        for construct in Stack.of(self).node.find_all():
            if isinstance(construct, cloudwatch.Alarm):
                construct.add_alarm_action(actions.SnsAction(self.topic))

    def _alarm(self, name: str, metric: cloudwatch.Metric, threshold: float, page: str) -> None:
        metric.create_alarm(
            self,
            name,
            alarm_description=f"docs/runbooks/{page}.md",
            threshold=threshold,
            evaluation_periods=3,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
