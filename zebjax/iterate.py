"""The command `zebjax iterate`: train the small network by honest policy iteration."""

import argparse
import dataclasses
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from zebjax.common import cli, console, locks, parsing
from zebjax.small import MAX_WIDTH
from zebjax.training.small_config import Settings, option_of

if TYPE_CHECKING:  # imported when the command runs, so that `--help` does not import numba
    from zebjax.training.small_folder import Round


def parser() -> cli.Parser:
    """The command's parser."""
    defaults = Settings()
    made = cli.Parser(
        "iterate",
        "Train the small network for `small:PATH` and eq:...,belief=PATH on CPUs, from nothing\n"
        "or, with --start, from one that was trained before.\n"
        "In each round the network plays games against itself; every legal move is played to the\n"
        "end by it, each seat from its own view; then it is fitted to the outcomes. Ctrl-C\n"
        "stops; the same command resumes, and more --rounds continue a finished one.\n\n"
        "It prints for each round: wins of the new network's best moves against random play, over\n"
        "2,000 paired deals; and errors (mean squared) of the value of moves relative to their\n"
        "mean, and of the mean: `before` on the new games, `after` on those of the fit. In OUT\n"
        "curve.png shows the wins, and rounds.jsonl has these numbers, a JSON object a round.",
        "runs/small --rounds 20",
        "runs/next --start small --anew --rounds 4 --games 200000 --passes 2",
    )
    add = made.add_argument
    add(
        "out",
        type=Path,
        metavar="OUT",
        help="a new folder or one to resume; round_NN.safetensors are the networks",
    )
    whole = cli.integer(1, 10**9)
    width = cli.integer(4, MAX_WIDTH, 4)
    for name, kind, about in (
        ("rounds", whole, "rounds in all"),
        ("games", cli.integer(80, 10**9), "games of a round; from nothing the first 3 have less"),
        ("window", whole, "the last rounds whose games are fitted"),
        ("hidden", width, "width of the first layer, a multiple of 4"),
        ("second", width, "width of the second layer, a multiple of 4"),
        ("move", width, "width of the first layer of a move, a multiple of 4"),
        ("move_second", width, "width of the second layer of a move, a multiple of 4"),
    ):
        default = getattr(defaults, name)
        help_text = f"{about} (default {default})"
        add(option_of(name), type=kind, default=default, metavar="N", help=help_text)
    positive = cli.checked(parsing.number(1e-6, 1000))
    for name, about in (
        ("passes", "times that each game of the window is read in a round"),
        ("rate", "learning rate of the first round; it falls to --last-rate"),
        ("last_rate", "lowest learning rate"),
    ):
        default = getattr(defaults, name)
        help_text = f"{about} (default {default:g})"
        add(option_of(name), type=positive, default=default, metavar="X", help=help_text)
    add(
        "--batch",
        type=cli.integer(10, 10**6, 10),
        default=defaults.batch,
        metavar="N",
        help=f"games of one update, a multiple of 10 (default {defaults.batch})",
    )
    add(
        "--start",
        type=cli.checked(parsing.not_empty),
        default=None,  # argparse would check "" as if it had been given
        metavar="PATH",
        help="begin with a network as in small:PATH, such as small: it plays the first round, and "
        "the fit goes on from its weights, which must have these widths. Each round is rated "
        "against it too",
    )
    add(
        "--anew",
        action="store_true",
        help="fit a new network in each round, from nothing, of any width; then --passes 2 is "
        "about right, and --last-rate as --rate, so that the rate does not fall",
    )
    add(
        "--decay",
        type=cli.checked(parsing.number(0, 1000)),
        default=defaults.decay,
        metavar="X",
        help=f"weight decay of AdamW (default {defaults.decay:g})",
    )
    add("--seed", type=cli.integer(0, 2**32 - 1), default=0, help="of deals and play (default 0)")
    return made


def _header(has_start: bool) -> str:
    start = f"{'% vs start':>13}" if has_start else ""
    return (
        " " * len(start) + f"{'error of values':>48}{'of their mean':>19}\n"
        f"round{'games':>11}{'% vs random':>13}{start}" + 2 * f"{'before':>11}{'after':>8}"
    )


def _line(result: "Round", has_start: bool) -> str:
    def error(value: float | None) -> str:
        return "?" if value is None else f"{value:.3f}"

    def wins(rate: float | None, half: float | None) -> str:
        return "?" if rate is None or half is None else f"{100 * rate:.1f} ± {100 * half:.1f}"

    start = f"{wins(result.vs_start, result.vs_start_ci95):>13}" if has_start else ""
    return (
        f"{result.round:5}{result.games:>11,}"
        f"{wins(result.vs_random, result.vs_random_ci95):>13}{start}"
        f"{error(result.value_error_before):>11}{error(result.value_error_after):>8}"
        f"{error(result.mean_error_before):>11}{error(result.mean_error_after):>8}"
    )


def _run(arguments: argparse.Namespace) -> int:
    import numba

    from zebjax.solver import cached_code
    from zebjax.training import small_fit, small_folder, small_games, small_match, small_run

    def begin(earlier: "list[Round]") -> None:
        print(_header(bool(settings.start)), flush=True)
        for each in earlier:
            report(each)
        if earlier and earlier[-1].round < settings.rounds:
            print(f"resuming {arguments.out} after round {earlier[-1].round}", flush=True)
        elif earlier:
            print("all rounds were there already")
            return
        kernels = [small_games.play_many, small_fit.gradient_of_games, small_match.play_many]
        kernels += [small_match.play_both] if settings.start else []
        cached_code.announce("zebjax iterate", "the small network", "90 s", *kernels)

    last_round = 0

    def report(result: "Round") -> None:
        nonlocal last_round
        last_round = result.round
        print(_line(result, bool(settings.start)), flush=True)

    names = [field.name for field in dataclasses.fields(Settings) if field.name != "explore"]
    given = {name: getattr(arguments, name) for name in names}
    settings = Settings(**given | {"start": arguments.start or ""})
    small_folder.require_own(arguments.out)  # before the lock, which is a file there
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # stop as after Ctrl-C
    try:
        with (
            locks.locked(arguments.out, "wait for it or choose another OUT"),
            cli.progress(f"policy iteration in {arguments.out}") as show,
        ):
            done = small_run.run(
                settings, arguments.out, numba.config.NUMBA_NUM_THREADS, show, begin, report
            )
    except KeyboardInterrupt:
        print(f"stopped after round {last_round}; the same command resumes", flush=True)
        return 130
    finally:
        signal.signal(signal.SIGTERM, before)
    last = arguments.out / f"round_{done:02}.safetensors"
    n_games = sum(settings.games_of(number) for number in range(done))
    rounds = console.counted(done, "round")
    print(f"complete: {rounds}, {n_games:,} games, in {arguments.out}; more with --rounds")
    print(f"next: zebjax arena small:{last} vs heuristic\n      zebjax play small:{last}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("iterate", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
