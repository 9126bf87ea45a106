"""Make an earlier step of a run the newest again: `python -m zebjax.rollback EXPERIMENT.py STEP`.

The run goes on from that step's weights, with a fresh optimiser and the games it has. The learner
publishes them, when it starts again, as a new generation; the metrics of the steps after it are put
aside.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from zebjax import experiment, network
from zebjax.common import checkpoint, compilation_cache, console
from zebjax.training import learner, metrics
from zebjax.training import run as training
from zebjax.training.config import Experiment

_USAGE = """usage: python -m zebjax.rollback EXPERIMENT.py STEP [--overrides]

Go on from an earlier step of a run: its weights, with a fresh optimiser. Stop the learner first and start it again
after; it publishes the step as a new generation, which the workers take. The steps there are: runs/NAME/checkpoints.

example:
  python -m zebjax.rollback experiments/lb_v_eq_3740.py 3750
"""


_STEPS_NAMED = 10


def roll_back(settings: Experiment, step: int, report: console.Reporter) -> None:
    """Save a state of the run in `settings.folder` that goes on from `step`.

    Raises:
        ValueError: if there is no such run or step.
    """
    root = settings.folder / "checkpoints"
    if not checkpoint.steps(settings.folder / "state"):
        raise ValueError(f"{settings.folder}: no run here to roll back")
    if step not in checkpoint.steps(root):
        *others, newest = checkpoint.steps(root)
        known = ", ".join(map(str, others[-_STEPS_NAMED:])) + f" and {newest}"
        raise ValueError(
            f"{settings.folder}: no weights of step {step}; there are those of {known}"
        )
    run = training.Run(settings, report, lambda: False)
    if (
        step == run.progress.cycle and run.progress.phase == "play"
    ):  # killed before it had done all of it, perhaps
        later = [other for other in checkpoint.steps(root) if other > step]
        checkpoint.remove_steps(root, later)
        report.note(f"{settings.folder}: at step {step} already")
        return
    if step >= run.progress.cycle:
        raise ValueError(
            f"{settings.folder}: the run is at step {run.progress.cycle}, which is not after {step}"
        )
    config, params = network.load(checkpoint.step_folder(root, step))
    if not config.same_weights(settings.network):
        raise ValueError(f"{settings.folder}: step {step} is of another network")
    history = checkpoint.read_json(checkpoint.step_folder(root, step) / "training.json")
    fresh = learner.init(settings.learner, settings.network, params, run.state.learner.key)
    # Updates count on, so that no random draw of the steps that are left behind is drawn again.
    run.state = run.state._replace(learner=fresh._replace(update=run.state.learner.update))
    run.progress.first_cycle = min(run.progress.first_cycle, step)
    rows = metrics.read(run.metrics_file)
    aside = run.folder / f"metrics-before-rollback-from-{run.progress.cycle}.jsonl"
    checkpoint.write_text(aside, run.metrics_file.read_text())
    run.progress.cycle = step
    run.progress.phase = "play"
    run.progress.games_in_cycle = run.progress.updates_in_cycle = 0
    run.save()
    checkpoint.remove_steps(root, [later for later in checkpoint.steps(root) if later > step])
    metrics.truncate(run.metrics_file, step)
    games = history.get("total_games")
    report.note(
        f"{settings.folder}: rolled back to step {step}"
        + (f" ({games:,} games)" if isinstance(games, int) else "")
        + f"; {len(rows)} rows of metrics are kept in {aside.name}; start the learner to go on"
    )


def main(argv: Sequence[str] | None = None) -> int:
    """The command; see `--help`."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0
    if len(arguments) < 2 or arguments[0].startswith("-"):
        print(
            "rollback: expected an experiment file and the number of a step; see --help",
            file=sys.stderr,
        )
        return 2
    compilation_cache.keep()
    try:
        if not re.fullmatch(r"[0-9]{1,9}", arguments[1]):
            raise ValueError(
                f"expected the number of a step after the experiment, got {arguments[1][:40]!r}"
            )
        settings = experiment.load(Path(arguments[0]), arguments[2:])
        if not settings.folder.is_dir():
            raise ValueError(f"{settings.folder}: no run here to roll back")
        with checkpoint.locked(settings.folder, "stop the learner first"):
            roll_back(settings, int(arguments[1]), console.PlainReporter())
    except (ValueError, OSError) as error:
        print(f"rollback: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
