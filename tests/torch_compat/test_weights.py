"""Conversion of the original's weights: parity with its outputs, layouts, and back to torch."""

import dataclasses
import functools
import hashlib
import json

import jax
import numpy as np
import pytest

import zebjax
from tests.support.faulty import full_disk
from zebjax import network
from zebjax.common import checkpoint, files
from zebjax.observe import Observation
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import weights as torch_weights
from zebjax.torch_compat.archive import Limits
from zebjax.torch_compat.pickle import TorchFileError

TINY = network.ZebConfig(embed_dim=16, n_heads=2, n_layers=2, ff_dim=24, belief_head=False)
TINY_FIELDS = {"embed_dim": 16, "n_heads": 2, "n_layers": 2, "ff_dim": 24}
FILES = {"model_557k.npz": "zeb-557k-1m.pt", "model_large_belief.npz": "synthetic-large-belief.pt"}


@pytest.fixture
def wrapped(tmp_path, state):
    """Write a wrapped checkpoint of the tiny network, changed by keyword; its path."""

    def write(**changes):
        content = {
            "model_state_dict": state,
            "model_config": TINY_FIELDS,
            "epoch": 7,
            "total_games": 70,
        }
        content = {key: value for key, value in (content | changes).items() if value is not ...}
        torch_archive.write(tmp_path / "tiny.pt", content)
        return tmp_path / "tiny.pt"

    return write


# --- parity ---


@functools.cache
def _evaluate(compute_dtype):
    def run(config, params, observation):
        with jax.default_matmul_precision("highest"):
            return network.apply(
                dataclasses.replace(config, compute_dtype=compute_dtype), params, observation
            )

    return jax.jit(run, static_argnums=0)


def largest_errors(reference, reference_path, outputs, compute_dtype, rows):
    """Output name -> largest absolute difference from the original's, over the rows that it
    gives."""
    weights = torch_weights.read(reference_path(FILES[outputs]))
    expected, tokens = reference(outputs), reference("tokens.npz")
    index = expected.get("index", np.arange(len(tokens["mask"])))[rows]
    observation = Observation(tokens["tokens_gpu"][index], tokens["mask"][index])
    output = _evaluate(compute_dtype)(weights.config, weights.params, observation)
    got = {
        "value": output.value,
        "policy_logits": np.where(tokens["hand_mask"][index], output.policy_logits, 0),
    }
    wanted = {
        "policy_logits": np.where(tokens["hand_mask"][index], expected["policy_logits"][rows], 0)
    }
    if output.belief_logits is not None:
        got["belief_logits"] = output.belief_logits
    assert got.keys() == {"policy_logits", "value", "belief_logits"} & expected.keys()
    return {name: np.abs(got[name] - wanted.get(name, expected[name][rows])).max() for name in got}


@pytest.mark.parametrize("outputs", FILES)
def test_outputs_are_those_of_the_original(reference, reference_path, outputs):
    errors = largest_errors(reference, reference_path, outputs, "float32", slice(None))
    print(outputs, errors)
    assert max(errors.values()) < 1e-4


@pytest.mark.parametrize("outputs", FILES)
def test_bfloat16_outputs_are_close(reference, reference_path, outputs):
    errors = largest_errors(reference, reference_path, outputs, "bfloat16", slice(0, 128))
    print(outputs, errors)
    assert 1e-4 < errors["policy_logits"] < 0.2
    assert errors["value"] < 0.1


# --- converting ---


def test_wrapped_layout(reference_path, tmp_path):
    source = reference_path("zeb-557k-1m.pt")
    provenance = torch_weights.convert(source, tmp_path / "out")
    config, params = network.load(tmp_path / "out")
    assert config == dataclasses.replace(network.PRESETS["medium"], belief_head=False)
    assert network.n_params(params) == 556_970
    assert all(leaf.dtype == np.float32 for leaf in jax.tree.leaves(params))
    assert provenance == torch_weights.read_provenance(tmp_path / "out")
    facts = json.loads((tmp_path / "out" / "provenance.json").read_text())
    assert facts.pop("converted_at")[:2] == "20"
    assert facts == {
        "source": "zeb-557k-1m.pt",
        "sha256": hashlib.sha256(source.read_bytes()).hexdigest(),
        "layout": "wrapped",
        "step": 3599,
        "total_games": 1_010_176,
        "wandb_run_id": None,
        "source_weights_name": None,
        "belief_head": "none",
        "belief_head_seed": None,
        "converter_version": zebjax.__version__,
        "prefix": "",
        "facts": {
            "model_config.embed_dim": 128,
            "model_config.n_heads": 4,
            "model_config.n_layers": 4,
            "model_config.ff_dim": 256,
            "epoch": 3599,
            "total_games": 1_010_176,
        },
    }
    training = json.loads((tmp_path / "out" / "training.json").read_text())
    assert training == {"source": "zeb-557k-1m.pt", "step": 3599, "total_games": 1_010_176}
    card = (tmp_path / "out" / "README.md").read_text()
    assert "# zeb-557k-1m.pt" in card and "| step | 3,599 |" in card


