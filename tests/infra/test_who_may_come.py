"""Issuers, the user pool and anonymous users: what a stage says of who may come is passed on, or told to be wrong."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from infra import environment_size
from shared import contract
from shared.domain.issuer import Issuer, issuers_from_json, issuers_to_json
from shared.domain.stage_limits import RANGES, StageLimits
from tests.infra.one_origin import CERTIFICATE, DOMAIN
from tests.infra.template import EDGE_URL, FUNCTIONS, STREAM, Synthesised, text

VERIFYING = ("http_api", "http_stream", "ws_message")
AUTH0 = Issuer("https://tenant.eu.auth0.com/", ("https://api.test",), capabilities_claim="https://api.test/caps")
HS256: Any = "HS256"  # which types don't let through
CAPABILITIES = {"room:*": ["subscribe", "publish"]}

Synthesise = Callable[..., Synthesised]


@pytest.fixture
def synthesised(tmp_path: Path) -> Synthesise:
    def synthesise(**settings: Any) -> Synthesised:
        import aws_cdk as cdk

        from infra.one_origin_stacks import add_stacks
        from infra.stage import check, stage_config

        app = cdk.App(
            outdir=str(tmp_path),
            context={"aws:cdk:bundling-stacks": []},
            builtin_cloud_formation_validation=False,
        )
        stage = replace(stage_config("prod", edge_url=None), **settings)
        check(stage)
        return Synthesised.of("prod", add_stacks(app, "TidewireProd", stage=stage, region="ap-northeast-1"))

    return synthesise


def test_who_verifies_tokens_is_told_of_issuers_and_has_what_it_needs_for_them(synthesised: Synthesise) -> None:
    stage = synthesised(issuers=(AUTH0,))
    layers = stage.of_type("AWS::Lambda::LayerVersion")
    for name in FUNCTIONS:
        told = stage.environment(name).get(contract.ENV_ISSUERS)
        has = [layers[layer["Ref"]]["Description"] for layer in stage.function(name)["Layers"] if "Ref" in layer]
        brings = "Third-party packages: dependency group issuers of pyproject.toml" in has
        assert (told, brings) == ((issuers_to_json([AUTH0]), True) if name in VERIFYING else (None, False))
        assert len(stage.function(name)["Layers"]) <= 5  # docs.aws.amazon.com/lambda/latest/dg/chapter-layers.html


def test_without_issuers_there_is_no_layer_for_them(dev: Synthesised) -> None:
    assert not any("issuers" in layer["Description"] for layer in dev.of_type("AWS::Lambda::LayerVersion").values())
    assert all(contract.ENV_ISSUERS not in dev.environment(name) for name in dev.functions)
    assert len(dev.function(STREAM)["Layers"]) == 2


def test_a_user_pool_guards_passwords_and_is_kept(synthesised: Synthesise) -> None:
    stage = synthesised(user_pool=CAPABILITIES)
    ((pool_id, pool),) = stage.of_type("AWS::Cognito::UserPool").items()
    assert pool["Policies"]["PasswordPolicy"] == {
        "MinimumLength": 12,
        "RequireLowercase": True,
        "RequireUppercase": True,
        "RequireNumbers": True,
        "RequireSymbols": True,
        "TemporaryPasswordValidityDays": 1,
    }
    assert (pool["MfaConfiguration"], pool["EnabledMfas"]) == ("OPTIONAL", ["SOFTWARE_TOKEN_MFA"])
    assert (pool["UserPoolTier"], pool["UserPoolAddOns"]) == ("PLUS", {"AdvancedSecurityMode": "ENFORCED"})
    assert pool["DeletionProtection"] == "ACTIVE"
    assert stage.document["Resources"][pool_id]["DeletionPolicy"] == "Retain"


def test_its_client_is_public_and_never_sends_a_password(synthesised: Synthesise) -> None:
    stage = synthesised(user_pool=CAPABILITIES)
    (client,) = stage.of_type("AWS::Cognito::UserPoolClient").values()
    assert client["GenerateSecret"] is False
    assert client["ExplicitAuthFlows"] == ["ALLOW_USER_SRP_AUTH", "ALLOW_REFRESH_TOKEN_AUTH"]
    assert (client["PreventUserExistenceErrors"], client["EnableTokenRevocation"]) == ("ENABLED", True)
    assert client["AllowedOAuthFlowsUserPoolClient"] is False


def test_its_tokens_are_taken_and_its_ids_told(synthesised: Synthesise) -> None:
    stage = synthesised(issuers=(AUTH0,), user_pool=CAPABILITIES)
    (pool_id,) = stage.of_type("AWS::Cognito::UserPool")
    (client_id,) = stage.of_type("AWS::Cognito::UserPoolClient")
    url = f"${{{pool_id}.ProviderURL}}"
    for name in VERIFYING:
        assert issuers_from_json(stage.environment(name)[contract.ENV_ISSUERS]) == (
            AUTH0,
            Issuer(
                url,
                (f"${{{client_id}}}",),
                user_prefix="cognito:",
                capabilities=CAPABILITIES,
                audience_claim="client_id",
                jwks_url=f"{url}/.well-known/jwks.json",
            ),
        )
    outputs = {name: text(output["Value"]) for name, output in stage.document["Outputs"].items()}
    assert outputs[contract.OUTPUT_USER_POOL_ID] == f"${{{pool_id}}}"
    assert outputs[contract.OUTPUT_USER_POOL_CLIENT_ID] == f"${{{client_id}}}"


def test_anonymous_users_are_there_where_the_stage_says_what_they_may(
    synthesised: Synthesise, dev: Synthesised, prod: Synthesised
) -> None:
    told = synthesised(anonymous=CAPABILITIES).environment("http_api")[contract.ENV_ANONYMOUS]
    assert json.loads(told) == CAPABILITIES
    for stage in (dev, prod):
        assert all(contract.ENV_ANONYMOUS not in stage.environment(name) for name in stage.functions)


def _everything(audience: str, limits: StageLimits) -> dict[str, Any]:
    from infra.stage import CloudFront

    issuers = (replace(AUTH0, audiences=(audience,)),)
    may = {f"room:{'x' * 120}": CAPABILITIES["room:*"]}
    return {
        "issuers": issuers,
        "user_pool": may,
        "anonymous": may,
        "limits": limits,
        "cloudfront": CloudFront(domain=DOMAIN, certificate_arn=CERTIFICATE),
    }


def test_an_environment_has_room_for_every_option_at_once(synthesised: Synthesise) -> None:
    stage = synthesised(**_everything("a" * 200, StageLimits(user_connections=10, subscriptions=50)))
    told = stage.environment("http_api")
    assert told.keys() >= {
        contract.ENV_ISSUERS,
        contract.ENV_ANONYMOUS,
        contract.ENV_LIMITS,
        contract.ENV_FRONT_SECRET_ARN,
    }
    environment_size.check(stage.document, stack="TidewireProd", stage="prod")


def test_what_is_too_large_for_one_is_told_before_it_is_deployed(synthesised: Synthesise) -> None:
    most = StageLimits(**{name: int(high) for name, (_, high) in RANGES.items()})
    stage = synthesised(**_everything("a" * 500, most))
    told = r"^infra/stage\.py: stage prod: the environment of FunctionsHttpApi\w+ may have 4,\d{3} bytes"
    with pytest.raises(SystemExit, match=told):
        environment_size.check(stage.document, stack="TidewireProd", stage="prod")


@pytest.mark.parametrize(
    ("variables", "size"),
    [
        ({}, 2),
        ({"A": "x"}, 9),
        ({"A": '"x"'}, 13),
        ({"A": "ü"}, 10),
        ({"A": {"Ref": "AWS::Region"}, "B": "x"}, 32),
        ({"A": {"Ref": "Queue"}}, 8 + len("https://sqs.ap-northeast-1.amazonaws.com/123456789012/S-Queue-") + 13),
        ({"A": {"Fn::Join": ["", ["a", {"Fn::GetAtt": ["Api", "ApiEndpoint"]}]]}}, 9 + 59),
        ({"A": {"Fn::ImportValue": "x"}}, 8 + 150),
    ],
)
def test_it_is_measured_as_json_by_what_references_become_at_most(variables: dict[str, Any], size: int) -> None:
    def of(more: int) -> dict[str, Any]:
        function = {"Environment": {"Variables": {**variables, "_": "x" * more}}}
        return {
            "Resources": {
                "Queue": {"Type": "AWS::SQS::Queue"},
                "Api": {"Type": "AWS::ApiGatewayV2::Api"},
                "F": {"Type": "AWS::Lambda::Function", "Properties": function},
            }
        }

    room = 4_096 - size - len('"_":""' if not variables else ',"_":""')
    environment_size.check(of(room), stack="S", stage="dev")
    with pytest.raises(SystemExit, match="the environment of F may have 4,097 bytes"):
        environment_size.check(of(room + 1), stack="S", stage="dev")


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        ({"issuers": (Issuer(AUTH0.url, ("x",), HS256),)}, "issuer 'https://tenant.eu.auth0.com/': algorithm must be"),
        ({"issuers": (replace(AUTH0, url="http://a.test"),)}, "issuer 'http://a.test': must be an https URL"),
        (
            {"issuers": (replace(AUTH0, user_prefix="cognito:"),), "user_pool": {}},
            "user_prefix 'cognito:' is another's",
        ),
        ({"user_pool": {"room": ["publish"]}}, "user_pool: 'room' is neither"),
        ({"anonymous": {"room:*": ["shout"]}}, "anonymous: 'room:*': 'shout' is none of"),
        ({"anonymous": {f"room:{'x' * 180}": ["subscribe"]}}, "anonymous: as JSON at most 200 characters"),
        ({"anonymous": {"*": ["admin"]}}, "anonymous: whoever comes by would be an admin"),
    ],
)
def test_what_cannot_work_ends_the_synthesis(settings: dict[str, Any], why: str) -> None:
    from infra.stage import check, stage_config

    stage = replace(stage_config("dev", edge_url=None), **settings)
    with pytest.raises(SystemExit) as caught:
        check(stage)
    assert str(caught.value).startswith("infra/stage.py: stage dev: ")
    assert why in str(caught.value)


def test_stage_local_takes_issuers_from_the_context_and_without_tls() -> None:
    from infra.stage import stage_config

    given = (Issuer("http://127.0.0.1:1/a", ("x",)),)
    assert stage_config("local", edge_url=EDGE_URL, issuers=issuers_to_json(given)).issuers == given
    assert stage_config("dev", edge_url=None, issuers=issuers_to_json(given)).issuers == ()
