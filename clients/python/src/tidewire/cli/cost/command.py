"""``tidewire cost``: what a workload costs a month, and what others would take for it. Asks nobody."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Final

import typer
from rich.text import Text

from tidewire.cli.cost.assumed import assumptions
from tidewire.cli.cost.bill import Bill, Line, bill
from tidewire.cli.cost.others import READ_ON, Quote, quotes
from tidewire.cli.cost.tables import PRICED_ON, REGION, SERVER
from tidewire.cli.cost.workload import By, Way, Workload
from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.options import JsonOption, guarded
from tidewire.cli.output import Output

_MANY: Final = 1_000_000_000
_HOURS: Final = 730  # of a month, on average
# Three to five calls of AWS one after another, each of 5 to 10 ms. It was not measured on AWS.
_LAMBDA_MS: Final = 30
_EACH_FROM: Final = 1_000  # dearer than so many USD a million, a thing is priced by itself


@guarded
def cost(
    connections: Annotated[int, typer.Option(min=1, max=_MANY, metavar="N", help="At a time, on average.")],
    publishes_per_second: Annotated[
        float, typer.Option(min=0, max=_MANY, metavar="R", help="In all channels together.")
    ],
    subscribers: Annotated[int, typer.Option(min=1, max=_MANY, metavar="N", help="Who hear each publication.")],
    channels: Annotated[
        int | None, typer.Option(min=1, max=_MANY, metavar="N", help="[default: connections / subscribers]")
    ] = None,
    message_bytes: Annotated[
        int, typer.Option(min=1, max=SERVER.data_max_bytes, metavar="BYTES", help="Of a publication's data.")
    ] = 250,
    priority: Annotated[Way, typer.Option(help="How it is published.")] = "normal",
    by: Annotated[By, typer.Option(help="How publications come in.")] = "websocket",
    connection_minutes: Annotated[
        float, typer.Option(min=0.1, max=_MANY, metavar="MINUTES", help="How long a connection is there, on average.")
    ] = 30,
    users: Annotated[
        int | None,
        typer.Option(min=1, max=_MANY, metavar="N", help="Of a month, for who asks by user. [default: connections]"),
    ] = None,
    lambda_ms: Annotated[
        float, typer.Option(min=1, max=60_000, metavar="MS", help="Of an invocation: assumed.")
    ] = _LAMBDA_MS,
    pace_ms: Annotated[
        int,
        typer.Option(min=0, max=1_000, metavar="MS", help="As channels.toml has it: how long batches are held back."),
    ] = SERVER.pace_ms,
    hours: Annotated[float, typer.Option(min=0.1, max=744, metavar="HOURS", help="Of the month.")] = _HOURS,
    as_json: JsonOption = False,
) -> None:
    """Tell what a workload costs a month on AWS, by list prices, and what others would take for it.

    Needs no deployment. What each step is billed was counted in the deployed functions; how long they take is assumed.
    Columns, where the output is piped: service, what, how much, USD for a million, USD; then who else, plan,
    USD, why.

    Example: tidewire cost --connections 10000 --publishes-per-second 50 --subscribers 20
    """
    if subscribers > connections:
        raise CommandError("more subscribers than connections: who hears a publication is connected", ExitCode.USAGE)
    workload = Workload(
        connections,
        publishes_per_second,
        subscribers,
        channels or max(1, round(connections / subscribers)),
        message_bytes,
        priority,
        by,
        connection_minutes,
        lambda_ms,
        pace_ms,
        hours,
        users or connections,
    )
    if workload.subscriptions > SERVER.subscriptions_max:
        most = f"{SERVER.subscriptions_max} subscriptions at most"
        raise CommandError(f"{workload.subscriptions:,.0f} channels for each connection: it has {most}", ExitCode.USAGE)
    _show(Output(as_json=as_json), workload, bill(workload), quotes(workload))


def _show(output: Output, workload: Workload, bill: Bill, others: Sequence[Quote]) -> None:
    if output.as_json:
        return output.json(_json(workload, bill, others))
    assumed = assumptions(workload)
    if not output.for_people:
        output.table([], [[one.service, one.what, *map(_plain, _figures(one))] for one in bill.lines])
        output.table([], [[one.who, one.plan, "" if one.usd is None else _plain(one.usd), one.why] for one in others])
        output.table([], [["assumed", one] for one in assumed])
        return
    _table(output, ["", "how much", "at USD", "USD a month"], _rows(bill))
    output.line("")
    for line in _sum(workload, bill):
        output.line(line)
    output.line("")
    ours = Quote("Tidewire", "on AWS", bill.usd, "this bill")
    output.table(["who", "plan", "USD a month", "why"], [_quoted(one) for one in (ours, *others)])
    output.line("")
    output.table(["", ""], [["" if number else "assumed", one] for number, one in enumerate(assumed)])


def _figures(line: Line) -> tuple[float, float, float]:
    return line.quantity, line.usd_per_million, line.usd


def _rows(bill: Bill) -> Iterator[list[str]]:
    """Yield each service with what it costs, and below it what for."""
    for service, usd in bill.services.items():
        yield [service, "", "", _usd(usd)]
        for line in bill.lines:
            if line.service == service:
                yield [f"  {line.what}", _many(line.quantity), _price(line.usd_per_million), _usd(line.usd)]


def _table(output: Output, headers: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """Write a table of figures below one another; what is not indented is in bold."""
    table = [headers, *rows]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    first, *others = [
        [name, *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))] for name, *cells in table
    ]
    bold = [[Text(cell, "" if row[0].startswith(" ") else "bold") for cell in row] for row in others]
    output.table(first, bold)


def _sum(workload: Workload, bill: Bill) -> Iterator[Text]:
    yield Text(f"{_usd(bill.usd)} USD a month", "bold")
    if workload.deliveries:
        yield Text(f"{_usd_delivered(workload, bill):,.2f} USD for a million publications delivered")
    largest = (f"{line.what} {line.usd / bill.usd:.0%}" for line in bill.largest)
    yield Text(f"most of it: {', '.join(largest)}")


def _usd_delivered(workload: Workload, bill: Bill) -> float:
    return bill.usd / workload.deliveries * 1_000_000


def _quoted(quote: Quote) -> list[str | Text]:
    return [quote.who, quote.plan, "not published" if quote.usd is None else _usd(quote.usd).rjust(13), quote.why]


def _usd(usd: float) -> str:
    return f"{usd:,.2f}"


def _plain(number: float) -> str:
    return f"{number:.6g}" if number < 1e6 else f"{number:.0f}"


def _many(number: float) -> str:
    return f"{number / 1e6:,.2f} million" if number >= 1e6 else f"{number:,.0f}"


def _price(usd_per_million: float) -> str:
    if usd_per_million >= _EACH_FROM:
        return f"{usd_per_million / 1e6:,.3f} each    "
    return f"{usd_per_million:,.3f} a million"


def _json(workload: Workload, bill: Bill, others: Sequence[Quote]) -> dict[str, Any]:
    return {
        "workload": asdict(workload),
        "region": REGION,
        "priced_on": PRICED_ON,
        "usd": bill.usd,
        "usd_per_million_delivered": _usd_delivered(workload, bill) if workload.deliveries else None,
        "services": bill.services,
        "lines": [asdict(line) | {"usd_per_million": line.usd_per_million} for line in bill.lines],
        "largest": [line.what for line in bill.largest],
        "others": [asdict(one) for one in others],
        "others_read_on": READ_ON,
        "assumed": assumptions(workload),
    }
