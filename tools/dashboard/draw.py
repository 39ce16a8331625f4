"""Draws a dashboard as CloudWatch's console lays it out: 24 columns, each widget where its body says."""

import re
import textwrap
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import cycle
from pathlib import Path
from typing import Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter, MaxNLocator

from bench.plots import COLOURS, STYLE
from tools.dashboard.answers import Answer, Line, Span
from tools.dashboard.log_queries import Table

_UNIT_INCHES: Final = (0.78, 0.56)  # of the grid
_COLUMNS: Final = 24
_TOP_INCHES: Final = 0.5
_GAP_INCHES: Final = 0.06
_INK, _FAINT, _FRAME = "#222222", "#777777", "#cccccc"
_STATES: Final = {
    "ALARM": ("#D55E00", "in alarm"),
    "OK": ("#009E73", "fine"),
    "INSUFFICIENT_DATA": ("#999999", "no data"),
}
_TICKS_S: Final = (60, 120, 300, 600, 900, 1_800, 3_600, 7_200, 21_600, 86_400, 604_800)
_TICKS_MAX: Final = 6
_CELL: Final = 60  # characters
_CELLS: Final = 110  # beside each other
_RECKONED: Final = "*"
_NOTE: Final = "* reckoned by the one who drew this: the endpoint does no metric math, nor counts in logs"


