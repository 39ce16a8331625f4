"""cdk-nag's AwsSolutions rules over the stacks that go to AWS: a finding stops cdk deploy.

What stands in ``ACCEPTED`` is let be, each at the very resources that it is about, for a reason that holds for them.
Add one only if what the rule asks for would be wrong here; else mend the construct. One that lets nothing be any more
fails tests/infra/test_nag.py.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from aws_cdk import Aspects, Stack
from cdk_nag import AwsSolutionsChecks, NagPackSuppression, NagSuppressions, RegexAppliesTo

_PACK: Final = "AwsSolutions-"


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that is let be.

    Attributes:
        rule: Its id, without the pack: github.com/cdklabs/cdk-nag, RULES.md.
        where: Path of the resource in the stack, ``*`` for any part of it.
        why: What makes it right here.
        findings: Of rules that find many things in one resource, those that are meant; one in slashes is a pattern.
    """

    rule: str
    where: str
    why: str
    findings: tuple[str, ...] = ()

    def is_at(self, path: str) -> bool:
        """Whether a path in the stack is meant."""
        names, patterns = path.split("/"), self.where.split("/")
        return len(names) == len(patterns) and all(map(fnmatchcase, names, patterns))

    @property
    def rule_id(self) -> str:
        """As cdk-nag has it."""
        return f"{_PACK}{self.rule}"


_OWN_QUESTION: Final = (
    "No authorizer: who it is, is said in hello, in a token that every request is checked against, or in a header that "
    "the function checks: docs/adr/0005"
)

_DEPLOYMENT: Final = "Custom::CDKBucketDeployment8693BB64968944B69AAFB0CC9EB8756C"
_CDKS_OWN: Final = (
    "CDK's own function, which puts the pages into their bucket at a deployment and is called by nobody else"
)
_WITH_CLOUDFRONT: Final = (
    Accepted("CFR1", "Front/Distribution/Resource", "Tokens say who may come, not countries"),
    Accepted(
        "CFR3",
        "Front/Distribution/Resource",
        "It has an access log, as CloudFront delivers them now (infra/constructs/access_log.py); the rule knows the "
        "older way alone",
    ),
    Accepted(
        "CFR4",
        "Front/Distribution/Resource",
        "Of a stage without a domain, which is for trying: with CloudFront's own certificate nobody chooses the lowest "
        "TLS (docs/adr/0020-one-origin.md). tests/infra/test_nag.py holds that it is not found where there is a domain",
    ),
    Accepted(
        "SMG4",
        "Front/Secret/Resource",
        "CloudFront has it from a deployment, so a timer would lock everybody out: it is changed with the stage's "
        "secret_version, and the one before is good meanwhile",
    ),
    Accepted("S1", "Front/Pages/Bucket/Resource", "CloudFront alone reads it, and logs who asks"),
    Accepted("S1", "AccessLog/Bucket/Resource", "It is where a log goes: one of itself would have no end"),
    Accepted("L1", f"{_DEPLOYMENT}/Resource", f"{_CDKS_OWN}; aws-cdk-lib says what it runs on"),
    Accepted(
        "IAM4",
        f"{_DEPLOYMENT}/ServiceRole/Resource",
        f"{_CDKS_OWN}; it may write logs by it",
        findings=("Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSLambdaBasicExecutionRole",),
    ),
    Accepted(
        "IAM5",
        f"{_DEPLOYMENT}/ServiceRole/DefaultPolicy/Resource",
        f"{_CDKS_OWN}; it reads the assets' bucket of the bootstrap and writes into that of the pages, and no other",
        findings=(
            "Action::s3:Abort*",
            "Action::s3:DeleteObject*",
            "Action::s3:GetBucket*",
            "Action::s3:GetObject*",
            "Action::s3:List*",
            r"/^Resource::arn:<AWS::Partition>:s3:::cdk-hnb659fds-assets-<AWS::AccountId>-[^:\/]+\/\*$/",
            "Resource::<FrontPagesBucket87B13B12.Arn>/*",
        ),
    ),
)

