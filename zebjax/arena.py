"""The command `zebjax arena`: two players, a round robin, the public ladder, or a run's steps."""

import argparse
import contextlib
import itertools
import json
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax import players
from zebjax.common import cli, console, parsing
from zebjax.evaluation import bid_options, config
from zebjax.players import spec

if TYPE_CHECKING:  # imported when a match is played, so that `--help` does not import jax
    from zebjax.evaluation import ladder
    from zebjax.evaluation.matches import MatchResult, OnProgress
    from zebjax.players import Player

DEALS = 1000
MAX_DEALS = 100_000
"""The default of --deals with --until."""
EVERY = 100
"""The default of --every."""
CACHE = Path("runs/arena-cache")


def _anchor(text: str) -> tuple[str, float]:
    spec, _, rating = text.rpartition("=")  # the last one, because a spec may contain "="
    try:
        value = float(rating)
    except ValueError:
        value = math.nan
    if not spec or not math.isfinite(value):
        raise argparse.ArgumentTypeError(
            f"expected PLAYER=RATING as in eq:n=100=1600, got {text!r}"
        )
    return spec, value


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "arena",
        "Play matches between players: which one is stronger, and how certain is that?\n"
        "Each deal is played twice with the teams swapped, so --deals 2000 means 4,000 games per\n"
        "pair. All pairs play the same deals. Finished pairs are kept and not played again, so\n"
        "the same command resumes an interrupted one.",
        "heuristic vs random --deals 2000",
        "heuristic vs random --until 0.02",
        "--matrix random heuristic zeb:runs/quickstart --anchor random=1000 --plot matrix.png",
        "--ladder zeb:out/zeb-557k --plot ladder.png",
        "--run runs/quickstart --every 8 random --deals 200 --plot steps.png",
        "eq:n=100,criterion=make vs eq:n=100 --contract 30 --deals 200",
        "eq:n=100 vs random --contract nello --deals 100",
        "eq:n=20,criterion=make vs eq:n=20 --marks 7 --special nello,splash --deals 20",
        usage="A vs B [options]\n--matrix P1 P2 P3 ... [options]\n--ladder [P ...] [options]\n"
        "--run RUN [--every N] [P ...] [options]",
        notes=spec.help_text(),
    )
    add = made.add_argument
    add(
        "players",
        nargs="*",
        metavar="PLAYER",
        help="A vs B, or the players of a matrix, as listed below",
    )
    mode = made.add_mutually_exclusive_group()
    mode.add_argument(
        "--matrix",
        "--round-robin",
        action="store_true",
        help="every player against every other: the matrix of win rates, and Bradley-Terry ratings",
    )
    mode.add_argument(
        "--ladder",
        action="store_true",
        help=(
            f"the same for the public ladder, {', '.join(config.LADDER)}, and the players given: "
            f"{config.LADDER_DEALS} "
            f"deals per pair, {config.LADDER_DEALS // config.SLOW_SHARE} with E[Q] of "
            f"{config.SLOW_WORLDS} worlds or "
            f"more, anchored at {config.LADDER_ANCHOR[0]}={config.LADDER_ANCHOR[1]:g}"
        ),
    )
    mode.add_argument(
        "--run",
        type=cli.folder,
        metavar="RUN",
        help="rate the steps in RUN/checkpoints: each plays the players given (default: random) "
        "and the step before it; the first step is 1500 unless --anchor names a player",
    )
    add(
        "--every",
        type=cli.integer(1, 10**9),
        metavar="N",
        help=f"with --run: the steps that are multiples of N, the first and the last (default "
        f"{EVERY})",
    )
    add(
        "--deals",
        type=cli.integer(2, 10**8),
        metavar="N",
        help=f"deals per pair (default {DEALS}); with --until the maximum (default {MAX_DEALS})",
    )
    add(
        "--until",
        type=cli.checked(parsing.number(0.001, 0.4)),
        metavar="W",
        help="stop a pair as soon as its win rate is known to +-W (0.01 is 1 %%), by an interval "
        "that stays valid when the sample size depends on the results",
    )
    add(
        "--anchor",
        type=_anchor,
        metavar="P=R",
        help="rate player P at R, as in eq:n=100=1600 (else the mean is 1500)",
    )
    bid_options.add(made)
    add("--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)")
    add(
        "--batch",
        type=cli.integer(1, 10**6),
        default=config.DEALS_AT_ONCE,
        metavar="N",
        help="deals played at once (default %(default)s)",
    )
    add("--json", action="store_true", help="print the result as one JSON object")
    add("--plot", type=cli.picture, metavar="FILE.png", help="draw the result with its intervals")
    keep = made.add_mutually_exclusive_group()
    keep.add_argument(
        "--cache",
        type=cli.folder,
        default=CACHE,
        metavar="DIR",
        help="folder of finished pairs (default %(default)s)",
    )
    keep.add_argument("--no-cache", action="store_true", help="play everything, keep nothing")
    return made


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse the arguments, check them against each other, and add the players of the ladder."""
    made = parser()
    arguments = made.parse(argv)
    words = arguments.players
    if arguments.every is not None and arguments.run is None:
        made.error("--every: expected --run with it")
    modes = {"--matrix": arguments.matrix, "--ladder": arguments.ladder, "--run": arguments.run}
    if mode := next((name for name, is_chosen in modes.items() if is_chosen), None):
        if "vs" in words:
            made.error(f"{mode}: expected players without 'vs' between them")
        if arguments.matrix and len(words) < 2:
            made.error(f"--matrix: expected 2 players or more, got {len(words)}")
    else:
        if len(words) < 3 and (len(words) < 2 or words[1] == "vs"):
            made.error(f"expected A vs B, --matrix or --ladder, got {' '.join(words)!r}")
        if words[1] != "vs":
            made.error(f"expected A vs B, got {words[1]!r} in the place of 'vs'")
        if len(words) > 3:
            made.error(
                f"expected A vs B and nothing more, got {words[3]!r}; for more players add --matrix"
            )
        if arguments.anchor:
            made.error("--anchor: ratings need --matrix, --ladder or --run")
    others = {**modes, "--until": arguments.until, "--plot": arguments.plot}
    try:
        bid_options.check(arguments, (name for name, given in others.items() if given))
    except ValueError as error:
        made.error(str(error))
    if arguments.ladder:
        words[:0] = config.LADDER
        arguments.anchor = arguments.anchor or config.LADDER_ANCHOR
    if arguments.run:
        words[:] = words or ["random"]
        arguments.every = arguments.every or EVERY
    if arguments.anchor and arguments.anchor[0] not in words:
        made.error(f"--anchor: {arguments.anchor[0]!r} is none of the players {', '.join(words)}")
    if arguments.deals is None:
        usual = config.LADDER_DEALS if arguments.ladder else DEALS
        arguments.deals = usual if arguments.until is None else MAX_DEALS
    return arguments


@contextlib.contextmanager
def _show_progress(title: str) -> "Iterator[OnProgress]":
    from zebjax.evaluation import tables

    with cli.progress(title) as show:

        def on_ply(done: float, result: "MatchResult | None") -> None:
            if result is None:
                show(done, "")
            else:
                show(done, f"wins {tables.percent(result)} after {result.n_deals:,} deals")

        yield on_ply


def _note(text: str) -> None:
    cli.complain("arena", text)


def _tell(contenders: Iterable["Player"]) -> None:
    """Print what users should know of the players' play, such as forfeited games."""
    for player in contenders:
        if text := player.summary():
            _note(f"{player.spec}: {text}")


