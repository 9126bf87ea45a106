"""The keys of `zebjax play`, and the short names on its buttons of declarations."""

import dataclasses

from textual.binding import Binding

from zebjax import special, suits, tiles

_KEYS = {special.NELLO: "l", special.NELLO_DOUBLES: "d", special.SEVENS: "s"}
"""Keys of declarations beside the digits."""
_SHORT = {tiles.DOUBLES_SUIT: "suit", tiles.NO_TRUMP: "follow", special.NELLO_DOUBLES: "nello*"}
"""Names of declarations that are longer than a button."""
_KEYS_OF_APP = (
    *(Binding(str(digit), f"digit({digit})", show=False) for digit in range(10)),
    *(Binding(key, f"declare({each})", show=False) for each, key in _KEYS.items()),
    Binding("p", "pass_", show=False),
    Binding("y", "say", show=False),
    Binding("plus,equals_sign,up", "raise_(1)", show=False),
    Binding("minus,down", "raise_(-1)", show=False),
    Binding("pagedown", "scroll(1)", show=False),
    Binding("pageup", "scroll(-1)", show=False),
    Binding("h", "hint", "hint"),
    Binding("b", "beliefs", "beliefs"),
    Binding("u", "undo", "undo"),
    Binding("t", "tricks", "tricks"),
    Binding("question_mark", "help", "help"),
    Binding("r", "review", "review"),
    Binding("n", "next", "next hand"),
    Binding("q", "leave", "quit"),
)
ALL = (
    *_KEYS_OF_APP,
    # Capital letters do the same: the README names the keys so.
    *(
        dataclasses.replace(each, key=each.key.upper(), show=False)
        for each in _KEYS_OF_APP
        if len(each.key) == 1 and each.key.isalpha()
    ),
)
"""Each key with what it does."""


def label(declaration: int, n_shown: int) -> str:
    """The two lines of the button of a declaration: its key, and its name.

    Args:
        declaration: one of `special.DECLARATION_NAMES` by its place.
        n_shown: number of buttons in the line of 80 columns.
    """
    name = _SHORT.get(declaration, suits.NAMES[declaration])
    if n_shown == special.N_DECLARATIONS and declaration == tiles.DOUBLES_TRUMP:
        name = "dbls"  # the names of all, with a space after each, are then just 80 columns
    return f"{_KEYS.get(declaration, declaration)}\n{name}"
