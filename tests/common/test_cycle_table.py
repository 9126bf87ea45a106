"""The table of a run's cycles fits its terminal and has no empty column."""

import io

import pytest
from rich.console import Console

from zebjax.common import console, cycle_table

ROW = {
    "cycle": 3740,
    "train/policy_loss": 0.412,
    "train/value_loss": 0.881,
    "train/belief_loss": 1.077,
    "train/belief_accuracy_hidden": 0.417,
    "train/belief_accuracy_marginal": 0.401,
    "stats/total_games": 1_200_000,
    "perf/games_per_s": 111.5,
    "perf/updates_per_s": 23.1,
    "stats/replay_buffer_selfplay": 1_000_000,
    "eval/vs_random_win_rate": 0.712,
    "eval/vs_random_win_rate_ci95": 0.011,
}
AUX = {
    "stats/selfplay_updates": 238,
    "stats/eval_aux_updates": 12,
    "stats/eval_aux_policy_w": 0.5,
}
ALL = ["cycle", "policy", "value", "belief", "hidden % (counted)", "games", "games/s", "updates/s"]
ALL += ["buffer", "% vs random", "left"]


def cells(row, seconds_left=5226.0):
    return console._cells(row, seconds_left)


def printed(rows, width):
    """The lines of the table in a terminal of this width."""
    out = Console(file=io.StringIO(), width=width)
    out.print(cycle_table.table("quickstart", rows, 12, width))
    return out.file.getvalue().splitlines()


@pytest.mark.parametrize("width", [40, 80, 100, 140])
@pytest.mark.parametrize("more", [{}, AUX], ids=["alone", "with eval-aux"])
def test_a_cycle_is_one_line_of_the_terminal(width, more):
    rows = [cells(ROW | more)] * 3
    lines = printed(rows, width)
    assert max(map(len, lines)) <= width
    assert sum("3740" in line for line in lines) == 3
    assert not any("…" in line for line in lines if "3740" in line)
    assert all("71.2 ± 1.1" in line for line in lines if "3740" in line)


def test_the_wider_the_terminal_the_more_columns():
    rows = [cells(ROW)]
    assert cycle_table.fitting(rows, 140) == ALL
    assert cycle_table.fitting(rows, 100) == [name for name in ALL if name != "updates/s"]
    at_80 = [name for name in ALL if name not in ("updates/s", "buffer", "games/s")]
    assert cycle_table.fitting(rows, 80) == at_80
    with_moves = cells(ROW | {"train/move_value_error": 0.712})
    wide = cycle_table.fitting([with_moves], 140)
    assert with_moves["moves"] == "0.712" and [name for name in wide if name != "moves"] == ALL
    assert cycle_table.fitting(rows, 3) == ["cycle"]
    assert "too narrow for: games/s, updates/s, buffer" in "\n".join(printed(rows, 80))
    assert "too narrow" not in "\n".join(printed(rows, 140))


def test_columns_that_are_empty_in_this_run_are_left_out():
    first = {name: ROW[name] for name in ROW if name.startswith(("cycle", "eval/", "stats/total"))}
    assert cycle_table.fitting([cells(first, None)], 140) == ["cycle", "games", "% vs random"]
    # One row with eval-aux is enough, also when newer rows have none.
    assert "mix(self/eval)" in cycle_table.fitting([cells(ROW | AUX), cells(ROW)], 160)
    assert cycle_table.fitting([], 80) == []


def test_an_unknown_column_is_the_first_to_go():
    rows = [{"new": "1" * 60, **cells(ROW)}]
    assert "new" not in cycle_table.fitting(rows, 140)
    assert "new" in cycle_table.fitting(rows, 170)
