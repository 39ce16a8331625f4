"""What the account may cost a month, before somebody is told."""

from typing import Final

from aws_cdk import Stack
from aws_cdk import aws_budgets as budgets
from constructs import Construct

from infra.constructs.alarms import Alarms

# AWS looks several times a day: docs.aws.amazon.com/cli/v1/reference/budgets
_TOLD_AT: Final = (("ACTUAL", 80), ("FORECASTED", 100))


class Budget(Construct):
    """Told of by the alarms' topic: docs.aws.amazon.com/cost-management/latest/userguide/budgets-sns-policy.html.

    It has no name of its own, since another notification is another budget beside it, until it is gone: docs.aws.
    amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-budgets-budget-notificationwithsubscribers.html
    """

    def __init__(self, scope: Construct, construct_id: str, *, usd: int, alarms: Alarms) -> None:
        super().__init__(scope, construct_id)
        alarms.allow_to_tell("budgets", Stack.of(self).format_arn(service="budgets", region="", resource="*"))
        topic = budgets.CfnBudget.SubscriberProperty(
            address=alarms.topic.topic_arn,
            subscription_type="SNS",
        )
        budgets.CfnBudget(
            self,
            "Month",
            budget=budgets.CfnBudget.BudgetDataProperty(
                budget_type="COST",
                time_unit="MONTHLY",
                budget_limit=budgets.CfnBudget.SpendProperty(amount=usd, unit="USD"),
            ),
            notifications_with_subscribers=[
                budgets.CfnBudget.NotificationWithSubscribersProperty(
                    notification=budgets.CfnBudget.NotificationProperty(
                        notification_type=kind,
                        comparison_operator="GREATER_THAN",
                        threshold=percent,
                        threshold_type="PERCENTAGE",
                    ),
                    subscribers=[topic],
                )
                for kind, percent in _TOLD_AT
            ],
        )
