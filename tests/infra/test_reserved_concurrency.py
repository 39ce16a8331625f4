"""Concurrency is reserved for functions that a stage names, and for no others."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.infra.template import STREAM, Synthesised

_RESERVED = "ReservedConcurrentExecutions"


def test_no_stage_reserves_any(stage: Synthesised) -> None:
    assert [name for name in stage.functions if _RESERVED in stage.function(name)] == []


def test_those_who_are_named_have_theirs(tmp_path: Path) -> None:
    import aws_cdk as cdk

    from infra.one_origin_stacks import add_stacks
    from infra.stage import check, stage_config

    app = cdk.App(
        outdir=str(tmp_path), context={"aws:cdk:bundling-stacks": []}, builtin_cloud_formation_validation=False
    )
    asked = {"ws_message": 50, STREAM: 7}
    stage = replace(stage_config("dev", edge_url=None), reserved_concurrency=tuple(asked.items()))
    check(stage)
    synthesised = Synthesised.of("dev", add_stacks(app, "TidewireDev", stage=stage, region="ap-northeast-1"))
    found = {name: synthesised.function(name).get(_RESERVED) for name in synthesised.functions}
    assert found == dict.fromkeys(synthesised.functions) | asked


@pytest.mark.parametrize(
    ("name", "count", "why"),
    [("ws_mesage", 5, "there is no function 'ws_mesage'"), ("ws_message", 0, "with 0 it would never run")],
)
def test_a_mistake_is_told(name: str, count: int, why: str) -> None:
    from infra.stage import check, stage_config

    with pytest.raises(SystemExit, match=why):
        check(replace(stage_config("dev", edge_url=None), reserved_concurrency=((name, count),)))
