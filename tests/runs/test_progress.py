"""What the terminal shows of a round."""

import io
import math

from rich.console import Console

from duopoly.runs.progress import describe, live_progress, live_progress_of_many

METRICS = {
    "time/iterations": 3,
    "time/total_timesteps": 8_000,
    "time/time_elapsed": 65.0,
    "eval/mean_reward": 12.34,
    "eval/success_rate": math.nan,
}


def test_what_is_unknown_is_left_out():
    line = describe(METRICS)
    assert "8,000 steps" in line
    assert "return      12.3" in line
    assert line.endswith("1:05")
    assert "success" not in line
    assert "success   50%" not in describe(METRICS)
    assert "success  50%" in describe({**METRICS, "eval/success_rate": 0.5})


def test_many_refused_steps_are_told():
    told = {**METRICS, "policy/num_steps": 1_000}
    assert "1,000 policy" not in describe({**told, "policy/refused_steps": 100})
    assert "749 of 1,000 policy steps refused" in describe({**told, "policy/refused_steps": 749})
    assert "refused" not in describe({**told, "policy/refused_steps": math.nan})
    assert "refused" not in describe(METRICS)


def test_imagined_and_real_returns_stand_together_only_over_like_lengths():
    told = {**METRICS, "imagined/return_mean": 7.0}
    assert "imagined       7.0" in describe(told)
    assert "imagined       7.0" in describe({**told, "imagined/horizon_share": 1.0})
    for share in (0.15, 8.0):
        assert "imagined" not in describe({**told, "imagined/horizon_share": share})


def test_without_a_terminal_a_line_per_round():
    out = io.StringIO()
    with live_progress("pal", 0, 10_000, Console(file=out)) as live:
        live.tell(METRICS)
        live.phase("improving")
        live.tell(METRICS)
    assert out.getvalue() == 2 * (describe(METRICS) + "\n")


def test_in_a_terminal_a_bar_below():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with live_progress("pal Hopper-v5", 0, 10_000, console) as live:
        live.tell(METRICS)
    assert describe(METRICS) in out.getvalue()
    assert "8,000 of 10,000 steps" in out.getvalue()


def test_in_a_terminal_of_80_columns_the_bar_says_what_is_done():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80)
    with live_progress("pal Hopper-v5 seed 0", 0, 50_000, console) as live:
        live.phase("fitting the model")
    shown = out.getvalue()
    assert "pal Hopper-v5 seed 0: starting" in shown
    assert "pal Hopper-v5 seed 0: fitting the model" in shown
    assert "0 of 50,000 steps" in shown


def test_several_seeds_have_lines_of_their_own_and_one_bar():
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120)
    with live_progress_of_many("pal", {3: 0, 12: 8_000}, 10_000, console) as live:
        live(3).tell(METRICS)
    assert f"seed  3   {describe(METRICS)}" in out.getvalue()
    assert "16,000 of 20,000 steps" in out.getvalue()
