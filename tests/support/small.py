"""Small networks with random weights."""

import numpy as np

from zebjax.small import beliefs, features, moves, rules, view
from zebjax.small.network import Net, Widths, shapes


def net_of_seed(seed, spread=1.0, **widths):
    rng = np.random.default_rng(seed)
    wanted = shapes(Widths(**{"hidden": 8, "second": 4, "move": 4, "move_second": 4} | widths))
    scale = {"first": 0.3, "second": 0.7, "last": 0.7 * spread, "join": 0.4, "moves": 0.3}
    scale |= {"move_second": 0.7, "move_last": 0.7 * spread, "beliefs": 0.3}
    return Net(
        *(
            rng.normal(0, scale.get(name, 0.1), wanted[name]).astype(np.float32)
            for name in Net._fields
        )
    )


def likely_in_python(net, row):
    """P(each other seat holds each tile), by the seat from the left of the mover on; float64
    `[3, 28]`."""
    me, declaration = rules.mover(row), row[rules.DECLARATION]
    by, plays = np.divmod(row[rules.PAST : rules.PAST + row[rules.PLY]], beliefs.N_PLAYS)
    table = net.beliefs[declaration].astype(np.float64)
    others = [(me + 1 + other) % 4 for other in range(3)]
    evidence = np.array([table[plays[by == seat]].sum(0) for seat in others])
    may_hold = ~np.array([_bits(row[rules.SEEN] | row[rules.HANDS + me])] * 3)
    for other, seat in enumerate(others):
        for suit in np.flatnonzero(_bits(row[rules.VOIDS + seat])[:8]):
            may_hold[other] &= ~_bits(features.OF_SUIT[declaration, suit])
    odds = np.clip(1 + evidence / 64, 0.5, 2) ** 64 * may_hold
    held = np.array([7 - (by == seat).sum() for seat in others])
    scales = np.ones(3)

    def shares():
        scaled = scales[:, None] * odds
        return scaled / (scaled.sum(0) + 1e-30)

    for _ in range(2):
        scales *= held / (shares().sum(1) + 1e-9)
    return shares()


def _bits(mask):
    return (mask >> np.arange(28) & 1).astype(bool)


def add_belief_gradient(net, row, grad):
    """Add to `grad`, like `net.beliefs`, the slope of the log-loss of the beliefs summed over the
    unseen tiles, with the scales as constants; returns the loss, mean over them."""
    me, likely, losses = rules.mover(row), likely_in_python(net, row), []
    for other in range(3):
        seat = (me + 1 + other) % 4
        truth = _bits(row[rules.HANDS + seat])
        losses += np.log(likely[other, truth]).tolist()
        for past in row[rules.PAST : rules.PAST + row[rules.PLY]]:
            if past // beliefs.N_PLAYS == seat:
                slopes = grad[row[rules.DECLARATION], past % beliefs.N_PLAYS]
                slopes += likely[other] - truth
    return -np.mean(losses)


def outputs_in_python(net, row):
    """Outputs for the seat to move, float64 `[28 or 56]`, without the compiled layers.

    Those of tiles that are not legal have no part by the move.
    """
    active = np.zeros(features.MAX_ACTIVE, np.int64)
    n = features.private_features(row, active, features.public_features(row, active, 0))
    assert len(set(active[:n].tolist())) == n and active[:n].max() < features.N_FEATURES
    net = Net(*(field.astype(np.float64) for field in net))
    hidden = net.first_bias + net.first[row[rules.DECLARATION], active[:n]].sum(0)
    hidden = np.maximum(hidden, 0)
    second = net.second_bias + hidden @ net.second
    out = net.last_bias + np.maximum(second, 0) @ net.last
    seen, likely = view.view_of(row), likely_in_python(net, row).astype(np.float32)
    for rank in range(28):
        if seen.legal >> rank & 1:
            active = np.full(2 * moves.MAX_ACTIVE, -1)
            n = moves.move_features(row, seen, rank, likely, active)
            assert n <= moves.MAX_ACTIVE and (active[n:] == -1).all()
            always = [each for each in active[:n].tolist() if each < moves.N_ALWAYS]
            assert len(set(always)) == len(always)
            assert active[:n].min() >= 0 and active[:n].max() < moves.N_MOVE_FEATURES
            layer = hidden @ net.join + net.moves[active[:n]].sum(0)
            layer = net.move_second_bias + np.maximum(layer, 0) @ net.move_second
            out[rank::28] += np.maximum(layer, 0) @ net.move_last
    return out
