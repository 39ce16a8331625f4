"""The stacks of a stage: one, or with CloudFront three, since what belongs to CloudFront alone has to be in us-east-1.

First the firewall, then all of Tidewire where its users are, then the access log: ``cdk deploy --all`` knows the order.
"""

from typing import Final

from aws_cdk import Environment, Stack
from constructs import Construct

from infra.constructs.access_log import AccessLog
from infra.constructs.firewall import Firewall
from infra.constructs.one_origin import FrontConfig
from infra.realtime_stack import RealtimeStack
from infra.stage import StageConfig

# Web ACLs: docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/aws-resource-wafv2-webacl.html (Scope);
# access logs: docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/standard-logging.html
CLOUDFRONT_REGION: Final = "us-east-1"


def add_stacks(scope: Construct, name: str, *, stage: StageConfig, region: str | None) -> RealtimeStack:
    """Add the stacks of a stage, and return the one that is Tidewire.

    Args:
        scope: The CDK app.
        name: Of the stack; the others' begin with it.
        stage: What is deployed.
        region: Where to; a stage with CloudFront has to know, as it tells another region of itself.

    Raises:
        SystemExit: The region is needed and not known.
    """
    if stage.cloudfront is None:
        return RealtimeStack(scope, name, stage=stage)
    if region is None:
        raise SystemExit(f"stage {stage.name} has CloudFront, which needs a region: set AWS_REGION, or a profile's")
    # A stack that another needs is not changed under it (the default, which CDK wants to be said).
    scope.node.set_context("@aws-cdk/core:defaultCrossStackReferences", "strong")
    firewall = Firewall(
        _beside(scope, f"{name}Firewall", f"Tidewire, stage {stage.name}: CloudFront's firewall"),
        "Firewall",
        stage=stage,
        requests_per_address=stage.cloudfront.requests_per_address,
    )
    front = FrontConfig(stage.cloudfront, web_acl_arn=firewall.web_acl_arn, region=region)
    stack = RealtimeStack(scope, name, stage=stage, front=front)
    assert stack.front is not None
    AccessLog(
        _beside(scope, f"{name}AccessLog", f"Tidewire, stage {stage.name}: CloudFront's access log"),
        "AccessLog",
        stage=stage,
        distribution=stack.front.distribution,
    )
    return stack


def _beside(scope: Construct, name: str, description: str) -> Stack:
    return Stack(
        scope,
        name,
        description=description,
        env=Environment(region=CLOUDFRONT_REGION),
        cross_region_references=True,
    )
