"""Games of `zebjax iterate` as lessons for a network with values of moves."""

import dataclasses

import jax
import numpy as np
import pytest
import safetensors.numpy

from tests.support.tiny import TINY
from zebjax import game, record
from zebjax.record import TargetKind
from zebjax.solver.ranks import RANK_OF_TILE
from zebjax.training import labelled_games, warm_start
from zebjax.training.config import TeacherConfig


@pytest.fixture(scope="module")
def labelled(games):
    """Games whose label of a move is the rank of its tile: 0..27, as if it were points."""
    n, rows = len(games.slots), np.arange(len(games.slots))[:, None]
    legal = record.legal_slots(games)
    movers = np.asarray(jax.jit(jax.vmap(_movers))(games))
    ranks = RANK_OF_TILE[games.declaration][rows[..., None], games.hands[rows, movers]]
    has_choice = legal.sum(2, keepdims=True) > 1
    labels = np.sort(np.where(legal & has_choice, ranks, 99), 2)
    plays = np.take_along_axis(ranks, games.slots[..., None].astype(int), 2)[..., 0]
    made = labelled_games.Games(
        hands=games.hands,
        declaration=games.declaration,
        leader=games.leader,
        plays=plays.astype(np.int8),
        labels=np.where(labels == 99, -1, labels).astype(np.int8),
    )
    assert made.labels.shape == (n, 28, 7)
    return made, ranks, legal


def _movers(one):
    """The seat of each ply of one game."""
    start = game.new_game(one.hands, one.declaration, one.leader)

    def step(state, slot):
        return game.play(state, slot), game.current_player(state)

    return jax.lax.scan(step, start, one.slots)[1]


def test_every_move_has_its_outcome(games, labelled):
    made, ranks, legal = labelled
    found = labelled_games.lessons(made, 0.5, "x")
    record.validate(found)
    for name in ("hands", "declaration", "leader", "slots"):
        np.testing.assert_array_equal(getattr(found, name), getattr(games, name))
    has_choice = legal.sum(2) > 1
    assert (found.kind == np.where(has_choice, TargetKind.ROLLOUT, TargetKind.FORCED)).all()
    known = legal & has_choice[..., None]
    assert (np.isfinite(found.moves) == known[..., None]).all()
    points = (2 * ranks - 42) / 20
    np.testing.assert_allclose(found.moves[known][:, 1], points[known], atol=1e-3)
    np.testing.assert_array_equal(found.moves[known][:, 0], np.sign(points[known]))
    # softmax((value + 0.4 * points / 20) / 2 / 0.5)
    weight = np.where(known, np.exp(np.sign(points) + 0.4 * points), 0)[has_choice]
    policy = weight / weight.sum(1, keepdims=True)
    np.testing.assert_allclose(found.policy[has_choice], policy, atol=2e-3)
    assert (found.policy[~has_choice].max(1) == 1).all()
    played = np.take_along_axis(np.sign(points), found.slots[..., None].astype(int), 2)[..., 0]
    np.testing.assert_array_equal(found.value, np.where(has_choice, played, 0))


def test_labels_that_are_not_of_the_moves_are_refused(labelled):
    made = labelled[0]
    labels = made.labels.copy()
    labels[3, 0, 6] = -1
    with pytest.raises(ValueError, match=r"^f: array labels: expected one for each move"):
        labelled_games.lessons(dataclasses.replace(made, labels=labels), 0.5, "f")
    plays = np.roll(made.plays, 1, 1)
    with pytest.raises(ValueError, match=r"^f: game 0, ply \d+: the slot played is not legal"):
        labelled_games.lessons(dataclasses.replace(made, plays=plays), 0.5, "f")


def test_a_file_without_games_is_refused(labelled, tmp_path):
    file = tmp_path / "games_01_000.safetensors"
    empty = {name: field[:0] for name, field in vars(labelled[0]).items()}
    for arrays, message in (
        (empty, "expected at least one game"),
        (empty | {"leader": np.array(0, np.int8)}, "array leader: expected int8"),
    ):
        safetensors.numpy.save_file(arrays, file)
        with pytest.raises(ValueError, match=message):
            labelled_games.read(file)


def test_the_first_games_of_a_folder_are_read_by_name_and_replayed(labelled, tmp_path):
    made, shares = labelled[0], []
    n = len(made.leader)
    for name, rows in (("b", slice(10, n)), ("a", slice(0, 10))):
        labelled_games.write(tmp_path / f"{name}.safetensors", made.where(np.arange(n)[rows]))
    (tmp_path / "round_01.safetensors").write_bytes(b"a network")
    assert {path.name for path in tmp_path.iterdir()} == {
        f"{name}.safetensors" for name in ("a", "b", "round_01")
    }
    found = labelled_games.read_first(tmp_path, 12, shares.append)
    for name, field in vars(made).items():
        np.testing.assert_array_equal(getattr(found, name), field[:12])
    assert shares == [10 / 12, 1]
    with pytest.raises(ValueError, match=f": expected {n + 1} labelled games, found {n}"):
        labelled_games.read_first(tmp_path, n + 1, shares.append)
    wrong = dataclasses.replace(made, plays=np.roll(made.plays, 1, 1))
    labelled_games.write(tmp_path / "b.safetensors", wrong)
    assert len(labelled_games.read_first(tmp_path, 10, shares.append).leader) == 10
    with pytest.raises(ValueError, match=r"b\.safetensors: game 0, ply \d+: the slot played"):
        labelled_games.read_first(tmp_path, 12, shares.append)


def test_the_folder_of_a_run_is_read_without_its_networks(games, labelled, tmp_path):
    safetensors.numpy.save_file(vars(labelled[0]), tmp_path / "games_01_000.safetensors")
    (tmp_path / "round_01.safetensors").write_bytes(b"a network")
    (tmp_path / "params_01.safetensors").write_bytes(b"a network")
    record.write(tmp_path / "old.safetensors", games, record.Metadata(record.TEACHER, "w", 0, {}))
    replay = dataclasses.replace(TINY.replay, capacity_examples=28 * 48)
    settings = dataclasses.replace(TINY, teacher=TeacherConfig(str(tmp_path)), replay=replay)
    assert warm_start.taught_games(settings).moves is None
    network = dataclasses.replace(TINY.network, move_values=True)
    read = warm_start.taught_games(dataclasses.replace(settings, network=network))
    assert read.moves.shape == (48, 28, 7, 2)
    assert np.isfinite(read.moves[:24]).any() and np.isnan(read.moves[24:]).all()
    network = dataclasses.replace(TINY.network, tokenizer="v2", value="make/set")
    contract = dataclasses.replace(settings, network=network)
    with pytest.raises(ValueError, match=r"games_01_000\.safetensors: .*these have none"):
        warm_start.taught_games(contract)
    (tmp_path / "games_01_000.safetensors").unlink()
    warmer = dataclasses.replace(settings, teacher=TeacherConfig(str(tmp_path), 0.5))
    with pytest.raises(ValueError, match=r"teacher.temperature: .* targets already; expected 0.3"):
        warm_start.taught_games(warmer)
    (tmp_path / "old.safetensors").unlink()
    with pytest.raises(ValueError, match=r"networks of `zebjax iterate`, no games"):
        warm_start.taught_games(settings)
