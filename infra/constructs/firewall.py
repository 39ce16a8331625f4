"""AWS WAF before CloudFront: how much one address may ask for, and what nobody means well with."""

from typing import Final

from aws_cdk import ArnFormat, RemovalPolicy, Stack
from aws_cdk import aws_logs as logs
from aws_cdk import aws_wafv2 as wafv2
from constructs import Construct

from infra.stage import StageConfig

# Rules that count and do not block. Bodies are JSON that nothing here runs or puts into a page, and people write what
# these look for: more than 8 KB, HTML, paths, addresses, code. What goes by WebSocket is not looked at anyway. Names in
# paths are channels', not files', and a server need not name itself. Source: docs.aws.amazon.com/waf/latest/
# developerguide/aws-managed-rule-groups-baseline.html
_COMMON_COUNTED: Final = (
    "SizeRestrictions_BODY",
    "EC2MetaDataSSRF_BODY",
    "GenericLFI_BODY",
    "GenericRFI_BODY",
    "CrossSiteScripting_BODY",
    "RestrictedExtensions_URIPATH",
    "RestrictedExtensions_QUERYARGUMENTS",
    "NoUserAgent_HEADER",
)
_INPUTS_COUNTED: Final = ("JavaDeserializationRCE_BODY", "Log4JRCE_BODY", "ReactJSRCE_BODY")
# In the order in which they are asked.
_MANAGED: Final = (
    ("AWSManagedRulesAmazonIpReputationList", ()),
    ("AWSManagedRulesKnownBadInputsRuleSet", _INPUTS_COUNTED),
    ("AWSManagedRulesCommonRuleSet", _COMMON_COUNTED),
)
_WINDOW_S: Final = 300
# An address is let in again when its rate has fallen, which is looked at every few seconds.
_TRY_AGAIN_S: Final = "30"
_SECRET_HEADERS: Final = ("authorization", "cookie", "x-api-key")


class Firewall(Construct):
    """A web ACL for CloudFront: in us-east-1."""

    def __init__(self, scope: Construct, construct_id: str, *, stage: StageConfig, requests_per_address: int) -> None:
        super().__init__(scope, construct_id)
        managed = [_managed(place, *named) for place, named in enumerate(_MANAGED, start=1)]
        web_acl = wafv2.CfnWebACL(
            self,
            "WebAcl",
            scope="CLOUDFRONT",
            description=f"Tidewire {stage.name}",
            default_action=wafv2.CfnWebACL.DefaultActionProperty(allow=wafv2.CfnWebACL.AllowActionProperty()),
            visibility_config=_visible("Tidewire"),
            rules=[_rate(requests_per_address), *managed],
        )
        self.web_acl_arn = web_acl.attr_arn
        self._log(web_acl, stage)

    def _log(self, web_acl: wafv2.CfnWebACL, stage: StageConfig) -> None:
        """Log what was blocked, without what would let its reader in; what is counted may be a publication.

        The name has to begin so: docs.aws.amazon.com/waf/latest/developerguide/logging-cw-logs.html
        """
        name = f"aws-waf-logs-tidewire-{stage.name}"
        group = logs.LogGroup(
            self,
            "Log",
            log_group_name=name,
            retention=stage.log_retention,
            removal_policy=RemovalPolicy.DESTROY,
        )
        arn = Stack.of(self).format_arn(
            service="logs", resource="log-group", resource_name=name, arn_format=ArnFormat.COLON_RESOURCE_NAME
        )
        field = wafv2.CfnLoggingConfiguration.FieldToMatchProperty
        logging = wafv2.CfnLoggingConfiguration(
            self,
            "Logging",
            resource_arn=web_acl.attr_arn,
            log_destination_configs=[arn],  # the group's own ends with :*, which WAF refuses
            redacted_fields=[
                *(field(single_header={"Name": header}) for header in _SECRET_HEADERS),
                field(query_string={}),  # tickets and cursors
            ],
            logging_filter={
                "DefaultBehavior": "DROP",
                "Filters": [
                    {
                        "Behavior": "KEEP",
                        "Requirement": "MEETS_ANY",
                        "Conditions": [{"ActionCondition": {"Action": "BLOCK"}}],
                    }
                ],
            },
        )
        logging.node.add_dependency(group)


def _rate(limit: int) -> wafv2.CfnWebACL.RuleProperty:
    answer = wafv2.CfnWebACL.CustomResponseProperty(
        response_code=429,
        response_headers=[wafv2.CfnWebACL.CustomHTTPHeaderProperty(name="Retry-After", value=_TRY_AGAIN_S)],
    )
    return wafv2.CfnWebACL.RuleProperty(
        name="RatePerAddress",
        priority=0,
        action=wafv2.CfnWebACL.RuleActionProperty(block=wafv2.CfnWebACL.BlockActionProperty(custom_response=answer)),
        statement=wafv2.CfnWebACL.StatementProperty(
            rate_based_statement=wafv2.CfnWebACL.RateBasedStatementProperty(
                limit=limit, aggregate_key_type="IP", evaluation_window_sec=_WINDOW_S
            )
        ),
        visibility_config=_visible("RatePerAddress"),
    )


def _managed(priority: int, name: str, counted: tuple[str, ...]) -> wafv2.CfnWebACL.RuleProperty:
    count = wafv2.CfnWebACL.RuleActionProperty(count=wafv2.CfnWebACL.CountActionProperty())
    return wafv2.CfnWebACL.RuleProperty(
        name=name,
        priority=priority,
        override_action=wafv2.CfnWebACL.OverrideActionProperty(none={}),
        statement=wafv2.CfnWebACL.StatementProperty(
            managed_rule_group_statement=wafv2.CfnWebACL.ManagedRuleGroupStatementProperty(
                vendor_name="AWS",
                name=name,
                rule_action_overrides=[
                    wafv2.CfnWebACL.RuleActionOverrideProperty(name=rule, action_to_use=count) for rule in counted
                ],
            )
        ),
        visibility_config=_visible(name),
    )


def _visible(metric: str) -> wafv2.CfnWebACL.VisibilityConfigProperty:
    """Return metrics, and no samples: those have whole headers and queries, tokens and tickets among them."""
    return wafv2.CfnWebACL.VisibilityConfigProperty(
        cloud_watch_metrics_enabled=True, metric_name=metric, sampled_requests_enabled=False
    )
