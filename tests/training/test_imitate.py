"""The small network learns to foresee moves: lessons, gradient, and the command."""

import jax
import numpy as np
import pytest

from tests.support.contracts import finished
from tests.support.small import add_belief_gradient, net_of_seed, outputs_in_python
from zebjax import imitate, record
from zebjax.record import TargetKind
from zebjax.small import rules, storage
from zebjax.training import small_descent, small_imitate, teacher_config


def games(n):
    """n random games whose targets are mostly the move played; games, and plies with a choice."""
    _, records = finished(n)
    ranks = small_imitate.read(records).ranks
    rng, policy = np.random.default_rng(1), np.zeros((n, 28, 7), np.float16)
    kind = np.full((n, 28), TargetKind.FORCED, np.int8)
    row = np.zeros(rules.SIZE, np.int64)
    for number in range(n):
        hands, declaration = records.hands[number], records.declaration[number]
        rules.start(row, hands, declaration, records.leader[number])
        for ply in range(28):
            own, legal = ranks[number, rules.mover(row)], rules.legal_tiles(row)
            can = (legal >> own.astype(np.int64)) & 1
            policy[number, ply] = 0.2 * can / can.sum()
            policy[number, ply, records.slots[number, ply]] += 0.8
            if can.sum() > 1 and rng.random() < 0.9:
                kind[number, ply] = TargetKind.TEACHER
            rules.play(row, own[records.slots[number, ply]])
    weight = np.ones((n, 28), np.float16)
    return records._replace(policy=policy, kind=kind, weight=weight)


def test_moves_without_a_choice_or_a_target_are_no_lessons():
    _, records = finished(2)
    records = records._replace(
        policy=np.full((2, 28, 7), 1 / 7, np.float16), weight=np.ones((2, 28), np.float16)
    )
    records.kind[:] = TargetKind.TEACHER
    records.kind[0, 3], records.kind[0, 4] = TargetKind.FORCED, TargetKind.NONE
    records.weight[1, 5] = 0
    used = small_imitate.read(records).targets.any(-1)
    assert np.argwhere(~used).tolist() == [[0, 3], [0, 4], [1, 5]]


def test_a_share_of_each_target_is_its_best_move_whatever_was_played():
    records = games(3)
    best = records.policy.argmax(-1)
    records = records._replace(slots=np.zeros_like(records.slots))  # as if drawn at random
    own, half, sure = (small_imitate.read(records, share).targets for share in (0.0, 0.5, 1.0))
    used = own.any(-1)
    assert 20 < used.sum() and (half.any(-1) == used).all() and (sure.any(-1) == used).all()
    np.testing.assert_allclose(half, (own + sure) / 2, atol=1e-6)
    np.testing.assert_array_equal(sure[used].argmax(-1), best[used])
    assert (sure[used].max(-1) == 1).all()


def test_games_of_several_folders_are_read_and_a_missing_one_is_named(tmp_path, capsys):
    metadata = record.Metadata(record.TEACHER, "test", 0, {})
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        _, records = finished(5)
        record.write(tmp_path / name / "a.safetensors", records, metadata)
    folders = [str(tmp_path / name) for name in ("one", "two", "three")]
    out = str(tmp_path / "net.safetensors")
    assert imitate.main([*folders, out]) == 2
    assert f"{tmp_path / 'three'} does not exist; expected a folder" in capsys.readouterr().err
    for one, other in ((folders[0], folders[0]), (folders[0], str(tmp_path))):
        assert imitate.main([one, other, out]) == 2
        expected = (
            f"zebjax imitate: GAMES: {one} is in {other}; expected folders that share no file"
        )
        assert capsys.readouterr().err == expected + "\n"
    assert imitate.main([*folders[:2], out]) == 2  # 10 games are too few
    expected = f"zebjax imitate: {folders[0]}, {folders[1]}: expected games of all ten declarations"
    assert capsys.readouterr().err.startswith(expected)


def test_win_is_a_criterion_of_games_without_a_contract():
    with pytest.raises(ValueError, match="criterion: expected points with a contract"):
        teacher_config.Settings(contract="30", criterion="win")


