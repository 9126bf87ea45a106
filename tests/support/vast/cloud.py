"""Vast.ai's calls: offers, rent, look, end. `python cloud.py PORT MACHINES.json FOLDER`.

MACHINES.json: a list of objects with the fields of `DEFAULTS`. A test changes the list with `PUT
/machines`, gives a machine that is rented a fault with `PUT /fault`, and breaks the whole with `PUT
/broken`.
"""

import json
import re
import signal
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.vast.machine import Machine

PORT, FOLDER = int(sys.argv[1]), Path(sys.argv[3])
DEFAULTS = {
    "id": 0,
    "gpu": "RTX 3070 Ti",
    "usd": 0.08,
    "cores": 8,
    "fault": "good",
    "spot": False,  # True: can also be had for a bid of `usd`, which is then the lower price
    "machine": "",  # two offers of one machine have the same word
}
LOADS = ("loading", "oci", "dies")
"""No machine starts."""
DIES_AFTER_S = 12.0
STICKS = 2
"""Number of times that the end of a machine with the fault "sticky" fails."""
machines, instances, log, lock = [], {}, [], threading.Lock()
is_broken = [False]


def change(given):
    machines[:] = [DEFAULTS | one for one in given]


def is_rented(number):
    return any(i["offer"] == number and i["alive"] for i in instances.values())


def tries(number):
    return sum(row.get("rent") == number for row in log)


def offer(machine):
    number, usd, cores = machine["id"], machine["usd"], machine["cores"]
    if machine["fault"] == "dearer" and tries(number):
        usd *= 20
    return {
        **{"id": number, "gpu_name": machine["gpu"], "gpu_ram": 12288, "num_gpus": 1},
        **{"cpu_cores": cores, "cpu_cores_effective": float(cores), "cpu_ram": 32000},
        **{"disk_space": 200, "dph_base": usd / 0.6 if machine["spot"] else usd},
        **{"storage_cost": 0.0, "min_bid": usd if machine["spot"] else None, "score": 900},
        **{"reliability2": 0.99, "inet_down": 500, "verified": True, "cuda_max_good": 13.0},
        **{"compute_cap": 890, "direct_port_count": 10, "rentable": True},
        **{"rented": is_rented(number), "geolocation": "Sweden, SE"},
    }


def rent(number, asked):
    machine = next(m for m in machines if m["id"] == number)
    fault = machine["fault"]
    with lock:
        busy = is_rented(number)
        usd = offer(machine)["dph_base"] if asked["price"] is None else asked["price"]
        row = {"time_s": time.time(), "rent": number, "fault": fault, "busy": busy, "usd": usd}
        log.append(row)
        refusal = {"success": False, "error": "invalid_args", "msg": "no_such_ask"}
        if fault == "html":
            return 502, None
        if busy or fault in ("gone", "dearer"):
            return 400, refusal
        iid = 7000 + len(instances)
        instances[iid] = instance = {"offer": number, "alive": True, "rented_s": time.time()}
        instance |= {"fault": fault, "machine": None, "name": asked["label"], "sticks": 0}
        if fault == "half":  # a contract that costs, and was refused
            return 400, refusal | {"new_contract": iid}
    if fault not in LOADS:
        keys = re.findall(r"ssh-[a-z0-9-]+ [A-Za-z0-9+/=]+", asked["args"][1])
        facts = {"fault": fault, "machine": machine["machine"] or f"machine-{number}"}
        instance["machine"] = Machine(FOLDER / str(iid), facts, {k.split()[1] for k in keys})
    return 200, {"success": True, "new_contract": iid}


def look(iid):
    instance = instances.get(iid)
    if instance is None or not instance["alive"]:
        return None
    age, machine = time.time() - instance["rented_s"], instance["machine"]
    state = {"actual_status": "loading", "status_msg": "pulling image", "cur_state": "running"}
    state |= {"intended_status": "running", "next_state": "running"}
    is_over = instance["fault"] == "dies" and age > DIES_AFTER_S
    if is_over or instance["fault"] in ("lost", "outbid"):
        stopped = dict.fromkeys(("cur_state", "intended_status", "next_state"), "stopped")
        state |= stopped | {"actual_status": "exited"}
    elif instance["fault"] == "oci":
        said = "Error response from daemon: OCI runtime create failed: no such device"
        state |= {"actual_status": "created", "status_msg": said}
    elif machine and age > 3:
        ports = {"10022/tcp": [{"HostPort": str(machine.port)}]}
        state |= {"actual_status": "running", "public_ipaddr": "127.0.0.1", "ports": ports}
    return state


def end(iid):
    """True if that worked."""
    instance = instances.get(iid)
    if instance and instance["alive"]:
        if instance["fault"] == "sticky" and instance["sticks"] < STICKS:
            instance["sticks"] += 1
            return False
        instance["alive"] = False
        log.append({"time_s": time.time(), "end": instance["offer"]})
        if instance["machine"]:
            instance["machine"].stop()
    return True


def break_one(number, fault):
    """Give the machine of a rented offer a fault."""
    instance = next(i for i in instances.values() if i["offer"] == number and i["alive"])
    instance["fault"] = fault
    log.append({"time_s": time.time(), "offer": number, "now": fault})
    if fault in ("lost", "outbid"):
        instance["machine"].stop()
    else:
        instance["machine"].change(fault)


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, code, value):
        data = b"<html>bad gateway</html>" if value is None else json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "text/html" if value is None else "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def body(self):
        return json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"{}")

    def number(self):
        return int(self.path.rstrip("/").split("/")[-1])

    def do_POST(self):
        asked = self.body()
        names = (asked.get("gpu_name") or {}).get("in")
        found = [offer(m) for m in machines if not names or m["gpu"] in names]
        found = sorted((o for o in found if not o["rented"]), key=lambda o: o["dph_base"])
        self.real(200, {"offers": found})

    def real(self, code, value):
        """Answer as the provider, which may be broken."""
        self.answer(*((500, None) if is_broken[0] else (code, value)))

    def do_PUT(self):
        asked = self.body()
        if self.path == "/machines":
            change(asked)
        elif self.path == "/fault":
            break_one(**asked)
        elif self.path == "/broken":
            is_broken[0] = asked
        elif is_broken[0]:
            return self.answer(500, None)
        else:
            return self.answer(*rent(self.number(), asked))
        return self.answer(200, {})

    def do_GET(self):
        if self.path == "/state":
            alive = [i["offer"] for i in instances.values() if i["alive"]]
            self.answer(200, {"alive": alive, "log": log})
        elif self.path.startswith("/api/v1/instances"):
            self.real(200, {"instances": []})
        else:
            self.real(200, {"instances": look(self.number())})

    def do_DELETE(self):
        worked = not is_broken[0] and end(self.number())
        self.answer(*((200, {"success": True}) if worked else (500, None)))


def stop(*_):
    for instance in instances.values():
        if instance["machine"]:
            instance["machine"].runner.stop(signal.SIGKILL)
    sys.exit(0)


signal.signal(signal.SIGTERM, stop)
change(json.loads(Path(sys.argv[2]).read_text()))
ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
