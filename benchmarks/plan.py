"""Plan a run: hours and USD on each kind of GPU and on mixes, and how many workers it needs."""

import dataclasses
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from zebjax import game
from zebjax.common import cli, files, parsing
from zebjax.operations.rented import speeds as published
from zebjax.operations.rented.ranking import key

from . import report, table

ABOUT = """A run ends when the learner has trained on all its games, --games-per-cycle of them in a
cycle. It takes as long as the slower of the two sides, playing or learning, times an overhead. The
first row is the original's run, computed from its author's figures. `source` says for each row if
the self-play speed was measured (a result in benchmarks/results), published (by the original's
author, for his code) or predicted (a roofline of the compiled program, scaled to other cards by the
published speeds). A predicted speed was seen on no device."""

# The original's run `large-belief`, as its author published it.
ORIGINAL_GAMES, ORIGINAL_CYCLES, ORIGINAL_CYCLE_S = 1_700_608, 3743, 43.3
ORIGINAL_HOURS, ORIGINAL_USD = 50.0, 14.72
ORIGINAL_FLEET_GAMES_PER_S, ORIGINAL_FLEET_WORKERS = 35.0, 12
GAMES_PER_CYCLE, UPDATES_PER_CYCLE, CAPACITY = 454, 1000, 500_000
OVERHEAD = ORIGINAL_HOURS * 3600 / (ORIGINAL_CYCLES * ORIGINAL_CYCLE_S)
"""Hours of a run by the clock / hours in its cycles; the rest went into evaluations, restarts and
waiting. 1.11 in the original's run."""

# Updates/s of the large network at batch 64.
LEARNERS = {
    "RTX 3050 Ti": (UPDATES_PER_CYCLE / ORIGINAL_CYCLE_S, "published, the original's code"),
    "NVIDIA H100": (114.0, "predicted"),
}


class Speed(NamedTuple):
    """The self-play speed of one worker."""

    device: str
    games_per_s: float
    usd_per_hour: float | None
    source: str
    """Measured, published or predicted, and a date or a reason."""


@dataclasses.dataclass(frozen=True)
class Work:
    """What a run does, and its learner."""

    games: float = ORIGINAL_GAMES
    games_per_cycle: float = GAMES_PER_CYCLE
    cycle_s: float = ORIGINAL_CYCLE_S
    """Seconds that the learner needs for a cycle."""
    capacity: int = CAPACITY
    """Examples in the replay ring."""
    overhead: float = OVERHEAD
    learner_usd_per_hour: float = 0.0


class Plan(NamedTuple):
    """What a run needs with one fleet."""

    games_per_s: float
    hours: float
    is_bound_by_learner: bool
    turnover_cycles: float
    """Cycles until the replay ring holds only newer games."""
    usd_per_hour: float | None
    usd: float | None


def plan(work: Work, fleet: Iterable[tuple[Speed, float]]) -> Plan:
    """Compute hours and cost of a run.

    Args:
        work: the run.
        fleet: speeds and the number of workers of each; the mean number, if it varied.
    """
    fleet = list(fleet)
    rate = sum(speed.games_per_s * n for speed, n in fleet)
    cycles = work.games / work.games_per_cycle
    playing_s, learning_s = work.games / rate, cycles * work.cycle_s
    hours = work.overhead * max(playing_s, learning_s) / 3600
    # A learner that waits for its games takes at least `games_per_cycle` of them in a cycle.
    per_cycle = max(work.games_per_cycle, rate * work.cycle_s)
    prices = [None if speed.usd_per_hour is None else speed.usd_per_hour * n for speed, n in fleet]
    known = [price for price in prices if price is not None]
    usd_per_hour = sum(known) + work.learner_usd_per_hour if len(known) == len(prices) else None
    usd = None if usd_per_hour is None else usd_per_hour * hours
    turnover = work.capacity / (game.N_PLIES * per_cycle)
    return Plan(rate, hours, learning_s >= playing_s * (1 - 1e-9), turnover, usd_per_hour, usd)


