"""The arena: paired matches between two players, and how sure one may be of the result.

Each deal is played twice with the same declaration and leader, once with A as team 0 and once as team 1, and with the
same random key at each ply. The luck of the deal mostly cancels in a pair, so a pair is one observation: intervals
come from the spread of pairs, never of games.
"""

import argparse
import contextlib
import dataclasses
import functools
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple, NoReturn

import jax
import numpy as np
import rich.box
from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar
from rich.table import Table

from zebjax import game, players, tiles
from zebjax.players import Player

Z95 = 1.959964
"""Half-width of a 95 % interval of the normal distribution, in standard errors."""
BATCH = 500
"""Deals played at once."""


@dataclasses.dataclass(frozen=True)
class MatchResult:
    """A against B over paired deals; every rate and margin is A's.

    Intervals are normal approximations over deals: mean +- 1.96 standard errors, where the standard error is the
    sample standard deviation of the pairs' means over sqrt(n_deals). With fewer than about 30 deals, or when all
    pairs end alike, they are too narrow.
    """

    a: str
    b: str
    n_deals: int
    """Each played twice: 2 * n_deals games."""
    win_rate: float
    """Mean over games of 1 for more points than B, 1/2 for equal, 0 for fewer."""
    win_rate_stderr: float
    win_rate_ci95: tuple[float, float]
    """Cut off at 0 and 1."""
    margin: float
    """Mean points of A less points of B, a game; in [-42, 42]."""
    margin_stderr: float
    margin_ci95: tuple[float, float]
    deals_for_1_percent: int
    """Deals until the half-width of the win rate's interval is 0.01, at the spread seen here; at least 2."""

    def to_dict(self) -> dict[str, object]:
        """Plain data, ready for JSON."""
        return dataclasses.asdict(self)

    def to_json(self) -> str:
        """One JSON object with the fields of this class."""
        return json.dumps(self.to_dict())


Progress = Callable[[float, MatchResult | None], None]
"""Called after every ply with the share of the match that is done, 0 to 1, and the result so far, if there is one."""


def play_match(
    a: Player, b: Player, n_deals: int, key: jax.Array, batch: int = BATCH, progress: Progress | None = None
) -> MatchResult:
    """Play `n_deals` paired deals, 2 * n_deals games, and sum up.

    The same players, number and key give the same result; with a larger number the first deals stay the same.
    A network that changes between matches costs no compilation if `n_deals` and `batch` stay.

    Args:
        a: the player whose rates are reported.
        b: its opponent. Each plays both seats of its team.
        n_deals: 2 or more.
        key: the source of deals and of all randomness in play.
        batch: about how many deals to play at once.
        progress: see `Progress`.

    Raises:
        ValueError: for n_deals below 2 or batch below 1, and when a player chooses an illegal slot.
    """
    if n_deals < 2:
        raise ValueError(f"deals: expected 2 or more, since an interval needs a spread, got {n_deals}")
    if batch < 1:
        raise ValueError(f"batch: expected 1 or more, got {batch}")
    # Batches of one size, so that nothing is compiled twice; the last may run a few deals too many, which are dropped.
    n_batches = math.ceil(n_deals / batch)
    size = math.ceil(n_deals / n_batches)
    margins = np.zeros((0, 2), np.int32)
    for index in range(n_batches):
        so_far = summarise(a.spec, b.spec, margins) if len(margins) > 1 else None

        def on_ply(ply: int, index: int = index, so_far: MatchResult | None = so_far) -> None:
            if progress is not None:
                progress((index + ply / game.N_PLIES) / n_batches, so_far)

        margins = np.concatenate([margins, play_deals(a, b, key, index * size, size, on_ply)])
    result = summarise(a.spec, b.spec, margins[:n_deals])
    if progress is not None:
        progress(1.0, result)
    return result


def deal_at(key: jax.Array, index: jax.Array) -> tuple[game.GameState, jax.Array]:
    """Deal number `index` of the match with this key, and the key of all play on it (folded in: the ply)."""
    deal_key, play_key = jax.random.split(jax.random.fold_in(key, index))
    return game.deal(deal_key), play_key


