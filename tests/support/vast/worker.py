"""`zebjax` on a simulated machine: a worker that only writes heartbeats into a folder.

`python worker.py doctor ...`, `... train ... --worker-id ID`. The real worker would need a core for
each machine; the "fault" real starts it. The fault is in the file `$FAULT`, and may change while it
runs:
doctor        doctor says that the machine is no good
doctor_hangs  doctor does not end
crash         the program ends at its start
mute          writes no heartbeat
garbage       writes heartbeats that are no JSON
idle          writes heartbeats and makes no games
tires         the same, after it has made some
silent        writes no more heartbeats
skew          its clock is wrong by ten days
killed        the kernel kills it, as for want of memory
ends          the program ends without an error
"""

import contextlib
import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

REAL = """
import os
from zebjax import __main__
from zebjax.distributed import machine
machine.machine_id = os.getcwd  # the simulated machines are one
__main__.program()
"""
STORE, WORDS = os.environ["WORKER_STORE"], sys.argv[1:]


def fault():
    return Path(os.environ["FAULT"]).read_text()


def option(name):
    return WORDS[WORDS.index(name) + 1]


def doctor():
    if fault() == "doctor_hangs":
        time.sleep(3600)
    print("FAIL device     no GPU" if fault() == "doctor" else "ok   device")
    return 2 if fault() == "doctor" else 0


def train():
    assert "--wait-for-weights" in WORDS
    if fault() == "real":
        os.execv(sys.executable, [sys.executable, "-c", REAL, *WORDS])
    if fault() == "crash":
        print("No module named run_eval_aux", flush=True)
        return 3
    if fault() == "mute":
        time.sleep(3600)
    name, began = option("--worker-id"), time.monotonic()
    folder = Path(STORE) / "examples" / name
    folder.mkdir(parents=True, exist_ok=True)
    # Proves that the secret arrived without telling it.
    digest = hashlib.sha256(os.environ.get("STORE_KEY", "").encode()).hexdigest()
    print(f"{name} plays", flush=True)
    count = games = 0
    while (now := fault()) != "ends":
        if now == "killed":
            os.kill(os.getpid(), signal.SIGKILL)
        count += 1
        games += 0 if now in ("idle", "tires") else 64
        skew_s = 864_000 if now == "skew" else 0
        beat = {"role": option("--role"), "name": name, "count": str(count), "every_s": 1.0}
        beat |= {"time_s": time.time() - skew_s, "host": "m", "state": "running", "games": games}
        beat |= {"games_per_s": games / (time.monotonic() - began + 1), "digest": digest}
        beat |= {"machine": os.environ["MACHINE"], "usd": os.environ["ZEBJAX_PRICE_USD_PER_HOUR"]}
        if now != "silent":
            with contextlib.suppress(OSError):  # the store is gone: the real one waits too
                (folder / ".new").write_text("?" if now == "garbage" else json.dumps(beat))
                (folder / ".new").rename(folder / "status.json")
        time.sleep(1.0)
    return 0


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
sys.exit(doctor() if WORDS[0] == "doctor" else train())