def workers_needed(work: Work, games_per_s: float, turnover: float) -> int:
    """Return how many workers of this speed keep the learner busy and the turnover of the replay
    ring at or below `turnover` cycles.
    """
    per_cycle = max(work.games_per_cycle, work.capacity / (game.N_PLIES * turnover))
    # Without the margin the rounding of one float would cost a worker.
    return max(1, math.ceil(per_cycle / work.cycle_s / games_per_s - 1e-9))


def original_run() -> tuple[Work, list[tuple[Speed, float]]]:
    """The original's run, from its author's figures only.

    The fleet of 12 made 35 games/s; the price of a worker is the mean over the five kinds of card.
    The number of workers is the mean number that makes 454 games in a cycle of 43.3 s. It was not
    published (8 to 12 at the best time). Neither the hours nor the USD are read here, except that
    the overhead is made from the hours.
    """
    prices = [sum(prices) / 2 for _, prices in published.ORIGINAL.values()]
    each = ORIGINAL_FLEET_GAMES_PER_S / ORIGINAL_FLEET_WORKERS
    speed = Speed("the original's fleet", each, sum(prices) / len(prices), "published, 2026-02")
    work = Work(games_per_cycle=ORIGINAL_GAMES / ORIGINAL_CYCLES)
    return work, [(speed, work.games_per_cycle / work.cycle_s / each)]


def speeds(folder: Path, setting: str, prices: dict[str, float]) -> list[Speed]:
    """All known speeds with one setting: measured, published and predicted ones.

    Args:
        folder: the folder of the benchmarks' JSON files.
        setting: `original` or `recommended`.
        prices: USD per hour by device name; they override the published ones.

    Raises:
        ValueError: if the folder cannot be read.
    """
    given = {key(name): usd for name, usd in prices.items()}
    usual = {key(name): sum(usd) / 2 for name, (_, usd) in published.ORIGINAL.items()}

    def speed(device: str, games_per_s: float, source: str) -> Speed:
        name = key(device)
        return Speed(device, games_per_s, given.get(name, usual.get(name)), source)

    found = [
        speed(row.device, row.games_per_s, f"measured, {row.date[:10]}")
        for row in published.read(folder, {})
        if row.setting == setting
    ]
    measured = {key(row.device) for row in found}
    if setting == "original":
        found += [
            speed(name, sum(speeds) / 2, "published, the original's code")
            for name, (speeds, _) in published.ORIGINAL.items()
        ]
    found += [
        speed(name, games_per_s, "predicted")
        for name, games_per_s in published.predicted(setting, folder).items()
        if key(name) not in measured
    ]
    return found


def learners(folder: Path) -> dict[str, tuple[float, str]]:
    """Updates per second of the large network at batch 64, and their source, by device."""
    found = dict(LEARNERS)
    for path in sorted(folder.glob("*.json")):
        result = files.read_json(path)
        if not isinstance(result, dict) or "device" not in result:
            continue
        for row in published.rows(result):
            if (row.get("setting"), row.get("batch")) == ("large", 64) and (
                speed := row.get("predicted_updates_per_s")
            ):
                if published.is_several(row["device"]):
                    continue
                name = published.usual_name(row["device"])
                if not found.get(name, (0.0, ""))[1].startswith("measured"):
                    found[name] = (speed, "predicted")
            if row.get("preset") == "large" and row.get("batch") == 64 and "updates_per_s" in row:
                measured = f"measured, {result.get('date', '')[:10]}"
                found[published.device_name(result)] = (row["updates_per_s"], measured)
    return found


