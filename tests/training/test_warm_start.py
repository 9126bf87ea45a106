"""The first weights of a run."""

import dataclasses
import json
from pathlib import Path

import jax
import numpy as np
import pytest

from tests.support.hub_stub import as_the_hub
from zebjax import experiment, network, players
from zebjax.torch_compat import weights as torch_weights
from zebjax.training import warm_start
from zebjax.training.config import Experiment, StartConfig

ROOT = Path(__file__).parents[2]


def begin(settings, folder):
    notes = []
    return warm_start.begin(settings, folder, jax.random.key(0), notes.append), notes


def test_lb_v_eq_3740_begins_where_large_belief_stopped(tmp_path, reference_path):
    """The synthetic stand-in has the real file's shape; the experiment names step and games."""
    settings = experiment.load(
        ROOT / "experiments" / "lb_v_eq_3740.py",
        ["--start.checkpoint", str(reference_path("synthetic-large-belief.pt"))],
    )
    begun, notes = begin(settings, tmp_path / "start")
    assert (begun.step, begun.total_games) == (3740, 1_700_608)
    assert "converted" in notes[0]
    provenance = torch_weights.read_provenance(tmp_path / "start")
    assert provenance.source == "synthetic-large-belief.pt"
    assert provenance.wandb_run_id == "waxffg2j"
    assert len(provenance.sha256) == 64
    assert network.n_params(begun.params) == 3_347_110


def test_a_fresh_belief_head_on_a_trained_trunk(tmp_path, reference_path):
    """How large-belief itself began, with the real 557 K checkpoint."""
    settings = Experiment(
        name="x",
        network=network.PRESETS["medium"],
        start=StartConfig(checkpoint=str(reference_path("zeb-557k-1m.pt")), belief_head="fresh"),
    )
    begun, _ = begin(settings, tmp_path / "start")
    assert (begun.step, begun.total_games) == (3599, 1_010_176)
    trained = torch_weights.read(reference_path("zeb-557k-1m.pt")).params
    kept = {name: part for name, part in begun.params.items() if name in trained}
    jax.tree.map(np.testing.assert_array_equal, kept, trained)
    assert set(begun.params) - set(trained) == {"belief_hidden", "belief_out"}
    # A head that has learned nothing can correct the marginal too.
    on_marginal = dataclasses.replace(settings.network, belief_prior="marginal")
    corrects, _ = begin(dataclasses.replace(settings, network=on_marginal), tmp_path / "corrects")
    jax.tree.map(np.testing.assert_array_equal, corrects.params, begun.params)


def test_from_a_folder_of_ours(tmp_path):
    config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    params = network.init(config, jax.random.key(3))
    (tmp_path / "net").mkdir()
    network.save(tmp_path / "net", config, params)
    settings = Experiment(
        name="x", network=config, start=StartConfig(checkpoint=str(tmp_path / "net"), step=7)
    )
    begun, _ = begin(settings, tmp_path / "start")
    jax.tree.map(np.testing.assert_array_equal, begun.params, params)
    assert (begun.step, begun.total_games) == (7, 0)
    other = dataclasses.replace(settings, network=dataclasses.replace(config, n_layers=2))
    with pytest.raises(ValueError, match=r"which has network\.n_layers 2 \(it has 1\)$"):
        begin(other, tmp_path / "start")
    with_head = dataclasses.replace(settings, network=dataclasses.replace(config, move_values=True))
    grown, _ = begin(with_head, tmp_path / "start")
    head = grown.params.pop("move_values")
    jax.tree.map(np.testing.assert_array_equal, grown.params, params)
    assert not any(leaf.any() for leaf in head.values())
    (tmp_path / "grown").mkdir()
    network.save(tmp_path / "grown", with_head.network, params | {"move_values": head})
    from_grown = StartConfig(checkpoint=str(tmp_path / "grown"))
    begin(dataclasses.replace(with_head, start=from_grown), tmp_path / "start")
    with pytest.raises(ValueError, match=r"expected network\.move_values True with it"):
        begin(dataclasses.replace(settings, start=from_grown), tmp_path / "start")
    # Only a fresh head may correct the marginal: the old one has learned all of a belief.
    on_marginal = dataclasses.replace(config, belief_prior="marginal")
    corrects = dataclasses.replace(settings, network=on_marginal)
    needed = (
        r"network\.belief_prior marginal \(it has none\); to change .* --start\.belief-head fresh$"
    )
    with pytest.raises(ValueError, match=needed):
        begin(corrects, tmp_path / "start")
    start = dataclasses.replace(settings.start, belief_head="fresh")
    without = dataclasses.replace(config, belief_head=False)
    with pytest.raises(ValueError, match=r"fresh needs network\.belief_head True"):
        begin(dataclasses.replace(settings, network=without, start=start), tmp_path / "start")
    fresh, _ = begin(dataclasses.replace(corrects, start=start), tmp_path / "start")
    for name, part in fresh.params.items():
        same = jax.tree.all(jax.tree.map(np.array_equal, part, params[name]))
        assert same == (name not in ("belief_hidden", "belief_out"))


