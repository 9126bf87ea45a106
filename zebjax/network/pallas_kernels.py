"""The forward pass for inference on a GPU with two kernels a layer, in Pallas (Triton).

XLA runs a layer as 11 kernels, which write and read activations 25 times in a GPU's memory. Here a
program takes a tile of rows (tokens of several games) and keeps them on the chip: `attention` is
the norm, the products for queries, keys and values, and attention; `feed_forward` the product of
what attention gave, the residual, the norm, both products and the residual. A third kernel, `pool`,
reads the last activations once for the heads. Weights are read in slices, from the L2 cache.

Activations are `[games, tokens, width]`, flattened to rows. A tile of attention holds whole games;
a block mask lets each token see the valid tokens of its own game alone. Products are of the dtype
of the rows with float32 sums; norms, softmax and sums within a kernel are float32.

Not run on a GPU yet: compiled for four architectures, and correct in interpret mode.
"""

import functools
import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jax.experimental import pallas as pl
from jax.experimental.pallas import triton

from zebjax.network import forward as plain
from zebjax.network.config import ZebConfig
from zebjax.network.forward import Affine, Layer, Output, Prepared
from zebjax.observe import Observation

_NEVER = -1e30
"""Score of a token that is not seen. Finite, so that no row of a tile becomes nan."""
_SMALLEST = 16
"""Least size of an axis of a product in Triton."""


class Tile(NamedTuple):
    """How a kernel divides its work."""

    rows: int
    """Rows of a program; a power of 2."""
    step: int
    """Columns of the weights that are on the chip at a time."""
    warps: int
    stages: int
    """Slices of weights in flight."""


class Tiles(NamedTuple):
    """The tile of each kernel."""

    attention: Tile
    feed_forward: Tile
    pool: Tile


TILES = Tiles(Tile(64, 0, 4, 1), Tile(64, 32, 8, 2), Tile(64, 0, 4, 1))


def forward(
    config: ZebConfig,
    weights: Prepared,
    observation: Observation,
    tiles: Tiles = TILES,
    interpret: bool = False,
) -> Output:
    """Evaluate the network as `forward.forward` without dropout.

    Args:
        config: the network.
        weights: from `forward.prepare`.
        observation: any leading axes.
        tiles: how the kernels divide their work.
        interpret: True runs the kernels on any device, slowly, as an emulation.
    """
    lead = observation.mask.shape[:-1]
    flat = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[len(lead) :]), observation)
    games, length = flat.mask.shape
    place = jnp.arange(length) if flat.place is None else flat.place
    place = jnp.broadcast_to(place, flat.mask.shape).astype(jnp.int8)
    mask = jnp.asarray(flat.mask).reshape(-1)
    x = plain.embed(config, weights, flat.tokens, place).reshape(games * length, -1)
    for layer in weights.layers:
        attended = attention(
            layer, x, mask, length, config.n_heads, tiles.attention, interpret=interpret
        )
        x = feed_forward(layer, x, attended, tiles.feed_forward, interpret=interpret)
    logits, pooled = pool(weights.policy, x, mask, length, tiles.pool, interpret=interpret)
    policy = plain.at_slots(config, weights, logits.reshape(games, length), place)
    output = plain.heads(weights, policy, pooled)
    return jax.tree.map(lambda leaf: leaf.reshape(*lead, *leaf.shape[1:]), output)


def attention(
    layer: Layer,
    x: jax.Array,
    mask: jax.Array,
    length: int,
    n_heads: int,
    tile: Tile,
    *,
    interpret: bool = False,
) -> jax.Array:
    """Return what attention gives to each token of the normed rows, `[rows, width]`.

    Args:
        layer: weights of the layer; queries, keys and values are three products.
        x: `[rows, width]`, games of `length` rows.
        mask: bool `[rows]`, True for valid tokens.
        length: tokens of a game, at most `tile.rows`.
        n_heads: number of heads.
        tile: how the work is divided; without `step`.
        interpret: as for `forward`.
    """
    n, width = x.shape
    rows = tile.rows // length * length
    head = width // n_heads
    kernel = functools.partial(_attention, tile_rows=tile.rows, length=length, head=head)
    flop = 2 * width * (3 * width + 2 * tile.rows) * tile.rows * pl.cdiv(n, rows)
    inputs = (x, mask, *layer.qkv)
    return _call(kernel, inputs, x, pl.cdiv(n, rows), tile, flop, interpret)


