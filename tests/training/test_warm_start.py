"""Where a run's first weights come from."""

import dataclasses
import functools
import http.server
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import jax
import numpy as np
import pytest

from zebjax import experiment, network
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
    with pytest.raises(ValueError, match="but the experiment's network is"):
        begin(other, tmp_path / "start")
    fresh = dataclasses.replace(
        settings, start=dataclasses.replace(settings.start, belief_head="fresh")
    )
    with pytest.raises(ValueError, match=r"start\.belief_head: fresh is for torch files"):
        begin(fresh, tmp_path / "start")


def test_a_missing_checkpoint_is_named(tmp_path):
    settings = Experiment(name="x", start=StartConfig(checkpoint="nowhere.pt"))
    with pytest.raises(ValueError, match=r"start\.checkpoint: nowhere\.pt is not there"):
        begin(settings, tmp_path / "start")
    with pytest.raises(ValueError, match="expected hf://USER/REPO/FILE"):
        begin(
            dataclasses.replace(settings, start=StartConfig(checkpoint="hf://user")),
            tmp_path / "start",
        )


class HubStub(http.server.BaseHTTPRequestHandler):
    """The few calls of the Hub that a download makes, over a folder."""

    def __init__(self, folder, *args):
        self.folder = folder
        super().__init__(*args)

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(with_body=False)

    def do_GET(self):
        self.answer(with_body=True)

    def answer(self, with_body):
        prefix = "/someone/weights/resolve/main/"
        file = self.folder / self.path.removeprefix(prefix)
        if not self.path.startswith(prefix) or not file.is_file():
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("X-Repo-Commit", "c" * 40)
            self.end_headers()
            return
        body = file.read_bytes()
        self.send_response(200)
        self.send_header("ETag", '"etag"')
        self.send_header("X-Repo-Commit", "c" * 40)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if with_body:
            self.wfile.write(body)


def test_from_the_hub_over_loopback(tmp_path, reference_path):
    """The real huggingface_hub client against a stub; in its own process, since it reads its
    endpoint at import."""
    hub = tmp_path / "hub"
    hub.mkdir()
    for name in (
        "synthetic-large-belief.pt",
        "synthetic-large-belief-config.json",
        "synthetic-large-belief-state.json",
    ):
        shutil.copy(reference_path(name), hub / name)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(HubStub, hub))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    script = (
        "import jax, pathlib, dataclasses; from zebjax import network; from zebjax.training "
        "import warm_start\n"
        "from zebjax.experiment import *\n"
        "settings = Experiment(name='x', "
        "start=StartConfig(checkpoint='hf://someone/weights/{file}'))\n"
        "begun = warm_start.begin(settings, pathlib.Path({folder!r}) / 'start', "
        "jax.random.key(0), print)\n"
        "print(begun.step, begun.total_games)"
    )
    environment = {
        **os.environ,
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(tmp_path / "home"),
    }

    def fetch(file):
        code = script.format(file=file, folder=str(tmp_path / "run"))
        return subprocess.run(
            [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True
        )

    try:
        good = fetch("synthetic-large-belief.pt")
        assert good.returncode == 0, good.stderr
        assert good.stdout.splitlines()[-1] == "3740 1700608"
        absent = fetch("absent.pt")
        assert "hf://someone/weights/absent.pt cannot be downloaded" in absent.stderr
    finally:
        server.shutdown()
