"""A position as lines of text for a terminal, at most 80 columns wide."""

from collections.abc import Iterable

from zebjax import suits, tiles
from zebjax.dominoes import describe, to_play
from zebjax.position import Position

_NAME = 16
"""Columns of a player's name."""


def names(ids: Iterable[int]) -> str:
    """Names of tiles with spaces between."""
    return " ".join(tiles.TILE_NAMES[tile] for tile in ids)


def short(name: str, width: int = _NAME) -> str:
    """A name cut to `width` characters."""
    return name if len(name) <= width else name[: width - 3] + "..."


def lines(position: Position) -> list[str]:
    """What is known of a position: hands and played tiles by seat, and the tricks."""
    made = [describe(position)]
    if position.auction is not None:
        dealer, calls, marks = position.auction
        said = (f"seat {(dealer + 1 + at) % 4} {call}" for at, call in enumerate(calls))
        made.append(f"bids: {', '.join(said)}; the dealer is seat {dealer}")
        if marks is not None:
            made.append(f"marks before this hand: {marks[0]} to {marks[1]}")
    made.append("")
    width = max(len(short(name)) for name in position.players)
    made.append(f"  seat  {'':{width}}  {'in hand':27}  played".rstrip())
    for seat, hand in enumerate(position.hands):
        played = position.played_by(seat)
        held = (tile for tile in hand if tile not in played)
        left = names(suits.in_order(held, position.declaration))
        if not hand:
            left = " ".join("?" * (tiles.HAND_SIZE - len(played)))
        mark = ">" if seat == to_play(position) else " "
        name = short(position.players[seat])
        made.append(f"{mark} {seat:<4}  {name:{width}}  {left:27}  {names(played)}".rstrip())
    if position.tricks:
        made += ["", "  trick  led by  tiles            won by  points"]
    for number, trick in enumerate(position.tricks, 1):
        won = f"{trick.winner:>6}  {trick.points:>6}" if trick.is_done else ""
        made.append(f"  {number:>5}  {trick.leader:>6}  {names(trick.tiles):15}  {won}".rstrip())
    return made
