"""Widgets of the dashboard and what they ask of CloudWatch: metrics, metric math over them, queries of logs.

Metric math: docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/using-metric-math.html. What it uses of that,
``tools/dashboard/metric_math.py`` reckons where the endpoint does not.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from shared.contract import METRICS_NAMESPACE, SERVICE_NAME
from shared.domain.prices import Price

MINUTE: Final = Duration.minutes(1)
WIDTH: Final = 24  # of every dashboard
HEIGHT: Final = 6


def own(name: str, statistic: str = "Sum", label: str | None = None) -> cloudwatch.Metric:
    """Return a metric of docs/metrics.md."""
    return cloudwatch.Metric(
        namespace=METRICS_NAMESPACE,
        metric_name=name,
        dimensions_map={"service": SERVICE_NAME},
        statistic=statistic,
        period=MINUTE,
        label=label or name,
    )


def math(expression: str, label: str, metrics: Mapping[str, cloudwatch.IMetric]) -> cloudwatch.MathExpression:
    """Return what the expression gives, in which ``metrics`` have these names."""
    return cloudwatch.MathExpression(expression=expression, label=label, using_metrics=dict(metrics), period=MINUTE)


def total(names: Iterable[str]) -> str:
    """Return the expression for the sum, where a metric without a value at some time counts as 0."""
    return f"SUM([{', '.join(f'FILL({name}, 0)' for name in names)}])"


def units(prices: Iterable[Price]) -> dict[str, cloudwatch.IMetric]:
    """Return what is billed at these prices."""
    return {_name(price): own(price.metric) for price in prices}


def bill(prices: Iterable[Price]) -> str:
    """Return the expression for USD in a period, at what the first units of a month cost: the dearest."""
    parts = ", ".join(f"FILL({_name(price)}, 0) * {price.usd_per_million}" for price in prices)
    return f"SUM([{parts}]) / 1000000"


def usd(label: str, prices: Sequence[Price], *, hours: int = 1) -> cloudwatch.MathExpression:
    """Return USD in so many hours, if all of them were like the period."""
    return math(f"{bill(prices)} * {3600 * hours} / PERIOD({_name(prices[0])})", label, units(prices))


def _name(price: Price) -> str:
    return price.metric[0].lower() + price.metric[1:]  # in an expression it begins with a small letter


def graph(
    title: str, metrics: Iterable[cloudwatch.IMetric], width: int, *, unit: str, stacked: bool = False
) -> cloudwatch.GraphWidget:
    """Return lines over time, whose axis is labelled with the unit."""
    return cloudwatch.GraphWidget(
        title=title,
        left=list(metrics),
        left_y_axis=cloudwatch.YAxisProps(label=unit, min=0, show_units=False),
        stacked=stacked,
        width=width,
        height=HEIGHT,
    )


def table(title: str, log_groups: Sequence[str], query: Sequence[str]) -> cloudwatch.LogQueryWidget:
    """Return a table of what Logs Insights finds. Each look is paid for, by what it reads (docs/observability.md)."""
    return cloudwatch.LogQueryWidget(
        title=title,
        log_group_names=list(log_groups),
        query_lines=list(query),
        width=WIDTH // 2,
        height=HEIGHT - 1,
    )
