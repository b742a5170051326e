"""The commands by name, one row each; what a command is stands in the file of its name."""

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

from duopoly.cli import (
    bench,
    check,
    diagnose,
    evaluate,
    export,
    figure,
    picture,
    plot,
    report,
    sweep,
    tasks,
    theory,
    train,
    video,
)
from duopoly.cli.flags import Typed


class Command(NamedTuple):
    """What is typed, and what is done."""

    kind: type[Any]
    """Frozen dataclass: a field per flag with its line of help, and one of the command's own."""
    act: Callable[[Any], None]
    """Carries it out; what is heavy is imported there, once the command is known to be sound."""
    complete: Callable[[Typed], tuple[Any, Any]] | None = None
    """From what is typed to the command's defaults and the command, where the defaults depend on
    what is typed."""


COMMANDS: Final[Mapping[str, Command]] = {
    "train": Command(train.Train, train.act, train.complete),
    "evaluate": Command(evaluate.Evaluate, evaluate.act),
    "plot": Command(plot.Plot, plot.act),
    "report": Command(report.Report, report.act),
    "video": Command(video.Video, video.act),
    "sweep": Command(sweep.Sweep, sweep.act, sweep.complete),
    "figure": Command(figure.Figure, figure.act),
    "picture": Command(picture.Picture, picture.act, picture.complete),
    "export": Command(export.Export, export.act),
    "diagnose": Command(diagnose.Diagnose, diagnose.act),
    "check": Command(check.Check, check.act, check.complete),
    "tasks": Command(tasks.Tasks, tasks.act),
    "theory": Command(theory.Theory, theory.act),
    "bench": Command(bench.Bench, bench.act),
}
