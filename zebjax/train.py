"""The main command: `python -m zebjax.train EXPERIMENT.py [--overrides]`."""

import signal
import sys
from contextlib import nullcontext
from pathlib import Path
from types import FrameType

_USAGE = """usage: python -m zebjax.train EXPERIMENT.py [--overrides]

Train a network by self-play as an experiment file says: play, learn, judge against random, save.
Starting the same command again continues the run. Ctrl-C finishes the compiled call under way, saves, and exits.

example:
  python -m zebjax.train experiments/quickstart.py
  python -m zebjax.train experiments/quickstart.py --name mine --learner.lr 5e-3
  python -m zebjax.train experiments/quickstart.py --help     every field that can be overridden
"""


class _Stop:
    """Set by the first Ctrl-C or SIGTERM; a second one ends the process at once."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            signal.signal(number, signal.SIG_DFL)
            signal.raise_signal(number)
        self.asked = True
        print("\nstopping: finishing the call under way, then saving (again: stop at once)", file=sys.stderr)


def main(arguments: list[str]) -> int:
    """Run the command; the exit status."""
    if not arguments or arguments[0] in ("-h", "--help"):
        print(_USAGE, end="")
        return 0 if arguments else 2
    if arguments[0].startswith("-"):
        print(f"error: expected an experiment file first, got {arguments[0]}\n\n{_USAGE}", end="", file=sys.stderr)
        return 2
    # Imported only now, so that help and a missing argument answer at once.
    from zebjax import checkpoint, compilation, console, experiment, training

    compilation.keep()
    try:
        settings = experiment.load(Path(arguments[0]), arguments[1:])
        stop = _Stop()
        shown = console.LiveReporter(settings.name) if console.is_terminal() else nullcontext(console.PlainReporter())
        with checkpoint.locked(settings.folder, "stop it or choose another --name"), shown as report:
            training.Run(settings, report, lambda: stop.asked).go()
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
