"""The games that a run keeps as files, so that another run can begin with them."""

import dataclasses
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY
from zebjax import record
from zebjax.training import kept_games, replay, warm_start
from zebjax.training.config import ReplayConfig


@pytest.fixture
def run(tmp_path):
    """What `write` reads of a session, with rings of ten games."""
    settings = dataclasses.replace(TINY, runs=str(tmp_path), replay=ReplayConfig(keep_games=8))
    settings.folder.mkdir()
    rings = SimpleNamespace(ring=replay.init(280), aux=replay.init(280))
    return SimpleNamespace(
        settings=settings, state=rings, progress=SimpleNamespace(ring_games={}), folder=tmp_path
    )


def add(run, games, stream="selfplay"):
    place = "ring" if stream == "selfplay" else "aux"
    setattr(run.state, place, replay.add_some(getattr(run.state, place), games))
    counts = run.progress.ring_games
    counts[stream] = counts.get(stream, 0) + len(games.slots)


def part(games, start, stop):
    return jax.tree.map(lambda leaf: leaf[start:stop], games)


def names(run):
    return sorted(path.name for path in kept_games.folder_of(run.settings).glob("*"))


def test_the_newest_games_are_kept_once_and_in_order(run, games):
    run.state.ring = replay.add_some(run.state.ring, part(games, 20, 24))  # not the run's own
    for start in range(0, 12, 3):
        add(run, part(games, start, start + 3))
        kept_games.write(run, is_last=False)
        kept_games.write(run, is_last=False)
    assert names(run) == [f"selfplay-{first:09d}-3.safetensors" for first in (3, 6, 9)]
    add(run, part(games, 12, 16), "evalaux")
    kept_games.write(run, is_last=False)
    settings = dataclasses.replace(
        TINY, replay=ReplayConfig(seed_folder=str(kept_games.folder_of(run.settings)))
    )
    seeds = warm_start.seeds(settings)
    for found, start, stop in ((seeds.selfplay, 3, 12), (seeds.eval_aux, 12, 16)):
        jax.tree.map(np.testing.assert_array_equal, found, part(games, start, stop))


def test_games_of_eval_aux_keep_the_values_of_moves(run, games):
    moves = np.where(record.legal_slots(games)[..., None], 0.5, np.nan).astype(np.float16)
    moves = np.repeat(moves, 2, -1)
    for stream, place, own in (("selfplay", "ring", np.nan), ("evalaux", "aux", moves[:4])):
        setattr(run.state, place, replay.init(280, with_moves=True))
        some = part(games, 0, 4)._replace(moves=np.full_like(moves[:4], own))
        add(run, some, stream)
    kept_games.write(run, is_last=True)
    network = dataclasses.replace(TINY.network, move_values=True)
    folder = str(kept_games.folder_of(run.settings))
    seeds = warm_start.seeds(
        dataclasses.replace(TINY, network=network, replay=ReplayConfig(seed_folder=folder))
    )
    assert np.isnan(seeds.selfplay.moves).all() and len(seeds.selfplay.moves) == 4
    np.testing.assert_array_equal(seeds.eval_aux.moves, moves[:4])


def test_games_that_the_ring_lost_before_they_were_written_leave_a_gap(run, games):
    add(run, part(games, 0, 4))
    kept_games.write(run, is_last=False)
    for start in (4, 12):
        add(run, part(games, start, start + 8))
    kept_games.write(run, is_last=False)
    assert names(run) == ["selfplay-000000012-8.safetensors"]
    records, metadata = record.read(kept_games.folder_of(run.settings) / names(run)[0])
    np.testing.assert_array_equal(records.slots, games.slots[12:20])
    assert (metadata.source, metadata.worker, metadata.model_step) == (record.SELFPLAY, "tiny", 7)


def test_few_games_wait_until_the_end(run, games):
    replay_config = dataclasses.replace(run.settings.replay, keep_games=400)
    run.settings = dataclasses.replace(run.settings, replay=replay_config)
    add(run, part(games, 0, 3))
    kept_games.write(run, is_last=False)
    assert not kept_games.folder_of(run.settings).exists()  # four of 400 make a file
    kept_games.write(run, is_last=True)
    assert names(run) == ["selfplay-000000000-3.safetensors"]


def test_files_of_games_that_a_resumed_run_does_not_have_are_deleted(run, games):
    for start in (0, 4):
        add(run, part(games, start, start + 4))
        kept_games.write(run, is_last=False)
    run.progress.ring_games["selfplay"] = 6  # an older save
    kept_games.forget_lost(run)
    assert names(run) == ["selfplay-000000000-4.safetensors"]


def test_a_run_that_keeps_none_writes_none(run, games):
    run.settings = dataclasses.replace(run.settings, replay=ReplayConfig(keep_games=0))
    add(run, part(games, 0, 9))
    kept_games.write(run, is_last=True)
    assert names(run) == []
