"""Start and stop the whole: the cloud, dstack's server, and a client's settings for it."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path

HERE, TOKEN = Path(__file__).parent, "token-of-the-test"
ROOT = HERE.parents[2]


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def call(url, method="GET", value=None):
    data = None if value is None else json.dumps(value).encode()
    with urllib.request.urlopen(
        urllib.request.Request(url, data, method=method), timeout=30
    ) as answer:
        return json.loads(answer.read() or b"null")


class Cloud:
    """The simulated cloud from outside, and dstack's server over it."""

    def __init__(self, folder):
        self.folder, self.store = folder, folder / "store"
        self.url, self.port = f"http://127.0.0.1:{free_port()}", free_port()
        self.client = {
            "DSTACK_SERVER_URL": f"http://127.0.0.1:{self.port}",
            "DSTACK_TOKEN": TOKEN,
            "DSTACK_PROJECT": "main",
        }
        self.processes = {}

    def alive(self):
        """Offers that are rented now."""
        return call(f"{self.url}/state")["alive"]

    def log(self):
        """All rentals, ends and faults that were given later."""
        return call(f"{self.url}/state")["log"]

    def offer(self, machines):
        """From now on there are these machines."""
        call(f"{self.url}/machines", "PUT", machines)

    def give(self, offer, fault):
        """Give the machine of a rented offer a fault."""
        call(f"{self.url}/fault", "PUT", {"number": offer, "fault": fault})

    def set_broken(self, is_broken):
        """True: every call of the provider fails."""
        call(f"{self.url}/broken", "PUT", is_broken)

    def start(self, name):
        """Start `cloud` or `server`."""
        words = {
            "cloud": [str(HERE / "cloud.py"), self.url.rpartition(":")[2], "machines.json", "m"],
            "server": [str(HERE / "server.py"), str(self.port), TOKEN],
        }[name]
        env = os.environ | {"HOME": str(self.folder), "WORKER_STORE": str(self.store)}
        env |= {"VAST": self.url, "PYTHONPATH": f"{ROOT}:{env.get('PYTHONPATH', '')}"}
        with open(self.folder / f"{name}.log", "a") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, *words],
                **{"cwd": self.folder, "env": env, "stdout": log, "stderr": log},
                start_new_session=True,
            )

    def kill_server(self):
        """Kill dstack's server and start it again."""
        self.processes["server"].kill()
        self.processes["server"].wait()
        self.start("server")
        self.wait()

    def wait(self, limit_s=1800):
        """Wait until dstack's server answers."""
        until = time.monotonic() + limit_s
        while True:
            try:
                call(self.client["DSTACK_SERVER_URL"] + "/healthcheck")
                return
            except OSError:
                dead = [p for p in self.processes.values() if p.poll() is not None]
                if dead or time.monotonic() > until:
                    said = (self.folder / "server.log").read_text()[-2000:]
                    raise RuntimeError(said) from None
                time.sleep(1)


@contextmanager
def running(folder, machines=()):
    """A cloud with these machines and dstack's server over it. Yields a `Cloud`.

    `folder` becomes the home of both; the environment has dstack's client settings meanwhile.
    """
    settings = folder / ".dstack" / "server"
    settings.mkdir(parents=True)
    (folder / "machines.json").write_text(json.dumps(machines))
    (settings / "config.yml").write_text(
        "projects:\n- name: main\n  backends:\n  - type: vastai\n"
        "    creds: {type: api_key, api_key: none}\n"
    )
    cloud, before = Cloud(folder), dict(os.environ)
    cloud.store.mkdir()
    try:
        cloud.start("cloud")
        cloud.start("server")
        cloud.wait()
        os.environ.update(cloud.client)
        yield cloud
    finally:
        os.environ.clear()
        os.environ.update(before)
        for process in cloud.processes.values():  # each with its group
            os.killpg(process.pid, signal.SIGTERM)
        for process in cloud.processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
