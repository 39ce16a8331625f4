"""What is shown: for people on a terminal, else for programs: no colours, no borders, a line each, tabs between."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cache
from typing import Any, NoReturn

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tidewire.cli.printable import json_line, printable
from tidewire.frames import Event

_highlighter = JSONHighlighter()


class _Console(Console):
    def on_broken_pipe(self) -> NoReturn:
        raise BrokenPipeError


@cache
def errors() -> Console:
    """Return standard error: one for all, so that lines go above a progress bar."""
    return _Console(stderr=True)


class Output:
    """Standard output.

    Args:
        as_json: Everything is JSON, one value a line.
    """

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.for_people = sys.stdout.isatty() and not as_json

    def line(self, *parts: str | Text) -> None:
        """Write a line: of parts beside each other, or with tabs between. It is out when this returns."""
        if self.for_people:
            line = Text("  ").join(Text(printable(part)) if isinstance(part, str) else part for part in parts)
            _Console().print(line, soft_wrap=True)
        else:
            plain = (part.plain if isinstance(part, Text) else printable(part) for part in parts)
            sys.stdout.write("\t".join(plain) + "\n")
            sys.stdout.flush()

    def json(self, value: Any) -> None:
        """Write a JSON value in one line."""
        sys.stdout.write(json_line(value) + "\n")
        sys.stdout.flush()

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str | Text]]) -> None:
        """Write a table; for programs without its headers."""
        if not self.for_people:
            for row in rows:
                self.line(*row)
            return
        table = Table(box=None, header_style="bold", pad_edge=False, show_header=any(headers))
        for header in headers:
            table.add_column(header, overflow="fold")  # nothing is cut off
        for row in rows:
            table.add_row(*(Text(printable(cell)) if isinstance(cell, str) else cell for cell in row))
        _Console().print(table)

    def moment(self, at_ms: int | None) -> str:
        """Return a time for a table: for people without what makes it wide; ``""`` where there is none."""
        if at_ms is None:
            return ""
        at = time_of(at_ms)
        return at[:19].replace("T", " ") if self.for_people else at

    def event(self, event: Event, *, with_channel: bool, with_position: bool = False) -> None:
        """Write a publication: time, place, channel, sender, name and data."""
        if self.as_json:
            return self.json(event_json(event))
        parts = [Text(time_of(event.published_at_ms, short=self.for_people), "dim")]
        if with_position:
            offset = str(event.offset or "")
            place = offset if self.for_people or not event.epoch else f"{event.epoch}:{offset}"
            parts.append(Text(printable(place), "dim"))
        if with_channel:
            parts.append(Text(printable(event.channel), "magenta"))
        parts += [Text(printable(event.sender.user_id), "cyan"), Text(printable(event.name), "bold"), data(event.data)]
        self.line(*parts)


def event_json(event: Event) -> dict[str, Any]:
    """Return the publication as the protocol has it, without what it lacks."""
    sender = {
        "user_id": event.sender.user_id,
        "connection_id": event.sender.connection_id,
        "claims": event.sender.claims,
    }
    fields = {
        "channel": event.channel,
        "name": event.name,
        "data": event.data,
        "message_id": event.message_id,
        "sender": {name: value for name, value in sender.items() if value is not None or name == "connection_id"},
        "published_at_ms": event.published_at_ms,
        "priority": event.priority,
    }
    beside = {
        "epoch": event.epoch,
        "offset": event.offset,
        "prev_offset": event.prev_offset,
        "covers_from": event.covers_from,
        "ephemeral": event.ephemeral or None,
    }
    return fields | {name: value for name, value in beside.items() if value is not None}


def data(value: Any) -> Text:
    """Return a JSON value in one line, highlighted."""
    return _highlighter(Text(json_line(value)))


def time_of(at_ms: int, *, short: bool = False) -> str:
    """Return a time here: with its date, or of the day alone; what is no time as it is."""
    try:
        at = datetime.fromtimestamp(at_ms / 1000).astimezone()
    except (ValueError, OverflowError, OSError, TypeError):
        return str(at_ms)
    return at.strftime("%H:%M:%S.") + f"{at.microsecond // 1000:03}" if short else at.isoformat(timespec="milliseconds")


def note(text: str) -> None:
    """Say something beside the output, on standard error."""
    _say(f"tidewire: {text}", "dim")


def complain(text: str) -> None:
    """Say what went wrong, in one line on standard error."""
    _say(f"tidewire: {text}", "red")


def _say(text: str, style: str) -> None:
    with suppress(OSError):  # nobody can be told then
        if sys.stderr.isatty():
            errors().print(Text(printable(text), style), soft_wrap=True)
        else:
            sys.stderr.write(printable(text) + "\n")
            sys.stderr.flush()


class Bar:
    """A progress bar; nothing at all where nobody sees it."""

    def __init__(self, progress: Progress, description: str, total: float | None) -> None:
        self._progress = progress
        self._task = progress.add_task(description, total=total)

    def advance(self, by: float = 1) -> None:
        """So much more is done."""
        self._progress.advance(self._task, by)

    def restart(self, description: str, total: float) -> None:
        """Something else is done from now on."""
        self._progress.reset(self._task, description=description, total=total)

    def of(self, total: float) -> None:
        """So much is to be done in all."""
        self._progress.update(self._task, total=total)


@contextmanager
def progress(description: str, total: float | None = None, *, beside: Output | None = None) -> Iterator[Bar]:
    """Show a progress bar on standard error while this goes on, if that is a terminal.

    Args:
        beside: Is written to meanwhile: if that is a terminal as well, there is enough to be seen.
    """
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    seen = sys.stderr.isatty() and not (beside is not None and sys.stdout.isatty())
    with Progress(*columns, console=errors(), transient=True, disable=not seen) as shown:
        yield Bar(shown, description, total)


def let_go() -> None:
    """Standard output takes nothing any more: what is left in its buffer would fail at the end."""
    with suppress(OSError, ValueError):  # it may have no descriptor
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
