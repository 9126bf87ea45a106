"""GameRecords: round trip, and every kind of damaged file."""

import dataclasses
import json

import jax
import numpy as np
import pytest
import safetensors.numpy

from tests.support.faulty import full_disk
from zebjax import game, record
from zebjax.record import InvalidRecords, TargetKind

METADATA = record.Metadata(source="selfplay-mcts", worker="w0", model_step=7, search={"sims": 2})


def changed(games, **fields):
    """A copy in which `name=(index, value)` is set."""
    copies = {name: np.array(field) for name, field in record.arrays_of(games).items()}
    for name, (index, value) in fields.items():
        copies[name][index] = value
    return record.GameRecord(**copies)


def test_round_trip(tmp_path, games):
    record.write(tmp_path / "a.safetensors", games, METADATA)
    records, metadata = record.read(tmp_path / "a.safetensors")
    jax.tree.map(np.testing.assert_array_equal, records, games)
    assert dataclasses.replace(metadata, created_at="", games=0) == METADATA
    assert metadata.games == 24
    assert metadata.created_at.endswith("+00:00")
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]
    assert (tmp_path / "a.safetensors").stat().st_size / 24 < 700  # bytes a game


def test_a_full_disk_leaves_nothing_and_is_said(tmp_path, games):
    with (
        full_disk(),
        pytest.raises(OSError, match=r"a\.safetensors: cannot be written \(.*too large"),
    ):
        record.write(tmp_path / "a.safetensors", games, METADATA)
    assert list(tmp_path.iterdir()) == []


def test_position_finds_state_and_end(games):
    one = jax.tree.map(lambda leaf: leaf[3], games)
    for ply in (0, 1, 13, 27):
        state, final = jax.jit(record.position)(one, ply)
        expected = game.replay(one.hands, one.declaration, one.leader, one.slots, ply)
        jax.tree.map(np.testing.assert_array_equal, state, expected)
        assert int(game.points(final).sum()) == 42


def first_illegal(games):
    """A game, ply and slot such that the slot is not legal there."""
    legal = np.asarray(record._legal_of_games(games))
    return next((g, p, s) for g, p, s in np.argwhere(~legal) if p > 3 and not games.policy[g, p, s])


def test_an_illegal_game_is_refused_with_index_and_ply(tmp_path, games):
    g, p, slot = first_illegal(games)
    bad = changed(games, slots=((g, p), slot))
    with pytest.raises(InvalidRecords, match=f"game {g}, ply {p}: the slot played is not legal"):
        record.validate(bad)
    record.write(tmp_path / "bad.safetensors", bad, METADATA)
    with pytest.raises(InvalidRecords, match=f"bad.safetensors: game {g}, ply {p}: the slot"):
        record.read(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("field", "index", "value", "message"),
    [
        ("hands", (2, 0, 0), 99, "game 2: hands are not each of the 28 tiles once"),
        ("declaration", 4, 10, "game 4: declaration is not 0..9"),
        ("leader", 4, -1, "game 4: leader is not a seat"),
        ("slots", (1, 27), 7, "game 1, ply 27: slot is not 0..6"),
        ("kind", (1, 3), 9, "game 1, ply 3: kind is not one of 0, 1, 2, 3"),
        ("value", (1, 3), np.nan, "game 1, ply 3: value is not in"),
        ("value", (1, 3), 2, "game 1, ply 3: value is not in"),
        ("weight", (1, 3), -1, "game 1, ply 3: weight is not in"),
        ("weight", (1, 3), np.inf, "game 1, ply 3: weight is not in"),
        ("weight", (1, 3), 1.5, "game 1, ply 3: weight is not in"),
        ("policy", (5, 6), np.nan, "game 5, ply 6: policy target is not finite"),
        ("policy", (5, 6), 0, "game 5, ply 6: policy target does not sum to 1"),
        ("policy", (5, 6, slice(None)), 0.9, "game 5, ply 6: policy target"),
        ("step_start", 3, 8, "game 3: steps are negative or run backwards"),
    ],
)
def test_bad_fields_are_refused(games, field, index, value, message):
    with pytest.raises(InvalidRecords, match=message):
        record.validate(changed(games, **{field: (index, value)}))


def test_a_target_without_weight_may_be_any_numbers(games):
    """But no nan: its loss weighs nothing, and has a gradient of nan all the same."""
    record.validate(changed(games, policy=((5, 6), 0), weight=((5, 6), 0)))
    with pytest.raises(InvalidRecords, match="game 5, ply 6: policy target is not finite"):
        record.validate(changed(games, policy=((5, 6), np.nan), weight=((5, 6), 0)))


def test_wrong_shapes_and_types_are_refused(games):
    with pytest.raises(
        InvalidRecords, match=r"slots: expected int8 \[24, 28\], got int8 \[24, 27\]"
    ):
        record.validate(games._replace(slots=games.slots[:, :27]))
    with pytest.raises(InvalidRecords, match="policy: expected float16"):
        record.validate(games._replace(policy=games.policy.astype(np.float32)))


