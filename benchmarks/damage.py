"""What every command makes of damaged and of crafted files of a run.

    python benchmarks/damage.py                     # all damages, all commands: about 15 minutes
    python benchmarks/damage.py --only settings     # those whose name contains a word

Makes a small run and an agent, damages a copy in one way after another and gives it to each command
that reads it. A command may read it, where that is right, or refuse it: by one line on stderr, exit
code 1 or 2, with nothing in the directory changed, within 10 seconds. Anything else is listed, and
the exit code is 1.
"""

import argparse
import contextlib
import io
import json
import os
import shutil
import signal
import struct
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from duopoly.cli.main import main as duopoly
from duopoly.runs import atomic, checkpoint
from duopoly.runs.config import RunConfig
from duopoly.runs.launch import train_in
from duopoly.runs.rundir import RunDirectory
from duopoly.settings import Settings, override

TASK, MAX_SECONDS = "InvertedPendulum-v5", 10
TINY = {
    "collection.initial_steps": 60,
    "collection.steps_per_round": 40,
    "model.num_members": 2,
    "model.hidden": (8,),
    "model.epochs.convergence": 2,
    "model.batch_size": 16,
    "model.window": 80,
    "model.capacity": 200,
    "imagination.num_rollouts": 4,
    "imagination.horizon": 5,
    "policy.hidden": (4,),
    "policy.steps.conservative": 1,
    "policy.fisher_samples": 20,
    "policy.value.hidden": (4,),
    "policy.value.batch_size": 10,
    "evaluation.num_episodes": 1,
    "evaluation.gap_steps": 0,
}
"""Settings that play a round in a moment."""

CONFIG = RunConfig(TASK, "pal", 0, 140, override(Settings(), TINY))

Damage = Callable[[RunDirectory], None]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--only", default="", help="play damages whose name has this in it")
    only = parser.parse_args().only
    outcomes: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        # What resumes the run must find it by task, algorithm and seed.
        whole = RunDirectory(root / "whole" / TASK / "pal" / "seed_0")
        train_in(whole, CONFIG, resume=False)
        damages = {name: one for name, one in all_damages(whole) if only in name}
        print(f"{len(damages)} damages, {len(commands(whole))} commands", flush=True)
        for name, damage in damages.items():
            for command in commands(whole):
                outcome = tried(root, whole, damage, command)
                outcomes[outcome.split(":")[0]] += 1
                if outcome not in ("read", "refused"):
                    print(f"{name}, {command}: {outcome}", flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in outcomes.items()))
    sys.exit(set(outcomes) - {"read", "refused"} != set())


def commands(run: RunDirectory) -> dict[str, list[str]]:
    """The words of each command that reads a run."""
    path = str(run.path)
    out = run.path.parents[3]
    resume = ["--resume", "--out", str(run.path.parents[2])]
    return {
        "train": ["train", TASK, *resume],
        "evaluate": ["evaluate", path, "--episodes", "1"],
        "plot": ["plot", path],
        "report": ["report", path],
        "picture": ["picture", path, "--out", str(out / "picture.png"), "--width", "64"],
        "video": ["video", path, "--episodes", "1", "--out", str(out / "video.mp4")],
        "diagnose": ["diagnose", path, "--episodes", "1"],
        "check": ["check", TASK, "--policy", path, "--steps", "100"],
    }


def tried(root: Path, whole: RunDirectory, damage: Damage, command: str) -> str:
    """What a command makes of a damaged copy, in a word or, where it is wrong, in some more."""
    shutil.rmtree(root / "copy", ignore_errors=True)
    shutil.copytree(root / "whole", root / "copy")
    run = RunDirectory(root / "copy" / whole.path.relative_to(root / "whole"))
    damage(run)
    before, begin = everything_in(run.path), time.monotonic()
    out, err = io.StringIO(), io.StringIO()
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), alarm():
            duopoly(commands(run)[command])
        code: object = 0
    except SystemExit as error:
        code = error.code or 0
    except BaseException as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        return f"traceback: {type(error).__name__}: {error} ({where.filename}:{where.lineno})"
    lines = err.getvalue().splitlines()
    if time.monotonic() - begin > MAX_SECONDS:
        return f"slow: {time.monotonic() - begin:.0f} s"
    if code == 0:
        return "read"
    if code not in (1, 2):
        return f"code {code}: {lines}"
    if len([line for line in lines if "skipping checkpoint" not in line]) != 1:
        return f"lines: {lines}"
    after = everything_in(run.path)
    if after != before:
        odd = sorted({path.name for path, _ in set(after.items()) ^ set(before.items())})
        return f"changed: {odd} ({lines[-1]})"
    return "refused"


