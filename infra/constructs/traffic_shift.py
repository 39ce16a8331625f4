"""A new version of a function first gets a part of what comes; an alarm brings the one before back."""

from collections.abc import Mapping, Sequence

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch
from aws_cdk import aws_codedeploy as codedeploy
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct


class TrafficShift(Construct):
    """CodeDeploy moves each alias in the stage's steps: docs.aws.amazon.com/codedeploy/latest/userguide/
    deployment-steps-lambda.html. All begin at once, and CloudFormation waits for the last.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        steps: str,
        aliases: Mapping[str, lambda_.Alias],
        alarms: Sequence[cloudwatch.IAlarm] = (),
    ) -> None:
        """Move each alias.

        Args:
            scope: The stack.
            construct_id: Its id.
            steps: Name of a configuration that CodeDeploy has.
            aliases: By their functions' names.
            alarms: Each brings every function back; without any, a function's own errors bring it back.
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
                alarms=list(alarms) or [self._errors(name, alias)],
            )

    def _errors(self, name: str, alias: lambda_.Alias) -> cloudwatch.Alarm:
        return cloudwatch.Alarm(
            self,
            f"{name}Errors",
            alarm_description=f"Errors of {name}: a deployment that is under way is taken back",
            metric=alias.metric_errors(period=Duration.minutes(1)),
            threshold=1,
            evaluation_periods=1,
            comparison_operator=cloudwatch.ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            treat_missing_data=cloudwatch.TreatMissingData.NOT_BREACHING,
        )
