"""Dominoes and positions as SVG, drawn here: no fonts, no files, no requests.

The functions return SVG text. A page may contain it as it is: names are escaped. `STYLE` colours
it, for light and for dark pages.
"""

import html
from collections.abc import Collection, Iterable
from typing import NamedTuple

from zebjax import bidding, suits, tiles
from zebjax.common import bids
from zebjax.position import Position

HALF = 22
"""Side of one half of a tile, in units of the picture."""
GAP = 4
STEP = HALF + GAP
_LINE = 16
"""Height of a line of text."""
_PIPS = {
    0: (),
    1: ((0, 0),),
    2: ((-1, -1), (1, 1)),
    3: ((-1, -1), (0, 0), (1, 1)),
    4: ((-1, -1), (-1, 1), (1, -1), (1, 1)),
    5: ((-1, -1), (-1, 1), (0, 0), (1, -1), (1, 1)),
    6: ((-1, -1), (-1, 0), (-1, 1), (1, -1), (1, 0), (1, 1)),
}
"""Places of the pips on a half, in quarters of its side from its centre."""
STYLE = """
.tile rect { fill: #fffdf6; stroke: #4a463d; }
.tile line { stroke: #4a463d; stroke-width: 0.8; }
.tile circle { fill: #1d1c1a; }
.tile.played { opacity: 0.3; }
.tile.wins rect { stroke: #b5520a; stroke-width: 2.5; }
.tile.best rect { stroke: #1b7748; stroke-width: 2.5; }
.tile.unknown rect { fill: none; stroke-dasharray: 3 2; stroke: #8a857a; }
.words { font: 11px system-ui, sans-serif; fill: #1d1c1a; }
.words.strong { font-weight: 650; }
@media (prefers-color-scheme: dark) {
  .words { fill: #e9e7e2; }
  .tile.wins rect { stroke: #f3a65f; }
  .tile.best rect { stroke: #35b36d; }
}
"""


class Drawing(NamedTuple):
    """SVG elements, and the size that they take from the origin."""

    elements: str
    width: float
    height: float


def tile(tile: int | None, x: float = 0, y: float = 0, mark: str = "") -> str:
    """One upright tile as an SVG group, HALF wide and 2 * HALF high.

    Args:
        tile: its id; None for a hidden tile.
        x: of its left side.
        y: of its top.
        mark: classes of `STYLE`: played, wins, best.
    """
    name = "hidden tile" if tile is None else tiles.TILE_NAMES[tile]
    classes = " ".join(part for part in ("tile", "unknown" * (tile is None), mark) if part)
    parts = [
        f'<g class="{classes}" role="img" aria-label="{name}" transform="translate({x:g} {y:g})">',
        f"<title>{name}</title>",
        f'<rect width="{HALF}" height="{2 * HALF}" rx="3"/>',
    ]
    if tile is not None:
        parts.append(f'<line x1="3" y1="{HALF}" x2="{HALF - 3}" y2="{HALF}"/>')
        for half, pips in enumerate((int(tiles.HIGH[tile]), int(tiles.LOW[tile]))):
            for across, down in _PIPS[pips]:
                cx, cy = HALF * (0.5 + 0.27 * across), HALF * (half + 0.5 + 0.27 * down)
                parts.append(f'<circle cx="{cx:g}" cy="{cy:g}" r="2"/>')
    return "".join([*parts, "</g>"])


def words(text: str, x: float, y: float, *, strong: bool = False) -> str:
    """A line of text as an SVG element; `y` is that of its baseline."""
    classes = "words strong" if strong else "words"
    return f'<text class="{classes}" x="{x:g}" y="{y:g}">{html.escape(text)}</text>'


def row(
    ids: Iterable[int | None], marks: dict[int, str] | None = None, x: float = 0, y: float = 0
) -> Drawing:
    """Tiles side by side.

    Args:
        ids: their ids; None for a hidden tile.
        marks: classes by tile id, see `tile`.
        x: of the left side.
        y: of the top.
    """
    drawn = [
        tile(each, x + STEP * place, y, "" if each is None else (marks or {}).get(each, ""))
        for place, each in enumerate(ids)
    ]
    return Drawing("".join(drawn), x + STEP * len(drawn), y + 2 * HALF)


