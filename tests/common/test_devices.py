"""Several devices give the same games and gradients as one, and a run can move between them."""

import dataclasses
import os
import subprocess
import sys
import types
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support.tiny import TINY, go
from zebjax.common import devices
from zebjax.training.config import Experiment

ROOT = Path(__file__).parents[2]

# Run in processes of its own: the number of virtual devices is fixed when JAX begins.
WORK = """
import sys
import jax, numpy as np
from tests.support.tiny import TINY
from zebjax import network, record
from zebjax.common import devices
from zebjax.training import batches, gradients, selfplay

net = TINY.network
params = devices.everywhere(network.init(net, jax.random.key(0)))
config = TINY.selfplay
actor = devices.everywhere(selfplay.init(config, jax.random.key(1)))
actor = selfplay.advance(config, net, params, actor, 0, 12)
if jax.device_count() > 1:
    sharding = actor.states.hands.sharding
    assert len(sharding.device_set) == jax.device_count(), sharding
    assert not sharding.is_fully_replicated

batch_config = learner.LearnerConfig(batch=8, lr=1e-3)
plies = np.arange(8, dtype=np.int32) % (np.asarray(actor.states.ply).min() + 1)

@jax.jit  # one program: operations one by one take as long to compile as all of the rest
def compute(params, records, plies):
    batch = batches.make_batch(batches.positions(records, plies), "v1")
    return gradients.grads_and_output(batch_config, net, params, batch, None)

grads, output = compute(params, actor.records, plies)

out = {f"record/{name}": leaf for name, leaf in record.arrays_of(actor.records).items()}
out |= {"ply": actor.states.ply, "n_finished": actor.n_finished, "value": output.value}
out |= {f"grad{i}": leaf for i, leaf in enumerate(jax.tree.leaves(grads))}
np.savez(sys.argv[1], **jax.tree.map(np.asarray, out))
"""


def on_devices(n: int, script: str, *arguments: str) -> str:
    """Run a script with `n` virtual CPU devices; what it printed."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count={n}",
        "PYTHONPATH": str(ROOT),
    }
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("devices")
    for n in (1, 8):
        on_devices(n, WORK, str(folder / f"{n}.npz"))
    return [dict(np.load(folder / f"{n}.npz")) for n in (1, 8)]


@pytest.mark.slow  # compiles for eight devices
def test_eight_devices_play_the_games_of_one(results):
    one, eight = results
    shortest = min(one["ply"].min(), eight["ply"].min())
    moves_one, moves_eight = (result["record/slots"][:, :shortest] for result in results)
    same = moves_one == moves_eight
    assert same.mean() >= 0.99
    for lane in np.flatnonzero(~same.all(1)):
        ply = np.flatnonzero(~same[lane])[0]  # from there on it is another game
        policies = [result["record/policy"][lane, ply].astype(float) for result in results]
        assert np.abs(policies[0] - policies[1]).max() < 0.01, "not a near-tie"
    assert shortest >= 12


@pytest.mark.slow
def test_eight_devices_have_the_gradients_of_one(results):
    one, eight = results
    np.testing.assert_allclose(eight["value"], one["value"], atol=1e-5)
    for name in one:
        if name.startswith("grad"):
            np.testing.assert_allclose(eight[name], one[name], atol=1e-5, err_msg=name)


RUN = """
import dataclasses, os, sys
import jax
from tests.support.tiny import TINY, Quiet
from zebjax.training import run as training

os.chdir(sys.argv[1])
experiment = dataclasses.replace(TINY, cycles=3)
run = training.Run(experiment, Quiet(), lambda: progress.updates_in_cycle > 2)
progress = run.session.progress
before = progress.cycle, progress.total_games
run.go()  # to its first updates: games and training have then been divided
print(jax.device_count(), before, run.session.progress.phase, run.session.progress.total_games)
"""
LOADED = """
from tests.support.playouts import positions, raw_keys
from zebjax import network, players
from zebjax.training import selfplay

