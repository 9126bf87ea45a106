"""The examples in docstrings give the results shown."""

import doctest
import importlib

import pytest

MODULES = (
    "common.arrays",
    "common.bids",
    "contract",
    "common.draws",
    "evaluation.belief_scores",
    "evaluation.intervals",
    "evaluation.power_law",
    "evaluation.size_law",
    "evaluation.steps",
    "game",
    "network.config",
    "network.model",
    "network.places",
    "notation",
    "observe",
    "operations.recap.about",
    "operations.recap.charts",
    "operations.recap.document",
    "operations.recap.markdown",
    "operations.recap.text",
    "operations.rented.ranking",
    "players.inference",
    "search.config",
    pytest.param("search.tree", marks=pytest.mark.slow),  # compiles a search
    "tiles",
    "training.changes",
    "training.eval_aux",
    "training.opponents",
    "training.replay",
    "training.teacher",
    "worlds",
)


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    result = doctest.testmod(importlib.import_module(f"zebjax.{name}"))
    assert result.attempted > 0 and result.failed == 0
