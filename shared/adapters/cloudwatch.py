"""Our metrics, read back from CloudWatch."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from shared.adapters.aws import translated
from shared.contract import METRICS_NAMESPACE, SERVICE_NAME
from shared.errors import UnavailableError
from shared.ports import Measure

if TYPE_CHECKING:
    from mypy_boto3_cloudwatch.client import CloudWatchClient


class CloudWatchMetricSource:
    """One GetMetricData for all that is asked for.

    A call takes 500 queries, and answers with 100,800 values before it goes on with a token; each query is billed:
    docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html, aws.amazon.com/cloudwatch/pricing
    """

    def __init__(self, client: "CloudWatchClient") -> None:
        self._client = client

    def read(
        self, measures: Sequence[Measure], *, from_s: int, until_s: int, period_s: int
    ) -> Sequence[Mapping[int, float]]:
        found: list[dict[int, float]] = [{} for _ in measures]
        with translated():
            pages = self._client.get_paginator("get_metric_data").paginate(
                MetricDataQueries=[_query(place, measure, period_s) for place, measure in enumerate(measures)],
                StartTime=datetime.fromtimestamp(from_s, UTC),
                EndTime=datetime.fromtimestamp(until_s, UTC),
            )
            for result in (result for page in pages for result in page["MetricDataResults"]):
                if result.get("StatusCode") == "InternalError":
                    raise UnavailableError("CloudWatch does not answer", retry_after_ms=1000)
                values = zip(result["Timestamps"], result["Values"], strict=True)
                found[_place(result["Id"])] |= {int(at.timestamp()): value for at, value in values}
        return found


def _query(place: int, measure: Measure, period_s: int) -> Any:
    metric = {
        "Namespace": METRICS_NAMESPACE,
        "MetricName": measure.name,
        "Dimensions": [{"Name": "service", "Value": SERVICE_NAME}],
    }
    stat = {"Metric": metric, "Period": period_s, "Stat": measure.statistic}
    return {"Id": f"m{place}", "MetricStat": stat}  # an id begins with a small letter


def _place(query_id: str) -> int:
    return int(query_id[1:])
