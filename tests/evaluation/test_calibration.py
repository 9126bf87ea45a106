"""Calibration of P(make): groups, scores, and a call that resumes."""

import dataclasses

import numpy as np
import pytest

from zebjax import bid
from zebjax.common import files
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


ROWS = [Row(30 + deal, 6, 0.8, 0.75, deal % 2 == 0) for deal in range(6)]


def test_a_call_resumes_from_the_deals_it_kept(tmp_path, capsys):
    """With enough deals kept it plays none."""
    kept, settings = tmp_path / "deals.json", Settings(n=2, seed=3)
    plain = [list(dataclasses.astuple(row)) for row in ROWS]
    files.write_json(kept, {"settings": dataclasses.asdict(settings), "rows": plain})
    assert calibration.measure(settings, 6, kept) == calibration.summarise(settings, ROWS)
    assert calibration.measure(settings, 4, kept).all.n_deals == 4
    with pytest.raises(ValueError, match=r"deals.json: it holds deals of other settings"):
        calibration.measure(dataclasses.replace(settings, n=3), 4, kept)
    words = ["--calibrate", "6", "--n", "2", "--seed", "3"]
    assert bid.main([*words, "--keep", str(kept)]) == 0
    shown = capsys.readouterr().out
    assert "Brier score" in shown and "bid 35" in shown


@pytest.mark.slow  # plays E[Q]; contracts and E[Q] are covered by test_contracts and test_exact
def test_deals_are_chosen_and_played(tmp_path, monkeypatch):
    monkeypatch.setattr(calibration, "DEALS_AT_ONCE", 6)
    settings, kept, calls = Settings(n=2, play_n=5, seed=3), tmp_path / "deals.json", []
    calibration.measure(settings, 4, kept, calls.append)
    assert calls == [1.0]
    rows = files.read_json(kept)["rows"]
    assert [row[0] for row in rows] == [*range(30, 36)] and len({row[1] for row in rows}) > 1
    assert calibration.play(settings, 2, 6)[:4] == [Row(*row) for row in rows[2:]]
    calibration.plot(calibration.measure(settings, 6, kept), tmp_path / "a.png")
    assert (tmp_path / "a.png").exists()