def play_deals(
    a: Player,
    b: Player,
    key: jax.Array,
    first: int,
    n_deals: int,
    on_ply: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Play the deals first .. first + n_deals - 1 of the match with this key, each twice, all in lockstep.

    A seat with one legal slot plays it and its player is not asked.

    Returns:
        int32 `[n_deals, 2]`: A's points less B's with A as team 0, and with A as team 1.

    Raises:
        ValueError: if a player chooses a slot that is not legal.
    """
    states, play_keys = _deal_twice(key, first, n_deals)
    team_of_a = np.repeat([0, 1], n_deals)

    def choose(turn: Turn) -> np.ndarray:
        slots = turn.legal.argmax(-1).astype(np.int32)
        has_choice = turn.legal.sum(-1) > 1
        for player, team in ((a, team_of_a), (b, 1 - team_of_a)):
            rows = np.flatnonzero(has_choice & (turn.movers % 2 == team))
            if len(rows):
                slots[rows] = ask(player, turn, rows)
        return slots

    states = play_out(states, play_keys, choose, on_ply)
    points = np.asarray(states.points, np.int32)
    margin_of_team_0 = points[:, 0] - points[:, 1]
    return np.where(team_of_a == 0, margin_of_team_0, -margin_of_team_0).reshape(2, n_deals).T


class Turn(NamedTuple):
    """Many games at one ply, as NumPy arrays with a leading axis."""

    states: game.GameState
    legal: np.ndarray
    """bool `[games, 7]`."""
    movers: np.ndarray
    """The seat to move."""
    keys: np.ndarray
    """uint32 `[games, 2]`: the raw random key of each game at this ply."""


def play_out(
    states: game.GameState,
    play_keys: jax.Array,
    choose: Callable[[Turn], np.ndarray],
    on_ply: Callable[[int], None] | None = None,
) -> game.GameState:
    """Play many fresh games to their end, all in lockstep.

    Args:
        states: before the first play, with a leading axis.
        play_keys: a typed random key a game; at each ply its number is folded in.
        choose: called once a ply; the slots to play, legal ones.
        on_ply: called after every ply with the number of plies played.
    """
    for ply in range(game.N_PLIES):
        legal, movers, keys = (np.asarray(array) for array in _view(states, play_keys, ply))
        states = _play(states, choose(Turn(jax.tree.map(np.asarray, states), legal, movers, keys)))
        if on_ply is not None:
            on_ply(ply + 1)
    return states


def ask(player: Player, turn: Turn, rows: np.ndarray) -> np.ndarray:
    """What a player chooses in the games `rows`.

    Raises:
        ValueError: if a slot is not legal.
    """
    slots, legal = player.choose(players.take(turn.states, rows), turn.keys[rows]), turn.legal[rows]
    in_range = (slots >= 0) & (slots < tiles.HAND_SIZE)
    wrong = ~(in_range & legal[np.arange(len(slots)), np.where(in_range, slots, 0)])
    if wrong.any():
        row = np.flatnonzero(wrong)[0]
        raise ValueError(
            f"player {player.spec!r}: expected one of the legal slots {np.flatnonzero(legal[row]).tolist()}, "
            f"got {slots[row]}"
        )
    return slots


@functools.partial(jax.jit, static_argnames="n_deals")
def _deal_twice(key: jax.Array, first: jax.Array, n_deals: int) -> tuple[game.GameState, jax.Array]:
    """Two copies, one after the other, of the deals and their play keys: leading axis 2 * n_deals."""
    states, play_keys = jax.vmap(deal_at, (None, 0))(key, first + jax.numpy.arange(n_deals))
    twice = jax.numpy.tile(jax.numpy.arange(n_deals), 2)
    return jax.tree.map(lambda leaf: leaf[twice], (states, play_keys))


@jax.jit
def _view(states: game.GameState, play_keys: jax.Array, ply: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Of every game: legal slots bool `[games, 7]`, seat to move `[games]`, raw key of this ply uint32 `[games, 2]`."""
    keys = jax.vmap(jax.random.fold_in, (0, None))(play_keys, ply)
    return jax.vmap(game.legal_slots)(states), jax.vmap(game.current_player)(states), jax.random.key_data(keys)


@jax.jit
def _play(states: game.GameState, slots: jax.Array) -> game.GameState:
    return jax.vmap(game.play)(states, slots)


def summarise(a: str, b: str, margins: np.ndarray) -> MatchResult:
    """What paired games say about two players.

    Args:
        a: name of the player whose margins these are.
        b: name of its opponent.
        margins: `[n_deals, 2]`, A's points less B's in both games of each deal; 2 deals or more.
    """
    win_rate, win_stderr, deviation = _mean_and_stderr((np.sign(margins) + 1) / 2)
    margin, margin_stderr, _ = _mean_and_stderr(margins)
    return MatchResult(
        a=a,
        b=b,
        n_deals=len(margins),
        win_rate=win_rate,
        win_rate_stderr=win_stderr,
        win_rate_ci95=(max(0.0, win_rate - Z95 * win_stderr), min(1.0, win_rate + Z95 * win_stderr)),
        margin=margin,
        margin_stderr=margin_stderr,
        margin_ci95=(margin - Z95 * margin_stderr, margin + Z95 * margin_stderr),
        deals_for_1_percent=max(2, math.ceil((Z95 * deviation / 0.01) ** 2)),
    )


def _mean_and_stderr(by_game: np.ndarray) -> tuple[float, float, float]:
    """Mean, its standard error and the standard deviation of the pairs' means, from `[n_deals, 2]`."""
    pairs = by_game.mean(axis=1)
    deviation = float(pairs.std(ddof=1))
    return float(pairs.mean()), deviation / math.sqrt(len(pairs)), deviation


# The command


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one sentence, without the usage, and exits with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"arena: {message}\n")


