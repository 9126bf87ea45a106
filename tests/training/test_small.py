"""Policy iteration of the small network: labels, gradients, and a run that resumes."""

import dataclasses
import re

import numpy as np
import pytest
import safetensors.numpy

from tests.support.killed import Killed, killed_at_rename
from tests.support.small import add_belief_gradient, net_of_seed, outputs_in_python
from zebjax import iterate
from zebjax.small import features, network, policy, rules, storage
from zebjax.small.network import Widths, new_scratch
from zebjax.training import (
    labelled_games,
    small_descent,
    small_fit,
    small_folder,
    small_games,
    small_match,
    small_run,
)
from zebjax.training.small_config import Exploration, Settings

# Slow: most of it is compiling two large kernels. tests/small covers rules, features and layers.
pytestmark = pytest.mark.slow
TINY = Settings(rounds=2, games=240, window=2, hidden=8, second=4, move=4, passes=3.0)


@pytest.fixture(scope="module")
def games():
    return small_games.play(net_of_seed(3), 40, (1,), Exploration(), 1)


def decisions(games):
    """(row before, legal ranks, labels, game, ply) of every labelled decision."""
    for number in range(len(games.plays)):
        row = np.zeros(rules.SIZE, np.int64)
        rules.start(row, games.hands[number], games.declaration[number], games.leader[number])
        for ply in range(28):
            legal = int(rules.legal_tiles(row))
            ranks = [rank for rank in range(28) if legal >> rank & 1]
            assert games.plays[number, ply] in ranks
            if len(ranks) > 1:
                yield row.copy(), ranks, games.labels[number, ply, : len(ranks)], number, ply
            else:
                assert (games.labels[number, ply] == -1).all()
            rules.play(row, games.plays[number, ply])
        assert row[rules.POINTS : rules.POINTS + 2].sum() == 42


def test_every_decision_is_labelled_by_the_outcome_of_each_move(games):
    n = 0
    for row, ranks, labels, number, ply in decisions(games):
        assert (labels >= 0).all() and (labels <= 42).all()
        assert (games.labels[number, ply, len(ranks) :] == -1).all()
        taken = row[rules.POINTS + (rules.mover(row) & 1)]
        assert (labels >= taken).all()
        n += 1
    assert n > 400


def test_a_label_is_the_rollout_of_a_greedy_policy():
    """Without temperature a rollout can be repeated move by move."""
    net = net_of_seed(3)
    greedy = Exploration(0.0, 0.0, 0.0)
    games = small_games.play(net, 10, (2,), greedy, 1)
    scores, scratch = network.scorer(net), None
    values = labelled_games.lessons(games, 0.3, "x").value
    for row, ranks, labels, number, ply in decisions(games):
        scratch = new_scratch(scores) if scratch is None else scratch
        chosen = ranks.index(games.plays[number, ply])
        after, me = row.copy(), rules.mover(row)
        for later in range(ply, 28):  # the game itself goes on as the rollout of the move played
            rules.play(after, games.plays[number, later])
        assert labels[chosen] == after[rules.POINTS + (me & 1)]
        assert values[number, ply] == np.sign(int(labels[chosen]) - 21)


def test_threads_do_not_change_games(games):
    again = small_games.play(net_of_seed(3), 40, (1,), Exploration(), 2)
    for name, field in vars(games).items():
        np.testing.assert_array_equal(getattr(again, name), field)


def loss_in_python(params, games):
    """The loss that `gradient` differentiates, summed over decisions, in float64."""
    net, total = small_descent.net_of(params), 0.0
    for row, ranks, labels, _, _ in decisions(games):
        both = outputs_in_python(net, row).reshape(2, 28)[:, ranks]
        points = labels.astype(float)
        for error in (both[0] - np.sign(points - 21), both[1] - (points - 21) / 10):
            total += ((error - error.mean()) ** 2).sum() / 4 + 0.2 * error.mean() ** 2
    return total


def test_the_gradient_is_that_of_the_loss(games):
    params = small_descent.init(Widths(8, 4, 4, 4), 0)
    rng = np.random.default_rng(0)
    params = small_descent.Params(
        *(np.ascontiguousarray(p + rng.normal(0, 0.1, p.shape), np.float32) for p in params)
    )
    params.by_tile[~np.isin(np.arange(features.N_FEATURES), small_descent.tile_rows())] = 0
    few = games.where(np.arange(10))
    grad = small_descent.new_gradient(small_descent.net_of(params))
    small_fit.gradient(small_descent.net_of(params), few, np.arange(10)[:, None], grad, 1)
    slopes = small_descent.slopes_of(grad)
    assert grad.losses[:, 0].sum() == len(list(decisions(few)))
    expected, net = np.zeros_like(params.beliefs), small_descent.net_of(params)
    loss = sum(add_belief_gradient(net, row, expected) for row, *_ in decisions(few))
    assert grad.losses[:, 5].sum() == pytest.approx(loss, rel=1e-4)
    np.testing.assert_allclose(slopes.beliefs, expected, atol=1e-3)
    for name in params._fields[:-1]:  # the beliefs have a loss of their own
        slope = getattr(slopes, name).reshape(-1)
        place = int(np.abs(slope).argmax())
        step = 1e-3
        ends = []
        for sign in (1, -1):
            moved = small_descent.Params(*(p.astype(np.float64) for p in params))
            getattr(moved, name).reshape(-1)[place] += sign * step
            ends.append(loss_in_python(moved, few))
        expected = (ends[0] - ends[1]) / (2 * step)
        assert slope[place] == pytest.approx(expected, rel=0.03), name


