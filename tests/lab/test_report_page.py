"""The page in a real browser: it says nothing on the console, asks for nothing, and answers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from browser import Browser, Page, browsing, find_browser
from report_runs import evaluation, record

from duopoly.lab.report.page import page_of
from duopoly.runs.metrics import IMAGINED, RETURN

pytestmark = pytest.mark.skipif(
    find_browser() is None, reason="no Chromium: `make browser` brings one"
)

RETURNS = np.array([5, 210, 480, 790, 1310, 950, 980, 990, 1000, 995, 1000, 1234.0])
COLUMNS = {
    RETURN: RETURNS,
    "rollout/ep_rew_mean": RETURNS - 50,
    IMAGINED: RETURNS + 900,
    "game/return_gap": 900.0,
    "game/model_objective": np.geomspace(1, 1e-3, 12),
}
HOSTILE = "\"'><script>document.title = 'taken'</script><img src=x onerror=alert(2)>"


@pytest.fixture(scope="module")
def browser(tmp_path_factory) -> Iterator[Browser]:
    with browsing(tmp_path_factory.mktemp("browser")) as found:
        yield found


@pytest.fixture(scope="module")
def one(tmp_path_factory) -> Path:
    """The page of one run, whose command is hostile."""
    path = tmp_path_factory.mktemp("page") / "one.html"
    path.write_bytes(page_of([record(columns=COLUMNS, commands=(HOSTILE,))]))
    return path


@pytest.fixture(scope="module")
def many(tmp_path_factory) -> Path:
    """The page of several seeds and variants, with long names."""
    path = tmp_path_factory.mktemp("page") / "many.html"
    runs = [
        record(seed, columns=COLUMNS, evaluation=evaluation(1000.0 * seed), changes=changes)
        for seed in range(3)
        for changes in ({}, {"model.window": 7, "model.hidden": (8, 8), "policy.discount": 0.5})
    ]
    path.write_bytes(page_of(runs))
    return path


def tip(page: Page, chart: str) -> list[str]:
    """What is told of a chart beside the pointer, row by row; nothing where nothing is."""
    return page.run(
        "(tip => tip.hidden ? [] : [[tip.querySelector('strong')],"
        "...[...tip.querySelectorAll('tr')].map(row => [...row.cells])]"
        ".map(row => row.map(cell => cell.textContent.trim()).join(' ')))"
        f"(document.querySelector('#{chart} .tip'))"
    )


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [360, 1280])
def test_it_is_quiet_and_alone_and_as_wide_as_the_window(browser, one, many, width, dark):
    for path in (one, many):
        page = browser.open(path, width=width, dark=dark)
        assert page.run("document.documentElement.scrollWidth") == width
        for figure in page.run("[...document.querySelectorAll('.charts .chart')].map(x => x.id)"):
            page.hover(f"#{figure} .plot", 0.5)
            assert tip(page, figure)
            assert page.run("document.documentElement.scrollWidth") == width
        assert page.errors == []
        assert page.requests == [path.resolve().as_uri()]


def test_what_is_pointed_at_is_told(browser, one):
    page = browser.open(one)
    page.hover("#chart-return .plot", 5_100 / 12_000)
    assert tip(page, "chart-return") == ["5,000 steps, round 5", "PAL, seed 0 1,310"]
    cx, cy = page.run(
        "(one => [one.getAttribute('cx'), one.getAttribute('cy')])"
        "(document.querySelector('#chart-return .pointer circle'))"
    )
    assert float(cx[:-1]) == pytest.approx(100 * 5 / 12)
    # The dot is where the line is: the static picture has a mark at the same place.
    marks = page.run(
        "[...document.querySelectorAll('#chart-return .plot > svg > circle')]"
        ".map(one => [one.getAttribute('cx'), one.getAttribute('cy')])"
    )
    assert float(marks[4][0][:-1]) == pytest.approx(float(cx[:-1]), abs=0.1)
    assert float(marks[4][1][:-1]) == pytest.approx(float(cy[:-1]), abs=0.1)
    page.hover("#chart-imagined .plot", 0.99)
    assert tip(page, "chart-imagined") == [
        *("12,000 steps, round 12", "PAL, seed 0 1,184", "PAL, seed 0, imagined 2,134")
    ]
    assert tip(page, "chart-return") == []  # the pointer has left it
    page.hover("#chart-error .plot", 0.0)
    assert tip(page, "chart-error") == ["1,000 steps, round 1", "PAL, seed 0 1"]
    assert page.errors == []


def test_seeds_are_told_with_their_interval(browser, many):
    page = browser.open(many)
    page.hover("#chart-return .plot", 0.99)
    head, mean, *seeds = tip(page, "chart-return")
    assert head == "12,000 steps"
    assert mean == "PAL A, 3 seeds 1,234 1,234 to 1,234"
    assert seeds[:3] == [f"seed {seed} 1,234" for seed in range(3)]


def test_a_finger_and_the_keyboard_do_as_well(browser, one):
    page = browser.open(one, width=360)
    page.touch("#chart-return .plot", 2 / 12)
    assert tip(page, "chart-return")[0] == "2,000 steps, round 2"
    page.run("document.querySelector('#chart-success .plot, #chart-error .plot').focus()")
    assert tip(page, "chart-error")[0] == "12,000 steps, round 12"
    page.press("ArrowLeft")
    assert tip(page, "chart-error")[0] == "11,000 steps, round 11"
    page.press("Home")
    assert tip(page, "chart-error")[0] == "1,000 steps, round 1"
    page.press("ArrowLeft")
    told = page.run("document.activeElement.getAttribute('aria-valuetext')")
    assert told == "1,000 steps, round 1; PAL, seed 0 1"
    page.press("Escape")
    assert tip(page, "chart-error") == []
    assert page.errors == []


def shown(page: Page) -> list[str]:
    """The charts below the menu that can be seen."""
    return page.run(
        "[...document.querySelectorAll('.metrics .chart')]"
        ".filter(one => one.checkVisibility()).map(one => one.id)"
    )


def test_the_menu_changes_the_metric(browser, one):
    page = browser.open(one)
    assert shown(page) == ["chart-rollout-ep_rew_mean"]
    page.run(
        "(menu => { menu.value = 'chart-game-model_objective';"
        "menu.dispatchEvent(new Event('change')); })(document.querySelector('#metric'))"
    )
    assert shown(page) == ["chart-game-model_objective"]
    page.hover("#chart-game-model_objective .plot", 0.99)
    assert tip(page, "chart-game-model_objective")[1] == "PAL, seed 0 0.001"
    page.run("document.querySelector('.findings a').click()")
    assert shown(page) == ["chart-game-return_gap"]
    assert page.run("document.querySelector('#metric').value") == "chart-game-return_gap"
    assert page.errors == []


def test_nothing_that_data_says_is_run(browser, one):
    page = browser.open(one)
    assert page.run("document.title") == "Hopper-v5: PAL"
    assert page.run("document.images.length") == 0
    assert HOSTILE in page.run("document.querySelector('pre').textContent")
    # Even a script that came into the page would not be run, and nothing would be fetched.
    page.run(
        "document.body.append(Object.assign(document.createElement('script'),"
        "{textContent: 'document.title = 1'}), Object.assign(new Image(), {src: 'x.png'}))"
    )
    assert page.run("document.title") == "Hopper-v5: PAL"
    assert len(page.errors) == 2
    assert all("Content Security Policy" in error for error in page.errors)


def test_it_can_be_read_without_its_script(browser, one):
    page = browser.open(one, script=False)
    assert shown(page) == []
    page.run("document.querySelector('.metrics > summary').click()")
    assert len(shown(page)) == len(COLUMNS)
    drawn = page.run("document.querySelector('#chart-return path.main').getTotalLength()")
    assert drawn > 500
    assert not page.run("document.querySelector('.menu').checkVisibility()")


def test_on_paper_everything_is_open(browser, one):
    page = browser.open(one, dark=True)
    page.call("Emulation.setEmulatedMedia", media="print")
    page.run("window.dispatchEvent(new Event('beforeprint'))")
    assert len(shown(page)) == len(COLUMNS)
    assert page.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    line = "getComputedStyle(document.querySelector('path.main')).stroke"
    assert page.run(line) == "rgb(0, 114, 178)"
