"""Where the process starts: nothing else is imported before the extra ``cli`` is known to be installed."""

import io
import os
import sys
from importlib.util import find_spec

from tidewire.cli.exit_codes import ExitCode

_NEEDED = ("typer", "rich", "jwt", "platformdirs")


def main() -> None:
    """Run the command line; end the process."""
    try:
        _main()
    except KeyboardInterrupt:  # before a command had begun, or after it had ended
        raise SystemExit(ExitCode.INTERRUPTED) from None


def _main() -> None:
    _open_what_is_closed()
    if missing := [name for name in _NEEDED if find_spec(name) is None]:
        sys.stderr.write(
            f"tidewire: {', '.join(missing)} can't be found: install the extra: pip install 'tidewire[cli]'\n"
        )
        raise SystemExit(ExitCode.REFUSED)
    from tidewire.cli.app import app

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # not every terminal knows every character
    app(prog_name="tidewire")


def _open_what_is_closed() -> None:
    """Lead the standard streams that were closed nowhere: what is opened next is not to take their places."""
    for descriptor, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            setattr(sys, name, open(descriptor, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for ever


if __name__ == "__main__":
    main()
