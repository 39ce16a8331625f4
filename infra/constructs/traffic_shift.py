"""A new version of a function first gets a part of what comes; an alarm brings the one before back."""

from collections.abc import Mapping
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.constructs.alarms import runbook

# Of a minute's invocations. No smaller: a client that knows how to make one call fail would stop every deployment.
_FAILED_MAX_PERCENT: Final = 5


class TrafficShift(Construct):
    """CodeDeploy moves each alias in the stage's steps: docs.aws.amazon.com/codedeploy/latest/userguide/
    deployment-steps-lambda.html. All begin at once, and CloudFormation waits for the last.
    """

    def __init__(
        self, scope: Construct, construct_id: str, *, steps: str, aliases: Mapping[str, lambda_.Alias]
    ) -> None:
        """Move each alias.

        Args:
            scope: The stack.
            construct_id: Its id.
            steps: Name of a configuration that CodeDeploy has.
            aliases: By their functions' names.
        """
        super().__init__(scope, construct_id)
        application = codedeploy.LambdaApplication(self, "Application")
        config = codedeploy.LambdaDeploymentConfig.from_lambda_deployment_config_name(self, "Steps", steps)
        role = iam.Role(self, "Role", assumed_by=iam.ServicePrincipal("codedeploy.amazonaws.com"))
        for name, alias in aliases.items():
            codedeploy.LambdaDeploymentGroup(
                self,
                name,
                application=application,
                alias=alias,
                deployment_config=config,
                role=role,
                alarms=[self._errors(name, alias)],
            )

    def _errors(self, name: str, alias: lambda_.Alias) -> cloudwatch.Alarm:
        """Of the new version alone: an alarm that the one before has set would keep its cure from being deployed."""
        minute = Duration.minutes(1)
        measured = {
            "errors": alias.metric_errors(period=minute),
            "invocations": alias.metric_invocations(period=minute),
        }
        # docs.aws.amazon.com/lambda/latest/dg/monitoring-metrics.html: of a weighted alias, by version
        version = {"ExecutedVersion": alias.version.version}
        share = cloudwatch.MathExpression(
            expression="100 * errors / invocations",
            using_metrics={
                metric: one.with_(dimensions_map={**(one.dimensions or {}), **version})
                for metric, one in measured.items()
            },
            period=minute,
        )
        return cloudwatch.Alarm(
            self,
            f"{name}Errors",
            alarm_description=f"Errors of {name}: a deployment that is under way is taken back ({runbook('errors')})",
            metric=share,
            threshold=_FAILED_MAX_PERCENT,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_THRESHOLD,
            # Nobody has invoked it, or not by an alias that is being moved.
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