def test_the_provenance_of_an_earlier_converter_is_read(tmp_path, reference_path):
    torch_weights.convert(reference_path("zeb-557k-1m.pt"), tmp_path / "out")
    file = tmp_path / "out" / "provenance.json"
    facts = json.loads(file.read_text())
    del facts["prefix"], facts["facts"]
    file.write_text(json.dumps(facts))
    (tmp_path / "out" / "training.json").unlink()
    assert torch_weights.read_provenance(tmp_path / "out").step == 3599
    assert torch_weights.history(tmp_path / "out")["total_games"] == 1_010_176


def test_hub_layout(reference_path, tmp_path):
    provenance = torch_weights.convert(
        reference_path("synthetic-large-belief.pt"), tmp_path / "out"
    )
    config, params = network.load(tmp_path / "out")
    assert config == network.PRESETS["large"]
    assert network.n_params(params) == 3_347_110
    assert (provenance.layout, provenance.step, provenance.total_games) == ("hub", 3740, 1_700_608)
    assert (provenance.wandb_run_id, provenance.belief_head) == ("waxffg2j", "converted")


@pytest.mark.parametrize(
    ("name", "config_name", "state_name"),
    [
        ("model", "config.json", "training_state.json"),
        ("other", "other-config.json", "other-state.json"),
    ],
)
def test_hub_file_names(tmp_path, state, name, config_name, state_name):
    path = tmp_path / f"{name}.pt"
    torch_archive.write(path, state)
    with pytest.raises(
        TorchFileError, match=f"needs its configuration beside it, looked for .*/{config_name}$"
    ):
        torch_weights.read(path)
    (tmp_path / config_name).write_text(json.dumps(TINY_FIELDS))
    assert torch_weights.read(path).provenance.step is None
    (tmp_path / state_name).write_text(
        json.dumps({"step": 5, "total_games": 6, "wandb_run_id": None})
    )
    weights = torch_weights.read(path)
    assert (weights.config, weights.provenance.step, weights.provenance.total_games) == (TINY, 5, 6)
    for text, message in (
        ("{", "not a JSON file"),
        ("[" * 100_000, "nested too deeply|not a JSON file"),
        ("[]", "expected an object with step"),
        ('{"step": -1}', "step: expected a count, got -1"),
        ('{"step": 1.5}', "step: expected a count, got 1.5"),
        ('{"wandb_run_id": 3}', "wandb_run_id: expected a text"),
        (" " * 2_000_000, "larger than"),
    ):
        (tmp_path / state_name).write_text(text)
        with pytest.raises(TorchFileError, match=f"{state_name}: .*({message})"):
            torch_weights.read(path)


def test_fresh_belief_head(wrapped, tmp_path):
    plain = torch_weights.read(wrapped())
    with jax.default_prng_impl("rbg"):  # a seed means the same weights under every setting
        provenance = torch_weights.convert(wrapped(), tmp_path / "out", belief_head="fresh", seed=3)
    assert (provenance.belief_head, provenance.belief_head_seed) == ("fresh", 3)
    config, params = network.load(tmp_path / "out")
    assert config == dataclasses.replace(TINY, belief_head=True)
    drawn = network.init(config, jax.random.key(3))
    added = params.keys() - plain.params.keys()
    assert added == {"belief_hidden", "belief_out"}
    for name in params:
        source = drawn if name in added else plain.params
        jax.tree.map(np.testing.assert_array_equal, params[name], source[name])
    assert np.std(params["belief_hidden"]["kernel"]) > 0
    with pytest.raises(ValueError, match="seed: expected"):
        torch_weights.convert(wrapped(), tmp_path / "two", belief_head="fresh", seed=2**32)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["out", "tiny.pt"]