def _match(arguments: argparse.Namespace, rules: "ladder.Rules", cache: "ladder.Cache") -> None:
    """Play A against B and print the result."""
    from zebjax.evaluation import ladder, tables

    a, b = players.make(arguments.players[0]), players.make(arguments.players[2])
    with _show_progress(f"{a.spec} vs {b.spec}") as progress:
        pair = ladder.play(a, b, arguments.deals, rules, cache, progress)
    _tell((a, b))
    if arguments.json:
        more = {
            "seed": rules.seed,
            "seconds": pair.seconds,
            "cached": pair.cached,
            "until": rules.until,
        }
        print(json.dumps({**pair.result.to_dict(), **more}))
    else:
        out = console.make()
        out.print(tables.match_table(pair, rules.until))
        out.print(tables.kind_of_interval(rules.until))
    if arguments.plot:
        tables.plot(arguments.plot, [pair.result], None, tables.kind_of_interval(rules.until))


def _with_bids(arguments: argparse.Namespace, rules: "ladder.Rules", cache: "ladder.Cache") -> None:
    """Play A against B with a contract in every hand, or whole games; print the result."""
    from zebjax.evaluation import tables

    a, b = players.make(arguments.players[0]), players.make(arguments.players[2])
    with cli.progress(f"{a.spec} vs {b.spec}") as show:
        result, table = bid_options.play(
            arguments, (a, b), rules, cache, lambda done: show(done, "")
        )
    _tell((a, b))
    if arguments.json:
        print(json.dumps(result))
    else:
        out = console.make()
        out.print(table)
        out.print(tables.kind_of_interval(None))


