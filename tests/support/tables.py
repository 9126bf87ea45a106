"""Tables whose hidden hands differ, for the tests that nobody is told of them."""

import dataclasses
import itertools


def swapped(table):
    """The same table after two hidden tiles have changed hands, legally."""
    game = table.game
    others = [seat for seat in range(4) if seat != table.seat]
    for first, second in itertools.combinations(others, 2):
        for one, other in itertools.product(game.hands[first], game.hands[second]):
            if one in game.plays or other in game.plays:
                continue
            hands = list(game.hands)
            change = {one: other, other: one}
            for seat in (first, second):
                hands[seat] = tuple(change.get(tile, tile) for tile in hands[seat])
            try:
                there = dataclasses.replace(game, hands=tuple(hands))
            except ValueError:  # that hand would have had to follow
                continue
            return dataclasses.replace(table, game=there)
    raise AssertionError("no two tiles can change hands")
