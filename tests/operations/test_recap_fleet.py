"""What the machines of a run did and cost, from its fleet's events."""

import json

import pytest

from tests.support import recap_run
from zebjax.operations.recap import fleet, results

HOUR = 3600.0


def event(hour, name, kind, price=None, gpu=""):
    return fleet.Event(HOUR * hour, "selfplay", name, kind, "", gpu, price, "")


def test_a_machine_is_paid_for_from_rental_to_end():
    found = fleet.spans(
        [
            event(0, "a", "rented", 0.1),
            event(1, "a", "started", None, "RTX 4070"),
            event(2, "b", "started", 0.2, "RTX 3080"),
            event(3, "a", "crashed"),
            event(3, "a", "ended"),
            event(4, "a", "restarted", 0.1, "RTX 4070"),
        ],
        now_s=6 * HOUR,
    )
    assert [(s.name, s.hours, s.gpu, s.ended_by) for s in found] == [
        ("a", 3.0, "RTX 4070", "crashed"),
        ("b", 4.0, "RTX 3080", ""),
        ("a", 2.0, "RTX 4070", ""),
    ]
    costs = fleet.costs(found)
    assert [(c.gpu, c.machines, c.hours) for c in costs] == [("RTX 3080", 1, 4), ("RTX 4070", 1, 5)]
    assert [c.usd for c in costs] == pytest.approx([0.8, 0.5])
    assert fleet.total_usd(costs) == pytest.approx(1.3)


def test_hours_without_a_price_are_counted_apart():
    found = fleet.spans([event(0, "a", "started"), event(0, "b", "started", 0.1)], 2 * HOUR)
    (cost,) = fleet.costs(found)
    assert (cost.usd, cost.hours, cost.unpriced_hours) == (pytest.approx(0.2), 4.0, 2.0)
    assert cost.usd_per_hour == pytest.approx(0.1)
    assert fleet.total_usd(fleet.costs([found[0]])) is None


def test_events_are_read_by_time_and_other_lines_skipped(tmp_path):
    (tmp_path / "fleet").mkdir()
    texts = dict.fromkeys(("role", "host", "detail"), "")
    late, early = (texts | {"time_s": t, "event": "started", "name": f"{t}"} for t in (9, 3))
    nan, number = late | {"time_s": float("nan")}, late | {"event": 2}
    odd = ["{", "[]", json.dumps(nan), json.dumps(number), ""]
    lines = [json.dumps(late), *odd, json.dumps(early | {"price_usd_per_hour": -1, "gpu": None})]
    (tmp_path / fleet.FILE).write_text("\n".join(lines))
    found = fleet.read(tmp_path)
    assert [(e.name, e.role, e.price_usd_per_hour) for e in found] == [
        ("3", "", None),
        ("9", "", None),
    ]
    assert fleet.read(tmp_path / "none") == []


def test_a_worker_has_the_gpu_and_price_of_its_newest_event():
    beats = [
        {"name": "a", "role": "selfplay", "games_per_s": 4.0},
        {"name": "b", "role": "evalaux", "device": "RTX 3060", "price_usd_per_hour": 0.05},
    ]
    events = [event(0, "a", "rented", 0.1, "RTX 4070"), event(1, "a", "rented", 0.08, "RTX 4070")]
    b, a = fleet.workers(beats, [*events, event(2, "a", "ended")])
    assert (a.gpu, a.usd_per_game_per_s) == ("RTX 4070", pytest.approx(0.02))
    assert (b.gpu, b.price_usd_per_hour, b.usd_per_game_per_s) == ("RTX 3060", 0.05, None)


# Results of the arena


def match(a, b, rate, n=100):
    return {"a": a, "b": b, "win_rate": rate, "n_deals": n, "win_rate_ci95": [rate - 0.1, rate]}


def test_the_ratings_of_a_ladder_are_shown_as_they_are():
    found = results.combine([recap_run.ladder()])
    assert [(one.player, one.elo) for one in found.ratings.players] == [
        ("eq:n=100", 1600),
        ("zeb:large-belief", 1579),
        ("eq:n=500", 1561),
        ("random", 1386),
    ]
    assert found.ratings.players[1].interval == (1559, 1599)
    assert found.ratings.anchor == "eq:n=100 is fixed at 1600"


def test_ratings_with_another_anchor_are_moved_and_lose_their_intervals():
    moved = recap_run.ladder()
    for one in moved["ratings"]:
        one["elo"] -= 100
    found = results.combine([moved]).ratings
    assert found.players[0].elo == 1600 and found.players[0].interval is None


def test_matches_alone_are_rated_if_they_connect_to_the_anchor():
    files = [
        match("zeb:x", "eq:n=100", 0.2),
        match("eq:n=100", "zeb:x", 0.5),  # newer
        {"matches": [match("zeb:x", "random", 10 / 11), match("alone", "other", 0.5)]},
    ]
    found = results.combine(files)
    rated = {one.player: one.elo for one in found.ratings.players}
    assert rated == {
        "eq:n=100": pytest.approx(1600),
        "zeb:x": pytest.approx(1600),
        "random": pytest.approx(1200),  # odds of 10 to 1 are 400 points
    }
    assert len(found.matches) == 3 and found.matches[0].win_rate == 0.5


def test_a_network_with_a_belief_head_is_told_from_one_without(tmp_path):
    for name, has_head in (("with", True), ("without", False)):
        folder = tmp_path / name / "checkpoints" / "step_000000001"
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({"belief_head": has_head}))
    a, b = (f"zeb:{tmp_path}/{name},temperature=0.1" for name in ("with", "without"))
    found = results.combine([match(a, b, 0.53), match("zeb:bundled", "random", 0.7)])
    heads = results.belief_heads(found.matches, results.config_of)
    assert heads == {a: True, b: False, "zeb:bundled": True}


def test_a_file_of_something_else_is_refused(tmp_path):
    (tmp_path / "x.json").write_text('{"rows": [], "matches": [{"a": "b"}]}')
    with pytest.raises(ValueError, match=r"x\.json: expected the output of `zebjax arena"):
        results.read(tmp_path / "x.json")
