"""The ONNX file of a network: what onnxruntime computes from it, and what it says of itself."""

import dataclasses
import importlib
import json

import jax
import numpy as np
import pytest

import zebjax
from tests.support import playouts
from zebjax import contract, network, observe
from zebjax.observe import Observation
from zebjax.torch_compat import weights as torch_weights

TINY = network.ZebConfig(embed_dim=32, n_heads=2, n_layers=2, ff_dim=24)
V2 = dataclasses.replace(
    TINY, tokenizer="v2", value="make/set", compute_dtype="bfloat16", move_values=True
)
onnx = pytest.importorskip("onnx", reason='the extra "onnx" is not installed')
onnx_file = importlib.import_module("zebjax.network.onnx_file")  # it imports onnx


def drawn_params(config, seed=0):
    """Parameters of a network, none of them 0 or 1 as before training."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        return rng.normal(size=leaf.shape, scale=leaf.shape[0] ** -0.5).astype(np.float32)

    return jax.tree.map(draw, network.abstract_params(config))


def drawn_tokens(config, n, seed=0):
    """n observations of any tokens, a third of them not valid."""
    spec, rng = observe.tokenizer(config.tokenizer), np.random.default_rng(seed)
    sizes = [size for size, _ in spec.features.values()]
    tokens = rng.integers(0, sizes, (n, spec.length, len(sizes)), np.int8)
    mask = rng.random((n, spec.length)) < 2 / 3
    mask[:, 0] = True
    return Observation(tokens, mask)


def run(data, seen):
    """The outputs of a file, by name."""
    runtime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == ["tokens", "mask"]
    names = [each.name for each in session.get_outputs()]
    found = session.run(None, {"tokens": np.asarray(seen.tokens), "mask": np.asarray(seen.mask)})
    return dict(zip(names, found, strict=True))


def assert_parity(config, params, seen):
    """The file gives what `network.apply` gives in float32, to 1e-5.

    Beyond 1 that is relative: belief logits of the bundled network reach 23, where float32 itself
    has steps of 2e-6.
    """
    found = run(onnx_file.to_bytes(config, params, "net"), seen)
    ours = network.apply(dataclasses.replace(config, compute_dtype="float32"), params, seen)
    expected = {name: leaf for name, leaf in ours._asdict().items() if leaf is not None}
    assert list(found) == list(expected)
    for name, leaf in expected.items():
        assert found[name].shape == leaf.shape and found[name].dtype == np.float32
        off = np.abs(found[name] - leaf) / np.maximum(1, np.abs(leaf))
        print(name, off.max())
        assert off.max() < 1e-5, name
    return found


def test_a_file_computes_what_the_network_computes():
    found = assert_parity(V2, drawn_params(V2), drawn_tokens(V2, 5))
    assert all(np.abs(leaf).std() > 1e-2 for leaf in found.values())


def test_the_batch_is_of_any_size_and_tokens_that_are_not_valid_do_not_matter():
    seen = drawn_tokens(TINY, 5)
    data = onnx_file.to_bytes(TINY, drawn_params(TINY), "net")
    together, one = run(data, seen), run(data, jax.tree.map(lambda leaf: leaf[3:4], seen))
    other = np.where(seen.mask[..., None], seen.tokens, 1 - seen.tokens % 2)
    disturbed = run(data, seen._replace(tokens=other))
    for name in ("value", "belief_logits"):
        np.testing.assert_allclose(one[name], together[name][3:4], atol=1e-6)
        np.testing.assert_allclose(disturbed[name], together[name], atol=1e-6)


@pytest.mark.parametrize(
    ("file", "outputs"),
    [
        ("zeb-557k-1m.pt", "model_557k.npz"),
        # Seconds to read; `test_parity_in_random_games` has beliefs too.
        pytest.param("synthetic-large-belief.pt", "model_large_belief.npz", marks=pytest.mark.slow),
    ],
)
def test_outputs_are_those_of_the_original_on_golden_positions(
    file, outputs, reference, reference_path
):
    read = torch_weights.read(reference_path(file))
    expected, tokens = reference(outputs), reference("tokens.npz")
    index = expected.get("index", np.arange(len(tokens["mask"])))[:64]
    seen = Observation(tokens["tokens_gpu"][index], tokens["mask"][index])
    found = run(onnx_file.to_bytes(read.config, read.params, file), seen)
    assert ("belief_logits" in found) == read.config.belief_head
    in_hand = tokens["hand_mask"][index]
    for name in found.keys() & expected.keys():
        wanted = expected[name][:64]
        if name == "policy_logits":
            wanted, found[name] = wanted[in_hand], found[name][in_hand]
        np.testing.assert_allclose(found[name], wanted, rtol=1e-5, atol=1e-4, err_msg=name)


# It compiles six networks and their positions. A tiny one of tokenizer v2 is compared above.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("config", "seed"),
    [
        ("bundled", 6),
        (network.PRESETS["small"], 7),
        (network.PRESETS["large"], 8),
        (dataclasses.replace(TINY, n_heads=1, belief_head=False), 9),
        (dataclasses.replace(TINY, tokenizer="v2"), 10),
        (V2, 11),
    ],
    ids=["bundled", "small", "large", "no belief", "v2", "make/set"],
)
def test_parity_in_random_games(config, seed):
    states = playouts.positions(280, range(28), seed=seed)
    params = None
    if config == "bundled":
        config, params = network.load(config)
    terms = contract.of(1, 3, bid=32) if config.tokenizer == "v2" else None
    seen = jax.vmap(lambda state: observe.observe(state, config.tokenizer, terms))(states)
    assert_parity(config, params or drawn_params(config, seed), seen)


def test_the_file_explains_itself():
    params = drawn_params(V2)
    data = onnx_file.to_bytes(V2, params, "mine", {"run": "mine", "step": 3})
    assert data == onnx_file.to_bytes(V2, params, "mine", {"run": "mine", "step": 3})
    model = onnx.load_from_string(data)
    onnx.checker.check_model(model, full_check=True)
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert json.loads(said["config"]) == V2.stored_fields()
    assert json.loads(said["features"])["bid"] == 15
    assert json.loads(said["training"]) == {"run": "mine", "step": 3}
    assert said["tokenizer"] == "v2" and said["zebjax_version"] == zebjax.__version__
    assert said["value_definition"] == "make/set" and "sets the other" in said["value"]
    arrays = {each.name: onnx.numpy_helper.to_array(each) for each in model.graph.initializer}
    kernel = params["layers"]["01"]["qkv"]["kernel"]
    np.testing.assert_array_equal(arrays["layers.01.qkv.kernel"], kernel)
    shapes = [
        [side.dim_param or side.dim_value for side in each.type.tensor_type.shape.dim]
        for each in (*model.graph.input, *model.graph.output)
    ]
    assert shapes[:4] == [["batch", 36, 12], ["batch", 36], ["batch", 7], ["batch"]]
    assert shapes[4:] == [["batch", 28, 3], ["batch", 7, 2]]
    assert "points" in said["moves"] and "belief_prior" not in said
    on_marginal = dataclasses.replace(V2, belief_prior="marginal")
    model = onnx.load_from_string(onnx_file.to_bytes(on_marginal, params, "mine", {}))
    said = {entry.key: entry.value for entry in model.metadata_props}
    assert "hand sizes and voids" in said["belief_prior"]


def test_a_network_without_a_belief_head_says_nothing_of_beliefs():
    config = dataclasses.replace(TINY, belief_head=False)
    model = onnx.load_from_string(onnx_file.to_bytes(config, drawn_params(config), "net"))
    assert [each.name for each in model.graph.output] == ["policy_logits", "value"]
    assert not {"belief_logits", "moves"} & {entry.key for entry in model.metadata_props}
