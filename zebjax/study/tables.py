"""Tables of an analysis and of a review for a terminal, at most 80 columns wide."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Union

from zebjax import tiles
from zebjax.dominoes import describe, win_name
from zebjax.study.text import short

if TYPE_CHECKING:
    from rich.table import Table

    from zebjax.position import Position
    from zebjax.study.analysis import Analysis
    from zebjax.study.review import Decision


_WHO = ("left", "partner", "right")


def _table(*columns: str, words: int = 1) -> "Table":
    """A table whose first `words` columns are text and the others numbers."""
    import rich.box
    from rich.table import Table

    table = Table(box=rich.box.SIMPLE, padding=(0, 1, 0, 0), pad_edge=False)
    for place, name in enumerate(columns):
        table.add_column(name, justify="left" if place < words else "right", no_wrap=True)
    return table


def analysis(result: "Analysis", network: str) -> Iterator[Union["Table", str]]:
    """The moves and the beliefs of one analysis.

    Args:
        result: the analysis.
        network: name of the network.
    """
    position = result.position
    has_policy = result.moves[0].policy is not None
    names = {tile: spec for spec, tile in result.choices.items()}
    table = _table("move", win_name(position), "points", *["policy"] * has_policy)
    for move in result.moves:
        cells = [tiles.TILE_NAMES[move.tile], f"{100 * move.p_win:.1f} %", f"{move.points:.1f}"]
        table.add_row(*cells, *[f"{100 * (move.policy or 0):.1f} %"] * has_policy)
    yield table
    which = "all" if result.n_worlds == result.all_worlds else f"{result.n_worlds:,} of"
    yield f"over {which} {result.all_worlds:,} worlds that fit what seat {position.mover} has seen"
    for tile, spec in names.items():
        yield f"{spec} plays {tiles.TILE_NAMES[tile]}"
    if not result.holders:
        return
    seats = [(position.mover + step) % 4 for step in (1, 2, 3)]
    has_belief = result.holders[0].network is not None
    headings = [f"{who} {seat}" for who, seat in zip(_WHO, seats, strict=True)]
    table = _table("hidden", *headings, *[f"{name} (net)" for name in _WHO] * has_belief)
    for holder in result.holders:
        shares = [*holder.marginal, *(holder.network or ())]
        table.add_row(tiles.TILE_NAMES[holder.tile], *(f"{100 * share:.0f} %" for share in shares))
    yield table
    yield "left, partner, right: exact counting" + f"; net: {network}" * has_belief


def review(
    game: "Position", decisions: Sequence["Decision"], n: int
) -> Iterator[Union["Table", str]]:
    """The decisions of a game and the cost by seat.

    Args:
        game: the game.
        decisions: those of `review.review`.
        n: worlds of E[Q].
    """
    from zebjax.study.review import totals  # it imports jax

    yield describe(game)
    win = "P(win)" if game.bid is None else "P(make)"
    headings = ("trick", "seat", "played", "best", f"{win}\nlost", "points\nlost")
    table = _table(*headings, "best in\nthe deal", "lost in\nthe deal", words=2)
    for decision in decisions:
        is_best, deal = decision.best is decision.played, decision.deal_lost
        table.add_row(
            str(decision.ply // 4 + 1),
            f"{decision.seat} {short(game.players[decision.seat])}".rstrip(),
            tiles.TILE_NAMES[decision.played.tile],
            "" if is_best else tiles.TILE_NAMES[decision.best.tile],
            "" if is_best else f"{100 * decision.p_win_lost:.1f} %",
            "" if is_best else f"{decision.points_lost:.1f}",
            tiles.TILE_NAMES[decision.deal_best.tile] if deal else "",
            f"{deal}{'!' if decision.turned else ''}" if deal else "",
        )
    yield table
    table = _table("seat", "decisions", f"{win} lost", "points lost", "lost in the deal")
    for total in totals(decisions):
        table.add_row(
            f"{total.seat} {short(game.players[total.seat])}".rstrip(),
            str(total.decisions),
            f"{100 * total.p_win_lost:.1f} %",
            f"{total.points_lost:.1f}",
            "-" if total.deal_lost is None else str(total.deal_lost),
        )
    yield table
    yield f"best, {win} and points: over {n} worlds that fit what the seat has seen (E[Q])"
    yield "in the deal: points by perfect play with all hands known; !: the win too"
