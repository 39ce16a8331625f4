"""The stacks of a stage with CloudFront, as their tests ask about them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.infra.template import Properties, Synthesised

DOMAIN: Final = "rt.example.org"
CERTIFICATE: Final = "arn:aws:acm:us-east-1:123456789012:certificate/0f8a"
_DISTRIBUTION: Final = "AWS::CloudFront::Distribution"


@dataclass(frozen=True)
class OneOrigin:
    """The three stacks of a stage with CloudFront."""

    main: Synthesised
    firewall: Synthesised
    access_log: Synthesised

    @property
    def distribution(self) -> Properties:
        [distribution] = self.main.of_type(_DISTRIBUTION).values()
        configuration: Properties = distribution["DistributionConfig"]
        return configuration

    @property
    def behaviours(self) -> Mapping[str, Properties]:
        return {behaviour["PathPattern"]: behaviour for behaviour in self.distribution["CacheBehaviors"]}

    @property
    def origins(self) -> Mapping[str, Properties]:
        return {origin["Id"]: origin for origin in self.distribution["Origins"]}


def synthesise_one_origin(folder: Path, region: str, **options: Any) -> OneOrigin:
    from dataclasses import replace

    import aws_cdk as cdk

    from infra.one_origin_stacks import add_stacks
    from infra.stage import CloudFront, check, stage_config

    app = cdk.App(outdir=str(folder), context={"aws:cdk:bundling-stacks": []}, builtin_cloud_formation_validation=False)
    stage = replace(stage_config("dev", edge_url=None), cloudfront=CloudFront(**options))
    check(stage)
    main = add_stacks(app, "TidewireDev", stage=stage, region=region)
    beside = [app.node.find_child(f"TidewireDev{name}") for name in ("Firewall", "AccessLog")]
    found = [Synthesised.of("dev", stack) for stack in (main, *beside) if isinstance(stack, cdk.Stack)]
    return OneOrigin(*found)