def chosen(known: list[Speed], gpus: Sequence[str]) -> list[Speed]:
    """Return the speeds of these devices, in their order.

    Raises:
        ValueError: if there is none of a device.
    """
    for gpu in gpus:
        if not any(key(speed.device) == key(gpu) for speed in known):
            names = ", ".join(sorted({speed.device for speed in known}))
            raise ValueError(f"--gpu {gpu}: no speed is known; expected one of: {names}")
    return [speed for gpu in gpus for speed in known if key(speed.device) == key(gpu)]


def mix(text: str) -> list[tuple[str, int]]:
    """Parse a mix such as `RTX 4070 Ti=2,RTX 3070 Ti=1`.

    Raises:
        ValueError: if it is none.
    """
    found = []
    for part in text.split(","):
        name, _, count = part.rpartition("=")
        if not name.strip() or not count.strip().isdecimal() or int(count) < 1:
            raise ValueError(f"expected NAME=WORKERS,NAME=WORKERS, got {text!r}")
        found.append((name.strip(), int(count)))
    return found


def _of_mix(known: list[Speed], parts: list[tuple[str, int]]) -> list[tuple[Speed, float]]:
    """The fleet of a mix: zebjax's own speeds, measured ones before predicted ones."""
    fleet: list[tuple[Speed, float]] = []
    for name, count in parts:
        rows = chosen(known, [name])
        fleet.append((min(rows, key=lambda speed: _RANK[speed.source.partition(",")[0]]), count))
    return fleet


_RANK = {"measured": 0, "predicted": 1, "published": 2}


