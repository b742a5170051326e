"""A stand-in for ``python -m duopoly`` that leaves, in no time, the files of a run.

What it does depends on the seed: of seed 1 nothing comes, seed 2 is killed twice on the way, seed 3
is killed again and again, seed 4 goes on until it is told to stop.
"""

import json
import os
import signal
import sys
import time
from pathlib import Path

HEADER = "time/iterations,time/total_timesteps,time/time_elapsed,eval/mean_reward\n"
ROWS = ["1,5000,9,0\n", "2,7000,20.1,9\n", "3,10000,60.4,2\n"]


def evaluate(path: Path, is_best: bool, num_episodes: int) -> None:
    found = {"env_steps": 9, "num_episodes": num_episodes, "mean_return": 2.5}
    if is_best:
        path, found = path / "best", {**found, "env_steps": 7_000, "mean_return": 8.25}
    (path / "evaluation.json").write_text(json.dumps({**found, "success_rate": None}))


def train(path: Path, seed: int, settings: dict) -> None:
    (path / "best").mkdir(parents=True, exist_ok=True)
    (path / "settings.json").write_text(json.dumps(settings))
    (path / "versions.json").write_text(json.dumps({"mujoco": os.environ["FAKE_MUJOCO"]}))
    progress = path / "progress.csv"
    before = progress.read_text() if progress.exists() else HEADER
    rows = before.count("\n")
    if seed == 1:
        sys.exit(1)
    if seed == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    if seed == 4:
        signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
        (path / "begun").touch()
        time.sleep(60.0)
    if seed == 2 and rows < 3:
        progress.write_text(before + ROWS[rows - 1])
        os.kill(os.getpid(), signal.SIGKILL)
    progress.write_text(HEADER + "".join(ROWS))


def main(words: list[str]) -> None:
    with Path(os.environ["FAKE_CALLS"]).open("a") as calls:
        calls.write(" ".join([os.environ["PJRT_NPROC"], *words]) + "\n")
    verb, first, *rest = words
    if verb == "evaluate":
        evaluate(Path(first), "--best" in rest, int(rest[rest.index("--episodes") + 1]))
        return
    value = {flag: rest[rest.index(flag) + 1] for flag in ("--seed", "--out", "--algorithm")}
    path = Path(value["--out"]) / first / value["--algorithm"] / f"seed_{value['--seed']}"
    settings = json.loads(Path(os.environ["FAKE_SETTINGS"]).read_text())
    train(path, int(value["--seed"]), settings | {"seed": int(value["--seed"])})


if __name__ == "__main__":
    main(sys.argv[3:])  # after ``-m duopoly``
