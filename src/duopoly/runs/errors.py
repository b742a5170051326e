"""Mistakes that the user can mend, told in one line."""

import difflib
from collections.abc import Iterable


class UsageError(ValueError):
    """What was asked cannot be done; the message is one line naming the fault and the way out."""

    exit_code = 2


class FailureError(UsageError):
    """What was asked was begun and failed."""

    exit_code = 1


class DamageError(FailureError):
    """Something on disk is not what was written there, or could not be written."""


def nearest(word: str, known: Iterable[str]) -> str:
    """A hint such as ``; did you mean 'pal'?``, or nothing where nothing is near."""
    lower = {name.lower(): name for name in known}
    close = difflib.get_close_matches(word.lower(), lower, n=1, cutoff=0.5)
    return f"; did you mean {lower[close[0]]!r}?" if close else ""