def _integer(low: int, high: int) -> Callable[[str], int]:
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected a whole number from {low} to {high}, got {text!r}")
        return value

    return parse


def _parser() -> argparse.ArgumentParser:
    kinds = "\n".join(f"  {kind.usage:28} {kind.about}" for kind in players.KINDS.values())
    parser = _Parser(
        prog="python -m zebjax.arena",
        description=(
            "Play two players against each other and say which is stronger and how sure that is.\n"
            "Each deal is played twice with the teams swapped, so --deals 2000 means 4,000 games."
        ),
        epilog=f"players:\n{kinds}\n\nexample:\n  python -m zebjax.arena heuristic vs random --deals 2000",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("a", metavar="A", help="the player to judge, as listed below")
    parser.add_argument("vs", metavar="vs", help="the word vs")
    parser.add_argument("b", metavar="B", help="its opponent")
    parser.add_argument("--deals", type=_integer(2, 10**8), default=1000, metavar="N", help="deals (default 1000)")
    parser.add_argument("--seed", type=_integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)")
    parser.add_argument(
        "--batch", type=_integer(1, 10**6), default=BATCH, metavar="N", help=f"deals played at once (default {BATCH})"
    )
    parser.add_argument("--json", action="store_true", help="print the result as one JSON object")
    return parser


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = _parser()
    arguments, unknown = parser.parse_known_args(argv)
    if unknown:
        options = [option for action in parser._actions for option in action.option_strings]
        hint = f"; did you mean {players.nearest(unknown[0], options)}?" if unknown[0].startswith("-") else ""
        parser.error(f"unexpected argument {unknown[0]!r}{hint}")
    if arguments.vs != "vs":
        parser.error(f"expected A vs B, got {arguments.vs!r} in the place of 'vs'")
    return arguments


def _percent(result: MatchResult) -> str:
    low, high = result.win_rate_ci95
    return f"{100 * result.win_rate:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


@contextlib.contextmanager
def _show_progress(title: str) -> Iterator[Progress]:
    """Progress on stderr: a bar with the running interval on a terminal, else a line whenever a batch is done."""
    console = Console(stderr=True)
    if not console.is_terminal:
        shown: list[MatchResult] = []

        def line(done: float, result: MatchResult | None) -> None:
            if result is not None and (not shown or shown[-1].n_deals < result.n_deals):
                shown.append(result)
                print(f"{100 * done:3.0f} %  {result.n_deals} deals  wins {_percent(result)}", file=sys.stderr)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn(), TextColumn("{task.fields[wins]}"))
    with ProgressBar(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=1.0, wins="")

        def update(done: float, result: MatchResult | None) -> None:
            bar.update(task, completed=done, wins="" if result is None else f"wins {_percent(result)}")

        yield update


def _table(result: MatchResult, games_per_s: float) -> Table:
    low, high = result.margin_ci95
    table = Table(box=rich.box.SIMPLE, show_header=False, title=f"{result.a} vs {result.b}", title_justify="left")
    for name, value in (
        ("wins, a tie half", f"{_percent(result)}"),
        ("points a game", f"{result.margin:+.2f} [{low:+.2f}, {high:+.2f}]"),
        ("deals, each played twice", f"{result.n_deals:,}"),
        ("standard error of wins", f"{100 * result.win_rate_stderr:.2f} %"),
        ("deals for +-1 %", f"{result.deals_for_1_percent:,}"),
        ("games/s", f"{games_per_s:,.0f}"),
    ):
        table.add_row(name, value)
    return table


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see `--help`. Returns the exit status: 0, or 2 after one sentence on stderr for bad input."""
    arguments = _parse(argv)
    try:
        a, b = players.make(arguments.a), players.make(arguments.b)
        start = time.perf_counter()
        with _show_progress(f"{a.spec} vs {b.spec}") as progress:
            key = jax.random.key(arguments.seed)
            result = play_match(a, b, arguments.deals, key, batch=arguments.batch, progress=progress)
    except ValueError as error:
        print(f"arena: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("arena: interrupted, no result", file=sys.stderr)
        return 130
    seconds = time.perf_counter() - start
    if arguments.json:
        print(json.dumps({**result.to_dict(), "seed": arguments.seed, "seconds": round(seconds, 3)}))
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        console.print(_table(result, 2 * result.n_deals / seconds))
        console.print("95 % intervals from paired deals, normal approximation")
    return 0


if __name__ == "__main__":
    sys.exit(main())
