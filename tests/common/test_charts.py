"""Charts are drawn in every environment."""

import os
import subprocess
import sys

DRAWS = """
import os, sys
from pathlib import Path
from zebjax.common import charts
figure = charts.new_figure(4, 3)
figure.subplots().plot([1, 2, 4])
charts.save_figure(figure, Path(sys.argv[1]))
assert os.environ["MPLBACKEND"] == "module://matplotlib_inline.backend_inline"
"""


def test_a_notebooks_backend_that_is_not_installed_here_does_no_harm(tmp_path):
    """Every notebook exports this variable to the processes that it starts."""
    subprocess.run(
        [sys.executable, "-c", DRAWS, str(tmp_path / "chart.png")],
        env=os.environ | {"MPLBACKEND": "module://matplotlib_inline.backend_inline"},
        check=True,
        timeout=120,
    )
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
