"""Positions as JSON: exact round trip, and errors that name the field."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support import played
from zebjax import position_json

GOOD = {
    "hands": [["6-6", "6-5", "6-4", "5-0", "3-2", "3-1", "0-0"], None, None, None],
    "declaration": "trump 6",
    "leader": 0,
    "plays": ["6-6", "6-1", "6-2", "6-3", "6-5"],
    "bid": {"seat": 0, "points": 31, "marks": 1},
}


@given(played.seen())
@settings(max_examples=25)
def test_positions_make_the_round_trip(made):
    data = json.loads(json.dumps(position_json.write(made)))
    assert position_json.read(data) == made


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("hands", None, "hands: expected a list of four hands, each seven tiles or null, got null"),
        ("hands", [["6-6"], None, None, None], r"hands\[0\]\[0\]: hand 0: expected 7 tiles"),
        ("hands", [[6], None, None, None], r"hands\[0\]\[0\]: expected a tile as in 6-4, got 6"),
        ("declaration", "trump 7", 'declaration: expected one of trump 0, .*, got "trump 7"'),
        ("declaration", "trump 6" + " " * 40, "declaration: expected one of trump 0, .*, got "),
        ("declaration", ["x"], r'declaration: expected one of trump 0, .*, got \["x"\]'),
        ("leader", 4, r"leader: expected an integer 0\.\.3, got 4"),
        ("leader", True, r"leader: expected an integer 0\.\.3, got true"),
        ("plays", ["6-6", "6-7"], r'plays\[1\]: expected a tile as in 6-4, got "6-7"'),
        ("plays", ["6-6"] * 40, "plays: expected a list of at most 28 tiles"),
        ("plays", ["6-6", "6-6"], r"plays\[1\]: 6-6 has been played before"),
        ("plays", ["1-1"], r"plays\[0\]: seat 0 plays 1-1, which is not in its hand"),
        ("bid", {"seat": 0}, r"bid\.points: expected an integer 30\.\.42, got null"),
        ("bid", {"seat": 1, "points": 30}, "bid: the bidder leads the first trick, 0; got 1"),
        ("bid", 31, "bid: expected an object with seat and points, or null, got 31"),
        ("player", "x", "'player': unknown key; did you mean 'plays'"),
    ],
)
def test_an_error_names_the_field(field, value, message):
    with pytest.raises(ValueError, match=message) as error:
        position_json.read(GOOD | {field: value})
    assert "\n" not in str(error.value) and len(str(error.value)) < 250


ODD = (None, True, -1, 2**80, 1.5, float("nan"), "", "6-6", "x" * 300, [], {}, [[]], [None] * 4)
ODD += ({"seat": 0}, {"seat": None, "points": [], "marks": {}}, ["6-6", 1], [["6-6"] * 9, 0, {}, 1])


@given(st.sampled_from(ODD) | st.lists(st.sampled_from(ODD), max_size=5))
@settings(max_examples=100)
def test_any_value_of_a_field_is_a_position_or_an_error(value):
    for field in GOOD:
        try:
            position_json.read(GOOD | {field: value})
        except ValueError as error:
            assert str(error)
