"""Leave out of the Python client's API what its classes have for one another: all behind ``# The channel's side.``"""

import re
from typing import Any, Final

import griffe

_REST: Final = re.compile(r"    # The \w+'s side\.")


class Insides(griffe.Extension):  # type: ignore[misc] # of another environment
    """Called by Griffe (https://mkdocstrings.github.io/griffe/guide/users/extending/)."""

    def on_class_members(self, *, cls: griffe.Class, **_: Any) -> None:
        """Take away the members behind the comment."""
        lines = enumerate(cls.lines, cls.lineno or 0)
        begins = next((number for number, line in lines if _REST.fullmatch(line)), None)
        for name, member in list(cls.members.items()):
            if begins is not None and not member.is_alias and (member.lineno or 0) > begins:
                cls.del_member(name)
