"""The original's example batches: games are rebuilt exactly, inconsistent files are refused."""

from collections import OrderedDict

import jax
import numpy as np
import pytest

from tests.support.batches_made import changed
from zebjax import game, observe, record
from zebjax.record import InvalidRecords, TargetKind
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import examples as torch_examples
from zebjax.training import batches

PLIES = np.arange(28)


def parsed(content):
    return torch_examples.parse(torch_archive.serialise(content, "x"), "x.pt")


# --- good files ---


def test_the_golden_batch_comes_back_exactly(reference_path):
    path = reference_path("examples_selfplay.pt")
    records, metadata = torch_examples.read(path)
    file = torch_archive.read(path)
    assert (metadata.games, metadata.source, metadata.worker) == (16, "selfplay-mcts", "golden-0")
    assert metadata.model_step == 3740 and metadata.created_at == "2026-11-22T09:56:50+00:00"
    assert metadata.search == {
        "original": {"n_simulations": 32, "temperature": 1.0, "max_mcts_nodes": 64}
    }
    assert (
        records.slots.shape == (16, 28)
        and (records.leader == 0).all()
        and (records.step_start == 3740).all()
    )
    # A row of the file is ply * 16 + game.
    every = jax.tree.map(lambda leaf: np.tile(leaf, (28, *[1] * (leaf.ndim - 1))), records)

    @jax.jit
    def rows(records, plies):
        ours = batches.positions(records, plies)
        see = jax.vmap(
            lambda state: (
                observe.observe(state),
                observe.belief_targets(state),
                game.legal_slots(state),
            )
        )
        return ours, *see(ours.state)

    ours, seen, (targets, belief_mask), legal = rows(every, np.repeat(PLIES, 16))
    np.testing.assert_array_equal(seen.mask, file["masks"])
    np.testing.assert_array_equal(
        np.asarray(seen.tokens)[file["masks"]], file["observations"][file["masks"]]
    )
    np.testing.assert_array_equal(belief_mask, file["belief_mask"])
    np.testing.assert_array_equal(targets, file["belief_targets"])
    np.testing.assert_array_equal(ours.outcome, file["value_targets"])
    assert (ours.weight == 1).all()
    searched = np.arange(448) < 27 * 16
    np.testing.assert_array_equal(
        ours.policy[searched], file["policy_targets"][searched].astype(np.float16)
    )
    assert (file["policy_targets"][~searched] == 0).all()
    np.testing.assert_array_equal(ours.policy[~searched], legal[~searched])
    forced = legal.sum(1) == 1
    np.testing.assert_array_equal(
        records.kind.T.reshape(-1), np.where(forced, TargetKind.FORCED, TargetKind.SEARCH)
    )
    # Its root values are not known: mixing them in changes nothing.
    np.testing.assert_array_equal(ours.root_value, file["value_targets"])


def test_our_own_games_come_back_equal(mine, batch, tmp_path):
    torch_archive.write(tmp_path / "x.pt", batch)
    records, metadata = torch_examples.read(tmp_path / "x.pt")
    jax.tree.map(np.testing.assert_array_equal, records, mine)
    assert [leaf.dtype for leaf in jax.tree.leaves(records)] == [
        leaf.dtype for leaf in jax.tree.leaves(mine)
    ]
    assert metadata == record.Metadata(
        "selfplay-mcts",
        "w0",
        5,
        {"original": {"n_simulations": 2, "temperature": 1.0}},
        games=12,
        created_at="2023-11-14T22:13:20+00:00",
    )


def test_what_never_counts_may_be_anything(mine, batch):
    """Masked tokens, such as the evaluation encoder's zeros; whose the mover's own tiles are; and a
    last target."""

    def erase(tokens):
        tokens[~batch["masks"].reshape(28, 12, 36)] = -9

    def own(targets):
        targets[~batch["belief_mask"].reshape(28, 12, 28)] = 2

    def last(policy):
        policy[27] = mine.policy[:, 27]

    for name, change in (
        ("observations", erase),
        ("belief_targets", own),
        ("policy_targets", last),
    ):
        jax.tree.map(np.testing.assert_array_equal, parsed(changed(batch, name, change))[0], mine)


