"""Self-play without a search, from the lanes to the learner."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from tests.support import tiny, workers
from zebjax import game, network, record
from zebjax.record import TargetKind
from zebjax.search import Exploration
from zebjax.training import kept_games, memory, selfplay
from zebjax.training import run as training
from zebjax.training.config import SelfPlayConfig, TeacherConfig
from zebjax.training.resume import CannotContinue
from zebjax.training.session import Progress
from zebjax.training.workers_config import EvalAuxConfig

NETWORK = dataclasses.replace(tiny.TINY.network, move_values=True)
PLAY = dataclasses.replace(tiny.TINY.selfplay, method="rollouts", explore=Exploration(0.3, 0.1))
EXPERIMENT = dataclasses.replace(tiny.TINY, network=NETWORK, selfplay=PLAY, cycles=2)


def params_of(key):
    """Random weights, the head for the values of moves too: its own start answers 0."""
    rng = np.random.default_rng(key)
    return jax.tree.map(
        lambda leaf: rng.normal(0, leaf.shape[0] ** -0.5, leaf.shape).astype(np.float32),
        network.abstract_params(NETWORK),
    )


def play(config, n_takes=1, max_moves=64):
    params, taken = params_of(0), []
    actor = selfplay.init(config, jax.random.key(0))
    for _ in range(n_takes):
        while int(actor.n_finished) < config.games_per_cycle:
            actor = selfplay.advance(config, NETWORK, params, actor, 3, max_moves)
        actor, records = selfplay.pop_finished(config, actor)
        taken.append(records)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *taken)


@pytest.fixture(scope="module")
def games():
    return play(PLAY, 3)


def test_every_decision_has_the_result_of_each_legal_move(games):
    record.validate(games)
    legal = record.legal_slots(games)
    is_decision = legal.sum(2) > 1
    known = np.isfinite(games.moves).all(3)
    np.testing.assert_array_equal(known, legal & is_decision[..., None])
    expected = np.where(is_decision, TargetKind.ROLLOUT, TargetKind.FORCED)
    np.testing.assert_array_equal(games.kind, expected)
    played = np.take_along_axis(games.moves[..., 0], games.slots[..., None].astype(int), 2)[..., 0]
    np.testing.assert_array_equal(games.value[is_decision], played[is_decision])
    assert (games.moves[known][:, 0] == np.sign(games.moves[known][:, 1])).all()


def test_with_outcomes_the_move_played_has_the_result_of_the_game():
    games = play(dataclasses.replace(PLAY, method="outcomes"), 2)
    record.validate(games)
    legal = record.legal_slots(games)
    is_decision = legal.sum(2) > 1
    is_played = np.arange(7) == games.slots[..., None]
    known = np.isfinite(games.moves).all(3)
    np.testing.assert_array_equal(known, is_played & is_decision[..., None])
    margins = margins_of_movers(games)
    expected = np.stack([np.sign(margins), margins / 20], -1)[:, :, None]
    np.testing.assert_allclose(
        games.moves[known], np.broadcast_to(expected, games.moves.shape)[known], rtol=1e-3
    )
    np.testing.assert_array_equal(games.value, np.where(is_decision, np.sign(margins), 0))


def test_a_greedy_game_ends_as_its_rollouts_said():
    """Without random moves the game goes on as the rollout of each move that was played."""
    games = play(dataclasses.replace(PLAY, explore=Exploration(0.0, 0.0, 0.0)))
    is_decision = games.kind == TargetKind.ROLLOUT
    np.testing.assert_array_equal(
        games.value[is_decision], np.sign(margins_of_movers(games))[is_decision]
    )


def margins_of_movers(games):
    """Points of the team to move minus the others' at the end, by game and ply."""

    @jax.jit
    @jax.vmap
    def seats_and_points(one):
        at = jax.vmap(lambda ply: record.position(one, ply)[0])(jnp.arange(28))
        return jax.vmap(game.current_player)(at), record.position(one, 27)[1].points

    seats, points = map(np.asarray, seats_and_points(games))
    return 2.0 * np.take_along_axis(points, seats % 2, 1) - 42


def test_one_compilation_and_the_same_games_in_other_calls(games):
    before = selfplay.advance._cache_size()
    jax.tree.map(np.testing.assert_array_equal, play(PLAY, 3, max_moves=1), games)
    assert selfplay.advance._cache_size() == before


