"""Where the golden data lies, and what to say when it does not."""

import os
from pathlib import Path

import numpy as np
import pytest

REFERENCE = Path(os.environ.get("ZEBJAX_REFERENCE", Path(__file__).parents[2] / "shared" / "reference"))


@pytest.fixture(scope="session")
def reference_path():
    """Path of a file of the golden data; skips the test where the data is not there."""

    def find(name: str) -> Path:
        if not (REFERENCE / name).exists():
            pytest.skip(f"golden data {name} not found in {REFERENCE}; set ZEBJAX_REFERENCE to its folder")
        return REFERENCE / name

    return find


@pytest.fixture(scope="session")
def reference(reference_path):
    """Load one of the golden `.npz` files as a dict of arrays; skips where the data is not there."""

    def load(name: str) -> dict[str, np.ndarray]:
        with np.load(reference_path(name)) as arrays:
            return dict(arrays)

    return load
