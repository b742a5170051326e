"""``duopoly sweep``: many runs, each an ordinary one, wherever there is room for them."""

import dataclasses
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final, NamedTuple

from tyro.conf import Positional, arg

from duopoly.cli import task_file, train
from duopoly.cli.flags import Typed, read_flags
from duopoly.cli.task_file import MAX_WORKERS
from duopoly.fields import between, nearest
from duopoly.lab.studies import STUDIES
from duopoly.runs.config import read_seeds
from duopoly.runs.errors import FailureError, UsageError
from duopoly.runs.rundir import is_begun
from duopoly.runs.signals import stoppable
from duopoly.runs.trackers import catalogue
from duopoly.runs.trackers.catalogue import TrackerName
from duopoly.schedule import check_workers
from duopoly.settings import SettingsError
from duopoly.sweep.grid import read_grid
from duopoly.sweep.kept import is_kept
from duopoly.sweep.study import Study
from duopoly.sweep.worker import Order
from duopoly.world.log_record import LogRecord
from duopoly.world.tasks import UnknownTaskError


class _Sound(NamedTuple):
    """A study that can be played."""

    origin: str
    """Where it is from."""
    study: Study
    wanted: train.Train
    """Its training as the command line understands it."""
    data: LogRecord | None
    """Of the transitions that its runs begin with; None: with none, or they were not looked at."""


_DURATION: Final = re.compile(r"(?:(\d+(?:\.\d+)?)h)?(?:(\d+(?:\.\d+)?)m)?(?:(\d+(?:\.\d+)?)s)?")


@dataclasses.dataclass(frozen=True)
class Sweep:
    """Play studies, each over several seeds: what is missing of them, and nothing else.

    Every run is an ordinary ``duopoly train --resume``, then evaluated; what was stopped or killed
    goes on by the same command.
    """

    study: Positional[Annotated[tuple[str, ...], arg(metavar="FILE|NAME")]] = dataclasses.field(
        metadata={"unless": "names"}
    )
    """Files that end in .toml, and studies of this project by name."""
    names: bool = False
    """Name the studies of this project."""
    seeds: str | None = None
    """Such as 0-9 or 0,2,5 [default: those of the file, or 0-4]."""
    jobs: int = between(1, 1_000, 1)
    """Runs at a time on this machine, among which its cores are divided."""
    threads: int = between(0, 1_000, 0)
    """Cores of each run, on which its last digits depend; 0: this machine's share, on Ray one."""
    num_workers: int = between(1, MAX_WORKERS, 1)
    """Processes that play each run's episodes, each in a copy of the environment of its own."""
    ray: str | None = None
    """Play on this Ray cluster instead, as many runs at a time as it has cores for; auto: the one
    here, or a new one of this machine alone."""
    time_budget: str | None = None
    """Stop in good order after so long, such as 90m or 1.5h."""
    episodes: int = between(1, 10**6, 100)
    """Episodes of each evaluation."""
    out: Path = Path("runs/studies")
    """Directory of the runs."""
    results: Path = Path("results")
    """Directory of the small files that are kept of each run."""
    track: tuple[TrackerName, ...] = ()
    """What follows each run besides TensorBoard."""
    table: bool = False
    """Only print what has been found."""
    levels: tuple[float, ...] = ()
    """Returns, to be told after how many steps each is reached."""


def complete(typed: Typed) -> tuple[Sweep, Sweep]:
    """What the command would be without its words, and what it is."""
    return Sweep(()), Sweep(typed.positionals.get("study", ()), **typed.flags)


def act(command: Sweep) -> None:
    """Plays what is missing and prints what was found.

    Raises:
        UsageError: a study makes no sense, or what is there is of other runs; nothing is begun
            then. A `FailureError` where a run failed.
        Stopped: a signal asked for it.
    """
    if command.names:
        print("\n".join(STUDIES))
        return
    studies = list(_sound(command))
    catalogue.make(command.track)
    if not command.table:
        play(command, _missing_of(command, studies))
    _print_tables(command, list(dict.fromkeys(sound.study.name for sound in studies)))


def plan(command: Sweep) -> list[Order]:
    """What is missing. Changes nothing.

    Raises:
        UsageError: a study makes no sense, or what is there is of other runs.
    """
    return _missing_of(command, list(_sound(command)))


def _missing_of(command: Sweep, studies: Sequence[_Sound]) -> list[Order]:
    seeds = None if command.seeds is None else read_seeds(command.seeds)
    orders: list[Order] = []
    origins: dict[tuple[str, int], str] = {}
    for sound in studies:
        name = sound.study.name
        for seed in seeds or sound.study.seeds:
            if first := origins.get((name, seed)):
                raise UsageError(f"{name}, seed {seed}, stands twice: {first}, {sound.origin}")
            origins[name, seed] = sound.origin
            if (order := _missing(command, sound, seed)) is not None:
                orders.append(order)
    return orders