def markdown(rows: list[tuple[str, Work, list[tuple[Speed, float]]]]) -> str:
    """The table: one row for each fleet, with its name."""
    lines = [
        "| fleet | games/s | hours | bound by | turnover, cycles | USD/hour | USD "
        "| USD per million games | source of the speed |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, work, fleet in rows:
        made = plan(work, fleet)
        usd = "? | ? | ?"
        if made.usd_per_hour is not None and made.usd is not None:
            per_million = made.usd / work.games * 1e6
            usd = f"{made.usd_per_hour:.3f} | {made.usd:.2f} | {per_million:.2f}"
        bound = "learner" if made.is_bound_by_learner else "self-play"
        sources = " + ".join(dict.fromkeys(speed.source for speed, _ in fleet))
        lines.append(
            f"| {name} | {made.games_per_s:.1f} | {made.hours:.1f} | {bound} "
            f"| {made.turnover_cycles:.1f} | {usd} | {sources} |"
        )
    return "\n".join(lines)


def named(fleet: list[tuple[Speed, float]]) -> str:
    """`2 x RTX 4070 Ti + 1 x RTX 3070 Ti`."""
    return " + ".join(f"{n:.3g} x {speed.device}" for speed, n in fleet)


def _parser() -> cli.Parser:
    parser = report.parser(
        "plan", f"{__doc__}\n\n{ABOUT}", '--games 1.7e6 --gpu "RTX 4070 Ti" --turnover 20'
    )
    real = cli.checked(parsing.number(1e-9, 1e12))
    add = parser.add_argument
    add("--games", type=real, default=1.7e6, metavar="N", help="games of the run (default 1.7e6)")
    add(
        "--gpu",
        default="",
        metavar="NAME,...",
        help="kinds of GPU (default: all that are known)",
    )
    add(
        "--price",
        action="append",
        default=[],
        metavar="NAME=USD",
        help="USD per hour of a GPU; can be repeated (default: the published prices)",
    )
    add(
        "--mix",
        action="append",
        default=[],
        type=cli.checked(mix),
        metavar="NAME=N,...",
        help="also a fleet of several kinds, as 'RTX 4070 Ti=2,RTX 3070 Ti=1'; can be repeated",
    )
    add("--workers", type=cli.integer(1, 10**6), metavar="N", help="default: as many as needed")
    add(
        "--turnover",
        type=real,
        default=40.0,
        metavar="CYCLES",
        help="maximum turnover of the replay ring that the workers must reach "
        "(default %(default)g)",
    )
    add(
        "--setting",
        choices=published.PREDICTED,
        default="original",
        help="of self-play (default %(default)s)",
    )
    add("--learner", default="RTX 3050 Ti", metavar="NAME", help="its device (default %(default)s)")
    add("--updates-per-s", type=real, metavar="N", help="its speed, if that device is not known")
    add("--learner-price", type=real, default=0.0, metavar="USD", help="USD per hour (default 0)")
    add(
        "--updates-per-cycle",
        type=real,
        default=UPDATES_PER_CYCLE,
        metavar="N",
        help="(default 1000)",
    )
    add("--games-per-cycle", type=real, default=GAMES_PER_CYCLE, metavar="N", help="(default 454)")
    add("--capacity", type=real, default=CAPACITY, metavar="N", help="examples (default 500000)")
    add("--overhead", type=real, default=OVERHEAD, metavar="F", help="factor (default 1.11)")
    add("--results", type=cli.folder, default=report.RESULTS, metavar="DIR", help="of results")
    return parser


def _work(args: Any) -> tuple[Work, str]:
    """The run that the options describe, and a sentence about its learner."""
    known = {key(name): (name, *rest) for name, rest in learners(args.results).items()}
    if args.updates_per_s is not None:
        name, updates_per_s, source = args.learner, args.updates_per_s, "as given"
    elif key(args.learner) in known:
        name, updates_per_s, source = known[key(args.learner)]
    else:
        names = ", ".join(name for name, *_ in known.values())
        raise ValueError(
            f"--learner {args.learner}: no speed is known; give --updates-per-s, or one of: {names}"
        )
    cycle_s = args.updates_per_cycle / updates_per_s
    work = Work(
        args.games,
        args.games_per_cycle,
        cycle_s,
        int(args.capacity),
        args.overhead,
        args.learner_price,
    )
    return work, f"learner: {name}, {updates_per_s:.1f} updates/s ({source}), {cycle_s:.1f} s/cycle"


def _rows(args: Any, work: Work) -> list[tuple[str, Work, list[tuple[Speed, float]]]]:
    prices = table.read_prices(None, args.price)
    known = speeds(args.results, args.setting, prices)
    names = {key(speed.device) for speed in known}
    if lost := [repr(name) for name in prices if key(name) not in names]:
        devices = ", ".join(repr(name) for name in sorted({speed.device for speed in known}))
        raise ValueError(
            f"--price: no speed for the price of {', '.join(lost)}; the known devices: {devices}"
        )
    gpus = [name.strip() for name in args.gpu.split(",") if name.strip()]
    alone = chosen(known, gpus) if gpus else known
    fleets: list[list[tuple[Speed, float]]] = [
        [(speed, args.workers or workers_needed(work, speed.games_per_s, args.turnover))]
        for speed in alone
    ]
    fleets += [_of_mix(known, parts) for parts in args.mix]
    return [(named(fleet), work, fleet) for fleet in fleets]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command and return its exit status."""
    parser = _parser()
    args = parser.parse_args(argv)
    try:
        work, learner = _work(args)
        rows = _rows(args, work)
    except (ValueError, OSError) as error:
        parser.error(str(error))
    first, fleet = original_run()
    print(learner)
    if args.workers is None:
        print(
            "workers: as many as keep the learner busy and the turnover of the replay ring at or "
            f"below {args.turnover:g} cycles"
        )
    print(markdown([(f"the original's run: {named(fleet)}", first, fleet), *rows]))
    print(
        f"published for the first row: {ORIGINAL_HOURS:.0f} h, {ORIGINAL_USD} USD; the overhead of "
        f"{OVERHEAD:.2f} is made from these hours, the cycles alone are "
        f"{plan(first, fleet).hours / OVERHEAD:.1f} h"
    )
    return 0


if __name__ == "__main__":
    sys.exit(report.run("plan", main))
