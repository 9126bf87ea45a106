"""Where the golden data lies, and what to say when it does not."""

import os
from importlib import metadata
from pathlib import Path

# Most of the suite is compiling, and the workers, several files and the processes that tests start
# compile the same programs: they share them, also with the next session. `pytest --cache-clear`
# empties it. Set before jax is imported.
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "d" / "jax")
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")
# The programs of tests are small and run seldom: compiling them without optimisation takes a
# quarter of the time.
# XLA ends the process, without a word under pytest, for a flag that it does not know: the last one
# has gone in jaxlib 0.12.
os.environ.setdefault(
    "XLA_FLAGS",
    "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    + " --xla_cpu_use_fusion_emitters=false"
    * (tuple(map(int, metadata.version("jaxlib").split(".")[:2])) < (0, 12)),
)
# The stub of the Hub speaks plain LFS. Set before huggingface_hub is imported.
os.environ.setdefault("HF_HUB_DISABLE_XET", "1")

import hypothesis
import jax
import numpy as np
import pytest

from tests.support import batches_made, tiny
from zebjax import network
from zebjax.training import selfplay

# An example may have to wait for a compilation: no test fails for being slow.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

REFERENCE = Path(
    os.environ.get("ZEBJAX_REFERENCE", Path(__file__).parents[2] / "shared" / "reference")
)


# Files are handed to the workers in this order, the longest first, so that all workers end
# together.
LONGEST = ("run", "tree", "devices", "killed", "workers", "learner", "workers_faults")
LONGEST += ("train", "worlds", "selfplay", "warm_start", "compatibility", "solver")


def pytest_collection_modifyitems(items):
    order = {f"test_{name}": place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


_MANY_MAPS = 35_000
"""Linux allows a process 65,530 memory maps; a compiled program takes a few, and the one too many
ends the process."""


@pytest.fixture(scope="module", autouse=True)
def _forgets_programs():
    """A worker forgets what it has compiled between two files, once that is much; it stays on
    disk."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > _MANY_MAPS:
        jax.clear_caches()


@pytest.fixture(scope="session")
def reference_path():
    """Path of a file of the golden data; skips the test where the data is not there."""

    def find(name: str) -> Path:
        if REFERENCE.is_dir():
            assert (REFERENCE / name).exists(), (
                f"the golden data is there, but {name} is missing from {REFERENCE}"
            )
        else:
            pytest.skip(
                f"golden data {name} not found in {REFERENCE}; set ZEBJAX_REFERENCE to its folder"
            )
        return REFERENCE / name

    return find


@pytest.fixture(scope="session")
def reference(reference_path):
    """Load one of the golden `.npz` files as a dict of arrays; skips where the data is not
    there."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(reference_path(name)) as arrays:
            return dict(arrays)

    return load


@pytest.fixture
def compilations():
    """A list that grows by one with every program that XLA compiles while the test runs."""
    seen = []

    def on_event(event: str, duration: float, **_) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            seen.append(event)

    jax.monitoring.register_event_duration_secs_listener(on_event)
    jax.jit(lambda x: x + 1)(0)
    assert seen, (
        "jax no longer tells of compilations under this name: tests that count them would pass in "
        "vain"
    )
    seen.clear()
    yield seen
    jax.monitoring.unregister_event_duration_listener(on_event)


@pytest.fixture(scope="session")
def games():
    """24 finished games of a tiny network's self-play, as NumPy arrays; steps 5 to 7."""
    config, net = tiny.TINY.selfplay, tiny.TINY.network  # programs that other tests compile too
    params = network.init(net, jax.random.key(0))
    actor, taken = selfplay.init(config, jax.random.key(1), 5), []
    for _ in range(3):
        while int(actor.n_finished) < config.games_per_cycle:
            actor = selfplay.advance(config, net, params, actor, 7, 64)
        actor, records = selfplay.pop_finished(config, actor)
        taken.append(jax.tree.map(np.asarray, records))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves)[:24], *taken)


@pytest.fixture(scope="module")
def mine():
    """The games of `batch`, as GameRecords."""
    return batches_made.made()[0]


@pytest.fixture(scope="module")
def batch():
    """An example batch as the original writes them, made of our own games."""
    return batches_made.made()[1]
