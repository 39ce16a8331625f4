"""What a benchmark reports: a Markdown table for people, JSON for comparing, both with what they were measured on."""

import datetime
import json
import math
import os
import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from functions.http_api.app import VERSION
from localstack.deploy import ROOT

FOLDER: Final = ROOT / "bench" / "results"


class NotMeasuredError(Exception):
    """A benchmark could not be brought to its end."""


@dataclass(frozen=True, slots=True)
class Row:
    """One line of figures; every row of a report has the same columns."""

    name: str
    values: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Bar:
    """What is asked of one figure.

    Attributes:
        what: Which figure, in words.
        measured: What it was.
        limit: The most that it may be, or the least that it must be.
        at_least: Whether more is better.
    """

    what: str
    measured: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether it is so."""
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def asked(self) -> str:
        """What is asked, for people."""
        return f"at {'least' if self.at_least else 'most'} {self.limit:g}"


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark found.

    Attributes:
        setting: What was done, so that somebody can judge the figures.
        bars: What is asked of the figures.
    """

    name: str
    title: str
    setting: str
    rows: Sequence[Row]
    bars: Sequence[Bar] = ()

    def to_markdown(self, context: Mapping[str, Any]) -> str:
        """Return the table, what was asked, and what it was measured on."""
        columns = list(self.rows[0].values)
        lines = [
            f"# {self.title}",
            "",
            f"| | {' | '.join(columns)} |",
            f"|---|{'---:|' * len(columns)}",
            *(f"| {row.name} | {' | '.join(_figure(row.values[column]) for column in columns)} |" for row in self.rows),
            "",
            *(
                f"- {'Met' if bar.met else 'NOT MET'}: {bar.what} {_figure(bar.measured)}, {bar.asked}."
                for bar in self.bars
            ),
            "",
            f"{self.setting}. {', '.join(f'{name} {value}' for name, value in context.items())}.",
        ]
        return "\n".join(lines) + "\n"

    def to_json(self, context: Mapping[str, Any]) -> str:
        """Return the same for machines."""
        document = {
            "benchmark": self.name,
            "title": self.title,
            "setting": self.setting,
            "context": context,
            "rows": [{"name": row.name, **{k: round(v, 2) for k, v in row.values.items()}} for row in self.rows],
            "bars": [
                {"bar": f"{bar.what} {bar.asked}", "measured": round(bar.measured, 3), "met": bar.met}
                for bar in self.bars
            ],
        }
        return json.dumps(document, indent=2) + "\n"


def write(report: Report, folder: Path = FOLDER) -> str:
    """Write ``<name>.md`` and ``<name>.json``; return the Markdown."""
    context = measured_on()
    folder.mkdir(parents=True, exist_ok=True)
    markdown = report.to_markdown(context)
    (folder / f"{report.name}.md").write_text(markdown)
    (folder / f"{report.name}.json").write_text(report.to_json(context))
    return markdown


def measured_on() -> dict[str, Any]:
    """Return date, versions, machine, and how busy it was at the end."""
    emulator = tomllib.loads((ROOT / "localstack" / "emulator" / "pyproject.toml").read_text())
    ministack = next(name for name in emulator["project"]["dependencies"] if name.startswith("ministack=="))
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "tidewire": VERSION,
        "ministack": ministack.removeprefix("ministack=="),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load average": round(os.getloadavg()[0], 1),  # above the cores, others were at work as well
    }


def percentile(values: Sequence[float], percent: int) -> float:
    """Return the smallest value that at least ``percent`` per cent of the values do not exceed (nearest rank)."""
    return sorted(values)[math.ceil(percent / 100 * len(values)) - 1]


def _figure(value: float) -> str:
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"
