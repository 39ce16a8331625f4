"""Who asked CloudFront for what, kept for three months; without queries, which have tickets."""

from typing import Final

from aws_cdk import ArnFormat, Duration, RemovalPolicy, Stack
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_iam as iam
from aws_cdk import aws_logs as logs
from aws_cdk import aws_s3 as s3
from constructs import Construct

from infra.stage import StageConfig

# The older logs have the query in them, always: docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/
# standard-logs-reference.html. These have what is named, of the same names.
_FIELDS: Final = (
    "date",
    "time",
    "x-edge-location",
    "x-edge-request-id",
    "c-ip",
    "cs-method",
    "x-host-header",
    "cs-uri-stem",
    "cs-protocol",
    "cs-protocol-version",
    "ssl-protocol",
    "cs(User-Agent)",
    "cs-bytes",
    "sc-status",
    "sc-bytes",
    "x-edge-detailed-result-type",
    "time-taken",
)
_KEPT: Final = Duration.days(90)
_DELIVERY: Final = "delivery.logs.amazonaws.com"


class AccessLog(Construct):
    """CloudFront's standard logs (v2) to a bucket: in us-east-1."""

    def __init__(
        self, scope: Construct, construct_id: str, *, stage: StageConfig, distribution: cloudfront.Distribution
    ) -> None:
        super().__init__(scope, construct_id)
        bucket = s3.Bucket(
            self,
            "Bucket",
            block_public_access=s3.BlockPublicAccess.BLOCK_ALL,
            encryption=s3.BucketEncryption.S3_MANAGED,
            enforce_ssl=True,
            minimum_tls_version=1.2,
            lifecycle_rules=[s3.LifecycleRule(expiration=_KEPT)],
            removal_policy=stage.removal_policy,
            auto_delete_objects=stage.removal_policy == RemovalPolicy.DESTROY,
        )
        name = f"tidewire-{stage.name}"
        source = logs.CfnDeliverySource(
            self, "Source", name=name, log_type="ACCESS_LOGS", resource_arn=distribution.distribution_arn
        )
        self._allow(bucket, name)
        destination = logs.CfnDeliveryDestination(
            self, "Destination", name=name, destination_resource_arn=bucket.bucket_arn, output_format="json"
        )
        delivery = logs.CfnDelivery(
            self,
            "Delivery",
            delivery_source_name=name,
            delivery_destination_arn=destination.attr_arn,
            record_fields=list(_FIELDS),
        )
        delivery.node.add_dependency(source, bucket)

    def _allow(self, bucket: s3.Bucket, source: str) -> None:
        """Let CloudWatch put the files there.

        Source: docs.aws.amazon.com/AmazonCloudWatch/latest/logs/AWS-logs-infrastructure-V2-S3.html
        """
        stack = Stack.of(self)
        arn = stack.format_arn(
            service="logs", resource="delivery-source", resource_name=source, arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
        bucket.add_to_resource_policy(
            iam.PolicyStatement(
                principals=[iam.ServicePrincipal(_DELIVERY)],
                actions=["s3:PutObject"],
                resources=[bucket.arn_for_objects("*")],
                conditions={
                    "StringEquals": {
                        "s3:x-amz-acl": "bucket-owner-full-control",
                        "aws:SourceAccount": stack.account,
                    },
                    "ArnLike": {"aws:SourceArn": arn},
                },
            )
        )
