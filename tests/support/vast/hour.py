"""An hour of `lb_v_eq_3740`'s stage 1 with rented workers, on one machine.

    python -m tests.support.vast.hour FOLDER [--minutes 60]

Real are the learner, the workers, the guard, dstack's server and the store (S3, by moto). The cloud
is `cloud.py`: its prices and GPU names are made up, its machines are processes here. What happens,
at these shares of the time:

    0     the cheapest offer never starts
    1/4   the learner is killed with -9 and started again
    2/5   a self-play worker is killed with -9
    3/5   the learner is stopped and goes on with a smaller replay buffer
    1     the learner is stopped, `fleet down`, and `zebjax recap` writes its page
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import boto3
import jax
import psutil
from moto.server import ThreadedMotoServer

from tests.support.vast import running
from tests.support.vast.fleet import set_secret
from zebjax import network
from zebjax.common import files
from zebjax.operations.rented import spec

EXPERIMENT, RUN = "lb_v_eq_3740", "lb-v-eq-3740"
# Small numbers for two cores; the network and the kinds of games are the experiment's.
SMALL = {
    "device": "cpu",
    "selfplay.lanes": 16,
    "selfplay.search.sims": 16,
    "selfplay.games-per-cycle": 16,
    "replay.min-buffer": 28 * 64,
    "replay.capacity-examples": 28 * 800,
    "learner.updates-per-cycle": 20,
    "evaluation.every-cycles": 10,
    "evaluation.deals": 50,
    "save.keep-every-cycles": 5,
    "store.publish-every-cycles": 5,
    "store.games-per-file": 16,
    "eval-aux.worlds": 10,
    "eval-aux.games-per-file": 8,
    "eval-aux.capacity-examples": 28 * 200,
}
SMALLER = 28 * 200
MACHINES = [
    {"id": 101, "gpu": "RTX 4070 Ti", "usd": 0.05, "cores": 16, "fault": "loading"},
    {"id": 201, "gpu": "RTX 4070 Ti", "usd": 0.08, "cores": 16, "fault": "real"},
    {"id": 202, "gpu": "RTX 3070 Ti", "usd": 0.06, "cores": 8, "fault": "real"},
    {"id": 203, "gpu": "RTX 3070 Ti", "usd": 0.06, "cores": 8, "fault": "real"},
    {"id": 204, "gpu": "RTX 4070 Ti", "usd": 0.09, "cores": 16, "fault": "real"},
]
KEYS = {"AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "very-secret"}
KEYS["AWS_REGION"] = "us-east-1"


def zebjax(*words):
    print("zebjax", *words, flush=True)
    subprocess.run([sys.executable, "-m", "zebjax", *words], check=words[0] != "status")


class Process:
    """`zebjax ...` with its log in a file; ended when it is let go."""

    def __init__(self, log, *words):
        with open(log, "a") as out:
            command = [sys.executable, "-m", "zebjax", *words]
            self.popen = subprocess.Popen(command, stdout=out, stderr=out)

    def end(self, number):
        self.popen.send_signal(number)
        return self.popen.wait()


def options(**changes):
    return [word for name, value in (SMALL | changes).items() for word in (f"--{name}", str(value))]


def bootstrap(folder):
    """Random weights of the right shape, where the experiment looks for the converted ones."""
    config = network.PRESETS["large"]
    with files.new_folder(folder) as new:
        network.save(new, config, network.init(config, jax.random.key(3740)))


def a_worker(role):
    """The process of a worker of this role."""
    for process in psutil.process_iter(["cmdline"]):
        words = process.info["cmdline"] or []
        if "train" in words and "--worker-id" in words and role in words:
            return process
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--minutes", type=float, default=60.0)
    args = parser.parse_args()
    folder = args.folder.absolute()
    folder.mkdir(parents=True)
    s3 = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    s3.start()
    host, port = s3.get_host_and_port()
    os.environ |= KEYS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}", "AWS_ALLOW_HTTP": "true"}
    boto3.client("s3", endpoint_url=f"http://{host}:{port}").create_bucket(Bucket="zeb")
    home = folder / "home"
    with running.running(home, MACHINES) as cloud, contextlib.ExitStack() as ends:
        os.chdir(folder)
        bootstrap(folder / "lb-v-eq-3740-bootstrap")
        wheel = folder / "zebjax-0-py3-none-any.whl"
        wheel.write_bytes(b"not needed: the simulated machines install nothing")
        url = ["--store.url", "s3://zeb/hour"]
        fleet = [*("--selfplay", "2", "--evalaux", "1", "--package", str(wheel))]
        zebjax("fleet", "plan", EXPERIMENT, *fleet, *url, *options())
        planned = spec.read(folder / "runs" / RUN / "fleet")
        for variable, value in KEYS.items():
            set_secret(planned, f"zebjax_worker_{variable.lower()}", value)

        def learner(**changes):
            words = ["train", EXPERIMENT, "--role", "learner", *url, *options(**changes)]
            process = Process(folder / "learner.log", *words)
            ends.callback(process.popen.kill)
            return process

        began, learning = time.monotonic(), learner()
        guard = Process(folder / "guard.log", "fleet", "up", RUN)
        ends.callback(guard.popen.kill)

        def wait_until(share):
            while time.monotonic() - began < share * args.minutes * 60:
                assert guard.popen.poll() is None, (folder / "guard.log").read_text()
                assert learning.popen.poll() is None, (folder / "learner.log").read_text()
                time.sleep(1)

        wait_until(1 / 4)
        learning.end(signal.SIGKILL)
        learning = learner()
        wait_until(2 / 5)
        if worker := a_worker("selfplay"):
            worker.kill()
        wait_until(3 / 5)
        print("learner ends with", learning.end(signal.SIGTERM), flush=True)
        learning = learner(**{"replay.capacity-examples": SMALLER})
        wait_until(1)
        zebjax("fleet", "status", RUN)
        zebjax("status", f"runs/{RUN}")
        print("learner ends with", learning.end(signal.SIGTERM), flush=True)
        zebjax("fleet", "down", RUN)
        print("still rented:", cloud.alive(), flush=True)
        zebjax("recap", f"runs/{RUN}")
    s3.stop()


if __name__ == "__main__":
    main()
