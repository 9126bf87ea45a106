"""Two processes of `jax.distributed`, one device each, compute what one process with two does.

This holds for the compiled programs, self-play and learner. `zebjax train` does not use it yet: see
"Several hosts" in CONTRIBUTING.md.
"""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


def free_port():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


def together(n_processes, folder):
    """Start the processes and wait; what each of them found."""
    surroundings = {name: value for name, value in os.environ.items() if name != "XLA_FLAGS"}
    files = [folder / f"{n_processes}-{number}.npz" for number in range(n_processes)]
    port = free_port()
    children = [
        subprocess.Popen(
            [
                *(sys.executable, "-m", "tests.support.of_processes"),
                *(str(file), str(n_processes), str(number), str(port)),
            ],
            cwd=ROOT,
            env=surroundings,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number, file in enumerate(files)
    ]
    try:
        said = [child.communicate(timeout=900)[0] for child in children]
    finally:
        for child in children:
            child.kill()
    assert [child.returncode for child in children] == [0] * n_processes, said
    return [dict(np.load(file)) for file in files]


@pytest.mark.slow  # compiles in three processes; test_devices covers several devices in one
def test_two_processes_train_and_play_as_one_process_with_two_devices(tmp_path):
    (alone,), both = together(1, tmp_path), together(2, tmp_path)
    for found in both:
        assert found.keys() == alone.keys()
        for name, array in alone.items():
            np.testing.assert_array_equal(found[name], array, err_msg=name)
    assert any(array.std() > 0 for array in alone.values())