def test_a_missing_checkpoint_is_named(tmp_path):
    settings = Experiment(name="x", start=StartConfig(checkpoint="nowhere.pt"))
    with pytest.raises(ValueError, match=r"start\.checkpoint: nowhere\.pt: no network here"):
        begin(settings, tmp_path / "start")
    with pytest.raises(ValueError, match=r"start\.checkpoint: hf://user: expected hf://USER/REPO"):
        begin(
            dataclasses.replace(settings, start=StartConfig(checkpoint="hf://user")),
            tmp_path / "start",
        )


@pytest.fixture
def running(monkeypatch, tmp_path):
    with as_the_hub(monkeypatch, tmp_path / "cache") as stub:
        yield stub


def starting_at(place, **changes):
    return Experiment(name="x", start=StartConfig(checkpoint=place), **changes)


def test_from_a_torch_file_on_the_hub(running, tmp_path, reference_path):
    """With the files that belong to it, and without: what is missing is named."""
    names = [f"synthetic-large-belief{end}" for end in (".pt", "-config.json", "-state.json")]
    files = {name: reference_path(name).read_bytes() for name in names}
    running.repos[("model", "someone/weights")] = [{names[0]: files[names[0]]}, files]
    place = f"hf://someone/weights/{names[0]}"
    begun, notes = begin(starting_at(place, network=network.PRESETS["large"]), tmp_path / "start")
    assert (begun.step, begun.total_games) == (3740, 1_700_608)
    assert place in notes[0] and "converted" in notes[-1]
    assert not (tmp_path / "downloads").exists()  # it is in the Hub's own cache
    bare = running.sha("model", "someone/weights", 0)
    with pytest.raises(ValueError, match="a plain state_dict needs its configuration"):
        begin(starting_at(f"{place}@{bare}"), tmp_path / "bare")
    for absent, message in (
        ("weights/absent.pt", "has no file absent.pt"),
        ("nothing/absent.pt", "there is no repository someone/nothing"),
        ("weights", r"has no file model\.safetensors"),
    ):
        with pytest.raises(ValueError, match=rf"^start\.checkpoint: .*{message}"):
            begin(starting_at(f"hf://someone/{absent}"), tmp_path / "start")


@pytest.mark.parametrize("folder", ["", "step-7/"])
def test_from_a_network_folder_on_the_hub(running, tmp_path, monkeypatch, folder):
    config = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16)
    params = network.init(config, jax.random.key(3))
    (tmp_path / "net").mkdir()
    network.save(tmp_path / "net", config, params, {"step": 7, "total_games": 70})
    files = {folder + file.name: file.read_bytes() for file in (tmp_path / "net").iterdir()}
    running.repos[("model", "someone/net")] = [files, {}]
    running.tags["v1"] = 0
    place = f"hf://someone/net/{folder}".rstrip("/") + "@v1"
    begun, _ = begin(starting_at(place, network=config), tmp_path / "start")
    jax.tree.map(np.testing.assert_array_equal, begun.params, params)
    assert (begun.step, begun.total_games) == (7, 70)
    # And wherever else a network's path is taken; with the Hub away, from the cache.
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    running.log.clear()
    jax.tree.map(np.testing.assert_array_equal, network.load(place)[1], params)
    jax.tree.map(np.testing.assert_array_equal, network.load(Path(place))[1], params)
    assert players.make(f"zeb:{place},temperature=0").spec == f"zeb:{place},temperature=0"
    torch_weights.to_torch(place, tmp_path / "back.pt")
    assert json.loads((tmp_path / "back-state.json").read_text())["step"] == 7
    assert running.log == []
    asked = {name for name in files if not name.endswith(("README.md", "provenance.json"))}
    kept = {file.name for file in (tmp_path / "cache").rglob("snapshots/*/**/*.*")}
    assert kept == {name.removeprefix(folder) for name in asked}


def test_the_originals_repository_is_read_as_it_is(running, tmp_path, reference_path):
    """`model.pt`, `config.json` and `training_state.json`, as its programs push them."""
    of = "synthetic-large-belief"
    running.repos[("model", "someone/zeb-42")] = [
        {
            "model.pt": reference_path(f"{of}.pt").read_bytes(),
            "config.json": reference_path(f"{of}-config.json").read_bytes(),
            "training_state.json": reference_path(f"{of}-state.json").read_bytes(),
        }
    ]
    settings = starting_at("hf://someone/zeb-42", network=network.PRESETS["large"])
    begun, _ = begin(settings, tmp_path / "start")
    assert begun.step == 3740
    assert players.make("zeb:hf://someone/zeb-42/model.pt").identity.startswith("zeb:sha256=")
    with pytest.raises(ValueError, match=r"model\.pt: not a zebjax network.*zebjax convert"):
        network.load("hf://someone/zeb-42/model.pt")
