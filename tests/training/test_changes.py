"""What a run records of settings that change when it resumes; what becomes of rings and lanes."""

import dataclasses
import json
import shutil

import jax
import numpy as np
import pytest

from tests.support.killed import Killed, killed_at_rename
from tests.support.tiny import TINY, Quiet, as_numpy, go
from zebjax import network, record
from zebjax.training import changes, metrics, replay, resize, resume, selfplay, session
from zebjax.training.config import ReplayConfig, TeacherConfig, to_json
from zebjax.training.learner_config import LearnerConfig
from zebjax.training.workers_config import EvalAuxConfig

SMALLER = dataclasses.replace(TINY.replay, capacity_examples=28 * 12, min_buffer=28)


def saved(**fields):
    return json.loads(to_json(dataclasses.replace(TINY, **fields)))


def numbered(n, first=0):
    """Games that are told apart by their step."""
    games = jax.tree.map(np.array, record.empty(n))
    return games._replace(step_end=np.arange(first, first + n, dtype=np.int32))


# ---- the record


def test_changes_are_named_without_the_length_the_name_and_the_place():
    now = dataclasses.replace(TINY, cycles=7, name="b", runs="c", learner=LearnerConfig(lr=0.5))
    found = changes.differences(saved(learner=LearnerConfig()), now)
    assert found == [{"field": "learner.lr", "from": 1e-4, "to": 0.5}]
    assert changes.text(found) == "learner.lr: 0.0001 -> 0.5"
    assert changes.differences(saved(), TINY) == []
    (entry,) = changes.at(120, found)
    assert list(entry) == ["step", "time", "field", "from", "to"] and entry["step"] == 120
    assert entry["time"].endswith("+00:00")


def test_a_field_that_is_newer_than_the_run_had_its_default():
    before = saved()
    del before["replay"]["keep_games"]
    assert changes.differences(before, TINY) == []
    none = dataclasses.replace(TINY, replay=dataclasses.replace(TINY.replay, keep_games=0))
    assert changes.text(changes.differences(before, none)) == "replay.keep_games: 50000 -> 0"


def test_a_rollback_moves_later_changes_to_its_step():
    found = [{"step": step, "field": "learner.lr"} for step in (3, 8)]
    assert [change["step"] for change in changes.moved_to(5, found)] == [3, 5]


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """A run that has saved its state and was stopped."""
    return go(dataclasses.replace(TINY, runs=str(tmp_path_factory.mktemp("begun"))), stop_after=1)


def test_a_kill_at_any_moment_neither_loses_a_change_nor_records_it_twice(tmp_path, begun):
    for number in range(0, 100, 4):
        settings = dataclasses.replace(TINY, runs=str(tmp_path / str(number)))
        shutil.copytree(begun.session.folder, settings.folder)
        changed = dataclasses.replace(
            settings, replay=SMALLER, learner=dataclasses.replace(TINY.learner, lr=0.5)
        )
        with pytest.MonkeyPatch.context() as patch:
            killed_at_rename(number, patch)
            try:
                go(changed, stop_after=1)
                break
            except Killed:
                pass
        run = go(changed, stop_after=1)
        assert len(run.session.state.ring.records.slots) == 12
        expected = {
            ("learner.lr", 1e-4, 0.5),
            ("replay.capacity_examples", 700, 28 * 12),
            ("replay.min_buffer", 28 * 15, 28),
        }
        found = changes.read(settings.folder)
        assert {(one["field"], one["from"], one["to"]) for one in found} == expected
        assert len(found) == 3 and found == run.session.progress.changes
        assert all(one["step"] == 0 for one in found)
    assert number >= 8
    back = go(settings, stop_after=1)  # and back, which is another change
    assert changes.read(settings.folder) == back.session.progress.changes
    assert [one["to"] for one in back.session.progress.changes[3:]] == [700, 28 * 15, 1e-4]


# ---- what may not change says how to carry games and weights over


def test_what_cannot_change_says_how_another_run_begins_with_weights_and_games(tmp_path):
    settings = dataclasses.replace(TINY, runs=str(tmp_path))
    (settings.folder / "games").mkdir(parents=True)
    other = dataclasses.replace(
        settings, learner=dataclasses.replace(TINY.learner, optimizer="muon")
    )
    with pytest.raises(resume.CannotContinue) as refused:
        resume.check_can_continue(saved(), other)
    folder = settings.folder
    assert f"--start.checkpoint {folder} --replay.seed-folder {folder}/games" in str(refused.value)
    other = dataclasses.replace(settings, network=network.ZebConfig(embed_dim=32, n_heads=1))
    with pytest.raises(resume.CannotContinue, match=r"with the games of this one by --replay"):
        resume.check_can_continue(saved(), other)


