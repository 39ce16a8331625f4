"""A run's figures, and what of them must not be."""

import json
from collections.abc import Iterator
from statistics import quantiles
from typing import Any, Final

from tests.fuzz.run import Outcome

# What is let through by the limits proves something; the rest proves that there are limits.
_RATE_LIMITED_MAX: Final = 0.2
# Growth of the second half. Of a run that is too short for it, nothing is said.
_GROWTH_MAX_MB: Final = {"edge": 30.0, "emulator": 20.0, "a function": 5.0}
# What it is asked to keep for each frame: metrics, items, lines of logs. README.md has the figures.
_KEPT_KB_PER_FRAME: Final = {"emulator": 3.0}
_LONG_S: Final = 300
_LONG_FRAMES: Final = 100_000
_SHOWN: Final = 30


def figures(outcome: Outcome) -> dict[str, Any]:
    """Return the figures."""
    result, memory = outcome.result, outcome.memory
    testimony = result.testimony
    cuts = quantiles(testimony.latencies_ms, n=100) if len(testimony.latencies_ms) > 1 else [0.0] * 99
    return {
        "seed": outcome.seed,
        "seconds": round(outcome.seconds),
        "cases": result.cases,
        "frames": result.frames,
        "outcomes": dict(result.outcomes.most_common()),
        "connections ended, as the protocol says": dict(result.losses),
        "honest pair": {
            "published": len(testimony.acknowledged),
            "refused": len(testimony.refused),
            "handed over": len(testimony.handed),
            "whole": testimony.whole,
            "p50_ms": round(cuts[49]),
            "p95_ms": round(cuts[94]),
        },
        "memory_mb": {
            name: {"peak": round(memory.peak_mb(name)), "growth of the second half": _rounded(memory.growth_mb(name))}
            for name in _GROWTH_MAX_MB
        },
        "findings": result.found,
    }


def _rounded(growth_mb: float | None) -> float | None:
    return None if growth_mb is None else round(growth_mb, 1)


def wrong(outcome: Outcome) -> list[str]:
    """Return what must not be, worst first; nothing if all is well."""
    return list(_wrong(outcome))


def _wrong(outcome: Outcome) -> Iterator[str]:
    result = outcome.result
    yield from map(str, result.findings[:_SHOWN])
    if result.found > _SHOWN:
        yield f"... and {result.found - _SHOWN} more"
    yield from outcome.backstage
    testimony = result.testimony
    if not testimony.whole:
        missing = sorted(set(testimony.acknowledged) - set(testimony.handed))[:20]
        yield f"the honest pair: refused {testimony.refused[:5]}, missing {missing}, of {len(testimony.acknowledged)}"
    answered = sum(count for name, count in result.outcomes.items() if not name.startswith("push"))
    if result.outcomes["rate_limited"] > _RATE_LIMITED_MAX * answered:
        yield f"{result.outcomes['rate_limited']} of {answered} were refused for their rate: slower"
    if outcome.seconds >= _LONG_S:
        for name, most_mb in _GROWTH_MAX_MB.items():
            most_mb += _KEPT_KB_PER_FRAME.get(name, 0) / 1_000 * result.frames / 2
            growth_mb = outcome.memory.growth_mb(name)
            if growth_mb is None:
                yield f"{name}: nothing lived through the second half, so memory was not judged"
            elif growth_mb > most_mb:
                yield f"{name} grew by {growth_mb:.0f} MB in the second half"
    elif result.frames >= _LONG_FRAMES:
        yield f"memory was not judged: the run took less than {_LONG_S} s"


def written(outcome: Outcome) -> str:
    """Return the figures as JSON."""
    return json.dumps(figures(outcome), indent=2)