def test_a_belief_head_that_is_there_is_not_replaced(reference_path, tmp_path):
    with pytest.raises(TorchFileError, match="have one already"):
        torch_weights.convert(
            reference_path("synthetic-large-belief.pt"), tmp_path / "out", belief_head="fresh"
        )
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_when_it_fails(wrapped, tmp_path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(TorchFileError, match="taken exists already"):
        torch_weights.convert(wrapped(), tmp_path / "taken")

    source = wrapped()
    with (
        full_disk(1000),
        pytest.raises((ValueError, OSError), match=r"cannot be written|too large"),
    ):
        torch_weights.convert(source, tmp_path / "out")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["taken", "tiny.pt"]
    assert list((tmp_path / "taken").iterdir()) == []


def test_limits_reach_the_reader(wrapped, tmp_path):
    with pytest.raises(TorchFileError, match="larger than the 1,000 bytes"):
        torch_weights.convert(wrapped(), tmp_path / "out", limits=Limits(bytes=1000))


# --- checkpoints that are wrong ---


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_config": ...}, "does not say what network it holds: looked for model_config"),
        ({"model_config": [1]}, "model_config: expected the network's keyword arguments"),
        ({"model_config": {**TINY_FIELDS, "n_head": 2}}, "model_config: unknown field 'n_head'"),
        (
            {"model_config": {**TINY_FIELDS, "compute_dtype": "bfloat16"}},
            "unknown field 'compute_dtype'",
        ),
        ({"model_config": {"embed_dim": 16}}, "model_config: field n_heads is missing"),
        (
            {"model_config": {**TINY_FIELDS, "embed_dim": 20}},
            "embed_dim: expected a multiple of 16",
        ),
        ({"model_config": {**TINY_FIELDS, "embed_dim": "16"}}, "embed_dim: expected int, got '16'"),
        ({"model_config": {**TINY_FIELDS, "n_layers": True}}, "n_layers: expected int, got True"),
        (
            {"model_config": {**TINY_FIELDS, "n_layers": -1}},
            "n_layers: expected a positive integer",
        ),
        (
            {"model_config": {**TINY_FIELDS, "n_layers": 64}},
            "key encoder.layers.2.self_attn.in_proj_weight is miss",
        ),
        (
            {"model_config": {**TINY_FIELDS, "n_layers": 1}},
            "key 'encoder.layers.1.* is not expected",
        ),
        (
            {"model_config": {**TINY_FIELDS, "n_layers": 10**9}},
            "n_layers: expected at most 64, got 1,000,000,000",
        ),
        ({"model_config": {**TINY_FIELDS, "embed_dim": 1 << 13}}, "high_pip_embed.weight: shape"),
        ({"model_config": {**TINY_FIELDS, "embed_dim": 1 << 20}}, "embed_dim: expected at most"),
        ({"model_config": {**TINY_FIELDS, "belief_head": 1}}, "belief_head: expected bool"),
        (
            {"model_config": {**TINY_FIELDS, "belief_head": True}},
            "key belief_proj.0.weight is missing",
        ),
        ({"model_config": {**TINY_FIELDS, "tokenizer": "v2"}}, "tokenizer: expected v1, the"),
        ({"model_config": {**TINY_FIELDS, "dropout": 1.5}}, "dropout: expected a rate"),
        ({"epoch": "7"}, "epoch: expected a count"),
        ({"total_games": -1}, "total_games: expected a count"),
        ({"source_weights_name": 3}, "source_weights_name: expected a text"),
        ({"model_state_dict": [1]}, "model_state_dict: expected a dictionary"),
        ({"model_state_dict": {}}, "key embeddings.high_pip_embed.weight is missing"),
        (
            {"model_state_dict": ..., "model_config": {}},
            "expected a state_dict of tensors, or a checkpoint",
        ),
    ],
)
def test_wrapped_checkpoints_that_are_wrong(wrapped, changes, message):
    path = wrapped(**changes)
    with pytest.raises(TorchFileError, match=message) as error:
        torch_weights.read(path)
    assert str(error.value).startswith(str(path))


