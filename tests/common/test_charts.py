"""Charts are drawn in every environment."""

import os
import re
import subprocess
import sys

from zebjax.common import charts

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


def test_a_chart_as_svg_keeps_its_texts_and_escapes_them():
    figure = charts.new_figure(4, 3)
    axes = figure.subplots()
    axes.plot([0.123456, 0.5], [0.001, 0.002])
    axes.set_title("<script>&", parse_math=False)
    axes.set_yticks([0.001, 0.00125])
    svg = charts.to_svg(figure)
    assert svg.startswith("<svg ") and svg.endswith("</svg>")
    assert "&lt;script&gt;&amp;" in svg and "<script" not in svg
    assert "0.00125" in svg  # the numbers of texts are not rounded, those of paths are
    assert not re.search(r' d="[^"]*\d\.\d\d', svg)
    assert "http://www.w3.org" in svg and "<style" not in svg and "<metadata" not in svg
    assert svg == charts.to_svg(figure)