class Picture:
    """One dashboard, drawn widget by widget."""

    def __init__(self, answered: Sequence[Answer], span: Span) -> None:
        self._span = span
        rows = max(answer.widget["y"] + answer.widget["height"] for answer in answered)
        self._inches = (_COLUMNS * _UNIT_INCHES[0], rows * _UNIT_INCHES[1] + _TOP_INCHES)
        self._figure = Figure(figsize=self._inches)
        for answer in answered:
            self._widget(answer)
        self._heading(any(answer.reckoned for answer in answered))

    def save(self, to: Path) -> None:
        """Write the file, whose ending says in which format."""
        self._figure.savefig(to, dpi=100)

    def _heading(self, reckoned: bool) -> None:
        begin, end = (datetime.fromtimestamp(at_s, UTC) for at_s in (self._span.from_s, self._span.until_s))
        text = f"{begin:%Y-%m-%d %H:%M} to {end:%H:%M} UTC, periods of {self._span.period_s} s"
        place = 1 - _TOP_INCHES / 2 / self._inches[1]
        self._figure.text(0.005, place, text, color=_FAINT, fontsize=11, va="center")
        if reckoned:
            self._figure.text(0.995, place, _NOTE, color=_FAINT, fontsize=11, va="center", ha="right")

    def _box(self, widget: Mapping[str, int], left: float, bottom: float, right: float, top: float) -> Axes:
        """Return axes within a widget, so many inches from its edges."""
        (wide, high), (across, down) = self._inches, _UNIT_INCHES
        x = widget["x"] * across + left
        y = high - _TOP_INCHES - (widget["y"] + widget["height"]) * down + bottom
        width = widget["width"] * across - left - right
        height = widget["height"] * down - bottom - top
        return self._figure.add_axes((x / wide, y / high, width / wide, height / high))

    def _widget(self, answer: Answer) -> None:
        widget = answer.widget
        paper = _blank(self._box(widget, *[_GAP_INCHES] * 4))
        if widget["type"] == "text":
            return _text(paper, widget["properties"]["markdown"])
        paper.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor=_FRAME, linewidth=1.5))
        unit = widget["properties"].get("yAxis", {}).get("left", {}).get("label")
        title = widget["properties"]["title"] + (f", {unit}" if unit else "") + (_RECKONED if answer.reckoned else "")
        inside = self._box(widget, 0.2, 0.1, 0.2, 0.42)
        paper.text(0.15 / (widget["width"] * _UNIT_INCHES[0]), 0.955, title, weight="bold", fontsize=11, va="top")
        if answer.alarms is not None:
            _alarms(_blank(inside), answer.alarms)
        elif answer.table is not None:
            _table(_blank(inside), answer.table)
        elif widget["properties"].get("view") == "singleValue":
            _numbers(_blank(inside), answer.lines)
        else:
            inside.remove()
            self._graph(answer)

    def _graph(self, answer: Answer) -> None:
        shown = [line for line in answer.lines if line.values]
        silent = [line.label for line in answer.lines if not line.values]
        width = answer.widget["width"] * _UNIT_INCHES[0]
        note = textwrap.fill("nothing: " + ", ".join(silent), int(width * 14.5)) if silent else ""
        # Two legends' entries stand beside each other where they have room.
        longest = max((len(line.label) for line in shown), default=1)
        columns = max(1, int(width / (0.45 + longest * 0.062)))
        legend_inches = 0.17 * -(-len(shown) // columns) + 0.14 * (note.count("\n") + 1 if note else 0)
        axes = self._box(answer.widget, 0.74, 0.42 + legend_inches, 0.25, 0.45)
        if shown:
            _lines(axes, shown, self._span, stacked=answer.widget["properties"].get("stacked", False))
            axes.legend(
                loc="upper left",
                bbox_to_anchor=(-0.57 / (width - 0.99), -0.25 / _height(self._figure, axes)),
                ncols=columns,
                fontsize=8.5,
                frameon=False,
                borderaxespad=0,
                handlelength=1.2,
                columnspacing=1,
                labelspacing=0.25,
            )
        else:
            axes.text(0.5, 0.5, "nothing", color=_FAINT, ha="center", va="center", transform=axes.transAxes)
        _time(axes, self._span)
        if note:
            place = (-0.57 / (width - 0.99), -(0.3 + 0.17 * -(-len(shown) // columns)) / _height(self._figure, axes))
            axes.text(*place, note, color=_FAINT, fontsize=8, va="top", transform=axes.transAxes)


def draw(answered: Sequence[Answer], span: Span, to: Path) -> None:
    """Draw the widgets of a dashboard into the file ``to``, whose ending says in which format."""
    with matplotlib.rc_context(STYLE | {"font.size": 9}):
        Picture(answered, span).save(to)


def _height(figure: Figure, axes: Axes) -> float:
    inches: float = axes.get_position().height * figure.get_size_inches()[1]
    return inches


def _blank(axes: Axes) -> Axes:
    axes.set(xlim=(0, 1), ylim=(0, 1))
    axes.axis("off")
    return axes


def _text(axes: Axes, markdown: str) -> None:
    heading, _, rest = markdown.partition("\n")
    axes.text(0.004, 0.62, heading.removeprefix("## "), fontsize=16, weight="bold", va="center")
    axes.text(0.004, 0.2, rest, fontsize=10.5, color=_INK, va="center")


def _lines(axes: Axes, lines: Sequence[Line], span: Span, *, stacked: bool) -> None:
    nothing = 0.0 if stacked else float("nan")
    values = [[line.values.get(time, nothing) for time in span.times] for line in lines]
    if stacked:
        axes.stackplot(span.times, values, labels=[line.label for line in lines], colors=COLOURS, alpha=0.8)
    else:
        styles = zip(
            lines, values, cycle(COLOURS), [number // len(COLOURS) for number in range(len(lines))], strict=False
        )
        for line, some, colour, turn in styles:
            axes.plot(
                span.times,
                some,
                label=line.label,
                color=colour,
                marker=".",
                markersize=4,
                ls=("-", "--", ":")[turn % 3],
            )
    axes.margins(y=0.1)
    axes.set_ylim(bottom=0, top=None if any(value > 0 for some in values for value in some) else 1)


def _time(axes: Axes, span: Span) -> None:
    step = next(step for step in _TICKS_S if (span.until_s - span.from_s) / step <= _TICKS_MAX)
    ticks = range(-(-span.from_s // step) * step, span.until_s, step)
    axes.set_xlim(span.from_s, span.until_s)
    axes.set_xticks(ticks, [f"{datetime.fromtimestamp(at_s, UTC):%H:%M}" for at_s in ticks])
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,g}"))
    axes.tick_params(labelsize=8.5)


def _alarms(axes: Axes, alarms: Mapping[str, str]) -> None:
    """Each alarm as a square of its state's colour; those that ring first, as the console sorts them."""
    order = list(_STATES)
    ranked = sorted(alarms.items(), key=lambda item: (order.index(item[1]) if item[1] in order else -1, item[0]))
    counts = [(state, sum(1 for other in alarms.values() if other == state)) for state in order]
    told = ", ".join(f"{count} {_STATES[state][1]}" for state, count in counts if count)
    axes.text(0, 0.96, told, fontsize=10.5, va="top")
    rows = 12
    columns = -(-len(ranked) // rows)
    for number, (name, state) in enumerate(ranked):
        x, y = number // rows / columns, 0.82 - number % rows * 0.07
        axes.text(x, y, "■", color=_STATES.get(state, ("#000000", state))[0], fontsize=9, va="center")
        axes.text(x + 0.035, y, _alarm_name(name), fontsize=8.5 if columns < 3 else 6.5, va="center")


def _alarm_name(name: str) -> str:
    """Return the alarm's logical id, without the stack's name and what CloudFormation and CDK put behind it."""
    return re.sub(r"^\w+?-|[0-9A-F]{8}(-\w+)?$", "", name)


def _table(axes: Axes, table: Table) -> None:
    if not table.rows:
        axes.text(0.5, 0.5, "nothing", color=_FAINT, ha="center", va="center")
    cells = [[cell if len(cell) <= _CELL else f"…{cell[1 - _CELL :]}" for cell in row] for row in table.rows]
    widths = [2 + max(map(len, column)) for column in zip(table.columns, *cells, strict=True)]
    places = [sum(widths[:place]) / max(_CELLS, sum(widths)) for place in range(len(widths))]
    for place, column in zip(places, table.columns, strict=True):
        axes.text(place, 0.97, column, color=_FAINT, va="top")
    for number, row in enumerate(cells):
        for place, cell in zip(places, row, strict=True):
            axes.text(place, 0.86 - number * 0.085, cell, va="top", fontsize=9.5)


def _numbers(axes: Axes, lines: Sequence[Line]) -> None:
    for number, line in enumerate(lines):
        (value,) = line.values.values() or [None]
        y = 0.84 - number * 0.33
        axes.text(0.02, y, "-" if value is None else f"{value:,.4g}", fontsize=19, weight="bold", va="center")
        axes.text(0.34, y, line.label, fontsize=11, va="center")
