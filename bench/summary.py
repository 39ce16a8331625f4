"""All that is asked of Tidewire's figures and what they are, in one table: from what the last runs have written."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from bench.results import FOLDER, figure
from localstack.deploy import ROOT

README: Final = ROOT / "README.md"
# What of a run's context may differ between runs of the same versions on the same machine.
_OF_A_RUN: Final = ("date", "load average")
_BEGIN: Final = "<!-- bench: written by python -m bench --readme -->"
_END: Final = "<!-- /bench -->"


def found(folder: Path = FOLDER) -> list[dict[str, Any]]:
    """Return what is in the benchmarks' JSON files, by name."""
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json"))]


def table(reports: Sequence[dict[str, Any]]) -> str:
    """Return a line for each bar, how to have its figure again, and with what versions it was measured."""
    lines = [
        "| what | measured | bar | met | on | again by |",
        "|---|---:|---|---|---|---|",
        *(
            f"| {bar['what']} | {figure(bar['measured'])} | {bar['asked']} | {'yes' if bar['met'] else '**no**'}"
            f" | {report['context']['date']} | `.venv/bin/python -m bench {report['benchmark']}` |"
            for report in reports
            for bar in report["bars"]
        ),
        "",
        *(f"Measured with {versions}." for versions in sorted({_versions(report["context"]) for report in reports})),
    ]
    return "\n".join(lines) + "\n"


def overview(reports: Sequence[dict[str, Any]]) -> str:
    """Return the page of the folder of results: the table, then where each benchmark's own is."""
    links = [f"- [{report['title']}]({report['benchmark']}.md)" for report in reports]
    return "\n".join(
        ["# Results", "", table(reports), "How each is measured: [../README.md](../README.md).", "", *links, ""]
    )


def with_table(readme: str, reports: Sequence[dict[str, Any]]) -> str:
    """Return the text of README.md with the table in its place."""
    before, begin, rest = readme.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not (begin and end):
        raise ValueError(f"README.md has no {_BEGIN} … {_END}")
    return f"{before}{_BEGIN}\n\n{table(reports)}\n{_END}{after}"


def _versions(context: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in context.items() if name not in _OF_A_RUN)
