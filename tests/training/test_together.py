"""What the learner keeps of an update for its metrics: one array, whatever heads there are."""

import itertools

import numpy as np
import pytest

from zebjax import network
from zebjax.training import together


@pytest.mark.parametrize(("belief", "moves"), list(itertools.product((False, True), repeat=2)))
def test_an_output_is_the_same_after_it_was_one_array(belief, moves):
    rng = np.random.default_rng(0)
    output = network.Output(
        rng.normal(size=(3, 7)),
        rng.normal(size=3),
        rng.normal(size=(3, 28, 3)) if belief else None,
        rng.normal(size=(3, 7, 2)) if moves else None,
    )
    for one, other in zip(output, together.from_rows(together.as_rows(output)), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            np.testing.assert_allclose(other, one, rtol=1e-6)
