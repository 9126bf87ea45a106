"""Vast.ai's calls: offers, rent, look, end. `python cloud.py PORT MACHINES.json FOLDER`.

MACHINES.json: a list of [id, GPU, USD per hour, CPU cores, fault]. The faults "loading", "dies" and
"gone" are this program's; the others are passed to the machine.
"""

import json
import re
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).parent
PORT, MACHINES, FOLDER = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text()), sys.argv[3]
DIES_AFTER_S = 12.0
instances, log, lock = {}, [], threading.Lock()


def offer(machine):
    number, gpu, usd, cores, _ = machine
    rented = any(i["offer"] == number and i["alive"] for i in instances.values())
    return {
        **{"id": number, "gpu_name": gpu, "gpu_ram": 12288, "num_gpus": 1, "cpu_cores": cores},
        **{"cpu_cores_effective": float(cores), "cpu_ram": 32000, "disk_space": 200},
        **{"dph_base": usd, "dph_total": usd, "storage_cost": 0.0, "min_bid": usd * 0.6},
        **{"score": 900, "reliability2": 0.99, "inet_down": 500, "verified": True},
        **{"cuda_max_good": 13.0, "compute_cap": 890, "direct_port_count": 10},
        **{"rentable": True, "rented": rented, "geolocation": "Sweden, SE"},
    }


def rent(number, asked):
    fault = next(m[4] for m in MACHINES if m[0] == number)
    with lock:
        busy = any(i["offer"] == number and i["alive"] for i in instances.values())
        log.append({"time_s": time.time(), "rent": number, "fault": fault, "busy": busy})
        if fault == "gone" or busy:
            return 400, {"success": False, "error": "invalid_args", "msg": "no_such_ask"}
        iid = 7000 + len(instances)
        instances[iid] = instance = {"offer": number, "alive": True, "rented_s": time.time()}
        instance |= {"fault": fault, "process": None, "port": None}
    if fault not in ("loading", "dies"):
        keys = re.findall(r"ssh-[a-z0-9-]+ [A-Za-z0-9+/=]+", asked["args"][1])
        words = [sys.executable, str(HERE / "machine.py"), f"{FOLDER}/{iid}", fault]
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        process.stdin.write("\n".join(keys) + "\n")
        process.stdin.close()
        instance |= {"process": process, "port": int(process.stdout.readline())}
    return 200, {"success": True, "new_contract": iid}


def look(iid):
    instance = instances.get(iid)
    if instance is None or not instance["alive"]:
        return None
    age = time.time() - instance["rented_s"]
    state = {"actual_status": "loading", "status_msg": "pulling image", "cur_state": "running"}
    state |= {"intended_status": "running", "next_state": "running"}
    if instance["fault"] == "dies" and age > DIES_AFTER_S:
        stopped = dict.fromkeys(("cur_state", "intended_status", "next_state"), "stopped")
        state |= stopped | {"actual_status": "exited"}
    if instance["port"] and age > 3:
        ports = {"10022/tcp": [{"HostPort": str(instance["port"])}]}
        state |= {"actual_status": "running", "public_ipaddr": "127.0.0.1", "ports": ports}
    return state


def end(iid):
    instance = instances.get(iid)
    if instance and instance["alive"]:
        instance["alive"] = False
        log.append({"time_s": time.time(), "end": instance["offer"]})
        if instance["process"]:
            instance["process"].terminate()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *args):
        pass

    def answer(self, code, value):
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
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
        found = [offer(m) for m in MACHINES if not names or m[1] in names]
        found = sorted((o for o in found if not o["rented"]), key=lambda o: o["dph_base"])
        self.answer(200, {"offers": found})

    def do_PUT(self):
        self.answer(*rent(self.number(), self.body()))

    def do_GET(self):
        if self.path == "/state":
            alive = [i["offer"] for i in instances.values() if i["alive"]]
            self.answer(200, {"alive": alive, "log": log})
        elif self.path.startswith("/api/v1/instances"):
            self.answer(200, {"instances": []})
        else:
            self.answer(200, {"instances": look(self.number())})

    def do_DELETE(self):
        end(self.number())
        self.answer(200, {"success": True})


ThreadingHTTPServer(("127.0.0.1", PORT), Handler).serve_forever()
