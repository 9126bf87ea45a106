"""The command `zebjax rollback`: make an earlier step of a run the newest again.

The run resumes from the weights of that step, with a fresh optimiser and the games it has. The
learner publishes them, when it starts again, as a new generation; the metrics of the steps after it
are put aside.
"""

import argparse
import sys
from collections.abc import Sequence

from zebjax import experiment, network
from zebjax.common import cli, console
from zebjax.training.config import Experiment

_STEPS_NAMED = 10


def roll_back(settings: Experiment, step: int, report: console.Reporter) -> None:
    """Save a state of the run in `settings.folder` that goes on from `step`.

    Raises:
        ValueError: if there is no such run or step.
    """
    from zebjax.common import checkpoint
    from zebjax.training import learner, metrics
    from zebjax.training import run as training

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


def parser() -> experiment.Parser:
    """The command's parser."""
    made = experiment.Parser(
        "rollback",
        "Make an earlier step of a run the newest again: its weights, with a fresh optimiser.\n"
        "Stop the learner first and start it again afterwards; it publishes the step as a new\n"
        "generation, which the workers take. The steps are in runs/NAME/checkpoints.",
        "quickstart 8",
        "experiments/lb_v_eq_3740.py 3750",
        usage="EXPERIMENT STEP [--FIELD VALUE ...]",
    )
    made.add_argument("step", metavar="STEP", type=cli.integer(0, 10**9), help="number of the step")
    return made.with_fields()


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.common import checkpoint

    settings = experiment.Parser.experiment(arguments)
    if not settings.folder.is_dir():
        raise ValueError(f"{settings.folder}: no run here to roll back")
    with checkpoint.locked(settings.folder, "stop the learner first"):
        roll_back(settings, arguments.step, console.PlainReporter())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("rollback", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
