"""The teacher's games with contracts: played and judged by making or setting them."""

import dataclasses

import jax
import numpy as np
import pytest

from tests.support.contracts import contracts_of, finished
from tests.support.tiny import TINY, go
from zebjax import contract, contract_record, game, players, record
from zebjax.common import jax_settings
from zebjax.players import base
from zebjax.training import batches, held_out, lessons, metrics, replay, teacher, warm_start
from zebjax.training.config import ReplayConfig, TeacherConfig

SETTINGS = teacher.Settings(
    n=2, seed=3, games_per_file=4, temperature=10.0, contract="30-42", declare="pips"
)
MAKE_SET = dataclasses.replace(TINY.network, tokenizer="v2", value="make/set")


@pytest.fixture(scope="module")
def games():
    with jax.default_prng_impl("rbg"):
        return teacher.play_file(SETTINGS, teacher.Cast(), 0, 4)


def _key():
    return jax.random.fold_in(jax.random.fold_in(jax_settings.key(3), teacher._STREAM), 0)


def test_the_games_have_contracts_and_can_be_read_again(games, tmp_path):
    terms = contract_record.contract_of(games)
    contract_record.validate(contract_record.without_contract(games), terms)
    hands = games.hands[np.arange(4), games.leader]
    assert games.declaration.tolist() == [contract.declare_by_pips(hand) for hand in hands]
    assert len(set(games.bid.tolist())) > 1 and set(games.marks.tolist()) == {1}
    path = tmp_path / "a.safetensors"
    contract_record.write_any(path, games, record.Metadata(record.TEACHER, "test", 0, {}))
    jax.tree.map(np.testing.assert_array_equal, contract_record.read_any(path)[0], games)


def test_moves_and_values_are_those_of_the_player_that_plays_to_make(games):
    """At plies before and after `exact.TIES_FROM_PLY`, with the keys of the file's games."""
    player = players.make("eq:n=2,criterion=make")
    terms = contract_record.contract_of(games)
    plain = contract_record.without_contract(games)
    play_keys = lessons.deals(SETTINGS, _key(), 4)[1]
    n = 0
    for ply in (5, 9, 13):
        states, _ = jax.jit(jax.vmap(record.position))(plain, np.full(4, ply))
        states = jax.tree.map(np.asarray, states)
        keys = jax.random.key_data(jax.vmap(jax.random.fold_in, (0, None))(play_keys, ply))
        rows = np.flatnonzero(games.kind[:, ply] == record.TargetKind.TEACHER)
        some, raw = base.gather(states, rows), np.asarray(keys)[rows]
        own = jax.tree.map(lambda field, rows=rows: field[rows], terms)
        np.testing.assert_array_equal(player.slots(some, own, raw), games.slots[rows, ply])
        judged = lessons.judge(SETTINGS, some, raw, own)
        np.testing.assert_allclose(judged.value, games.value[rows, ply], atol=1e-3)
        best = np.nanmax(judged.score, 1) - np.nan_to_num(
            judged.score[np.arange(len(rows)), judged.best]
        )
        np.testing.assert_allclose(best, 0)
        assert (np.abs(judged.value) <= 1).all()
        n += len(rows)
    assert n >= 4


def test_for_points_the_deals_are_the_same_and_have_no_contract(games):
    states, _, terms = lessons.deals(dataclasses.replace(SETTINGS, value="points"), _key(), 4)
    assert terms is None
    for name in ("hands", "declaration", "leader"):
        np.testing.assert_array_equal(getattr(states, name), getattr(games, name))
    fewer = lessons.deals(SETTINGS, _key(), 2)[2]
    np.testing.assert_array_equal(fewer.bid, games.bid[:2])


@pytest.mark.parametrize("text", ["29", "43", "36-30", "x", "30-", "30-42-42", "2m"])
def test_a_bid_that_does_not_exist_is_refused(text):
    with pytest.raises(ValueError, match="contract: expected points from 30 to 42 as in 31"):
        teacher.Settings(contract=text)


def test_value_targets_are_making_or_setting():
    states, records = finished(60)
    terms = contracts_of(states, 32)
    plies = np.arange(60) % 28
    examples = jax.jit(batches.positions)(contract_record.joined(records, terms), plies)
    movers = np.asarray(jax.vmap(game.current_player)(examples.state))
    is_made = contract.made(terms, np.asarray(states.points))
    ours = movers % 2 == np.asarray(terms.bidder) % 2
    np.testing.assert_array_equal(examples.outcome, np.where(is_made == ours, 1, -1))
    for_points = jax.jit(batches.positions)(records, plies)
    assert for_points.contract is None
    assert (np.asarray(for_points.outcome) != np.asarray(examples.outcome)).any()
    seen = jax.jit(lambda some: batches.make_batch(some, "v2").observation.tokens)(examples)
    assert (np.asarray(seen)[:, 0, 8] == 3).all()  # a bid of 32