def play(command: Sweep, orders: Sequence[Order]) -> None:
    """Plays what is missing.

    Raises:
        UsageError: there is no such cluster, or too few cores; a `FailureError` if a run failed, or
            if the time was over before the last was played.
        Stopped: a signal asked for it.
    """
    seconds = None if command.time_budget is None else read_duration(command.time_budget)
    cores = len(os.sched_getaffinity(0))
    if command.ray is None and command.jobs > cores:
        raise UsageError(f"--jobs {command.jobs}: must be at most {cores}, the cores there are")
    if not orders:
        return
    from rich.console import Console

    from duopoly.sweep import launchers
    from duopoly.sweep.drive import BudgetSpentError, drive

    launcher = launchers.on_ray(command.ray) if command.ray else launchers.local(command.jobs)
    with stoppable(lambda _: None):
        try:
            failures = drive(orders, launcher, Console(stderr=True), seconds)
        except BudgetSpentError:
            raise TimeOverError(
                f"--time-budget {command.time_budget} is spent; the same command goes on"
            ) from None
    if failures:
        raise FailureError(f"{len(failures)} of {len(orders)} runs failed: {'; '.join(failures)}")


class TimeOverError(FailureError):
    """The time budget is spent."""

    exit_code = 124
    """As `timeout` has it."""


def read_duration(text: str) -> float:
    """Seconds, from what is typed: 90m, 1.5h, 1h30m.

    Raises:
        UsageError: it is no duration.
    """
    match = _DURATION.fullmatch(text)
    found = [float(part or 0.0) for part in match.groups()] if match else [0.0]
    seconds = sum(part * unit for part, unit in zip(found, (3_600.0, 60.0, 1.0), strict=False))
    if not seconds > 0.0:
        raise UsageError(f"--time-budget {text!r}: must be a time such as 90m, 1.5h or 1h30m")
    return seconds


def _sound(command: Sweep) -> Iterator[_Sound]:
    """Each study with where it is from, and its training as the command line understands it.

    Raises:
        UsageError: a study makes no sense; in a file, the line and the key are named.
    """
    for word in command.study:
        if word.endswith(".toml"):
            grid = read_grid(Path(word))
            for study in grid.studies:
                try:
                    wanted = _train(command, study)
                except (UsageError, UnknownTaskError, SettingsError) as error:
                    raise grid.blame(study, error) from None
                try:
                    log = None if command.table else train.read_log(wanted)
                except UsageError as error:
                    raise grid.blame_key(("data",), error) from None
                yield _Sound(word, study, wanted, log.record if log else None)
        elif word in STUDIES:
            yield _Sound("the command line", STUDIES[word], _train(command, STUDIES[word]), None)
        else:
            way_out = (
                "; seeds are one word: --seeds 0,2,5" if word.isdigit() else nearest(word, STUDIES)
            )
            raise UsageError(f"{word!r} is no study and no .toml file{way_out}")


def _train(command: Sweep, study: Study) -> train.Train:
    """As it would begin today."""
    words = [word for word in study.words(command.out, 0)[1:] if word != "--resume"]
    wanted = train.complete(read_flags(words, train.Train))[1]
    check_workers(wanted.settings, command.num_workers)
    return wanted


def _missing(command: Sweep, sound: _Sound, seed: int) -> Order | None:
    """The order for a seed that is not there yet.

    Raises:
        UsageError: what is there is another run.
    """
    study = sound.study
    run, config = train.run_of(sound.wanted, seed, sound.data)
    kept = command.results / study.name / f"seed_{seed}"
    if is_kept(kept, config, command.episodes):
        return None
    if run.path.exists():
        try:
            is_begun(run, config, resume=True)
        except UsageError as error:
            raise UsageError(f"{error}; move it away, or give another --out") from None
    place, track = Path.cwd(), ("--track", *command.track) if command.track else ()
    share = 1 if command.ray else max(1, len(os.sched_getaffinity(0)) // command.jobs)
    return Order(
        name=study.name,
        seed=seed,
        words=(*study.words(place / command.out, seed), *track),
        common=tuple(task_file.imported()),
        num_env_steps=config.steps,
        run=place / run.path,
        kept=place / kept,
        num_episodes=command.episodes,
        num_threads=command.threads or share,
        place=place,
        num_workers=command.num_workers,
    )


def _print_tables(command: Sweep, names: Sequence[str]) -> None:
    from duopoly.lab import result_table

    for name in names:
        for line in result_table.rows(name, command.results, command.levels):
            print(line)
    for first, second in itertools.combinations(names, 2):
        if first.split("/")[0] == second.split("/")[0]:
            print(result_table.comparison(first, second, command.results))
