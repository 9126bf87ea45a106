"""A planned fleet, `zebjax fleet` on it in processes of their own, and what its guard reports."""

import json
import subprocess
import sys
import time

from zebjax.operations.rented import guard as guards
from zebjax.operations.rented import spec
from zebjax.operations.rented.settings import Rules

SECRET_NAME = "zebjax_worker_store_key"


def set_secret(made, name, value):
    """Give dstack's server a secret; `made` is the fleet's spec."""
    from zebjax.operations.rented.dstack_provider import DstackProvider

    DstackProvider(made)._client.client.secrets.create_or_update("main", name, value)


class Fleet:
    """Its folder is `folder/runs/NAME/fleet`, its store that of the simulated machines."""

    def __init__(self, folder, cloud, name, targets, deadline_s, spot=False):
        from zebjax.operations.rented import dstack_files

        self.folder = folder / "runs" / name / "fleet"
        self.log, self.cloud, self.targets = folder / f"{name}.log", cloud, targets
        self.deadline_s, self.limit_s = deadline_s, 20 * deadline_s
        wheel = folder / "zebjax-0-py3-none-any.whl"
        wheel.write_bytes(b"not needed: the simulated machines install nothing")
        rules = Rules(
            deadline_s=deadline_s, idle_s=deadline_s / 2, silent_s=deadline_s / 2, budget_usd=1.0
        )
        machines = spec.Machines(gpus=("RTX4070Ti", "RTX3070Ti"), package=str(wheel), spot=spot)
        # A folder as the store: `plan` would refuse it, the simulated machines reach it.
        self.spec = spec.Spec(
            **{"name": name, "experiment": "quickstart", "options": (), "run": "quickstart"},
            **{"namespace": str(cloud.store), "rules": rules, "machines": machines},
            secrets=(("STORE_KEY", SECRET_NAME),),
        )
        dstack_files.write(self.folder, self.spec)
        spec.write(self.folder, self.spec)
        with spec.changing(self.folder) as wanted:
            wanted["targets"] = targets
        self.guards = []

    def call(self, name, *options):
        words = [sys.executable, "-m", "zebjax", "fleet", name, str(self.folder), *options]
        return subprocess.run(words, capture_output=True, text=True, timeout=self.limit_s)

    def start(self):
        """Start a guard; returns its process."""
        words = [sys.executable, "-m", "zebjax", "fleet", "up", str(self.folder), "--poll-s", "2"]
        with open(self.log, "a") as log:
            self.guards.append(subprocess.Popen(words, stdout=log, stderr=log))
        return self.guards[-1]

    def memory(self):
        return guards.load_memory(self.folder)

    def workers(self, role=None):
        """Live workers that have made games since they were given a fault."""
        found = [w for w in self.memory().workers if w.ending_s is None and w.progress_s]
        return [w for w in found if role in (None, w.role)]

    def is_met(self):
        return all(len(self.workers(role)) >= n for role, n in self.targets.items())

    def until(self, done, limit_s=None):
        """Wait until `done()`; returns the seconds that this took."""
        began = time.monotonic()
        while not done():
            assert self.guards[-1].poll() is None, self.log.read_text()
            assert time.monotonic() - began < (limit_s or self.limit_s), self.log.read_text()
            time.sleep(1)
        return time.monotonic() - began

    def events(self, *names):
        path = self.folder / guards.EVENTS
        lines = path.read_text().splitlines() if path.exists() else []
        return [e for e in map(json.loads, lines) if not names or e["event"] in names]

    def rented(self):
        """Worker -> number of its offer, of all rentals that were asked for."""
        return {e["name"]: int(e["detail"].split("/")[1]) for e in self.events("rented")}

    def verdicts(self, offer):
        """The events of an offer's workers that tell a fault, with seconds since the rental."""
        names = {name for name, number in self.rented().items() if number == offer}
        began = {e["name"]: e["time_s"] for e in self.events("rented")}
        told = ("not_started", "crashed", "doctor_failed", "refused", "silent", "idle", "lost")
        told += ("outbid", "culled")
        return [
            (e["event"], e["time_s"] - began[e["name"]], e["detail"])
            for e in self.events(*told)
            if e["name"] in names
        ]

    def kill(self):
        for guard in self.guards:
            guard.kill()
            guard.wait()