def test_the_ring_and_the_held_out_games_keep_contracts(tmp_path):
    states, records = finished(30)
    games = contract_record.joined(records, contracts_of(states, 40))
    ring = replay.add_some(replay.init(28 * 20, with_contracts=True), games)
    newest = replay.newest(replay.resized(ring, 28 * 10), 30)
    jax.tree.map(
        np.testing.assert_array_equal, newest, jax.tree.map(lambda leaf: leaf[-10:], games)
    )
    _, held = held_out.split(games, 0.3)
    assert 0 < len(held.bid) < 30
    held_out.save(tmp_path, held)
    jax.tree.map(np.testing.assert_array_equal, held_out.load(tmp_path, True), held)


def test_files_of_the_other_value_are_refused(tmp_path):
    states, records = finished(30)
    metadata = record.Metadata(record.TEACHER, "test", 0, {})
    of_points = dataclasses.replace(TINY, teacher=TeacherConfig(str(tmp_path)))
    of_make = dataclasses.replace(of_points, network=MAKE_SET)
    path = tmp_path / "a.safetensors"
    contract_record.write(path, records, contracts_of(states), metadata)
    with pytest.raises(ValueError, match="expected games with no contract, these have one"):
        warm_start.taught_games(of_points)
    roomy = dataclasses.replace(of_make, replay=ReplayConfig(28 * 30))
    assert set(warm_start.taught_games(roomy).bid.tolist()) == {30}
    record.write(path, records, metadata)
    with pytest.raises(ValueError, match="expected games with a contract, these have none"):
        warm_start.taught_games(of_make)


def test_a_network_of_make_set_learns_from_no_other_games(tmp_path):
    with pytest.raises(ValueError, match=r"teacher\.folder: a network of value make/set learns"):
        dataclasses.replace(TINY, network=MAKE_SET)
    seeded = dataclasses.replace(TINY.replay, seed_folder=str(tmp_path))
    with pytest.raises(ValueError, match=r"replay\.seed_folder: a network of value make/set"):
        dataclasses.replace(
            TINY, network=MAKE_SET, teacher=TeacherConfig(str(tmp_path)), replay=seeded
        )


@pytest.mark.slow  # test_run and test_learner cover runs; the tests above what contracts change
def test_a_tiny_run_learns_to_judge_contracts_and_resumes(tmp_path):
    """A contract of random play is decided early, so a network that sees it has a lower loss."""
    states, records = finished(400)
    terms = contracts_of(states)._replace(bid=(np.arange(400) % 13 + 30).astype(np.int8))
    lessons_folder = tmp_path / "lessons"
    lessons_folder.mkdir()
    metadata = record.Metadata(record.TEACHER, "test", 0, {})
    contract_record.write(lessons_folder / "a.safetensors", records, terms, metadata)
    settings = dataclasses.replace(
        TINY,
        runs=str(tmp_path),
        cycles=2,
        network=MAKE_SET,
        teacher=TeacherConfig(str(lessons_folder)),
        replay=ReplayConfig(28 * 400, held_out=0.2),
        learner=dataclasses.replace(
            TINY.learner,
            optimizer="muon",
            lr=0.02,
            batch=64,
            updates_per_cycle=100,
            updates_per_call=25,
        ),
    )
    go(settings)
    run = go(dataclasses.replace(settings, cycles=3))
    rows = metrics.read(run.session.folder / "metrics.jsonl")
    assert "eval/vs_random_make_set_win_rate" in rows[0] and len(rows) == 4
    assert "eval/vs_random_win_rate" not in rows[0]
    # A guess of the mean has a loss of at most 1; half the plies are after the decision.
    assert rows[-1]["held_out/value_loss"] < 0.6 < rows[1]["train/value_loss"] + 0.4


@pytest.mark.parametrize(
    "changes", [{"declare": "pips"}, {"declare_worlds": 20}, {"value": "points"}]
)
def test_what_needs_a_contract_is_refused_without_one(changes):
    (name,) = changes
    with pytest.raises(ValueError, match=f"^{name}: expected contract with it"):
        teacher.Settings(**changes)
