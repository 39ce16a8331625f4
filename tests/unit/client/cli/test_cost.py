"""``tidewire cost``: what is shown, and what is refused. It asks nobody: nothing is served here."""

import json
import re

import pytest

from tests.unit.client.cli.conftest import ROOT, Run
from tests.unit.client.cli.test_output import on_a_terminal
from tidewire.cli.cost.tables import PRICED_ON

WORKLOAD = ["--connections", "10000", "--publishes-per-second", "50", "--subscribers", "20"]
OTHERS = [
    "Ably, by use",
    "Ably, by user",
    "Pusher Channels",
    "PubNub, by transaction",
    "PubNub, by user",
    "AWS AppSync Events",
    "AWS IoT Core",
]


def test_the_bill_the_others_and_what_was_assumed(run: Run) -> None:
    ended = run("cost", *WORKLOAD)
    assert (ended.code, ended.err) == (0, "")
    rows = [line.split("\t") for line in ended.lines]
    bill = [row for row in rows if len(row) == 5]
    others = [row for row in rows if len(row) == 4]
    assumed = [row for row in rows if len(row) == 2]
    assert len(bill) + len(others) + len(assumed) == len(rows)
    assert {row[0] for row in bill} >= {"API Gateway", "Lambda", "DynamoDB", "SQS", "EventBridge", "CloudWatch"}
    for _, _, quantity, usd_per_million, usd in bill:
        assert float(quantity) * float(usd_per_million) / 1e6 == pytest.approx(float(usd), rel=1e-3)
    assert [row[0] for row in others] == OTHERS
    assert {row[0] for row in assumed} == {"assumed"} and any(PRICED_ON in row[1] for row in assumed)


def test_services_that_cost_most_come_first(run: Run) -> None:
    answer = json.loads(run("cost", *WORKLOAD, "--json").out)
    assert list(answer["services"].values()) == sorted(answer["services"].values(), reverse=True)
    assert answer["largest"] == [line["what"] for line in sorted(answer["lines"], key=lambda line: -line["usd"])[:3]]


def test_json_adds_up(run: Run) -> None:
    ended = run("cost", *WORKLOAD, "--json")
    [line] = ended.lines
    answer = json.loads(line)
    assert sum(one["usd"] for one in answer["lines"]) == pytest.approx(answer["usd"])
    assert sum(answer["services"].values()) == pytest.approx(answer["usd"])
    assert answer["usd_per_million_delivered"] == pytest.approx(answer["usd"] / (50 * 20 * 730 * 3600) * 1e6)
    assert [one["who"] for one in answer["others"]] == OTHERS
    assert answer["workload"]["channels"] == 500
    assert answer["priced_on"] == PRICED_ON


def test_without_publications_there_is_nothing_to_divide_by(run: Run) -> None:
    idle = ["--connections", "1", "--publishes-per-second", "0", "--subscribers", "1"]
    assert json.loads(run("cost", *idle, "--json").out)["usd_per_million_delivered"] is None
    code, screen = on_a_terminal("cost", *idle, NO_COLOR="1", COLUMNS="100")
    assert (code, "USD a month" in screen, "publications delivered" in screen) == (0, True, False)


def test_the_example_is_what_is_reckoned(run: Run) -> None:
    [(command, shown)] = re.findall(
        r"^\$ tidewire (cost .+)\n((?:.*\n)+?)```", (ROOT / "docs" / "cost.md").read_text(), re.MULTILINE
    )
    answer = json.loads(run(*command.split(), "--json").out)
    figures = {**answer["services"], **{f"  {line['what']}": line["usd"] for line in answer["lines"]}}
    told = dict(re.findall(r"^( *\S+(?: \S+)*) .* ([\d,]+\.\d\d)$", shown, re.MULTILINE))
    assert told == {name: f"{usd:,.2f}" for name, usd in figures.items()}
    assert f"\n{answer['usd']:,.2f} USD a month\n" in shown
    assert f"\n{answer['usd_per_million_delivered']:,.2f} USD for a million publications delivered\n" in shown
    for one in answer["others"]:
        usd = "not published" if one["usd"] is None else f"{one['usd']:,.2f}"
        assert re.search(rf"^{re.escape(one['who'])} +{one['plan']} +{re.escape(usd)} ", shown, re.MULTILINE), one


@pytest.mark.parametrize("columns", [80, 120])
def test_it_fits_on_a_terminal(columns: int) -> None:
    code, screen = on_a_terminal("cost", *WORKLOAD, NO_COLOR="1", COLUMNS=str(columns))
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).splitlines()
    assert code == 0
    assert max(len(line) for line in lines) <= columns
    assert any(re.fullmatch(r"API Gateway +[\d,]+\.\d\d *", line) for line in lines)
    assert any(
        re.fullmatch(r"  WebSocket messages +[\d,.]+ million +[\d.]+ a million +[\d,]+\.\d\d *", line) for line in lines
    )
    assert any(re.fullmatch(r"[\d,]+\.\d\d USD a month *", line) for line in lines)
    assert any(re.match(r"Tidewire +on AWS +[\d,]+\.\d\d  this bill", line) for line in lines)
    assert any(re.match(r"PubNub, by user +Pro +not published  ", line) for line in lines)


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--subscribers", "10001"], "more subscribers than connections"),
        (["--channels", "64001"], "it has 128 subscriptions at most"),
        (["--connections", "0"], "'--connections'"),
        (["--publishes-per-second", "-1"], "'--publishes-per-second'"),
        (["--publishes-per-second", "nan"], "'--publishes-per-second'"),
        (["--publishes-per-second", "many"], "'--publishes-per-second'"),
        (["--message-bytes", "24001"], "'--message-bytes'"),
        (["--priority", "urgent"], "'--priority'"),
        (["--by", "pigeon"], "'--by'"),
        (["--hours", "745"], "'--hours'"),
        (["--connection-minutes", "0"], "'--connection-minutes'"),
        (["--pace-ms", "1001"], "'--pace-ms'"),
    ],
)
def test_2_when_there_is_no_such_workload(run: Run, more: list[str], said: str) -> None:
    ended = run("cost", *WORKLOAD, *more)
    assert (ended.code, ended.out) == (2, "")
    [line] = ended.err.splitlines()
    assert line.startswith("tidewire: ") and said in line


@pytest.mark.parametrize("missing", ["--connections", "--publishes-per-second", "--subscribers"])
def test_2_when_the_workload_is_not_said(run: Run, missing: str) -> None:
    at = WORKLOAD.index(missing)
    ended = run("cost", *WORKLOAD[:at], *WORKLOAD[at + 2 :])
    assert (ended.code, missing in ended.err) == (2, True)
