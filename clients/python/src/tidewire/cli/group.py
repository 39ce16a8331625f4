"""How the process ends where no command does it: wrong usage is told in one line, as everything else."""

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

import typer
from typer.core import TyperGroup

from tidewire.cli.exit_codes import CommandError, ExitCode
from tidewire.cli.output import complain, let_go


class OneLine(TyperGroup):
    """All commands; Typer would draw boxes."""

    def main(  # type: ignore[override]  # Typer gives nothing else
        self, args: Sequence[str] | None = None, prog_name: str | None = None, **more: Any
    ) -> NoReturn:
        """Run the command that the arguments name; end the process."""
        given = sys.argv[1:] if args is None else list(args)
        try:
            _check(given)
            code = super().main(given, prog_name, **{**more, "standalone_mode": False})
        except CommandError as error:
            complain(str(error))
            code = error.exit_code
        except typer.TyperException as error:
            if said := _said(error):  # else the help is shown
                context = getattr(error, "ctx", None)
                complain(f"{said} (see: {prog_name if context is None else context.command_path} --help)")
            code = error.exit_code
        except OSError as error:
            complain(f"the output can't be written: {error.strerror}")
            let_go()
            code = ExitCode.REFUSED
        except SystemExit as ended:
            # Rich ends the process so where nobody reads a help to its end.
            code = ExitCode.CLOSED_PIPE if isinstance(ended.__context__, BrokenPipeError) else ended.code
        sys.exit(code or ExitCode.DONE)


def _check(arguments: Sequence[str]) -> None:
    """Check that the arguments are text.

    Raises:
        CommandError: One has bytes that are no UTF-8, which nothing of ours could be called by.
    """
    for argument in arguments:
        try:
            argument.encode()
        except UnicodeEncodeError:
            raise CommandError(f"{argument!r} is not UTF-8", ExitCode.USAGE) from None


def _said(error: typer.TyperException) -> str:
    # Typer's converter of types puts the first words before what it says.
    return " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
