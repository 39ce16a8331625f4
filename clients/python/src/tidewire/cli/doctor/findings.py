"""What a step finds: that all is well, a fault and where to look, or that it can't be examined."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from rich.text import Text

from tidewire.cli.output import Output
from tidewire.cli.printable import printable

if TYPE_CHECKING:
    from tidewire.cli.doctor.patient import Patient


_NAME_COLUMNS: Final = 20  # the longest step's name


class Fault(Exception):
    """Something is not as it should be.

    Attributes:
        look_at: The component and the log, by the names of docs/architecture.md; ``None``: what the step says.
    """

    def __init__(self, expected: str, came: str, look_at: str | None = None) -> None:
        super().__init__(came)
        self.expected, self.came, self.look_at = expected, came, look_at


class NotExaminedError(Exception):
    """It can't be examined, which is no fault of the deployment."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to examine.

    Attributes:
        expected: What is well, said where it fails in a way of its own.
        look_at: Where to look then.
        work: Does it; returns what is worth saying.
        needs_answers: It is left out where nothing answers, or not to us.
    """

    name: str
    expected: str
    look_at: str
    work: "Callable[[Patient], Awaitable[str]]"
    needs_answers: bool = True


@dataclass(frozen=True, slots=True)
class Finding:
    """What came of a step."""

    step: str
    outcome: Literal["ok", "fault", "skipped"]
    took_ms: int
    detail: str = ""
    expected: str | None = None
    look_at: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it for programs."""
        fields = {name: getattr(self, name) for name in ("step", "outcome", "took_ms", "detail", "expected", "look_at")}
        return {name: value for name, value in fields.items() if value is not None}

    def show(self, output: Output) -> None:
        """Write it: one line, and for people two more below a fault."""
        if not output.for_people:
            whole = self.detail
            if self.outcome == "fault":
                whole = f"{self.detail}; expected: {self.expected}; look at: {self.look_at}"
            output.line(self.outcome, self.step, str(self.took_ms), whole)
            return
        mark, style = {"ok": ("✓", "green"), "fault": ("✗", "bold red"), "skipped": ("-", "yellow")}[self.outcome]
        time = Text(f"{self.took_ms:>5} ms", "dim")
        output.line(Text(mark, style), time, Text(printable(self.step).ljust(_NAME_COLUMNS), "bold"), self.detail)
        if self.outcome == "fault":
            output.line("   ", Text("expected", "dim"), str(self.expected))
            output.line("   ", Text("look at ", "dim"), str(self.look_at))
