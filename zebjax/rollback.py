"""Make an earlier step of a run the newest again: `python -m zebjax.rollback EXPERIMENT.py STEP`.

See `training.rollback`.
"""

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from zebjax import experiment
from zebjax.common import checkpoint, compilation_cache, console
from zebjax.training import rollback

_USAGE = """usage: python -m zebjax.rollback EXPERIMENT.py STEP [--overrides]

Resume from an earlier step of a run: its weights, with a fresh optimiser. Stop the learner first,
and start it again after; it publishes the step as a new generation, which the workers take.
The steps there are: runs/NAME/checkpoints.

example:
  python -m zebjax.rollback experiments/lb_v_eq_3740.py 3750
"""


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
            rollback.roll_back(settings, int(arguments[1]), console.PlainReporter())
    except (ValueError, OSError) as error:
        print(f"rollback: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
