"""Network folders are found and read exactly; an error names a damaged or mismatched file."""

import dataclasses
import json
import struct

import jax
import numpy as np
import orbax.checkpoint as ocp
import pytest
import safetensors.numpy

from zebjax import network
from zebjax.common import checkpoint
from zebjax.common.files import new_folder, write_json
from zebjax.network import model, storage
from zebjax.network.card import model_card

TINY = network.ZebConfig(embed_dim=16, n_heads=2, n_layers=2, ff_dim=24)


@pytest.fixture(scope="module")
def params():
    rng = np.random.default_rng(0)
    return jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), network.abstract_params(TINY)
    )


@pytest.fixture
def folder(tmp_path, params):
    with new_folder(tmp_path / "net") as made:
        network.save(made, TINY, params, {"run": "r", "step": 3, "total_games": 1200})
    return tmp_path / "net"


def save_as_orbax(folder, config, params):
    """A network folder as zebjax wrote it before model.safetensors."""
    with new_folder(folder) as made:
        write_json(made / "config.json", dataclasses.asdict(config))
        # With arrays of a device, whose name the files then hold; `checkpoint` saves NumPy copies.
        with ocp.StandardCheckpointer() as checkpointer:
            checkpointer.save((made / "params").absolute(), jax.device_put(params))


def same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(np.asarray(x), np.asarray(y)), a, b)


def test_a_folder_holds_what_others_can_read(folder, params):
    assert sorted(entry.name for entry in folder.iterdir()) == [
        "README.md",
        "config.json",
        "model.safetensors",
        "training.json",
    ]
    arrays = safetensors.numpy.load_file(folder / "model.safetensors")
    np.testing.assert_array_equal(
        arrays["layers.01.qkv.kernel"], params["layers"]["01"]["qkv"]["kernel"]
    )
    with safetensors.safe_open(folder / "model.safetensors", "np") as opened:
        metadata = opened.metadata()
    assert metadata["zebjax_format"] == "1"
    assert json.loads(metadata["config"]) == TINY.stored_fields()
    assert json.loads((folder / "training.json").read_text())["total_games"] == 1200


def test_what_is_saved_is_read(tmp_path, params):
    for step in (3, 12):
        with new_folder(checkpoint.step_folder(tmp_path / "checkpoints", step)) as folder:
            scaled = jax.tree.map(lambda leaf, step=step: leaf * step, params)
            network.save(folder, TINY, scaled)
    # A half-written newer step has a temporary name and is not chosen.
    (tmp_path / "checkpoints" / ".tmp-step_000000099-abc").mkdir()
    for path, factor in (
        (tmp_path, 12),
        (str(tmp_path / "checkpoints"), 12),
        (f"{tmp_path}@3", 3),
        (f"{tmp_path}@000000012", 12),
        (tmp_path / "checkpoints/step_000000003", 3),
        (tmp_path / "checkpoints/step_000000003/model.safetensors", 3),
    ):
        config, restored = network.load(path)
        assert config == TINY
        same(restored, jax.tree.map(lambda leaf, factor=factor: leaf * factor, params))
        assert all(isinstance(leaf, jax.Array) for leaf in jax.tree.leaves(restored))
    for path, message in (
        (f"{tmp_path}@4", "@4: step 4 is not kept; there are 3, 12"),
        (tmp_path / "3", "/3: no checkpoint here; write .*@3 for a step of a run"),
        (tmp_path / "5", "/5: step 5 is not kept; there are 3, 12"),
        (f"{tmp_path}@x", "no network here: .*; expected a folder made by"),
        (f"{tmp_path}/checkpoints@3", "no network here: .*; expected a folder made by"),
    ):
        with pytest.raises(ValueError, match=message):
            network.load(path)


def test_folders_of_older_runs_are_read(tmp_path, params):
    root = tmp_path / "run" / "checkpoints"
    save_as_orbax(checkpoint.step_folder(root, 4), TINY, params)
    for path in (tmp_path / "run", checkpoint.step_folder(root, 4)):
        config, restored = network.load(path)
        assert config == TINY
        same(restored, params)
    # And steps of both forms beside each other, as in a run that was continued.
    with new_folder(checkpoint.step_folder(root, 5)) as folder:
        network.save(folder, TINY, jax.tree.map(lambda leaf: leaf * 2, params))
    same(network.load(tmp_path / "run")[1], jax.tree.map(lambda leaf: leaf * 2, params))