def test_too_few_games_are_refused_in_one_sentence(tmp_path, capsys):
    _, records = finished(12)
    rest = np.flatnonzero(records.declaration != 9)
    only = jax.tree.map(lambda field: field[rest], records)
    (tmp_path / "games").mkdir()
    metadata = record.Metadata(record.TEACHER, "test", 0, {})
    record.write(tmp_path / "games" / "a.safetensors", only, metadata)
    assert imitate.main([str(tmp_path / "games"), str(tmp_path / "net.safetensors")]) == 2
    assert "expected games of all ten declarations; make more games" in capsys.readouterr().err
    assert not (tmp_path / "net.safetensors").exists()
    assert imitate.main([str(tmp_path / "none"), str(tmp_path / "net.safetensors")]) == 2
    assert (
        "none does not exist; expected a folder of games, made with `zebjax"
        in capsys.readouterr().err
    )
    games_file = tmp_path / "games" / "a.safetensors"
    assert imitate.main([str(games_file), str(tmp_path / "net.safetensors")]) == 2
    assert "is a file; expected a folder of games, made with `zebjax" in capsys.readouterr().err
    assert imitate.main([str(tmp_path / "games"), str(tmp_path / "no" / "net")]) == 2
    assert "is no file in a folder that exists" in capsys.readouterr().err


def test_both_networks_that_come_with_zebjax_can_be_loaded():
    for name in (storage.BUNDLED_NAME, storage.IMITATOR):
        assert np.isfinite(storage.load(name).last).all()


def loss_in_python(params, lessons):
    """The loss that `gradient` differentiates, summed over decisions, and their rows."""
    net, total, rows = small_descent.net_of(params), 0.0, []
    row = np.zeros(rules.SIZE, np.int64)
    for number in range(len(lessons.slots)):
        rules.start(row, lessons.hands[number], *(int(field[number]) for field in lessons[2:4]))
        for ply in range(28):
            own, target = lessons.ranks[number, rules.mover(row)], lessons.targets[number, ply]
            if target.any():
                value, points = outputs_in_python(net, row).reshape(2, 28)
                scores = (0.5 * value + 0.2 * points) / small_imitate.TEMPERATURE
                legal = [rank for rank in range(28) if rules.legal_tiles(row) >> rank & 1]
                norm = np.logaddexp.reduce(scores[legal])
                total -= (target * np.where(target > 0, scores[own] - norm, 0)).sum()
                rows.append(row.copy())
            rules.play(row, own[lessons.slots[number, ply]])
    return total, rows


# Slow: compiling the kernel. What is above covers the lessons, tests/small the layers.
@pytest.mark.slow
def test_the_gradient_is_that_of_the_cross_entropy():
    lessons = small_imitate.read(games(60))
    params = small_descent.params_of(net_of_seed(3, spread=0.2))
    chosen = small_descent.balanced(lessons.declaration)
    few = lessons.where(chosen.ravel())
    grad = small_descent.new_gradient(small_descent.net_of(params))
    small_imitate.gradient(small_descent.net_of(params), lessons, chosen, grad, 1)
    expected, rows = loss_in_python(params, few)
    assert grad.losses[:, 0].sum() == len(rows) > 100
    assert grad.losses[:, 1].sum() == pytest.approx(expected, rel=1e-4)
    slopes = small_descent.slopes_of(grad)
    of_beliefs, net = np.zeros_like(params.beliefs), small_descent.net_of(params)
    loss = sum(add_belief_gradient(net, row, of_beliefs) for row in rows)
    assert grad.losses[:, 5].sum() == pytest.approx(loss, rel=1e-4)
    np.testing.assert_allclose(slopes.beliefs, of_beliefs, atol=1e-3)
    for name in params._fields[:-1]:  # the beliefs have a loss of their own
        if name == "by_tile":  # `params_of` shares by rank alone
            continue
        slope = getattr(slopes, name).reshape(-1)
        place = int(np.abs(slope).argmax())
        ends = []
        for sign in (1, -1):  # so short a step that no unit passes 0
            moved = small_descent.Params(*(p.astype(np.float64) for p in params))
            getattr(moved, name).reshape(-1)[place] += sign * 1e-5
            ends.append(loss_in_python(moved, few)[0])
        assert slope[place] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=0.03), name


@pytest.mark.slow
def test_the_command_makes_a_network_that_foresees_more(tmp_path, capsys):
    metadata = record.Metadata(record.TEACHER, "test", 0, {})
    (tmp_path / "games").mkdir()
    record.write(tmp_path / "games" / "a.safetensors", games(60), metadata)
    storage.save(tmp_path / "start.safetensors", net_of_seed(3, spread=0.2), {})
    out = tmp_path / "net.safetensors"
    options = ["--start", str(tmp_path / "start.safetensors"), "--passes", "40"]
    assert imitate.main([str(tmp_path / "games"), str(out), *options]) == 0
    before, after, _ = capsys.readouterr().out.splitlines()
    assert float(after.split()[1]) < float(before.split()[1])
    assert storage.load(out).second.shape == (8, 4)