@contextlib.contextmanager
def alarm() -> Iterator[None]:
    """Raises `TimeoutError` in what hangs."""

    def ring(*_: object) -> None:
        raise TimeoutError(f"hangs for {3 * MAX_SECONDS} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(3 * MAX_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def everything_in(folder: Path) -> dict[Path, tuple[Any, ...]]:
    """Content, kind and time of change of all there is."""
    found = {}
    for path in folder.rglob("*"):
        info = path.lstat()
        is_small = path.is_file() and not path.is_symlink() and info.st_size < 2**24
        content = path.read_bytes() if is_small else None
        found[path] = info.st_mode, info.st_mtime_ns, info.st_size, content
    return found


def all_damages(run: RunDirectory) -> Iterator[tuple[str, Damage]]:
    """Every damage by its name."""
    yield from of_files(run)
    yield from of_settings(run)
    yield from of_tables()
    yield from of_arrays(run)
    yield from of_manifests()


def of_files(run: RunDirectory) -> Iterator[tuple[str, Damage]]:
    """Each file emptied, cut, flipped, removed, and replaced by what is no file."""
    files = sorted(path.relative_to(run.path) for path in run.path.rglob("*") if path.is_file())
    newest = max(path.parent for path in files if "round" in str(path))
    for file in files:
        if "round" in str(file) and file.parent != newest:
            continue
        for kind in KINDS:
            yield (
                f"file {file.name} {kind}",
                lambda run, file=file, kind=kind: spoil(run, file, kind),
            )
    for kind in ("fifo", "link", "file", "missing"):
        for folder in ("checkpoints", "diagnosis"):
            path = Path(folder)
            yield (
                f"folder {folder} {kind}",
                lambda run, path=path, kind=kind: spoil(run, path, kind),
            )


KINDS = ("empty", "cut", "flipped", "noise", "missing", "fifo", "folder", "link", "loop", "huge")


def spoil(run: RunDirectory, file: Path, kind: str) -> None:
    path = run.path / file
    data = path.read_bytes() if path.is_file() else b""
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)
    match kind:
        case "empty" | "file":
            path.write_bytes(b"")
        case "cut":
            path.write_bytes(data[: len(data) // 2])
        case "flipped" if data:
            path.write_bytes(data[:-2] + bytes([data[-2] ^ 1]) + data[-1:])
        case "noise":
            path.write_bytes(np.random.default_rng(0).bytes(5_000))
        case "fifo":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "link":
            path.symlink_to("/etc/passwd" if file.suffix else "/etc")
        case "loop":
            path.symlink_to(path)
        case "huge":
            with path.open("wb") as sparse:
                sparse.truncate(2**38)


ODD_VALUES = (None, "x", "", True, -1, 2**31, 2**63, 10**400, 1e308, [], [1], {}, "\x1b[31m")


def of_settings(run: RunDirectory) -> Iterator[tuple[str, Damage]]:
    """Every field of settings.json with values that it cannot have, and some that it can."""
    record = json.loads(run.settings.read_text())
    for path in paths_of(record):
        for value in ODD_VALUES[:5] if len(path) > 2 else ODD_VALUES:
            if path == ("steps",) and value == 2**31:
                continue  # a long run, and nothing wrong with it
            name = f"settings {'.'.join(path)} = {str(value)[:20]!r}"
            yield name, lambda run, path=path, value=value: set_field(run, path, value)
    for path, value in {
        ("settings", "model", "hidden"): [2**31 - 1] * 3,
        ("settings", "model", "num_members"): 2**31 - 1,
        ("settings", "policy", "hidden"): [10**6] * 4,
        ("settings", "imagination", "horizon"): 2**31 - 1,
        ("settings", "model", "window"): 2**31 - 1,
        ("settings", "policy", "improver"): "svg",
        ("task",): "Hopper-v5",
        ("algorithm",): "mal",
        ("perturb",): ["goal@5"],
        ("steps",): 0,
    }.items():
        name = f"settings {'.'.join(path)} = {str(value)[:20]}"
        yield name, lambda run, path=path, value=value: set_field(run, path, value)


def paths_of(record: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, value in record.items():
        yield (*path, name)
        if isinstance(value, dict):
            yield from paths_of(value, (*path, name))


def set_field(run: RunDirectory, path: tuple[str, ...], value: object) -> None:
    record = group = json.loads(run.settings.read_text())
    for name in path[:-1]:
        group = group[name]
    group[path[-1]] = value
    run.settings.write_text(json.dumps(record))


def of_tables() -> Iterator[tuple[str, Damage]]:
    """Texts in place of progress.csv."""
    header = "time/iterations,time/total_timesteps,eval/mean_reward\n"
    for name, text in {
        "no header": "1,2,3\n4,5,6\n",
        "other header": "a,b,c\n1,2,3\n",
        "header alone": header,
        "long field": header + "1,2," + "9" * 200_000 + "\n",
        "long header": "a" * 200_000 + "\n",
        "words": header + "one,two,three\n",
        "nan": header + "nan,nan,nan\n",
        "infinite": header + "inf,inf,inf\n",
        "huge": header + "1e308,1e308,1e308\n",
        "negative": header + "-1,-1,-1\n",
        "twice": header + "1,60,1\n1,60,1\n",
        "escape": header.replace("eval", "\x1b[31meval") + "1,60,1\n",
        "quotes": header + '"1,60,1\n',
        "nul": header + "1,\0,1\n",
    }.items():
        yield f"table {name}", lambda run, text=text: atomic.write_file(run.progress, text.encode())


def of_arrays(run: RunDirectory) -> Iterator[tuple[str, Damage]]:
    """Each array of all checkpoints with what it cannot hold, under sums that fit."""
    found = checkpoint.load_newest(run.checkpoints, CONFIG)
    assert found is not None
    for group, arrays in found.groups.items():
        for name in arrays:
            for kind in ("nan", "inf", "1e38", "negative", "shape", "type", "missing", "bf16"):
                label = f"array {group} {name} {kind}"
                yield (
                    label,
                    lambda run, at=(group, name), kind=kind: reseal(run, *at, kind),
                )
        yield f"array {group} surplus", lambda run, group=group: reseal(run, group, "more", "add")


def reseal(run: RunDirectory, group: str, name: str, kind: str) -> None:
    """Changes an array in each checkpoint and writes sums that fit."""
    for path in run.checkpoints.iterdir():
        found = checkpoint.load(path, CONFIG)
        arrays = dict(found.groups[group])
        if kind == "missing":
            del arrays[name]
        elif kind == "add":
            arrays[name] = np.zeros(3, np.float32)
        else:
            arrays[name] = spoilt(arrays[name], kind)
        groups = {**found.groups, group: arrays}
        spoilt_one = checkpoint.Checkpoint(found.round, found.env_steps, groups)
        encoded = checkpoint.encode(spoilt_one, CONFIG)
        files = {file: b"".join(chunks) for file, chunks in encoded.items()}
        if kind == "bf16":
            files = as_bf16(files, group, name)
        for file, data in files.items():
            (path / file).write_bytes(data)


def spoilt(array: np.ndarray, kind: str) -> np.ndarray:
    if kind == "shape":
        return np.zeros((*array.shape, 2), array.dtype)
    if kind == "type":
        return array.astype(np.float64 if array.dtype != np.float64 else np.int32)
    spoilt = np.array(array)
    if kind in ("nan", "inf", "1e38") and array.dtype.kind == "f":
        spoilt.flat[-1:] = float(kind)
    elif kind == "negative" and array.dtype.kind in "if":
        spoilt[...] = -1
    elif kind == "inf" and array.dtype.kind == "i":
        spoilt[...] = np.iinfo(array.dtype).max
    return spoilt


def as_bf16(files: dict[str, bytes], group: str, name: str) -> dict[str, bytes]:
    """The same files with an array said to be of a type that NumPy lacks."""
    file = f"{group}.safetensors"
    data = files[file]
    (size,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + size])
    entry = header[name]
    begin, end = entry["data_offsets"]
    entry |= {"dtype": "BF16", "shape": [(end - begin) // 2]}
    text = json.dumps(header).encode()
    files[file] = struct.pack("<Q", len(text)) + text + data[8 + size :]
    manifest = json.loads(files["manifest.json"])
    manifest["files"][file] = checkpoint._vouch([files[file]])
    return {**files, "manifest.json": sealed(manifest)}


def of_manifests() -> Iterator[tuple[str, Damage]]:
    """Counts that no run has, resealed."""
    for name, value in [
        *(("env_steps", value) for value in (-1, 0, 1, 2**62, 10**400, 1.5, None)),
        *(("round", value) for value in (-1, 0, 1, 2**62, None)),
        ("format", 2),
        ("more", 1),
    ]:
        yield (
            f"manifest {name} = {str(value)[:20]}",
            lambda run, name=name, value=value: set_count(run, name, value),
        )


def set_count(run: RunDirectory, name: str, value: object) -> None:
    for path in list(run.checkpoints.iterdir()):
        manifest = json.loads((path / "manifest.json").read_text())
        (path / "manifest.json").write_bytes(sealed({**manifest, name: value}))
        if name == "round" and isinstance(value, int):
            shutil.rmtree(run.checkpoints / checkpoint.name_of(value), ignore_errors=True)
            path.rename(run.checkpoints / checkpoint.name_of(value))
            for other in run.checkpoints.iterdir():
                if other.name != checkpoint.name_of(value):
                    shutil.rmtree(other)
            return


def sealed(manifest: dict[str, Any]) -> bytes:
    content = {name: value for name, value in manifest.items() if name != "sha256"}
    return atomic.dump_json(checkpoint._sealed(content))


if __name__ == "__main__":
    main()
