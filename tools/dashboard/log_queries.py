"""Asks CloudWatch Logs Insights what a log widget asks. Where the endpoint does not count, as the emulator, it is done
here: of each query that counts, ``filter`` is left to the endpoint.
"""

import json
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

_POLL_S: Final = 0.2
_DEADLINE_S: Final = 60
_COUNTS: Final = re.compile(r"stats count\(\*\) as (\w+) by (.+)")


@dataclass(frozen=True, slots=True)
class Table:
    """What was found; ``reckoned``: counted here, not by the endpoint."""

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    reckoned: bool


def asked(logs: Any, query: str, *, from_s: int, until_s: int) -> Table:
    """Return what a widget's query finds: ``SOURCE '<log group>' | … | <stages>``.

    Raises:
        ValueError: It is one that does not count, or counts by what is not known here.
        TimeoutError: There was no answer in time.
    """
    stages = [stage.strip() for stage in re.split(r"\n\||(?<=')\s*\|", query)]
    groups = [match[1] for stage in stages if (match := re.fullmatch(r"SOURCE '(.+)'", stage))]
    stages = stages[len(groups) :]
    counts = next((match for stage in stages if (match := _COUNTS.fullmatch(stage))), None)
    if not groups or counts is None:
        raise ValueError(f"not known here: {query}")
    name, columns = counts[1], [column.strip() for column in counts[2].split(",")]
    rows = _rows(logs, groups, "\n| ".join(stages), from_s, until_s)
    if all({name, *columns} & row.keys() for row in rows) and rows:
        return Table([*columns, name], [[row.get(column, "") for column in [*columns, name]] for row in rows], False)
    filters = [stage for stage in stages if stage.startswith("filter ")]
    lines = _rows(logs, groups, "\n| ".join(["fields @message, @log", *filters]), from_s, until_s)
    limit = next((int(stage.split()[1]) for stage in stages if stage.startswith("limit ")), None)
    counted = Counter(tuple(_field(line, column) for column in columns) for line in lines).most_common(limit)
    return Table([*columns, name], [[*values, str(count)] for values, count in counted], True)


def _field(line: Mapping[str, str], column: str) -> str:
    """Return a field of a line: one of Logs Insights' own, or of the JSON that the line is."""
    if column.startswith("@"):
        return line.get(column, "")
    try:
        value = json.loads(line["@message"]).get(column)
    except ValueError:
        return ""  # Lambda's own lines are none
    return "" if value is None else str(value)


def _rows(logs: Any, groups: Sequence[str], query: str, from_s: int, until_s: int) -> list[dict[str, str]]:
    query_id = logs.start_query(logGroupNames=groups, queryString=query, startTime=from_s, endTime=until_s)["queryId"]
    give_up_s = time.monotonic() + _DEADLINE_S
    while (answer := logs.get_query_results(queryId=query_id))["status"] in ("Scheduled", "Running"):
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"Logs Insights has not answered for {_DEADLINE_S} s")
        time.sleep(_POLL_S)  # it tells nobody when it has
    if answer["status"] != "Complete":
        raise ValueError(f"Logs Insights: {answer['status']}: {query}")
    return [{field["field"]: field.get("value", "") for field in row} for row in answer["results"]]