def test_more_games_than_are_replayed_at_once(mine, batch, monkeypatch):
    monkeypatch.setattr(torch_examples, "_GAMES_A_CALL", 6)
    jax.tree.map(np.testing.assert_array_equal, parsed(batch)[0], mine)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (
            {},
            {
                "source": "selfplay-mcts",
                "worker": "unknown",
                "model_step": 0,
                "search": {"original": {}},
            },
        ),
        ({"source": "elsewhere", "model_step": None}, {"source": "selfplay-mcts", "model_step": 0}),
        ({"source": np.zeros(3)}, {"source": "selfplay-mcts"}),
        ({"source": "teacher-eq"}, {"source": "selfplay-mcts"}),
        ({"source": "eval-eq-zeb"}, {"source": "eval-eq-zeb"}),
        ({"timestamp": float("nan")}, {"created_at": ""}),
        ({"timestamp": 1e300}, {"created_at": ""}),
        ({"timestamp": "today"}, {"created_at": ""}),
        (
            {"mcts_config": {"a": float("inf"), "b": [1], 3: "c", "d": np.zeros(2), "e": 0.5}},
            {"search": {"original": {"3": "c", "e": 0.5}}},
        ),
        ({"mcts_config": [1]}, {"search": {"original": {}}}),
        ({"model_step": 2**31 - 1, "more": {"a": 1}}, {"model_step": 2**31 - 1}),
    ],
)
def test_metadata(mine, batch, facts, expected, tmp_path):
    records, metadata = parsed({**batch, "metadata": facts})
    assert {name: getattr(metadata, name) for name in expected} == expected
    assert (records.step_start == metadata.model_step).all() and (
        records.step_end == metadata.model_step
    ).all()
    judge = TargetKind.TEACHER if metadata.source == "eval-eq-zeb" else TargetKind.SEARCH
    np.testing.assert_array_equal(
        records.kind, np.where(mine.kind == TargetKind.FORCED, TargetKind.FORCED, judge)
    )
    record.write(tmp_path / "a.safetensors", records, metadata)
    assert record.read(tmp_path / "a.safetensors")[1].search == metadata.search


# --- refusals ---


def refused(content, message):
    with pytest.raises(InvalidRecords, match=rf"^x\.pt: .*{message}") as error:
        parsed(content)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        (None, "metadata: expected a dictionary, got None"),
        ({"worker_id": 3}, "worker_id: expected a text, got 3"),
        ({"model_step": -1}, r"model_step: expected an integer 0\.\.2147483647, got -1"),
        ({"model_step": 2**31}, "model_step"),
        ({"model_step": True}, "model_step"),
        ({"model_step": 1.0}, "model_step"),
        ({"n_games": 16}, "n_games is 16, but the rows are of 12 games"),
        ({"n_games": np.array(12)}, "n_games is a ndarray"),
    ],
)
def test_bad_metadata_is_refused(batch, facts, message):
    refused({**batch, "metadata": facts}, message)


@pytest.mark.parametrize("name", [*torch_examples._COLUMNS, "metadata"])
def test_missing_and_mistaken_parts_are_refused(batch, name):
    refused(
        {key: value for key, value in batch.items() if key != name},
        f"key '{name}' is missing; expected",
    )
    if name == "metadata":
        return
    column = batch[name]
    refused({**batch, name: None}, f"{name}: expected .*got None")
    refused({**batch, name: column.astype(np.float64)}, f"{name}: expected .*, got float64")
    refused({**batch, name: column[:, None]}, f"{name}: expected ")
    refused({**batch, name: column[:-1]}, r": expected .* \[33[56]")
    refused({**batch, name: np.array(0).astype(column.dtype)}, f"{name}: expected ")


def test_other_contents_are_refused(batch):
    refused([batch], "expected a batch of examples, it holds a list")
    refused({**batch, "more": 1}, "key 'more' is not expected")
    refused(OrderedDict(model_state_dict={}), "is missing; expected observations")

    def cut(rows):
        return {**{name: batch[name][rows] for name in torch_examples._COLUMNS}, "metadata": {}}

    refused(cut(slice(0, 28 * 11)), "game 0, ply 1: its row shows another number of plays")
    refused(cut(slice(0, 335)), "335 rows: expected whole games of 28 rows each")
    refused(cut(slice(0, 0)), "0 rows")
    by_game = np.arange(336).reshape(28, 12).T.reshape(-1)
    refused(cut(by_game), r"game 0, ply 1: its row shows .* \(row = ply \* games \+ game\)")
    twice = np.concatenate([np.arange(336)] * 2)
    refused(cut(twice), "game 0, ply 1: its row shows another number of plays")


