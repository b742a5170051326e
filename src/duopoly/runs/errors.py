"""Mistakes that the user can mend, told in one line."""


class UsageError(ValueError):
    """What was asked cannot be done; the message is one line naming the fault and the way out."""

    exit_code = 2


class FailureError(UsageError):
    """What was asked was begun and failed."""

    exit_code = 1


class DamageError(FailureError):
    """Something on disk is not what was written there, or could not be written."""
