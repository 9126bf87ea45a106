"""W&B runs: offline without an account or a connection, and resumed by their id."""

from zebjax.training import wandb_run
from zebjax.training.config import TrackingConfig


def test_without_an_account_a_run_is_kept_offline_and_resumes(tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))  # where an account would be
    first = wandb_run.open_run(tmp_path, TrackingConfig(), "tiny", wandb_run.new_id(), print)
    first.log({"cycle": 0, "train/policy_loss": 1.0})
    first.finish()
    again = wandb_run.open_run(tmp_path, TrackingConfig(), "tiny", first.id, print)
    again.finish()
    assert again.id == first.id
    assert len(list((tmp_path / "wandb").glob(f"offline-run-*-{first.id}"))) >= 1


def test_an_unreachable_server_does_not_stop_a_run(tmp_path, monkeypatch):
    import wandb

    monkeypatch.delenv("WANDB_MODE", raising=False)
    monkeypatch.setenv("WANDB_API_KEY", "x" * 40)
    begin, notes = wandb.init, []

    def init(mode, **arguments):
        if mode == "online":
            raise wandb.errors.CommError("no route to host")
        return begin(mode=mode, **arguments)

    monkeypatch.setattr(wandb, "init", init)
    run = wandb_run.open_run(tmp_path, TrackingConfig(), "tiny", wandb_run.new_id(), notes.append)
    run.finish()
    assert "no route to host; keeping this run offline" in notes[0]
    assert list((tmp_path / "wandb").glob(f"offline-run-*-{run.id}"))
