"""Where the process starts: nothing else is imported before the extra ``cli`` is known to be installed."""

import io
import sys
from importlib.util import find_spec

from tidewire.cli.exit_codes import ExitCode

_NEEDED = ("typer", "rich", "jwt", "platformdirs")


def main() -> None:
    """Run the command line; end the process."""
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


if __name__ == "__main__":
    main()
