"""The grammar of player specs.

A spec is `kind[:arg[,key=value]...]`: `random`, `heuristic`, `zeb:runs/first,temperature=0`. An
argument that is a path may contain commas. A new kind needs a function that makes a Player, and an
entry in `KINDS`.
"""

import dataclasses
import os
import pkgutil
import textwrap
import types
from collections.abc import Callable, Collection, Container, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from zebjax.common import cli, hub
from zebjax.common.parsing import hint, integer, nearest, number, one_of, similar
from zebjax.network import places

if TYPE_CHECKING:
    from zebjax.players.base import Player


_WIDTH = 88
"""Columns of the help."""
_BRACKETS = (
    "In [ ]: what may be left out, with its default, as in zeb:bundled,temperature=0 or eq:n=10. "
    "N: a number without a default."
)


def make(spec: str) -> "Player":
    """Make a player from a spec.

    Raises:
        ValueError: if the spec is wrong; the message names it and the nearest valid kind or key.
    """
    name, colon, rest = spec.partition(":")
    if not spec.strip():
        raise ValueError(f"player {spec!r}: expected one of {', '.join(KINDS)}")
    if name not in KINDS:
        meant = _meant(spec)
        instead = f"did you mean {meant!r}?" if meant else f"expected one of {', '.join(KINDS)}"
        raise ValueError(f"player {spec!r}: unknown kind {name!r}; {instead}")
    kind = KINDS[name]
    items = rest.split(",") if colon else []
    positional = []
    if kind.default_argument and not _is_argument(items, kind.options):
        positional.append(kind.default_argument)
    elif kind.takes_argument:
        if not items or not items[0]:
            raise ValueError(f"player {spec!r}: expected {kind.usage}")
        n = _argument_items(items, kind.options, kind.is_path)
        positional.append(",".join(items[:n]))
        items = items[n:]
    try:
        made = pkgutil.resolve_name(kind.maker)(*positional, **_options(kind, items))
    except (ValueError, OSError) as error:
        raise ValueError(f"player {spec!r}: {cli.said(error)}") from error
    from zebjax.players.base import NeedsContract  # jax is imported by now

    if isinstance(made.choose, NeedsContract):
        made = dataclasses.replace(made, choose=dataclasses.replace(made.choose, spec=spec))
    # The file that an argument names can change, so such a spec is no cache key. A spec without an
    # argument is complete.
    return dataclasses.replace(
        made, spec=spec, identity=made.identity or ("" if kind.takes_argument else spec)
    )


def _meant(spec: str) -> str:
    """Return what was probably meant by a spec of an unknown kind: a network, or a kind; "" if
    nothing is similar.
    """
    path = Path(spec if hub.is_hub(spec) else spec.partition(",")[0])
    if hub.is_hub(spec) or str(path) == places.BUNDLED or places.exists(path):
        return f"zeb:{spec}"
    if str(path) in KINDS:
        return spec.replace(",", ":", 1)  # `eq,n=10`
    other = places.suggestion(path)
    if other and nearest(str(path), [other, *KINDS]) == other:
        return f"zeb:{other}"
    return similar(spec.partition(":")[0], KINDS)


def _is_argument(items: list[str], keys: Collection[str]) -> bool:
    """True if the first item is a path and not an option, also not one with a mistyped key."""
    if not items:
        return False
    key, equals, _ = items[0].partition("=")
    if not equals or _exists(items[0]):
        return key not in keys
    return not similar(key, keys)


def _argument_items(items: list[str], keys: Container[str], is_path: bool) -> int:
    """Return how many of the comma-separated items are the argument: 1 unless its path has commas;
    all before the options if it is no path.

    Items at the end with a known key are options. So a path such as `a,sims=8` is recognised only
    if there is no file or folder `a`.
    """
    n_options = 0
    while n_options < len(items) - 1 and items[-1 - n_options].partition("=")[0] in keys:
        n_options += 1
    shortest = len(items) - n_options
    if not is_path:
        return shortest
    # The shorter candidates find the path even if a wrong option follows it, so that the message is
    # about that option.
    ends = (*range(shortest, len(items) + 1), *range(shortest - 1, 0, -1))
    return next((end for end in ends if _exists(",".join(items[:end]))), 1)


