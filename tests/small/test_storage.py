"""Files of small networks: saved, loaded, of earlier formats, and refused."""

import numpy as np
import pytest
import safetensors.numpy

from tests.support.playouts import positions
from tests.support.small import net_of_seed
from zebjax.network import load as load_transformer
from zebjax.small import batch, moves, network, storage


@pytest.fixture(scope="module")
def net():
    return net_of_seed(0)


def arrays_of(net):
    return {name: field.astype(np.float16) for name, field in net._asdict().items()}


def choices(net):
    games, seeds = batch.read(positions(60, range(0, 28, 3))), np.zeros(60, np.uint64)
    return batch.choose(network.scorer(net), games, seeds, 0)


def check_refused(arrays, message, folder):
    """Loading these arrays fails with one sentence that names the file."""
    safetensors.numpy.save_file(arrays, folder / "net.safetensors")
    with pytest.raises(ValueError, match=message) as error:
        storage.load(folder / "net.safetensors")
    assert str(error.value).startswith(str(folder)) and "\n" not in str(error.value)


def test_a_network_is_saved_and_loaded(net, tmp_path):
    storage.save(tmp_path / "net.safetensors", net, {"round": "3"})
    loaded = storage.load(tmp_path / "net.safetensors")
    for name, field, again in zip(net._fields, net, loaded, strict=True):
        np.testing.assert_allclose(again, field, rtol=1e-3, atol=1e-4, err_msg=name)
        assert again.dtype == np.float32


def test_a_small_network_is_no_transformer(net, tmp_path):
    file = tmp_path / "net.safetensors"
    storage.save(file, net, {})
    with pytest.raises(ValueError, match=f"a small network; expected small:{file}"):
        load_transformer(file)


def test_a_file_of_a_later_format_is_refused(net, tmp_path):
    file = tmp_path / "net.safetensors"
    safetensors.numpy.save_file(arrays_of(net), file, {"zebjax_small_format": "5"})
    with pytest.raises(ValueError, match="format is 5, this zebjax reads 1 to 4; update zebjax"):
        storage.load(file)


def test_a_file_of_format_1_loads_without_layers_of_moves(net, tmp_path):
    arrays = arrays_of(net)
    for name in net._fields[6:]:
        del arrays[name]
    safetensors.numpy.save_file(arrays, tmp_path / "net.safetensors")
    loaded = storage.load(tmp_path / "net.safetensors")
    assert loaded.join.shape == (8, 0)
    storage.save(tmp_path / "again.safetensors", loaded, {})
    for field, again in zip(loaded, storage.load(tmp_path / "again.safetensors"), strict=True):
        np.testing.assert_array_equal(again, field)
    # The outputs are those of the same network whose layers of moves add nothing.
    without = without_beliefs(net)._replace(move_last=np.zeros_like(net.move_last))
    np.testing.assert_array_equal(choices(loaded), choices(without))


def without_beliefs(net):
    """The same network with nothing that format 3 does not know."""
    moved = net.moves.copy()
    moved[moves.N_RELATED :] = 0
    return net._replace(moves=moved, beliefs=np.zeros_like(net.beliefs))


def format_3(net):
    """Arrays of a file without beliefs."""
    arrays = arrays_of(net)
    del arrays["beliefs"]
    return arrays | {"moves": arrays["moves"][: moves.N_RELATED].copy()}


def test_a_file_of_format_3_loads_with_the_same_outputs(net, tmp_path):
    safetensors.numpy.save_file(format_3(net), tmp_path / "net.safetensors")
    loaded = storage.load(tmp_path / "net.safetensors")
    for name, field in without_beliefs(net)._asdict().items():
        np.testing.assert_array_equal(getattr(loaded, name), field.astype(np.float16), name)
    np.testing.assert_array_equal(choices(loaded), choices(without_beliefs(net)))
    assert (choices(loaded) != choices(net)).any()


def format_2(net):
    """Arrays of a file with one layer of a move, whose outputs are relu(layer) @ move_last."""
    arrays = format_3(net)
    del arrays["move_second"], arrays["move_second_bias"]
    last = np.random.default_rng(7).normal(size=(4, 2)).astype(np.float16)
    return arrays | {"moves": arrays["moves"][: moves.N_ALWAYS].copy(), "move_last": last}


