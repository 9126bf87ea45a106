"""The first signal requests a stop; a second Ctrl-C ends the process at once."""

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


def start(stderr=subprocess.PIPE, nohup=False):
    command = ["sh", "-c", 'trap "" HUP; exec "$0" -c "$1"'] if nohup else []
    process = subprocess.Popen(
        [*command, sys.executable, WAITS] if nohup else [sys.executable, "-c", DEFAULTS + WAITS],
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
    assert "stopping: finishing the current call" in process.stderr.read()


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
    assert process.wait(60) == -signal.SIGINT and process.stdout.read() == ""


def test_sigterm_after_the_terminal_is_gone_still_saves():
    reader, writer = os.pipe()
    process = start(stderr=writer)
    os.close(writer)
    os.close(reader)
    process.send_signal(signal.SIGTERM)
    assert ends(process) == "saved\n"
