"""The tables: one per lifetime of what lies in them."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_dynamodb as dynamodb
from constructs import Construct

from infra.stage import StageConfig
from shared.contract import PK, SK, TTL_ATTRIBUTE


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