def test_a_file_of_format_2_loads_with_the_same_outputs(net, tmp_path):
    arrays = format_2(net)
    safetensors.numpy.save_file(arrays, tmp_path / "net.safetensors")
    loaded = storage.load(tmp_path / "net.safetensors")
    layer = np.random.default_rng(1).normal(size=(50, 4)).astype(np.float32)
    second = loaded.move_second_bias + np.maximum(layer, 0) @ loaded.move_second
    expected = np.maximum(layer, 0) @ arrays["move_last"].astype(np.float32)
    np.testing.assert_allclose(np.maximum(second, 0) @ loaded.move_last, expected, rtol=1e-6)
    # It reads the features that it knows, and no others.
    np.testing.assert_array_equal(
        loaded.moves[: moves.N_ALWAYS], arrays["moves"].astype(np.float32)
    )
    assert loaded.moves.shape == (moves.N_MOVE_FEATURES, 4)
    assert not loaded.moves[moves.N_ALWAYS :].any()
    without = loaded._replace(move_last=np.zeros_like(loaded.move_last))
    assert (choices(loaded) != choices(without)).any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda arrays: arrays.update(moves=arrays["moves"][:-1]),
            "array moves: expected 430 rows",
        ),
        (lambda arrays: arrays.update(moves=arrays["moves"][0]), "array moves: expected 430 rows"),
        (
            lambda arrays: arrays.update(moves=arrays["moves"][:, :3]),
            "array moves: expected 430 rows",
        ),
        (
            lambda arrays: arrays.update(moves=np.zeros((2, 10**4), np.float16)),
            "array moves: expected 430 rows",
        ),
        (lambda arrays: arrays.update(join=arrays["join"][:4]), "array join: expected float16"),
    ],
)
def test_a_wrong_file_of_format_2_is_refused(net, tmp_path, change, message):
    arrays = format_2(net)
    change(arrays)
    check_refused(arrays, message, tmp_path)


@pytest.mark.parametrize(
    ("name", "array", "message"),
    [
        ("first", np.zeros((10, 650, 8)), "array first: expected float16"),
        ("moves", np.zeros((3078, 4)), "array moves: expected 3079 rows"),
        ("moves", np.array(1), "array moves: expected 3079 rows"),
    ],
)
def test_a_wrong_file_of_format_3_is_refused(net, tmp_path, name, array, message):
    check_refused(format_3(net) | {name: array.astype(np.float16)}, message, tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda arrays: arrays.update(join=arrays["join"][:, :3]), "array join: expected float16"),
        (
            lambda arrays: arrays.update(moves=np.asarray(arrays["moves"][0, 0])),
            "array moves: expected float16",
        ),
        (
            lambda arrays: arrays.update(moves=arrays["moves"][:, :3]),
            "array moves: expected float16",
        ),
        (lambda arrays: arrays.pop("moves"), "not a small network; expected the arrays first, "),
        (lambda arrays: arrays.pop("last"), "not a small network; expected the arrays first, "),
        (lambda arrays: arrays.update(second=arrays["second"][:3]), "two multiples of 4 up to"),
        (lambda arrays: arrays.update(last=arrays["last"][:, :5]), "array last: expected float16"),
        (
            lambda arrays: arrays.update(move_second=arrays["move_second"][:, :3]),
            "array move_second: expected two multiples of 4 up to",
        ),
        (
            lambda arrays: arrays.update(move_second=np.zeros(4, np.float16)),
            "array move_second: expected two multiples of 4 up to",
        ),
        (
            lambda arrays: arrays.update(move_second=arrays["move_second"][:, :0]),
            "array move_second: expected units in both layers of a move or in none",
        ),
        (lambda arrays: arrays.pop("move_second_bias"), "not a small network; expected the arrays"),
        (lambda arrays: arrays["last"].fill(np.inf), "array last is not finite"),
    ],
)
def test_a_wrong_file_is_answered_in_one_sentence(net, tmp_path, change, message):
    arrays = arrays_of(net)
    change(arrays)
    check_refused(arrays, message, tmp_path)


@pytest.mark.parametrize("name", network.Net._fields)
def test_every_array_of_a_wrong_shape_or_type_is_named(net, tmp_path, name):
    array = arrays_of(net)[name]
    for wrong in (array[..., :-1], array[None], array.astype(np.float32)):
        arrays = arrays_of(net) | {name: np.ascontiguousarray(wrong)}
        check_refused(arrays, f"array {name}: expected ", tmp_path)


def test_a_file_of_format_1_with_a_wrong_array_is_refused(net, tmp_path):
    arrays = arrays_of(net)
    arrays = {name: arrays[name] for name in net._fields[:6]} | {"first": np.array(1, np.float16)}
    safetensors.numpy.save_file(arrays, tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="array first: expected float16"):
        storage.load(tmp_path / "net.safetensors")


def test_other_files_are_refused(tmp_path):
    with pytest.raises(
        ValueError, match=r"missing: cannot be read .*; expected `small`, `imitator`, or a file"
    ):
        storage.load(tmp_path / "missing")
    (tmp_path / "junk").write_bytes(b"x" * 100)
    with pytest.raises(ValueError, match="junk: not a readable safetensors file"):
        storage.load(tmp_path / "junk")
