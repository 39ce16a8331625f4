"""The topic that every alarm of the stack tells, whoever is told by it, and how an alarm is made."""

from typing import Final

from aws_cdk import ArnFormat, Duration, Stack
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_cloudwatch_actions as actions
from aws_cdk import aws_iam as iam
from aws_cdk import aws_sns as sns
from aws_cdk import aws_sns_subscriptions as subscriptions
from constructs import Construct

MINUTE: Final = Duration.minutes(1)
FIVE_MINUTES: Final = Duration.minutes(5)


def runbook(page: str) -> str:
    """Return how an alarm's description names its page; a test looks for it in every alarm of the stack."""
    return f"docs/runbooks/{page}.md"


class Alarms(Construct):
    """What :meth:`watch` and :meth:`adopt` were given tells the topic.

    The topic is not encrypted with a key of KMS: CloudWatch can't use AWS's own for SNS, so it would have to be the
    stack's, at $1 a month, with the same grants once more (repost.aws/knowledge-center/cloudwatch-configure-alarm-sns).
    What it carries are names and numbers, on their way into mails; SNS's disks are encrypted anyway
    (docs.aws.amazon.com/sns/latest/dg/sns-data-encryption.html). cdk-nag asks for TLS alone (SNS3).
    """

    def __init__(self, scope: Construct, construct_id: str, *, email: str | None) -> None:
        super().__init__(scope, construct_id)
        self.topic = sns.Topic(self, "Topic", enforce_ssl=True)
        # With a policy of its own a topic has no longer the one by which all of the account may publish:
        # docs.aws.amazon.com/sns/latest/dg/sns-access-policy-use-cases.html
        stack = Stack.of(self)
        self.allow_to_tell(
            "cloudwatch",
            stack.format_arn(
                service="cloudwatch",
                resource="alarm",
                resource_name="*",
                arn_format=ArnFormat.COLON_RESOURCE_NAME,
            ),
        )
        if email is not None:
            self.topic.add_subscription(subscriptions.EmailSubscription(email))

    def allow_to_tell(self, service: str, source_arn: str) -> None:
        """Let a service of AWS publish to the topic for those resources alone, which are of this account."""
        self.topic.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(f"{service}.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"ArnLike": {"aws:SourceArn": source_arn}},
            )
        )

    def watch(
        self,
        name: str,
        metric: cloudwatch.IMetric,
        *,
        threshold: float,
        page: str,
        periods: int = 3,
    ) -> None:
        """Raise an alarm once the metric has been at the threshold or above it, for so many of its periods on end.

        Args:
            name: The construct's id.
            metric: With its period.
            threshold: In the metric's unit; derived in docs/runbooks/README.md.
            page: Its runbook's, in docs/runbooks, without ``.md``.
            periods: How many.
        """
        alarm = cloudwatch.Alarm(
            self,
            name,
            metric=metric,
            threshold=threshold,
            evaluation_periods=periods,
            alarm_description=runbook(page),
            # Most metrics are written, and queues measured, only while something happens.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
        self._tell(alarm)

    def adopt(self) -> None:
        """Have those alarms tell the topic that other constructs have made so far."""
        for construct in Stack.of(self).node.find_all():
            if isinstance(construct, cloudwatch.Alarm) and construct.node.scope is not self:
                self._tell(construct)

    def _tell(self, alarm: cloudwatch.Alarm) -> None:
        action = actions.SnsAction(self.topic)
        alarm.add_alarm_action(action)
        alarm.add_ok_action(action)
