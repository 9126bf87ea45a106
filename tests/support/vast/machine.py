"""A rented machine that started: an SSH server that forwards to dstack's runner, and that runner.

`python machine.py FOLDER FAULT`; the accepted public keys on standard input; prints its SSH port.
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

FOLDER, FAULT = Path(sys.argv[1]).absolute(), sys.argv[2]
HERE = Path(__file__).parent
BEGINS = "pip install"
"""Our first command; what dstack puts before it is for a container, not for this machine."""


def now_ms():
    return int(time.time() * 1000)


class Runner:
    """dstack's runner: takes a job, runs its commands, hands over states and logs."""

    def __init__(self):
        self.job, self.run, self.process = None, None, None
        self.states, self.logs = [], []

    def start(self):
        self.states.append({"timestamp": now_ms(), "state": "running"})
        spec = self.job["job_spec"]
        name = self.job["run"]["run_spec"]["run_name"]
        command = spec["commands"][-1]
        command = command[command.index(BEGINS) :]
        programs = FOLDER / "bin"
        programs.mkdir()
        for program in ("pip", "zebjax"):
            path = programs / program
            path.write_text(f'#!/bin/sh\nexec {sys.executable} {HERE}/worker.py {program} "$@"\n')
            path.chmod(0o755)
        env = os.environ | spec["env"] | {"FAULT": FAULT, "DSTACK_RUN_NAME": name}
        env["PATH"] = f"{programs}:{env['PATH']}"
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", command],
            env=env,
            cwd=FOLDER,
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
        state = {"timestamp": now_ms(), "exit_status": status}
        if status == 0:
            state |= {"state": "done", "termination_reason": "done_by_runner"}
        else:
            state |= {"state": "failed", "termination_reason": "container_exited_with_error"}
        self.states.append(state)

    def stop(self):
        if self.process and self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGTERM)


runner = Runner()


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
        if "healthcheck" in self.path:
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
    while data := read(1 << 15):
        write(data)


def serve(connection, host_key, keys, port):
    transport = paramiko.Transport(connection)
    transport.add_server_key(host_key)
    try:
        transport.start_server(server=Ssh(keys))
        while transport.is_active():
            channel = transport.accept(5)
            if channel is None:
                continue
            there = socket.create_connection(("127.0.0.1", port))

            def both(channel=channel, there=there):
                back = threading.Thread(
                    target=pump, args=(there.recv, channel.sendall), daemon=True
                )
                back.start()
                try:
                    pump(channel.recv, there.sendall)
                finally:
                    there.close()
                    channel.close()

            threading.Thread(target=both, daemon=True).start()
    except (OSError, EOFError, paramiko.SSHException):
        pass


def main():
    FOLDER.mkdir(parents=True)
    keys = {line.split()[1] for line in sys.stdin if line.strip()}
    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http.serve_forever, daemon=True).start()
    listening = socket.create_server(("127.0.0.1", 0))
    print(listening.getsockname()[1], flush=True)

    def ended(*_):
        runner.stop()
        sys.exit(0)

    signal.signal(signal.SIGTERM, ended)
    host_key = paramiko.ECDSAKey.generate()
    while True:
        connection, _ = listening.accept()
        words = (connection, host_key, keys, http.server_address[1])
        threading.Thread(target=serve, args=words, daemon=True).start()


main()