def _round_robin(
    arguments: argparse.Namespace, rules: "ladder.Rules", cache: "ladder.Cache"
) -> None:
    """Play every pair of players and print the matrix and the ratings."""
    from zebjax.evaluation import ladder, tables

    anchor = arguments.anchor
    contenders = [players.make(spec) for spec in arguments.players]
    n_pairs, number = math.comb(len(contenders), 2), itertools.count(1)

    def deals(a: str, b: str) -> int:
        return ladder.ladder_deals(a, b, arguments.deals) if arguments.ladder else arguments.deals

    def play_pair(
        a: "Player", b: "Player", n_deals: int, rules: "ladder.Rules", cache: "ladder.Cache"
    ) -> "ladder.Played":
        title = f"{next(number)}/{n_pairs} {a.spec} vs {b.spec}"
        with _show_progress(title) as progress:
            pair = ladder.play(a, b, n_deals, rules, cache, progress)
        print(
            f"{title}: {tables.percent(pair.result)}{', from the cache' if pair.cached else ''}",
            file=sys.stderr,
        )
        return pair

    standings = ladder.round_robin(contenders, deals, rules, cache, anchor, play_pair)
    _tell(contenders)
    kind = (
        f"{tables.kind_of_interval(rules.until)}; ratings: Bradley-Terry by maximum likelihood, "
        "a pair is one observation"
    )
    if rules.until is not None:
        kind += ", normal intervals as for a fixed number of deals"
    if arguments.json:
        print(json.dumps({**standings.to_dict(), "seed": rules.seed, "until": rules.until}))
    else:
        out = console.make()
        out.print("% wins of the row against the column; a tie counts 1/2; ±: half the interval")
        out.print(tables.matrix_table(standings, out.width))
        out.print(tables.rating_table(standings))
        out.print(kind)
        zero = (
            "the mean of all players is 1500"
            if anchor is None
            else f"{anchor[0]} is fixed at {anchor[1]:g}"
        )
        out.print(f"{zero}; intervals of ratings are of the difference to that")
        if standings.has_prior:
            out.print(
                "some players took every point from others: ratings are held finite by one tied "
                "deal a pair"
            )
    if arguments.plot:
        tables.plot(arguments.plot, [pair.result for pair in standings.pairs], standings, kind)


def _steps(arguments: argparse.Namespace, rules: "ladder.Rules", cache: "ladder.Cache") -> None:
    """Rate the steps of a run and print their ratings."""
    from zebjax.evaluation import steps, tables

    run = arguments.run
    with cli.names_option("--run"):
        chosen = steps.chosen(run, arguments.every)
    specs = [*(f"zeb:{steps.folder_of(run, step)}" for step in chosen), *arguments.players]
    contenders = [players.make(spec) for spec in specs]
    names = [*(f"step {step}" for step in chosen), *arguments.players]
    pairs, played = steps.pairs(len(chosen), len(arguments.players)), []
    for number, (a, b) in enumerate(pairs, 1):
        with _show_progress(f"{number}/{len(pairs)} {names[a]} vs {names[b]}") as progress:
            one = steps.play(
                contenders[a], contenders[b], arguments.deals, rules, cache, progress=progress
            )
        played.append(one)
        print(
            f"{number}/{len(pairs)} {names[a]} vs {names[b]}: {tables.percent(one.result)}"
            f"{', from the cache' if one.cached else ''}",
            file=sys.stderr,
        )
    _tell(contenders)
    curve = steps.rate(run, chosen, contenders, played, arguments.anchor)
    if arguments.json:
        more = {"seed": rules.seed, "until": rules.until}
        print(json.dumps({**curve.to_dict(), **more}))
    else:
        out = console.make()
        out.print(steps.table(curve))
        out.print(tables.kind_of_interval(rules.until))
        out.print(f"ratings: {curve.anchor[0]} is fixed at {curve.anchor[1]:g}, Bradley-Terry")
    if arguments.plot:
        steps.plot(arguments.plot, curve)


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.evaluation import ladder

    rules = ladder.Rules(arguments.seed, arguments.batch, arguments.until)
    cache = ladder.Cache(None if arguments.no_cache else arguments.cache, _note)
    is_matrix = arguments.matrix or arguments.ladder
    play = _steps if arguments.run else _round_robin if is_matrix else _match
    play = play if arguments.contract is None and arguments.marks is None else _with_bids
    try:
        play(arguments, rules, cache)
    except KeyboardInterrupt:
        kept = "" if arguments.no_cache else f"; finished pairs are kept in {arguments.cache}"
        _note(f"interrupted, no result{kept}")
        return 130
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("arena", _run, _parse(argv))


if __name__ == "__main__":
    sys.exit(main())
