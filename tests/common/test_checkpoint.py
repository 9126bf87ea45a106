"""Pytrees on disk; runs and networks test the rest."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax.common import checkpoint


class Older(NamedTuple):
    b: Any
    a: Any


class Newer(NamedTuple):
    b: Any
    a: Any
    later: Any = None


def test_a_struct_with_a_new_optional_field_is_read_from_where_it_had_none(tmp_path):
    inner = ({"x": jnp.zeros(2)}, Older(jnp.ones(1), jnp.ones(2)))
    checkpoint.save_tree(tmp_path / "older", Older(jnp.arange(3), inner))
    newer = Newer(jnp.arange(3), inner)
    like = jax.tree.map(jnp.zeros_like, newer)
    read = checkpoint.restore_tree(tmp_path / "older", like)
    assert jax.tree.structure(read) == jax.tree.structure(newer) and read.later is None
    jax.tree.map(np.testing.assert_array_equal, read, newer)
    checkpoint.save_tree(tmp_path / "newer", newer)
    older = checkpoint.restore_tree(tmp_path / "newer", Older(like.b, like.a))
    jax.tree.map(np.testing.assert_array_equal, older, Older(newer.b, newer.a))
    with pytest.raises(ValueError, match="array later is missing"):
        checkpoint.restore_tree(tmp_path / "newer", like._replace(later=jnp.zeros(1)))