@pytest.mark.parametrize("method", ["outcomes", "rollouts"])
def test_a_run_learns_them_keeps_them_and_resumes(tmp_path, method):
    settings = dataclasses.replace(
        EXPERIMENT, runs=str(tmp_path), selfplay=dataclasses.replace(PLAY, method=method)
    )
    stopped = tiny.go(settings, stop_after=9)
    assert not stopped.session.is_complete
    run = tiny.go(settings)
    assert np.isfinite(np.asarray(run.session.state.ring.records.moves)).any()
    errors = [row["train/move_value_error"] for row in tiny.training_rows(settings.folder)[1:]]
    assert all(error > 0 for error in errors)
    kept = [record.read(file)[0] for file in kept_games.folder_of(settings).glob("*.safetensors")]
    assert kept and all(np.isfinite(part.moves).any() for part in kept)
    whole = tiny.go(dataclasses.replace(settings, name="whole"))
    both = (tiny.as_numpy(found.session.state) for found in (run, whole))
    jax.tree.map(np.testing.assert_array_equal, *both)
    searched = dataclasses.replace(
        settings, cycles=3, selfplay=dataclasses.replace(PLAY, method="search")
    )
    with pytest.raises(CannotContinue, match=rf"selfplay\.method = '{method}'"):
        tiny.go(searched)


@pytest.mark.parametrize(
    ("method", "folder", "weight", "by"),
    [
        ("outcomes", None, 1.0, ",choose=value"),
        ("rollouts", None, 1.0, ",choose=value"),
        ("search", "lessons", 1.0, ",choose=value"),
        ("search", "lessons", 0.0, ""),
        ("search", None, 1.0, ""),  # games of a search have no values of moves
    ],
)
def test_a_run_that_learned_the_values_of_moves_is_to_play_by_them(method, folder, weight, by):
    settings = dataclasses.replace(
        EXPERIMENT,
        selfplay=dataclasses.replace(PLAY, method=method),
        teacher=TeacherConfig(folder),
        learner=dataclasses.replace(EXPERIMENT.learner, move_value_weight=weight),
    )
    said = training._completed(Progress(4, 0, 50), settings)
    assert f"next: zebjax arena zeb:{settings.folder}{by} vs heuristic\n" in said


def test_a_workers_games_bring_their_values_to_the_learner(tmp_path):
    settings = workers.settings_in(
        tmp_path,
        network=NETWORK,
        selfplay=dataclasses.replace(PLAY, method="outcomes"),
        eval_aux=EvalAuxConfig(),
        cycles=1,
    )
    workers.learn(settings, stop_after=1)
    workers.play(settings, "selfplay", 24)
    run = workers.learn(settings)
    assert run.session.is_complete
    records = jax.tree.map(np.asarray, run.session.state.ring.records)
    known = np.isfinite(records.moves[: int(run.session.state.ring.size)]).all(3)
    assert known.any((1, 2)).all() and (known.sum(2) <= 1).all()


def test_it_needs_the_values_of_moves_and_fewer_lanes_need_less_memory():
    for other, message in (
        ({"network": tiny.TINY.network}, r"method: rollouts .* expected network\.move_values True"),
        (
            {"learner": dataclasses.replace(EXPERIMENT.learner, move_value_weight=0.0)},
            r"expected learner\.move_value_weight more than 0",
        ),
        ({"teacher": TeacherConfig("games")}, r"expected teacher\.folder None"),
    ):
        with pytest.raises(ValueError, match=message):
            dataclasses.replace(EXPERIMENT, **other)
    with pytest.raises(ValueError, match=r"method: expected search, outcomes or rollouts"):
        SelfPlayConfig(method="mcts")
    many = dataclasses.replace(EXPERIMENT, selfplay=dataclasses.replace(PLAY, lanes=4096))
    drawn = dataclasses.replace(
        many, selfplay=dataclasses.replace(many.selfplay, method="outcomes")
    )
    parts = [memory.estimate(settings) for settings in (EXPERIMENT, many, drawn)]
    few, lots, one = (next(p for p in found if "lanes" in p.setting).n_bytes for found in parts)
    assert lots > 100 * few and lots > 3 * one
