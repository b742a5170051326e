"""Records of runs as a report reads them, made up metric by metric."""

from pathlib import Path
from typing import Any

import numpy as np

from duopoly.lab.evaluate import Evaluation
from duopoly.lab.report.record import Record
from duopoly.runs.config import RunConfig
from duopoly.runs.metrics import ROUND, STEPS, ProgressTable
from duopoly.runs.rundir import RunDirectory
from duopoly.settings import Settings, override


def rows_of(columns: dict[str, Any], num_rounds: int = 12) -> list[dict[str, float]]:
    """Rows in which each metric has its value of each round, or the same in all."""
    spread = {tag: np.broadcast_to(value, num_rounds) for tag, value in columns.items()}
    return [
        {ROUND: i + 1, STEPS: 1_000 * (i + 1), **{tag: float(v[i]) for tag, v in spread.items()}}
        for i in range(num_rounds)
    ]


def record(seed: int = 0, algorithm: str = "pal", num_rounds: int = 12, **known: Any) -> Record:
    """A finished run; metrics by tag in ``columns``, settings by dotted name in ``changes``."""
    changes, columns = known.pop("changes", {}), known.pop("columns", {})
    steps = known.pop("steps", 1_000 * num_rounds)
    perturb = known.pop("perturb", ())
    settings = override(Settings(), changes)
    config = RunConfig("Hopper-v5", algorithm, seed, steps, settings, perturb)
    path = Path(f"runs/Hopper-v5/{algorithm}/seed_{seed}")
    return Record(path, config, rows_of(columns, num_rounds), **known)


def evaluation(mean_return: float, env_steps: int = 12_000) -> Evaluation:
    """A hundred episodes that earned so much on average."""
    return Evaluation(
        task="Hopper-v5",
        algorithm="pal",
        seed=0,
        env_steps=env_steps,
        num_episodes=100,
        mean_return=mean_return,
        std_return=10.0,
        iqm_return=mean_return,
        min_return=mean_return - 20.0,
        max_return=mean_return + 20.0,
        mean_length=500.0,
        success_rate=0.5,
        num_dropped=0,
    )


def write_run(path: Path, made: Record) -> RunDirectory:
    """The directory of a made-up run: its settings and its metrics."""
    run = RunDirectory(path)
    path.mkdir(parents=True)
    run.write_config(made.config)
    table = ProgressTable(run.progress, num_rounds=0)
    for row in made.rows:
        table.append(row)
    return run
