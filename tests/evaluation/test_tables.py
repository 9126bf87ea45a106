"""The tables of `zebjax arena` and `zebjax belief` fit the terminal without wrapping a row."""

import io
import itertools

import numpy as np
import pytest
from rich.console import Console

from zebjax import belief as command
from zebjax.evaluation import belief, ladder, ratings, tables
from zebjax.evaluation.matches import MatchResult

PLAYERS = ("eq:n=100", "eq:n=50", "zeb:runs/quickstart@8,sims=16,worlds=8", "random", "heuristic")


def standings(players):
    results = [
        MatchResult(a, b, 200, 0.646, 0.0196, (0.608, 0.685), 9.4, 0.8, (7.8, 10.9), 2951)
        for a, b in itertools.combinations(players, 2)
    ]
    pairs = tuple(ladder.Played(result, np.zeros((200, 2)), 1.0, False) for result in results)
    rated = tuple(
        ratings.Rating(1500.0 - rank, 10.0, (1480.0, 1520.0)) for rank in range(len(players))
    )
    return ladder.Standings(
        tuple(players), pairs, rated, tuple(800 for _ in players), None, has_prior=False
    )


def printed(table, width):
    out = Console(file=io.StringIO(), width=width)
    out.print(table)
    return [line.rstrip() for line in out.file.getvalue().splitlines() if line.strip()]


@pytest.mark.parametrize("width", [80, 100, 140])
@pytest.mark.parametrize("n", [2, 5, 9, 11])
def test_a_player_is_one_row_of_the_matrix(width, n):
    made = standings([f"{PLAYERS[i % 5]},n_trick1={i}" for i in range(n)])
    lines = printed(tables.matrix_table(made, width), width)
    assert len(lines) == 2 + n and max(map(len, lines)) <= width
    assert not any("…" in line for line in lines)
    assert len(lines[2].split()) >= n  # its number, and a rate against every other
    assert all(line.split()[0] == str(rank) for rank, line in enumerate(lines[2:], 1))


def test_a_matrix_leaves_out_intervals_then_names_then_decimals():
    made = standings(PLAYERS)

    def first_row(width):
        return printed(tables.matrix_table(made, width), width)[2].split()

    assert first_row(100) == ["1", "eq:n=100", *["64.6±3.9"] * 4]
    assert first_row(80) == ["1", "eq:n=100", *["64.6"] * 4]
    assert first_row(60) == ["1", *["64.6"] * 4]
    assert first_row(32) == ["1", *["65"] * 4]
    # The numbers are explained by the ratings, in the same order.
    rated = printed(tables.rating_table(made), 60)
    assert [line.split()[:2] for line in rated[3:5]] == [["1", "eq:n=100"], ["2", "eq:n=50"]]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_the_belief_table_fits(width):
    one = belief.Score(0.417, 1.0543, 0.6398, 0.0329)
    results = {
        "all": belief.Comparison(1_234_567, one, one, -0.0264, (-0.0509, -0.0019)),
        "1": belief.Comparison(4_261, one, one, 0.0021, None),
        "2": None,
    }
    lines = printed(command._table("belief of bundled", results), width)
    assert max(map(len, lines)) <= width and not any("…" in line for line in lines)
    rows = [line.split() for line in lines if "network" in line or "marginal" in line]
    numbers = ["41.7", "1.0543", "0.6398", "0.0329"]
    assert rows == [
        ["all", "1,234,567", "network", *numbers, "-0.0264"],
        ["marginal", *numbers, "±", "0.0245"],
        ["1", "4,261", "network", *numbers, "+0.0021"],
        ["marginal", *numbers],
    ]
