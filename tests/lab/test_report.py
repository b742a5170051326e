"""The page on some runs: what is on it, what is escaped, what is refused."""

import base64
import dataclasses
import hashlib
import itertools
import json
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from colours import DEUTERANOPIA, lab_of
from report_runs import evaluation, record, write_run

from duopoly.cli import main as cli
from duopoly.lab import curves
from duopoly.lab.report import charts, looks, page, pictures
from duopoly.lab.report.chart import axes_of
from duopoly.lab.report.markup import Html, data, prose, tag
from duopoly.lab.report.page import MAX_BYTES, page_of
from duopoly.lab.report.record import Record, read_record
from duopoly.lab.report.tables import baseline
from duopoly.presets import preset
from duopoly.runs import atomic
from duopoly.runs.config import RunConfig
from duopoly.runs.errors import UsageError
from duopoly.runs.metrics import IMAGINED, RETURN
from duopoly.runs.rundir import RunDirectory
from duopoly.settings import Settings, override

LEARNS = np.linspace(0, 1_000, 12)
COLUMNS = {
    RETURN: LEARNS,
    "eval/success_rate": np.linspace(0, 0.5, 12),
    "rollout/ep_rew_mean": LEARNS - 50,
    IMAGINED: LEARNS + 50,
    "game/model_objective": np.geomspace(1, 1e-3, 12),
}
HOSTILE = "\"'><script>alert(1)</script><img src=x onerror=alert(2)>&amp;"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(500)
MP4 = b"\x00\x00\x00\x18ftypisom" + bytes(500)


class Reader(HTMLParser):
    """The elements of a page with their attributes, and its text."""

    def __init__(self, content: bytes) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(content.decode())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def test_a_page_has_all_of_a_run():
    run = record(columns=COLUMNS, evaluation=evaluation(987.0), commands=("duopoly train X",))
    seen = Reader(page_of([dataclasses.replace(run, versions={"jax": "0.1.2"})]))
    for part in (
        *("Hopper-v5", "Verdict", "Nothing stands out.", "mean return 987, success 50 %"),
        *("Return", "Success", "Imagined against real", "Error of the model", "logarithmic"),
        *("mean return of the evaluation episodes (mean action)", "game/model_objective"),
        *("987 ± 10, 50 %", "1,000, round 12", "duopoly train X", "jax 0.1.2"),
    ):
        assert part in seen.text, part
    figures = [one["id"] for one in seen.all("figure")]
    assert figures[:4] == ["chart-return", "chart-success", "chart-imagined", "chart-error"]
    assert "chart-game-model_objective" in figures
    assert len(set(figures)) == len(figures)


def test_every_known_metric_is_in_the_menu_with_its_meaning():
    seen = Reader(page_of([record(columns={**COLUMNS, "planner/return_mean": 3.0})]))
    tags = {*COLUMNS, "planner/return_mean"}
    values = {one["value"] for one in seen.all("option")}
    assert values == {f"chart-{name.replace('/', '-')}" for name in tags}
    for name in tags:
        assert charts.MEANINGS[name] in seen.text


def test_where_returns_do_not_compare_their_difference_is_shown():
    columns = {RETURN: LEARNS, IMAGINED: LEARNS, "imagined/horizon_share": 0.2}
    seen = Reader(page_of([record(columns={**columns, "game/return_gap": 5.0})]))
    assert "Imagined less real return" in seen.text
    assert "Imagined against real" not in seen.text


def test_seeds_are_one_curve_and_variants_are_not():
    runs = [record(seed, columns=COLUMNS) for seed in range(3)]
    other = [record(seed, columns=COLUMNS, changes={"model.window": 7}) for seed in range(2)]
    drawn = charts.drawn_of([*other, *runs])
    assert [group.label for group in drawn.groups] == ["PAL, window 10000", "PAL, window 7"]
    (returns, *_) = charts.headlines(drawn)
    assert [line.kind for line in returns.lines] == ["main"] + 3 * ["seed"] + ["main"] + 2 * [
        "seed"
    ]
    assert returns.lines[0].label == "PAL, window 10000, 3 seeds"
    assert returns.lines[0].band is not None
    np.testing.assert_allclose(returns.lines[0].values, LEARNS)
    assert {line.look for line in returns.lines} == {0, 1}


def test_what_takes_long_to_tell_apart_is_lettered():
    changes = {"model.window": 7, "model.hidden": (8, 8), "policy.discount": 0.5}
    runs = [record(columns=COLUMNS), record(columns=COLUMNS, changes=changes)]
    drawn = charts.drawn_of(runs)
    assert [group.label for group in drawn.groups] == ["PAL A", "PAL B"]
    assert "discount 0.5" in drawn.groups[1].variant
    assert "discount 0.5" in Reader(page_of(runs)).text


