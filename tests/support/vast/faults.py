"""The faults of the simulated provider, and the table of what the guard made of them."""

import json
import statistics
from importlib import metadata
from pathlib import Path
from typing import NamedTuple


class Fault(NamedTuple):
    """What goes wrong, and the events with which the guard may answer."""

    about: str
    events: frozenset[str] = frozenset()


def _fault(about, *events):
    return Fault(about, frozenset(events))


FAULTS = {
    "gone": _fault("is listed, was deleted", "refused"),
    "half": _fault("refuses, and makes a contract that costs", "refused"),
    "html": _fault("answers the rental with a page of HTML", "refused"),
    "dearer": _fault("refuses, as the price rose over the cap meanwhile", "refused"),
    "loading": _fault("loads for ever", "not_started"),
    "oci": _fault("its container cannot be created", "not_started"),
    "dies": _fault("stops before it runs", "not_started"),
    "no_ssh": _fault("runs, and refuses the SSH key", "not_started"),
    "no_runner": _fault("runs, and dstack's runner never answers", "not_started"),
    "crash": _fault("the program ends at its start", "crashed"),
    "doctor": _fault("doctor fails, twice", "doctor_failed"),
    "doctor_hangs": _fault("doctor does not end", "not_started"),
    "mute": _fault("the program runs without a heartbeat", "not_started"),
    "garbage": _fault("its heartbeats are no JSON", "not_started"),
    "idle": _fault("heartbeats, and no games", "idle"),
    "tires": _fault("produces, then makes no more games", "idle"),
    "silent": _fault("produces, then writes no more heartbeats, and runs on", "silent"),
    "killed": _fault("produces, then its program is killed", "crashed", "silent"),
    "ends": _fault("produces, then its program ends with status 0", "crashed", "silent"),
    "lost": _fault("produces, then the machine is off", "lost", "silent"),
    "outbid": _fault("produces, then another renter pays more", "outbid", "silent"),
    "twins": _fault("two offers of one machine"),
    "skew": _fault("its clock is wrong by ten days"),
    "sticky": _fault("the provider fails to end it, twice"),
    "server_killed": _fault("dstack's server is killed and started again"),
    "provider_broken": _fault("every call of the provider fails for 20 s"),
    "store_gone": _fault("the store is gone for longer than a worker may be silent"),
    "guard_killed": _fault("the guard is killed and started again"),
    "second_guard": _fault("a second guard is started"),
    "no_weights": _fault("the learner has published nothing yet"),
}


class Table:
    """What became of each fault."""

    def __init__(self, deadline_s):
        self.deadline_s, self.rows, self.targets = deadline_s, [], []

    def add(self, fault, verdicts):
        """Add a fault with the guard's verdicts: event, seconds, detail."""
        events = [event for event, *_ in verdicts]
        row = {"fault": fault, "about": FAULTS[fault].about, "n": len(verdicts)}
        row |= {"events": {event: events.count(event) for event in sorted(set(events))}}
        self.rows.append(row | {"first_s": round(verdicts[0][1], 1)})

    def met(self, about, n_faults, seconds):
        """Add the seconds from the first good offer, or the faults, until the target is met."""
        self.targets.append({"about": about, "faults": n_faults, "met_s": round(seconds, 1)})

    def write(self, path, note):
        """Write it as a result of the benchmarks; faults that only the file has stay in it, so that
        the tests may run one after another.
        """
        from benchmarks import report

        if Path(path).exists():
            before = json.loads(Path(path).read_text())
            own = {row["fault"] for row in self.rows}, {target["about"] for target in self.targets}
            self.rows += [row for row in before["rows"] if row["fault"] not in own[0]]
            self.targets += [each for each in before["targets"] if each["about"] not in own[1]]

        facts = {"deadline_s": self.deadline_s, "kinds": len({r["fault"] for r in self.rows})}
        facts["dstack"] = metadata.version("dstack")
        if self.targets:
            facts["median_met_s"] = statistics.median(t["met_s"] for t in self.targets)
        report.write(
            Path(path),
            report.surroundings(note) | facts | {"targets": self.targets, "rows": self.rows},
        )
