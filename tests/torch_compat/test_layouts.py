"""Weights are found in files of the original, Lightning, wrappers and zip programs."""

import argparse
import collections
import io
import json
import pathlib
import random
import tracemalloc
import zipfile
from collections import OrderedDict

import jax
import numpy as np
import pytest
import safetensors.numpy

from tests.support.torch_made import Tensor, make_zip, save
from zebjax import network
from zebjax.network import storage
from zebjax.torch_compat import archive as torch_archive
from zebjax.torch_compat import weights as torch_weights
from zebjax.torch_compat.archive import Limits
from zebjax.torch_compat.facts import facts_of
from zebjax.torch_compat.names import to_state_dict
from zebjax.torch_compat.pickle import TorchFileError

TINY = network.ZebConfig(embed_dim=16, n_heads=2, n_layers=2, ff_dim=24, belief_head=False)
FIELDS = {"embed_dim": 16, "n_heads": 2, "n_layers": 2, "ff_dim": 24}


def optimizer(tensors):
    """AdamW's, with the types that torch gives its settings."""
    moments = {
        index: {"step": Tensor(np.float32(7)), "exp_avg": tensor, "exp_avg_sq": tensor}
        for index, tensor in enumerate(tensors.values())
    }
    group = {"lr": 1e-4, "betas": (0.9, 0.999), "foreach": None, "params": list(range(3))}
    return {"state": moments, "param_groups": [group]}


def rng_state():
    return {
        "torch": Tensor(np.zeros(5056, np.uint8)),
        "numpy": np.random.RandomState(0).get_state(),
        "python": random.Random(0).getstate(),
        "cuda": None,
    }


def same(a, b):
    jax.tree.map(np.testing.assert_array_equal, a, b)


# --- what the original's programs save ---


def test_a_training_checkpoint_with_its_optimiser_and_random_states(read, tensors, params):
    """Of its first trainer: `config` in place of `model_config`, a NumPy array in the pickle."""
    weights = read(
        {
            "epoch": 102,
            "model_state_dict": tensors,
            "optimizer_state_dict": optimizer(tensors),
            "rng_state": rng_state(),
            "config": {
                **FIELDS,
                "max_tokens": 36,
                "dropout": 0.1,
                "lr": 1e-4,
                "checkpoint_dir": pathlib.PosixPath("some/where"),
                "model_size": "medium",
            },
            "wandb_run_id": "abc123",
        }
    )
    assert weights.config == TINY
    same(weights.params, params)
    provenance = weights.provenance
    assert (provenance.step, provenance.wandb_run_id, provenance.layout) == (
        102,
        "abc123",
        "wrapped",
    )
    assert provenance.facts["config.lr"] == 1e-4
    assert not any(key.startswith(("optimizer", "rng")) for key in provenance.facts)


def test_a_self_play_checkpoint_with_its_replay_buffer(read, tensors, params):
    example = {"observations": Tensor(np.zeros((36, 8), np.int64)), "value_targets": 1.0}
    weights = read(
        {
            "epoch": 3599,
            "model_state_dict": tensors,
            "optimizer_state_dict": optimizer(tensors),
            "model_config": {**FIELDS, "dropout": 0.1, "max_tokens": 36},
            "training_config": {"mode": "selfplay", "source_checkpoint": "x.pt", "lr": 1e-4},
            "total_games": 1_010_176,
            "wandb_run_id": None,
            "replay_buffer": [example] * 3000,
        }
    )
    same(weights.params, params)
    assert weights.provenance.total_games == 1_010_176
    assert weights.provenance.facts["training_config.source_checkpoint"] == "x.pt"


def test_shared_dictionaries_do_not_multiply(read, tensors):
    shared = {f"{i}{'v' * 80}": "w" * 300 for i in range(40)}
    for _ in range(2):
        shared = {f"{i}{'k' * 80}": shared for i in range(40)}
    facts = read(
        {
            "epoch": 3,
            "model_state_dict": tensors,
            "model_config": FIELDS,
            "note": "w",
            "shared": {"a": shared, "b": shared},
            **shared,
        }
    ).provenance.facts
    assert facts["note"] == "w" and 10 < len(facts) <= 5000
    assert sum(len(name) + len(str(value)) for name, value in facts.items()) < 250_000


