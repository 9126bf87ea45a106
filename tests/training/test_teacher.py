"""Teacher data: records hold the right targets and replay; a stopped run makes the same games."""

import dataclasses
import json

import jax
import numpy as np
import pytest

from zebjax import game, players, record, teach
from zebjax.evaluation import matches
from zebjax.players import exact
from zebjax.record import TargetKind
from zebjax.search import Exploration
from zebjax.small import batch, storage
from zebjax.training import labelled_games, rollout_teacher, small_games, teacher, teacher_files

SETTINGS = teacher.Settings(n=2, seed=3, games_per_file=4, temperature=2.0)


@pytest.fixture(scope="module")
def games():
    with jax.default_prng_impl("rbg"):  # a seed means the same games under every setting
        return teacher.play_file(SETTINGS, teacher.Cast(), 1, 4)


def test_records_can_be_replayed_and_trained_on(games):
    record.validate(games)
    assert (games.weight == 1).all() and set(np.unique(games.kind)) == {
        TargetKind.FORCED,
        TargetKind.TEACHER,
    }
    legal = np.asarray(record._legal_of_games(games)).sum(-1)
    np.testing.assert_array_equal(games.kind == TargetKind.TEACHER, legal > 1)
    forced = games.kind == TargetKind.FORCED
    assert (games.policy[forced].max(-1) == 1).all() and (games.value[forced] == 0).all()
    assert games.value.min() < 0 < games.value.max()
    assert len(set(games.declaration.tolist())) > 1 and len(set(games.leader.tolist())) > 1


