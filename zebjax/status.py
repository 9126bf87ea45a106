"""The command `zebjax status`: which processes work on a run, read from its store alone."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Literal, NoReturn

from zebjax.common import cli, console, hub, parsing
from zebjax.distributed.open import open_store
from zebjax.distributed.store import Missing, Unreachable
from zebjax.training.workers_config import HUB_POLL_S

if TYPE_CHECKING:  # imported when something is shown: help does not wait for jax
    from rich.table import Table
    from rich.text import Text

    from zebjax.distributed import weights
    from zebjax.distributed.heartbeat import Seen, Watch

ALARM = 1
"""The exit status when something is wrong."""
_WATCH_S, _WATCH_BEATS, _MAX_WATCH_S = 15.0, 3, 3600.0
_LIVE_S, _LOG_S = 2.0, 10.0
"""Seconds between two looks of --live, in a terminal and elsewhere."""
_MAX_TEXT = 40


def report(watch: "Watch", newest: "weights.Manifest | None") -> dict[str, Any]:
    """Everything that the command shows, as plain data for JSON."""
    learner = watch.learner
    step, quarantined = (
        learner.status.get(name) if learner else None for name in ("step", "quarantined")
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


def _process(seen: "Seen", learner_step: Any) -> dict[str, Any]:
    facts = {name: seen.status[name] for name in _TOLD if name in seen.status}
    facts |= {"alive": seen.is_alive(), "last_seen_s": round(min(seen.quiet_s(), 1e9), 1)}
    if (
        facts.get("role") != "learner"
        and type(learner_step) is int
        and type(facts.get("step")) is int
    ):
        facts["lag"] = max(0, learner_step - facts["step"])
    return facts


def _table(told: dict[str, Any]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

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


def _cells(process: dict[str, Any]) -> "dict[str, Text]":
    """Column name -> text. The values come from other machines and may be of any type."""
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


def _text(value: Any) -> "Text":
    """A value without markup and without characters that would move the cursor."""
    from rich.text import Text

    return Text("".join(filter(str.isprintable, str(value)))[:_MAX_TEXT])


def _verdict(told: dict[str, Any]) -> str:
    quarantined = f"; {told['quarantined']} files quarantined" if told["quarantined"] else ""
    return (f"ALARM: {', '.join(told['alarms'])}" if told["alarms"] else "all well") + quarantined


def look(watch: "Watch") -> dict[str, Any]:
    """Read the store once and report."""
    from zebjax.distributed import weights

    watch.look()
    try:
        found = weights.newest(watch.store)
    except (Missing, weights.BadWeights):
        found = None
    return report(watch, found[0] if found else None)


def _keep_looking(watch: "Watch", told: dict[str, Any]) -> NoReturn:
    """Show the state again and again: in place in a terminal, one below the other elsewhere."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    in_terminal = console.is_terminal()
    every_s = _LIVE_S if in_terminal else _LOG_S
    if hub.is_hub(watch.store.where):
        every_s = max(every_s, HUB_POLL_S)
    out = console.make()
    shown: Any = _table(told)
    with Live(shown, console=out, refresh_per_second=2) if in_terminal else nullcontext() as live:
        while True:
            if live is None:
                out.print(shown)
            else:
                live.update(shown)
            time.sleep(every_s)
            try:
                told = look(watch)
                shown = _table(told)
            except Unreachable as error:  # for a moment, perhaps
                shown = Group(_table(told), Text(f"the state before that: {error}"))


def _silent(watch: "Watch") -> "list[Seen]":
    """Processes whose last heartbeat is old and no shutdown notice."""
    return [seen for seen in watch.processes() if not seen.is_alive() and not seen.has_stopped()]


def _patience_s(watch: "Watch") -> float:
    """Seconds to wait for a heartbeat of the silent processes: enough for the slowest of them."""
    slowest_s = max((seen.every_s() for seen in _silent(watch)), default=0.0)
    return min(max(_WATCH_S, _WATCH_BEATS * slowest_s), _MAX_WATCH_S)


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.distributed.heartbeat import Watch

    watch = Watch(open_store(arguments.namespace, create=False))
    told = look(watch)
    if not told["processes"] and told["weights"] is None:
        raise ValueError(
            f"{arguments.namespace}: there is no run here; expected the place of a store and the "
            "name of a run, as in runs/store/NAME"
        )
    if arguments.live:
        _keep_looking(watch, told)
    # The clocks of two machines may differ: give a process that seems silent the time to write
    # another heartbeat.
    until = time.monotonic() + (
        _patience_s(watch) if arguments.watch_s is None else arguments.watch_s
    )
    while told["alarms"] and _silent(watch) and time.monotonic() < until:
        time.sleep(1)
        told = look(watch)
    if arguments.json:
        print(json.dumps(told, indent=1))
    else:
        console.make().print(_table(told))
    return ALARM if told["alarms"] else 0


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "status",
        "Show which processes work on a run, read from its store alone.\n"
        "Exit status 0: all is well; 1: an alarm (learner_down, no_selfplay,\n"
        "selfplay_not_producing, no_evalaux, evalaux_not_producing); 2: the store cannot be read.",
        "runs/store/lb-v-eq-3740",
        "s3://my-bucket/zeb/lb-v-eq-3740 --json",
    )
    made.add_argument(
        "namespace",
        metavar="NAMESPACE",
        help="the place of the store and the name of the run: FOLDER/NAME, "
        "s3://BUCKET/PREFIX/NAME or hf://USER/REPO/NAME",
    )
    made.add_argument("--live", action="store_true", help="keep showing the state until Ctrl-C")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument(
        "--watch-s",
        type=cli.checked(parsing.number(0, 3600)),
        metavar="S",
        help="seconds to wait for a heartbeat of a process that seems silent before it counts as "
        "gone (default: three times the interval of its heartbeats, at least 15)",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("status", _run, parser().parse(argv), compiles=False)


if __name__ == "__main__":
    sys.exit(main())