def test_a_line_knows_the_rounds_of_its_points():
    returns = LEARNS.copy()
    returns[[3, 5]] = np.nan
    (chart, *_) = charts.headlines(charts.drawn_of([record(columns={RETURN: returns})]))
    (line,) = chart.lines
    assert [*line.rounds] == [1, 2, 3, 5, 7, 8, 9, 10, 11, 12]
    assert [*line.steps] == [1_000 * number for number in line.rounds]


def test_a_long_run_is_thinned_and_the_page_says_so():
    num = 5_000
    run = record(num_rounds=num, columns={RETURN: np.arange(num)})
    (chart,) = charts.headlines(charts.drawn_of([run]))
    (line,) = chart.lines
    assert len(line.steps) == charts.MOST_POINTS
    assert (line.rounds[0], line.rounds[-1]) == (1, num)
    np.testing.assert_array_equal(line.values, np.array(line.rounds) - 1)
    assert chart.meaning.endswith("; of more rounds 300 are drawn, evenly spread")
    assert charts.all_metrics(charts.drawn_of([run]))[0].meaning.endswith("evenly spread")
    (short,) = charts.headlines(charts.drawn_of([record(columns={RETURN: LEARNS})]))
    assert short.meaning == charts.MEANINGS[RETURN]


def test_many_metrics_of_many_runs_stay_within_the_size():
    columns = {name: np.random.default_rng(0).normal(size=200) for name in charts.MEANINGS}
    runs = [record(seed, num_rounds=200, columns=columns) for seed in range(20)]
    assert len(page_of(runs)) < MAX_BYTES


def test_axes_hold_what_is_drawn():
    for columns in (COLUMNS, {RETURN: 5.0}, {RETURN: 0.0}, {RETURN: [1e29, *np.zeros(11)]}):
        for chart in charts.headlines(charts.drawn_of([record(columns=columns)])):
            axes = axes_of(chart)
            for line in chart.lines:
                assert np.all((axes.down(line.values) >= 0) & (axes.down(line.values) <= 1))
                assert np.all((axes.across(line.steps) >= 0) & (axes.across(line.steps) <= 1))


def test_the_model_error_alone_is_logarithmic():
    columns = {RETURN: np.geomspace(1, 1e4, 12), "game/model_objective": np.geomspace(1, 1e4, 12)}
    found = charts.headlines(charts.drawn_of([record(columns=columns)]))
    assert [axes_of(chart).is_log for chart in found] == [False, True]


def test_where_the_world_changed_is_marked():
    run = record(columns=COLUMNS)
    changed = dataclasses.replace(run.config, perturb=tuple(RunConfig.from_dict(
        {**run.config.to_dict(), "perturb": ["wind@3000", "hail@999999"]}).perturb))  # fmt: skip
    seen = page_of([dataclasses.replace(run, config=changed)]).decode()
    assert seen.count('class="change"') > 0
    assert ">wind</text>" in seen
    assert ">hail</text>" not in seen


def test_hostile_names_are_text():
    run = record(columns=COLUMNS, commands=(HOSTILE,), versions={HOSTILE: HOSTILE})
    config = dataclasses.replace(run.config, task=HOSTILE, algorithm=HOSTILE)
    path = run.path / HOSTILE
    seen = Reader(page_of([dataclasses.replace(run, config=config, path=path)]))
    names = [name for name, _ in seen.elements]
    assert "img" not in names
    assert not any(key.startswith("on") for _, found in seen.elements for key in found)
    own = [one for one in seen.all("script") if one.get("type") != "application/json"]
    assert len(own) == 1
    assert seen.text.count(HOSTILE) > 2


def test_letters_that_turn_text_around_are_spelled_out():
    assert tag("p", "abc\u202ecba\x07") == r"<p>abc\u202ecba\x07</p>"
    assert tag("p", Html("<b>x</b>"), title='"', hidden=True, id=None) == (
        '<p title="&quot;" hidden><b>x</b></p>'
    )
    assert prose("try `a<b`.") == "try <code>a&lt;b</code>."


def test_data_cannot_leave_its_element():
    made = data({"x": "</script><!--&"})
    assert "<" not in made[1:-10].replace('script type="application/json">', "")
    inner = made.removeprefix('<script type="application/json">').removesuffix("</script>")
    assert json.loads(inner) == {"x": "</script><!--&"}


