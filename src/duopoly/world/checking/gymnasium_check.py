"""What Gymnasium's own checker says of an environment."""

import re
import warnings
from collections.abc import Iterator

from gymnasium.utils.env_checker import check_env

from duopoly.world.task import Task

_HARMLESS = re.compile(
    r"infinity|symmetric|normali[sz]ed|flattened|render|human|not (?:unwrapped|wrapped)|spec"
)
"""Of what it warns where nothing is wrong: here nothing depends on it."""


def gymnasium_notes(task: Task) -> Iterator[str]:
    """Notes on where an environment does not keep Gymnasium's rules.

    It is played in one of its own, for a few steps.
    """
    env = task.make(None)
    try:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            try:
                check_env(env.unwrapped, skip_render_check=True, skip_close_check=True)
            except Exception as error:  # whatever the checker or the user's code raises
                yield _note(f"{type(error).__name__}: {error}")
    finally:
        env.close()
    for text in dict.fromkeys(str(warning.message) for warning in found):
        if not _HARMLESS.search(text):
            yield _note(text)


def _note(text: str) -> str:
    plain = re.sub(r"\x1b\[[0-9;]*m|WARN:|UserWarning:", "", text)
    return f"Gymnasium's checker: {' '.join(plain.split())}"
