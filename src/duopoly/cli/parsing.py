"""From the words typed to a complete command; tyro writes its help."""

from typing import Any

import tyro

from duopoly.cli.commands import COMMANDS
from duopoly.cli.flags import MissingError, read_flags

HELP_FLAGS = ("-h", "--help")


def parse(words: list[str]) -> Any:
    """The command typed, complete with defaults; ``words[0]`` is its name.

    Raises:
        UsageError: for the first word that makes no sense.
        UnknownTaskError: no task has that name.
        SettingsError: settings that make no sense together.
        SystemExit: help was asked for, and is shown.
    """
    kind, _, complete = COMMANDS[words[0]]
    rest = [word for word in words[1:] if word not in HELP_FLAGS]
    asks_help = len(rest) < len(words) - 1
    try:
        typed = read_flags(rest, kind)
    except MissingError:
        if asks_help:
            _show_help(words, kind, None)
        raise
    if complete is None:
        default, command = None, kind(**typed.positionals, **typed.flags)
    else:
        default, command = complete(typed)
    if asks_help:
        _show_help(words, kind, default)
    return command


def _show_help(words: list[str], kind: type[Any], default: Any) -> None:
    """Prints what is not typed yet, with its defaults: those of a record, or of its kind."""
    tyro.cli(
        kind,
        prog=f"duopoly {words[0]}",
        args=words[1:],
        default=tyro.MISSING_NONPROP if default is None else default,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
