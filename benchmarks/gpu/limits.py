"""Measure the constants of the roofline on this device: bandwidth, products, launches, waits."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from .. import report

_REPEATS = 5
_TURNS = 2000
_CHAIN = 10

Measurement = Callable[[], dict[str, Any]]


def prepare(is_smoke: bool) -> list[Measurement]:
    """Compile all; each function that is returned measures one constant."""
    small = is_smoke or report.on_cpu()
    made = [_copy(2**20 if small else 2**29)]
    sizes = (
        [(256, 256, 256)]
        if small
        else [
            (8192, 8192, 8192),
            (8192 * 20, 256, 256),
            (8192 * 20, 256, 1024),
        ]
    )
    made += [_product(*size) for size in sizes]
    return [*made, _launches(), _waits("loop of unknown length"), _waits("conditional")]


def _ready(function: Any, *arguments: Any) -> Callable[[], Any]:
    compiled = jax.jit(function).lower(*arguments).compile()
    return functools.partial(compiled, *arguments)


def _times(work: Callable[[], jax.Array], n: int) -> Callable[[], jax.Array]:
    """Run `work` `n` times; only two results exist at a time, whatever the device's memory."""

    def run() -> jax.Array:
        for _ in range(n):
            last = work()
        return last

    return run


def _copy(n: int) -> Measurement:
    """A read and a write of `n` bfloat16 numbers."""
    x = jax.random.normal(jax.random.key(0), (n,), jnp.bfloat16)
    work = _ready(lambda x: x + 1, x)

    def measure() -> dict[str, Any]:
        time = report.timed(_times(work, 10), _REPEATS)
        return {
            "constant": "bandwidth",
            "bytes": 4 * n,
            "tb_per_s": round(4 * n * 10 / time["wall_s"] / 1e12, 3),
        }

    return measure


def _product(m: int, k: int, n: int) -> Measurement:
    """A product of bfloat16 matrices."""
    a = jax.random.normal(jax.random.key(0), (m, k), jnp.bfloat16)
    b = jax.random.normal(jax.random.key(1), (k, n), jnp.bfloat16)
    work = _ready(jnp.matmul, a, b)

    def measure() -> dict[str, Any]:
        time = report.timed(_times(work, 50), _REPEATS)
        seconds = time["wall_s"] / 50
        return {
            "constant": "product",
            "shape": [m, k, n],
            "us": round(1e6 * seconds, 2),
            "tflop_per_s": round(2 * m * k * n / seconds / 1e12, 1),
            "tb_per_s": round(2 * (m * k + k * n + m * n) / seconds / 1e12, 3),
        }

    return measure


def _chain(x: jax.Array) -> jax.Array:
    """Ten kernels of almost no work: a barrier keeps XLA from joining two."""
    for _ in range(_CHAIN):
        x = jax.lax.optimization_barrier(x * 1.0001 + 1)
    return x


def _launches() -> Measurement:
    """Kernels one after the other, in a loop of known length."""
    x = jnp.ones(1024)
    work = _ready(lambda x: jax.lax.fori_loop(0, _TURNS, lambda _, x: _chain(x), x), x)

    def measure() -> dict[str, Any]:
        seconds = report.timed(work, _REPEATS)["wall_s"] / _TURNS / _CHAIN
        return {"constant": "launch", "us": round(1e6 * seconds, 3)}

    return measure


def _waits(kind: str) -> Measurement:
    """Turns of a loop that need the host, with the one to three small kernels of a turn."""
    x = jnp.ones(1024)

    def body(x: jax.Array) -> jax.Array:
        if kind == "conditional":
            return jax.lax.cond(x[0] > 0, lambda x: x * 1.0001 + 1, lambda x: -x, x)
        return x * 1.0001 + 1

    def unknown(x: jax.Array, n: jax.Array) -> Any:
        return jax.lax.while_loop(
            lambda carry: carry[1] < n, lambda carry: (body(carry[0]), carry[1] + 1), (x, 0)
        )

    def known(x: jax.Array, n: jax.Array) -> Any:
        return jax.lax.fori_loop(0, _TURNS, lambda _, x: body(x), x)

    work = _ready(known if kind == "conditional" else unknown, x, jnp.int32(_TURNS))

    def measure() -> dict[str, Any]:
        seconds = report.timed(work, _REPEATS)["wall_s"] / _TURNS
        return {"constant": f"turn with a {kind}", "us": round(1e6 * seconds, 3)}

    return measure


def rows(measurements: list[Measurement]) -> Iterator[dict[str, Any]]:
    """One row for each constant."""
    return (measure() for measure in measurements)
