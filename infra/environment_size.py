"""The environments of a template's functions against Lambda's limit, which only a deployment would tell of."""

import json
from collections.abc import Mapping
from typing import Any, Final

# docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html: 4 KB for all variables of a function, not adjustable.
# What is measured is their JSON: github.com/github-aws-runners/terraform-aws-github-runner/issues/3594 shows it.
MAX_BYTES: Final = 4_096

_REGION, _ACCOUNT, _RANDOM = "ap-northeast-1", "123456789012", "x" * 13
# What stands around the name, which CloudFormation makes of the stack's, the resource's and some random characters:
# docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-properties-name.html
_AROUND_NAME: Final = {
    "AWS::DynamoDB::GlobalTable": "",
    "AWS::Events::EventBus": "",
    "AWS::SQS::Queue": f"https://sqs.{_REGION}.amazonaws.com/{_ACCOUNT}/",
    "AWS::SecretsManager::Secret": f"arn:aws:secretsmanager:{_REGION}:{_ACCOUNT}:secret:-AbCdEf",
}
# At most, whatever is asked of them.
_LONGEST: Final = {
    "AWS::ApiGatewayV2::Api": len(f"https://0123456789.execute-api.{_REGION}.amazonaws.com"),
    "AWS::CloudFront::Distribution": len("d111111abcdef8.cloudfront.net"),
    "AWS::Cognito::UserPool": len(f"https://cognito-idp.{_REGION}.amazonaws.com/{_REGION}_123456789"),
    "AWS::Cognito::UserPoolClient": 26,
    "AWS::Lambda::Url": len(f"https://{'x' * 32}.lambda-url.{_REGION}.on.aws/"),
}
_PSEUDO: Final = 16  # a region, an account, a suffix: AWS::Region and so on
_OTHER: Final = 150  # an ARN


def check(template: Mapping[str, Any], *, stack: str, stage: str) -> None:
    """Look whether Lambda will take each function's environment.

    Raises:
        SystemExit: One is too large, by what references become at most.
    """
    resources = template.get("Resources", {})
    for name, resource in resources.items():
        if resource["Type"] != "AWS::Lambda::Function":
            continue
        size = _size(resource["Properties"].get("Environment", {}).get("Variables", {}), resources, stack)
        if size > MAX_BYTES:
            raise SystemExit(
                f"infra/stage.py: stage {stage}: the environment of {name} may have {size:,} bytes, and Lambda takes "
                f"{MAX_BYTES:,}: say less in issuers, user_pool, anonymous, limits or allowed_origins"
            )


def _size(variables: Mapping[str, Any], resources: Mapping[str, Any], stack: str) -> int:
    written = {name: _longest(value, resources, stack) for name, value in variables.items()}
    return len(json.dumps(written, separators=(",", ":"), ensure_ascii=False).encode())


def _longest(value: Any, resources: Mapping[str, Any], stack: str) -> str:
    """Return something as long as a value may be."""
    match value:
        case str():
            return value
        case {"Fn::Join": [separator, [*parts]]}:
            return str(separator).join(_longest(part, resources, stack) for part in parts)
        case {"Ref": str(name)} | {"Fn::GetAtt": [str(name), _]}:
            return "x" * _reference(name, resources, stack)
    return "x" * _OTHER


def _reference(name: str, resources: Mapping[str, Any], stack: str) -> int:
    if name.startswith("AWS::"):
        return _PSEUDO
    kind = resources[name]["Type"] if name in resources else ""
    if kind in _AROUND_NAME:
        return len(f"{_AROUND_NAME[kind]}{stack}-{name}-{_RANDOM}")
    return _LONGEST.get(kind, _OTHER)
