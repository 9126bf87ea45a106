"""A rented machine that started: an SSH server that forwards to dstack's runner, and that runner.

Faults of the machine itself: "no_ssh" accepts no key, "no_runner" has a runner that never answers.
All others are the program's, see `worker.py`.
"""

import base64
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import paramiko

HERE = Path(__file__).parent
BEGINS = "pip install"
"""Our first command; what dstack puts before it is for a container, not for this machine."""
HOST_KEY = paramiko.ECDSAKey.generate()


def now_ms():
    return int(time.time() * 1000)


class Machine:
    """It runs in threads of this process; its program is a process of its own."""

    def __init__(self, folder, facts, keys):
        folder = folder.absolute()
        folder.mkdir(parents=True)
        self.folder, self.keys, self.name = folder, keys, facts["machine"]
        self.fault = facts["fault"]
        self.change(self.fault)
        self.runner = Runner(self)
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler(self.runner, self.fault))
        self.listening = socket.create_server(("127.0.0.1", 0))
        self.port = self.listening.getsockname()[1]
        self.transports = []
        for work in (self.http.serve_forever, self.accept):
            threading.Thread(target=work, daemon=True).start()

    def change(self, fault):
        """From now on the program has this fault."""
        new = self.folder / "new-fault"
        new.write_text(fault)
        new.rename(self.folder / "fault")

    def stop(self):
        """The machine is gone, from one moment to the next."""
        self.runner.stop(signal.SIGKILL)
        self.listening.close()
        for transport in self.transports:
            transport.close()
        self.http.shutdown()

    def accept(self):
        while True:
            try:
                connection, _ = self.listening.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self.serve, args=(connection,), daemon=True).start()

    def serve(self, connection):
        transport = paramiko.Transport(connection)
        transport.add_server_key(HOST_KEY)
        self.transports.append(transport)
        try:
            transport.start_server(server=Ssh(() if self.fault == "no_ssh" else self.keys))
            while transport.is_active():
                channel = transport.accept(5)
                if channel is None:
                    continue
                there = socket.create_connection(("127.0.0.1", self.http.server_address[1]))
                threading.Thread(target=both_ways, args=(channel, there), daemon=True).start()
        except (OSError, EOFError, paramiko.SSHException):
            pass


class Runner:
    """dstack's runner: takes a job, runs its commands, hands over states and logs."""

    def __init__(self, machine):
        self.machine, self.job, self.process = machine, None, None
        self.states, self.logs = [], []

    def start(self):
        self.states.append({"timestamp": now_ms(), "state": "running"})
        spec = self.job["job_spec"]
        name = self.job["run"]["run_spec"]["run_name"]
        command = spec["commands"][-1]
        command = command[command.index(BEGINS) :]
        programs = self.machine.folder / "bin"
        programs.mkdir()
        worker = f'#!/bin/sh\nexec {sys.executable} -S {HERE}/worker.py "$@"\n'
        for program, text in (("pip", "#!/bin/sh\nexit 0\n"), ("zebjax", worker)):
            path = programs / program
            path.write_text(text)
            path.chmod(0o755)
        env = os.environ | spec["env"] | {"DSTACK_RUN_NAME": name, "MACHINE": self.machine.name}
        env |= {"FAULT": str(self.machine.folder / "fault")}
        env["PATH"] = f"{programs}:{env['PATH']}"
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            env=env,
            cwd=self.machine.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        threading.Thread(target=self.follow, daemon=True).start()

    def follow(self):
        for line in self.process.stdout:
            message = base64.b64encode(line).decode()
            self.logs.append({"timestamp": now_ms(), "message": message})
        status = self.process.wait()
        status = 128 - status if status < 0 else status  # as a shell reports a signal
        state = {"timestamp": now_ms(), "exit_status": status}
        if status == 0:
            state |= {"state": "done", "termination_reason": "done_by_runner"}
        else:
            state |= {"state": "failed", "termination_reason": "container_exited_with_error"}
        self.states.append(state)

    def stop(self, number=signal.SIGTERM):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, number)


def handler(runner, fault):
    """The runner's HTTP server."""

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *args):
            pass

        def answer(self, value, code=200):
            data = json.dumps(value).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def do_GET(self):
            if fault == "no_runner":
                self.answer({}, 503)
            elif "healthcheck" in self.path:
                self.answer({"service": "dstack-runner", "version": "0.22.5"})
            elif "pull" in self.path:
                since = int(self.path.split("timestamp=")[1]) if "timestamp=" in self.path else 0
                new = [
                    [item for item in items if item["timestamp"] > since]
                    for items in (runner.states, runner.logs)
                ]
                found = {"job_states": new[0], "job_logs": new[1], "runner_logs": []}
                self.answer(found | {"last_updated": now_ms(), "has_more": False})
            else:
                self.answer({}, 404)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if "submit" in self.path:
                runner.job = json.loads(body)
                self.answer({})
            elif "run" in self.path.split("/api/")[1]:
                runner.start()
                self.answer({"working_dir": "/", "username": "root"})
            else:
                if "stop" in self.path:
                    runner.stop()
                self.answer({})

    return Handler


class Ssh(paramiko.ServerInterface):
    def __init__(self, keys):
        self.keys = keys

    def check_auth_publickey(self, username, key):
        ours = key.get_base64() in self.keys
        return paramiko.AUTH_SUCCESSFUL if ours else paramiko.AUTH_FAILED

    def get_allowed_auths(self, username):
        return "publickey"

    def check_channel_direct_tcpip_request(self, chanid, origin, destination):
        return paramiko.OPEN_SUCCEEDED


def pump(read, write):
    try:
        while data := read(1 << 15):
            write(data)
    except OSError:
        pass


def both_ways(channel, there):
    threading.Thread(target=pump, args=(there.recv, channel.sendall), daemon=True).start()
    pump(channel.recv, there.sendall)
    there.close()
    channel.close()
