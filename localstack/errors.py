"""Why the local stack does not start: what whoever started it is told, in place of a traceback."""


class StartError(Exception):
    """The local stack can't be started; its text says why, and what to do."""