def test_a_fit_learns_the_games_and_repeats(games):
    params, again = (
        small_descent.init(Widths(8, 4, 4, 4), 0),
        small_descent.init(Widths(8, 4, 4, 4), 0),
    )
    how = small_descent.Fit(passes=60, games=20, rate=5e-3)
    errors = small_fit.fit(params, games, how, 1, threads=1)
    assert errors[-10:, 2].mean() < 0.7 * errors[:10, 2].mean()
    small_fit.fit(again, games, how, 1, threads=2)
    for one, other in zip(params, again, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_stopped_run_resumes_to_the_same_network(tmp_path):
    def run(out, settings):
        done = []
        earlier.clear()
        small_run.run(settings, out, 1, lambda part, doing: None, earlier.extend, done.append)
        return [each.round for each in done]

    earlier = []
    assert run(tmp_path / "whole", TINY) == [1, 2]
    parts = tmp_path / "parts"
    assert run(parts, dataclasses.replace(TINY, rounds=1)) == [1]
    assert run(parts, TINY) == [2] and [each.round for each in earlier] == [1]
    logged = small_folder.read_log(parts, 2)
    assert [each._replace(seconds=0) for each in logged] == [
        each._replace(seconds=0) for each in small_folder.read_log(tmp_path / "whole", 2)
    ]
    again, net = (storage.load(out / "round_02.safetensors") for out in (parts, tmp_path / "whole"))
    for one, other in zip(again, net, strict=True):
        np.testing.assert_array_equal(one, other)
    assert run(parts, TINY) == []
    assert run(parts, dataclasses.replace(TINY, rounds=1)) == []  # keeps what it has
    assert (parts / "round_02.safetensors").exists()
    (parts / "params_02.safetensors").write_bytes(b"damaged")
    message = r"params_02.safetensors: not a readable safetensors file .*; put it back, or start"
    with pytest.raises(ValueError, match=message):
        run(parts, TINY)


def test_games_that_are_damaged_or_missing_are_played_again(tmp_path):
    settings = dataclasses.replace(TINY, window=4)

    def run(rounds):
        said = []
        now = dataclasses.replace(settings, rounds=rounds)
        small_run.run(
            now, tmp_path, 1, lambda part, doing: said.append(doing), lambda r: None, lambda r: None
        )
        return said

    run(2)
    of_round = {n: tmp_path / f"games_{n:02}_000.safetensors" for n in (1, 2)}
    games_before = {n: labelled_games.read(file) for n, file in of_round.items()}
    of_round[1].write_bytes(b"damaged")
    message = (
        rf"^{of_round[1]}: not a readable safetensors file \([^/]*\); delete it, and the same "
        "command plays these games again$"
    )
    with pytest.raises(ValueError, match=message):
        run(3)
    for file in of_round.values():
        file.unlink()
    network = tmp_path / "round_01.safetensors"
    network.rename(tmp_path / "aside")
    with pytest.raises(ValueError, match="it must play games of round 2 again, as their file is"):
        run(3)
    (tmp_path / "aside").rename(network)
    assert "round 3: playing games of round 2 again" in run(3)
    for n, file in of_round.items():
        again = labelled_games.read(file)
        np.testing.assert_array_equal(again.hands, games_before[n].hands)
        # The stored network is rounded, so only the first round's games are the same to the tile.
        assert (again.plays == games_before[n].plays).mean() >= (1.0 if n == 1 else 0.9)


def test_a_run_killed_between_any_two_files_resumes_to_the_same_files(tmp_path, monkeypatch):
    monkeypatch.setattr(small_run, "MATCH_DEALS", 20)

    def run(out):
        small_run.run(TINY, out, 1, lambda part, doing: None, lambda earlier: None, lambda r: None)

    def left(out):
        arrays = {file.name: safetensors.numpy.load_file(file) for file in out.glob("*_*")}
        return (
            {name: {key: a.tobytes() for key, a in each.items()} for name, each in arrays.items()},
            [each._replace(seconds=0) for each in small_folder.read_log(out, 2)],
            (out / "curve.png").exists(),
        )

    run(tmp_path / "whole")
    for number in range(11):  # settings, and five files a round
        out = tmp_path / str(number)
        with monkeypatch.context() as patch, pytest.raises(Killed):
            killed_at_rename(number, patch)
            run(out)
        run(out)
        assert left(out) == left(tmp_path / "whole")
    with monkeypatch.context() as patch:
        killed_at_rename(11, patch)
        run(tmp_path / "all")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda a: a | {"plays": a["plays"] + 28}, r"array plays: expected 0\.\.27"),
        (
            lambda a: a | {"labels": a["labels"][:, :27]},
            r"array labels: expected int8 \(10, 28, 7\)",
        ),
        (lambda a: a | {"leader": a["leader"].astype(np.int64)}, "array leader: expected int8"),
        (lambda a: {"plays": a["plays"]}, "expected the arrays hands, declaration, leader"),
    ],
)
def test_damaged_games_are_refused_when_a_run_resumes(tmp_path, games, change, message):
    few = vars(games.where(np.arange(10)))
    safetensors.numpy.save_file(change(dict(few)), tmp_path / "games_01_000.safetensors")
    with pytest.raises(ValueError, match=message):
        labelled_games.read(tmp_path / "games_01_000.safetensors")


