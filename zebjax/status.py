"""The command `zebjax status`: the state of a run, read from its store or its folder alone."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, NoReturn

from zebjax.common import cli, console, parsing
from zebjax.operations.watching import following

if TYPE_CHECKING:  # imported when the state is shown, so that `--help` does not import jax
    from rich.console import Group

    from zebjax.distributed.heartbeat import Seen, Watch
    from zebjax.operations.watching.facts import State
    from zebjax.operations.watching.following import Follower
    from zebjax.operations.watching.target import StoreRun

ALARM = 1
"""The exit status if there is an alarm."""
_WATCH_S, _WATCH_BEATS, _MAX_WATCH_S = 15.0, 3, 3600.0
_LIVE_S, _LOG_S = 2.0, 10.0
"""Seconds between two polls of --live, in a terminal and elsewhere."""


def _shown(state: "State", *more: str) -> "Group":
    from rich.console import Group
    from rich.text import Text

    from zebjax.operations.watching import render

    return Group(render.text(state), render.table(state), *map(Text, more))


def _show_live(follower: "Follower") -> NoReturn:
    """Show the state repeatedly: in place in a terminal, one below the other elsewhere."""
    from rich.live import Live

    in_terminal = console.is_terminal()
    every_s = follower.target.poll_s(_LIVE_S if in_terminal else _LOG_S)
    out = console.make()
    shown = _shown(follower.state)
    with Live(shown, console=out, refresh_per_second=2) if in_terminal else nullcontext() as live:
        while True:
            if live is None:
                out.print(shown)
            else:
                live.update(shown)
            time.sleep(every_s)
            for problem in follower.poll():
                out.print(problem)
            shown = _shown(follower.state, *([follower.trouble] if follower.trouble else []))


def _silent(watch: "Watch") -> "list[Seen]":
    """Processes whose last heartbeat is old and is not a shutdown notice."""
    return [seen for seen in watch.processes() if not seen.is_alive() and not seen.has_stopped()]


def _wait_s(watch: "Watch") -> float:
    """Seconds to wait for a heartbeat of the silent processes: enough for the slowest of them."""
    slowest_s = max((seen.every_s() for seen in _silent(watch)), default=0.0)
    return min(max(_WATCH_S, _WATCH_BEATS * slowest_s), _MAX_WATCH_S)


def _wait_for_silent(target: "StoreRun", state: "State", watch_s: float | None) -> "State":
    """Give a process that seems silent the time to write another heartbeat.

    The clocks of two machines may differ, so its first heartbeat does not say if it is alive.
    """
    watch = target.watch
    until = time.monotonic() + (_wait_s(watch) if watch_s is None else watch_s)
    while state["alarms"] and _silent(watch) and time.monotonic() < until:
        time.sleep(target.poll_s(1.0))
        state = target.poll()
    return state


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.operations.watching.target import StoreRun, first_poll, open_target

    target = open_target(arguments.run)
    state = first_poll(target)
    if arguments.live:
        with following.following(arguments, target, state, console.make().print) as follower:
            _show_live(follower)
    if isinstance(target, StoreRun):
        state = _wait_for_silent(target, state, arguments.watch_s)
    if arguments.json:
        print(json.dumps(state, indent=1))
    else:
        console.make().print(_shown(state))
    return ALARM if state["alarms"] else 0


def parser() -> cli.Parser:
    """The command's parser."""
    made = cli.Parser(
        "status",
        "Show the state of a run: what the learner does and why it waits, step, losses, buffer,\n"
        "games per second, processes with their devices and prices, the last warnings.\n"
        "Reads the run's store, or the run's folder, alone.\n"
        "Exit status 0: no alarm; 1: an alarm (learner_down, no_selfplay,\n"
        "selfplay_not_producing, no_evalaux, evalaux_not_producing, step_stands; for a run\n"
        "without a store: not_running, step_stands); 2: the run cannot be read.",
        "runs/store/lb-v-eq-3740",
        "runs/quickstart",
        "s3://my-bucket/zeb/lb-v-eq-3740 --json",
        "runs/quickstart --live --alert ./tell-me.sh --metrics-port 9142",
        notes="step_stands: the step is older than five usual cycles, than twice the longest\n"
        "recent one and than five minutes (half an hour before the first cycle is complete).\n"
        "--live adds cannot_poll: the run could not be read for five minutes.\n"
        "A warning about the metrics (memorising, stale, starving, belief_at_marginal, saturated)\n"
        "is shown and is no alarm: the run works, but learns less than it could.",
    )
    made.add_argument(
        "run",
        metavar="RUN_OR_STORE",
        help="the folder of a run, or the URL of a store and the name of the run: FOLDER/NAME, "
        "s3://BUCKET/PREFIX/NAME or hf://USER/REPO/NAME",
    )
    made.add_argument("--live", action="store_true", help="keep showing the state until Ctrl-C")
    following.add_options(made)
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
    made = parser()
    arguments = made.parse(argv)
    if not arguments.live:
        for name in ("alert", "alert_warnings", "metrics_port"):
            if getattr(arguments, name) is not made.get_default(name):
                made.error(f"--{name.replace('_', '-')} needs --live")
    return cli.run("status", _run, arguments, compiles=False)


if __name__ == "__main__":
    sys.exit(main())