def _exists(path: str) -> bool:
    """True for a file or folder, and for a step of a run, `RUN@STEP`."""
    return os.path.exists(path) or os.path.isdir(path.rpartition("@")[0])


def _options(kind: "PlayerKind", items: list[str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    for item in items:
        key, equals, text = item.partition("=")
        if not kind.options:
            raise ValueError(f"expected {kind.usage!r} and nothing more, got {item!r}")
        if not equals:
            raise ValueError(f"expected key=value as in {kind.usage}, got {item!r}")
        if key not in kind.options:
            raise ValueError(f"unknown key {key!r}; {hint(key, kind.options)}")
        if key in options:
            raise ValueError(f"{key} is given twice")
        try:
            options[key] = kind.options[key](text)
        except ValueError as error:
            raise ValueError(f"{key}: {error}") from None
    return options


MAX_WORLDS = 100_000
"""Maximum worlds per decision of E[Q]."""
MAX_OPENING_TRICKS = 6
"""All but the last, `tiles.N_TRICKS` - 1; importing tiles imports numpy, which slows `--help`."""
CRITERIA = ("win", "points", "make")
"""Quantities that E[Q] can maximise, see `exact.player`."""


def _path(text: str) -> str:
    path = text.removeprefix("small:")
    if path in ("", "zeb:"):
        raise ValueError(
            f"expected `small`, `imitator`, the path of a network, or zeb:PATH, got {text!r}"
        )
    return path


class PlayerKind(NamedTuple):
    """One kind of player in the spec grammar."""

    maker: str
    """`module:function` that makes the player. It is imported only when needed, because jax and the
    solver take seconds to load. Called with the argument, if the kind takes one, and the given
    options by name."""
    usage: str
    about: str
    takes_argument: bool = False
    is_path: bool = True
    """True if the argument is a path, of which the file system knows where it ends."""
    default_argument: str = ""
    """The argument if the spec has none; empty: it must have one."""
    options: Mapping[str, Callable[[str], Any]] = types.MappingProxyType({})
    """Name -> parser of the option's text, which raises ValueError with what was expected."""


KINDS = {
    "random": PlayerKind(
        "zebjax.players.basic:random", "random", "any legal tile, all equally likely"
    ),
    "heuristic": PlayerKind(
        "zebjax.players.basic:heuristic",
        "heuristic",
        "the original's rule-based player: looks at pips and points only",
    ),
    "zeb": PlayerKind(
        "zebjax.players.neural:load_zeb",
        "zeb:PATH[,temperature=0.1][,choose=policy][,sims=N[,search=gumbel,worlds=16]]",
        "a network; PATH is `bundled`, a run, a step of a run (runs/NAME@8), a folder made by "
        "`zebjax convert`, a .pt file of the original system, or "
        "hf://USER/REPO[/FILE][@REVISION]; it may contain commas. A network of value make/set "
        "plays only games with a contract, others play for points. Without sims it plays the "
        "network's policy, or with choose=value the move of the highest P(win) + 0.02 * points, "
        "by a head that not every network has, at temperature 0; with sims it runs a tree search "
        "(gumbel or puct) of N simulations in each of `worlds` sampled worlds, at temperature 0",
        takes_argument=True,
        options={
            "temperature": number(0, 100),
            "choose": one_of("policy", "value"),
            "sims": integer(1, 100_000),
            "search": one_of("gumbel", "puct"),
            "worlds": integer(1, 10_000),
        },
    ),
    "small": PlayerKind(
        "zebjax.players.small:player",
        "small[:PATH,temperature=0]",
        "the policy of a small network for CPUs, some microseconds a move; PATH is a file that "
        "`zebjax iterate` or `zebjax imitate` made, or one of those that come with zebjax: `small` "
        "(default) or `imitator`, which foresees the moves of E[Q]",
        takes_argument=True,
        default_argument="small",
        options={"temperature": number(0, 100)},
    ),
    "eq": PlayerKind(
        "zebjax.players.weighted:make",
        "eq[:n=100,criterion=win,n_trick1=N][,belief=small][,rollouts=small][,adaptive=4]",
        "E[Q], the exact teacher: the move that is best on average over n sampled worlds, each "
        "solved to the end, by wins or points (criterion=points), or with a contract by making or "
        "setting it (criterion=make); n_trick1 worlds in the first trick, which takes longest "
        "(default: as n). With belief=PATH, a small network or zeb:PATH, the worlds "
        "are drawn from `candidates` uniform ones (default 500, or 5 * n) by how likely the "
        "network makes the others' past plays in them, each ((1 - floor) * softmax(scores / "
        "temperature) + floor / legal tiles)^power (defaults: floor 0.1, temperature 0.07, power "
        "1), or by chance, with the prior probability `doubt` (default 0.1), so that plays of "
        "somebody else do not mislead; partner=PATH models the partner by another network. The "
        "policy of zeb:PATH is taken as it is, without temperature. With "
        "rollouts=PATH a share `blend` (default 0.5) of each move's result comes from "
        "games that the network plays to the end in each world, every seat from its own view; "
        "with opponents=PATH another network of the same kind plays for the opponents in these "
        "games; rollouts=zeb:PATH excludes adaptive, and takes many seconds a decision on a CPU. "
        "`points` is the weight of a mean point beside P(win) (default 0: they break ties). With "
        "adaptive=K a decision whose moves are close gets up to K * n worlds and a clear one "
        "fewer: a move is dropped when a second of CPU time for it would gain less than `price` "
        "(default 0.05) of P(win). With opening=PATH a small network plays the first "
        "`opening_tricks` tricks (default 2), without worlds, which saves most of the time; with "
        "belief, unless zeb:PATH models the partner, it is taken, with the prior probability "
        "`alike` (default 0.75; 0 is faster), for a player of the same kind, which has played the "
        "best tiles of these tricks. The small "
        "network was trained for points and sees no bid, also where criterion=make uses it",
        options={
            "n": integer(1, MAX_WORLDS),
            "criterion": one_of(*CRITERIA),
            "n_trick1": integer(1, MAX_WORLDS),
            "belief": _path,
            "candidates": integer(1, MAX_WORLDS),
            "floor": number(0, 1),
            "power": number(0, 10),
            "temperature": number(0.001, 100),
            "doubt": number(0, 1),
            "alike": number(0, 0.99),
            "partner": _path,
            "points": number(0, 1),
            "rollouts": _path,
            "opponents": _path,
            "opening": _path,
            "opening_tricks": integer(1, MAX_OPENING_TRICKS),
            "blend": number(0, 1),
            "adaptive": integer(1, 100),
            "price": number(0, 100),
        },
    ),
    "br": PlayerKind(
        "zebjax.players.response:player",
        "br[:n=800]",
        "best response to random players: the move that wins in most of n sampled worlds if the "
        "others play random legal tiles and each later move of its own is one choice for all "
        "sampled worlds that look the same. That avoids strategy fusion until a world is alone, "
        "with 800 worlds after about a trick. It is the 42 player Walt at level 0, from a "
        "description; about as strong as eq:n=100. It plays for more points than the other team, "
        "also in a contract",
        options={"n": integer(1, MAX_WORLDS)},
    ),
    "ext": PlayerKind(
        "zebjax.players.external:load",
        "ext:COMMAND[,timeout=10]",
        "another program, which answers the lines of zebjax/engine.md; COMMAND is divided into "
        "words as by a shell, but no shell runs. A reply that is wrong or takes more than "
        "`timeout` seconds forfeits the game",
        takes_argument=True,
        is_path=False,
        options={"timeout": number(0.01, 3600)},
    ),
    "cheat": PlayerKind(
        "zebjax.players.exact:cheat",
        "cheat",
        "perfect play that sees all four hands: an upper bound for fair players",
    ),
}


def help_text() -> str:
    """Describe all kinds of players, for `--help`."""
    lines = [
        f"  {kind.usage}\n{textwrap.indent(textwrap.fill(kind.about, _WIDTH - 6), '      ')}"
        for kind in KINDS.values()
    ]
    brackets = textwrap.fill(_BRACKETS, _WIDTH - 2)
    return "\n".join(["players:", *lines, "", textwrap.indent(brackets, "  ")])
