"""One origin: CloudFront before everything, and stages without it. None of it has run on AWS."""

import json
from collections.abc import Mapping
from graphlib import TopologicalSorter
from typing import Any

import pytest

from functions.http_api.pages import PAGES
from shared import contract, page_headers
from tests.infra.one_origin import CERTIFICATE, DOMAIN, OneOrigin
from tests.infra.template import ROOT, Properties, Synthesised, text, values_of

_SECRET = "${FrontSecret0B7D8D25}"


class TestWays:
    def test_each_path_leads_to_its_api_and_all_others_to_the_pages(self, one: OneOrigin) -> None:
        assert [(path, behaviour["TargetOriginId"]) for path, behaviour in one.behaviours.items()] == [
            ("/v1/ws", "websocket"),
            ("/v1/stream/*", "stream"),
            ("/v1/*", "http"),
            ("/healthz", "http"),
            ("/readyz", "http"),
            ("/openapi.json", "http"),
        ]
        pages = one.origins[one.distribution["DefaultCacheBehavior"]["TargetOriginId"]]
        assert text(pages["DomainName"]) == "${FrontPagesBucket87B13B12.RegionalDomainName}"

    def test_every_call_of_the_app_has_its_path(self, one: OneOrigin) -> None:
        paths = json.loads((ROOT / "docs" / "schemas" / "openapi.json").read_text())["paths"]
        first = {path.split("/")[1] for path in paths}
        assert first <= {path.split("/")[1] for path in one.behaviours}

    def test_origins_are_the_bare_urls(self, one: OneOrigin) -> None:
        names = {name: text(origin["DomainName"]) for name, origin in one.origins.items()}
        websocket = "wss://${WebsocketApiD2C932E4}.execute-api.eu-central-1.${AWS::URLSuffix}/v1"
        assert names["websocket"] == f"part 2 of {websocket} by /"
        assert names["http"] == "part 2 of ${HttpApi4E1D4184.ApiEndpoint} by /"
        [url] = one.main.of_type("AWS::Lambda::Url")
        assert f"${{{url}.FunctionUrl}}" in names["stream"]

    @pytest.mark.parametrize("name", ["websocket", "stream", "http"])
    def test_an_api_is_reached_by_tls_and_waited_for(self, one: OneOrigin, name: str) -> None:
        origin = one.origins[name]["CustomOriginConfig"]
        assert (origin["OriginProtocolPolicy"], origin["OriginSSLProtocols"]) == ("https-only", ["TLSv1.2"])
        assert origin["OriginReadTimeout"] == 60
        assert "ResponseCompletionTimeout" not in one.origins[name]  # would end streams

    def test_an_apis_answers_are_kept_by_nobody_and_not_compressed(self, one: OneOrigin) -> None:
        for behaviour in one.behaviours.values():
            # docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/using-managed-cache-policies.html
            assert behaviour["CachePolicyId"] == "4135ea2d-6df8-44a3-9df3-4b5a84be39ad"  # CachingDisabled
            assert behaviour["Compress"] is False
            assert behaviour["ViewerProtocolPolicy"] == "https-only"
            assert {"GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} <= set(behaviour["AllowedMethods"])

    def test_all_headers_go_on_but_the_host(self, one: OneOrigin) -> None:
        for behaviour in one.behaviours.values():
            # ... using-managed-origin-request-policies.html: AllViewerExceptHostHeader
            assert behaviour["OriginRequestPolicyId"] == "b689b0a8-53d0-40ab-baf2-68738e2966ac"

    def test_browsers_come_by_http_2_and_3_and_ipv6_with_tls_of_today(self, one: OneOrigin) -> None:
        assert (one.distribution["HttpVersion"], one.distribution["IPV6Enabled"]) == ("http2and3", True)
        assert one.distribution["ViewerCertificate"] == {
            "AcmCertificateArn": CERTIFICATE,
            "MinimumProtocolVersion": "TLSv1.2_2021",
            "SslSupportMethod": "sni-only",
        }
        assert one.distribution["DefaultCacheBehavior"]["ViewerProtocolPolicy"] == "redirect-to-https"

    def test_the_name_leads_there_by_ipv4_and_ipv6(self, one: OneOrigin, nameless: OneOrigin) -> None:
        records = one.main.of_type("AWS::Route53::RecordSet").values()
        assert sorted(record["Type"] for record in records) == ["A", "AAAA"]
        assert {(record["Name"], record["HostedZoneId"]) for record in records} == {(DOMAIN, "Z1")}
        assert one.distribution["Aliases"] == [DOMAIN]
        assert not nameless.main.of_type("AWS::Route53::RecordSet")


class TestPages:
    def test_the_bucket_is_read_by_this_distribution_alone(self, one: OneOrigin) -> None:
        [bucket] = one.main.of_type("AWS::S3::Bucket").values()
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        [policy] = one.main.of_type("AWS::S3::BucketPolicy").values()
        statements = policy["PolicyDocument"]["Statement"]
        [readers] = [one for one in statements if "s3:GetObject" in one["Action"]]
        assert readers["Principal"] == {"Service": "cloudfront.amazonaws.com"}
        assert "FrontDistribution" in json.dumps(readers["Condition"]["StringEquals"]["AWS:SourceArn"])
        assert [one["Condition"] for one in statements if one["Effect"] == "Deny"] == [
            {"Bool": {"aws:SecureTransport": "false"}},
            {"NumericLessThan": {"s3:TlsVersion": 1.2}},
        ]
        [control] = one.main.of_type("AWS::CloudFront::OriginAccessControl").values()
        assert control["OriginAccessControlConfig"]["SigningBehavior"] == "always"

    def test_what_has_a_hash_is_kept_for_a_year_and_all_else_asked_for_anew(self, one: OneOrigin) -> None:
        deployments = one.main.of_type("Custom::CDKBucketDeployment").values()
        kept = {
            deployment.get("DestinationBucketKeyPrefix"): deployment["SystemMetadata"]["cache-control"]
            for deployment in deployments
        }
        assert kept == {"parts": "public, max-age=31536000, immutable", None: "no-cache"}
        assert {deployment["Prune"] for deployment in deployments} == {False}

    def test_parts_are_there_before_the_pages_that_load_them(self, one: OneOrigin) -> None:
        [files] = [name for name in one.main.document["Resources"] if name.startswith("FrontPagesFilesCustom")]
        [parts] = [name for name in one.main.document["Resources"] if name.startswith("FrontPagesPartsCustom")]
        assert parts in one.main.document["Resources"][files]["DependsOn"]

    def test_every_part_has_a_hash_in_its_name(self) -> None:
        names = [path.name for path in (PAGES / "parts").iterdir()]
        assert names
        assert all(len(name.split(".")[0].rpartition("-")[2]) == 8 for name in names)


class TestHeaders:
    def test_pages_have_what_the_app_would_send_them_with(self, one: OneOrigin, nameless: OneOrigin) -> None:
        for stage, hosts in ((one, [f"wss://{DOMAIN}"]), (nameless, [])):
            sent = self._sent(stage, stage.distribution["DefaultCacheBehavior"])
            assert sent == page_headers.page_headers(*hosts)

    def test_answers_are_for_tls_alone_and_what_they_are_said_to_be(self, one: OneOrigin) -> None:
        for behaviour in one.behaviours.values():
            sent = self._sent(one, behaviour)
            assert sent["Strict-Transport-Security"] == "max-age=63072000"
            assert sent["X-Content-Type-Options"] == "nosniff"

    def _sent(self, stage: OneOrigin, behaviour: Properties) -> dict[str, str]:
        policies = stage.main.of_type("AWS::CloudFront::ResponseHeadersPolicy")
        policy = policies[behaviour["ResponseHeadersPolicyId"]["Ref"]]["ResponseHeadersPolicyConfig"]
        security = policy["SecurityHeadersConfig"]
        assert {one["Override"] for one in security.values()} == {True}
        assert security["StrictTransportSecurity"].get("IncludeSubdomains", False) is False
        age_s = security["StrictTransportSecurity"]["AccessControlMaxAgeSec"]
        sent = {
            "Strict-Transport-Security": f"max-age={age_s}",
            "Referrer-Policy": security["ReferrerPolicy"]["ReferrerPolicy"],
            **({"X-Content-Type-Options": "nosniff"} if "ContentTypeOptions" in security else {}),
        }
        if "ContentSecurityPolicy" in security:
            sent["Content-Security-Policy"] = security["ContentSecurityPolicy"]["ContentSecurityPolicy"]
        for header in policy.get("CustomHeadersConfig", {"Items": []})["Items"]:
            sent[header["Header"]] = header["Value"]
        return sent


class TestSecret:
    def test_every_api_is_shown_it_and_nobody_reads_it_in_the_template(
        self, one: OneOrigin, nameless: OneOrigin
    ) -> None:
        for stage, version in ((one, "v-2"), (nameless, "")):
            shown = {
                (name, header["HeaderName"], text(header["HeaderValue"]))
                for name, origin in stage.origins.items()
                for header in origin.get("OriginCustomHeaders", ())
            }
            reference = f"{{{{resolve:secretsmanager:{_SECRET}:SecretString:::{version}}}}}"
            assert shown == {
                (name, contract.HEADER_FRONT_SECRET, reference) for name in ("websocket", "stream", "http")
            }

    def test_who_takes_clients_in_asks_for_it_and_may_read_it(self, one: OneOrigin) -> None:
        asking = {
            name
            for name in one.main.functions
            if one.main.environment(name).get(contract.ENV_FRONT_SECRET_ARN) == _SECRET
        }
        assert asking == {"http_api", "http_stream", "ws_connect"}
        for name in asking:
            assert ("secretsmanager:GetSecretValue", _SECRET, "") in one.main.granted(name)

    def test_nothing_else_is_granted_for_it(self, one: OneOrigin, nameless: OneOrigin, dev: Synthesised) -> None:
        read = {(f"secretsmanager:{action}", _SECRET, "") for action in ("DescribeSecret", "GetSecretValue")}
        for stage, region in ((one, "eu-central-1"), (nameless, "us-east-1")):
            for name in dev.functions:
                plain = {
                    (action, what.replace("${AWS::Region}", region), how) for action, what, how in dev.granted(name)
                }
                more = read if name in ("http_api", "http_stream", "ws_connect") else set()
                assert stage.main.granted(name) == plain | more

    def test_it_is_long_and_of_nobodys_choice(self, one: OneOrigin) -> None:
        secret = one.main.of_type("AWS::SecretsManager::Secret")["FrontSecret0B7D8D25"]
        assert secret["GenerateSecretString"] == {"ExcludePunctuation": True, "PasswordLength": 64}


class TestTold:
    def test_clients_are_told_the_one_origin(self, one: OneOrigin, nameless: OneOrigin) -> None:
        for stage, name in ((one, DOMAIN), (nameless, "${FrontDistribution428BE642.DomainName}")):
            told = stage.main.environment("http_api")
            outputs = {name: text(output["Value"]) for name, output in stage.main.document["Outputs"].items()}
            assert told[contract.ENV_HTTP_URL] == told[contract.ENV_STREAM_URL] == f"https://{name}"
            assert told[contract.ENV_WEBSOCKET_URL] == f"wss://{name}/v1/ws"
            assert outputs[contract.OUTPUT_HTTP_URL] == f"https://{name}"
            assert outputs[contract.OUTPUT_WEBSOCKET_URL] == f"wss://{name}/v1/ws"
            assert outputs[contract.OUTPUT_BARE_HTTP_URL] == "${HttpApi4E1D4184.ApiEndpoint}"

    def test_who_changes_the_secret_is_told_its_name(self, one: OneOrigin) -> None:
        assert text(one.main.document["Outputs"][contract.OUTPUT_FRONT_SECRET_ARN]["Value"]) == _SECRET

    def test_pushes_go_to_the_bare_url(self, one: OneOrigin) -> None:
        endpoint = one.main.environment("fan_out")[contract.ENV_CONNECTIONS_ENDPOINT]
        assert endpoint == "https://${WebsocketApiD2C932E4}.execute-api.eu-central-1.${AWS::URLSuffix}/v1"

    def test_nothing_is_made_before_itself(self, one: OneOrigin, nameless: OneOrigin) -> None:
        """Neither in a stack, nor among them."""
        for stage in (one, nameless):
            for stack in (stage.main, stage.firewall, stage.access_log):
                TopologicalSorter(_needs(stack.document)).prepare()  # CycleError
            manifest = json.loads((stage.main.assembly / "manifest.json").read_text())["artifacts"]
            stacks = {name for name, one in manifest.items() if one["type"] == "aws:cloudformation:stack"}
            order = {name: set(manifest[name].get("dependencies", ())) & stacks for name in stacks}
            assert list(TopologicalSorter(order).static_order()) == [
                "TidewireDevFirewall",
                "TidewireDev",
                "TidewireDevAccessLog",
            ]

    def test_bare_urls_serve_until_there_is_the_other(self, one: OneOrigin, nameless: OneOrigin) -> None:
        """But for streams, by which the distribution is made."""
        for stage in (one, nameless):
            needs = _needs(stage.main.document)
            ids = stage.main.function_ids
            after = {name for name, logical_id in ids.items() if "FrontDistribution428BE642" in needs[logical_id]}
            assert after == {"http_api", "ws_connect"}
            assert ids["http_stream"] in _all_needs(needs, "FrontDistribution428BE642")

    def test_the_name_of_the_distribution_is_told_where_it_does_not_come_from(self, nameless: OneOrigin) -> None:
        needs = _needs(nameless.main.document)
        http = nameless.main.function_ids["http_api"]
        assert "FrontDistribution428BE642" in needs[http]
        assert not {http} & _all_needs(needs, "FrontDistribution428BE642")


def _needs(document: Properties) -> dict[str, set[str]]:
    """Return what each resource is made after."""
    resources = document["Resources"]
    found = {}
    for name, resource in resources.items():
        named = {str(one) for one in values_of("Ref", resource)}
        named |= {str(one[0]) for one in values_of("Fn::GetAtt", resource)}
        depends = resource.get("DependsOn", [])
        named |= set([depends] if isinstance(depends, str) else depends)
        found[name] = named & resources.keys()
    return found


def _all_needs(needs: Mapping[str, set[str]], name: str) -> set[str]:
    found, new = set[str](), {name}
    while new:
        new = {need for one in new for need in needs[one]} - found
        found |= new
    return found


class TestMistakes:
    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"domain": DOMAIN}, "domain and certificate_arn go together"),
            ({"certificate_arn": CERTIFICATE}, "domain and certificate_arn go together"),
            ({"hosted_zone_id": "Z1"}, "hosted_zone_id is for a domain"),
            (
                {"domain": DOMAIN, "certificate_arn": CERTIFICATE.replace("us-east-1", "eu-central-1")},
                "certificate_arn is to be of ACM in us-east-1",
            ),
            ({"domain": DOMAIN, "certificate_arn": "arn:aws:iam::1:server-certificate/x"}, "certificate_arn is to be"),
            ({"requests_per_address": 9}, "requests_per_address is at least 10"),
        ],
    )
    def test_options_that_do_not_go_together_are_told(self, options: dict[str, Any], told: str) -> None:
        from infra.stage import CloudFront, StageConfig, check

        with pytest.raises(SystemExit, match=f"^infra/stage.py: stage prod: cloudfront: {told}"):
            check(StageConfig("prod", cloudfront=CloudFront(**options)))

    def test_the_emulator_has_none(self) -> None:
        from infra.stage import CloudFront, StageConfig, check

        with pytest.raises(SystemExit, match="stage local: cloudfront: the emulator has none"):
            check(StageConfig("local", cloudfront=CloudFront()))

    def test_without_a_region_it_is_told_what_to_set(self) -> None:
        import aws_cdk as cdk

        from infra.one_origin_stacks import add_stacks
        from infra.stage import CloudFront, StageConfig

        with pytest.raises(SystemExit, match=r"^stage prod has CloudFront, which needs a region: set AWS_REGION"):
            add_stacks(cdk.App(), "TidewireProd", stage=StageConfig("prod", cloudfront=CloudFront()), region=None)


def test_without_the_option_there_is_nothing_of_it(stage: Synthesised) -> None:
    kinds = {resource["Type"] for resource in stage.document["Resources"].values()}
    assert not [kind for kind in kinds if "CloudFront" in kind or "WAF" in kind or "Route53" in kind or "S3" in kind]
    assert not [kind for kind in kinds if kind.startswith("Custom::")]
    assert contract.ENV_FRONT_SECRET_ARN not in stage.environment("http_api")
