"""The subcommands of `zebjax fleet` that look at a fleet, or write what is wanted of it."""

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from zebjax.common import cli
from zebjax.operations.rented import ranking, spec
from zebjax.operations.rented.command_line import (
    add_counts,
    fleet_parser,
    folder_of,
    guard_runs,
    run,
)
from zebjax.operations.rented.model import ROLES, Worker


def _status(arguments: argparse.Namespace) -> int:
    from zebjax.operations.rented.guard import load_memory

    folder = folder_of(arguments.fleet)
    made, wanted, memory = spec.read(folder), spec.read_wanted(folder), load_memory(folder)
    now = time.time()
    bad = sorted({s.offer for s in memory.strikes if ranking.weight(memory, s.offer, now) >= 2})
    state = {
        "fleet": made.name,
        "guard_runs": guard_runs(folder),
        "going_down": memory.going_down,
        "targets": dict(wanted.targets),
        "spent_usd": round(memory.spent_usd, 4),
        "budget_usd": made.rules.budget_usd,
        "usd_per_hour": round(sum(w.usd_per_hour for w in memory.workers), 4),
        "stopped_roles": dict(memory.stopped_roles),
        "quarantined": bad,
        "workers": [_worker_row(worker, now) for worker in memory.workers],
    }
    print(json.dumps(state, indent=1) if arguments.json else _status_text(state))
    return 0


def _worker_row(worker: Worker, now: float) -> dict[str, Any]:
    state = "starting"
    if worker.ending_s is not None:
        state = "ending"
    elif worker.progress_s is not None:
        state = "producing"
    elif worker.first_beat_s is not None:
        state = "started"
    return {
        "name": worker.name,
        "role": worker.role,
        "state": state,
        "gpu": worker.gpu,
        "usd_per_hour": worker.usd_per_hour,
        "age_s": round(now - worker.rented_s),
        "games": worker.games,
        "games_per_s": round(worker.games_per_s, 3),
        "offer": worker.offer,
    }


def _status_text(state: dict[str, Any]) -> str:
    guard = "a guard runs" if state["guard_runs"] else "no guard runs"
    wanted = ", ".join(f"{n} {role}" for role, n in state["targets"].items())
    lines = [
        f"{state['fleet']}: {guard}; wanted: {wanted or 'nothing'}; {state['usd_per_hour']:.3f} USD "
        f"per hour, {state['spent_usd']:.3f} of {state['budget_usd']:g} USD spent"
    ]
    if state["going_down"]:
        lines.append(f"going down: {state['going_down']}")
    lines += [f"{role} is stopped: {why}" for role, why in state["stopped_roles"].items()]
    for row in state["workers"]:
        lines.append(
            f"  {row['name']:28} {row['state']:10} {row['gpu']:12} {row['usd_per_hour']:.3f} USD/h "
            f"{row['games']:,.0f} games, {row['games_per_s']:.2f} games/s"
        )
    if state["quarantined"]:
        lines.append(f"quarantined offers: {', '.join(state['quarantined'])}")
    return "\n".join(lines)


def status(argv: Sequence[str]) -> int:
    """Run `zebjax fleet status`."""
    made = fleet_parser(
        "status",
        "Show a fleet's workers, its cost and what is in quarantine, as its guard knows them.",
        "lb-v-eq-3740",
    )
    made.add_argument("--json", action="store_true", help="print one JSON object")
    return run("status", made, _status, argv)


def _logs(arguments: argparse.Namespace) -> int:
    from zebjax.operations.rented.dstack_provider import DstackProvider

    provider = DstackProvider(spec.read(folder_of(arguments.fleet)))
    lines = provider.logs(arguments.name).splitlines()
    print("\n".join(lines[-arguments.lines :]))
    return 0


def logs(argv: Sequence[str]) -> int:
    """Run `zebjax fleet logs`."""
    made = fleet_parser(
        "logs", "Print the last lines of a worker's output.", "lb-v-eq-3740 lb-v-eq-3740-selfplay-1"
    )
    made.add_argument("name", metavar="WORKER", help="its name, see `zebjax fleet status`")
    made.add_argument(
        "--lines", type=cli.integer(1, 10**6), default=50, metavar="N", help="(%(default)s)"
    )
    return run("logs", made, _logs, argv)


# ---- scale, cull


def _scale(arguments: argparse.Namespace) -> int:
    folder = folder_of(arguments.fleet)
    given = {role: getattr(arguments, role) for role in ROLES}
    given = {role: n for role, n in given.items() if n is not None}
    if not given:
        raise ValueError("expected --selfplay N or --evalaux N")
    with spec.changing(folder) as wanted:
        if given.get("selfplay") == 0 and wanted["targets"].get("selfplay"):
            raise ValueError(
                "--selfplay 0: a fleet keeps one self-play worker; `zebjax fleet down` ends all"
            )
        wanted["targets"] = dict(wanted["targets"]) | given
    print(_promise(folder))
    return 0


def _promise(folder: Path) -> str:
    if guard_runs(folder):
        return "the guard will do so at its next decision"
    return "written; no guard runs, start one with `zebjax fleet up`"


def scale(argv: Sequence[str]) -> int:
    """Run `zebjax fleet scale`."""
    made = fleet_parser(
        "scale",
        "Change the number of workers. The best games/s per USD stay.",
        "lb-v-eq-3740 --selfplay 4",
    )
    add_counts(made, None)
    return run("scale", made, _scale, argv)


def _cull(arguments: argparse.Namespace) -> int:
    from zebjax.operations.rented.guard import load_memory

    folder = folder_of(arguments.fleet)
    known = [worker.name for worker in load_memory(folder).workers]
    for name in arguments.names:
        if name not in known:
            raise ValueError(f"{name}: no such worker; expected one of: {', '.join(known) or '-'}")
    with spec.changing(folder) as wanted:
        wanted["cull"] = tuple(dict.fromkeys([*wanted["cull"], *arguments.names]))
    print(_promise(folder))
    return 0


def cull(argv: Sequence[str]) -> int:
    """Run `zebjax fleet cull`."""
    made = fleet_parser(
        "cull",
        "End some workers; others are rented in their place. The last self-play worker that makes\n"
        "games ends when another one does.",
        "lb-v-eq-3740 lb-v-eq-3740-selfplay-1",
    )
    made.add_argument("names", metavar="WORKER", nargs="+", help="names, see `zebjax fleet status`")
    return run("cull", made, _cull, argv)