def test_an_older_folder_written_on_another_device_is_read(tmp_path, params):
    """As a network trained on a GPU is read on a laptop: the device it names is not here."""
    save_as_orbax(tmp_path / "net", TINY, params)
    sharding = tmp_path / "net" / "params" / "_sharding"
    text = sharding.read_text()
    assert "cpu:0" in text
    sharding.write_text(text.replace("cpu:0", "cuda:0"))
    same(network.load(tmp_path / "net")[1], params)


def test_an_older_folder_that_is_bad_is_named(tmp_path, params):
    save_as_orbax(tmp_path / "net", TINY, params)
    config_file = tmp_path / "net" / "config.json"
    good = dataclasses.asdict(TINY)
    for broken, message in (
        ({**good, "embed_dim": 32}, r"array belief_hidden.bias has shape \(16,\), expected"),
        ({**good, "belief_head": False}, "array belief_hidden.bias is not expected here"),
    ):
        config_file.write_text(json.dumps(broken))
        with pytest.raises(ValueError, match=message):
            network.load(tmp_path / "net")
    bad = jax.tree.map(np.copy, params)
    bad["policy"]["bias"][0] = np.nan
    save_as_orbax(tmp_path / "nan", TINY, bad)
    with pytest.raises(ValueError, match=r"nan/params: array policy\.bias is not finite"):
        network.load(tmp_path / "nan")


def test_dropout_and_compute_type_may_be_changed_in_the_config(folder, params):
    changed = dataclasses.replace(TINY, dropout=0.0, compute_dtype="bfloat16")
    write_json(folder / "config.json", dataclasses.asdict(changed))
    config, restored = network.load(folder)
    assert config == changed
    same(restored, params)


def test_a_config_that_is_wrong_is_named(folder):
    config_file, good = folder / "config.json", dataclasses.asdict(TINY)
    for broken, message in (
        ("{", "config.json: not a JSON file"),
        (json.dumps({**good, "embed_dims": 3}), "unknown field 'embed_dims'"),
        (json.dumps({**good, "embed_dim": 65}), "config.json: embed_dim: expected a multiple"),
        (json.dumps({**good, "n_layers": 200}), "n_layers: expected at most 64, got 200"),
        (json.dumps({**good, "ff_dim": 10**12}), "ff_dim: expected at most 8,192"),
        (json.dumps({**good, "embed_dim": 1 << 40}), "embed_dim: expected at most 8,192"),
        (json.dumps(good) + " " * (1 << 20), "config.json: larger than the 1,048,576 bytes"),
        (json.dumps({**good, "tokenizer": "v7"}), "tokenizer: expected one of"),
        (json.dumps({**good, "embed_dim": 32}), "another network: embed_dim is 16, expected 32"),
        # Arrays of the same shapes, which mean something else:
        (
            json.dumps({**good, "n_heads": 4}),
            "model.safetensors: made for another network: n_heads",
        ),
    ):
        config_file.write_text(broken)
        with pytest.raises(ValueError, match=message) as error:
            network.load(folder)
        assert str(folder) in str(error.value) and "\n" not in str(error.value)


def arrays_of(folder):
    return safetensors.numpy.load_file(folder / "model.safetensors")


