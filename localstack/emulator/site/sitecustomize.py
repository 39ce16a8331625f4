"""What each process of the emulator's environment loads when it starts.

It lets the emulator go before the functions that it runs. A function's cold start takes a second of processor. Where
several start at once, the emulator's answers came so late that functions ran out of time; they were ended, and others
had to start in their place: it never got better by itself.
"""

import os
import sys
from pathlib import Path

_NICENESS = 5  # a third of the share that the emulator, the edge and everybody else get
# What was taken goes before what comes in: else whoever floods the way in delays what others have sent.
_WAY_OUT = ("FunctionsPublishWorker", "FunctionsFanOut")
# The emulator's loop waits for up to so long whenever one of its many threads has something to compute. By default that
# is 5 ms, for each of the dozen calls that a publication makes on its way.
_SWITCH_INTERVAL_S = 0.0001

_program = Path(sys.orig_argv[-1]).name
if _program == "_worker.py":
    if not any(name in sys.orig_argv[-1] for name in _WAY_OUT):
        os.nice(_NICENESS)
elif _program == "ministack":
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    # They put themselves in the place of parts of it.
    import indexes  # type: ignore[import-not-found]  # noqa: F401  # beside it
    import logs  # type: ignore[import-not-found]  # noqa: F401  # beside it
    import measures  # type: ignore[import-not-found]  # noqa: F401  # beside it
    import policies  # type: ignore[import-not-found]  # noqa: F401  # beside it
    import polling  # type: ignore[import-not-found]  # noqa: F401
    import rules  # type: ignore[import-not-found]  # noqa: F401  # beside it
    import unpacking  # type: ignore[import-not-found]  # noqa: F401  # beside it
