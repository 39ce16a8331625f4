"""The lines of standard input, published: in order, many in one request."""

import uuid
from collections import deque
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import asdict, dataclass
from typing import Any

import typer

from tidewire.cli.deployment import Deployment
from tidewire.cli.exit_codes import ExitCode, exit_code_of, told
from tidewire.cli.identity import config_of
from tidewire.cli.lines import read_chunks
from tidewire.cli.output import Bar, Output, complain, note
from tidewire.cli.values import json_or_text
from tidewire.errors import UNAUTHENTICATED, TidewireError
from tidewire.frames import PublishResult
from tidewire.publisher import Publisher
from tidewire.rest import Rest


def publish_lines(deployment: Deployment, fields: dict[str, Any], output: Output, bar: Bar) -> None:
    """Publish each line; tell of those that are refused, and go on without them.

    Args:
        fields: What all have in common: channel, name, priority.

    Raises:
        TidewireError: No other line will fare better: not allowed, or the server stays away.
    """
    config_of(Rest(deployment.url, http=deployment.http))  # or else the publisher would try for minutes
    lines = _Lines(deployment, fields, output, bar)
    try:
        for chunk in read_chunks():
            lines.publish(chunk)
    finally:
        lines.close()
        note(f"{lines.done} published" + (f", {lines.refused} refused" if lines.refused else ""))
    if lines.refused:
        raise typer.Exit(ExitCode.REFUSED)


def show(output: Output, published: PublishResult) -> None:
    """Write where a publication is, or that it is accepted."""
    place = published.position
    if output.as_json:
        output.json({name: value for name, value in asdict(published).items() if value is not None})
    else:
        output.line("accepted" if place is None else f"{place.epoch}:{place.offset}", published.message_id)


@dataclass(frozen=True, slots=True)
class _Line:
    number: int
    data: Any
    message_id: str


class _Lines:
    """Publishes, and counts.

    Attributes:
        done: How many are published.
        refused: How many are not, and will not be.
    """

    def __init__(self, deployment: Deployment, fields: dict[str, Any], output: Output, bar: Bar) -> None:
        self._deployment, self._fields, self._output, self._bar = deployment, fields, output, bar
        self.done = self.refused = 0
        self._publisher = self._begin(fresh=False)

    def publish(self, chunk: list[tuple[int, str | None]]) -> None:
        """Publish these lines; return when all are answered for good.

        Raises:
            TidewireError: As :func:`publish_lines`.
        """
        waiting = deque(filter(None, [self._read(number, text) for number, text in chunk]))
        renewable = self._deployment.identity.renewable
        while waiting:
            for line, answer in [(line, self._put(line)) for line in waiting]:
                try:
                    self._published(answer.result())
                except TidewireError as error:
                    if error.code == UNAUTHENTICATED and renewable:
                        renewable = False
                        self.close()
                        self._publisher = self._begin(fresh=True)
                        break  # those that are left once more, under their ids
                    if error.retryable or exit_code_of(error) != ExitCode.REFUSED:
                        raise
                    self._refuse(line.number, told(error))
                waiting.popleft()

    def close(self) -> None:
        """Send nothing more."""
        with suppress(ExceptionGroup, TimeoutError):  # each is told by its own answer
            self._publisher.close(0)

    def _begin(self, *, fresh: bool) -> Publisher:
        return Publisher(
            self._deployment.url,
            api_key=self._deployment.api_key,
            token=self._deployment.identity.token(fresh),
            on_error=lambda _error, _publication: None,  # as above
        )

    def _read(self, number: int, text: str | None) -> _Line | None:
        if text is None:
            self._refuse(number, "it is not UTF-8")
            return None
        try:
            return _Line(number, json_or_text(text), str(uuid.uuid4()))
        except typer.BadParameter as error:
            self._refuse(number, error.message)
            return None

    def _put(self, line: _Line) -> "Future[PublishResult]":
        try:
            return self._publisher.publish(**self._fields, data=line.data, message_id=line.message_id)
        except TidewireError as error:
            failed: Future[PublishResult] = Future()
            failed.set_exception(error)
            return failed

    def _published(self, result: PublishResult) -> None:
        self.done += 1
        self._bar.advance()
        if self._output.as_json:
            show(self._output, result)

    def _refuse(self, number: int, why: str) -> None:
        self.refused += 1
        complain(f"line {number}: {why}")
