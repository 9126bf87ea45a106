"""The spec grammar that names every player.

A spec is `kind[:arg[,key=value]...]`: `random`, `heuristic`, `zeb:runs/first,temperature=0`. An
argument that is a path may have commas in it. A new kind is one function that makes a Player and
one line in `KINDS`.
"""

import dataclasses
import os
import pkgutil
import textwrap
import types
from collections.abc import Callable, Container, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from zebjax.common.parsing import integer, nearest, number, one_of

if TYPE_CHECKING:
    from zebjax.players.base import Player


def make(spec: str) -> "Player":
    """The player that a spec names.

    Raises:
        ValueError: one sentence that names the spec and what was expected, with the nearest valid
            kind or key.
    """
    name, colon, rest = spec.partition(":")
    if name not in KINDS:
        raise ValueError(
            f"player {spec!r}: unknown kind {name!r}; did you mean {nearest(name, KINDS)!r}?"
        )
    kind = KINDS[name]
    items = rest.split(",") if colon else []
    positional = []
    if kind.takes_argument:
        if not items or not items[0]:
            raise ValueError(f"player {spec!r}: expected {kind.usage}")
        n = _argument_items(items, kind.options)
        positional.append(",".join(items[:n]))
        items = items[n:]
    try:
        made = pkgutil.resolve_name(kind.maker)(*positional, **_options(kind, items))
    except (ValueError, OSError) as error:
        raise ValueError(f"player {spec!r}: {error}") from error
    # What an argument names, a file for one, can change; a spec without one says all there is.
    return dataclasses.replace(
        made, spec=spec, identity=made.identity or ("" if kind.takes_argument else spec)
    )


def _argument_items(items: list[str], keys: Container[str]) -> int:
    """How many of the comma-separated items are the argument: 1, unless a path has commas in it.

    Items at the end with a known key are options, so a path that looks like one (`a,sims=8`) is
    taken as a path only where the shorter one is not there.
    """
    n_options = 0
    while n_options < len(items) - 1 and items[-1 - n_options].partition("=")[0] in keys:
        n_options += 1
    shortest = len(items) - n_options
    # The last ones are for a complaint about what follows the path.
    ends = (*range(shortest, len(items) + 1), *range(shortest - 1, 0, -1))
    return next((end for end in ends if os.path.exists(",".join(items[:end]))), 1)


def _options(kind: "PlayerKind", items: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not kind.options:
            raise ValueError(f"expected {kind.usage!r} and nothing more, got {item!r}")
        if not equals:
            raise ValueError(f"expected key=value as in {kind.usage}, got {item!r}")
        if key not in kind.options:
            raise ValueError(f"unknown key {key!r}; did you mean {nearest(key, kind.options)!r}?")
        if key in options:
            raise ValueError(f"{key} is given twice")
        try:
            options[key] = kind.options[key](text)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return options


MOST_WORLDS = 100_000
"""Of E[Q]'s worlds a decision."""
CRITERIA = ("win", "points")
"""What E[Q] may maximise, see `eq.player`."""


class PlayerKind(NamedTuple):
    """One kind of player in the spec grammar."""

    maker: str
    """`module:function` that makes the player, imported when one is made: a network, or the
    solver's compiler, takes seconds to load. Called with the argument, if the kind takes one, and
    the options that were given, by name."""
    usage: str
    about: str
    takes_argument: bool = False
    options: Mapping[str, Callable[[str], Any]] = types.MappingProxyType({})
    """Name -> parser of its text, which raises a ValueError saying what was expected."""


KINDS = {
    "random": PlayerKind(
        "zebjax.players.basic:random", "random", "any legal tile, all equally likely"
    ),
    "heuristic": PlayerKind(
        "zebjax.players.basic:heuristic",
        "heuristic",
        "the original's rule-based player: pips and counts only",
    ),
    "zeb": PlayerKind(
        "zebjax.players.neural:load_zeb",
        "zeb:PATH[,temperature=0.1][,sims=64,search=gumbel,worlds=16]",
        "a network; PATH is `bundled`, a run, one step of it, a folder that `zebjax convert` "
        "made, a .pt file of the original's, or hf://USER/REPO[/FILE][@REVISION]; it may have "
        "commas in it: only known keys at the end are options. Without sims its policy; with sims "
        "a tree search (gumbel or puct) in each of so many sampled worlds, temperature 0",
        takes_argument=True,
        options={
            "temperature": number(0, 100),
            "sims": integer(1, 100_000),
            "search": one_of("gumbel", "puct"),
            "worlds": integer(1, 10_000),
        },
    ),
    "eq": PlayerKind(
        "zebjax.players.exact:player",
        "eq[:n=100,criterion=win|points,n_trick1=N]",
        "the exact teacher: best on average over n worlds solved to the end; n_trick1 of them in "
        "the first trick",
        options={
            "n": integer(1, MOST_WORLDS),
            "criterion": one_of(*CRITERIA),
            "n_trick1": integer(1, MOST_WORLDS),
        },
    ),
    "cheat": PlayerKind(
        "zebjax.players.exact:cheat",
        "cheat",
        "perfect play with all four hands seen: a ceiling, not a player",
    ),
}


def help_text() -> str:
    """All kinds of players, for `--help`."""
    lines = [
        f"  {kind.usage}\n{textwrap.indent(textwrap.fill(kind.about, 110), '      ')}"
        for kind in KINDS.values()
    ]
    return "players:\n" + "\n".join(lines)
