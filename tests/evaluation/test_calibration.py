"""Calibration of P(make): groups, scores, and a call that resumes."""

import dataclasses

import numpy as np
import pytest

from zebjax import bid
from zebjax.evaluation import calibration
from zebjax.evaluation.calibration import Row, Settings


def test_promises_are_grouped_and_scored():
    rows = [
        Row(30, 6, 0.95, 0.9, True),
        Row(31, 6, 0.95, 1.0, False),
        Row(30, 5, 0.4, 0.35, False),
        Row(30, 5, 0.5, 0.39, True),
    ]
    result = calibration.summarise(Settings(), rows)
    assert [(group.name, group.n_deals) for group in result.by_promise] == [
        ("30 to 40 %", 2),
        ("90 to 100 %", 2),
    ]
    low, high = result.by_promise
    assert (low.promised, low.fresh, low.made) == pytest.approx((0.45, 0.37, 0.5))
    assert (high.promised, high.fresh, high.made) == pytest.approx((0.95, 0.95, 0.5))
    assert low.made_ci95[0] < 0.5 < low.made_ci95[1]
    assert [(group.name, group.n_deals) for group in result.by_bid] == [("30", 3), ("31", 1)]
    assert result.all.made == 0.5 and result.value == "make/set"
    assert result.brier == pytest.approx(np.mean([0.01, 1, 0.1225, 0.3721]))
    assert result.brier_of_rate == 0.25


def test_bids_come_in_turn_or_are_one():
    assert [Settings().bid_of(deal) for deal in (0, 1, 12, 13)] == [30, 31, 42, 30]
    assert {Settings(bid=33).bid_of(deal) for deal in range(20)} == {33}


def test_an_interrupted_calibration_resumes(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(calibration, "DEALS_AT_ONCE", 6)  # the size of other tests' programs
    settings, kept = Settings(n=2, play_n=5, seed=3), tmp_path / "deals.json"
    calls = []
    first = calibration.measure(settings, 4, kept, calls.append)
    assert calls == [1.0] and first.all.n_deals == 4

    def refuse(*_):
        raise AssertionError("played again")

    monkeypatch.setattr(calibration, "play", refuse)
    six = calibration.measure(settings, 6, kept)
    assert six.all.n_deals == 6 and [group.name for group in six.by_bid] == [
        *map(str, range(30, 36))
    ]
    with pytest.raises(ValueError, match=r"deals.json: it holds deals of other settings"):
        calibration.measure(dataclasses.replace(settings, n=3), 4, kept)
    # The command says what came, of the same deals.
    monkeypatch.setattr(calibration, "Settings", lambda **_: settings)
    picture = tmp_path / "a.png"
    assert bid.main(["--calibrate", "6", "--keep", str(kept), "--plot", str(picture)]) == 0
    shown = capsys.readouterr().out
    assert "Brier score" in shown and "bid 35" in shown and picture.exists()
