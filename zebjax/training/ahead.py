"""A self-play call that runs on the device while the host saves and reports.

The end of a cycle is work of the host: files of the network, the save, the metrics row. Meanwhile
the device plays the first call of the next cycle. Two rules keep a run the same to the bit:

- While a call runs ahead, `session.state` is a copy on the host of the arrays from before the call.
  So whatever is saved, and whenever, is right, and nothing waits for the device.
- If the run fails, the call is dropped. The save has the actor from before it, so the resumed run
  plays the same games: they do not depend on the division into calls.

A stop waits for the call, as for every other one, and saves its games.
"""

import concurrent.futures
import time
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from zebjax.common.devices import Tree
from zebjax.training.selfplay import Actor
from zebjax.training.session import Session, State


def _copied(leaf: jax.Array) -> np.ndarray | jax.Array:
    if not jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        return np.asarray(leaf)
    # `jax.device_get` leaves a typed key where it is, and the call would take its buffer.
    integers = jnp.asarray(np.array(jax.random.key_data(leaf)))
    return jax.random.wrap_key_data(integers, impl=jax.random.key_impl(leaf))


def on_host(tree: Tree) -> Tree:
    """Return NumPy copies of arrays, which stay valid when the arrays are donated.

    A typed random key becomes a key with a buffer of its own.
    """
    # All transfers are begun before the first is awaited.
    return jax.tree.map(_copied, jax.device_get(tree))


class Ahead:
    """One call of self-play that runs ahead, and the arrays that it will be put into."""

    def __init__(self, session: Session, play: Callable[[State], Actor]) -> None:
        """Begin the call, and make `session.state` a copy on the host.

        Args:
            session: changed in place.
            play: dispatches the call; it is given the arrays on the device, and may donate the
                actor.
        """
        self._state = session.state
        session.state = on_host(session.state)
        # In a thread, although JAX dispatches asynchronously: on a GPU the host takes part in each
        # turn of the call's loop, so that its dispatch may last as long as the call. Meanwhile JAX
        # lets other threads run.
        pool = concurrent.futures.ThreadPoolExecutor(1, thread_name_prefix="self-play")
        self._call = pool.submit(_timed, play, self._state)
        pool.shutdown(wait=False)

    def collect(self, session: Session) -> float:
        """Wait for the end of the call, and put the arrays with its actor into `session.state`.

        Args:
            session: changed in place; not if the call failed.

        Returns:
            The seconds that the call ran, those before this wait included.

        Raises:
            Exception: what the call raised.
        """
        actor, seconds = self._call.result()
        session.state = self._state._replace(actor=actor)
        return seconds

    def drop(self) -> None:
        """Wait for the end of the call, so that nothing computes any more, and forget its games."""
        concurrent.futures.wait([self._call])


def _timed(play: Callable[[State], Actor], state: State) -> tuple[Actor, float]:
    began = time.monotonic()
    actor = jax.block_until_ready(play(state))
    return actor, time.monotonic() - began
