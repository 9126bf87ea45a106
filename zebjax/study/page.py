"""A review as one HTML page: no script, no request, one file."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jinja2
import markupsafe

from zebjax import __version__, dominoes, tiles
from zebjax.dominoes import Drawing
from zebjax.position import Position
from zebjax.study.review import Decision, totals

_FOLDER = Path(__file__).parent
MISTAKE = 0.02
"""P(win) lost from which a decision is marked."""
ABOUT = (
    "What a seat could know is judged by E[Q]: each move is solved exactly in {n} worlds that fit "
    "what the seat has seen. {win} and points are means over them. In the deal: points of the "
    "team in the true deal if all play after the move is perfect, which no player can know."
)


def render(game: Position, decisions: Sequence[Decision], n: int, name: str) -> str:
    """Return the page. All texts are escaped, whatever they hold; only our pictures and the style
    sheet are not.

    Args:
        game: the game.
        decisions: those of `review`.
        n: worlds of E[Q].
        name: name of the game, for the title.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    win = "P(win)" if game.bid is None else "P(make) or P(set)"
    style = (_FOLDER / "page.css").read_text() + dominoes.STYLE
    return environment.get_template("page.html.jinja").render(
        title=f"{name}: review",
        subtitle=dominoes.describe(game),
        style=markupsafe.Markup(style),
        deal=_picture(dominoes.position(game), "hands and tricks"),
        totals=totals(decisions),
        names=game.players,
        win=win,
        about=ABOUT.format(n=n, win=win),
        decisions=[_decision(decision) for decision in decisions],
        footer=f"Made by zebjax {__version__}.",
    )


def _picture(drawing: Drawing, title: str) -> markupsafe.Markup:
    return markupsafe.Markup(dominoes.document(drawing, title, style=""))


def _decision(decision: Decision) -> dict[str, Any]:
    before, played = decision.before, decision.played
    name = tiles.TILE_NAMES[played.tile]
    player = before.players[decision.seat]
    who = f"seat {decision.seat}" + f" ({player})" * bool(player)
    return {
        "ply": decision.ply,
        "title": f"Trick {decision.ply // 4 + 1}: {who} plays {name}",
        "verdict": verdict(decision),
        "is_mistake": decision.p_win_lost >= MISTAKE,
        "win": dominoes.win_name(before),
        "picture": _hand(decision),
        "rows": [
            {
                "tile": tiles.TILE_NAMES[option.tile],
                "p_win": option.p_win,
                "points": option.points,
                "deal_points": option.deal_points,
                "notes": ", ".join(
                    note
                    for note, other in (
                        ("played", played),
                        ("best", decision.best),
                        ("best in the deal", decision.deal_best),
                    )
                    if option is other and (other is not decision.deal_best or _knows(decision))
                ),
            }
            for option in decision.options
        ],
    }


def _knows(decision: Decision) -> bool:
    return decision.deal_lost is not None


def verdict(decision: Decision) -> str:
    """One sentence about a decision."""
    if decision.best is decision.played:
        text = "The best move by what the seat could know."
    else:
        text = (
            f"{tiles.TILE_NAMES[decision.best.tile]} was better: "
            f"{100 * decision.p_win_lost:.1f} % and {decision.points_lost:.1f} points lost."
        )
    if decision.deal_lost:
        text += (
            f" In the true deal {tiles.TILE_NAMES[decision.deal_best.tile]} was worth "
            f"{decision.deal_lost} points more" + ", and the win" * decision.turned + "."
        )
    return text


def _hand(decision: Decision) -> markupsafe.Markup:
    """The tiles on the table, and the mover's hand: the move played and the best one marked."""
    before = decision.before
    hand = before.hands[decision.seat]
    marks = dict.fromkeys(before.plays, "played")
    marks[decision.played.tile] = "wins"
    marks[decision.best.tile] = "best"
    left = 4 * dominoes.STEP + 4 * dominoes.GAP
    led = f"led by seat {before.trick_leader}" if before.trick else "to lead"
    table = dominoes.row(before.trick, {}, 0, 16)
    own = dominoes.row(hand, marks, left, 16)
    elements = [
        dominoes.words(led, 0, 11),
        dominoes.words("hand: green is best, orange was played", left, 11),
        table.elements,
        own.elements,
    ]
    width = max(own.width, left + 220)
    return _picture(Drawing("".join(elements), width, own.height), "table and hand")
