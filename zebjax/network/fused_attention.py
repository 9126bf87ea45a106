"""Attention of short sequences as one kernel of a GPU, in Pallas (Triton).

XLA runs scores, softmax and weighted sum as three kernels. A sequence has at most 36 tokens, so the
batched products of cuBLAS fill a small part of its tiles, and the scores go through memory twice.
Here a program holds one head of a few games on the chip (two of 16 tokens, one of 17 to 36): it
reads queries, keys and values once and writes the result once, in less than half of the time
(benchmarks/NOTES.md).

jax 0.11 deprecates Pallas' way through Triton. Where it is missing `devices.runs_pallas` is False.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from zebjax.common.arrays import Array

_NEVER = -1e30
"""Score of a token that is not seen. Finite, so that no row of a tile becomes nan."""
_ROWS = 32
"""Tokens of a tile at least; it holds as many whole games as fit."""
_WARPS = 1


def attend(qkv: jax.Array, mask: Array, n_heads: int, *, interpret: bool = False) -> jax.Array:
    """Return softmax(q k^T / sqrt(head)) v of each head, `[tokens * games, width]`.

    Products are of the dtype of `qkv` with float32 sums, the softmax is float32.

    Args:
        qkv: `[tokens * games, 3 * width]`, all queries before all keys before all values.
        mask: bool `[tokens, games]`, True for valid tokens, which all tokens of their game see.
        n_heads: a divisor of the width; a head has 16, 32, 64 or 128 columns. Not checked: see
            `ZebConfig.with_kernels`.
        interpret: True runs it on any device, slowly, as an emulation.
    """
    length, games = mask.shape
    width = qkv.shape[1] // 3
    rows = max(_ROWS, pl.next_power_of_2(length))
    kernel = functools.partial(
        _one_head, rows=rows, shape=(length, games), width=width, head=width // n_heads
    )
    programs = pl.cdiv(games, rows // length)

    def whole(array: Any) -> pl.BlockSpec:
        return pl.BlockSpec(array.shape, lambda i, j: (0,) * len(array.shape))

    valid = jnp.asarray(mask).reshape(-1)
    out = jax.ShapeDtypeStruct((length * games, width), qkv.dtype)
    flop = 4 * width * rows * rows * programs
    return pl.pallas_call(
        kernel,
        out_shape=out,
        grid=(programs, n_heads),
        in_specs=[whole(qkv), whole(valid)],
        out_specs=whole(out),
        compiler_params=triton.CompilerParams(num_warps=_WARPS, num_stages=1),
        # XLA cannot look inside; benchmarks/gpu reads this.
        metadata={"flop": str(flop)},
        interpret=interpret,
        name="attend",
    )(qkv, valid)


def _one_head(
    qkv_ref: Any,
    mask_ref: Any,
    out_ref: Any,
    *,
    rows: int,
    shape: tuple[int, int],
    width: int,
    head: int,
) -> None:
    """One head of `rows // tokens` games; the last rows of a tile may belong to none.

    Args:
        qkv_ref: `[tokens * games, 3 * width]`.
        mask_ref: bool `[tokens * games]`.
        out_ref: `[tokens * games, width]`.
        rows: tokens of a tile, a power of 2.
        shape: tokens and games.
        width: columns of queries, keys and values each.
        head: columns of a head.
    """
    length, games = shape
    at, per_tile = lax.iota(jnp.int32, rows), jnp.int32(rows // length)
    token, game = lax.div(at, per_tile), lax.rem(at, per_tile)
    game = pl.program_id(0) * per_tile + game
    exists = (token < length) & (game < games)
    # Rows that do not exist are masked; in an emulation no two may have one place.
    row = jnp.where(exists, token * games + game, length * games + at)
    columns = pl.program_id(1) * head + lax.iota(jnp.int32, head)
    query, key, value = (
        triton.load(
            qkv_ref.at[row[:, None], start + columns[None, :]], mask=exists[:, None], other=0
        )
        for start in (0, width, 2 * width)
    )
    valid = triton.load(mask_ref.at[row], mask=exists, other=False)
    sees = (game[:, None] == game[None, :]) & valid[None, :]
    # exp2 with log2(e) in the scale; a reciprocal of each row's sum, no division of each value.
    scores = jnp.where(sees, _dot(query, key.T) * (math.log2(math.e) / math.sqrt(head)), _NEVER)
    weight = jnp.exp2(scores - scores.max(-1, keepdims=True))
    seen = _dot(weight.astype(value.dtype), value) * (1 / weight.sum(-1, keepdims=True))
    place = out_ref.at[row[:, None], columns[None, :]]
    triton.store(place, seen.astype(out_ref.dtype), mask=exists[:, None])


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.dot(a, b, preferred_element_type=jnp.float32)