def test_another_method_of_self_play_is_no_run_for_these_games(tmp_path):
    net = dataclasses.replace(TINY.network, move_values=True)
    settings = dataclasses.replace(TINY, runs=str(tmp_path), network=net)
    (settings.folder / "games").mkdir(parents=True)
    by_rollouts = dataclasses.replace(
        settings, selfplay=dataclasses.replace(TINY.selfplay, method="rollouts")
    )
    with pytest.raises(resume.CannotContinue) as refused:
        resume.check_can_continue(json.loads(to_json(settings)), by_rollouts)
    assert str(refused.value) == (
        f"{settings.folder}: this run was made with selfplay.method = 'search' and cannot continue "
        "with 'rollouts': a run learns from games of one method; give it another --name or put "
        f"the old value back. Another run begins with the weights of this one by "
        f"--start.checkpoint {settings.folder}"
    )
    # A network with another head too: nothing of this run fits.
    before = json.loads(to_json(dataclasses.replace(settings, network=TINY.network)))
    with pytest.raises(resume.CannotContinue, match=r"network\.move_values") as refused:
        resume.check_can_continue(before, by_rollouts)
    assert "--replay.seed-folder" not in str(refused.value)


def test_saved_sizes_that_are_no_numbers_are_refused():
    before = saved()
    before["selfplay"]["lanes"] = "many"
    with pytest.raises(ValueError, match=r"selfplay\.lanes in the saved experiment\.json"):
        resume.with_saved_sizes(before, TINY)
    large = dataclasses.replace(
        TINY, replay=ReplayConfig(capacity_examples=28 * 90, min_buffer=28 * 80)
    )
    then = resume.with_saved_sizes(saved(), large)
    assert (then.selfplay.lanes, then.replay.capacity_examples) == (8, 700)


# ---- rings


@pytest.mark.parametrize("n_added", [0, 3, 10, 14])
@pytest.mark.parametrize("capacity", [4, 9, 10, 17])
def test_a_ring_of_another_capacity_keeps_its_newest_games_in_order(n_added, capacity):
    ring = replay.init(28 * 10)
    for first in range(0, n_added, 2):  # in pieces, so that it goes round
        ring = replay.add(ring, numbered(min(2, n_added - first), first))
    new = replay.resized(ring, 28 * capacity)
    kept = np.arange(n_added)[-min(n_added, 10, capacity) or n_added :]
    assert len(new.records.slots) == capacity and int(new.size) == len(kept)
    np.testing.assert_array_equal(replay.newest(new, 99).step_end, kept)
    # And the next game overwrites the oldest.
    new = replay.add(jax.tree.map(jax.numpy.asarray, new), numbered(1, 50))
    after = [*kept, 50][-capacity:]
    np.testing.assert_array_equal(replay.newest(new, 99).step_end, after)


def test_a_teachers_ring_may_not_become_too_small_for_its_games():
    run = running(8)
    run.state = run.state._replace(ring=replay.add_some(run.state.ring, numbered(20)))
    few = dataclasses.replace(TINY, teacher=TeacherConfig("lessons"), replay=SMALLER)
    with pytest.raises(resume.CannotContinue, match=r"560 examples of the teacher, .* got 336"):
        resize.fit(dataclasses.replace(run, settings=few))


# ---- lanes


def actor_after(key, moves):
    params = network.init(TINY.network, jax.random.key(9))
    actor = selfplay.init(TINY.selfplay, jax.random.key(key), 3)
    return selfplay.advance(TINY.selfplay, TINY.network, params, actor, 3, moves)


