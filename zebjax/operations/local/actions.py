"""What `zebjax fleet status|logs|stop|restart` do with a local fleet. See `fleets.Actions`."""

import json
import socket
import time

from zebjax.common import console
from zebjax.operations import events, fleets
from zebjax.operations import logs as log_files
from zebjax.operations.fleets import Fleet
from zebjax.operations.local import configuration, daemon, orphans, report, start

ALARM = 1
"""The exit status if a process is not as it should be."""
_POLL_S = 0.2


def status(fleet: Fleet, as_json: bool) -> int:
    """See `fleets.Actions`."""
    state = report.gather(fleet)
    if as_json:
        print(json.dumps(state, indent=1))
    else:
        console.make().print(report.table(state))
        for line in report.after(fleet, state):
            print(line)
    return 0 if state["is_well"] else ALARM


def logs(fleet: Fleet, names: list[str], n_lines: int, follow: bool) -> int:
    """See `fleets.Actions`."""
    paths = {name: report.log_of(fleet, name) for name in _chosen(fleet, names)}
    width = max(map(len, paths))
    prefix = {name: f"{name:{width}} | " if len(paths) > 1 else "" for name in paths}
    if not follow:
        for name, path in paths.items():
            for line in log_files.tail(path, n_lines):
                print(prefix[name] + line)
        return 0
    for each in log_files.follow(paths, n_lines):
        if each is not None:
            print(prefix[each[0]] + each[1], flush=True)
    raise AssertionError("unreachable: it follows without end")


def stop(fleet: Fleet) -> int:
    """See `fleets.Actions`."""
    policy = start.policy_of(fleet)
    number = daemon.pid(fleet.folder)
    told = len(events.read(fleet.folder))
    if number is None:
        _stop_orphans(fleet)
        print(f"{fleet.name} does not run{elsewhere(fleet)}")
        return 0
    print(
        f"stopping {fleet.name}: the workers send their finished games, then the learner saves",
        flush=True,
    )
    _shut_down(fleet, number)

    def tell() -> None:
        nonlocal told
        rows = events.read(fleet.folder)
        for row in rows[told:]:
            if row["event"] == "stopped" and row["name"] != events.SUPERVISOR:
                print(f"  {row['name']} {_last_words(fleet, row)}", flush=True)
        told = max(told, len(rows))

    ended = daemon.wait_for_end(fleet.folder, policy.stop_s, tell)
    tell()
    if not ended:
        raise ValueError(
            f"{fleet.folder}: supervisord (process {number}) has not ended after "
            f"{policy.stop_s:.0f} s; see {fleets.shown(fleet.folder / configuration.LOG_FILE)}"
        )
    _stop_orphans(fleet)  # there are some if supervisord was killed meanwhile
    print(f"stopped; this command resumes: {fleet.command}")
    return 0


def _stop_orphans(fleet: Fleet) -> None:
    roles = {program.name: program.role for program in start.programs_of(fleet)}
    for name in orphans.stop(fleet.folder, start.policy_of(fleet), print):
        row = events.row(
            roles.get(name, "unknown"), name, "stopped", "it ran without its supervisord"
        )
        events.append(fleet.folder, row)
        print(f"  {name} stopped")


def _shut_down(fleet: Fleet, number: int) -> None:
    try:
        daemon.Client(fleet.facts["socket"]).call("shutdown")
    except ValueError:  # it shuts down already
        return
    except daemon.NoAnswer as error:
        raise ValueError(
            f"{fleet.folder}: supervisord (process {number}) does not answer ({error}); kill "
            "that process, then give this command again"
        ) from None


def _last_words(fleet: Fleet, row: events.Row) -> str:
    lines = [line for line in log_files.tail(report.log_of(fleet, row["name"]), 5) if line.strip()]
    return f"stopped ({row['detail']})" + (f": {lines[-1].strip()}" if lines else "")


def restart(fleet: Fleet, names: list[str]) -> int:
    """See `fleets.Actions`."""
    chosen = _chosen(fleet, names)
    if daemon.pid(fleet.folder) is None:
        raise ValueError(
            f"{fleet.name} does not run{elsewhere(fleet)}; start it with: {fleet.command}"
        )
    client = daemon.Client(fleet.facts["socket"])
    try:
        for name in chosen:
            state = client.processes()[name]["statename"]
            if state in ("RUNNING", "STARTING", "BACKOFF"):
                print(f"stopping {name}", flush=True)
                client.call("stopProcess", daemon.full_name(name), False)
            _wait_until_ended(client, name, start.policy_of(fleet).stop_s)
            client.call("startProcess", daemon.full_name(name), False)
            print(f"started {name}", flush=True)
    except daemon.NoAnswer as error:
        raise ValueError(f"{fleet.folder}: supervisord does not answer ({error})") from None
    return 0


def _wait_until_ended(client: daemon.Client, name: str, at_most_s: float) -> None:
    end = time.monotonic() + at_most_s
    while client.processes()[name]["statename"] == "STOPPING":
        if time.monotonic() > end:
            raise ValueError(f"{name} has not ended after {at_most_s:.0f} s")
        time.sleep(_POLL_S)


def _chosen(fleet: Fleet, names: list[str]) -> list[str]:
    """These processes, or all; ValueError for a name that is none of them."""
    known = [program.name for program in start.programs_of(fleet)]
    for name in names:
        if name not in known:
            raise ValueError(f"{name}: expected a process of {fleet.name}: {', '.join(known)}")
    return names or known


def elsewhere(fleet: Fleet) -> str:
    """A hint if the fleet was last started on another machine; else empty."""
    host = next(
        (row["host"] for row in reversed(events.read(fleet.folder)) if row["event"] == "started"),
        socket.gethostname(),
    )
    return "" if host == socket.gethostname() else f" on this machine (it was started on {host})"
