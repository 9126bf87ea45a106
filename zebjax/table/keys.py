"""What the keys of `zebjax play` do, in lines of at most 74 columns."""

from typing import Any

from zebjax import special, tiles

OPTION_KEYS = (
    "Instead of trump: l nello, d nello* (nello with doubles a suit), s sevens,\n8 doubles a suit."
)
_ASK = "h: what each tile is worth   b: who may hold the hidden tiles   t: tricks\n"
_UNDO = "u: take back what you did last   r: review at the end   n: next hand"
_SCROLL = "Page Up and Page Down scroll this text."
HELP = (
    "Click a tile, or press its number. You and your partner need more of the\n"
    f"42 points. {_SCROLL}\n{_ASK}{_UNDO}"
)
HELP_OF_CONTRACTS = (
    "Click a tile, or press its number. The hand ends when the bid is made or\n"
    f"set. {_SCROLL}\n{_ASK}{_UNDO}"
)
HELP_OF_ALL_POINTS = (
    "Click a tile, or press its number. The bidder's team must take every\n"
    f"trick. {_SCROLL}\n{_ASK}{_UNDO}"
)
_NELLO_HELP = (
    "Nello: no trump, the bidder's partner takes no part, and the bidder must\n"
    f"take no trick. {{doubles}}\n{_SCROLL}\n{_ASK}{_UNDO}"
)
HELP_OF_SPECIALS = {
    special.NELLO: _NELLO_HELP.format(doubles="Doubles are the highest of their suit."),
    special.NELLO_DOUBLES: _NELLO_HELP.format(doubles="Doubles are a suit of their own."),
    special.SEVENS: (
        "Sevens: no suits. You play your tile whose pips are nearest to seven in\n"
        "all; the nearest wins, the first of equals. The bidder's team must take\n"
        f"every trick. {_SCROLL}\n{_ASK}{_UNDO}"
    ),
}
BID_HELP = (
    "One round of bids. The highest bidder names trump, leads, and must take\n"
    "its points with its partner: then the hand is worth its marks for them,\n"
    f"else for the others. 7 marks win. {_SCROLL}\n"
    "+ and -: another bid   y: say it   p: pass   h: what you can make\n"
    "Trump: 0 blanks, 1 aces to 6 sixes, 7 doubles, 9 follow me (no trump)\n"
    f"{_UNDO}"
)


def of_play(view: dict[str, Any]) -> str:
    """The keys while tiles are played."""
    if view["auction"] is None:
        return HELP
    is_all = view["auction"]["bid"]["points"] == tiles.TOTAL_POINTS
    usual = HELP_OF_ALL_POINTS if is_all else HELP_OF_CONTRACTS
    return HELP_OF_SPECIALS.get(view["declaration"], usual)


def of_bids(options: tuple[str, ...], rules: dict[str, str]) -> str:
    """The keys at a table with bids, and the rules of what it allows, see `text.RULES_OF_OPTIONS`.

    The keys come first: a terminal of 24 lines shows six.
    """
    return "\n".join((BID_HELP, *[OPTION_KEYS] * bool(options), *(rules[each] for each in options)))
