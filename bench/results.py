"""What a benchmark reports: a table and a picture for people, JSON for comparing, with what they were measured on."""

import datetime
import json
import math
import os
import platform
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

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
class Plot:
    """A picture of the figures, as data; ``bench/plots.py`` draws it.

    Attributes:
        kind: ``curve``: a line for each series, over numbers. ``bars``: a group of bars for each name.
        x: What the names or numbers are.
        y: What the values are, with their unit.
        series: By its name, the value by name or number. One that was not measured is left out.
        log: Which axes go up tenfold. Names have none.
        limit: Drawn across: what a bar asks.
    """

    kind: Literal["curve", "bars"]
    x: str
    y: str
    series: Mapping[str, Mapping[Any, float]]
    log: Literal["", "x", "y", "xy"] = ""
    limit: float | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """What one benchmark found.

    Attributes:
        setting: What was done, so that somebody can judge the figures.
        bars: What is asked of the figures.
        plot: Where a picture tells more than the table.
    """

    name: str
    title: str
    setting: str
    rows: Sequence[Row]
    bars: Sequence[Bar] = ()
    plot: Plot | None = None

    def to_markdown(self, context: Mapping[str, Any]) -> str:
        """Return the table, what was asked, and what it was measured on."""
        columns = list(self.rows[0].values)
        lines = [
            f"# {self.title}",
            "",
            f"| | {' | '.join(columns)} |",
            f"|---|{'---:|' * len(columns)}",
            *(f"| {row.name} | {' | '.join(figure(row.values[column]) for column in columns)} |" for row in self.rows),
            "",
            *(
                f"- {'Met' if bar.met else 'NOT MET'}: {bar.what} {figure(bar.measured)}, {bar.asked}."
                for bar in self.bars
            ),
            "",
            *([f"![{self.title}]({self.name}.svg)", ""] if self.plot else []),
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
                {
                    "what": bar.what.removesuffix(":"),
                    "measured": round(bar.measured, 3),
                    "asked": bar.asked,
                    "met": bar.met,
                }
                for bar in self.bars
            ],
        }
        return json.dumps(document, indent=2) + "\n"


def write(report: Report, folder: Path = FOLDER) -> str:
    """Write ``<name>.md``, ``<name>.json`` and, where there is a picture, ``<name>.svg``; return the Markdown."""
    from bench.plots import draw  # matplotlib takes a second, and what only reads results needs none

    context = measured_on()
    folder.mkdir(parents=True, exist_ok=True)
    markdown = report.to_markdown(context)
    (folder / f"{report.name}.md").write_text(markdown)
    (folder / f"{report.name}.json").write_text(report.to_json(context))
    if report.plot:
        draw(report.plot, report.title, folder / f"{report.name}.svg")
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


def figure(value: float) -> str:
    """Return a figure for people."""
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.1f}" if abs(value) >= 10 else f"{value:.2f}"
