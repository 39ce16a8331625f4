"""The canary: a client that comes from outside every few minutes, and the alarm over what it finds."""

from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_events as events
from aws_cdk import aws_events_targets as targets
from constructs import Construct

from infra.constructs.functions import Functions
from infra.stage import StageConfig
from shared import contract

_TIMEOUT_S: Final = 60  # it waits 10 s for each of four things, and up to 15 s to say goodbye
_METRIC: Final = "CanarySuccess"
# One that fails may be a packet lost on the way; two of three are not.
_FAILURES: Final = 2
_RUNS: Final = 3


class Canary(Construct):
    """Rule → canary → the URLs that clients have; what it measures → alarm."""

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        minutes: int,
        functions: Functions,
        websocket_url: str,
        http_url: str,
    ) -> None:
        super().__init__(scope, construct_id)
        self.function = functions.make(
            "canary",
            timeout_s=_TIMEOUT_S,
            layer="canary",
            memory_mb=512,
            environment={
                contract.ENV_WEBSOCKET_URL: websocket_url,
                contract.ENV_HTTP_URL: http_url,
                contract.ENV_TOKEN_SECRET_ARN: functions.token_secret.secret_arn,
            },
        )
        # It signs its own token. Nothing smaller makes a user of it: API keys and IAM are servers', which have no
        # connections, and anonymous users are not in every stage.
        functions.token_secret.grant_read(self.function)
        canary, every = functions.entry(self.function), Duration.minutes(minutes)
        # A run that was refused is not caught up with: after an outage of hours they would all come at once.
        canary.configure_async_invoke(max_event_age=Duration.minutes(1), retry_attempts=0)
        events.Rule(
            self,
            "Schedule",
            schedule=events.Schedule.rate(every),
            enabled=not stage.emulated,
            targets=[targets.LambdaFunction(canary, retry_attempts=0)],
        )
        if not stage.emulated:
            self._alarm(every)

    def _alarm(self, every: Duration) -> None:
        """Raise an alarm when runs fail, or don't come.

        That none come is told some periods later: CloudWatch first looks back over more than it was asked for
        (docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarms-and-missing-data.html).
        """
        measured = cloudwatch.Metric(
            namespace=contract.METRICS_NAMESPACE,
            metric_name=_METRIC,
            dimensions_map={"service": contract.SERVICE_NAME},
            statistic="Minimum",
            period=every,
        )
        measured.create_alarm(
            self,
            "Failed",
            alarm_description="docs/runbooks/canary.md",
            threshold=1,
            comparison_operator=cloudwatch.ComparisonOperator.LESS_THAN_THRESHOLD,
            evaluation_periods=_RUNS,
            datapoints_to_alarm=_FAILURES,
            treat_missing_data=cloudwatch.TreatMissingData.BREACHING,
        )
