"""Checks of shapes and dtypes: accepted arguments, and error messages."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax.common import jax_settings
from zebjax.common.arrays import check, check_key


@pytest.mark.parametrize(
    ("value", "shape", "kind", "leading"),
    [
        (np.zeros((4, 7), np.int8), (4, 7), int, False),
        (np.zeros((4, 7), np.uint8), (4, 7), int, False),
        (jnp.zeros((2, 3, 7), jnp.bfloat16), ("B", 3, 7), float, False),
        (jnp.zeros((2, 3, 7), bool), (7,), bool, True),
        (jnp.zeros(7, bool), (7,), bool, True),
        (3, (), int, False),
        (np.int8(3), (), int, False),
        (jax.ShapeDtypeStruct((5,), jnp.float32), ("n",), float, False),
    ],
)
def test_what_fits_passes(value, shape, kind, leading):
    check("x", value, shape, kind, leading)


@pytest.mark.parametrize(
    ("value", "shape", "kind", "leading", "message"),
    [
        (
            np.zeros((4, 6), np.int8),
            (4, 7),
            int,
            False,
            "x: expected integers of shape (4, 7), got int8 of shape (4, 6)",
        ),
        (
            np.zeros((4, 7), np.float32),
            (4, 7),
            int,
            False,
            "x: expected integers of shape (4, 7), got float32 of shape (4, 7)",
        ),
        (
            np.zeros(7, np.int8),
            ("B", 7),
            bool,
            False,
            "x: expected booleans of shape (B, 7), got int8 of shape (7,)",
        ),
        (
            np.zeros((7, 2), bool),
            (7,),
            bool,
            True,
            "x: expected booleans of shape (..., 7), got bool of shape (7, 2)",
        ),
        (np.zeros(2), ("n",), int, False, "x: expected integers of shape (n,), got float64 of"),
        (1.5, (), int, False, "x: expected an integer, got one float"),
        (True, (), int, False, "x: expected an integer, got one bool"),
        (None, (4, 7), bool, False, "x: expected booleans of shape (4, 7), got NoneType"),
        ("seven", (), int, False, "x: expected an integer, got str"),
    ],
)
def test_what_does_not_fit_is_named(value, shape, kind, leading, message):
    with pytest.raises(ValueError) as error:
        check("x", value, shape, kind, leading)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    "key",
    [
        0,
        np.zeros(2, np.uint32),
        jax.random.split(jax.random.key(0), 3),
        jax.random.key(0, impl="rbg"),  # the same seed would mean other deals
        None,
    ],
)
def test_only_one_typed_key_is_a_key(key):
    check_key("key", jax_settings.key(0))
    jax.jit(lambda key: check_key("key", key))(jax_settings.key(0))
    with pytest.raises(ValueError, match="key: expected one typed threefry2x32 key"):
        check_key("key", key)


def test_a_check_is_no_operation_of_the_program():
    def checked(x):
        check("x", x, (3,), float)
        return 2 * x

    assert str(jax.make_jaxpr(checked)(jnp.zeros(3))) == str(
        jax.make_jaxpr(lambda x: 2 * x)(jnp.zeros(3))
    )
