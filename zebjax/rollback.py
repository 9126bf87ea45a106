"""The command `zebjax rollback`: make an earlier step of a run the newest again.

See `training.rollback`.
"""

import argparse
import sys
from collections.abc import Sequence

from zebjax import experiment
from zebjax.common import cli, console, locks


def parser() -> experiment.Parser:
    """The command's parser."""
    made = experiment.Parser(
        "rollback",
        "Make an earlier step of a run the newest again: its weights, with a new optimiser state.\n"
        "Stop the learner first and start it again afterwards; it publishes the step as a new\n"
        "generation, which the workers take. The steps are in runs/NAME/checkpoints.",
        "quickstart 8",
        "lb_v_eq_3740 3750",
        usage="EXPERIMENT STEP [--FIELD VALUE ...]",
    )
    made.add_argument("step", metavar="STEP", type=cli.integer(0, 10**9), help="number of the step")
    return made.with_fields()


def _run(arguments: argparse.Namespace) -> int:
    from zebjax.training import rollback

    settings = experiment.Parser.experiment(arguments)
    if not settings.folder.is_dir():
        raise ValueError(f"{settings.folder}: there is no run here to roll back")
    with locks.locked(settings.folder, "stop the learner first"):
        rollback.roll_back(settings, arguments.step, console.PlainReporter())
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command, see `--help`, and return its exit status; 2 after one sentence on stderr
    for bad input.
    """
    return cli.run("rollback", _run, parser().parse(argv))


if __name__ == "__main__":
    sys.exit(main())
