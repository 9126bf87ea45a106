"""The first signal requests a stop; a second Ctrl-C ends the process at once."""

import contextlib
import os
import signal
import subprocess
import sys
import threading

import pytest

# The suite itself may run under `nohup`: then this process inherits signals that are ignored.
DEFAULTS = """
import signal
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)
"""
WAITS = """
import os, sys, time
from zebjax.common.stop_signal import StopSignal
stop = StopSignal()
print("ready", flush=True)
while not stop.asked:
    time.sleep(0.01)
time.sleep(1)  # it saves
print("saved", flush=True)
"""


def start(stderr=subprocess.PIPE, nohup=False, script=WAITS):
    command = ["sh", "-c", 'trap "" HUP; exec "$0" -c "$1"'] if nohup else []
    process = subprocess.Popen(
        [*command, sys.executable, script] if nohup else [sys.executable, "-c", DEFAULTS + script],
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )
    assert process.stdout.readline() == "ready\n"
    return process


def ends(process):
    """What it prints until it exits; an error if it does not."""
    timer = threading.Timer(60, process.kill)
    timer.start()
    printed = process.stdout.read()
    assert process.wait() == 0
    timer.cancel()
    return printed


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_asks_for_a_stop(number):
    process = start()
    process.send_signal(number)
    assert ends(process) == "saved\n"
    assert process.stderr.read().count("stopping: the compiled call under way ends") == 1


def test_a_terminal_that_closes_may_send_several():
    process = start()
    for number in (signal.SIGHUP, signal.SIGHUP, signal.SIGTERM, signal.SIGTERM):
        process.send_signal(number)
    assert ends(process) == "saved\n"


def test_nohup_outlives_its_terminal():
    process = start(nohup=True)
    process.send_signal(signal.SIGHUP)
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(2)
    process.send_signal(signal.SIGTERM)
    assert ends(process) == "saved\n"


def test_a_second_ctrl_c_ends_at_once():
    process = start()
    process.send_signal(signal.SIGINT)
    assert process.stderr.read(1) == "\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130 and process.stdout.read() == ""


CALLS = """
import hashlib
from zebjax.common import stop_signal
stop = stop_signal.StopSignal(lambda text: print("noticed", flush=True))
print("ready", flush=True)
hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # a call of minutes: no handler of Python runs in it
"""


def test_the_notice_and_the_second_ctrl_c_do_not_wait_for_the_call_under_way():
    process = start(script=CALLS)
    process.send_signal(signal.SIGINT)
    assert process.stdout.readline() == "noticed\n"
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130


def test_sigterm_after_the_terminal_is_gone_still_saves():
    reader, writer = os.pipe()
    process = start(stderr=writer)
    os.close(writer)
    os.close(reader)
    process.send_signal(signal.SIGTERM)
    assert ends(process) == "saved\n"


LIVE = """
import time
from zebjax.common import console, stop_signal
with console.LiveReporter("a run") as report:
    stop = stop_signal.StopSignal(report.note)
    report.cycle({"cycle": 7, "stats/total_games": 3}, None)
    print("ready")
    while not stop.asked:
        time.sleep(0.01)
    time.sleep(0.6)  # some redraws
    report.cycle({"cycle": 8, "stats/total_games": 4}, None)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="it needs a pseudo-terminal")
def test_the_notice_stays_above_a_live_table():
    import pty

    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", DEFAULTS + LIVE],
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80", "LINES": "40"},
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # EIO: the other side has closed it
        while part := os.read(ours, 4096):
            seen += part
            if b"ready" in seen and b"stopping" not in seen:
                process.send_signal(signal.SIGINT)
    os.close(ours)
    assert process.wait(60) == 0
    # What a redraw deletes it deletes by these codes, line by line from the bottom of the table.
    _, notice, after = seen.partition(b"stopping: the compiled call under way ends")
    assert notice and b"stopping" not in after and after.count(b"a run") >= 1
    n_up = max((line.count(b"\x1b[1A") for line in after.split(b"\n")), default=0)
    n_table = after[after.rindex(b"a run") :].count(b"\n") + 1
    assert 0 < n_up <= n_table, "no redraw goes up to the notice"