def test_weights_that_are_wrong_are_named(folder):
    """Without our metadata too, as another program may write the file."""
    file = folder / "model.safetensors"
    raw, arrays = file.read_bytes(), arrays_of(folder)
    name = "policy.bias"
    rest = {key: value for key, value in arrays.items() if key != name}
    nan = np.full_like(arrays[name], np.nan)
    length = int.from_bytes(raw[:8], "little")
    future = safetensors.numpy.save(arrays, {"zebjax_format": "2"})
    for data, message in (
        (b"", "not a readable safetensors file"),
        (raw[:-1], "not a readable safetensors file"),
        (raw[: length // 2], "not a readable safetensors file"),
        (raw + b"x", "not a readable safetensors file"),
        (struct.pack("<Q", 1 << 62) + raw[8:], "not a readable safetensors file"),
        (b"\x80\x02N.", "not a readable safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n", "git lfs pull"),
        (future, "its format is '2', this zebjax reads 1; update zebjax"),
        (safetensors.numpy.save(rest), "array policy.bias is missing"),
        (safetensors.numpy.save({**arrays, "x\x1b[2J": nan}), r"array x\[2J is not expected"),
        (safetensors.numpy.save({**arrays, name: nan}), "array policy.bias is not finite"),
        (
            safetensors.numpy.save({**arrays, name: np.zeros(2, np.float32)}),
            r"array policy.bias: expected float32 \(1,\), got float32 \(2,\)",
        ),
        (
            safetensors.numpy.save({**arrays, name: np.zeros(1, np.float16)}),
            r"expected float32 \(1,\), got float16",
        ),
        (
            safetensors.numpy.save({"embeddings.proj.weight": np.zeros(1, np.float32)}),
            "named as in the original PyTorch system.*zebjax convert",
        ),
    ):
        file.write_bytes(data)
        with pytest.raises(ValueError, match=message) as error:
            network.load(folder)
        assert str(error.value).startswith(str(file)) and str(error.value).isprintable()
    file.write_bytes(safetensors.numpy.save(arrays))
    assert network.load(folder)[0] == TINY
    with pytest.raises(ValueError, match=r"its metadata has no config.*zebjax convert"):
        network.load(file)


def test_a_false_number_of_layers_costs_nothing(folder, monkeypatch):
    """Tracing a network of 64 layers takes half a minute, so only one layer of it is traced."""
    traced, real = [], model._structure

    def structure(config):
        traced.append(config.n_layers)
        return real(config)

    monkeypatch.setattr(model, "_structure", structure)
    (folder / "model.safetensors").write_bytes(safetensors.numpy.save(arrays_of(folder)))
    write_json(folder / "config.json", {**dataclasses.asdict(TINY), "n_layers": 64})
    with pytest.raises(ValueError, match=r"array layers\.02\..* is missing"):
        network.load(folder)
    assert set(traced) == {1}


def test_shapes_are_those_of_the_whole_network_traced():
    config = dataclasses.replace(TINY, n_layers=11)
    whole = model.nnx.to_pure_dict(model._structure(config)[1])
    assert jax.tree.structure(whole) == jax.tree.structure(network.abstract_params(config))
    assert jax.tree.leaves(whole) == jax.tree.leaves(network.abstract_params(config))


def test_a_file_that_is_too_large_is_not_read(folder, monkeypatch):
    monkeypatch.setattr(storage, "MAX_BYTES", 1000)
    with pytest.raises(ValueError, match="larger than the 1,000 bytes allowed"):
        network.load(folder)


def test_a_place_without_a_network_is_named(tmp_path, folder):
    with pytest.raises(
        ValueError,
        match=r"holds neither config\.json nor checkpoints/step_\.\.\.; expected a folder",
    ):
        network.load(tmp_path)
    (tmp_path / "a.pt").touch()
    with pytest.raises(ValueError, match=r"a\.pt: not a zebjax network.*zebjax convert"):
        network.load(tmp_path / "a.pt")
    (folder / "model.safetensors").unlink()
    with pytest.raises(ValueError, match=r"model\.safetensors: no such file; a network folder"):
        network.load(folder)


def test_a_place_that_cannot_be_written_is_named(tmp_path, params):
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match=r"model\.safetensors: cannot be written"):
        network.save(tmp_path / "file", TINY, params)


def test_the_model_card(folder):
    card = (folder / "README.md").read_text()
    front, text = card.removeprefix("---\n").split("\n---\n", 1)
    assert "license: mit" in front and "library_name: zebjax" in front and "- texas-42" in front
    assert text.startswith("# r\n")
    for row in ("| embed_dim | 16 |", "| step | 3 |", "| total_games | 1,200 |"):
        assert row in text
    assert "network.load(" in text and "who holds each hidden tile" in text
    hostile = {"run": "<script>\x1b[2J|`x`\n", "nested": {"a": 1}, "none": None}
    card = model_card(dataclasses.replace(TINY, belief_head=False), 5, hostile)
    assert "<script>" not in card and "\x1b" not in card and "nested" not in card
    assert "hidden tile" not in card
    assert "Nothing is recorded about" in model_card(TINY, 5, {})


def test_the_front_matter_is_what_the_hub_reads(folder):
    hub = pytest.importorskip("huggingface_hub")
    for file in (folder / "README.md", network.BUNDLED / "README.md"):
        data = hub.ModelCard.load(file).data
        assert (data.library_name, data.license) == ("zebjax", "mit")


def test_the_bundled_network_is_there_and_small():
    config, params = network.load("bundled")
    assert config.belief_head and config.tokenizer == "v1"
    assert all(bool(np.isfinite(leaf).all()) for leaf in jax.tree.leaves(params))
    found = [file for file in network.BUNDLED.rglob("*") if file.is_file()]
    assert {file.name for file in found} == {
        "README.md",
        "config.json",
        "imitator.safetensors",
        "model.safetensors",
        "small.safetensors",
        "training.json",
    }
    assert sum(file.stat().st_size for file in found) < 8_000_000
    assert "**Strength**" in (network.BUNDLED / "README.md").read_text()
