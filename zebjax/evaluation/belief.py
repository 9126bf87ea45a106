"""Belief: does a network predict the owners of hidden tiles better than counting does?

A belief head gives each tile a distribution over the three other seats. It is scored against the
true owners of the tiles that are hidden from the mover (neither its own nor played). The baseline
is the exact marginal, `worlds.marginals`: it uses only hand sizes and shown voids, and takes all
consistent hands as equally likely. Plays carry more information than that, so a good head beats the
baseline.
"""

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import jax
import numpy as np

from zebjax import game, network, observe, players, tiles, worlds
from zebjax.common import charts
from zebjax.evaluation import belief_scores, intervals, matches, turns
from zebjax.players import base, inference
from zebjax.small.network import Net

N_BINS = 15
"""Number of bins of the calibration error, over confidence 0 to 1."""
_Beliefs: TypeAlias = tuple[np.ndarray, np.ndarray]
"""Of n positions: probabilities `[n, 28, 3]`, and `Tiles.effective` `[n]`."""
DEALS_AT_ONCE = 100
"""Number of deals that are played and scored together."""


@dataclasses.dataclass(frozen=True)
class Tiles:
    """Hidden tiles and their predicted owners; leading axis of every field: n tiles."""

    deal: np.ndarray
    """The number of its deal."""
    trick: np.ndarray
    """0..6."""
    owner: np.ndarray
    """0 left, 1 partner, 2 right."""
    network: np.ndarray
    """Probabilities `[n, 3]`, of the network's belief head or by weighted worlds."""
    marginal: np.ndarray
    """Probabilities `[n, 3]`."""
    effective: np.ndarray
    """Effective number of weighted worlds, see `inference.Worlds`; nan for a belief head."""

    def where(self, rows: np.ndarray) -> "Tiles":
        """Select tiles by row numbers or a bool mask."""
        return Tiles(**{name: field[rows] for name, field in vars(self).items()})


