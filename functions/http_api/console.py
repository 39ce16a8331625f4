"""What the console shows, by HTTP (docs/protocol.md 4.4): figures, connections, cost. For admins."""

from typing import Annotated

from fastapi import FastAPI, Query

from functions.http_api.caller import Caller, ServicesDep
from shared.domain.prices import PRICED_ON, REGION
from shared.protocol.rest import (
    ConnectionDescription,
    ConnectionsAnswer,
    CostAnswer,
    CostItem,
    MetricsAnswer,
    MetricSeries,
)
from shared.services.connection_list import Listed
from shared.services.measurements import MINUTES_MAX, MINUTES_MIN


def add_console(app: FastAPI) -> None:
    """Add the routes."""
    app.get("/v1/metrics")(metrics)
    app.get("/v1/cost")(cost)
    app.get("/v1/connections", response_model_exclude_none=True)(connections)


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


def cost(services: ServicesDep, principal: Caller) -> CostAnswer:
    """Tell what this month's use comes to so far, by list prices."""
    bill = services.cost.month(principal)
    return CostAnswer(
        since_ms=bill.since_s * 1000,
        region=REGION,
        priced_on=PRICED_ON,
        usd=bill.usd,
        items=[
            CostItem(service=one.price.service, what=one.price.what, quantity=one.quantity, usd=one.usd)
            for one in bill.used
        ],
        not_counted=list(bill.not_counted),
    )


def connections(
    services: ServicesDep, principal: Caller, after: Annotated[str | None, Query(max_length=300)] = None
) -> ConnectionsAnswer:
    """List the connections that live, up to 200 by one call. With ``next``, go on ``after`` it."""
    listed, more = services.connection_list.page(principal, after)
    return ConnectionsAnswer(connections=[_described(one) for one in listed], next=more)


def _described(listed: Listed) -> ConnectionDescription:
    connection = listed.connection
    return ConnectionDescription(
        connection_id=connection.connection_id,
        connected_at_ms=connection.connected_at_ms,
        user_id=connection.principal.user_id if connection.principal else None,
        transport=listed.transport,
        channels=list(listed.channels),
    )