def put(*place_and_value):
    *place, value = place_and_value

    def change(column):
        column[tuple(place)] = value

    return change


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "observations",
            put(5, 3, 9, 0, 99),
            "game 3, ply 5: observations differs from the replay",
        ),
        ("observations", put(5, 3, 0, 6, -1), "game 3, ply 5: observations"),
        ("observations", put(0, 3, 0, 6, 10), r"game 3: declaration is not 0\.\.9"),
        ("observations", put(0, 3, 0, 6, -(2**31)), "game 3: declaration"),
        (
            "observations",
            put(2, 3, 4, 0, 7),
            "game 3: a hand token of the first trick has pips that no tile has",
        ),
        ("observations", put(2, 3, 4, 1, 2**31 - 1), "game 3: a hand token"),
        ("observations", put(2, 3, 4, 1, -(2**31)), "game 3: a hand token"),
        ("observations", put(27, 3, 34, 0, -1), "game 3: a play token of the last ply has pips"),
        ("masks", put(0, 3, 2, False), "game 3, ply 0: masks differs from the replay"),
        ("masks", put(9, 3, 0, False), "game 3, ply 9: masks"),
        ("masks", put(9, 3, 35, True), "game 3, ply 9: its row shows another number of plays"),
        ("hand_masks", put(9, 3, 0, slice(None), False), None),
        ("hand_indices", put(9, 3, 0, 0), "game 3, ply 9: hand_indices"),
        ("belief_mask", put(9, 3, slice(None), True), "game 3, ply 9: belief_mask"),
        ("belief_targets", put(9, 3, slice(None), 3), "game 3, ply 9: belief_targets"),
        ("value_targets", put(9, 3, 0.5), "game 3, ply 9: value_targets"),
        ("value_targets", put(9, 3, np.nan), "game 3, ply 9: value_targets"),
        (
            "policy_targets",
            put(0, 3, 0, np.nan),
            "game 3, ply 0: policy_targets is not finite and 0 to 1",
        ),
        ("policy_targets", put(0, 3, 0, np.inf), "game 3, ply 0: policy_targets is not finite"),
        ("policy_targets", put(0, 3, 0, 3e38), "game 3, ply 0: policy_targets is not finite"),
        ("policy_targets", put(0, 3, 0, -0.1), "game 3, ply 0: policy_targets is not finite"),
        (
            "policy_targets",
            put(0, 3, slice(None), 0.1),
            "game 3, ply 0: policy_targets does not sum to 1",
        ),
        (
            "policy_targets",
            put(26, 3, slice(None), 0),
            "game 3, ply 26: policy_targets does not sum to 1",
        ),
        (
            "policy_targets",
            put(27, 3, slice(None), 0.1),
            "game 3, ply 27: policy_targets is not zero on an illegal",
        ),
    ],
)
def test_altered_rows_are_refused(batch, name, change, message):
    if message is None:
        change, message = put(9, 3, slice(None), False), f"game 3, ply 9: {name}"
    refused(changed(batch, name, change), message)


def test_altered_belief_and_value_targets_are_refused(batch):
    """By one small step each, in any row."""
    rng = np.random.default_rng(0)
    for row in rng.choice(336, 10, replace=False):
        ply, of_game = divmod(int(row), 12)
        tile = np.flatnonzero(batch["belief_mask"][row])[0]
        belief, value = np.array(batch["belief_targets"]), np.array(batch["value_targets"])
        belief[row, tile] = (belief[row, tile] + 1) % 3
        value[row] = -value[row] or 1
        refused({**batch, "belief_targets": belief}, f"game {of_game}, ply {ply}: belief_targets")
        refused({**batch, "value_targets": value}, f"game {of_game}, ply {ply}: value_targets")


def test_illegal_games_are_refused(batch, mine):
    """Two plays of a game exchanged wherever they are shown: one from another hand, or one that did
    not follow."""

    def exchange(of_game, first, second):
        def change(tokens):
            pair = tokens[27, of_game, [8 + first, 8 + second], :4].copy()
            tokens[second + 1 :, of_game, 8 + first, :4] = pair[1]
            tokens[second + 1 :, of_game, 8 + second, :4] = pair[0]

        return changed(batch, "observations", change)

    refused(
        exchange(3, 0, 1),
        "game 3, ply 0: the tile played was not dealt to the seat that is to move",
    )
    for first, second in ((4, 9), (20, 26)):
        refused(exchange(3, first, second), "game 3, ply [0-9]+: ")
    # A tile that its seat played later, since it was not legal in the first trick.
    legal = np.asarray(record._legal_of_games(mine))
    high, low = np.moveaxis(batch["observations"].reshape(28, 12, 36, 8)[27, :, 8:35, :2], 2, 0)
    plays = high * (high + 1) // 2 + low
    of_game, ply, later = next(
        (g, p, q)
        for g in range(12)
        for p in (1, 2, 3)
        for q in range(4, 27)
        if mine.hands[g, p, mine.slots[g, q]] == plays[g, q] and not legal[g, p, mine.slots[g, q]]
    )
    refused(
        exchange(of_game, ply, later), f"game {of_game}, ply {ply}: the tile played is not legal"
    )


def test_mass_on_an_illegal_slot_is_refused(batch, mine):
    legal = np.asarray(record._legal_of_games(mine))
    of_game, ply, slot = next(at for at in np.argwhere(~legal) if legal[at[0], at[1]].sum() > 1)

    def change(policy):
        policy[ply, of_game] *= 0.5
        policy[ply, of_game, slot] = 0.5

    message = f"game {of_game}, ply {ply}: policy_targets is not zero on an illegal slot"
    refused(changed(batch, "policy_targets", change), message)


def test_hands_and_plays_must_be_each_tile_once(batch):
    def same(tokens):
        tokens[2, 3, 1] = tokens[2, 3, 2]

    def again(tokens):
        tokens[27, 3, 34] = tokens[27, 3, 33]

    refused(changed(batch, "observations", same), "game 3: hands are not each of the 28 tiles once")
    refused(
        changed(batch, "observations", again), "game 3: plays are not each of the 28 tiles once"
    )
