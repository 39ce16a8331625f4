"""The tables: one per lifetime of what lies in them."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from constructs import Construct

from infra.stage import StageConfig
from shared.contract import BUCKET_PREFIX, PK, SK, TTL_ATTRIBUTE

# What the adapters call. CDK's own grants have more: to scan a table, to follow its stream.
_READ = ("dynamodb:GetItem", "dynamodb:BatchGetItem", "dynamodb:Query")
_WRITE = ("dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem", "dynamodb:BatchWriteItem")


def grant_read(table: dynamodb.TableV2, function: lambda_.Function) -> None:
    """Let a function read a table by its keys."""
    table.grant(function, *_READ)


def grant_append(table: dynamodb.TableV2, function: lambda_.Function) -> None:
    """Let a function read a table, and put items into it; what is there is neither changed nor deleted."""
    table.grant(function, *_READ, "dynamodb:PutItem")


def grant_read_write(table: dynamodb.TableV2, function: lambda_.Function) -> None:
    """Let a function read and write a table by its keys."""
    table.grant(function, *_READ, *_WRITE)


def grant_count(limits: dynamodb.TableV2, function: lambda_.Function) -> None:
    """Let a function put buckets into the limits table, and read none: API keys lie there too.

    Sources: docs.aws.amazon.com/amazondynamodb/latest/developerguide/specifying-conditions.html; that a request without
    keys would satisfy the first condition alone, and not the second:
    docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html
    """
    key = "dynamodb:LeadingKeys"
    function.add_to_role_policy(
        iam.PolicyStatement(
            actions=["dynamodb:PutItem"],
            resources=[limits.table_arn],
            conditions={"ForAllValues:StringLike": {key: f"{BUCKET_PREFIX}*"}, "Null": {key: "false"}},
        )
    )


class MessageStore(Construct):
    """DynamoDB on demand, with point-in-time recovery, encrypted with the key that DynamoDB owns (at no charge)."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig) -> None:
        super().__init__(scope, construct_id)
        self._stage = stage
        self.connections = self._table("Connections")
        # Sorted by offset, so its sort key is a number.
        self.streams = self._table("Streams", dynamodb.AttributeType.NUMBER)
        self.state = self._table("State")
        self.presence = self._table("Presence")
        self.limits = self._table("Limits")

    def _table(
        self, construct_id: str, sort_key: dynamodb.AttributeType = dynamodb.AttributeType.STRING
    ) -> dynamodb.TableV2:
        return dynamodb.TableV2(
            self,
            construct_id,
            partition_key=dynamodb.Attribute(name=PK, type=dynamodb.AttributeType.STRING),
            sort_key=dynamodb.Attribute(name=SK, type=sort_key),
            billing=dynamodb.Billing.on_demand(),
            encryption=dynamodb.TableEncryptionV2.dynamo_owned_key(),
            point_in_time_recovery_specification=dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            time_to_live_attribute=TTL_ATTRIBUTE,
            removal_policy=self._stage.removal_policy,
            deletion_protection=self._stage.removal_policy == RemovalPolicy.RETAIN,
        )
