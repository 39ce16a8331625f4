"""docs/cost.md tells each step of the ledger as the command line has it."""

import json
import re
from pathlib import Path
from typing import Final

from bench.ledger.document import PATH
from bench.units import COLUMNS
from localstack.deploy import ROOT
from shared.domain.prices import PRICES

_TABLE: Final = re.compile(r"^\| `(\w+)`: (.+?) \| (.+) \|$", re.MULTILINE)


def test_the_table_is_what_was_counted() -> None:
    text = Path(ROOT / "docs" / "cost.md").read_text()
    assert f"| step | {' | '.join(COLUMNS.values())} | USD a million |" in text
    told = {name: (what, [cell.strip() for cell in cells.split("|")]) for name, what, cells in _TABLE.findall(text)}
    counted = {}
    for name, step in json.loads(PATH.read_text())["steps"].items():
        units = step["units"]
        usd = sum(price.usd_per_million * units.get(price.metric, 0) for price in PRICES)
        cells = [str(units.get(metric, "")) for metric in COLUMNS]
        counted[name] = (step["what"], [*cells, f"{usd:.2f}"])
    assert told == counted
