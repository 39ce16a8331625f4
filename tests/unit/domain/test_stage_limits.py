"""What a stage's file may say of limits, and what functions read of it."""

import re
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from infra.stage import _STAGES
from shared.contract import ENV_LIMITS
from shared.domain.stage_limits import DEFAULT_LIMITS, RANGES, StageLimits
from shared.errors import ConfigError
from shared.protocol.limits import BATCH_MAX_FRAMES, HTTP_FRAME_MAX_BYTES
from shared.settings import Settings

ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", RANGES)
def test_every_limit_has_a_range(name: str) -> None:
    low, high = RANGES[name]
    for good in (low, high):
        changes: dict[str, Any] = {name: good}
        replace(DEFAULT_LIMITS, **changes).check()
    bad: list[Any] = [low - 1, high + 1, "5", True, None, float("nan"), float("inf")]
    if not name.endswith("_per_s"):
        bad.append(low + 0.5)
    for value in bad:
        with pytest.raises(ConfigError, match=rf"limits\.{name}: must be a (whole )?number from {low:,} to {high:,}"):
            replace(DEFAULT_LIMITS, **{name: value}).check()


def test_what_one_frame_or_batch_may_be_fits_every_limit() -> None:
    assert RANGES["bytes_burst"][0] >= HTTP_FRAME_MAX_BYTES
    assert RANGES["request_burst"][0] >= BATCH_MAX_FRAMES


def test_functions_are_told_what_differs() -> None:
    changed = replace(DEFAULT_LIMITS, pending=7, connect_rate_per_s=0.5)
    assert changed.to_json() == '{"connect_rate_per_s": 0.5, "pending": 7}'
    assert Settings.from_env({ENV_LIMITS: changed.to_json()}).limits == changed
    assert Settings.from_env({}).limits == DEFAULT_LIMITS
    assert DEFAULT_LIMITS.to_json() == "{}"


def test_on_aws_the_limits_are_those_that_are_documented() -> None:
    text = (ROOT / "docs" / "limits.md").read_text()
    documented = dict(re.findall(r"^\| `(\w+)` \| ([\d,.]+) \|", text, re.MULTILINE))
    assert {name: float(value.replace(",", "")) for name, value in documented.items()} == asdict(DEFAULT_LIMITS)
    assert [stage.limits for name, stage in _STAGES.items() if name != "local"] == [DEFAULT_LIMITS] * 2


def test_a_new_limit_has_to_be_given_a_range() -> None:
    assert RANGES.keys() == asdict(StageLimits()).keys()
