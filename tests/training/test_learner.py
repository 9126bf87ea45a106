"""The learner: properties of every update; `test_learner_parity` compares it with the original."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from zebjax import game, network, observe, record
from zebjax.training import (
    batches,
    gradients,
    held_out,
    learner,
    losses,
    optimizer,
    replay,
    together,
)
from zebjax.training.learner_config import LearnerConfig

TINY = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16, dropout=0.1)
CONFIG = LearnerConfig(lr=1e-3, batch=16, updates_per_cycle=8, updates_per_call=2)


@pytest.fixture(scope="module")
def ring(games):
    return replay.add(replay.init(28 * 24), jax.tree.map(jnp.asarray, games))


def fresh(config=CONFIG, network_config=TINY):
    return learner.init(
        config, network_config, network.init(network_config, jax.random.key(0)), jax.random.key(1)
    )


# ---- batches


replay_game, see = jax.jit(game.replay), jax.jit(observe.observe)
batch_of = jax.jit(
    lambda records, plies: batches.make_batch(batches.positions(records, plies), "v1")
)
evaluate = jax.jit(network.apply, static_argnums=0)


def test_batches_hold_what_the_rules_say(games):
    plies = np.arange(24, dtype=np.int32)
    batch = batch_of(games, plies)
    for row in range(24):
        deal = (games.hands[row], games.declaration[row], games.leader[row], games.slots[row])
        state, final = replay_game(*deal, row), replay_game(*deal, 28)
        jax.tree.map(
            np.testing.assert_array_equal,
            jax.tree.map(lambda leaf, row=row: leaf[row], batch.observation),
            see(state),
        )
        mover = int(game.current_player(state))
        points = np.asarray(game.points(final))
        assert batch.value_target[row] == np.sign(points[mover % 2] - points[1 - mover % 2])
        np.testing.assert_array_equal(batch.policy_mask[row], game.legal_slots(state))
        np.testing.assert_array_equal(
            batch.policy_target[row], games.policy[row, row].astype(np.float32)
        )
        assert int(batch.hidden[row].sum()) == sum(
            t not in np.asarray(state.history) and t not in games.hands[row, mover]
            for t in range(28)
        )
    np.testing.assert_allclose(batch.marginal.sum(-1), batch.hidden, atol=1e-5)
    wide = jax.jit(
        lambda r, p: batches.make_batch(batches.positions(r, p), "v1", "unplayed").policy_mask
    )
    wide = wide(games, plies)
    np.testing.assert_array_equal(wide.sum(1), 7 - plies // 4)


def test_root_values_can_be_part_of_the_value_target(games):
    plies = np.arange(24, dtype=np.int32)
    rows = np.arange(24)
    kinds = np.where(np.arange(28) % 2, record.TargetKind.TEACHER, record.TargetKind.FORCED).astype(
        np.int8
    )
    values = np.linspace(-1, 1, 24 * 28).reshape(24, 28).astype(np.float16)
    judged = games._replace(kind=np.tile(kinds, (24, 1)), value=values)

    @jax.jit
    def value_targets(records, plies):
        positions = batches.positions(records, plies)
        return {
            share: batches.make_batch(positions, "v1", root_value_share=share).value_target
            for share in (0.0, 0.25, 1.0)
        }

    targets = jax.tree.map(np.asarray, value_targets(judged, plies))
    forced = plies % 2 == 0
    np.testing.assert_array_equal(targets[1.0][forced], targets[0.0][forced])
    np.testing.assert_array_equal(
        targets[1.0][~forced], values[rows, plies].astype(np.float32)[~forced]
    )
    np.testing.assert_allclose(targets[0.25], 0.75 * targets[0.0] + 0.25 * targets[1.0], atol=1e-6)


def test_the_belief_can_be_trained_on_hidden_tiles_alone(games):
    batch = batch_of(games, np.arange(24, dtype=np.int32))
    config = dataclasses.replace(CONFIG, belief_tiles="hidden", policy_weight=0.0, value_weight=0.0)
    logits = jax.random.normal(jax.random.key(0), (24, 28, 3))
    output = network.Output(jnp.zeros((24, 7)), jnp.zeros(24), logits)

    def total(logits, config):
        return losses.losses(config, output._replace(belief_logits=logits), batch)[0]

    moved = np.asarray(jax.grad(total)(logits, config)).any(-1)
    np.testing.assert_array_equal(moved, batch.hidden)
    as_before = np.asarray(
        jax.grad(total)(logits, dataclasses.replace(config, belief_tiles="dealt"))
    ).any(-1)
    np.testing.assert_array_equal(as_before, batch.belief_mask)


def test_a_belief_head_that_says_nothing_leaves_its_prior(games):
    batch = batch_of(games, np.arange(24, dtype=np.int32))
    output = network.Output(jnp.zeros((24, 7)), jnp.zeros(24), jnp.zeros((24, 28, 3)))
    config = network.ZebConfig(belief_prior="marginal")
    metrics = losses.losses(CONFIG, losses.with_beliefs(config, output, batch), batch)[1]
    prior = float(metrics["belief_loss_marginal"])
    assert float(metrics["belief_loss_hidden"]) == pytest.approx(prior, abs=1e-5)
    uniform = losses.losses(CONFIG, output, batch)[1]["belief_loss_hidden"]
    assert float(uniform) == pytest.approx(np.log(3), abs=1e-5) and prior < float(uniform)


def test_training_and_its_measurements_begin_at_the_prior(games):
    net = dataclasses.replace(TINY, belief_prior="marginal")
    params, batch = (
        network.init(net, jax.random.key(0)),
        batch_of(games, np.arange(24, dtype=np.int32)),
    )
    compiled = jax.jit(gradients.grads_and_output, static_argnums=(0, 1))
    grads, output = compiled(CONFIG, net, params, batch, None)
    belief = jax.nn.softmax(output.belief_logits)
    np.testing.assert_allclose(belief[batch.hidden], batch.marginal[batch.hidden], atol=1e-5)
    # The gradient of the loss from there: on the uniform distribution it would be another.
    plain = compiled(CONFIG, TINY, params, batch, None)[0]["belief_out"]["bias"]
    assert np.abs(grads["belief_out"]["bias"] - plain).max() > 1e-3
    measured = held_out.measure(
        dataclasses.replace(CONFIG, batch=24), net, params, games, np.arange(24, dtype=np.int32)
    )
    assert float(measured["belief_loss_hidden"]) == pytest.approx(
        float(measured["belief_loss_marginal"]), abs=1e-5
    )


@pytest.mark.parametrize(
    ("size", "belief_tiles"),
    [
        (24, "dealt"),
        (7, "hidden"),
        pytest.param(24, "hidden", marks=pytest.mark.slow),
        pytest.param(7, "dealt", marks=pytest.mark.slow),
    ],
)
def test_gradients_by_length_are_those_of_the_whole_batch(games, size, belief_tiles):
    config = dataclasses.replace(CONFIG, belief_tiles=belief_tiles)
    net = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    params = network.init(net, jax.random.key(0))
    batch = batch_of(jax.tree.map(lambda leaf: leaf[:size], games), np.arange(size, dtype=np.int32))
    weights = np.linspace(0, 2, size, dtype=np.float32)
    batch = batch._replace(policy_weight=jnp.asarray(weights))

    def objective(params):
        return losses.losses(config, network.apply(net, params, batch.observation), batch)[0]

    grads, output = jax.jit(gradients.grads_and_output, static_argnums=(0, 1))(
        config, net, params, batch, None
    )
    plain = jax.jit(jax.grad(objective))(params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-4), grads, plain)
    np.testing.assert_allclose(
        output.value, network.apply(net, params, batch.observation).value, atol=1e-5
    )


def test_rows_without_weight_do_not_count(games):
    batch = batch_of(games, np.full(24, 5, np.int32))
    output = evaluate(TINY, fresh().params, batch.observation)
    weights = np.zeros(24, np.float32)
    weights[:10] = 1
    _, some = losses.losses(CONFIG, output, batch._replace(policy_weight=jnp.asarray(weights)))
    first = jax.tree.map(lambda leaf: leaf[:10], (output, batch))
    _, alone = losses.losses(CONFIG, *first)
    np.testing.assert_allclose(some["policy_loss"], alone["policy_loss"], rtol=1e-5)
    _, none = losses.losses(CONFIG, output, batch._replace(policy_weight=jnp.zeros(24)))
    assert float(none["policy_loss"]) == 0


def test_forced_plies_have_no_policy_loss(games):
    batch = batch_of(games, np.full(24, 26, np.int32))
    output = evaluate(TINY, fresh().params, batch.observation)
    assert float(losses.losses(CONFIG, output, batch)[1]["policy_loss"]) == 0


# ---- training


@pytest.mark.slow  # test_run compares whole runs bit for bit
def test_the_division_into_calls_does_not_matter(ring):
    state = fresh()
    for _ in range(3):
        state = learner.train(CONFIG, TINY, state, ring, 1)
    once = learner.train(CONFIG, TINY, fresh(), ring, 3)
    jax.tree.map(np.testing.assert_array_equal, state._replace(key=0), once._replace(key=0))
    assert int(once.update) == 6
    auto = dataclasses.replace(CONFIG, updates_per_call=0, updates_per_cycle=51)
    assert auto.chunk == 17  # the largest divisor up to 25


@pytest.mark.slow  # compiles the learner in a second form
def test_an_accelerator_learns_the_same(ring, monkeypatch):
    """It computes a batch whole, keeps the parameters as a vector during the updates, and draws the
    examples of several chunks together, of the last ones more than it needs."""
    still = dataclasses.replace(TINY, dropout=0.0)
    turns = jnp.array([0, 1, 0, 0, 1, 1, 0, 1], bool)
    aux = learner.EvalAux(ring, turns, learner.LossWeights(0.5, 2.0, 1.0), 2)
    usual = learner.train(CONFIG, still, fresh(CONFIG, still), ring, 3, aux)
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(together, "_EXAMPLES_AT_ONCE", 4 * CONFIG.batch)
    assert together.updates_at_once(CONFIG) == 2 * CONFIG.chunk
    train = jax.jit(learner.train.__wrapped__, static_argnums=(0, 1))
    ours = train(CONFIG, still, fresh(CONFIG, still), ring, 3, aux)
    assert jax.tree.structure(ours) == jax.tree.structure(usual)
    # Adam divides by the gradient's size: rounding of the smallest ones shows in the parameters.
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5, rtol=2e-3),
        ours._replace(key=0, metrics=0),
        usual._replace(key=0, metrics=0),
    )
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, atol=1e-4, rtol=1e-4),
        ours.metrics,
        usual.metrics,
    )


@pytest.mark.parametrize(
    ("batch", "updates"), [(64, 125), (1024, 5), (8192, 1), (100_000, 1), (320, 25), (330, 5)]
)
def test_tokens_are_made_for_as_many_updates_as_fit(batch, updates, monkeypatch):
    config = LearnerConfig(batch=batch, updates_per_cycle=1000)
    assert together.updates_at_once(config) == 1  # on a CPU
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    assert config.chunk == 25 and together.updates_at_once(config) == updates


def test_metrics_are_means_over_the_updates(ring):
    state = learner.train(CONFIG, TINY, fresh(), ring, 4)
    state, means = learner.take_metrics(state, 8)
    assert float(means["lr"]) == pytest.approx(1e-3)
    assert 0.3 < float(means["policy_loss"]) < 2
    assert all(float(total) == 0 for total in state.metrics.values())


def test_one_compilation_and_donation(ring):
    state = fresh()
    after = learner.train(CONFIG, TINY, state, ring, 1)
    assert state.params["policy"]["kernel"].is_deleted()
    compiled = learner.train._cache_size()
    learner.train(CONFIG, TINY, after, ring, 3)
    assert learner.train._cache_size() == compiled


@pytest.mark.parametrize("optimizer", ["adamw", pytest.param("muon", marks=pytest.mark.slow)])
def test_it_memorises_a_few_games(ring, optimizer):
    config = LearnerConfig(optimizer=optimizer, lr=1e-2, updates_per_cycle=300, updates_per_call=50)
    still = dataclasses.replace(TINY, dropout=0.0)
    state = learner.train(config, still, fresh(config, still), ring, 1)
    state, early = learner.take_metrics(state, 50)
    state = learner.train(config, still, state, ring, 5)
    _, late = learner.take_metrics(state, 250)
    assert late["value_loss"] < 0.7 * early["value_loss"]


def test_clipping_comes_before_the_optimiser():
    clipped = optimizer.make_optimizer(dataclasses.replace(CONFIG, clip_norm=1.0))
    free = optimizer.make_optimizer(CONFIG)
    params = {"w": jnp.ones((2, 2)), "b": jnp.ones(2)}
    grads = jax.tree.map(lambda leaf: 30 * leaf, params)
    scaled = jax.tree.map(lambda leaf: leaf / (30 * 6**0.5), grads)  # to norm 1
    ours, _ = clipped.update(grads, clipped.init(params), params)
    theirs, _ = free.update(scaled, free.init(params), params)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5), ours, theirs)


def test_schedules():
    cosine = optimizer.lr_schedule(
        LearnerConfig(lr=1e-3, schedule="cosine", warmup_updates=10, decay_updates=100)
    )
    assert [float(cosine(n)) for n in (0, 5, 10, 100, 500)] == pytest.approx(
        [0, 5e-4, 1e-3, 1e-4, 1e-4]
    )
    warm = optimizer.lr_schedule(LearnerConfig(lr=1e-3, warmup_updates=10))
    assert [float(warm(n)) for n in (0, 5, 10, 100)] == pytest.approx([0, 5e-4, 1e-3, 1e-3])


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"batch": 1}, "learner.batch: expected at least 2"),
        ({"policy_mask": "Legal"}, "learner.policy_mask: expected legal or unplayed, got 'Legal'"),
        ({"schedule": "cosin"}, "learner.schedule: expected constant or cosine"),
        ({"optimizer": "sgd"}, "learner.optimizer: expected adamw or muon"),
        ({"lr": 0.0}, "learner.lr: expected a positive number"),
        (
            {"updates_per_cycle": 10, "updates_per_call": 3},
            "learner.updates_per_call: expected 0 or a divisor",
        ),
        ({"clip_norm": -1.0}, "learner.clip_norm: expected 0 or more"),
        (
            {"schedule": "cosine", "warmup_updates": 9, "decay_updates": 9},
            "learner.decay_updates: expected more",
        ),
    ],
)
def test_impossible_settings_are_named(fields, message):
    with pytest.raises(ValueError, match=message):
        LearnerConfig(**fields)


def test_errors_of_moves_are_those_of_known_ones():
    """Value errors 0.5 and -0.1, points errors none; the second position knows nothing."""
    moves = jnp.zeros((2, 7, 2)).at[0, :2, 0].set(jnp.array([0.5, -0.1]))
    targets = np.full((2, 7, 2), np.nan, np.float32)
    targets[0, :2, 0] = 0

    def loss(moves):
        spread, mean, known = losses.move_errors(moves, jnp.asarray(targets))
        return (spread + losses.MEAN_WEIGHT * mean).sum(), (spread, mean, known)

    (_, (spread, mean, known)), slope = jax.jit(jax.value_and_grad(loss, has_aux=True))(moves)
    np.testing.assert_allclose(spread, [[0.09, 0], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(mean, [[0.04, 0], [0, 0]], atol=1e-6)
    assert known.tolist() == [[True, False], [False, False]]
    # d/de of ((e1 - e2) / 2)^2 + MEAN_WEIGHT * ((e1 + e2) / 2)^2
    np.testing.assert_allclose(slope[0, :2, 0], [0.3 + 0.04, -0.3 + 0.04], atol=1e-6)
    assert not slope[1].any() and not slope[0, 2:].any()


def test_one_known_move_counts_in_full():
    """As in Deep Monte Carlo: its error is the mean, and there is no spread."""
    targets = np.full((2, 7, 2), np.nan, np.float32)
    targets[0, 3] = 0.0
    targets[1, :2] = 0.0
    weights = losses.mean_weights(jnp.asarray(targets))
    np.testing.assert_allclose(weights, [[1, 1], [losses.MEAN_WEIGHT] * 2])


def test_the_average_forgets_the_first_weights():
    config, average = LearnerConfig(ema=0.999), {"w": jnp.float32(100)}
    for update in range(40):
        average = optimizer.averaged(config, jnp.int32(update), average, {"w": jnp.float32(1)})
    assert 1 < float(average["w"]) < 1.01
    late = optimizer.averaged(config, jnp.int32(10**6), {"w": jnp.float32(0)}, {"w": 1.0})
    np.testing.assert_allclose(late["w"], 0.001, rtol=1e-3)
    assert optimizer.averaged(CONFIG, jnp.int32(0), None, {"w": jnp.float32(1)}) is None


@pytest.mark.slow  # compiles the training; the two tests before have its parts
def test_it_learns_what_moves_are_worth(games):
    legal = record.legal_slots(games)[..., None]
    worth = np.where(np.arange(7)[:, None] < 3, [1, 0.5], [-1, -0.5])
    moves = np.where(legal, worth, np.nan).astype(np.float16)
    ring = replay.add_some(replay.init(28 * 24, with_moves=True), games._replace(moves=moves))
    net = dataclasses.replace(TINY, dropout=0.0, move_values=True)
    config = LearnerConfig(
        optimizer="muon",
        lr=0.02,
        batch=16,
        updates_per_cycle=100,
        updates_per_call=25,
        decisions_only=True,
        ema=0.9,
    )
    params = network.init(net, jax.random.key(0))
    state = learner.init(config, net, params, jax.random.key(1))
    state, first = learner.take_metrics(learner.train(config, net, state, ring, 1), 25)
    state = learner.take_metrics(learner.train(config, net, state, ring, 6), 150)[0]
    state, last = learner.take_metrics(learner.train(config, net, state, ring, 1), 25)
    for name in ("move_value_error", "move_value_spread_error", "move_points_error"):
        assert last[name] < 0.3 * first[name], (name, first[name], last[name])
    kernels = (tree["move_values"]["kernel"] for tree in (state.params, state.published))
    now, average = map(np.asarray, kernels)
    assert 0 < np.abs(now - average).max() < 0.2 * np.abs(now).max()
