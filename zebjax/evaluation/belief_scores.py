"""Scores of distributions over the owners of a tile, for NumPy arrays and for traced JAX arrays.

The learner scores its training batches on the device, and `evaluation.belief` scores predictions on
the host.
"""

from typing import Any

from zebjax.common.arrays import Array

N_HOLDERS = 3
"""0 left, 1 partner, 2 right."""
_TIE = 1e-6
"""Probabilities that differ by less are equally probable."""


def at_owner(values: Array, owner: Array) -> Any:
    """Return the entry of the true owner.

    Args:
        values: `[..., 3]`, such as probabilities.
        owner: integers `[...]`, 0..2.

    Returns:
        `[...]`.
    """
    xp = values.__array_namespace__()
    # A comparison with each of the three: the gradient of a gather is a scatter, which XLA does not
    # fuse. `where`, because a logarithm may be -inf.
    is_owner = owner[..., None] == xp.arange(N_HOLDERS)
    return xp.where(is_owner, values, 0).sum(-1)


def correct(probabilities: Array, owner: Array) -> Any:
    """Return 1 where the most probable seat is the owner, else 0.

    Args:
        probabilities: `[..., 3]`.
        owner: integers `[...]`, the true owner.

    Returns:
        float `[...]`; 1/k if the owner is one of k equally probable seats.
    """
    best = probabilities >= probabilities.max(-1, keepdims=True) - _TIE
    return at_owner(best, owner) / best.sum(-1)


def brier(probabilities: Array, owner: Array) -> Any:
    """Return the Brier score (Brier 1950): squared error summed over the three seats, 0 to 2.

    Args:
        probabilities: `[..., 3]`.
        owner: integers `[...]`, the true owner.

    Returns:
        `[...]`.

    >>> import numpy as np
    >>> brier(np.array([[1.0, 0, 0], [1.0, 0, 0]]), np.array([0, 2])).tolist()
    [0.0, 2.0]
    """
    xp = probabilities.__array_namespace__()
    one_hot = (owner[..., None] == xp.arange(N_HOLDERS)).astype(probabilities.dtype)
    return xp.square(probabilities - one_hot).sum(-1)