def test_a_long_text_is_cut_before_it_is_filtered():
    text = "x" * 4_000_000
    tracemalloc.start()
    try:
        assert dict(facts_of(None, {"a": text, text: 1})) == {"a": "x" * 300}
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()


def test_a_bootstrap_keeps_where_it_comes_from(read, tensors, tmp_path):
    payload = {
        "model_state_dict": tensors,
        "model_config": {**FIELDS, "tokenizer": "v1", "belief_head": False},
        "epoch": 0,
        "total_games": 0,
        "source_weights_name": "large-belief.pt",
        "source_step": 3740,
        "source_total_games": 1_700_608,
        "source": {"repo": "someone/zeb-42", "at": {"revision": "abc"}},
        "note": "from\x1b[2J the\nhub",
    }
    provenance = read(payload).provenance
    assert (provenance.step, provenance.total_games) == (0, 0)
    assert provenance.source_weights_name == "large-belief.pt"
    facts = provenance.facts
    assert (facts["source_step"], facts["source_total_games"]) == (3740, 1_700_608)
    assert facts["source.at.revision"] == "abc" and facts["note"] == "from[2J thehub"
    torch_weights.convert(tmp_path / "tiny.pt", tmp_path / "out")
    kept = torch_weights.read_provenance(tmp_path / "out")
    assert kept.facts == facts
    assert network.load(tmp_path / "out")[0] == TINY


@pytest.mark.parametrize(
    "content",
    [
        {"config": {"model_config": FIELDS, "lr": 1}},
        {"config": argparse.Namespace(**FIELDS, lr=1)},
        {"hyper_parameters": {"model_config": FIELDS}},
        {"args": argparse.Namespace(**FIELDS)},
        {"config": collections.defaultdict(int, FIELDS)},
        {"model_config": {key: np.int64(value) for key, value in FIELDS.items()}},
        {"config": {key: Tensor(np.int64(value)) for key, value in FIELDS.items()}},
    ],
)
def test_a_configuration_is_found_where_it_is(read, tensors, content):
    assert read({"model_state_dict": tensors, **content}).config == TINY


def test_a_configuration_beside_a_checkpoint_without_one(read, tensors, tmp_path):
    with pytest.raises(TorchFileError, match=r"does not say what network it holds.*tiny-config"):
        read({"model_state_dict": tensors, "config": {"lr": 1e-4}})
    (tmp_path / "tiny-config.json").write_text(json.dumps(FIELDS))
    assert read({"model_state_dict": tensors, "config": {"lr": 1e-4}}).config == TINY


def test_a_size_by_name_is_enough(read):
    small = network.PRESETS["small"]
    rng = np.random.default_rng(1)
    params = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), network.abstract_params(small)
    )
    tensors = {key: Tensor(value) for key, value in to_state_dict(small, params).items()}
    assert read({"model_state_dict": tensors, "args": {"model_size": "small"}}).config == small


@pytest.mark.parametrize(
    "count",
    [
        np.int64(7),
        np.int32(7),
        np.uint8(7),
        np.float64(7.0),
        7.0,
        Tensor(np.int64(7)),
        Tensor(np.array([7])),
        Tensor(np.float32(7)),
    ],
)
def test_counts_of_numpy_and_torch_are_counts(read, tensors, count):
    content = {"model_state_dict": tensors, "model_config": FIELDS, "epoch": count}
    provenance = read({**content, "total_games": count}).provenance
    assert (provenance.step, provenance.total_games) == (7, 7)
    assert type(provenance.step) is int


@pytest.mark.parametrize("count", [np.int64(-1), np.float64(1.5), np.float64("nan"), True, "7"])
def test_counts_that_are_none_are_refused(read, tensors, count):
    content = {"model_state_dict": tensors, "model_config": FIELDS, "total_games": count}
    if isinstance(count, float) and np.isnan(count):
        assert read(content).provenance.total_games is None  # no value that JSON has a place for
        return
    with pytest.raises(TorchFileError, match="total_games: expected a count, got"):
        read(content)


