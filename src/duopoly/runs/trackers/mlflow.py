"""MLflow, as its own environment variables say: ``MLFLOW_TRACKING_URI`` and the like.

The client is used, with the run's number in each call: there is no active run, so that several can
go on side by side in a process.
"""

import itertools
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, final

from duopoly.runs.errors import UsageError
from duopoly.runs.trackers.tracker import Ending, TrackedRun, Tracker

EXPERIMENT: Final = "duopoly"

_STATUS: Final[Mapping[Ending, str]] = {
    "finished": "FINISHED",
    "stopped": "KILLED",
    "failed": "FAILED",
}

_MAX_PARAMS: Final = 100
"""In one call."""

_beginning: Final = threading.Lock()
"""Two that begin at the same time would both make the store's tables."""


@final
class MLflow(Tracker):
    """Writes a run of MLflow's."""

    def __init__(self) -> None:
        self._client: Any = None
        self._run_id = ""

    def begin(self, run: TrackedRun, key: str | None) -> str:
        """Begins a run of MLflow's, or goes on with one."""
        with _beginning:
            from mlflow import MlflowClient

            self._client = MlflowClient()
            if key is not None:
                self._go_on(key)
                return key
            made = self._client.create_run(self._experiment_id(), run_name=run.title)
        self._run_id = made.info.run_id
        self._describe(run)
        return self._run_id

    def log(self, metrics: Mapping[str, float], env_steps: int) -> None:
        """Adds the metrics of a round in one call."""
        from mlflow.entities import Metric

        now = int(time.time() * 1_000)
        rows = [Metric(tag, value, now, env_steps) for tag, value in metrics.items()]
        self._client.log_batch(self._run_id, metrics=rows)

    def picture(self, name: str, file: Path, env_steps: int) -> None:  # noqa: ARG002
        """Keeps the picture as an artifact, under its name; a later one takes its place."""
        self._client.log_artifact(self._run_id, str(file), _folder("pictures", name))

    def film(self, name: str, file: Path, env_steps: int) -> None:  # noqa: ARG002
        """Keeps the film as an artifact."""
        self._client.log_artifact(self._run_id, str(file), _folder("films", name))

    def end(self, ending: Ending) -> None:
        """Ends it."""
        self._client.set_terminated(self._run_id, _STATUS[ending])

    def _experiment_id(self) -> str:
        if known := os.environ.get("MLFLOW_EXPERIMENT_ID"):
            return known
        from mlflow.exceptions import MlflowException

        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or EXPERIMENT
        found = self._client.get_experiment_by_name(name)
        if found is not None:
            return found.experiment_id
        try:
            return self._client.create_experiment(name)
        except MlflowException:  # another process came first
            found = self._client.get_experiment_by_name(name)
            if found is None:
                raise
            return found.experiment_id

    def _go_on(self, run_id: str) -> None:
        from mlflow import get_tracking_uri
        from mlflow.exceptions import MlflowException

        try:
            self._client.get_run(run_id)
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            raise UsageError(
                f"there is no run {run_id} at {get_tracking_uri()}: set MLFLOW_TRACKING_URI as it "
                f"was, or move trackers.json away, and another is begun"
            ) from None
        self._client.update_run(run_id, status="RUNNING")
        self._run_id = run_id

    def _describe(self, run: TrackedRun) -> None:
        """What a run was begun with; MLflow lets nobody change it later."""
        from mlflow.entities import Param

        params = (Param(name, str(value)) for name, value in run.settings.items())
        while some := list(itertools.islice(params, _MAX_PARAMS)):
            self._client.log_batch(self._run_id, params=some)


def _folder(kind: str, name: str) -> str:
    return "/".join((kind, *name.split("/")[:-1]))
