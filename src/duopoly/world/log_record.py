"""By what logged transitions are known again. No JAX here: the command line reads such records."""

from typing import NamedTuple


class LogRecord(NamedTuple):
    """What a run keeps of the log that it began with, beside the transitions themselves."""

    sha256: str
    """Of the transitions as they are used, so that a file written anew is the same log."""
    transitions: int
    episodes: int
