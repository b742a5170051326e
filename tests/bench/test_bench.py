"""Benchmarks: what is typed, what a worker answers, and what two sides come to."""

import json
import re
import subprocess
import sys

import numpy as np
import pytest

from duopoly.bench import AXES, PATHS, axes, kernels
from duopoly.bench.growth import Growth
from duopoly.bench.measure import SOURCES, Measured, measure, sources_of
from duopoly.bench.table import as_table, ratio_to
from duopoly.bench.worker import PREPARE
from duopoly.cli.main import main
from duopoly.runs.errors import FailureError, UsageError


def test_what_can_be_typed_can_be_prepared():
    assert list(PREPARE) == list(PATHS)
    assert list(axes.PREPARE) == list(AXES)


def test_arithmetic_is_that_of_the_dense_layers():
    assert kernels.layer_products((3, 4, 5)) == 3 * 4 + 4 * 5


def test_a_path_is_timed_shown_and_kept(tmp_path, capsys):
    out = tmp_path / "bench.json"
    main(["bench", "--only", "plan", "--runs", "3", "--out", str(out)])
    kept = json.loads(out.read_text())
    found = kept["paths"]["plan"]["now"]
    assert len(found["seconds"]) == len(found["rates"]) == 3
    assert 0.0 < found["share"] < 1.5
    assert found["peak_mib"] > 50.0
    assert kept["versions"]["jax"]
    assert re.search(r"plan .*300 plans", capsys.readouterr().out)


def test_growth_is_measured_shown_kept_and_drawn(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(AXES, "fit-rows", (100, 400, 1_600))
    out = tmp_path / "growth.json"
    main(["bench", "--growth", "--only", "fit-rows", "--out", str(out)])
    kept = json.loads(out.read_text())["axes"]["fit-rows"]
    assert kept["sizes"] == [100, 400, 1_600]
    assert len(kept["seconds"]) == len(kept["mib"]) == 3
    assert all(mib > 1.0 for mib in kept["mib"])
    assert out.with_suffix(".png").stat().st_size > 10_000
    assert [len(one["seconds"]) for one in kept["measured"]] == [3, 3, 3]
    told = capsys.readouterr().out
    assert re.search(r"fit-rows, 100 to 1,600: exponents .* measured in \d+ s", told)
    assert re.search(r"fit .*rows .*100 to 1,600", told)


def test_exponents_are_those_of_the_larger_sizes():
    sizes = (1, 2, 4, 8, 16, 32)
    costs = [5.0 if size < 8 else size**1.5 for size in sizes]
    measured = [Measured("", [3 * c, c], None, [1.0], 50 + 7 * c, "cpu", 50.0) for c in costs]
    assert Growth(sizes, measured).exponents == pytest.approx((1.5, 1.5))


def test_a_worker_draws_nothing():
    """What draws takes more time to import than most sizes take to run."""
    code = "import sys, duopoly.bench.worker; print({'matplotlib', 'scipy.stats'} & {*sys.modules})"
    words = (sys.executable, "-c", code)
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert told == "set()\n"


def test_seeds_side_by_side_are_a_path():
    axes.PREPARE["round-seeds"](2).run()


def test_growth_is_not_compared(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "--growth", "--against", "HEAD"])
    assert stopped.value.code == 2
    assert "--growth is of this revision alone" in capsys.readouterr().err


def test_memory_is_the_workers_own():
    """Not that of the process that started it, which an exec would pass on."""
    code = (
        "big = b'1' * 2**31; from duopoly.bench.measure import measure; "
        "(found,) = measure('step', 3); print(found.peak_mib)"
    )
    words = (sys.executable, "-c", code)
    told = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    assert 50.0 < float(told) < 1_500.0


def test_two_sides_run_in_turn():
    now, before = measure("step", 3, (SOURCES, SOURCES))
    assert len(now.seconds) == len(before.seconds) == 3
    assert now.num_flops is None
    assert now.share is None


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A repository whose first revision has no benchmarks, and whose second has some."""

    def git(*words: str) -> None:
        who = ("-c", "user.name=test", "-c", "user.email=test@localhost")
        subprocess.run(("git", "-C", str(tmp_path), *who, *words), check=True, capture_output=True)

    package = tmp_path / "src" / "duopoly"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    git("init")
    for tag in ("without", "with"):
        git("add", ".")
        git("commit", "-m", tag)
        git("tag", tag)
        (package / "bench").mkdir(exist_ok=True)
        (package / "bench" / "worker.py").write_text("the one of then")
    (package / "bench" / "worker.py").write_text("the one of now")
    monkeypatch.setattr("duopoly.bench.measure.SOURCES", tmp_path / "src")


@pytest.mark.usefixtures("clone")
def test_sources_are_those_of_the_revision():
    with sources_of("with") as sources:
        assert (sources / "duopoly" / "bench" / "worker.py").read_text() == "the one of then"
    assert not sources.exists()


@pytest.mark.usefixtures("clone")
@pytest.mark.parametrize(
    ("revision", "reason"), [("no-such", "no such revision"), ("without", "no benchmarks yet")]
)
def test_a_revision_that_cannot_be_measured_is_refused_in_one_line(revision, reason):
    with pytest.raises(UsageError, match=reason), sources_of(revision):
        pass


def test_a_path_that_there_is_not_is_refused(capsys):
    with pytest.raises(SystemExit) as stopped:
        main(["bench", "--only", "plann"])
    assert stopped.value.code == 2
    assert "did you mean 'plan'" in capsys.readouterr().err


def test_a_worker_that_breaks_down_is_told_of():
    with pytest.raises(FailureError, match="benchmark nothing broke down: KeyError: 'nothing'"):
        measure("nothing", 1)


def test_ratios_are_of_pairs():
    def side(seconds: list[float]) -> Measured:
        return Measured("what", seconds, 6e9, [4e9, 2e9], 100.0, "cpu")

    now, before = side([1.0, 2.0, 3.0]), side([2.0, 4.0, 6.0])
    assert ratio_to(now, before) == pytest.approx((0.5, 0.5, 0.5))
    assert now.share == pytest.approx(6e9 / 1.0 / 4e9)
    table = as_table({"fit": [now, before]}, "v1")
    assert "0.500 (0.500 to 0.500)" in next(iter(table.columns[-1].cells))
    wild = ratio_to(side([1.0, 2.0, 3.0]), side([1.0, 1.0, 1.0]))
    assert wild[1] < wild[0] < wild[2]
    assert np.isfinite(wild).all()
