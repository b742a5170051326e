"""What every test runs under: shapes and types checked at each call, no silent broadcasting.

The import hook checks the annotations of every function in `duopoly`, and in the closed forms that
it is tested against, array shapes included. It must be in place before the first import of either,
so no test module may be imported earlier.
"""

import os

_num_workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
if _num_workers > 1:
    # Parallel test processes share the cores; left alone, each would start a thread per core.
    _num_threads = str(max(1, (os.cpu_count() or 1) // _num_workers))
    os.environ.setdefault("PJRT_NPROC", _num_threads)  # XLA's thread pool
    os.environ.setdefault("OPENBLAS_NUM_THREADS", _num_threads)  # NumPy's

# Tests compile far more than they compute: no optimisation, and of XLA's two makers of loops the
# one that compiles in half the time.
os.environ.setdefault(
    "XLA_FLAGS", "--xla_backend_optimization_level=0 --xla_cpu_use_fusion_emitters=false"
)

from collections.abc import Iterator
from pathlib import Path

import jax
import jaxtyping
import pytest

# An int may stand where a float is asked for, as PEP 484 has it.
CHECKER = "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))"
jaxtyping.install_import_hook(["duopoly", "linear_quadratic"], CHECKER)
jax.config.update("jax_numpy_rank_promotion", "raise")

from tiny_runs import command, config, finished_run, tiny_flags  # noqa: F401  (fixtures)


@pytest.fixture(autouse=True)
def nothing_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands called here keep nothing that they compile in the user's cache."""
    monkeypatch.setattr("duopoly.cli.main.keep_compiled", lambda: None)


MAX_MAPS = 10_000
"""Of a process's memory maps, a few of which every compiled program holds; Linux allows 65 530."""


@pytest.fixture(autouse=True, scope="module")
def few_programs() -> Iterator[None]:
    """Frees compiled programs between modules: where the maps run out, XLA ends the process."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > MAX_MAPS:
        jax.clear_caches()
