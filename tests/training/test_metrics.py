"""The metrics file: incomplete last rows are skipped, damaged rows are named, no row is lost."""

import pytest

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