@pytest.mark.parametrize("n", [35, 64])
def test_another_number_of_tokens_is_another_network(read, tensors, n):
    with pytest.raises(TorchFileError, match=f"max_tokens: expected 36 with tokenizer v1, got {n}"):
        read({"model_state_dict": tensors, "model_config": {**FIELDS, "max_tokens": n}})


# --- wrappers ---


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "model.", "net.", "model._orig_mod."])
def test_a_prefix_that_all_keys_share_is_removed(read, tensors, params, prefix):
    prefixed = {prefix + key: tensor for key, tensor in tensors.items()}
    weights = read({"model_state_dict": prefixed, "model_config": FIELDS})
    same(weights.params, params)
    assert weights.provenance.prefix == prefix
    one_without = {**prefixed, "policy_proj.bias": prefixed.pop(prefix + "policy_proj.bias")}
    with pytest.raises(TorchFileError, match="is missing"):
        read({"model_state_dict": one_without, "model_config": FIELDS})


def test_a_lightning_checkpoint(read, tensors, params):
    class AttributeDict(dict):
        """As Lightning's: a dictionary of a type of its own."""

    AttributeDict.__module__ = "argparse"  # somewhere that the pickler finds it
    AttributeDict.__qualname__ = "AttributeDict"
    argparse.AttributeDict = AttributeDict
    try:
        data = save(
            {
                "epoch": 12,
                "global_step": 5000,
                "pytorch-lightning_version": "2.5.0",
                "state_dict": OrderedDict((f"model.{k}", t) for k, t in tensors.items()),
                "loops": {"fit_loop": {"state_dict": {}, ("tuple", 1): {None: 2}}},
                "callbacks": {"ModelCheckpoint{'monitor': None}": {"best": Tensor(np.float32(1))}},
                "optimizer_states": [optimizer(tensors)],
                "hyper_parameters": AttributeDict(**FIELDS, lr=1e-3, out=pathlib.PosixPath("x")),
            }
        )
    finally:
        del argparse.AttributeDict
    weights = read(data)
    same(weights.params, params)
    provenance = weights.provenance
    assert (provenance.layout, provenance.step, provenance.prefix) == ("lightning", 12, "model.")
    assert provenance.facts["global_step"] == 5000
    assert provenance.facts["hyper_parameters.lr"] == 1e-3


def repacked(data, **changes):
    """The same entries as another program zips them."""
    root = changes.get("root", "my checkpoint/")
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(data)) as old,
        zipfile.ZipFile(buffer, "w", changes.get("compression", zipfile.ZIP_DEFLATED)) as new,
    ):
        if root:
            new.mkdir(root.rstrip("/"))
        for info in old.infolist():
            new.writestr(root + info.filename.partition("/")[2], old.read(info))
        new.writestr("__MACOSX/._data.pkl", b"\0\5\26\7")
    return buffer.getvalue()


@pytest.mark.parametrize("root", ["other/", "", "a/b/c/"])
def test_a_file_that_was_zipped_again(read, tensors, params, root):
    data = save({"model_state_dict": tensors, "model_config": FIELDS})
    same(read(repacked(data, root=root)).params, params)
    with pytest.raises(TorchFileError, match=r"damaged or truncated|checksum|CRC"):
        broken = bytearray(repacked(data, root=root, compression=zipfile.ZIP_STORED))
        broken[broken.index(tensors["policy_proj.weight"].array.tobytes())] ^= 1
        read(bytes(broken))


def test_zips_that_are_no_checkpoint(read, tensors):
    good = save({"model_state_dict": tensors, "model_config": FIELDS})
    for data, message in (
        (make_zip([("data.pkl", b"\x80\x02N.")], root="a/data.pkl"), "it holds None"),
        (make_zip([("constants.pkl", b""), ("data.pkl", b"")]), "a TorchScript program"),
        (make_zip([("a/data.pkl", b""), ("b/data.pkl", b"")], root=None), "2 data.pkl"),
        (repacked(good, compression=zipfile.ZIP_BZIP2), "compressed in a way that is not read"),
    ):
        with pytest.raises(TorchFileError, match=message):
            read(data)


