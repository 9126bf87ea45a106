"""`pip` and `zebjax` on a simulated machine: a worker that only writes heartbeats into a folder.

`python worker.py pip install ...`, `... zebjax doctor ...`, `... zebjax train ... --worker-id ID`.
The real worker would need a core for each machine; a machine of the kind "real" starts it.
"""

import hashlib
import json
import os
import signal
import sys
import time
from pathlib import Path

STORE, FAULT, WORDS = os.environ["WORKER_STORE"], os.environ["FAULT"], sys.argv[1:]


def option(name):
    return WORDS[WORDS.index(name) + 1]


def main():
    if WORDS[0] == "pip":
        return 0
    if WORDS[1] == "doctor":
        print("FAIL device     no GPU" if FAULT == "doctor" else "ok   device")
        return 2 if FAULT == "doctor" else 0
    if FAULT == "real":
        os.execv(sys.executable, [sys.executable, "-m", *WORDS])
    if FAULT == "crash":
        print("No module named run_eval_aux", flush=True)
        return 3
    if FAULT == "mute":
        time.sleep(3600)
    name, began = option("--worker-id"), time.monotonic()
    folder = Path(STORE) / "examples" / name
    folder.mkdir(parents=True, exist_ok=True)
    # Proves that the secret arrived without telling it.
    digest = hashlib.sha256(os.environ.get("STORE_KEY", "").encode()).hexdigest()
    print(f"{name} plays", flush=True)
    count = 0
    while True:
        count += 1
        games = 0 if FAULT == "idle" else 128 * (count // 2)
        beat = {"role": option("--role"), "name": name, "count": str(count), "every_s": 1.0}
        beat |= {"time_s": time.time(), "host": "m", "state": "running", "games": games}
        beat |= {"games_per_s": games / (time.monotonic() - began + 1), "digest": digest}
        new = folder / f".new-{count}"
        new.write_text(json.dumps(beat))
        new.rename(folder / "status.json")
        time.sleep(1.0)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
sys.exit(main())
