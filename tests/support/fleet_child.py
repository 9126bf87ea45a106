"""A process of a fleet in tests, instead of a training: `python fleet_child.py DIARY NAME MODE`.

It writes what happens to it into the file DIARY, which all processes of a test share.
"""

import contextlib
import os
import signal
import sys
import time

DIARY, NAME, MODE = sys.argv[1:4]


def tell(what):
    with open(DIARY, "a") as file:
        file.write(f"{NAME} {what}\n")


def say(text):
    with contextlib.suppress(OSError):  # nobody reads any more after a kill -9 of supervisord
        print(text, flush=True)


def stop(*_):
    tell("stops")
    time.sleep(0.3)  # it has something to send
    say("sent all games")
    tell("ended")
    os._exit(0)


signal.signal(signal.SIGTERM, stop)
tell(f"begins {os.getpid()}")
say(f"{NAME} begins")
if MODE == "crash":
    print("the reason of the crash", file=sys.stderr, flush=True)
    sys.exit(3)
if MODE == "done":
    sys.exit(0)
while True:
    say("x" * 200 if MODE == "talk" else "works")
    time.sleep(0.002 if MODE == "talk" else 0.1)