def test_a_network_that_is_not_finite_is_not_written(tmp_path):
    net = small_descent.net_of(small_descent.init(Widths(8, 4, 4, 4), 0))
    net.second[0, 0] = 1e6  # more than float16 holds
    with pytest.raises(ValueError, match="array second is not finite, so nothing is written"):
        storage.save(tmp_path / "net.safetensors", net, {})
    assert not list(tmp_path.iterdir())


def test_the_command_trains_and_says_what_to_try(tmp_path, capsys):
    options = ["--rounds", "1", "--games", "80", "--hidden", "8", "--second", "4", "--move", "4"]
    assert iterate.main([str(tmp_path / "out"), *options]) == 0
    shown = capsys.readouterr().out
    header = (
        " error of values .*\nround      games  % vs random     before   after     before   after\n"
    )
    assert re.search(header + r" +1 +10 +\d\d\.\d ± \d\.\d( +\d\.\d{3}){4}\n", shown)
    assert max(map(len, shown.splitlines()[:3])) < 80
    assert (tmp_path / "out" / "curve.png").stat().st_size > 10_000
    last = tmp_path / "out" / "round_01.safetensors"
    assert f"complete: 1 round, 10 games, in {tmp_path / 'out'}; more with --rounds" in shown
    assert f"next: zebjax arena small:{last} vs heuristic" in shown
    assert iterate.main([str(tmp_path / "out"), *options]) == 0
    shown_again = capsys.readouterr().out
    assert shown_again == shown.replace("complete", "all rounds were there already\ncomplete")
    assert iterate.main([str(tmp_path / "other"), *options, "--rate", "1e-4"]) == 2
    assert "--rate: expected at least --last-rate (0.003), got 0.0001" in capsys.readouterr().err
    assert not (tmp_path / "other").exists()
    with pytest.raises(SystemExit, match="2"):
        iterate.main([str(tmp_path / "out"), *options, "--hidden", "9"])
    assert "--hidden: expected a multiple of 4 from 4 to 4096, got '9'" in capsys.readouterr().err


def test_a_match_against_random_is_a_replay_of_both_games():
    """By the rules, tile by tile; a network that knows nothing ties, one that learned wins."""
    net, n = net_of_seed(3), 30
    margins = small_match.against_random(net, n, (4,), 1)
    np.testing.assert_array_equal(small_match.against_random(net, n, (4,), 2), margins)
    scores, scratch = network.scorer(net), new_scratch(network.scorer(net))
    hands, declaration, leader, seeds = small_games.deal(n, (4,))
    row = np.zeros(rules.SIZE, np.int64)
    for number in range(n):
        for team in range(2):
            seed = seeds[number : number + 1].copy()
            rules.start(row, hands[number], declaration[number], leader[number])
            for _ in range(28):
                legal = int(rules.legal_tiles(row))
                ranks = [rank for rank in range(28) if legal >> rank & 1]
                if rules.mover(row) % 2 == team:
                    policy.evaluate(scores, row, scratch)
                    rules.play(row, max(ranks, key=lambda rank: scratch.out[rank]))
                else:
                    rules.play(row, ranks[int(policy.uniform(seed) * len(ranks))])
            points = row[rules.POINTS : rules.POINTS + 2]
            assert margins[number, team] == points[team] - points[1 - team]
    learned = small_match.against_random(storage.load("small"), 2000, (5,), 2)
    assert 0.78 < ((np.sign(learned) + 1) / 2).mean() < 0.83  # 80.6 % in the README


def test_the_policy_prefers_the_highest_score():
    scores = np.array([0.0, 3.0, 1.0, 5.0], np.float32)
    seed = np.zeros(1, np.uint64)
    assert policy.best(scores, 0b0111) == 1 and policy.draw(scores, 0b1101, 0.0, seed) == 3
    draws = np.bincount([policy.draw(scores, 0b0111, 2.0, seed) for _ in range(4000)], minlength=4)
    expected = np.exp(scores[:3] / 2) / np.exp(scores[:3] / 2).sum()
    np.testing.assert_allclose(draws[:3] / 4000, expected, atol=0.04)