def running(lanes, moves=3):
    """A session whose `lanes` lanes, a multiple of 8, are in the midst of their games."""
    state = session.fresh_state(TINY, network.init(TINY.network, jax.random.key(0)), 0)
    parts = [actor_after(key, moves) for key in range(lanes // 8)]
    together = jax.tree.map(lambda *leaves: np.concatenate(leaves), *[p[:2] for p in parts])
    finished = record.empty(10 + lanes)._replace(
        hands=jax.numpy.arange((10 + lanes) * 28).reshape(-1, 4, 7).astype(np.int8)
    )
    actor = parts[0]._replace(
        states=together[0], records=together[1], finished=finished, n_finished=jax.numpy.int32(2)
    )
    progress = session.Progress(first_cycle=0, cycle=5, total_games=7)
    return session.Session(
        TINY, Quiet(), lambda: False, state._replace(actor=actor), progress, False
    )


@pytest.mark.slow  # compiles for other lanes
def test_the_games_of_surplus_lanes_are_played_to_their_end():
    run = running(24)
    before = as_numpy(run.state.actor)
    resize.fit(run)
    after = as_numpy(run.state.actor)
    # The first lanes go on where they were, and nothing waits any more.
    jax.tree.map(
        np.testing.assert_array_equal, after.states, jax.tree.map(lambda x: x[:8], before.states)
    )
    assert len(after.finished.slots) == 18 and int(after.n_finished) == 0
    # The two that waited, and each of the sixteen games once, whole and legal.
    games = replay.newest(run.state.ring, 99)
    assert len(games.slots) == 18 and run.progress.total_games == 7 + 18
    np.testing.assert_array_equal(games.hands[:2], before.finished.hands[:2])
    ended = jax.tree.map(lambda leaf: leaf[2:], games)
    record.validate(ended)
    assert (ended.step_start == 3).all() and (ended.step_end == 5).all()
    begun = jax.tree.map(lambda leaf: leaf[8:], before.records)
    order = [np.flatnonzero((ended.hands == hands).all((1, 2))).item() for hands in begun.hands]
    for game, ply in enumerate(before.states.ply[8:]):
        assert ply >= 3
        np.testing.assert_array_equal(ended.slots[order[game]][:ply], begun.slots[game][:ply])
    again = running(24)
    resize.fit(again)
    jax.tree.map(np.testing.assert_array_equal, as_numpy(again.state), as_numpy(run.state))


def test_games_without_a_move_are_dropped_and_more_lanes_start_new_games():
    run = running(16, moves=0)
    resize.fit(run)
    assert int(run.state.ring.size) == 2  # those that were finished
    run = running(8)
    run.settings = dataclasses.replace(TINY, selfplay=dataclasses.replace(TINY.selfplay, lanes=16))
    before = as_numpy(run.state.actor)
    resize.fit(run)
    after = as_numpy(run.state.actor)
    np.testing.assert_array_equal(after.states.hands[:8], before.states.hands)
    np.testing.assert_array_equal(after.states.ply, [*before.states.ply, *[0] * 8])


def test_a_stop_while_games_end_leaves_the_run_as_it_was():
    run = running(16)
    run.stop_asked = lambda: True
    before = as_numpy(run.state)
    with pytest.raises(session.Stopped):
        resize.fit(run)
    jax.tree.map(np.testing.assert_array_equal, as_numpy(run.state), before)


def test_nothing_happens_to_a_run_that_fits():
    run = running(8)
    run.state = run.state._replace(
        actor=run.state.actor._replace(finished=record.empty(18)), aux=replay.init(100_000)
    )
    before = jax.tree.leaves(run.state)
    resize.fit(run)
    assert all(a is b for a, b in zip(before, jax.tree.leaves(run.state), strict=True))
    assert run.report.notes == []
    run.settings = dataclasses.replace(TINY, eval_aux=EvalAuxConfig(capacity_examples=28))
    resize.fit(run)
    assert len(run.state.aux.records.slots) == 1


@pytest.mark.slow
def test_a_run_goes_on_with_fewer_lanes_and_a_smaller_ring(tmp_path):
    settings = dataclasses.replace(TINY, runs=str(tmp_path), cycles=2)
    before = go(settings).session.progress
    changed = dataclasses.replace(
        settings,
        cycles=4,
        selfplay=dataclasses.replace(TINY.selfplay, lanes=3, games_per_cycle=4),
        replay=dataclasses.replace(TINY.replay, capacity_examples=28 * 16),
    )
    run = go(changed)
    rows = metrics.read(run.session.folder / metrics.FILE)
    assert [row["cycle"] for row in rows] == [0, 1, 2, 3, 4]
    finished = run.session.progress.total_games - before.total_games - 2 * 4
    assert 0 < finished <= 8 - 3 + 9  # surplus lanes, and those that waited for their cycle
    assert rows[-1]["stats/replay_buffer_selfplay"] == 28 * 16
    assert [one["step"] for one in changes.read(run.session.folder)] == [2, 2, 2]
    again = go(dataclasses.replace(changed, cycles=5))
    assert again.session.progress.cycle == 5 and len(again.session.progress.changes) == 3
