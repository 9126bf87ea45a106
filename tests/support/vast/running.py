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


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


class Cloud:
    """The simulated cloud from outside."""

    def __init__(self, url):
        self.url = url

    def alive(self):
        """Offers that are rented now."""
        return get(f"{self.url}/state")["alive"]

    def log(self):
        """All rentals and ends."""
        return get(f"{self.url}/state")["log"]


@contextmanager
def running(folder, machines):
    """A cloud with these machines and dstack's server over it. Yields a `Cloud`.

    `folder` becomes the home of both; the environment has dstack's client settings meanwhile.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "machines.json").write_text(json.dumps(machines))
    settings = folder / ".dstack" / "server"
    settings.mkdir(parents=True)
    (settings / "config.yml").write_text(
        "projects:\n- name: main\n  backends:\n  - type: vastai\n"
        "    creds: {type: api_key, api_key: none}\n"
    )
    store = folder / "store"
    store.mkdir()
    vast, port = f"http://127.0.0.1:{free_port()}", free_port()
    env = os.environ | {"HOME": str(folder), "VAST": vast, "WORKER_STORE": str(store)}
    client = {
        "DSTACK_SERVER_URL": f"http://127.0.0.1:{port}",
        "DSTACK_TOKEN": TOKEN,
        "DSTACK_PROJECT": "main",
    }
    words = {
        "cloud": [str(HERE / "cloud.py"), vast.rpartition(":")[2], "machines.json", "machines"],
        "server": [str(HERE / "server.py"), str(port), TOKEN],
    }
    processes = []
    before = dict(os.environ)
    try:
        for name, arguments in words.items():
            with open(folder / f"{name}.log", "w") as log:
                processes.append(
                    subprocess.Popen(
                        [sys.executable, *arguments],
                        **{"cwd": folder, "env": env, "stdout": log, "stderr": log},
                        start_new_session=True,
                    )
                )
        _wait(client["DSTACK_SERVER_URL"] + "/healthcheck", processes, folder)
        os.environ.update(client)
        yield Cloud(vast)
    finally:
        os.environ.clear()
        os.environ.update(before)
        for process in processes:  # each with its group: the machines are children of the cloud
            os.killpg(process.pid, signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)


def _wait(url, processes, folder):
    until = time.monotonic() + 180
    while True:
        try:
            get(url)
            return
        except OSError:
            dead = [process for process in processes if process.poll() is not None]
            if dead or time.monotonic() > until:
                raise RuntimeError((folder / "server.log").read_text()[-2000:]) from None
            time.sleep(1)
