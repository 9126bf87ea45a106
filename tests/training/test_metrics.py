"""The metrics file: what a kill leaves is passed over, what is damaged is named, nothing is
lost."""

import pytest

from tests.support.faulty import full_disk
from zebjax.training import metrics

ROW = '{"cycle": 3, "stats/total_games": 40, "train/lr": 0.1}\n'


def test_an_unfinished_last_line_is_skipped_and_dropped(tmp_path):
    file = tmp_path / "metrics.jsonl"
    assert metrics.read(file) == []
    file.write_bytes(ROW.encode() + b'{"cycle": 4, "sta\xff')
    assert [row["cycle"] for row in metrics.read(file)] == [3]
    metrics.truncate(file, 9)
    assert file.read_text() == ROW


@pytest.mark.parametrize(
    "line",
    [
        b"\xff\xfe\n",
        b"{\n",
        b"7\n",
        b"[" * 100_000 + b"\n",
        b'{"stats/total_games": 40}\n',
        b'{"cycle": "3", "stats/total_games": 40}\n',
        b'{"cycle": 3}\n',
        b'{"cycle": 3, "stats/total_games": 40, "train/lr": "fast"}\n',
        b'{"cycle": 3, "stats/total_games": 40, "train/lr": null}\n',
    ],
)
def test_a_damaged_row_is_named_and_the_file_left_alone(tmp_path, line):
    file = tmp_path / "metrics.jsonl"
    file.write_bytes(ROW.encode() + line + ROW.encode())
    for use in (metrics.read, lambda path: metrics.truncate(path, 9)):
        with pytest.raises(
            ValueError, match=r"metrics\.jsonl, row 2: expected a JSON object of numbers with"
        ):
            use(file)
    assert file.read_bytes() == ROW.encode() + line + ROW.encode()


def test_curves_of_odd_rows_are_drawn(tmp_path):
    rows = [{"cycle": 1, "stats/total_games": 9, "eval/vs_random_win_rate": 0.5}]
    metrics.plot_curves(rows, tmp_path / "curves.png", "odd")
    assert (tmp_path / "curves.png").stat().st_size > 100


def test_values_of_moves_are_drawn_if_the_run_has_them(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(metrics.charts, "save_figure", lambda figure, path: figures.append(figure))
    rows = [
        {"cycle": cycle, "stats/total_games": cycle}
        | {f"train/{name}_loss": 0.5 for name in ("policy", "value")}
        for cycle in (1, 2)
    ]
    of_moves = {"train/move_value_error": 0.7, "train/move_value_spread_error": 0.2}
    with_them = [row | of_moves | {"held_out/move_value_error": 0.8} for row in rows]
    for each in (rows, with_them):
        metrics.plot_curves(each, tmp_path / "curves.png", "run")
    without, labels = (
        [text.get_text() for text in figure.axes[1].get_legend().get_texts()] for figure in figures
    )
    assert without == ["policy", "value"]
    assert labels == [*without, "moves", "move differences", "held out"]


def test_a_full_disk_leaves_no_half_row(tmp_path):
    path = tmp_path / "metrics.jsonl"
    metrics.append(path, {"cycle": 0, "stats/total_games": 0})
    before = path.read_bytes()
    row = {"cycle": 1, "stats/total_games": 1} | {f"train/{i}": 0.5 for i in range(100)}
    with full_disk(len(before) + 50), pytest.raises(OSError):
        metrics.append(path, row)
    assert path.read_bytes() == before
    metrics.append(path, row)
    assert [row["cycle"] for row in metrics.read(path)] == [0, 1]