def test_the_policy_allows_what_is_in_the_page_and_nothing_else():
    content = page_of([record(columns=COLUMNS)]).decode()
    policy = Reader(content.encode()).all("meta")[1]["content"]
    assert policy is not None
    assert policy.startswith("default-src 'none'; ")
    for name in ("style", "script"):
        (inner,) = re.findall(rf"<{name}>(.*?)</{name}>", content, re.DOTALL)
        hashed = base64.b64encode(hashlib.sha256(inner.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{hashed}'" in policy
    assert "http" not in policy
    assert "style=" not in content
    addresses = set(re.findall(r"""(?:href|src)="([^"]*)""", content))
    assert all(one.startswith(("#chart-", "data:")) for one in addresses)


def test_links_lead_to_charts_that_are_there():
    columns = {**COLUMNS, "game/return_gap": 900.0, "policy/round_kl": 9.0, "train/std": 0.1}
    columns["eval/sim_divergence"] = 1.0  # beside which nothing is known of those collected
    seen = Reader(page_of([record(columns=columns)]))
    places = {f"#{one['id']}" for one in seen.all("figure")}
    links = {one["href"] for one in seen.all("a")}
    assert {"#chart-game-return_gap", "#chart-policy-round_kl"} <= links <= places


def test_settings_that_differ_are_marked():
    usual = preset("Hopper-v5", "pal").settings
    run = record(columns=COLUMNS)

    def text(settings: Settings) -> str:
        config = dataclasses.replace(run.config, settings=settings)
        return page_of([dataclasses.replace(run, config=config)]).decode()

    changed = text(override(usual, {"model.window": 12_345, "model.hidden": (7, 8)}))
    mark = f'<span class="changed">12,345 <small>instead of {usual.model.window:,}</small></span>'
    assert mark in changed
    assert '<span class="changed">7 8 <small>' in changed
    assert changed.count('class="changed"') == 2 * 2  # among what differs, and among all
    assert "All settings are those of the preset." in text(usual)


def test_tasks_without_a_preset_are_compared_with_what_they_start_from():
    settings = Settings()
    for task in ("MountainCarContinuous-v0", "my own task", "module:Env-v0"):
        called, _ = baseline(RunConfig(task, "pal", 0, 100, settings))
        assert called == "settings of a task without a preset"
    known = RunConfig("Hopper-v5", "dhmbpo", 0, 100, preset("Hopper-v5", "dhmbpo").settings)
    assert baseline(known) == ("preset", known.settings)


def with_pictures(path) -> Record:
    run = write_run(path, record(columns=COLUMNS))
    run.diagnosis.mkdir()
    for name in pictures.DIAGNOSES:
        (run.diagnosis / name).write_bytes(PNG)
    run.video.write_bytes(MP4)
    return read_record(run)


def test_pictures_and_film_are_in_the_page(tmp_path):
    seen = Reader(page_of([with_pictures(tmp_path / "run")]))
    assert len(seen.all("img")) == len(pictures.DIAGNOSES)
    source = seen.all("video")[0]["src"]
    assert source is not None
    assert base64.b64decode(source.removeprefix("data:video/mp4;base64,")) == MP4
    assert {one["alt"] for one in seen.all("img")} == set(pictures.DIAGNOSES.values())


def test_what_has_no_room_is_named(tmp_path):
    run = with_pictures(tmp_path / "run")
    film = RunDirectory(run.path).video
    film.write_bytes(MP4 + bytes(MAX_BYTES))
    content = page_of([run])
    assert len(content) < MAX_BYTES
    seen = Reader(content)
    assert not seen.all("video")
    assert len(seen.all("img")) == len(pictures.DIAGNOSES)
    assert str(film) in seen.text


@pytest.mark.parametrize("name", ["video.mp4", "diagnosis/fan.png"])
def test_what_is_no_picture_is_refused(tmp_path, name):
    run = with_pictures(tmp_path / "run")
    (run.path / name).write_bytes(b"<svg onload=alert(1)>")
    with pytest.raises(UsageError, match=f"{name} is no (MP4|PNG)"):
        page_of([run])
    (run.path / name).unlink()
    (run.path / name).symlink_to(tmp_path)
    with pytest.raises(UsageError, match=name):
        page_of([run])


def test_more_than_fits_is_refused(monkeypatch):
    monkeypatch.setattr(page, "MAX_BYTES", 10_000)
    with pytest.raises(UsageError, match=r"more than 10,000: give it fewer runs"):
        page_of([record(columns=COLUMNS)])


def test_runs_that_do_not_belong_together_are_refused():
    run = record(columns=COLUMNS)
    with pytest.raises(UsageError, match="two runs of pal with seed 0"):
        page_of([run, run])
    other = dataclasses.replace(run, config=dataclasses.replace(run.config, task="Ant-v5"))
    with pytest.raises(UsageError, match="one page shows one task, not Ant-v5 and Hopper-v5"):
        page_of([run, other])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("evaluation.json", "{}", "evaluation.json: task is missing"),
        ("evaluation.json", "[1]", "evaluation.json: holds no record"),
        ("status.json", '{"state": "asleep"}', "status.json: state = 'asleep'"),
        ("diagnosis/diagnosis.json", '{"env_steps": "x"}', "env_steps must be a number"),
        ("diagnosis/diagnosis.json", '{"env_steps": 1, "open_loop_error": {"1": true}}', "1 must"),
        ("versions.json", "{", "versions.json is not valid JSON"),
        ("progress.csv", "a,b\n", "no column time/iterations"),
    ],
)
def test_damaged_files_are_one_line(tmp_path, capsys, name, content, said):
    run = write_run(tmp_path / "run", record(columns=COLUMNS))
    (run.path / name).parent.mkdir(exist_ok=True)
    (run.path / name).write_text(content)
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(run.path)])
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("duopoly report: ")
    assert said in line
    assert not run.report.exists()


