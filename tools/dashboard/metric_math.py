"""The part of CloudWatch's metric math that the dashboard uses, for an endpoint that has none, as the emulator.

Source: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html
"""

import ast
import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

Series = Mapping[int, float]  # by the second at which the period begins; without those of which nothing is known

_OPERATORS: Final[Mapping[type[ast.operator], Callable[[float, float], float]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


@dataclass(frozen=True, slots=True)
class MetricMath:
    """Evaluates expressions over ``metrics``, by id, of which each has a value at most at each of ``times``."""

    metrics: Mapping[str, Series]
    times: Sequence[int]
    period_s: int

    def evaluate(self, expression: str) -> Series:
        """Return the time series that the expression gives.

        Raises:
            ValueError: It has something that is not known here, or is no time series.
        """
        value = self._value(ast.parse(expression, mode="eval").body)
        if not isinstance(value, Mapping):
            raise ValueError(f"no time series: {expression}")
        return value

    def _value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number):
                return float(number)
            case ast.Name(id=name) if name in self.metrics:
                return self.metrics[name]
            case ast.List(elts=items):
                return [self._value(item) for item in items]
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
                return self._combined(_OPERATORS[type(op)], self._value(left), self._value(right))
            case ast.Call(func=ast.Name(id="PERIOD"), args=[ast.Name(id=name)]) if name in self.metrics:
                return float(self.period_s)
            case ast.Call(func=ast.Name(id="FILL"), args=[series, fill]):
                return {time: self._value(fill) for time in self.times} | dict(self._value(series))
            case ast.Call(func=ast.Name(id="SUM"), args=[ast.List() as some]):
                return self._sum(self._value(some))
        raise ValueError(f"not known here: {ast.unparse(node)}")

    def _combined(self, how: Callable[[float, float], float], left: Any, right: Any) -> Any:
        if not isinstance(left, Mapping) and not isinstance(right, Mapping):
            return how(left, right)
        pairs = {time: (_at(left, time), _at(right, time)) for time in self.times}
        # What is divided by 0 has no value.
        return {
            time: how(a, b)
            for time, (a, b) in pairs.items()
            if a is not None and b is not None and not (how is operator.truediv and b == 0)
        }

    def _sum(self, some: Sequence[Series]) -> Series:
        known = {time: [series[time] for series in some if time in series] for time in self.times}
        return {time: sum(values) for time, values in known.items() if values}


def _at(value: Any, time: int) -> float | None:
    return value.get(time) if isinstance(value, Mapping) else value
