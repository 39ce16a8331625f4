"""Draws what benchmarks found. On white, whatever the page's colour is, so that it is read on dark ones, too."""

from itertools import cycle
from pathlib import Path
from typing import Any, Final

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.results import Plot

_INCHES: Final = (8.0, 4.5)
_GROUP: Final = 0.8  # of the room that a name has
_LINE: Final = 105  # characters beside each other
_MARK: Final = 8  # that a line's mark takes
_LABELLED: Final = 24  # with more bars their figures would lie on each other
_OVER_LINES: Final = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
# Told apart with any kind of colour vision: Okabe and Ito, jfly.uni-koeln.de/color
COLOURS: Final = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKERS: Final = ("o", "s", "^", "D", "v", "P", "X")
STYLE: Final[dict[Any, Any]] = {  # matplotlib's type for it lists every setting
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "font.size": 10,
    "grid.color": "#dddddd",
    "savefig.facecolor": "white",
    "svg.hashsalt": "tidewire",  # the same figures are the same file
}


def draw(plot: Plot, title: str, to: Path) -> None:
    """Draw it into the file ``to``, whose ending says in which format."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=_INCHES, layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(title, loc="left", weight="bold")
        if plot.kind == "curve":
            _curves(axes, plot)
        else:
            _bars(axes, plot)
        _scale(axes, plot)
        if plot.limit is not None:
            axes.axhline(plot.limit, color="#555555", linestyle="--", linewidth=1, label=f"bar: {_short(plot.limit)}")
        labels = axes.get_legend_handles_labels()[1]
        if len(labels) > 1:
            columns = max(1, min(len(labels), _LINE // (len(max(labels, key=len)) + _MARK)))
            figure.legend(loc="outside lower center", ncols=columns, frameon=False)
        figure.savefig(to, metadata={"Date": None} if to.suffix == ".svg" else None)


def _curves(axes: Axes, plot: Plot) -> None:
    for (name, values), colour, marker in zip(plot.series.items(), cycle(COLOURS), cycle(_MARKERS), strict=False):
        places = sorted(values)
        axes.plot(places, [values[place] for place in places], label=name, color=colour, marker=marker)
    places = sorted({place for values in plot.series.values() for place in values})
    axes.set_xscale("log" if "x" in plot.log else "linear")
    axes.set_xticks(places, [f"{place:,}" for place in places])
    axes.minorticks_off()


def _bars(axes: Axes, plot: Plot) -> None:
    names = list(dict.fromkeys(name for values in plot.series.values() for name in values))
    width = _GROUP / len(plot.series)
    for number, ((series, values), colour) in enumerate(zip(plot.series.items(), cycle(COLOURS), strict=False)):
        places = [names.index(name) - _GROUP / 2 + (number + 0.5) * width for name in values]
        bars = axes.bar(places, list(values.values()), width, label=series, color=colour)
        if len(names) * len(plot.series) <= _LABELLED:
            labels = [_short(value) for value in values.values()]
            axes.bar_label(bars, labels=labels, fontsize=8, padding=2, bbox=_OVER_LINES, zorder=3)
    turned = sum(map(len, names)) > 80  # beside each other they would overlap
    axes.set_xticks(range(len(names)), names, rotation=25 if turned else 0, ha="right" if turned else "center")
    axes.grid(visible=False, axis="x")


def _scale(axes: Axes, plot: Plot) -> None:
    axes.set(xlabel=plot.x, ylabel=plot.y)
    if "y" in plot.log:
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    else:
        axes.set_ylim(bottom=0)
        axes.margins(y=0.1)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _place: f"{value:,g}"))


def _short(value: float) -> str:
    if value >= 1_000:
        return f"{value / 1_000:.3g}k" if value < 1e6 else f"{value / 1e6:.3g}M"
    return f"{value:.0f}" if value >= 100 else f"{value:.3g}"
