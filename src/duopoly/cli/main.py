"""The command line ``duopoly COMMAND``: reads the words, carries them out, tells what goes wrong.

Every word typed is checked before JAX is loaded, and before a file of the user's own is run; any
mistake is one line on stderr and exit code 2.
"""

import io
import os
import sys
from collections.abc import Sequence
from typing import Final

from duopoly.cli.commands import COMMANDS
from duopoly.cli.parsing import parse
from duopoly.cli.task_file import import_packages
from duopoly.fields import nearest
from duopoly.runs.compiled import keep_compiled
from duopoly.runs.errors import UsageError, tell
from duopoly.runs.provenance import version
from duopoly.runs.signals import Stopped
from duopoly.settings import SettingsError
from duopoly.world.tasks import UnknownTaskError

HELP: Final = """usage: duopoly COMMAND [...]

Model-based reinforcement learning as a game between a policy and a world model.

commands:
{commands}

Each has its own --help; `duopoly train TASK --help` shows the settings of that task's preset.
`--import PACKAGE`, in any of them, imports a package that registers environments with Gymnasium.
`duopoly --version` tells the version.
"""


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits: 0 done, 1 failed, 2 mistyped, 128 + n stopped by signal n."""
    words = list(sys.argv[1:] if argv is None else argv)
    _open_closed_streams()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal may know fewer letters than we do
    try:
        _dispatch(words)
    except Stopped as stop:
        tell(f"duopoly: stopped by {stop.signal_name}; go on with --resume")
        sys.exit(stop.exit_code)
    except UsageError as error:
        sys.exit(_tell(words, error, error.exit_code))
    except (UnknownTaskError, SettingsError) as error:
        sys.exit(_tell(words, error, 2))
    except MemoryError:
        sys.exit(_tell(words, MemoryError("out of memory: make the settings' sizes smaller"), 1))
    except BrokenPipeError:
        # The reader left; nothing more can be said on stdout, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def _open_closed_streams() -> None:
    """Gives the three standard streams a place, so that no file of ours takes the number of one."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)


def _tell(words: list[str], error: Exception, exit_code: int) -> int:
    command = f" {words[0]}" if words and words[0] in COMMANDS else ""
    tell(f"duopoly{command}: {error}")
    return exit_code


def _dispatch(words: list[str]) -> None:
    if not words or words[0] in ("-h", "--help"):
        firsts = {name: (row.kind.__doc__ or "").splitlines()[0] for name, row in COMMANDS.items()}
        lines = "\n".join(f"  {name:10s}{first}" for name, first in firsts.items())
        print(HELP.format(commands=lines), end="")
    elif words[0] == "--version":
        print(f"duopoly {version('duopoly')}")
    elif words[0] not in COMMANDS:
        kind = "flag" if words[0].startswith("-") else "command"
        known = [*COMMANDS, "--help", "--version"]
        raise UsageError(f"unknown {kind} {words[0]!r}{nearest(words[0], known)}")
    else:
        keep_compiled()
        COMMANDS[words[0]].act(parse(import_packages(words)))


if __name__ == "__main__":
    main()
