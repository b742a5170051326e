"""Weights & Biases, as its own environment variables say: ``WANDB_PROJECT``, ``WANDB_MODE``, …"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, final

from duopoly.runs.metrics import STEPS
from duopoly.runs.trackers.tracker import Ending, TrackedRun, Tracker

PROJECT: Final = "duopoly"


@final
class WandB(Tracker):
    """Writes a run of W&B's."""

    def __init__(self) -> None:
        self._run: Any = None

    def begin(self, run: TrackedRun, key: str | None) -> str:
        """Begins a run of W&B's beside others in this process, or goes on with one."""
        import wandb

        self._run = wandb.init(
            project=None if "WANDB_PROJECT" in os.environ else PROJECT,
            name=None if "WANDB_NAME" in os.environ else run.title,
            id=key,
            resume="allow" if key else None,
            reinit="create_new",
            settings=None if "WANDB_CONSOLE" in os.environ else wandb.Settings(console="off"),
        )
        self._run.config.update(dict(run.settings), allow_val_change=True)
        self._run.define_metric("*", step_metric=STEPS)
        return self._run.id

    def log(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Adds a row."""
        self._run.log({**metrics, STEPS: env_steps})

    def picture(self, name: str, file: Path, env_steps: int) -> None:
        """Uploads a picture."""
        import wandb

        self._run.log({name: wandb.Image(str(file)), STEPS: env_steps})

    def film(self, name: str, file: Path, env_steps: int) -> None:
        """Uploads a film."""
        import wandb

        self._run.log({name: wandb.Video(str(file), format="mp4"), STEPS: env_steps})

    def end(self, ending: Ending) -> None:
        """Ends it; W&B calls a run preempted that has been stopped."""
        if ending == "stopped":
            self._run.mark_preempting()
        self._run.finish(exit_code=0 if ending == "finished" else 1)
