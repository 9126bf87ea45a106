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

if TYPE_CHECKING:  # imported when the state is shown, so that `--help` does not import jax
    from rich.table import Table
    from rich.text import Text

    from zebjax.distributed import weights
    from zebjax.distributed.heartbeat import Seen, Watch

ALARM = 1
"""The exit status if there is an alarm."""
_WATCH_S, _WATCH_BEATS, _MAX_WATCH_S = 15.0, 3, 3600.0
_LIVE_S, _LOG_S = 2.0, 10.0
"""Seconds between two polls of --live, in a terminal and elsewhere."""
_MAX_TEXT, _MAX_WARNINGS = 40, 1000


def report(watch: "Watch", newest: "weights.Manifest | None") -> dict[str, Any]:
    """Return everything that the command shows, as plain data for JSON."""
    learner = watch.learner
    step, quarantined, warnings = (
        learner.status.get(name) if learner else None
        for name in ("step", "quarantined", "warnings")
    )
    return {
        "alarms": watch.all_alarms(),
        "warnings": warnings if isinstance(warnings, str) else "",
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


_REPORTED = (
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
    facts = {name: seen.status[name] for name in _REPORTED if name in seen.status}
    facts |= {"alive": seen.is_alive(), "last_seen_s": round(min(seen.quiet_s(), 1e9), 1)}
    if (
        facts.get("role") != "learner"
        and type(learner_step) is int
        and type(facts.get("step")) is int
    ):
        facts["lag"] = max(0, learner_step - facts["step"])
    return facts


def _table(state: dict[str, Any]) -> "Table":
    from rich import box
    from rich.table import Table
    from rich.text import Text

    newest = state["weights"]
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
        caption=Text(_verdict(state)),
        box=box.SIMPLE,
        padding=(0, 1, 0, 0),
        pad_edge=False,
    )
    processes = state["processes"]
    # The table is wide and dropped games are rare, so that column is shown only if there are some.
    columns = _COLUMNS + ("dropped",) * any(process.get("dropped_games") for process in processes)
    for name in columns:
        justify: Literal["left", "right"] = "left" if name in ("role", "name", "host") else "right"
        # Only the host may wrap, so in a narrow terminal it is shortened first.
        table.add_column(name, justify=justify, no_wrap=name != "host")
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


def _verdict(state: dict[str, Any]) -> str:
    quarantined = f"; {state['quarantined']} files quarantined" if state["quarantined"] else ""
    warned = "".join(filter(str.isprintable, state["warnings"]))[:_MAX_WARNINGS]
    verdict = (
        f"ALARM: {', '.join(state['alarms'])}"
        if state["alarms"]
        else "no alarm"
        if warned
        else "all well"
    )
    return verdict + quarantined + (f"\nWARNING {warned}" if warned else "")


def poll(watch: "Watch") -> dict[str, Any]:
    """Read the store once and return the report."""
    from zebjax.distributed import weights

    watch.poll()
    try:
        found = weights.newest(watch.store)
    except (Missing, weights.BadWeights):
        found = None
    return report(watch, found[0] if found else None)


def _show_live(watch: "Watch", state: dict[str, Any]) -> NoReturn:
    """Show the state repeatedly: in place in a terminal, one below the other elsewhere."""
    from rich.console import Group
    from rich.live import Live
    from rich.text import Text

    in_terminal = console.is_terminal()
    every_s = _LIVE_S if in_terminal else _LOG_S
    if hub.is_hub(watch.store.where):
        every_s = max(every_s, HUB_POLL_S)
    out = console.make()
    shown: Any = _table(state)
    with Live(shown, console=out, refresh_per_second=2) if in_terminal else nullcontext() as live:
        while True:
            if live is None:
                out.print(shown)
            else:
                live.update(shown)
            time.sleep(every_s)
            try:
                state = poll(watch)
                shown = _table(state)
            except Unreachable as error:  # perhaps only briefly, so keep the last state
                shown = Group(_table(state), Text(f"the last state; cannot poll now: {error}"))


def _silent(watch: "Watch") -> "list[Seen]":
    """Processes whose last heartbeat is old and is not a shutdown notice."""
    return [seen for seen in watch.processes() if not seen.is_alive() and not seen.has_stopped()]


def _wait_s(watch: "Watch") -> float:
    """Seconds to wait for a heartbeat of the silent processes: enough for the slowest of them."""
    slowest_s = max((seen.every_s() for seen in _silent(watch)), default=0.0)
    return min(max(_WATCH_S, _WATCH_BEATS * slowest_s), _MAX_WATCH_S)


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.distributed.heartbeat import Watch

    watch = Watch(open_store(arguments.namespace, create=False))
    state = poll(watch)
    if not state["processes"] and state["weights"] is None:
        raise ValueError(
            f"{arguments.namespace}: there is no run here; expected the URL of a store and the "
            "name of a run, as in runs/store/NAME"
        )
    if arguments.live:
        _show_live(watch, state)
    # The clocks of two machines may differ: give a process that seems silent the time to write
    # another heartbeat.
    until = time.monotonic() + (_wait_s(watch) if arguments.watch_s is None else arguments.watch_s)
    while state["alarms"] and _silent(watch) and time.monotonic() < until:
        time.sleep(HUB_POLL_S if hub.is_hub(watch.store.where) else 1.0)
        state = poll(watch)
    if arguments.json:
        print(json.dumps(state, indent=1))
    else:
        console.make().print(_table(state))
    return ALARM if state["alarms"] else 0


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "status",
        "Show which processes work on a run, read from its store alone.\n"
        "Exit status 0: no alarm; 1: an alarm (learner_down, no_selfplay,\n"
        "selfplay_not_producing, no_evalaux, evalaux_not_producing); 2: the store cannot be read.",
        "runs/store/lb-v-eq-3740",
        "s3://my-bucket/zeb/lb-v-eq-3740 --json",
    )
    made.add_argument(
        "namespace",
        metavar="NAMESPACE",
        help="the URL of the store and the name of the run: FOLDER/NAME, "
        "s3://BUCKET/PREFIX/NAME or hf://USER/REPO/NAME",
    )
    made.add_argument("--live", action="store_true", help="keep showing the state until Ctrl-C")
    made.add_argument("--json", action="store_true", help="print one JSON object")
    made.add_argument(
        "--watch-s",
        type=cli.checked(parsing.number(0, 3600)),
        metavar="S",
        help="seconds to wait for a heartbeat of a process that seems silent before it counts as "
        "dead (default: three times the interval of its heartbeats, at least 15)",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("status", _run, parser().parse(argv), compiles=False)


if __name__ == "__main__":
    sys.exit(main())
