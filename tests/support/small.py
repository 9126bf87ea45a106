"""Small networks with random weights."""

import numpy as np

from zebjax.small.network import Net, shapes


def net_of_seed(seed, spread=1.0, hidden=8, second=4):
    rng = np.random.default_rng(seed)
    wanted = shapes(hidden, second)
    scale = {"first": 0.3, "second": 0.7, "last": 0.7 * spread}
    return Net(
        *(
            rng.normal(0, scale.get(name, 0.1), wanted[name]).astype(np.float32)
            for name in Net._fields
        )
    )
