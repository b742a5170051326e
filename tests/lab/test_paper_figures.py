"""The paper's figures: from what lies in results/, with a caption that hides nothing."""

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from duopoly.cli.main import main
from duopoly.lab import paper_figures
from duopoly.lab.studies import STUDIES
from duopoly.runs.config import FORMAT, RunConfig
from duopoly.runs.errors import UsageError
from duopoly.settings import Settings


def keep(
    folder: Path, seed: int, settings: dict, mujoco: str = "3.8", number: int = FORMAT
) -> None:
    """The small files of a finished run: it earns 10 a step more than its seed."""
    run = folder / f"seed_{seed}"
    run.mkdir(parents=True)
    config = {
        **RunConfig("Hopper-v5", "pal", seed, 300, Settings()).to_dict(),
        "settings": settings,
        "format": number,
    }
    (run / "settings.json").write_text(json.dumps(config))
    (run / "versions.json").write_text(json.dumps({"mujoco": mujoco}))
    rows = "".join(f"{i},{100 * i},{seed + 10 * i}\n" for i in (1, 2, 3))
    (run / "progress.csv").write_text(
        f"time/iterations,time/total_timesteps,eval/mean_reward\n{rows}"
    )


@pytest.fixture
def results(tmp_path, monkeypatch) -> Path:
    monkeypatch.setattr(paper_figures, "RESULTS", tmp_path / "results")
    for seed in (0, 4):
        keep(tmp_path / "results" / "Hopper-v5" / "pal", seed, {"leader": {"num_samples": 1}})
        keep(tmp_path / "results" / "Hopper-v5" / "mal", seed, {}, number=2)
    published = tmp_path / "results" / "published"
    published.mkdir()
    rows = "method,seed,steps,return\nMBPO,mean,0,0.0\nMBPO,mean,200,50.0\nSAC,0,0,1.0\n"
    (published / "Hopper-v5.csv").write_text(rows)
    library = tmp_path / "results" / "library"
    library.mkdir()
    name = paper_figures.LIBRARY_SAC.source
    rows = f'method,seed,steps,return,success\n"{name}",3,200,7.0,0.5\n'
    (library / "Hopper-v5.csv").write_text(rows)
    return tmp_path / "results"


def test_a_figure_and_what_its_caption_says(results, tmp_path, capsys):
    out = tmp_path / "fig3.png"
    main(["figure", "fig3", "--out", str(out)])
    assert out.read_bytes().startswith(b"\x89PNG")
    hopper, cheetah, *_ = out.with_suffix(".txt").read_text().splitlines()
    assert "PAL, natural gradient: seeds 0, 4;" in hopper
    assert "MBPO (published): mean;" in hopper
    assert "SAC (Stable-Baselines3): seed 3;" in hopper
    assert "MAL, natural gradient: seeds 0, 4 (format 2, played by former code)" in hopper
    assert "no runs yet: PAL, actor-critic, velocities uncut" in hopper
    assert cheetah.startswith("HalfCheetah-v5. no runs yet: PAL, natural gradient")
    assert hopper in capsys.readouterr().out
    assert results.exists()


def test_a_method_of_others_is_read_by_what_the_panel_shows(results):
    hopper = paper_figures.FIGURES["fig3"][0]
    for metric, score in ((paper_figures.RETURN, 7.0), (paper_figures.SUCCESS, 0.5)):
        panel = dataclasses.replace(hopper, metric=metric)
        drawn = paper_figures._read(paper_figures.LIBRARY_SAC, panel)
        assert drawn.seeds == ("3",)
        np.testing.assert_array_equal(drawn.scores, [[score]])
    assert results.exists()


def test_lines_are_read_at_common_steps(results):
    panel = paper_figures.FIGURES["fig3"][0]
    ours, *_, mbpo, _ = panel.lines
    seeds, steps, scores = paper_figures._read(ours, panel)
    assert seeds == ("0", "4")
    np.testing.assert_array_equal(steps, [100.0, 200.0, 300.0])
    np.testing.assert_array_equal(scores, [[10.0, 20.0, 30.0], [14.0, 24.0, 34.0]])
    np.testing.assert_array_equal(paper_figures._read(mbpo, panel).scores, [[0.0, 50.0]])
    assert results.exists()


@pytest.mark.parametrize(
    ("samples", "mujoco", "reason"),
    [(2, "3.8", r"num_samples is 1 there, 2 here"), (1, "3.9", "mujoco is 3.8")],
)
def test_what_was_played_differently_is_never_pooled(results, samples, mujoco, reason, tmp_path):
    keep(results / "Hopper-v5" / "pal", 7, {"leader": {"num_samples": samples}}, mujoco)
    with pytest.raises(UsageError, match=reason):
        paper_figures.draw("fig3", tmp_path / "out.png")


def test_without_any_run_nothing_is_drawn(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(paper_figures, "RESULTS", tmp_path / "results")
    with pytest.raises(SystemExit) as stopped:
        main(["figure", "fig4", "--out", str(tmp_path / "fig4.png")])
    assert stopped.value.code == 2
    assert "play them by --recompute" in capsys.readouterr().err


def test_every_line_is_a_study_or_published():
    for name, panels in paper_figures.FIGURES.items():
        assert set(paper_figures.studies_of(name)) <= set(STUDIES)
        for panel in panels:
            published = [line for line in panel.lines if line.folder == paper_figures.PUBLISHED]
            methods = {line.source for line in published}
            curves = [paper_figures._read(line, panel) for line in published]
            assert None not in curves, f"{panel.task}: {methods}"
