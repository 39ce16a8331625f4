"""Yours to change: the commands that clients may have the server run.

docs/extending.md says how to write one. They are packaged with the functions that take frames.
"""

from typing import Final

from functions.commands.dice import roll
from functions.commands.history import search
from shared.domain.commands import Command

COMMANDS: Final[tuple[Command, ...]] = (search, roll)
