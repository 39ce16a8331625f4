"""Metric math as the dashboard uses it."""

import pytest

from tools.dashboard.metric_math import MetricMath

_MATH = MetricMath({"a": {0: 6.0, 60: 4.0}, "b": {0: 2.0, 120: 1.0}, "none": {}}, [0, 60, 120], 60)


@pytest.mark.parametrize(
    ("expression", "values"),
    [
        ("a / b", {0: 3.0}),
        ("100 * FILL(b, 0) / a", {0: pytest.approx(100 / 3), 60: 0.0}),
        ("a / FILL(none, 0)", {}),  # no value where it is divided by 0
        ("SUM([FILL(a, 0) * 2, b])", {0: 14.0, 60: 8.0, 120: 1.0}),
        ("SUM([none, b])", {0: 2.0, 120: 1.0}),
        ("a / PERIOD(a)", {0: 0.1, 60: pytest.approx(4 / 60)}),
        ("FILL(none, 1) - 0.5 + 1", {0: 1.5, 60: 1.5, 120: 1.5}),
    ],
)
def test_expressions(expression: str, values: dict[int, float]) -> None:
    assert _MATH.evaluate(expression) == values


@pytest.mark.parametrize("expression", ["a / unknown", "RATE(a)", "PERIOD(a)", "1 + 1", "a > b", "SUM(a)"])
def test_what_is_not_known_is_no_guess(expression: str) -> None:
    with pytest.raises(ValueError, match=r"not known here|no time series"):
        _MATH.evaluate(expression)