def test_a_run_that_has_just_begun_is_shown(tmp_path, capsys):
    run = write_run(tmp_path / "run", record(num_rounds=0))
    run.progress.unlink()
    cli.main(["report", str(run.path)])
    assert capsys.readouterr().out == f"written to {run.report}\n"
    seen = Reader(run.report.read_bytes())
    assert "no finished round is recorded" in seen.text
    assert "too early to tell" in seen.text
    assert "Nothing stands out" not in seen.text
    assert not seen.all("figure")


def test_a_trained_run(finished_run, tmp_path, capsys):
    run = RunDirectory(tmp_path / "run")
    shutil.copytree(finished_run.path, run.path)
    cli.main(["report", str(run.path)])
    seen = Reader(run.report.read_bytes())
    assert "finished" in seen.text
    assert "180" in seen.text
    assert seen.all("figure")
    own = {read_record(RunDirectory(path)).path for path in (run.path, run.best)}
    for path in own:  # a saved agent, and where to write is chosen
        cli.main(["report", str(path), "--out", str(tmp_path / "deep" / "page.html")])
    assert (tmp_path / "deep" / "page.html").exists()
    capsys.readouterr()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x.png"], "x.png: must end in .html or .htm"),
        (["--out", "/proc/x/y.html"], "cannot write /proc/x/y.html"),
    ],
)
def test_no_place_for_the_page_is_one_line(tmp_path, capsys, words, said):
    run = write_run(tmp_path / "run", record(columns=COLUMNS))
    with pytest.raises(SystemExit) as stop:
        cli.main(["report", str(run.path), *words])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_the_report_of_several_runs_lies_here(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for seed in range(2):
        write_run(tmp_path / f"seed_{seed}", record(seed, columns=COLUMNS))
    cli.main(["report", "seed_0", "seed_1"])
    assert "PAL, 2 seeds" in Reader((tmp_path / "report.html").read_bytes()).text
    assert capsys.readouterr().out == "written to report.html\n"


def test_both_evaluations_of_a_run_are_read(tmp_path):
    run = write_run(tmp_path / "run", record(columns=COLUMNS))
    run.best.mkdir()
    for path, score in ((run.path, 1.0), (run.best, 2.0)):
        found = dataclasses.asdict(dataclasses.replace(evaluation(score), success_rate=None))
        RunDirectory(path).evaluation.write_bytes(atomic.dump_json(found))
    seen = read_record(run)
    assert seen.evaluation is not None
    assert seen.best is not None
    assert (seen.evaluation.mean_return, seen.best.mean_return) == (1.0, 2.0)
    assert seen.evaluation.success_rate is None


@pytest.mark.parametrize("seen", [np.eye(3), DEUTERANOPIA], ids=["all cones", "no green cones"])
def test_lines_are_told_apart_on_a_dark_page(seen):
    found = {**curves.LOOKS, **{f"other {i}": x for i, x in enumerate(curves._OTHER_LOOKS)}}
    colours = {name: lab_of(looks.ON_DARK[look.colour], seen) for name, look in found.items()}
    alike = [
        (one, other)
        for one, other in itertools.combinations(found, 2)
        if np.linalg.norm(colours[one] - colours[other]) < 20
        and looks.strokes(found[one]) == looks.strokes(found[other])
    ]
    assert not alike
    dark_card = lab_of("#1b1f25", seen)
    assert all(colour[0] - dark_card[0] > 40 for colour in colours.values())