def test_targets_are_the_judgement_of_eq(games):
    """From the states of the replayed game and the keys that `arena.deal_at` gives."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), teacher._STREAM), 1)
    position = jax.jit(record.position)
    for row, ply in ((0, 12), (1, 17), (2, 22), (3, 8)):
        one = jax.tree.map(lambda leaf, row=row: leaf[row], games)
        state, _ = position(one, ply)
        start, play_key = matches.deal_at(key, row)
        np.testing.assert_array_equal(start.hands, one.hands)
        raw = np.asarray(jax.random.key_data(jax.random.fold_in(play_key, ply)))[None]
        values = exact.eq_values(jax.tree.map(lambda leaf: np.asarray(leaf)[None], state), raw, n=2)
        if one.kind[ply] == TargetKind.FORCED:
            continue
        mean, best = values.mean_points[0], values.best_slots()[0]
        expected = np.where(np.isnan(mean), 0, np.exp(np.nan_to_num(mean) / 2.0))
        np.testing.assert_allclose(one.policy[ply], expected / expected.sum(), atol=1e-3)
        assert one.slots[ply] == best and one.value[ply] == pytest.approx(
            values.value[0, best], abs=1e-3
        )
        points = 2 * mean - 42
        judged = np.stack([values.value[0], points / 20], -1)
        np.testing.assert_allclose(one.moves[ply], judged, atol=2e-3)
    assert (games.kind[[0, 1, 2, 3], [12, 17, 22, 8]] == TargetKind.TEACHER).sum() > 1


def test_the_policy_target():
    target = teacher.policy_target(
        np.array([[10.0, np.nan, 8.0, 10.0], [3.0, np.nan, np.nan, np.nan]]), 2.0
    )
    np.testing.assert_allclose(target[0], np.array([1, 0, np.exp(-1), 1]) / (2 + np.exp(-1)))
    assert target[1].tolist() == [1, 0, 0, 0]
    assert np.isfinite(teacher.policy_target(np.array([[42.0, 0.0]]), 0.01)).all()


def test_an_opponent_plays_one_team_and_eq_judges_all(games):
    asked = []

    def choose(states, keys):
        asked.extend(zip(states.hands.copy(), states.ply, states.trick_leaders, strict=True))
        return players.heuristic().choose(states, keys)

    against = teacher.play_file(
        SETTINGS, teacher.Cast(opponent=players.Player("spy", choose)), 1, 4
    )
    record.validate(against)
    np.testing.assert_array_equal(against.hands, games.hands)
    real = against.kind == TargetKind.TEACHER
    n_theirs = 0
    for hands, ply, leaders in asked:
        row = int(np.flatnonzero((against.hands == hands).all((1, 2)))[0])
        assert real[row, ply] and (leaders[ply // 4] + ply) % 2 != row % 2
        n_theirs += 1
    assert 0 < n_theirs < real.sum() and (against.policy[real].max(-1) < 1).any()


BY = "eq:n=3,belief=small,rollouts=small,candidates=9,opening=small,opening_tricks=1"


@pytest.fixture(scope="module")
def stronger():
    """Games of a player with weighted worlds, a third of its moves drawn at random."""
    settings = dataclasses.replace(SETTINGS, n=50, by=BY, random=0.3)
    with jax.default_prng_impl("rbg"):
        return teacher.play_file(settings, teacher.Cast(players.make(BY).judge), 1, 4)


def decisions_of(games):
    """(row, ply, state, raw key) of every decision, see the test above."""
    key = jax.random.fold_in(jax.random.fold_in(jax.random.key(3), teacher._STREAM), 1)
    position = jax.jit(record.position)
    for row, ply in zip(*np.nonzero(games.kind == TargetKind.TEACHER), strict=True):
        state, _ = position(jax.tree.map(lambda leaf, row=row: leaf[row], games), ply)
        _, play_key = matches.deal_at(key, row)
        raw = np.asarray(jax.random.key_data(jax.random.fold_in(play_key, ply)))[None]
        yield row, ply, jax.tree.map(lambda leaf: np.asarray(leaf)[None], state), raw


def test_another_player_teaches_what_it_would_play_and_its_p_win(stronger, games):
    record.validate(stronger)
    np.testing.assert_array_equal(stronger.hands, games.hands)
    player, random, total = players.make(BY), 0, 0
    for row, ply, state, raw in decisions_of(stronger):
        judged = player.judge(state, raw)
        best = player.choose(state, raw)[0]
        assert judged.slots[0] == best
        random += stronger.slots[row, ply] != best
        total += 1
        p_win = judged.p_win[0]
        margin = (2 * judged.points[0] - 42) / 20
        expected = np.stack([2 * p_win - 1, margin], -1)
        np.testing.assert_allclose(stronger.moves[row, ply], expected, atol=2e-3)
        assert stronger.value[row, ply] == pytest.approx(2 * p_win[best] - 1, abs=1e-3)
        score = 100 * p_win + 0.5 * judged.points[0]
        policy = teacher.policy_target(score[None], 2.0)[0]
        np.testing.assert_allclose(stronger.policy[row, ply], policy, atol=1e-3)
    assert total > 50 and 0.05 < random / total < 0.45  # some of them are the best ones


def test_its_opening_is_judged_by_the_network_that_plays_it(stronger):
    """Not by worlds: their P(win) is a multiple of 1/3 by rollouts, and here of no such share."""
    net = storage.load("small")
    seen = 0
    for row, ply, state, _ in decisions_of(stronger):
        if ply < 4:
            values = batch.values(net, batch.read(state))[0].astype(float)
            expected = np.stack([np.clip(values[:, 0], -1, 1), values[:, 1]], -1)
            np.testing.assert_allclose(stronger.moves[row, ply], expected, atol=2e-3)
            seen += 1
    assert seen > 8


def test_files_hold_who_taught(tmp_path):
    arguments = ["--games", "2", "--out", str(tmp_path / "out"), "--by", BY, "--random", "0.5"]
    assert teach.main(arguments) == 0
    _, metadata = record.read(tmp_path / "out" / "teacher-000000.safetensors")
    assert metadata.search["by"].startswith(f"{BY} (") and metadata.search["random"] == 0.5
    assert metadata.search["temperature"] == 5 and teach.main(arguments) == 0  # all are found
    with pytest.raises(ValueError, match=r"made with other settings \(random 0.5, here 0.0\)"):
        settings = teacher.Settings(by=BY, temperature=5.0)
        teacher_files.is_done(
            teacher.Maker(settings), tmp_path / "out" / "teacher-000000.safetensors", 2
        )


def read(folder):
    files = sorted(file for file in folder.iterdir() if not file.name.startswith("."))
    return {file.name: record.read(file) for file in files}


def make(settings, games, folder, progress=None):
    return teacher_files.make(teacher.Maker(settings), folder, games, progress)


@pytest.mark.slow  # test_run and test_killed stop runs
def test_a_stopped_run_goes_on_to_the_same_games(tmp_path):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert make(SETTINGS, 10, whole) == (0, 10)
    expected = read(whole)
    assert [metadata.games for _, metadata in expected.values()] == [4, 4, 2]

    class Killed(Exception):
        pass

    def kill(done, made):
        if made > 5 and done > 0.8:
            raise Killed

    with pytest.raises(Killed):
        make(SETTINGS, 6, parts, kill)
    assert len(read(parts)) == 1
    shown = []
    assert make(SETTINGS, 6, parts, lambda *seen: shown.append(seen)) == (
        4,
        2,
    )  # a small second file
    assert shown[0][0] > 4 / 6 and shown[-1] == (1, 2)
    (parts / "teacher-000000.safetensors").write_bytes(b"damaged")
    (parts / ".tmp-teacher-000002.safetensors").write_bytes(b"left by a kill")
    assert make(SETTINGS, 10, parts) == (0, 10)
    for name, (records, metadata) in read(parts).items():
        jax.tree.map(np.testing.assert_array_equal, records, expected[name][0])
        assert metadata.source == "teacher-eq" and metadata.search == dataclasses.asdict(SETTINGS)
    assert make(SETTINGS, 10, parts) == (10, 0)
    (whole / "experiment.json").touch()
    with pytest.raises(ValueError, match="is the folder of a training run"):
        make(SETTINGS, 10, whole)
    with pytest.raises(ValueError, match=r"other settings \(seed 3, here 4\)"):
        make(dataclasses.replace(SETTINGS, seed=4), 10, parts)


def test_the_command(tmp_path, capsys):
    arguments = [
        "--games",
        "3",
        "--n",
        "2",
        "--games-per-file",
        "2",
        "--opponent",
        "random",
        "--out",
        str(tmp_path),
    ]
    assert teach.main(arguments) == 0
    out, error = capsys.readouterr()
    assert "3 games in 2 files" in out and "0 found, 3 made" in out and "100 %" in error
    assert teach.main(arguments) == 0 and "3 found, 0 made" in capsys.readouterr().out
    records, metadata = record.read(tmp_path / "teacher-000000.safetensors")
    assert metadata.search["opponent"] == "random" and json.dumps(metadata.search)
    assert (
        int(game.points(record.position(jax.tree.map(lambda leaf: leaf[0], records), 27)[1]).sum())
        == 42
    )


def test_games_with_rollouts_resume_and_are_those_of_the_network(tmp_path, capsys):
    out = tmp_path / "games"
    words = ["--rollouts", "small", "--games-per-file", "4", "--seed", "7", "--out", str(out)]
    assert teach.main(["--games", "6", *words]) == 0
    assert "6 games in 2 files" in capsys.readouterr().out
    files = sorted(out.glob("rollouts-*.safetensors"))
    assert [len(labelled_games.read(file).leader) for file in files] == [4, 2]
    first = files[0].read_bytes()
    made = labelled_games.read(files[0])
    expected = small_games.play(
        storage.load("small"), 4, (rollout_teacher._STREAM, 7, 0), Exploration(), 1
    )
    for name, field in vars(expected).items():
        np.testing.assert_array_equal(getattr(made, name), field)
    lessons = labelled_games.lessons(made, 0.1, "games")
    assert np.isfinite(lessons.moves[lessons.kind != TargetKind.FORCED][:, 0]).any()

    files[0].write_bytes(b"damaged")
    assert teach.main(["--games", "8", *words]) == 0
    said = capsys.readouterr()
    assert "0 found, 8 made" in said.out and "making it again" in said.err
    assert files[0].read_bytes() == first and len(labelled_games.read(files[1]).leader) == 4
    assert (
        teach.main(["--games", "8", *words]) == 0 and "8 found, 0 made" in capsys.readouterr().out
    )
    assert teach.main(["--games", "8", *words, "--seed", "8"]) == 2
    assert "other settings (seed 7, here 8)" in capsys.readouterr().err
    assert teach.main(["--games", "8", *words, "--rollouts", "imitator"]) == 2
    assert "(network 'small (" in capsys.readouterr().err
    assert teach.main(["--games", "1", "--n", "1", "--out", str(out)]) == 2
    assert "of another kind (rollouts-000000.safetensors)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["--games", "3", "--out", "x", "--rollouts", "small", "--n", "5"],
            "--n applies to E[Q] only; leave it out with --rollouts",
        ),
        (
            ["--games", "3", "--out", "x", "--rollouts", "smal"],
            "--rollouts: smal: cannot be read (No such file or directory); expected `small`, ",
        ),
        (
            ["--games", "3", "--out", "x", "--by", "eq:n=4,belief=small,adaptive=2"],
            "--by: player 'eq:n=4,belief=small,adaptive=2' does not judge every move; expected ",
        ),
        (
            ["--games", "3", "--out", "x", "--by", "eq:n=4,belef=small"],
            "--by: player 'eq:n=4,belef=small': unknown key 'belef'; did you mean 'belief'?",
        ),
        (["--games", "3", "--out", "x", "--by", ""], "--by: expected a name, got ''"),
        (
            ["--games", "3", "--out", "x", "--by", "eq:n=4,belief=small", "--rollouts", "small"],
            "--by: not with --rollouts; leave one of them out",
        ),
        (
            ["--games", "3", "--out", "x", "--by", "small"],
            "--by: player 'small' does not judge every move; expected eq:... with belief or rollo",
        ),
        (
            ["--games", "3", "--out", "x", "--by", "eq:n=4,belief=small", "--n", "5"],
            "--n: not with --by, which says how the teacher plays",
        ),
        (
            ["--games", "3", "--out", "x", "--by", "eq:n=4,belief=small", "--contract", "30"],
            "--contract: not with --by, which says how the teacher plays",
        ),
        (
            ["--games", "3", "--out", "x", "--random", "1"],
            "--random: expected a number from 0 to 0.99, got '1'",
        ),
        (
            ["--games", "0", "--out", "x"],
            "--games: expected a whole number from 1 to 1000000000, got '0'",
        ),
        (["--games", "3"], "expected --out; see zebjax teach --help"),
        (
            ["--games", "3", "--out", "x", "--temprature", "1"],
            "unknown option '--temprature'; did you mean --temperature?",
        ),
        (
            ["--games", "3", "--out", "x", "--opponent", "eqq"],
            "--opponent: player 'eqq': unknown kind 'eqq'; did you mean 'eq'?",
        ),
        (
            ["--games", "3", "--out", "x", "--temperature", "0"],
            "--temperature: expected a number from 0.01 to",
        ),
        (
            ["--games", "3", "--out", __file__],
            f"--out: expected a folder, {__file__!r} is a file",
        ),
    ],
)
def test_bad_input_is_answered_in_one_sentence(arguments, sentence, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    try:
        status = teach.main(arguments)
    except SystemExit as stop:
        status = stop.code
    error = capsys.readouterr().err
    assert status == 2 and error.startswith(f"zebjax teach: {sentence}") and error.count("\n") == 1


def test_help_has_examples_that_work(capsys):
    with pytest.raises(SystemExit, match="0"):
        teach.main(["--help"])
    shown = capsys.readouterr().out
    examples = [
        teach.parser().parse(line.split()[2:])
        for line in shown.split("examples:\n")[1].splitlines()
        if line.startswith("  zebjax teach ")
    ]
    assert [example.contract for example in examples] == ["", "", "", "30-42"]
    assert [example.rollouts for example in examples] == [None, "small", None, None]
    assert players.make(examples[2].by).judge is not None


def test_no_deal_is_one_that_a_run_of_the_same_seed_is_judged_by():
    """A run's evaluation folds 3 into its seed's key, and self-play and the network 0 to 2."""
    made = {
        teacher.play_file(
            dataclasses.replace(SETTINGS, n=1), teacher.Cast(), index, 4
        ).hands.tobytes()
        for index in range(5)
    }
    root = jax.random.key(SETTINGS.seed)
    judged = {
        np.asarray(matches.deals(jax.random.fold_in(root, n), 0, 4)[0].hands).tobytes()
        for n in range(5)
    }
    assert len(made | judged) == 10
