"""Where the runs of a sweep are played: on this machine, or on a Ray cluster.

A launcher is a context manager that yields a function from an order to its future; left by an
exception, it stops what is still played, in good order.
"""

import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from duopoly.runs.errors import FailureError, UsageError
from duopoly.sweep.worker import Order, StoppedError, play

Submit = Callable[[Order], "Future[str]"]
"""Has a run played; the future tells what went wrong, nothing where it came to its end."""

Launcher = AbstractContextManager[Submit]

NODE_LOSSES: Final = 10
"""How many nodes may be lost under one run."""

STOPPED: Final = "stopped"
"""What the future of a run tells that was told to stop."""


@contextmanager
def local(num_jobs: int) -> Iterator[Submit]:
    """Plays so many runs at a time on this machine."""
    stopping = threading.Event()
    with ThreadPoolExecutor(num_jobs) as pool:
        try:
            yield lambda order: pool.submit(_outcome, order, stopping.is_set)
        except BaseException:
            stopping.set()
            raise


@contextmanager
def on_ray(address: str) -> Iterator[Submit]:
    """Plays as many runs at a time as a Ray cluster has cores for.

    ``auto`` is the cluster that this machine belongs to, or else one of this machine alone that
    listens on the loopback interface and has no dashboard. All nodes need this installation and
    the folders of the runs.

    Raises:
        UsageError: Ray is not installed, or there is no such cluster.
    """
    ray = _connected(address)
    tasks: list[Any] = []

    def submit(order: Order) -> "Future[str]":
        remote = ray.remote(num_cpus=order.num_threads, max_retries=NODE_LOSSES)(_outcome)
        tasks.append(remote.remote(order))
        return tasks[-1].future()

    try:
        yield submit
    except BaseException:
        for task in tasks:
            ray.cancel(task)
        ray.wait(tasks, num_returns=len(tasks), timeout=30.0)
        raise
    finally:
        ray.shutdown()


def _outcome(order: Order, is_stopping: Callable[[], bool] = lambda: False) -> str:
    try:
        play(order, is_stopping)
    except StoppedError:
        return STOPPED
    except (FailureError, OSError) as error:
        return str(error)
    return ""


def _connected(address: str) -> Any:
    """Ray, connected."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    is_alone = address == "auto" and not _belongs_to_a_cluster()
    if is_alone:  # to be known when Ray is imported: its servers listen on the loopback alone
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    try:
        import ray
    except ImportError:
        raise UsageError("--ray needs Ray: pip install 'duopoly[ray]'") from None
    quiet = {"log_to_driver": False, "logging_level": "ERROR"}
    if is_alone:
        cores = len(os.sched_getaffinity(0))
        ray.init("local", num_cpus=cores, include_dashboard=False, **quiet)
        return ray
    try:
        ray.init(address, **quiet)
    except ConnectionError as error:
        told = " ".join(str(error).split())
        raise UsageError(f"--ray {address}: no cluster answers ({told}); see ray start") from None
    return ray


def _belongs_to_a_cluster() -> bool:
    """Whether somebody has started Ray on this machine, or said where it is."""
    return "RAY_ADDRESS" in os.environ or _CURRENT_CLUSTER.exists()


_CURRENT_CLUSTER: Final = Path("/tmp/ray/ray_current_cluster")
"""Here Ray notes the cluster that a machine belongs to."""
