"""CloudFront before the pages and all APIs, so that a stage has one origin, behind one firewall."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aws_cdk import Annotations, CfnResource, Duration, Fn, RemovalPolicy, SecretValue
from aws_cdk import aws_certificatemanager as acm
from aws_cdk import aws_cloudfront as cloudfront
from aws_cdk import aws_cloudfront_origins as origins
from aws_cdk import aws_route53 as route53
from aws_cdk import aws_route53_targets as targets
from aws_cdk import aws_secretsmanager as secretsmanager
from constructs import Construct

from infra.constructs.http_api import HttpApi
from infra.constructs.http_stream import HttpStream
from infra.constructs.pages_bucket import PagesBucket
from infra.constructs.websocket_gateway import WebsocketGateway
from infra.stage import CloudFront, StageConfig
from shared import contract, page_headers

_FUNCTIONS: Final = Path(__file__).resolve().parent.parent / "cloudfront"
# To the first byte, and between two: streams have a line every 15 s, and polls are answered after 25 s. More than 60
# has to be asked for: docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/cloudfront-limits.html
_READ_TIMEOUT: Final = Duration.seconds(60)
_STREAM: Final = "stream"  # infra/cloudfront/api.js names it
_CALLS: Final = ("/v1/*", "/healthz", "/readyz", "/openapi.json")


@dataclass(frozen=True, slots=True)
class FrontConfig:
    """What stands before a stage.

    Attributes:
        cloudfront: What the stage says of it.
        web_acl_arn: The firewall, in us-east-1.
        region: The stage's.
    """

    cloudfront: CloudFront
    web_acl_arn: str
    region: str


class OneOrigin(Construct):
    """Tells clients itself in place of the bare URLs, and has their functions refuse whoever comes by those.

    The functions that it stands before are told a secret, never its name, and only ``http_api`` is told its name, which
    no origin depends on: an API is there before its routes are. So nothing is made before itself.
    """

    def __init__(
        self,
        scope: Construct,
        construct_id: str,
        *,
        stage: StageConfig,
        config: FrontConfig,
        websocket: WebsocketGateway,
        http: HttpApi,
        stream: HttpStream,
    ) -> None:
        super().__init__(scope, construct_id)
        self._config = config.cloudfront
        self._secret = secretsmanager.Secret(
            self,
            "Secret",
            description="CloudFront shows it to the functions behind it",
            generate_secret_string=secretsmanager.SecretStringGenerator(password_length=64, exclude_punctuation=True),
            removal_policy=RemovalPolicy.DESTROY,
        )
        self.secret_arn = self._secret.secret_arn
        for function in (websocket.connect, http.function, stream.function):
            self._secret.grant_read(function)
            function.add_environment(contract.ENV_FRONT_SECRET_ARN, self._secret.secret_arn)
        pages = PagesBucket(self, "Pages", stage=stage)
        call = self._origin(http.url, "http")
        self.distribution = cloudfront.Distribution(
            self,
            "Distribution",
            comment=f"Tidewire {stage.name}",
            default_behavior=self._pages(pages),
            # CloudFront takes the first that fits.
            additional_behaviors={
                "/v1/ws": self._api(self._origin(websocket.url, "websocket")),
                "/v1/stream/*": self._api(self._origin(stream.url, _STREAM)),
                **dict.fromkeys(_CALLS, self._api(call)),
            },
            certificate=self._certificate(),
            domain_names=[self._config.domain] if self._config.domain else None,
            minimum_protocol_version=cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
            http_version=cloudfront.HttpVersion.HTTP2_AND_3,
            web_acl_id=config.web_acl_arn,
        )
        Annotations.of(self.distribution).acknowledge_warning(
            "@aws-cdk/aws-cloudfront-origins:listBucketSecurityRisk", "infra/cloudfront/pages.js asks for files alone"
        )
        self._let_bare_urls_serve_until_then(websocket, http)
        domain = self._config.domain or self.distribution.distribution_domain_name
        self.url, self.websocket_url = f"https://{domain}", f"wss://{domain}/v1/ws"
        http.function.add_environment(contract.ENV_HTTP_URL, self.url)
        http.function.add_environment(contract.ENV_STREAM_URL, self.url)
        http.function.add_environment(contract.ENV_WEBSOCKET_URL, self.websocket_url)
        self._lead_here()

    def _let_bare_urls_serve_until_then(self, websocket: WebsocketGateway, http: HttpApi) -> None:
        """Have functions ask for the secret when there is somebody who shows it: a distribution takes minutes.

        Streams' function is made before, as its URL is an origin.
        """
        distribution = self.distribution.node.default_child
        assert isinstance(distribution, CfnResource)
        for function in (websocket.connect, http.function):
            resource = function.node.default_child
            assert isinstance(resource, CfnResource)
            resource.add_dependency(distribution)

    def _origin(self, url: str, name: str) -> cloudfront.IOrigin:
        """Return an API as an origin that is shown the secret.

        CloudFormation reads it when the reference changes, and keeps no value:
        docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/dynamic-references-secretsmanager.html
        """
        secret = SecretValue.secrets_manager(self._secret.secret_arn, version_id=self._config.secret_version)
        return origins.HttpOrigin(
            Fn.select(2, Fn.split("/", url)),
            origin_id=name,
            protocol_policy=cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
            origin_ssl_protocols=[cloudfront.OriginSslPolicy.TLS_V1_2],
            read_timeout=_READ_TIMEOUT,
            keepalive_timeout=_READ_TIMEOUT,
            custom_headers={contract.HEADER_FRONT_SECRET: secret.unsafe_unwrap()},  # a reference, here
        )

    def _api(self, origin: cloudfront.IOrigin) -> cloudfront.BehaviorOptions:
        """Return how an API is passed on: whole, kept by nobody, and never without TLS, which a token came without.

        A handshake's headers go on, the host does not: API Gateway and function URLs go by it. Sources:
        docs.aws.amazon.com/AmazonCloudFront/latest/DeveloperGuide/distribution-working-with.websockets.html and
        using-managed-origin-request-policies.html#managed-origin-request-policy-all-viewer-except-host-header
        """
        return cloudfront.BehaviorOptions(
            origin=origin,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
            allowed_methods=cloudfront.AllowedMethods.ALLOW_ALL,
            cache_policy=cloudfront.CachePolicy.CACHING_DISABLED,
            origin_request_policy=cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
            response_headers_policy=self._headers("ApiHeaders", {}),
            compress=False,  # a line that waits for others to be compressed with comes late
            function_associations=[self._function("api")],
        )

    def _pages(self, pages: PagesBucket) -> cloudfront.BehaviorOptions:
        hosts = (f"wss://{self._config.domain}",) if self._config.domain else ()
        headers = {"Permissions-Policy": page_headers.PERMISSIONS_POLICY}
        policy = page_headers.content_security_policy(*hosts)
        return cloudfront.BehaviorOptions(
            origin=pages.origin,
            viewer_protocol_policy=cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
            cache_policy=cloudfront.CachePolicy.CACHING_OPTIMIZED,
            response_headers_policy=self._headers("PageHeaders", headers, policy),
            function_associations=[self._function("pages")],
        )

    def _headers(
        self, construct_id: str, headers: Mapping[str, str], policy: str | None = None
    ) -> cloudfront.ResponseHeadersPolicy:
        if found := self.node.try_find_child(construct_id):
            assert isinstance(found, cloudfront.ResponseHeadersPolicy)
            return found
        return cloudfront.ResponseHeadersPolicy(
            self,
            construct_id,
            custom_headers_behavior=cloudfront.ResponseCustomHeadersBehavior(
                custom_headers=[
                    cloudfront.ResponseCustomHeader(header=name, value=value, override=True)
                    for name, value in headers.items()
                ]
            )
            if headers
            else None,
            security_headers_behavior=cloudfront.ResponseSecurityHeadersBehavior(
                strict_transport_security=cloudfront.ResponseHeadersStrictTransportSecurity(
                    access_control_max_age=Duration.seconds(page_headers.HSTS_MAX_AGE_S),
                    include_subdomains=False,  # those of your domain may be anybody's
                    override=True,
                ),
                content_type_options=cloudfront.ResponseHeadersContentTypeOptions(override=True),
                referrer_policy=cloudfront.ResponseHeadersReferrerPolicy(
                    referrer_policy=cloudfront.HeadersReferrerPolicy.NO_REFERRER, override=True
                ),
                content_security_policy=cloudfront.ResponseHeadersContentSecurityPolicy(
                    content_security_policy=policy, override=True
                )
                if policy
                else None,
            ),
        )

    def _function(self, name: str) -> cloudfront.FunctionAssociation:
        construct_id = f"{name.capitalize()}Request"
        function = self.node.try_find_child(construct_id) or cloudfront.Function(
            self,
            construct_id,
            code=cloudfront.FunctionCode.from_file(file_path=str(_FUNCTIONS / f"{name}.js")),
            runtime=cloudfront.FunctionRuntime.JS_2_0,
        )
        assert isinstance(function, cloudfront.Function)
        return cloudfront.FunctionAssociation(function=function, event_type=cloudfront.FunctionEventType.VIEWER_REQUEST)

    def _certificate(self) -> acm.ICertificate | None:
        arn = self._config.certificate_arn
        return acm.Certificate.from_certificate_arn(self, "Certificate", arn) if arn else None

    def _lead_here(self) -> None:
        """Make the name lead here, by IPv4 and by IPv6."""
        if self._config.domain is None or self._config.hosted_zone_id is None:
            return
        for kind in ("A", "AAAA"):
            route53.CfnRecordSet(
                self,
                f"Record{kind}",
                hosted_zone_id=self._config.hosted_zone_id,
                name=self._config.domain,
                type=kind,
                alias_target=route53.CfnRecordSet.AliasTargetProperty(
                    dns_name=self.distribution.distribution_domain_name,
                    hosted_zone_id=targets.CloudFrontTarget.get_hosted_zone_id(self),
                ),
            )