ACCEPTED: Final = (
    Accepted(
        "APIG4", "Websocket/Api/$connect-Route/Resource", f"{_OWN_QUESTION}. Tickets and origins are checked here"
    ),
    Accepted("APIG4", "Websocket/Api/$default-Route/Resource", _OWN_QUESTION),
    Accepted(
        "APIG4",
        "Websocket/Api/$disconnect-Route/Resource",
        "API Gateway calls it, no client can, and it takes authorizers at $connect alone: "
        "docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-api-lambda-auth.html",
    ),
    Accepted("APIG4", "Websocket/PingRoute", "It answers one constant and reaches nothing"),
    Accepted(
        "APIG4",
        "Http/Api/DefaultRoute/Resource",
        f"{_OWN_QUESTION}. Pages, health and public channels are for everybody",
    ),
    Accepted(
        "APIG1",
        "Websocket/Stage/Resource",
        "It would log each frame that a client sends, and needs a role for all API Gateway logs of the account in this "
        "Region (docs.aws.amazon.com/apigateway/latest/developerguide/websocket-api-logging.html), which is not a "
        "stack's to set. Functions log who connects and what fails",
    ),
    Accepted(
        "SMG4",
        "Functions/TokenSecret/Resource",
        "Backends sign with it, and cannot be told of a new one by a timer. It is rotated by hand, and two keys are "
        "valid meanwhile: docs/tokens.md",
    ),
    Accepted(
        "SQS3",
        "FanOut/EventDeadLetters/Resource",
        "It is the dead-letter queue of a rule and of a function, which the rule does not see",
    ),
    Accepted(
        "L1",
        "Functions/*/Resource",
        "Python 3.13 has security updates in Lambda until June 2029: docs.aws.amazon.com/lambda/latest/dg/"
        "lambda-runtimes.html. With 3.14 an environment starts later: 94 ms against 77 "
        "(maxday/lambda-perf, 2026-08-22)",
    ),
    Accepted(
        "IAM5",
        "Functions/*Role/DefaultPolicy/Resource",
        "X-Ray has no resources to name: docs.aws.amazon.com/service-authorization/latest/reference/"
        "list_awsx-ray.html; nor has CloudWatch's GetMetricData: docs.aws.amazon.com/AmazonCloudWatch/latest/"
        "monitoring/permissions-reference-cw.html. tests/infra/test_permissions.py holds that this is all",
        findings=("Resource::*",),
    ),
    Accepted(
        "IAM5",
        "Functions/*Role/DefaultPolicy/Resource",
        "One API, one stage: what is open is the method, and the connection, whose id API Gateway makes when it comes: "
        "docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-websocket-control-access-iam.html",
        findings=(
            r"/^Resource::arn:<AWS::Partition>:execute-api:(<AWS::Region>|[\w-]+):<AWS::AccountId>:<WebsocketApiD2C932E4>\/v1\/\*\/@connections\/\*$/",
        ),
    ),
    Accepted(
        "COG2",
        "Users/Pool/Resource",
        "Users choose a second factor; where everybody has to have one, set it in infra/constructs/user_pool.py",
    ),
    Accepted(
        "IAM4",
        "TrafficShift/Role/Resource",
        "AWS's own for CodeDeploy with Lambda, which CDK gives to it: it moves aliases and asks for alarms",
        findings=("Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AWSCodeDeployRoleForLambdaLimited",),
    ),
    *_WITH_CLOUDFRONT,
)


def watch(stack: Stack) -> None:
    """Have all of a stack's resources looked at when it is synthesised; the report lies in the assembly."""
    prefix = f"{stack.node.path}/"
    for construct in stack.node.find_all():
        path = construct.node.path.removeprefix(prefix)
        if suppressions := [_suppression(one) for one in ACCEPTED if one.is_at(path)]:
            NagSuppressions.add_resource_suppressions(construct, suppressions)
    Aspects.of(stack).add(AwsSolutionsChecks())


def _suppression(one: Accepted) -> NagPackSuppression:
    applies_to = [RegexAppliesTo(regex=finding) if finding.startswith("/") else finding for finding in one.findings]
    return NagPackSuppression(id=one.rule_id, reason=one.why, applies_to=applies_to or None)
