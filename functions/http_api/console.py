"""What the console shows, by HTTP (docs/protocol.md 4.4): what was measured. For admins."""

from typing import Annotated

from fastapi import FastAPI, Query

from functions.http_api.caller import Caller, ServicesDep
from shared.protocol.rest import MetricsAnswer, MetricSeries
from shared.services.measurements import MINUTES_MAX, MINUTES_MIN


def add_console(app: FastAPI) -> None:
    """Add the routes."""
    app.get("/v1/metrics")(metrics)


def metrics(
    services: ServicesDep,
    principal: Caller,
    minutes: Annotated[int, Query(ge=MINUTES_MIN, le=MINUTES_MAX)] = 15,
) -> MetricsAnswer:
    """Tell what was measured in the last minutes, period by period; the last period has not ended yet."""
    measured = services.measurements.last(principal, minutes)
    return MetricsAnswer(
        from_ms=measured.from_s * 1000,
        period_s=measured.period_s,
        series=[
            MetricSeries(
                name=one.name,
                statistic=one.statistic,
                unit="Count" if one.statistic == "Sum" else "Milliseconds",
                values=list(one.values),
            )
            for one in measured.series
        ],
    )
