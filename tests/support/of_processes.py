"""A child of test_processes: one of several processes that compute one program together.

    python -m tests.support.of_processes OUT.npz N_PROCESSES PROCESS_ID PORT

With one process it has two devices; with two, each has one. OUT gets the results as this process
sees them.
"""

import sys

import jax
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

_UPDATES, _MOVES = 6, 12


def _start(n_processes: int, process_id: int, port: int) -> None:
    jax.config.update("jax_platforms", "cpu")
    jax.config.update("jax_num_cpu_devices", 2 // n_processes)
    if n_processes > 1:
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        jax.distributed.initialize(f"localhost:{port}", n_processes, process_id)


def _work() -> dict[str, np.ndarray]:
    from jax.experimental import multihost_utils

    from benchmarks.learner import random_games
    from tests.support.tiny import TINY
    from zebjax import network
    from zebjax.common import devices
    from zebjax.training import learner, replay, selfplay
    from zebjax.training.learner_config import LearnerConfig

    # `devices.everywhere` is for the devices of one process.
    place = NamedSharding(devices._mesh(), PartitionSpec())
    everywhere = jax.jit(lambda tree: tree, out_shardings=place)
    net = TINY.network
    assert jax.device_count() == 2
    params = network.init(net, jax.random.key(0))
    config = LearnerConfig(batch=8, updates_per_cycle=_UPDATES, updates_per_call=2)
    ring = replay.add(replay.init(28 * 16), random_games(16, jax.random.key(1)))
    state = learner.init(config, net, params, jax.random.key(2))
    # Each process makes the same arrays; together they are one replicated array.
    state, ring, params = everywhere((state, ring, params))
    state = learner.train(config, net, state, ring, _UPDATES // 2)
    trained = jax.tree_util.tree_leaves_with_path(state.params)
    found = {jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in trained}

    actor = everywhere(selfplay.init(TINY.selfplay, jax.random.key(3)))
    actor = selfplay.advance(TINY.selfplay, net, params, actor, 0, _MOVES)
    # Lanes are divided over the processes, so they are gathered to be compared.
    games = multihost_utils.process_allgather((actor.records, actor.states.points), tiled=True)
    for number, leaf in enumerate(jax.tree.leaves(games)):
        found[f"lanes{number}"] = np.asarray(leaf)
    return found


if __name__ == "__main__":
    _out, _n, _id, _port = sys.argv[1:]
    _start(int(_n), int(_id), int(_port))
    np.savez(_out, **_work())
