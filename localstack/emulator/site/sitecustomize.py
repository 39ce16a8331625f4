"""What each process of the emulator's environment loads when it starts.

It lets the emulator go before the functions that it runs. A function's cold start takes a second of processor. Where
several start at once, the emulator's answers came so late that functions ran out of time; they were ended, and others
had to start in their place: it never got better by itself.
"""

import os
import sys
from pathlib import Path

_NICENESS = 5  # a third of the share that the emulator, the edge and everybody else get

_program = Path(sys.orig_argv[-1]).name
if _program == "_worker.py":
    os.nice(_NICENESS)
elif _program == "ministack":  # they put themselves in the place of parts of it
    import indexes  # type: ignore[import-not-found]  # noqa: F401  # beside it
    import unpacking  # type: ignore[import-not-found]  # noqa: F401  # beside it
