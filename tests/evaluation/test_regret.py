"""Regret: which decisions count, players whose regret is known to be 0, and the command."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from tests.support.playouts import positions, raw_keys
from zebjax import players
from zebjax import regret as regret_command
from zebjax.evaluation import matches, regret
from zebjax.players import base, exact

KEY = jax.random.key(4)


@pytest.fixture(scope="module")
def of_heuristic():
    return regret.measure(players.heuristic(), players.random(), 6, KEY, n=2)


def test_cheat_loses_nothing_in_the_true_deal():
    result = regret.measure(players.make("cheat"), players.random(), 4, KEY, n=2)
    assert result.all.in_deal == 0 and result.all.in_deal_ci95 == (0, 0)
    assert result.all.against_eq > 0  # what nobody could know is no fault by what can be known


def test_eq_loses_nothing_against_the_worlds_it_sees_and_something_against_others(monkeypatch):
    player = exact.player(2, "points")
    assert regret.measure(player, players.random(), 4, KEY, n=2).all.against_eq > 0
    monkeypatch.setattr(regret, "own_keys", lambda states, keys: keys)
    assert regret.measure(player, players.random(), 4, KEY, n=2).all.against_eq == 0


def test_every_real_decision_is_counted_once(of_heuristic):
    watched, seen = base.watch(players.heuristic())
    matches.play_deals(watched, players.random(), KEY, 0, 6)
    n = sum(len(slots) for _, _, slots in seen)
    assert of_heuristic.all.decisions == n and of_heuristic.all.deals == 6
    for parts in (of_heuristic.by_trick, of_heuristic.by_declaration):
        assert sum(part.decisions for part in parts.values()) == n
        lost = sum(part.decisions * (part.in_deal or 0) for part in parts.values())
        assert lost / n == pytest.approx(of_heuristic.all.in_deal)
    assert of_heuristic.all.in_deal > 0 and list(of_heuristic.by_trick) == list("123456")


def test_the_result_does_not_depend_on_batches(of_heuristic):
    shown = []
    again = regret.measure(
        players.heuristic(),
        players.random(),
        6,
        KEY,
        n=2,
        batch=4,
        progress=lambda *seen: shown.append(seen),
    )
    assert [done for done, _ in shown] == [0.5, 1] and shown[-1][1] == again.all
    for ours, theirs in (
        (again.all, of_heuristic.all),
        (again.by_trick["2"], of_heuristic.by_trick["2"]),
    ):
        assert ours.decisions == theirs.decisions
        assert ours.in_deal == theirs.in_deal and ours.against_eq == pytest.approx(
            theirs.against_eq
        )


def judged(judge, player, states, keys):
    """Wins lost in positions with a choice."""
    numbers = {hands.tobytes(): row for row, hands in enumerate(states.hands)}
    slots = player.choose(states, keys)
    return regret.analyse(states, keys, slots, 2, numbers, judge.p_win).wins_lost


@pytest.mark.parametrize("judge", ["eq:n=90", "eq:n=90,belief=small"])
def test_who_sees_all_worlds_loses_nothing_by_its_own_judgement(judge):
    """In the sixth trick there are at most 6! / 2!^3 = 90."""
    states, keys = positions(80, np.arange(20, 24)), raw_keys(80)
    legal = base.in_chunks(exact.legal_slots, states, keys)
    rows = np.flatnonzero(legal.sum(1) > 1)
    states, keys = base.gather(states, rows), keys[rows]
    judge = players.make(judge)
    by = {name: players.make(name) for name in ("heuristic", "eq:n=2")} | {"judge": judge}
    lost = {name: judged(judge, player, states, keys) for name, player in by.items()}
    assert all((each >= 0).all() for each in lost.values())
    assert lost["judge"].max() < 1e-8 and len(rows) > 20
    assert lost["heuristic"].mean() > lost["eq:n=2"].mean() > 0


def test_a_judge_adds_wins_and_changes_nothing_else(of_heuristic):
    shown = []
    judge = players.make("eq:n=3")
    result = regret.measure(
        players.heuristic(),
        players.random(),
        6,
        KEY,
        n=2,
        batch=4,
        progress=lambda done, lost: shown.append((done, lost)),
        judge=judge,
    )
    assert (result.judge, of_heuristic.judge) == ("eq:n=3", None)
    assert of_heuristic.all.wins_lost is of_heuristic.all.wins_lost_ci95 is None
    low, high = result.all.wins_lost_ci95
    assert 0 < result.all.wins_lost < 1 and low < result.all.wins_lost < high
    for parts in (result.by_trick, result.by_declaration):
        lost = sum(part.decisions * (part.wins_lost or 0) for part in parts.values())
        assert lost / result.all.decisions == pytest.approx(result.all.wins_lost)
    before = dataclasses.replace(result.all, wins_lost=None, wins_lost_ci95=None)
    assert dataclasses.astuple(before)[:3] == dataclasses.astuple(of_heuristic.all)[:3]
    assert before.against_eq == pytest.approx(of_heuristic.all.against_eq)
    # Within a batch too, with the loss before it.
    done = [share for share, _ in shown]
    assert done == sorted(done) and done[-1] == 1 and max(np.diff(done)) < 0.1
    assert shown[0][1].decisions == 0 and shown[-2][1].decisions < shown[-1][1].decisions
    assert shown[-1][1] == result.all


def test_a_judge_that_does_not_know_p_win_is_refused():
    for spec in (
        "heuristic",
        "eq:n=2,criterion=make",
        "eq:n=2,belief=small,adaptive=4",
        "eq:n=2,belief=small,points=0.02",
        "eq:n=2,belief=small,criterion=make",
    ):
        with pytest.raises(ValueError, match=f"judge: player '{spec}' does not say P"):
            regret.measure(players.random(), players.random(), 2, KEY, judge=players.make(spec))


def test_forfeited_games_have_no_decisions():
    quits = base.Player("quits", lambda states, keys: np.full(len(keys), -1), may_forfeit=True)
    result = regret.measure(quits, players.random(), 2, KEY, n=2)
    assert result.all.decisions == 0 and result.by_trick["1"].in_deal is None


def test_intervals_cover_95_percent_of_the_time():
    """Decisions of a deal that share its luck, and deals with 1 to 8 of them."""
    rng = np.random.default_rng(0)
    covered = []
    for _ in range(1_000):
        counts = rng.integers(1, 9, 60)
        deal = np.repeat(np.arange(60), counts)
        points = rng.exponential(1, 60)[deal] + rng.exponential(1, len(deal))
        zeros = np.zeros(len(deal), int)
        low, high = regret.loss(regret.Decisions(deal, zeros, zeros, *[points] * 3)).in_deal_ci95
        covered.append(low <= 2 <= high)
    assert 0.92 < np.mean(covered) < 0.97


def test_the_command(tmp_path, capsys):
    path = tmp_path / "regret.png"
    arguments = ["random", "--deals", "3", "--n", "2", "--seed", "1", "--plot", str(path)]
    assert regret_command.main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert (
        printed["player"] == "random" and printed["n_deals"] == 3 and printed["all"]["in_deal"] > 0
    )
    assert path.read_bytes().startswith(b"\x89PNG") and len(list(tmp_path.iterdir())) == 1
    assert regret_command.main(arguments) == 0
    out, error = capsys.readouterr()
    assert (
        "trick 6" in out
        and "no trump" in out
        and f"{printed['all']['in_deal']:.2f}" in out
        and "100 %" in error
    )


def test_the_command_with_a_judge(tmp_path, capsys):
    path = tmp_path / "regret.png"
    arguments = ["random", "--deals", "2", "--n", "2", "--judge", "eq:n=3"]
    assert regret_command.main([*arguments, "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    lost = printed["all"]["wins_lost"]
    assert printed["judge"] == "eq:n=3" and len(printed["all"]["wins_lost_ci95"]) == 2
    assert printed["by_trick"]["1"]["wins_lost"] > 0
    assert regret_command.main([*arguments, "--plot", str(path)]) == 0
    out, error = capsys.readouterr()
    assert (
        out.startswith("points and wins lost per decision")
        and "judged by eq:n=3" in out
        and "wins lost in %" in out
    )
    assert f" {100 * lost:.2f} ± " in out and f" {100 * lost:.2f} ± " in error
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["rndom"],
            "zebjax regret: player 'rndom': unknown kind 'rndom'; did you mean 'random'?\n",
        ),
        (["random", "--judge", "eq5"], "zebjax regret: player 'eq5': unknown kind 'eq5'; "),
        *(
            (
                ["random", "--judge", judge],
                f"zebjax regret: --judge: player {judge!r} does not say P(win) of every move; "
                "expected eq:n=N, with belief= and rollouts= or without, and not with "
                "criterion=points or make, points=, opening= or adaptive=\n",
            )
            for judge in ("random", "cheat", "small", "zeb:bundled", "eq:criterion=points")
        ),
        (
            ["random", "--deals", "1"],
            "zebjax regret: --deals: expected a whole number from 2 to 10000000, got '1'\n",
        ),
        (["random", "--plt", "x"], "zebjax regret: unknown option '--plt'; did you mean --plot?\n"),
        (
            ["random", "--plot", "no/such/x.png"],
            "zebjax regret: --plot: the folder 'no/such' does not exist\n",
        ),
        (
            ["random", "--plot", "x.pdf"],
            "zebjax regret: --plot: expected a name that ends in .png, got 'x.pdf'\n",
        ),
        ([], "zebjax regret: expected PLAYER; see zebjax regret --help\n"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(arguments, sentence, capsys):
    try:
        status = regret_command.main(arguments)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2 and error.startswith(sentence) and error.count("\n") == 1


def test_help_has_an_example_that_works(capsys):
    with pytest.raises(SystemExit, match="0"):
        regret_command.main(["--help"])
    shown = capsys.readouterr().out
    lines = shown.split("examples:\n")[1].splitlines()
    parsed = [regret_command.parser().parse(line.split()[2:]) for line in lines]
    assert [each.player for each in parsed] == ["heuristic", "small"] and "eq[:n=100" in shown
    assert players.make(parsed[1].judge).p_win is not None
