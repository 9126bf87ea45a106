"""Runs the exported page's scripts in node."""

import json
import shutil
import subprocess
from pathlib import Path

import jax
import pytest

from zebjax import position_arrays
from zebjax.table import export
from zebjax.table.web import app

STATIC = Path(app.__file__).parent / "static"
_NO_BROWSER = [each for each in export.SCRIPTS if each not in ("domino", "panels", "page")]


def run(script, asked):
    """What a script of `tests/table` prints, as JSON; it reads `asked` and the page's scripts."""
    if shutil.which("node") is None:
        pytest.skip("the page's scripts are not run: node is not installed")
    scripts = [str(STATIC / f"{name}.js") for name in _NO_BROWSER if name != "exported"]
    done = subprocess.run(
        ["node", str(Path(__file__).parents[1] / "table" / script)],
        input=json.dumps({"scripts": scripts, **asked}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def position_of(states, row):
    """One state of a batch as a position."""
    return position_arrays.of_state(jax.tree.map(lambda leaf: leaf[row], states))


def game_of(position):
    """A position as the page's game."""
    return {
        "hands": position.hands,
        "declaration": position.declaration,
        "leader": position.leader,
        "plays": position.plays,
    }


def games_of(states):
    """A batch of states as the page's games."""
    return [game_of(position_of(states, row)) for row in range(len(states.ply))]
