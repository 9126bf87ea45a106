"""The command `zebjax export`: several outputs, the Hub, and what it refuses."""

import dataclasses
import json
import re
import shutil

import jax
import numpy as np
import pytest

from tests.support import tiny
from tests.support.hub_stub import as_the_hub
from zebjax import export, network
from zebjax.common import files
from zebjax.distributed import hub_network
from zebjax.network import storage
from zebjax.players import spec
from zebjax.training.config import to_json

CONFIG = tiny.TINY.network


def save(folder, config, training=None, seed=0):
    rng = np.random.default_rng(seed)
    params = jax.tree.map(
        lambda leaf: rng.normal(size=leaf.shape).astype(np.float32), network.abstract_params(config)
    )
    with files.new_folder(folder) as made:
        network.save(made, config, params, training)
    return str(folder)


@pytest.fixture
def net(tmp_path):
    return save(tmp_path / "net", CONFIG, {"run": "mine", "step": 3, "total_games": 1200})


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    monkeypatch.setattr(hub_network, "RETRY_S", 0)
    with as_the_hub(monkeypatch, tmp_path / "cache") as running:
        yield running


def refused(words, capsys):
    """The sentence with which a call is refused."""
    try:
        status = export.main(words)
    except SystemExit as stop:
        status = stop.code
    said = capsys.readouterr()
    assert status == 2 and said.err.count("\n") == 1 and said.out == ""
    assert said.err.startswith("zebjax export: ")
    return said.err.removeprefix("zebjax export: ").strip()


def test_a_page_and_an_onnx_file_in_one_call(tmp_path, net, capsys):
    onnx = pytest.importorskip("onnx", reason='the extra "onnx" is not installed')
    page, file = tmp_path / "a.html", tmp_path / "a.onnx"
    file.write_text("older")
    assert export.main([net, "--html", str(page), "--onnx", str(file)]) == 0
    said = capsys.readouterr().out.splitlines()
    count = f"a network of {network.n_params(network.abstract_params(CONFIG)):,} parameters"
    assert said == [f"{each}: {each.stat().st_size:,} bytes, {count}" for each in (page, file)]
    about = {entry.key: entry.value for entry in onnx.load(str(file)).metadata_props}
    assert json.loads(about["training"])["step"] == 3 and about["name"] == net
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a.html", "a.onnx", "net"]


def test_a_network_that_one_form_cannot_hold_leaves_nothing(tmp_path, hub, capsys):
    contract = network.ZebConfig(embed_dim=16, n_heads=1, n_layers=1, ff_dim=16, tokenizer="v2")
    path = save(tmp_path / "v2", contract)
    words = [path, "--html", str(tmp_path / "a.html"), "--hub", "me/zeb"]
    assert refused(words, capsys) == "tokenizer: expected v1, got 'v2'"
    assert [each.name for each in tmp_path.iterdir()] == ["v2"] and hub.repos == {}


