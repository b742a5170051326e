"""One hot path, run whenever it is told to: ``python -m duopoly.bench.worker PATH [SIZE]``.

With a size it is the path along one of the `axes`, at that size.

It prepares the path, runs it once, for that compiles, and answers ``ready``. To each line on stdin
it answers with one of JSON: ``run`` with the seconds of another run, ``rate`` with the rate of
matrix products, in floating-point operations per second, ``end`` with what is left to tell.
"""

import functools
import json
import platform
import resource
import sys
import time
from collections.abc import Callable, Mapping
from typing import Final

import jax

from duopoly.bench import axes, kernels, whole
from duopoly.bench.kernels import Prepared, matrix_product
from duopoly.runs.rundir import peak_rss_mib

PREPARE: Final[Mapping[str, Callable[[], Prepared]]] = {
    "fit": kernels.fit_path,
    "imagine": kernels.imagine_path,
    "natural-gradient": kernels.natural_gradient_path,
    "actor-critic": kernels.actor_critic_path,
    "plan": kernels.plan_path,
    "step": whole.step_path,
    "collect": whole.collect_path,
    "evaluate": whole.evaluate_path,
    "round": whole.round_path,
    "round-svg": functools.partial(whole.round_path, "svg"),
    "import": whole.import_path,
    "help": whole.help_path,
    "first-round": whole.first_round_path,
}
SIZES: Final = (512, 1024, 2048)
"""Of the matrices; the best of their rates counts."""


def main() -> None:
    """Prepares, then answers until there is nothing more to do."""
    # What the path itself prints must not be taken for an answer.
    answers, sys.stdout = sys.stdout, sys.stderr
    idle_mib = _peak_mib()
    path = _prepared(*sys.argv[1:])
    _seconds(path)

    def answer(what: object) -> None:
        print(json.dumps(what), file=answers, flush=True)

    answer("ready")
    for line in sys.stdin:
        match line.strip():
            case "run":
                answer(_seconds(path))
            case "rate":
                answer(max(_rate(one) for one in _yardsticks()))
            case _:
                answer(
                    {
                        "what": path.what,
                        "num_flops": path.num_flops,
                        "peak_mib": _peak_mib(),
                        "idle_mib": idle_mib,
                        "device": jax.devices()[0].device_kind,
                    }
                )


def _prepared(name: str, size: str | None = None) -> Prepared:
    return PREPARE[name]() if size is None else axes.PREPARE[name](int(size))


def _seconds(path: Prepared) -> float:
    begin = time.perf_counter()
    jax.block_until_ready(path.run())
    return time.perf_counter() - begin


@functools.cache
def _yardsticks() -> list[Prepared]:
    return [matrix_product(size) for size in SIZES]


def _rate(yardstick: Prepared) -> float:
    assert yardstick.num_flops is not None
    return yardstick.num_flops / min(_seconds(yardstick) for _ in range(3))


def _peak_mib() -> float:
    """The most memory that this process, or one it started, had at once.

    Of one that it started it is at least what this one had then.
    """
    unit = 2**20 if platform.system() == "Darwin" else 2**10
    of_children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / unit
    return max(peak_rss_mib(), of_children)


if __name__ == "__main__":
    main()
