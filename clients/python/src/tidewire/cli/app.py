"""All commands together."""

from typing import Final

import typer

from tidewire.cli import keys, profile, state
from tidewire.cli.bench import bench
from tidewire.cli.cost.command import cost
from tidewire.cli.doctor.command import doctor
from tidewire.cli.exit_codes import epilog
from tidewire.cli.group import OneLine
from tidewire.cli.history import history
from tidewire.cli.presence import presence
from tidewire.cli.publish import pub
from tidewire.cli.purge import purge
from tidewire.cli.redrive import redrive
from tidewire.cli.subscribe import sub
from tidewire.cli.token import token
from tidewire.cli.watch import watch

_HELP: Final = """
Tidewire from the command line: publish, subscribe, look into channels, run a deployment.

Without more it talks to http://localhost:8080, as whoever you are. Elsewhere: --url and --token with any command, their
environment variables, or a profile that has both.
"""

app = typer.Typer(
    name="tidewire",
    cls=OneLine,
    help=_HELP,
    epilog=epilog(),
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_CHANNELS: Final = "Channels"
_OPERATION: Final = "Operation"
_ACCESS: Final = "Who may"

for _name, _command, _panel in (
    ("pub", pub, _CHANNELS),
    ("sub", sub, _CHANNELS),
    ("history", history, _CHANNELS),
    ("presence", presence, _CHANNELS),
    ("token", token, _ACCESS),
    ("bench", bench, _OPERATION),
    ("doctor", doctor, _OPERATION),
    ("cost", cost, _OPERATION),
    ("redrive", redrive, _OPERATION),
    ("purge", purge, _OPERATION),
):
    app.command(_name, rich_help_panel=_panel)(_command)
state.app.command("watch")(watch)
app.add_typer(state.app, name="state", rich_help_panel=_CHANNELS)
app.add_typer(keys.app, name="keys", rich_help_panel=_ACCESS)
app.add_typer(profile.app, name="profile", rich_help_panel=_ACCESS)