def test_optional_facts(wrapped):
    provenance = torch_weights.read(
        wrapped(epoch=..., total_games=..., source_weights_name="large")
    ).provenance
    assert (provenance.step, provenance.total_games, provenance.source_weights_name) == (
        None,
        None,
        "large",
    )
    fields = {**TINY_FIELDS, "tokenizer": "v1", "belief_head": False, "dropout": 0}
    assert torch_weights.read(wrapped(model_config=fields)).config == dataclasses.replace(
        TINY, dropout=0.0
    )


def test_other_content_is_not_weights(tmp_path, reference_path):
    torch_archive.write(tmp_path / "list.pt", [1, 2])
    with pytest.raises(TorchFileError, match="it holds a list"):
        torch_weights.read(tmp_path / "list.pt")
    with pytest.raises(TorchFileError, match="needs its configuration"):
        torch_weights.read(reference_path("examples_selfplay.pt"))


# --- and back ---


def test_to_torch_is_what_the_strict_loader_expects(reference_path, tmp_path):
    """Key by key, shape by shape and bit by bit the file that it came from."""
    source = reference_path("synthetic-large-belief.pt")
    torch_weights.convert(source, tmp_path / "ours")
    files = torch_weights.to_torch(tmp_path / "ours", tmp_path / "back.pt")
    assert [file.name for file in files] == ["back.pt", "back-config.json", "back-state.json"]
    original, back = torch_archive.read(source), torch_archive.read(files[0])
    assert list(back) == list(original)
    for key, tensor in original.items():
        assert (back[key].dtype, back[key].shape) == (tensor.dtype, tensor.shape), key
        assert back[key].tobytes() == tensor.tobytes() and back[key].flags.c_contiguous, key
    for kind, file in (("config", files[1]), ("state", files[2])):
        reference_json = json.loads(
            reference_path(f"synthetic-large-belief-{kind}.json").read_text()
        )
        assert json.loads(file.read_text()) == reference_json
    # And once more through our own reader.
    again = torch_weights.read(files[0])
    jax.tree.map(np.testing.assert_array_equal, again.params, torch_weights.read(source).params)


def test_to_torch_of_a_run(tmp_path, params):
    for step in (4, 12):
        with files.new_folder(
            checkpoint.step_folder(tmp_path / "run" / "checkpoints", step)
        ) as folder:
            network.save(folder, TINY, params)
            files.write_json(
                folder / "training.json", {"run": "r", "step": step, "total_games": 10 * step}
            )
    torch_weights.to_torch(tmp_path / "run", tmp_path / "model.pt")
    assert json.loads((tmp_path / "training_state.json").read_text()) == {
        "step": 12,
        "total_games": 120,
    }
    weights = torch_weights.read(tmp_path / "model.pt")
    assert (
        weights.config == TINY
        and weights.provenance.step == 12
        and weights.provenance.total_games == 120
    )
    state = {"step": 3, "total_games": 9, "wandb_run_id": "abc", "other": 1}
    torch_weights.to_torch(tmp_path / "run", tmp_path / "named.pt", state=state)
    del state["other"]
    assert json.loads((tmp_path / "named-state.json").read_text()) == state


def test_to_torch_never_overwrites_and_leaves_nothing(tmp_path, monkeypatch, params):
    with files.new_folder(tmp_path / "ours") as folder:
        network.save(folder, TINY, params)
    for taken in ("out.pt", "out-config.json", "out-state.json"):
        (tmp_path / taken).touch()
        with pytest.raises(TorchFileError, match=f"{taken} exists already"):
            torch_weights.to_torch(tmp_path / "ours", tmp_path / "out.pt")
        (tmp_path / taken).unlink()
    for bad, message in (("out", "ends in .pt"), ("out.pth", "ends in .pt")):
        with pytest.raises(TorchFileError, match=message):
            torch_weights.to_torch(tmp_path / "ours", tmp_path / bad)
    with pytest.raises(ValueError, match="no network here"):
        torch_weights.to_torch(tmp_path, tmp_path / "out.pt")
    renames = iter([None, OSError("no space left")])

    def rename(source, target):
        if error := next(renames):
            raise error
        source.replace(target)

    monkeypatch.setattr(torch_weights.os, "rename", rename)
    with pytest.raises(ValueError, match=r"cannot be written \(no space left\)"):
        torch_weights.to_torch(tmp_path / "ours", tmp_path / "out.pt")
    assert [entry.name for entry in tmp_path.iterdir()] == ["ours"]