def test_what_is_published_plays_from_the_hub(net, hub, capsys):
    assert export.main([net, "--hub", "me/zeb"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("hf://me/zeb: README.md, config.json, model.safetensors, training.json;")
    assert said.endswith("next: zebjax arena zeb:hf://me/zeb vs heuristic\n")
    assert hub.commits("model", "me/zeb") == 1 and hub.visibility == {"me/zeb": "private"}
    config, params = network.load("hf://me/zeb")
    ours, expected = network.load(net)
    assert config == ours
    jax.tree.map(np.testing.assert_array_equal, params, expected)
    assert storage.history(network.find("hf://me/zeb"))["total_games"] == 1200
    assert spec.make("zeb:hf://me/zeb").spec == "zeb:hf://me/zeb"
    card = hub.files("model", "me/zeb")["README.md"].decode()
    front, text = card.removeprefix("---\n").split("\n---\n", 1)
    assert "license: mit" in front and text.startswith("# mine\n")
    assert 'network.load("hf://me/zeb")' in text and "PATH" not in text
    for line in (
        '    pip install "zebjax[hub]"',
        "    zebjax arena zeb:hf://me/zeb vs heuristic --deals 500",
        "| total_games | 1,200 |",
        "Not rated. To rate it: `zebjax arena --ladder zeb:hf://me/zeb --json`.",
    ):
        assert f"\n{line}\n" in text


def test_a_network_with_values_of_moves_names_the_player_that_uses_them(tmp_path, hub, capsys):
    path = save(tmp_path / "values", dataclasses.replace(CONFIG, move_values=True))
    assert export.main([path, "--hub", "me/zeb"]) == 0
    assert capsys.readouterr().out.endswith(
        "next: zebjax arena zeb:hf://me/zeb vs heuristic\n"
        "      zebjax arena zeb:hf://me/zeb,choose=value vs heuristic\n"
    )
    card = hub.files("model", "me/zeb")["README.md"].decode()
    assert "\n    zebjax arena zeb:hf://me/zeb,choose=value vs heuristic --deals 500\n" in card


def test_a_repository_that_is_there_gets_a_commit_and_keeps_its_other_files(net, hub, capsys):
    hub.repos[("model", "me/zeb")] = [{"notes.md": b"by hand"}]
    assert export.main([net, "--hub", "hf://me/zeb", "--public"]) == 0
    assert hub.visibility == {}
    assert {"notes.md", "model.safetensors"} < hub.files("model", "me/zeb").keys()
    assert export.main([net, "--hub", "me/zeb"]) == 0
    assert hub.commits("model", "me/zeb") == 1  # nothing has changed
    assert export.main([net, "--hub", "me/new", "--public"]) == 0
    assert hub.visibility == {"me/new": "public"}


def test_a_step_of_a_run_says_how_it_was_made(tmp_path, net):
    run = tmp_path / "runs" / "mine"
    step = run / "checkpoints" / "step_000000003"
    shutil.copytree(net, step)
    settings = json.loads(to_json(tiny.TINY)) | {"start": {"checkpoint": "/home/me/first"}}
    files.write_json(run / "experiment.json", settings)
    start = {"device": "cpu", "commit": "abc", "versions": {"zebjax": "0.2"}, "command": ["/x/y"]}
    files.write_json(run / "environment.json", [{"device": "other"}, start])
    facts = hub_network.run_facts(step)
    assert facts["zebjax"] == "0.2" and facts["device"] == "cpu" and facts["commit"] == "abc"
    assert facts["selfplay.search.policy"] == "gumbel" and facts["learner.batch"] == 8
    assert facts["start.checkpoint"] == "first" and "/" not in str(facts)
    source = hub_network.Source(str(run), step, *network.load(step))
    card = hub_network.contents(source, "hf://me/zeb")["README.md"].decode()
    assert "| learner.batch | 8 |" in card and "| total_games | 1,200 |" in card
    assert hub_network.run_facts(tmp_path / "net") == {}


def test_the_bundled_network_brings_its_ladder():
    source = hub_network.Source("bundled", network.find("bundled"), *network.load("bundled"))
    made = hub_network.contents(source, "hf://me/zeb")
    card = made["README.md"].decode()
    assert made["model.safetensors"] == (network.BUNDLED / "model.safetensors").read_bytes()
    assert "`zeb:bundled` has Elo 1,541 [1,532, 1,550] over 26,000 games, where `eq:n=100`" in card
    assert "| eq:n=10 | 47.1 | 46.0 to 48.3 | 2,000 |" in card
    assert "- **Training**: from random weights" in card and "small.safetensors" not in card


@pytest.mark.parametrize(
    ("standings", "said"),
    [
        (
            '{"ratings": [], "matches": [], "anchor": null}',
            "standings with zeb:.*, it is not rated",
        ),
        ('{"ratings": 3}', "expected what `zebjax arena --ladder --json` prints"),
        ("[1]", "expected what `zebjax arena --ladder --json` prints"),
        ("{", "not a JSON file"),
    ],
)
def test_standings_that_do_not_fit_are_refused(standings, said, tmp_path, net, hub, capsys):
    file = tmp_path / "ladder.json"
    file.write_text(standings)
    words = [net, "--hub", "me/zeb", "--ladder", str(file)]
    assert re.match(rf"{re.escape(str(file))}: .*{said}", refused(words, capsys))
    assert hub.log == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ([], "expected --html, --onnx or --hub; see zebjax export --help"),
        (["--html", "a.txt"], "--html: expected a name that ends in .html, got 'a.txt'"),
        (["--onnx", "a.txt"], "--onnx: expected a name that ends in .onnx, got 'a.txt'"),
        (["--hub", "zeb"], "--hub: expected USER/REPO, got 'zeb'"),
        (["--hub", "me/zeb@v1"], "--hub: expected USER/REPO, got 'me/zeb@v1'"),
        (["--hub", "me/z--b"], "hf://me/z--b: the Hub allows no repository of this name"),
        (["--html", "a.html", "--public"], "--public: expected --hub with it"),
        (["--html", "a.html", "--ladder", __file__], "--ladder: expected --hub with it"),
    ],
)
def test_options_that_are_refused(options, said, net, capsys, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    assert refused([net, *options], capsys) == said


def test_a_hub_that_takes_nothing_is_explained(net, hub, capsys, monkeypatch, tmp_path):
    from huggingface_hub import constants

    words = [net, "--hub", "me/zeb"]
    hub.forbidden.add("me/zeb")
    assert "no access (status 403): the token has no right to do this" in refused(words, capsys)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    assert "hf://me/zeb: the Hub cannot be reached" in refused(words, capsys)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert refused(words, capsys) == (
        "hf://me/zeb: HF_HUB_OFFLINE is set; unset it to write to the Hub"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.delenv("HF_TOKEN")
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "none"))
    said = refused(words, capsys)
    assert said.startswith("hf://me/zeb: no token found; looked for it in HF_TOKEN, then in ")
