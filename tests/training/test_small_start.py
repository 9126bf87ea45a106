"""Policy iteration that begins with a network: the copy in its folder, rounds, and ratings."""

import dataclasses
import shutil

import numpy as np
import pytest

from tests.support.small import net_of_seed
from zebjax import iterate
from zebjax.small import storage
from zebjax.training import labelled_games, small_folder, small_games, small_match, small_run
from zebjax.training.small_config import Settings

pytestmark = pytest.mark.slow  # most of it is compiling two large kernels
OPTIONS = ["--games", "80", "--hidden", "8", "--second", "4", "--move", "4", "--move-second", "4"]


@pytest.fixture
def start(tmp_path, monkeypatch):
    monkeypatch.setattr(small_run, "MATCH_DEALS", 20)
    monkeypatch.setattr(small_run, "START_DEALS", 40)
    file = tmp_path / "mine.safetensors"
    storage.save(file, net_of_seed(3), {})
    return file


def run(out, settings):
    small_run.run(settings, out, 1, *[lambda *_: None] * 3)
    return small_folder.read_log(out, settings.rounds)


def settings_of(start, **given):
    of = {"rounds": 1, "games": 80, "hidden": 8, "second": 4, "move": 4, "move_second": 4}
    return Settings(**of | {"start": str(start), "passes": 2.0, "batch": 40} | given)


def test_the_network_plays_the_first_round_and_the_fit_goes_on_from_it(start, tmp_path):
    out, net = tmp_path / "out", storage.load(start)
    (first,) = run(out, settings_of(start, last_rate=1e-9, rate=1e-9, decay=0.0))
    copy, fitted = (storage.load(out / f"round_0{n}.safetensors") for n in (0, 1))
    for one, other, after in zip(net, copy, fitted, strict=True):
        np.testing.assert_array_equal(one, other)
        np.testing.assert_allclose(one, after, atol=2e-3)  # at no rate nothing is learned
    games = labelled_games.read(out / "games_01_000.safetensors")
    assert len(games.leader) == 80  # all rounds are full
    again = small_games.play(net, 80, (0, 0, 0), Settings().explore, 1)
    np.testing.assert_array_equal(games.plays, again.plays)
    assert first.vs_start == pytest.approx(0.5, abs=0.1) and 0 <= first.vs_start_ci95 < 0.2


def test_a_stopped_run_resumes_to_the_same_networks(start, tmp_path):
    settings = settings_of(start, rounds=2, anew=True)
    whole = run(tmp_path / "whole", settings)
    run(tmp_path / "parts", dataclasses.replace(settings, rounds=1))
    parts = run(tmp_path / "parts", settings)
    assert [each._replace(seconds=0) for each in parts] == [
        each._replace(seconds=0) for each in whole
    ]
    for name in ("round_01.safetensors", "round_02.safetensors"):
        nets = (storage.load(tmp_path / folder / name) for folder in ("parts", "whole"))
        for one, other in zip(*nets, strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_fit_anew_does_not_know_the_network_and_may_be_wider(start, tmp_path):
    networks = []
    for name, other in (("one", 3), ("two", 4)):
        storage.save(start, net_of_seed(other), {})
        run(tmp_path / name, settings_of(start, anew=True, hidden=12, rate=1e-9, last_rate=1e-9))
        networks.append(storage.load(tmp_path / name / "round_01.safetensors"))
    assert networks[0].first.shape[-1] == 12
    for one, other in zip(*networks, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


def test_another_network_of_the_same_name_is_refused(start, tmp_path):
    run(tmp_path / "out", settings_of(start))
    storage.save(start, net_of_seed(4), {})
    with pytest.raises(
        ValueError, match=r"made with other settings \(--start is [0-9a-f]{16}, now"
    ):
        run(tmp_path / "out", settings_of(start, rounds=2))


def test_the_same_network_of_another_name_goes_on_and_a_missing_one_has_a_copy(start, tmp_path):
    out, moved = tmp_path / "out", tmp_path / "moved.safetensors"
    run(out, settings_of(start))
    start.rename(moved)
    with pytest.raises(
        ValueError, match=r"--start: .*mine.safetensors: cannot be read .*; its copy"
    ):
        run(out, settings_of(start, rounds=2))
    copy = out / "round_00.safetensors"
    assert len(run(out, settings_of(copy, rounds=2))) == 2
    copy.write_bytes(b"damaged")
    assert len(run(out, settings_of(moved, rounds=3))) == 3
    for one, other in zip(storage.load(copy), storage.load(moved), strict=True):
        np.testing.assert_array_equal(one, other)


def test_games_of_the_first_round_are_played_again_by_the_copy(start, tmp_path):
    settings = settings_of(start)
    run(tmp_path / "out", settings)
    file = tmp_path / "out" / "games_01_000.safetensors"
    before = labelled_games.read(file)
    file.unlink()
    run(tmp_path / "out", dataclasses.replace(settings, rounds=2))
    np.testing.assert_array_equal(labelled_games.read(file).plays, before.plays)


def test_the_command_rates_against_the_start_and_goes_on_after_a_copy(start, tmp_path, capsys):
    out = tmp_path / "out"
    assert iterate.main([str(out), "--start", str(start), "--rounds", "1", *OPTIONS]) == 0
    shown = capsys.readouterr().out
    assert "% vs random   % vs start     before" in shown
    assert max(map(len, shown.splitlines()[:3])) <= 92
    shutil.copytree(out, tmp_path / "copy")
    again = [str(tmp_path / "copy"), "--start", str(start), "--rounds", "1", *OPTIONS]
    assert iterate.main(again) == 0
    assert "all rounds were there already" in capsys.readouterr().out


def test_a_match_of_two_networks_is_that_of_the_other_side(start):
    one, other = net_of_seed(3), net_of_seed(4)
    margins = small_match.against(one, other, 30, (4,), 1)
    swapped = small_match.against(other, one, 30, (4,), 2)
    np.testing.assert_array_equal(margins[:, 0], -swapped[:, 1])
    np.testing.assert_array_equal(margins[:, 1], -swapped[:, 0])
    same = small_match.against(one, one, 30, (4,), 1)
    np.testing.assert_array_equal(same[:, 0], -same[:, 1])
    assert np.abs(margins).max() > 0 and (margins != same).any()
    strong = small_match.against(storage.load("small"), one, 200, (5,), 2)
    assert (np.sign(strong) + 1).mean() / 2 > 0.6  # the first network's points come first
