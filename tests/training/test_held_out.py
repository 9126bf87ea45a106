"""Games that are never trained on: which they are, where they stay, and the losses on them."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY, Quiet
from zebjax import network, record
from zebjax.training import cycle_row, held_out, metrics, saved_state, sources
from zebjax.training import run as training
from zebjax.training import session as sessions

SHARE = 0.25
SETTINGS = dataclasses.replace(TINY, replay=dataclasses.replace(TINY.replay, held_out=SHARE))


def random_deals(n):
    blank = jax.tree.map(np.array, record.empty(n))
    hands = np.random.default_rng(0).permuted(np.tile(np.arange(28, dtype=np.int8), (n, 1)), axis=1)
    return blank._replace(hands=hands.reshape(n, 4, 7))


def deals(records):
    return {hands.tobytes() for hands in np.asarray(records.hands)}


@pytest.fixture
def run():
    state = sessions.fresh_state(SETTINGS, network.init(TINY.network, jax.random.key(0)), 0)
    progress = sessions.Progress(first_cycle=0, cycle=9, total_games=0, updates_in_cycle=6)
    return sessions.Session(SETTINGS, Quiet(), lambda: False, state, progress, False)


def test_the_deal_decides_and_the_share_is_met():
    games = random_deals(4000)
    held = held_out.is_held(games, SHARE)
    assert abs(held.mean() - SHARE) < 0.03  # four standard errors
    again = held_out.is_held(
        games._replace(step_end=games.step_end + 5, slots=games.slots + 1), SHARE
    )
    np.testing.assert_array_equal(held, again)
    more = held_out.is_held(games, 2 * SHARE)
    assert more[held].all() and more.sum() > 1.5 * held.sum()
    assert not held_out.is_held(games, 0).any()


def test_no_game_is_in_both(run, games):
    for start in (0, 8, 16):
        sources.add_selfplay(run, jax.tree.map(lambda leaf, i=start: leaf[i : i + 8], games))
    held = held_out.is_held(games, SHARE)
    assert 0 < held.sum() < 12
    assert deals(run.held_out) == deals(jax.tree.map(lambda leaf: leaf[held], games))
    size = int(run.state.ring.size)
    in_ring = jax.tree.map(lambda leaf: np.asarray(leaf)[:size], run.state.ring.records)
    assert deals(in_ring) == deals(games) - deals(run.held_out)
    assert run.progress.total_games == 24 and run.progress.ring_games["selfplay"] == size
    assert run.progress.ingest["selfplay_kept_examples"] == 28 * size


def test_as_many_are_kept_as_are_as_old_as_the_ring():
    n = 7  # a quarter of 25 games
    held = held_out.none()
    games = random_deals(20)
    for start in range(0, 20, 3):
        part = jax.tree.map(lambda leaf, i=start: leaf[i : i + 3], games)
        held = held_out.added(SETTINGS, held, part)
    np.testing.assert_array_equal(held.hands, games.hands[-n:])
    assert len(held_out.added(TINY, held, games).slots) == 0  # switched off


def test_they_are_saved_with_the_run(tmp_path, run, games):
    run.settings = dataclasses.replace(SETTINGS, runs=str(tmp_path))
    sources.add_selfplay(run, games)
    assert len(run.held_out.slots)
    saved_state.save(run)
    again = saved_state.open_session(run.settings, Quiet(), lambda: False)
    jax.tree.map(np.testing.assert_array_equal, again.held_out, run.held_out)
    assert run.progress == again.progress
    (file,) = run.folder.rglob("held_out.npz")
    file.write_bytes(b"damaged")
    with pytest.raises(ValueError, match=r"held_out\.npz: cannot be read"):
        saved_state.open_session(run.settings, Quiet(), lambda: False)


def test_losses_are_measured_on_both_kinds_of_games(run, games):
    sources.add_selfplay(run, games)
    # A network of zeros knows nothing: value 0, and all seats equally likely.
    params = jax.tree.map(jax.numpy.zeros_like, run.state.learner.params)
    run.state = run.state._replace(learner=run.state.learner._replace(params=params))
    row = cycle_row.of_held_out(run)
    assert row["stats/replay_buffer_held_out"] == 28 * len(run.held_out.slots)
    assert row.keys() == {"stats/replay_buffer_held_out"} | {
        f"held_out/{prefix}{name}" for prefix in ("", "trained_") for name in held_out.LOSSES
    }
    for prefix in ("held_out/", "held_out/trained_"):
        assert row[f"{prefix}belief_loss"] == pytest.approx(np.log(3), rel=1e-5)
        assert row[f"{prefix}belief_loss_marginal"] < np.log(3)
        assert 0.5 < row[f"{prefix}value_loss"] <= 1  # 1 but for ties
        assert 0 < row[f"{prefix}policy_loss"] < np.log(7)
    assert cycle_row.of_held_out(run) == row
    records, plies = held_out.sample(run.held_out, 32, (0, 9, 0))
    assert deals(records) <= deals(run.held_out) and 1 < len(set(plies)) <= 28
    records, plies = held_out.sample(run.held_out, 32, (0, 9, 0), decisions_only=True)
    assert (records.kind[np.arange(32), plies] != record.TargetKind.FORCED).all()
    assert 1 < len(set(plies)) <= 28


def test_the_buffer_has_an_age_a_turnover_and_a_use(run, games):
    sources.add_selfplay(run, games)  # of step 7, two cycles ago
    row = cycle_row._buffer(run, 6)
    kept = run.progress.ingest["selfplay_kept_examples"]
    assert row == {
        "stats/buffer_age_cycles": 2.0,
        "stats/buffer_age_max_cycles": 2,
        "stats/buffer_turnover_cycles": 1.0,
        "stats/rows_trained_per_row": 6 * 8 / kept,
    }
    for _ in range(3):  # nothing more arrives
        run.progress.begin_cycle()
        row = cycle_row._buffer(run, 6)
    assert row["stats/buffer_turnover_cycles"] == pytest.approx(4)
    assert row["stats/rows_trained_per_row"] == pytest.approx(4 * 6 * 8 / kept)


@pytest.mark.slow
def test_a_run_measures_them_every_cycle_and_compiles_nothing_for_it(tmp_path, compilations):
    config = dataclasses.replace(TINY.evaluation, opponents="random first")
    settings = dataclasses.replace(SETTINGS, runs=str(tmp_path), cycles=6, evaluation=config)
    counts, report = [], Quiet()
    report.cycle = lambda row, seconds_left: counts.append(len(compilations))
    run = training.Run(settings, report, lambda: False)
    run.go()
    # The first step is an opponent from the second evaluation on, and its chooser is compiled.
    assert len(set(counts[1:])) == 1, counts
    rows = metrics.read(run.session.folder / metrics.FILE)
    assert all(np.isfinite(row["held_out/trained_value_loss"]) for row in rows[1:])
    assert [("eval/vs_first_win_rate" in row) for row in rows] == [False, False, True] + [
        False,
        True,
    ] * 2
    assert all("stats/buffer_turnover_cycles" in row for row in rows[2:])
    # Its games begin another run, which withholds the same ones.
    seed = str(run.session.folder / "games")
    other = dataclasses.replace(
        settings, name="other", replay=dataclasses.replace(settings.replay, seed_folder=seed)
    )
    session = saved_state.open_session(other, Quiet(), lambda: False)
    assert int(session.state.ring.size) > 10 and len(session.held_out.slots) == 0
