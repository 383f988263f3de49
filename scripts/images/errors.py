"""The one error that ends a run with a message instead of a traceback."""


class Failure(Exception):
    """What was found, what was expected, what to do."""