config, params = network.load(run.session.folder)
actor = selfplay.init(TINY.selfplay, jax.random.key(1))
actor = selfplay.advance(TINY.selfplay, config, params, actor, 0, 1)
print(actor.states.hands.shape)
print(players.make(f"zeb:{run.session.folder}").choose(positions(8, [4]), raw_keys(8)).shape)
# With a call of self-play that runs while cycle 2 is saved.
rest = training.Run(experiment, Quiet(), lambda: False)
rest.go()
print(rest.session.progress.cycle, rest.session.progress.total_games)
"""


@pytest.mark.slow  # compiles every program of a run once more, for two devices
def test_a_run_goes_on_with_another_number_of_devices_and_its_network_plays_there(tmp_path):
    go(dataclasses.replace(TINY, runs=str(tmp_path / "runs"), cycles=1))
    printed = on_devices(2, RUN + LOADED, str(tmp_path)).splitlines()
    assert printed == ["2 (1, 20) train 30", "(8, 4, 7)", "(8,)", "3 40"]


def test_lanes_that_cannot_be_divided_are_named(tmp_path):
    script = RUN.replace("cycles=3", "selfplay=dataclasses.replace(TINY.selfplay, lanes=12)")
    with pytest.raises(
        AssertionError, match=r"selfplay.lanes: expected a multiple of the 8 devices .* got 12"
    ):
        on_devices(8, script, str(tmp_path))


# ---- the device that was meant


def test_a_gpu_that_is_not_there_is_one_sentence():
    script = """
from zebjax.common import devices
try:
    devices.check("any")
except ValueError as error:
    print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | {"JAX_PLATFORMS": "cuda", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    (line,) = done.stdout.splitlines()
    assert line.startswith("device: JAX cannot start what JAX_PLATFORMS=cuda asks for")
    assert "unset JAX_PLATFORMS" in line and "Traceback" not in done.stderr


def test_what_was_meant_is_checked_and_a_gpu_left_idle_is_said():
    notes = []
    devices.check("cpu", notes.append, lambda: "there is a GPU")
    devices.check("any", notes.append, lambda: None)
    assert notes == []
    devices.check("any", notes.append, lambda: "there is a GPU")
    assert len(notes) == 1 and notes[0].startswith("WARNING: JAX computes on the CPU, though there")
    with pytest.raises(ValueError, match="computes on the CPU, though there is a GPU"):
        devices.check("any", None, lambda: "there is a GPU")
    with pytest.raises(ValueError, match=r"device: expected a GPU, but .* CPU, though there is a"):
        devices.check("gpu", notes.append, lambda: "there is a GPU")


def test_an_nvidia_device_and_its_tools_are_seen(tmp_path):
    assert devices.unused_gpu(tmp_path, lambda name: None) is None
    assert devices.unused_gpu(tmp_path, {"nvidia-smi": "/usr/bin/nvidia-smi"}.get) is not None
    (tmp_path / "nvidiactl").touch()
    assert devices.unused_gpu(tmp_path, lambda name: None) is None
    (tmp_path / "nvidia0").touch()
    assert str(tmp_path) in devices.unused_gpu(tmp_path, lambda name: None)


def test_the_device_is_a_setting_of_the_experiment():
    assert Experiment("x").device == "any"
    with pytest.raises(ValueError, match="device: expected any, cpu or gpu, got 'cuda'"):
        Experiment("x", device="cuda")


@pytest.mark.parametrize(
    ("backend", "n_devices", "capability", "runs"),
    [
        ("gpu", 1, "9.0", True),
        ("gpu", 1, "8.6", True),
        ("gpu", 1, "10.0", True),
        ("gpu", 1, "", True),  # a GPU that is only described
        ("gpu", 1, "7.5", False),  # no bfloat16
        ("gpu", 1, "gfx942", False),  # AMD
        ("gpu", 2, "9.0", False),
        ("cpu", 1, "", False),
    ],
)
def test_which_devices_run_kernels_of_our_own(monkeypatch, backend, n_devices, capability, runs):
    device = types.SimpleNamespace(compute_capability=capability)
    monkeypatch.setattr(jax, "default_backend", lambda: backend)
    monkeypatch.setattr(jax, "device_count", lambda: n_devices)
    monkeypatch.setattr(jax, "local_devices", lambda: [device])
    assert devices.runs_pallas() == runs
    monkeypatch.setattr(devices, "PLAIN_XLA", True)
    assert not devices.runs_pallas()
