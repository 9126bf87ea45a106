"""Pictures of dominoes: well-formed, escaped, and with the right pips."""

import dataclasses
import random
import re
import xml.etree.ElementTree as ET

import pytest

from tests.support import played
from zebjax import dominoes, tiles

SVG = "{http://www.w3.org/2000/svg}"


def parsed(position):
    drawing = dominoes.position(position)
    return ET.fromstring(dominoes.document(drawing, dominoes.describe(position)))


@pytest.mark.parametrize("tile", range(28))
def test_a_tile_has_its_pips_on_its_halves(tile):
    group = ET.fromstring(dominoes.tile(tile))
    ups = [float(circle.get("cy")) < dominoes.HALF for circle in group.iter("circle")]
    assert (ups.count(True), ups.count(False)) == (tiles.HIGH[tile], tiles.LOW[tile])
    assert group.get("aria-label") == tiles.TILE_NAMES[tile]


def test_a_hidden_hand_shows_only_what_was_played():
    game = played.random_game(random.Random(1), 9)
    seen = game.seen_by(game.mover)
    drawn = [group.get("aria-label") for group in parsed(seen).iter(f"{SVG}g")]
    assert drawn.count("hidden tile") == len(seen.hidden) == 28 - 7 - 9 + 2
    assert set(drawn) - {"hidden tile"} == {
        tiles.TILE_NAMES[tile] for tile in (*seen.plays, *seen.hands[seen.mover])
    }


@pytest.mark.parametrize("plies", [0, 13, 28])
def test_everything_is_inside_the_picture(plies):
    drawn = parsed(played.random_game(random.Random(2), plies))
    width, height = float(drawn.get("width")), float(drawn.get("height"))
    for group in drawn.iter(f"{SVG}g"):
        x, y = map(float, re.findall(r"[0-9.]+", group.get("transform")))
        assert x + dominoes.HALF < width and y + 2 * dominoes.HALF < height


def test_a_name_is_text():
    name = '<script>alert("1")</script>'
    game = dataclasses.replace(played.random_game(random.Random(3), 2), players=(name, "", "", ""))
    drawn = parsed(game)
    assert f"seat 0  {name}" in [text.text for text in drawn.iter(f"{SVG}text")]
    assert not list(drawn.iter(f"{SVG}script"))