@dataclasses.dataclass(frozen=True)
class Score:
    """Scores of distributions over the three other seats; means over hidden tiles."""

    accuracy: float
    """Share of tiles whose most probable seat is the owner; if the owner is one of k equally
    probable seats, the tile counts 1/k."""
    cross_entropy: float
    """-log P(owner), nats; log 3 = 1.099 for the uniform distribution."""
    brier: float
    """Squared error summed over the three seats, 0 to 2 (Brier 1950); 2/3 for the uniform
    distribution."""
    calibration_error: float
    """Expected calibration error of the most probable seat: mean |confidence - accuracy| over bins
    of confidence, weighted by their tiles (Guo et al. 2017, "On calibration of modern neural
    networks", section 2)."""


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Scores of the network and of the marginal, on the same tiles."""

    n_tiles: int
    network: Score
    marginal: Score
    gain: float
    """Cross-entropy of the marginal minus the network's, nats per tile; positive if the network is
    better."""
    gain_ci95: tuple[float, float] | None
    """95 % interval, normal approximation over deals (`intervals.clustered_mean`); None with fewer
    than 2 deals."""
    effective: float | None = None
    """Median over tiles of the effective number of weighted worlds; None for a belief head."""


def _log_loss(probabilities: np.ndarray, owner: np.ndarray) -> np.ndarray:
    """Return -log P(owner), `[n]`; at most 69, also for an owner with probability 0."""
    return -np.log(np.maximum(belief_scores.at_owner(probabilities, owner), 1e-30))


def score(probabilities: np.ndarray, owner: np.ndarray) -> Score:
    """Score distributions against the true owners.

    Args:
        probabilities: `[n, 3]`, n at least 1.
        owner: integers `[n]`, 0 left, 1 partner, 2 right.
    """
    right = belief_scores.correct(probabilities, owner)
    return Score(
        accuracy=float(right.mean()),
        cross_entropy=float(_log_loss(probabilities, owner).mean()),
        brier=float(belief_scores.brier(probabilities, owner).mean()),
        calibration_error=float(
            sum(abs(c - a) * share for c, a, share in reliability(probabilities, owner))
        ),
    )


def reliability(probabilities: np.ndarray, owner: np.ndarray) -> list[tuple[float, float, float]]:
    """Return (mean confidence, accuracy, share of tiles) of each bin of confidence with tiles.

    Confidence is the probability of the most probable seat.
    """
    confidence, right = probabilities.max(-1), belief_scores.correct(probabilities, owner)
    bins = np.minimum((confidence * N_BINS).astype(int), N_BINS - 1)
    rows = [np.flatnonzero(bins == number) for number in range(N_BINS)]
    return [
        (float(confidence[row].mean()), float(right[row].mean()), len(row) / len(owner))
        for row in rows
        if len(row)
    ]


def compare(predicted: Tiles) -> Comparison | None:
    """Compare the network with the marginal; None if there are no tiles."""
    if not len(predicted.owner):
        return None
    network_loss = _log_loss(predicted.network, predicted.owner)
    gain = _log_loss(predicted.marginal, predicted.owner) - network_loss
    mean, interval = intervals.clustered_mean(gain, predicted.deal)
    ours = score(predicted.network, predicted.owner)
    baseline = score(predicted.marginal, predicted.owner)
    worlds_used = float(np.median(predicted.effective))
    effective = None if np.isnan(worlds_used) else worlds_used
    return Comparison(len(predicted.owner), ours, baseline, mean, interval, effective)


def by_trick(predicted: Tiles) -> dict[str, Comparison | None]:
    """Compare on all tiles ("all") and on the tiles hidden at each trick ("1" to "7")."""
    tricks = {
        str(trick + 1): compare(predicted.where(predicted.trick == trick))
        for trick in range(tiles.N_TRICKS)
    }
    return {"all": compare(predicted)} | tricks


@functools.partial(jax.jit, static_argnames="config")
def _network_beliefs(
    config: network.ZebConfig,
    params: network.Params,
    states: game.GameState,
    marginal: jax.Array,
) -> jax.Array:
    seen = jax.vmap(lambda state: observe.observe(state, config.tokenizer))(states)
    raw = network.apply(config, params, seen).belief_logits
    return jax.nn.softmax(network.corrected_beliefs(config, raw, marginal))


@jax.jit
def _facts(states: game.GameState) -> tuple[jax.Array, ...]:
    owner, _ = jax.vmap(observe.belief_targets)(states)
    return jax.vmap(worlds.marginals)(states), owner, jax.vmap(observe.hidden_tiles)(states)


def predict(config: network.ZebConfig, params: network.Params, states: game.GameState) -> Tiles:
    """Predict the owners of the hidden tiles in N positions, by the network and by the marginal.

    Args:
        config: a network with a belief head.
        params: its parameters.
        states: NumPy arrays with a leading axis N. Positions with the same four hands count as one
            deal.

    Raises:
        ValueError: if the network has no belief head, or a field of `states` has a wrong shape.
    """
    game.check_state(states, ("N",), "states")
    if not config.belief_head:
        raise ValueError("belief: this network has no belief head")
    if config.plays_contracts:
        raise ValueError(
            "belief: this network is trained for make/set, and these games have no contract; "
            "expected one trained for points"
        )

    def beliefs(some: game.GameState, rows: np.ndarray, marginal: np.ndarray) -> _Beliefs:
        marginals = jax.numpy.asarray(marginal, np.float32)
        belief = _network_beliefs(config, params, some, marginals)
        return np.asarray(belief, np.float64), np.full(len(rows), np.nan)

    return _judged(states, beliefs)


def predict_by_plays(
    net: Net, states: game.GameState, keys: np.ndarray, settings: inference.Settings
) -> Tiles:
    """Predict the owners by worlds that are weighted by the others' plays (`players.inference`).

    The exact marginal is multiplied by how much the weights change the share of each holder among
    the same candidates, which cancels most of the chance in what was drawn. The marginal counts as
    one more candidate beside the effective number, so that no holder gets 0 or infinity by chance.

    Args:
        net: the model of the others, with 28 scores.
        states: as for `predict`.
        keys: uint32 `[N, 2]`, one raw random key per position.
        settings: `candidates`, `floor`, `power`, `temperature` and `doubt` are used.
    """
    game.check_state(states, (len(keys),), "states")

    def beliefs(some: game.GameState, rows: np.ndarray, marginal: np.ndarray) -> _Beliefs:
        found = inference.candidates_of(
            some, np.take(keys, rows, axis=0, mode="clip"), inference.Models(net, net), settings
        )
        one = marginal / found.effective[:, None, None]
        each = 1 / np.bincount(found.decision, minlength=len(rows))
        plain = dataclasses.replace(found, weights=each[found.decision])
        weighted_share = inference.holders(some, found) + one
        ratio = weighted_share / np.maximum(inference.holders(some, plain) + one, 1e-12)
        belief = marginal * ratio
        return belief / np.maximum(belief.sum(-1, keepdims=True), 1e-12), found.effective

    return _judged(states, beliefs)


def _judged(
    states: game.GameState,
    beliefs: Callable[[game.GameState, np.ndarray, np.ndarray], _Beliefs],
) -> Tiles:
    """Judge beliefs about N positions.

    Args:
        states: see `predict`.
        beliefs: called with some of the states, their row numbers, which may lie past the end, and
            their marginals `[n, 28, 3]`; returns `_Beliefs` of these n.
    """
    n, chunk = len(states.ply), 4 * base.CHUNK
    parts = []
    for start in range(0, n, chunk):
        rows = np.arange(start, start + chunk)  # those past the end are padding
        some = base.gather(states, rows)
        marginals, owners, hidden = (np.asarray(part) for part in _facts(some))
        marginals = marginals.astype(np.float64)
        belief, effective = beliefs(some, rows, marginals)
        row, tile = np.nonzero(hidden[: n - start])
        of_tiles = (owners, belief, marginals)
        parts.append((start + row, *(each[row, tile] for each in of_tiles), effective[row]))
    row, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
    hands = np.asarray(states.hands).reshape(n, -1)
    deal = np.unique(hands, axis=0, return_inverse=True)[1].reshape(-1)
    return Tiles(deal[row], np.asarray(states.ply)[row] // 4, *columns)


def positions_of(
    player: players.Player, key: jax.Array, first: int, n_deals: int
) -> game.GameState:
    """Play deals with one player on all four seats.

    Args:
        player: plays all four seats.
        key: source of the deals, as for `matches.deals`.
        first: number of the first deal.
        n_deals: number of deals, each played once.

    Returns:
        The positions in which the mover had more than one legal move; NumPy arrays with a leading
        axis.
    """
    decisions: list[game.GameState] = []

    def choose(turn: turns.Turn) -> np.ndarray:
        slots = np.array(game.forced_slot(turn.legal))
        rows = np.flatnonzero(slots < 0)
        if len(rows):
            slots[rows] = turns.ask(player, turn, rows)
            decisions.append(base.gather(turn.states, rows))
        return slots

    states, play_keys = matches.deals(key, first, n_deals)
    turns.play_out(states, play_keys, choose)
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *decisions)


def metrics(
    player: players.Player,
    config: network.ZebConfig,
    params: network.Params,
    key: jax.Array,
    n_deals: int,
) -> dict[str, float]:
    """Score a network's beliefs for the metrics of a run.

    Args:
        player: plays the deals; its decisions are the positions.
        config: a network with a belief head.
        params: its parameters.
        key: source of the deals.
        n_deals: number of deals; at most `DEALS_AT_ONCE` are played.

    Returns:
        All four scores over all tricks, and the cross-entropy by trick, under the names
        `belief_<score>_hidden[_trick_<n>]` (the network) and `belief_<score>_marginal[...]`.
    """
    row: dict[str, float] = {}
    for trick, compared in by_trick(
        predict(config, params, positions_of(player, key, 0, min(n_deals, DEALS_AT_ONCE)))
    ).items():
        if compared is None:
            continue
        for name, scores in (("hidden", compared.network), ("marginal", compared.marginal)):
            if trick == "all":
                row |= {
                    f"belief_{score}_{name}": value
                    for score, value in dataclasses.asdict(scores).items()
                }
            else:
                row[f"belief_cross_entropy_{name}_trick_{trick}"] = scores.cross_entropy
    return row


def plot(title: str, predicted: Tiles, results: dict[str, Comparison | None], path: Path) -> None:
    """Draw accuracy, cross-entropy and calibration of network and marginal as a PNG file."""
    figure = charts.new_figure(13, 4)
    figure.suptitle(title)
    accuracy, loss, calibration = figure.subplots(1, 3)
    tricks = [
        (int(trick), result)
        for trick, result in results.items()
        if trick != "all" and result is not None
    ]
    for name, marker in (("network", "o"), ("marginal", "s")):
        about = "marginal (exact counting)" if name == "marginal" else name
        scores = [getattr(result, name) for _, result in tricks]
        at = [trick for trick, _ in tricks]
        accuracy.plot(at, [100 * each.accuracy for each in scores], marker=marker, label=about)
        loss.plot(at, [each.cross_entropy for each in scores], marker=marker, label=about)
        bins = reliability(getattr(predicted, name), predicted.owner)
        calibration.plot(
            [100 * c for c, _, _ in bins], [100 * a for _, a, _ in bins], marker=marker, label=about
        )
    calibration.plot([33, 100], [33, 100], color="grey", linewidth=0.8, label="perfect")
    accuracy.set(title="accuracy, higher is better", xlabel="trick", ylabel="% of hidden tiles")
    loss.set(title="cross-entropy, lower is better", xlabel="trick", ylabel="nats per tile")
    calibration.set(
        title="calibration, on the line is better", xlabel="confidence, %", ylabel="accuracy, %"
    )
    for axes in (accuracy, loss, calibration):
        axes.grid(alpha=0.3)
        axes.legend()
    charts.save_figure(figure, path)