def test_what_is_not_records_is_refused(games):
    with pytest.raises(InvalidRecords, match="expected a GameRecord, got NoneType"):
        record.validate(None)
    with pytest.raises(
        InvalidRecords, match=r"policy: expected float16 \[24, 28, 7\], got object \[\]"
    ):
        record.validate(games._replace(policy=None))
    ragged = [np.zeros(3), np.zeros(4)]
    with pytest.raises(InvalidRecords, match="slots: expected int8"):
        record.validate(games._replace(slots=ragged))


def save_raw(path, records, strings):
    fields = {
        "format_version": "1",
        "source": "selfplay-mcts",
        "worker": "w0",
        "model_step": "7",
        "search": "{}",
        "games": str(len(records.slots)),
        "created_at": "now",
    }
    metadata = {name: text for name, text in {**fields, **strings}.items() if text is not None}
    safetensors.numpy.save_file(record.arrays_of(records), path, metadata)


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        ({"format_version": "2"}, "format_version: expected 1, got 2"),
        ({"format_version": None}, "its metadata names no format_version; expected a record file"),
        (
            {"format_version": None, "zebjax_small_format": "4"},
            "a small network; expected a record file of games",
        ),
        ({"source": "elsewhere"}, "source: expected one of selfplay-mcts"),
        ({"games": "23"}, "its metadata says 23 games, it holds 24"),
        ({"model_step": "x"}, "metadata is missing or malformed"),
        ({"worker": None}, "metadata is missing or malformed"),
        ({"search": "{"}, "metadata is missing or malformed"),
    ],
)
def test_bad_metadata_is_refused(tmp_path, games, strings, message):
    save_raw(tmp_path / "a.safetensors", games, strings)
    with pytest.raises(InvalidRecords, match=message):
        record.read(tmp_path / "a.safetensors")


def test_broken_files_are_refused(tmp_path, games):
    path = tmp_path / "a.safetensors"
    record.write(path, games, METADATA)
    whole = path.read_bytes()
    with pytest.raises(InvalidRecords, match="more than the 1000 bytes allowed"):
        record.read(path, max_bytes=1000)
    with pytest.raises(InvalidRecords, match="not a readable record file"):
        record.read(tmp_path / "absent")
    for name in ("a\0b", None, 7):
        with pytest.raises(InvalidRecords, match="not a readable record file"):
            record.read(name)
    for size in (0, 1, 7, 8, 100, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(InvalidRecords):
            record.read(path)
    path.write_bytes(json.dumps({"not": "this"}).encode())
    with pytest.raises(InvalidRecords):
        record.read(path)
    arrays = record.arrays_of(games)
    safetensors.numpy.save_file({**arrays, "extra": np.zeros(1)}, path, {"format_version": "1"})
    with pytest.raises(InvalidRecords):
        record.read(path)


def test_flipped_bits_never_crash(tmp_path, games):
    """A damaged file is refused, or what it gives is legal all the same."""
    path = tmp_path / "a.safetensors"
    record.write(path, games, METADATA)
    whole = bytearray(path.read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        try:
            records, _ = record.read(path)
            record.validate(records)
        except InvalidRecords:
            refused += 1
    assert refused > 20


def test_kinds_say_what_made_the_target(games):
    legal = np.asarray(record._legal_of_games(games))
    forced = legal.sum(2) == 1
    np.testing.assert_array_equal(games.kind == TargetKind.FORCED, forced)
    late = np.arange(28) >= 20
    np.testing.assert_array_equal(games.kind == TargetKind.SEARCH, ~forced & ~late)
    np.testing.assert_array_equal(games.kind == TargetKind.EXACT, ~forced & late)


def with_some_moves(games):
    """Games with a value for every legal move of the last three tricks."""
    known = record.legal_slots(games) & (np.arange(28) >= 16)[:, None]
    moves = np.where(known[..., None], [0.5, -2.1], np.nan).astype(np.float16)
    return games._replace(moves=moves)


def test_values_of_moves_are_stored_where_there_are_some(tmp_path, games):
    path, some = tmp_path / "a.safetensors", with_some_moves(games)
    record.write(path, some, METADATA)
    jax.tree.map(np.testing.assert_array_equal, record.read(path)[0], some)
    assert 1300 < path.stat().st_size / 24 < 1500  # bytes a game
    none = record.with_moves(games, True)
    assert np.isnan(none.moves).all() and none.moves.shape == (24, 28, 7, 2)
    record.validate(none)
    assert record.with_moves(some, True) is some
    jax.tree.map(np.testing.assert_array_equal, record.with_moves(some, False), games)


@pytest.mark.parametrize(
    ("index", "value", "message"),
    [
        ((1, 20), 1.1, r"game 1, ply 20: moves are not in \[-1, 1\] and \[-2\.1, 2\.1\]"),
        ((1, 20, ..., 1), -2.2, "game 1, ply 20: moves are not in"),
        ((2, 21), np.inf, "game 2, ply 21: moves are not in"),
        ((3, 22), 0.0, "game 3, ply 22: moves: not nan on illegal slots"),
    ],
)
def test_bad_values_of_moves_are_refused(games, index, value, message):
    with pytest.raises(record.InvalidRecords, match=message):
        record.validate(changed(with_some_moves(games), moves=(index, value)))
