"""CloudFront's firewall and its access log, in us-east-1 wherever the stage is."""

import json

from tests.infra.one_origin import OneOrigin
from tests.infra.template import Properties, text, values_of


class TestFirewall:
    def test_it_stands_before_the_distribution_in_us_east_1(self, one: OneOrigin, nameless: OneOrigin) -> None:
        for stage in (one, nameless):
            [acl] = stage.firewall.of_type("AWS::WAFv2::WebACL").values()
            assert acl["Scope"] == "CLOUDFRONT"
            manifest = json.loads((stage.main.assembly / "manifest.json").read_text())["artifacts"]
            assert manifest["TidewireDevFirewall"]["environment"].endswith("/us-east-1")
            assert "FirewallWebAcl" in json.dumps(stage.distribution["WebACLId"])

    def test_an_address_may_ask_so_much_and_is_told_when_to_come_again(self, one: OneOrigin) -> None:
        rule = self._rules(one)["RatePerAddress"]
        assert rule["Statement"]["RateBasedStatement"] == {
            "AggregateKeyType": "IP",
            "EvaluationWindowSec": 300,
            "Limit": 6000,
        }
        answer = rule["Action"]["Block"]["CustomResponse"]
        assert (answer["ResponseCode"], answer["ResponseHeaders"]) == (429, [{"Name": "Retry-After", "Value": "30"}])

    def test_aws_rules_block_but_where_they_would_block_what_people_write(self, one: OneOrigin) -> None:
        rules = self._rules(one)
        assert list(rules) == [
            "RatePerAddress",
            "AWSManagedRulesAmazonIpReputationList",
            "AWSManagedRulesKnownBadInputsRuleSet",
            "AWSManagedRulesCommonRuleSet",
        ]
        assert [rule["Priority"] for rule in rules.values()] == [0, 1, 2, 3]
        counted = set()
        for name, rule in list(rules.items())[1:]:
            assert rule["OverrideAction"] == {"None": {}}
            group = rule["Statement"]["ManagedRuleGroupStatement"]
            assert (group["VendorName"], group["Name"]) == ("AWS", name)
            for override in group["RuleActionOverrides"]:
                assert override["ActionToUse"] == {"Count": {}}
                counted.add(override["Name"])
        bodies = {name for name in counted if name.endswith("_BODY")}
        assert {"SizeRestrictions_BODY", "CrossSiteScripting_BODY", "Log4JRCE_BODY"} <= bodies
        assert counted - bodies == {
            "NoUserAgent_HEADER",
            "RestrictedExtensions_QUERYARGUMENTS",
            "RestrictedExtensions_URIPATH",
        }

    def test_its_log_has_no_token_no_ticket_and_nothing_that_was_published(self, one: OneOrigin) -> None:
        [log] = one.firewall.of_type("AWS::WAFv2::LoggingConfiguration").values()
        redacted = [field.get("SingleHeader", {}).get("Name", "query") for field in log["RedactedFields"]]
        assert redacted == ["authorization", "cookie", "x-api-key", "query"]
        [kept] = log["LoggingFilter"]["Filters"]
        assert log["LoggingFilter"]["DefaultBehavior"] == "DROP"
        assert (kept["Behavior"], kept["Conditions"]) == ("KEEP", [{"ActionCondition": {"Action": "BLOCK"}}])
        [destination] = log["LogDestinationConfigs"]
        assert text(destination).endswith(":log-group:aws-waf-logs-tidewire-dev")
        [acl] = one.firewall.of_type("AWS::WAFv2::WebACL").values()
        assert set(values_of("SampledRequestsEnabled", acl)) == {False}

    def _rules(self, stage: OneOrigin) -> dict[str, Properties]:
        [acl] = stage.firewall.of_type("AWS::WAFv2::WebACL").values()
        return {rule["Name"]: rule for rule in acl["Rules"]}


class TestAccessLog:
    def test_it_says_who_asked_for_what_and_not_with_which_ticket(self, one: OneOrigin) -> None:
        [delivery] = one.access_log.of_type("AWS::Logs::Delivery").values()
        fields = delivery["RecordFields"]
        assert {"c-ip", "cs-method", "cs-uri-stem", "sc-status"} <= set(fields)
        assert not {"cs-uri-query", "cs(Cookie)", "cs(Referer)", "cs-headers"} & set(fields)
        [source] = one.access_log.of_type("AWS::Logs::DeliverySource").values()
        assert source["LogType"] == "ACCESS_LOGS"
        assert "FrontDistribution" in json.dumps(source["ResourceArn"])
        assert source["Name"] == delivery["DeliverySourceName"]

    def test_it_is_kept_for_three_months_where_nobody_reads_along(self, one: OneOrigin) -> None:
        [bucket] = one.access_log.of_type("AWS::S3::Bucket").values()
        assert [rule["ExpirationInDays"] for rule in bucket["LifecycleConfiguration"]["Rules"]] == [90]
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
