"""Who is at work on a run, read from its store alone: `python -m zebjax.status NAMESPACE`."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from typing import Any, Literal, NoReturn

from rich import box
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from zebjax.common import cli, console, hub, parsing
from zebjax.distributed import weights
from zebjax.distributed.heartbeat import Seen, Watch
from zebjax.distributed.open import open_store
from zebjax.distributed.store import Missing, Unreachable
from zebjax.training.config import HUB_LOOK_S

ALARM = 1
"""The exit status when something is wrong."""
_WATCH_S, _WATCH_BEATS, _MOST_WATCH_S = 15.0, 3, 3600.0
_MOST_TEXT = 40


def report(watch: Watch, newest: weights.Manifest | None) -> dict[str, Any]:
    """All that there is to say, for JSON."""
    learner = watch.learner
    step, quarantined = (
        learner.sign.get(name) if learner else None for name in ("step", "quarantined")
    )
    return {
        "alarms": watch.all_alarms(),
        "weights": None
        if newest is None
        else {
            "generation": newest.generation,
            "epoch": newest.epoch,
            "step": newest.step,
            "total_games": newest.total_games,
            "created_at": newest.created_at,
        },
        "quarantined": quarantined if type(quarantined) is int else None,
        "processes": [_process(seen, step) for seen in watch.processes()],
    }


_TOLD = (
    *(
        "role",
        "name",
        "host",
        "state",
        "step",
        "games",
        "games_per_s",
        "last_batch_s",
        "spooled_files",
    ),
    *("dropped_games", "batches", "sent_bytes", "total_games", "phase"),
)


def _process(seen: Seen, learner_step: Any) -> dict[str, Any]:
    facts = {name: seen.sign[name] for name in _TOLD if name in seen.sign}
    facts |= {"alive": seen.is_alive(), "last_seen_s": round(min(seen.quiet_s(), 1e9), 1)}
    if (
        facts.get("role") != "learner"
        and type(learner_step) is int
        and type(facts.get("step")) is int
    ):
        facts["lag"] = max(0, learner_step - facts["step"])
    return facts


def _table(told: dict[str, Any]) -> Table:
    newest = told["weights"]
    title = (
        "no weights published"
        if newest is None
        else (
            f"weights of step {newest['step']}, generation {newest['generation']}, "
            f"{newest['total_games']:,} games"
        )
    )
    table = Table(
        title=title,
        caption=Text(_verdict(told)),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    processes = told["processes"]
    # Games that were lost are rare, and the table is wide.
    columns = _COLUMNS + ("dropped",) * any(process.get("dropped_games") for process in processes)
    for name in columns:
        justify: Literal["left", "right"] = "left" if name in ("role", "name", "host") else "right"
        table.add_column(
            name, justify=justify, no_wrap=name != "host"
        )  # which is cut first where it is narrow
    for process in processes:
        cells = _cells(process)
        table.add_row(*(cells[name] for name in columns))
    return table


_COLUMNS = (
    "role",
    "name",
    "last seen",
    "step",
    "lag",
    "games",
    "games/s",
    "batches",
    "waiting",
    "host",
)


def _cells(process: dict[str, Any]) -> dict[str, Text]:
    """Column name -> text. What a process says of itself may be of any kind."""
    seen = console.duration(process["last_seen_s"]) if process["last_seen_s"] < 1e8 else "unknown"
    if not process["alive"]:
        seen += ", stopped" if process.get("state") == "stopped" else ", silent"
    cells = {
        "role": process.get("role", "?"),
        "name": process.get("name", "?"),
        "last seen": seen,
        "step": process.get("step", ""),
        "lag": process.get("lag", ""),
        "games": _number(process.get("games", process.get("total_games", "")), ","),
        "games/s": _number(process.get("games_per_s", ""), ".2f"),
        "batches": _number(process.get("batches", ""), ","),
        "waiting": process.get("spooled_files", ""),
        "host": process.get("host", ""),
        "dropped": _number(process.get("dropped_games", ""), ","),
    }
    return {name: _text(value) for name, value in cells.items()}


def _number(value: Any, form: str) -> str:
    return format(value, form) if isinstance(value, int | float) else str(value)


def _text(value: Any) -> Text:
    """A value as it is, without markup and without what would move the cursor."""
    return Text("".join(filter(str.isprintable, str(value)))[:_MOST_TEXT])


def _verdict(told: dict[str, Any]) -> str:
    quarantined = f"; {told['quarantined']} files quarantined" if told["quarantined"] else ""
    return (f"ALARM: {', '.join(told['alarms'])}" if told["alarms"] else "all well") + quarantined


def look(watch: Watch) -> dict[str, Any]:
    """Look once and report."""
    watch.look()
    try:
        found = weights.newest(watch.store)
    except (Missing, weights.BadWeights):
        found = None
    return report(watch, found[0] if found else None)


def _go_on_looking(watch: Watch, told: dict[str, Any]) -> NoReturn:
    every_s = HUB_LOOK_S if hub.is_hub(watch.store.where) else 2.0
    with Live(_table(told), refresh_per_second=2) as live:
        while True:
            time.sleep(every_s)
            try:
                told = look(watch)
                live.update(_table(told))
            except Unreachable as error:  # for a moment, perhaps
                live.update(Group(_table(told), Text(f"as it was before: {error}")))


def _silent(watch: Watch) -> list[Seen]:
    """Who gives no sign and has not said that it stops."""
    return [seen for seen in watch.processes() if not seen.is_alive() and not seen.has_stopped()]


def _patience_s(watch: Watch) -> float:
    """How long the silent ones are watched: long enough for a sign of the slowest, within
    reason.
    """
    slowest_s = max((seen.every_s() for seen in _silent(watch)), default=0.0)
    return min(max(_WATCH_S, _WATCH_BEATS * slowest_s), _MOST_WATCH_S)


def _run(arguments: argparse.Namespace) -> int:
    watch = Watch(open_store(arguments.namespace, create=False))
    told = look(watch)
    if not told["processes"] and told["weights"] is None:
        raise ValueError(
            f"{arguments.namespace}: there is no run here; expected a store's place and a run's "
            "name, as in "
            "runs/store/NAME"
        )
    if arguments.live:
        _go_on_looking(watch, told)
    # Clocks may differ: who seems silent is given the time to show that it lives.
    until = time.monotonic() + (
        _patience_s(watch) if arguments.watch_s is None else arguments.watch_s
    )
    while told["alarms"] and _silent(watch) and time.monotonic() < until:
        time.sleep(1)
        told = look(watch)
    if arguments.json:
        print(json.dumps(told, indent=1))
    else:
        Console(width=None if console.is_terminal() else 120).print(_table(told))
    return ALARM if told["alarms"] else 0


def _parser() -> cli.Parser:
    parser = cli.Parser(
        "status",
        "Who is at work on a run, read from its store alone. NAMESPACE is the store's place and "
        "the run's name.\n"
        "Exit status 0: all well; 1: an alarm (learner_down, no_selfplay, selfplay_not_producing, "
        "no_evalaux,\n"
        "evalaux_not_producing); 2: the store cannot be read.",
        "runs/store/lb-v-eq-3740",
        "s3://my-bucket/zeb/lb-v-eq-3740 --json",
    )
    parser.add_argument(
        "namespace",
        metavar="NAMESPACE",
        help="a folder, s3://BUCKET/PREFIX/NAME, hf://USER/REPO/NAME",
    )
    parser.add_argument("--live", action="store_true", help="go on looking until Ctrl-C")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--watch-s",
        type=cli.checked(parsing.number(0, 3600)),
        metavar="S",
        help="how long a process that seems silent is watched for a sign before it counts as gone "
        "(default: three times as long as its signs are apart, 15 at least)",
    )
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see `--help`."""
    return cli.run("status", _run, _parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
