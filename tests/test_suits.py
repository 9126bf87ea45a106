"""Names of suits, and the order of a hand."""

import pytest

from zebjax import notation, position_json, special, suits, tiles


def names(hand, declaration=None):
    held = [tiles.TILE_NAMES.index(name) for name in hand.split()]
    return " ".join(tiles.TILE_NAMES[tile] for tile in suits.in_order(held, declaration))


@pytest.mark.parametrize("declaration", range(special.N_DECLARATIONS))
def test_each_declaration_is_read_by_both_of_its_names(declaration):
    assert suits.read(special.DECLARATION_NAMES[declaration]) == declaration
    assert suits.read(f" {suits.NAMES[declaration].upper()}") == declaration
    assert suits.read(suits.phrase(declaration).partition(" (")[0]) == declaration


@pytest.mark.parametrize(
    ("text", "pip"), [("Ones", 1), ("twos", 2), ("trumps threes", 3), ("sixes are trumps", 6)]
)
def test_other_words_of_players_are_read_in_files_too(text, pip):
    assert suits.read(text) == pip
    assert notation.read(f"declaration {text}\nleader 0\n").declaration == pip
    data = position_json.write(notation.read("declaration blanks\nleader 0\n"))
    assert data["declaration"] == "trump 0"
    assert position_json.read(data | {"declaration": text}).declaration == pip


@pytest.mark.parametrize(
    ("text", "guess"), [("sixs", "sixes"), ("trump 7", "trump 0"), ("duces", "deuces"), ("", "one")]
)
def test_a_wrong_word_gets_the_nearest(text, guess):
    with pytest.raises(ValueError, match="is not a declaration; did you mean '") as error:
        suits.read(text)
    if text:
        assert str(error.value).endswith(f"{guess!r}?")


def test_a_hand_is_held_by_suits_the_trumps_first_and_doubles_before_their_suit():
    hand = "4-1 6-6 6-4 3-3 4-4 6-2 1-0"
    assert names(hand) == "6-6 6-4 6-2 4-4 4-1 3-3 1-0"
    assert names(hand, 4) == "4-4 6-4 4-1 6-6 6-2 3-3 1-0"
    assert names(hand, tiles.DOUBLES_TRUMP) == "6-6 4-4 3-3 6-4 6-2 4-1 1-0"
    assert names(hand, special.NELLO_DOUBLES) == names(hand, tiles.DOUBLES_SUIT)
    assert names(hand, special.NELLO) == names(hand, tiles.NO_TRUMP) == names(hand)
    assert names(hand, special.SEVENS) == "6-2 4-4 3-3 4-1 6-4 6-6 1-0"
