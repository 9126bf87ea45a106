"""Roll a run back: make an earlier step its newest.

The run then resumes from the weights of that step, with a fresh optimiser and its present games.
When its learner starts again, it publishes those weights as a new generation. The metrics file is
copied, and the rows of later steps are removed.
"""

from zebjax import network
from zebjax.common import checkpoint, console, files
from zebjax.common.console import Reporter
from zebjax.training import by_device, changes, learner, metrics, resize, saved_state
from zebjax.training.config import Experiment

_STEPS_LISTED = 10


def roll_back(settings: Experiment, step: int, report: Reporter) -> None:
    """Save a state of the run in `settings.folder` that resumes from `step`.

    If the process is killed, the same call completes the rollback.

    Args:
        settings: the experiment of the run.
        step: a step whose weights are in `checkpoints/`.
        report: receives a note about the result.

    Raises:
        ValueError: if there is no such run or step.
    """
    folder, root = settings.folder, settings.folder / "checkpoints"
    if not checkpoint.steps(folder / "state"):
        raise ValueError(f"{folder}: there is no run here to roll back")
    steps = checkpoint.steps(root)
    if not steps:
        raise ValueError(f"{folder}: there are no weights in checkpoints/ to roll back to")
    if step not in steps:
        known = ", ".join(map(str, steps[-_STEPS_LISTED:]))
        raise ValueError(f"{folder}: no weights of step {step}; there are those of {known}")
    settings = by_device.resolve(settings, "learner", report.note)
    # Weights that are not finite are a reason to roll back, so they must not stop it.
    session = saved_state.open_session(settings, report, lambda: False, needs_finite=False)
    progress, state = session.progress, session.state
    is_at_step = step == progress.cycle and progress.phase == "play"
    if is_at_step and saved_state.is_finite(state.learner):
        _forget_after(settings, step)  # completes a rollback that was killed
        report.note(f"{folder}: at step {step} already")
        return
    if step > progress.cycle:
        raise ValueError(
            f"{folder}: the run is at step {progress.cycle}, and step {step} is after it"
        )
    resize.fit(session)
    state = session.state
    config, params = network.load(checkpoint.step_folder(root, step))
    if not config.same_weights(settings.network):
        raise ValueError(f"{folder}: step {step} has weights of another network")
    history = files.read_json(checkpoint.step_folder(root, step) / "training.json")
    fresh = learner.init(session.settings.learner, settings.network, params, state.learner.key)
    # Keep the number of updates, so that the run does not repeat random draws of the later steps.
    session.state = state._replace(learner=fresh._replace(update=state.learner.update))
    rows = metrics.read(folder / metrics.FILE)
    aside = folder / f"metrics-before-rollback-from-{progress.cycle}.jsonl"
    if rows:
        files.write_text(aside, (folder / metrics.FILE).read_text())
    progress.first_cycle = min(progress.first_cycle, step)
    progress.cycle = step
    progress.row = None
    progress.changes = changes.moved_to(step, progress.changes)
    progress.begin_cycle()
    saved_state.save(session)
    changes.write(folder, progress.changes)
    _forget_after(settings, step)
    games = history.get("total_games")
    report.note(
        f"{folder}: rolled back to step {step}"
        + (f" ({console.counted(games, 'game')})" if isinstance(games, int) else "")
        + (f"; rows of metrics kept in {aside.name}: {len(rows)}" if rows else "")
        + "; start the learner to resume from there"
    )


def _forget_after(settings: Experiment, step: int) -> None:
    """Delete the weights and the metrics of later steps."""
    root = settings.folder / "checkpoints"
    checkpoint.remove_steps(root, [later for later in checkpoint.steps(root) if later > step])
    metrics.truncate(settings.folder / metrics.FILE, step)
