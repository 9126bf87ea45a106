"""The metrics file: what a kill leaves is passed over, what is damaged is named, nothing is
lost."""

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


def test_wandb_without_an_account_stays_here_and_goes_on(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where an account would be
    first = metrics.open_wandb(tmp_path, "zeb-mcts", "tiny", None, print)
    first.log({"cycle": 0, "train/policy_loss": 1.0})
    first.finish()
    again = metrics.open_wandb(tmp_path, "zeb-mcts", "tiny", first.id, print)
    again.finish()
    assert again.id == first.id
    assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{first.id}"))) >= 1


def test_wandb_that_cannot_be_reached_keeps_no_learner_from_starting(tmp_path, monkeypatch):
    import wandb

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    begin, notes = wandb.init, []

    def init(mode, **arguments):
        if mode == "online":
            raise wandb.errors.CommError("no route to host")
        return begin(mode=mode, **arguments)

    monkeypatch.setattr(wandb, "init", init)
    run = metrics.open_wandb(tmp_path, "zeb-mcts", "tiny", None, notes.append)
    run.finish()
    assert "no route to host; keeping this run offline" in notes[0]
    assert list((tmp_path / "wandb").glob(f"offline-run-*-{run.id}"))