def test_a_bomb_is_refused_before_it_is_inflated(read, tensors):
    bomb = make_zip([("data.pkl", bytes(50_000_000))], compression=zipfile.ZIP_DEFLATED)
    with pytest.raises(TorchFileError, match="pickle is larger than"):
        read(bomb)
    # What nobody asks for costs nothing.
    good = save({"model_state_dict": tensors, "model_config": FIELDS})
    buffer = io.BytesIO(good)
    with zipfile.ZipFile(buffer, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/999", bytes(50_000_000))
    file = torch_archive.TorchFile(buffer.getvalue(), Limits(bytes=1_000_000))
    assert file.value(file.tree["model_state_dict"]).keys() == tensors.keys()


# --- safetensors ---


def test_safetensors_with_the_names_of_the_original(read, state, params, tmp_path):
    data = safetensors.numpy.save(state, {"step": "5", "format": "pt"})
    with pytest.raises(TorchFileError, match=r"needs its configuration .*tiny-config.json and .*"):
        read(data, "tiny.safetensors")
    (tmp_path / "config.json").write_text(json.dumps(FIELDS))
    weights = read(data, "tiny.safetensors")
    same(weights.params, params)
    assert (weights.provenance.layout, weights.provenance.step) == ("safetensors", 5)
    (tmp_path / "tiny-state.json").write_text(json.dumps({"step": 6, "total_games": 60}))
    assert read(data, "tiny.safetensors").provenance.total_games == 60
    inside = safetensors.numpy.save(
        {f"module.{key}": value for key, value in state.items()}, {"config": json.dumps(FIELDS)}
    )
    (tmp_path / "config.json").unlink()
    assert read(inside, "tiny.safetensors").provenance.prefix == "module."


def test_safetensors_of_ours(read, params, tmp_path):
    data = storage.to_bytes(TINY, params)
    weights = read(data, "model.safetensors")
    assert weights.config == TINY
    same(weights.params, params)
    torch_weights.convert(tmp_path, tmp_path / "out")  # a folder with a file of that name
    same(network.load(tmp_path / "out")[1], params)


def test_safetensors_that_are_wrong(read, state, params, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps(FIELDS))
    bad = {**state, "policy_proj.bias": np.array([np.nan], np.float32)}
    good = safetensors.numpy.save(state)
    for data, message in (
        (good[:-1], "not a readable safetensors file"),
        (safetensors.numpy.save(bad), "policy_proj.bias: holds values that are not finite"),
        (safetensors.numpy.save({**state, "x": state["policy_proj.bias"]}), "key 'x' is not expec"),
    ):
        with pytest.raises(TorchFileError, match=message) as error:
            read(data, "tiny.safetensors")
        assert str(error.value).startswith(str(tmp_path / "tiny.safetensors"))


# --- files that are something else ---


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 2250845\n",
            "only a Git LFS pointer, not the file itself; run `git lfs pull`",
        ),
        (b"\n<!DOCTYPE html>\n<html><body>Sign in</body></html>", "a web page, not a file of"),
        (b"<html>", "a web page"),
        (b"\x1f\x8b\x08\x00", "a gzip file; unpack it first"),
    ],
)
def test_other_files_are_named(read, data, message):
    with pytest.raises(TorchFileError, match=message) as error:
        read(data)
    assert "\n" not in str(error.value)


def test_a_whole_model_is_no_state_dict(read, tensors):
    with pytest.raises(TorchFileError, match=r"an object of type .*Namespace.*save its state_dict"):
        read(argparse.Namespace())
    with pytest.raises(TorchFileError, match="asks for 'pathlib"):
        read({"model_state_dict": pathlib.PosixPath("x"), "model_config": FIELDS})
