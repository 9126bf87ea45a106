"""The subcommands of `zebjax fleet` that look at a fleet, or write what is wanted of it."""

import argparse
import json
import time
from pathlib import Path
from typing import Any

from zebjax.common import cli
from zebjax.operations.rented import ranking, spec
from zebjax.operations.rented.command_line import (
    add_counts,
    fleet_parser,
    folder_of,
    guard_runs,
)
from zebjax.operations.rented.model import ROLES, Worker
from zebjax.operations.rented.provider import ProviderError


def status(folder: Path, as_json: bool) -> int:
    """Print a fleet's workers, its cost and what is in quarantine, as its guard knows them."""
    from zebjax.operations.rented.guard import load_memory

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
    print(json.dumps(state, indent=1) if as_json else _status_text(state))
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
        f"{state['fleet']}: {guard}; wanted: {wanted or 'nothing'}; {state['usd_per_hour']:.3f} "
        f"USD per hour, {state['spent_usd']:.3f} of {state['budget_usd']:g} USD spent"
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


def logs(folder: Path, names: list[str], n_lines: int) -> int:
    """Print the last lines of the output of some workers; of all that are rented without names.

    Raises:
        ValueError: if dstack does not answer.
    """
    from zebjax.operations.rented.dstack_provider import DstackProvider
    from zebjax.operations.rented.guard import load_memory

    provider = DstackProvider(spec.read(folder))
    names = names or [worker.name for worker in load_memory(folder).workers]
    try:
        for name in names:
            lines = provider.logs(name).splitlines()
            print("\n".join([f"==> {name} <=="] * (len(names) > 1) + lines[-n_lines:]))
    except ProviderError as error:
        raise ValueError(f"dstack: {error}") from None
    return 0


# ---- scale, cull


def scale(arguments: argparse.Namespace) -> int:
    """Change the number of workers that are wanted."""
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


def scale_parser() -> cli.Parser:
    """The parser of `zebjax fleet scale`."""
    made = fleet_parser(
        "scale",
        "Change the number of workers. The best games/s per USD stay.",
        "lb-v-eq-3740 --selfplay 4",
    )
    add_counts(made, None)
    return made


def cull(arguments: argparse.Namespace) -> int:
    """End some workers; others are rented in their place."""
    return end(folder_of(arguments.fleet), arguments.names)


def end(folder: Path, names: list[str]) -> int:
    """Have the guard end these workers and rent others in their place.

    Raises:
        ValueError: if there is no worker of one of the names.
    """
    from zebjax.operations.rented.guard import load_memory

    known = [worker.name for worker in load_memory(folder).workers]
    for name in names:
        if name not in known:
            raise ValueError(f"{name}: no such worker; expected one of: {', '.join(known) or '-'}")
    with spec.changing(folder) as wanted:
        wanted["cull"] = tuple(dict.fromkeys([*wanted["cull"], *names]))
    print(_promise(folder))
    return 0


def cull_parser() -> cli.Parser:
    """The parser of `zebjax fleet cull`."""
    made = fleet_parser(
        "cull",
        "End some workers; others are rented in their place. The last self-play worker that makes\n"
        "games ends when another one does.",
        "lb-v-eq-3740 lb-v-eq-3740-selfplay-1",
    )
    made.add_argument("names", metavar="WORKER", nargs="+", help="names, see `zebjax fleet status`")
    return made