def _attention(
    x_ref: Any, mask_ref: Any, *refs: Any, tile_rows: int, length: int, head: int
) -> None:
    *products, out_ref = refs
    n, width = x_ref.shape
    rows = tile_rows // length * length  # the last rows of a tile may belong to no whole game
    start = pl.program_id(0) * rows
    here, at = pl.ds(start, tile_rows), lax.iota(jnp.int32, tile_rows)
    exists = start + at < n
    x = triton.load(x_ref.at[here, :], mask=exists[:, None], other=0)
    normed = _norm(x)
    game = lax.div(at, jnp.int32(length))
    valid = triton.load(mask_ref.at[here], mask=exists, other=False)
    sees = (game[:, None] == game[None, :]) & valid[None, :]
    written = (exists & (at < rows))[:, None]

    def one_head(i: jax.Array, nothing: None) -> None:
        columns = pl.ds(i * head, head)
        query, key, value = (
            (_dot(normed, kernel[:, columns]) + bias[columns].astype(jnp.float32)).astype(x.dtype)
            for kernel, bias in zip(products[::2], products[1::2], strict=True)
        )
        scores = jnp.where(sees, _dot(query, key.T) / math.sqrt(head), _NEVER)
        weight = jnp.exp(scores - scores.max(-1, keepdims=True))
        seen = _dot(weight.astype(x.dtype), value) / weight.sum(-1, keepdims=True)
        triton.store(out_ref.at[here, columns], seen.astype(x.dtype), mask=written)

    lax.fori_loop(0, width // head, one_head, None)


def feed_forward(
    layer: Layer, x: jax.Array, attended: jax.Array, tile: Tile, *, interpret: bool = False
) -> jax.Array:
    """Return the rows after a layer: both residual sums, and the feed-forward block.

    Args:
        layer: weights of the layer.
        x: `[rows, width]`, what the layer started from.
        attended: `[rows, width]`, from `attention`.
        tile: how the work is divided.
        interpret: as for `forward`.
    """
    n, width = x.shape
    kernel = functools.partial(_feed_forward, tile=tile, barrier=not interpret)
    hidden = layer.ff_in.kernel.shape[1]
    flop = 2 * width * (width + 2 * hidden) * tile.rows * pl.cdiv(n, tile.rows)
    inputs = (x, attended, layer.attention_out, layer.ff_in, layer.ff_out)
    return _call(kernel, inputs, x, pl.cdiv(n, tile.rows), tile, flop, interpret)


def _feed_forward(x_ref: Any, attended_ref: Any, *refs: Any, tile: Tile, barrier: bool) -> None:
    project, project_bias, w_in, b_in, w_out, b_out, out_ref = refs
    n, width = x_ref.shape
    start = pl.program_id(0) * tile.rows
    here = pl.ds(start, tile.rows)
    exists = (start + lax.iota(jnp.int32, tile.rows) < n)[:, None]

    def load(ref: Any, columns: Any) -> jax.Array:
        return triton.load(ref.at[here, columns], mask=exists, other=0)

    def projected(i: jax.Array, total: jax.Array) -> jax.Array:
        columns = pl.ds(i * tile.step, tile.step)
        return total + _dot(load(attended_ref, columns), project[columns, :])

    every = slice(None)
    zeros = jnp.zeros((tile.rows, width), jnp.float32)
    x = lax.fori_loop(0, width // tile.step, projected, zeros)
    x = x + project_bias[...].astype(jnp.float32) + load(x_ref, every).astype(jnp.float32)
    # The rows wait in the output's memory (the L1 cache). In registers they leave too few for the
    # sums of the products below.
    triton.store(out_ref.at[here, every], x.astype(x_ref.dtype), mask=exists)
    if barrier:
        triton.debug_barrier()
    normed = _norm(load(out_ref, every))

    def hidden(i: jax.Array, total: jax.Array) -> jax.Array:
        columns = pl.ds(i * tile.step, tile.step)
        values = _dot(normed, w_in[:, columns]) + b_in[columns].astype(jnp.float32)
        return total + _dot(jax.nn.relu(values).astype(normed.dtype), w_out[columns, :])

    total = lax.fori_loop(0, w_in.shape[1] // tile.step, hidden, zeros)
    total = total + b_out[...].astype(jnp.float32)
    if barrier:
        triton.debug_barrier()  # so that the compiler reads the rows again and does not keep them
    total = total + load(out_ref, every).astype(jnp.float32)
    triton.store(out_ref.at[here, every], total.astype(x_ref.dtype), mask=exists)


def pool(
    policy: Affine,
    x: jax.Array,
    mask: jax.Array,
    length: int,
    tile: Tile,
    *,
    interpret: bool = False,
) -> tuple[jax.Array, jax.Array]:
    """Return what the heads need of the last rows.

    Args:
        policy: weights of the policy head; its bias is not added.
        x: `[rows, width]`, games of `length` rows.
        mask: bool `[rows]`, True for valid tokens.
        length: tokens of a game, at most `tile.rows`.
        tile: how the work is divided; without `step`.
        interpret: as for `forward`.

    Returns:
        The policy logit of each row, and the mean of each game's valid rows `[games, width]`;
        float32.
    """
    n, width = x.shape
    n_games = tile.rows // length
    kernel = functools.partial(_pool, tile_rows=tile.rows, length=length)
    shapes = (
        jax.ShapeDtypeStruct((n,), jnp.float32),
        jax.ShapeDtypeStruct((n // length, width), jnp.float32),
    )
    inputs = (x, mask, policy.kernel[:, 0])
    return _call(kernel, inputs, shapes, pl.cdiv(n, n_games * length), tile, 0, interpret)


def _pool(
    x_ref: Any,
    mask_ref: Any,
    policy_ref: Any,
    logits_ref: Any,
    pooled_ref: Any,
    *,
    tile_rows: int,
    length: int,
) -> None:
    n, n_games = x_ref.shape[0], tile_rows // length
    start, at = pl.program_id(0) * n_games * length, lax.iota(jnp.int32, tile_rows)
    here, exists = pl.ds(start, tile_rows), start + at < n
    x = triton.load(x_ref.at[here, :], mask=exists[:, None], other=0)
    logits = (x.astype(jnp.float32) * policy_ref[...]).sum(-1)
    triton.store(logits_ref.at[here], logits, mask=exists & (at < n_games * length))
    # A sum over the rows of each game, as a product. Rows that are not valid become zeros first,
    # because inf * 0 is nan.
    valid = triton.load(mask_ref.at[here], mask=exists, other=False)
    x = jnp.where(valid[:, None], x, 0)
    places = max(_SMALLEST, pl.next_power_of_2(n_games))
    game = lax.iota(jnp.int32, places)
    belongs = (lax.div(at, jnp.int32(length))[None, :] == game[:, None]) & valid[None, :]
    pooled = _dot(belongs.astype(x.dtype), x) / belongs.astype(jnp.float32).sum(-1, keepdims=True)
    first = pl.program_id(0) * n_games
    written = (game < n_games) & (first + game < n // length)
    triton.store(pooled_ref.at[pl.ds(first, places), :], pooled, mask=written[:, None])


def _dot(a: jax.Array, b: jax.Array) -> jax.Array:
    return jnp.dot(a, b, preferred_element_type=jnp.float32)


def _norm(x: jax.Array) -> jax.Array:
    """LayerNorm over the last axis without scale and bias, computed in float32."""
    return plain.norm(x).astype(x.dtype)


def _call(
    kernel: Any, inputs: Any, like: Any, programs: int, tile: Tile, flop: int, interpret: bool
) -> Any:
    """Call a kernel whose references are the whole arrays."""

    def whole(array: Any) -> pl.BlockSpec:
        return pl.BlockSpec(array.shape, lambda i: (0,) * len(array.shape))

    leaves = jax.tree.leaves(inputs)
    return pl.pallas_call(
        kernel,
        out_shape=jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), like),
        grid=(programs,),
        in_specs=[whole(leaf) for leaf in leaves],
        out_specs=jax.tree.map(whole, like),
        compiler_params=triton.CompilerParams(num_warps=tile.warps, num_stages=tile.stages),
        # XLA cannot look inside; benchmarks/gpu reads this.
        metadata={"flop": str(flop)},
        interpret=interpret,
        name=kernel.func.__name__.strip("_"),
    )(*leaves)
