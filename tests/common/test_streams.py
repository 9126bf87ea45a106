"""A closed pipe or a narrow encoding loses output, but does not end the process."""

import os
import subprocess
import sys

WRITES = """
import sys, time
from zebjax.common import streams
streams.forgive()
print("50.0 ± 1.3", flush=True)
sys.stdin.readline()  # until the reader is gone
for _ in range(10_000):
    print("x" * 100)
print("to stderr", file=sys.stderr, flush=True)
"""


def test_a_reader_that_goes_away_ends_nothing():
    process = subprocess.Popen(
        [sys.executable, "-c", WRITES],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout.readline().decode().strip() == "50.0 ± 1.3"
    process.stdout.close()
    process.stdin.write(b"go\n")
    process.stdin.close()
    errors = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 0
    assert errors == "to stderr\n"


def test_an_encoding_without_the_sign_prints_a_question_mark():
    done = subprocess.run(
        [sys.executable, "-c", WRITES],
        input=b"go\n",
        capture_output=True,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        check=True,
        timeout=60,
    )
    assert done.stdout.startswith(b"50.0 ? 1.3\n")


def test_a_closed_standard_output_is_no_error():
    done = subprocess.run(
        ["sh", "-c", f'"{sys.executable}" -c "$0" >&-', WRITES],
        input=b"go\n",
        capture_output=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, b"to stderr\n")