def document(drawing: Drawing, title: str, style: str = STYLE) -> str:
    """A drawing as a whole SVG element, also a file.

    Args:
        drawing: see `position` or `row`.
        title: what it shows, for those who do not see it.
        style: empty inside a page that has `STYLE` itself.
    """
    width, height = drawing.width + 2 * GAP, drawing.height + 2 * GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="{-GAP} {-GAP} {width:g} {height:g}" '
        f'width="{width:g}" height="{height:g}" role="img">'
        f"<title>{html.escape(title)}</title><style>{style}</style>{drawing.elements}</svg>\n"
    )


def describe(position: Position) -> str:
    """One line about a position: declaration, contract and if it is made or set, points, the seat
    to move.
    """
    parts = [suits.phrase(position.declaration)]
    result = bidding.result(position)
    if position.bid is not None:
        end = f": {result}" if result else ""
        parts.append(f"{_bid(position)}{end}")
    first, second = position.points
    parts.append(f"points {first} to {second}")
    mover = to_play(position)
    parts.append("the hand is over" if mover < 0 else f"seat {mover} to play")
    return ", ".join(parts)


def _bid(position: Position) -> str:
    """The bid of a position that has one."""
    bid = position.bid
    assert bid is not None
    if position.auction is not None:
        dealer, calls, _ = position.auction
        said = bidding.Bidding(dealer, tuple(map(bidding.read, calls)), bids.OPTIONS)
        if said.winner is not None and said.winner.seat != bid.seat:  # a plunge or a splash
            return f"{said.high_name} by seat {said.winner.seat}, led by seat {bid.seat}"
    worth = f"{bid.marks} marks" if bid.marks > 1 else bid.points
    return f"bid {worth} by seat {bid.seat}"


def to_play(position: Position) -> int:
    """The seat to play; -1 if the hand is over, which it is as soon as its bid is made or set."""
    return -1 if bidding.result(position) else position.mover


def win_name(position: Position) -> str:
    """Name of the mover's probability to win: of more points, of making or of setting its bid."""
    if position.bid is None:
        return "P(win)"
    return "P(make)" if position.bid.seat % 2 == position.mover % 2 else "P(set)"


def position(position: Position, best: Collection[int] = ()) -> Drawing:
    """A position: the four hands, with played tiles faded, and beside them the tricks.

    The tile that wins a trick, or holds it so far, has a thick border. At the end no tile is faded.

    Args:
        position: known or unknown hands; of an unknown one its played tiles are shown.
        best: tiles to mark.
    """
    elements, y = [words(describe(position), 0, 11, strong=True)], float(_LINE + GAP)
    for seat, hand in enumerate(position.hands):
        name = f"seat {seat}  {position.players[seat]}".rstrip()
        is_mover = seat == to_play(position)
        elements.append(words(name + " (to play)" * is_mover, 0, y + 11, strong=is_mover))
        shown: list[int | None] = list(hand)
        if not hand:
            played = position.played_by(seat)
            shown = [*played, *[None] * (tiles.HAND_SIZE - len(played))]
        faded = () if position.is_over else position.plays
        marks = dict.fromkeys(faded, "played") | dict.fromkeys(best, "best")
        elements.append(row(shown, marks, 0, y + _LINE).elements)
        y += _LINE + 2 * HALF + 2 * GAP
    left = tiles.HAND_SIZE * STEP + 6 * GAP
    for number, trick in enumerate(position.tricks):
        # Two columns of tricks, since seven would be higher than the hands.
        x = left + (number % 2) * (4 * STEP + 4 * GAP)
        top = _LINE + GAP + number // 2 * (_LINE + 2 * HALF + 2 * GAP)
        won = f", +{trick.points}" if trick.is_done else ""
        elements.append(words(f"{number + 1}: led by {trick.leader}{won}", x, top + 11))
        elements.append(row(trick.tiles, {trick.winning_tile: "wins"}, x, top + _LINE).elements)
    return Drawing("".join(elements), left + 8 * STEP + 4 * GAP, y)
