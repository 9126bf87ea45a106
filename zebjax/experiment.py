"""All names that an experiment file imports: `Experiment`, every config, the presets. Also finds,
reads and overrides experiments.

An experiment is one frozen dataclass instance in one short file, with typed overrides from the
command line. Importing this module does not import jax.
"""

import argparse
import contextlib
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from zebjax.common import cli, files, overrides, parsing
from zebjax.network.config import ZebConfig
from zebjax.search.config import Exploration, SearchConfig
from zebjax.training.config import (
    PRESETS,
    EvaluationConfig,
    Experiment,
    ReplayConfig,
    SaveConfig,
    SelfPlayConfig,
    StartConfig,
    TeacherConfig,
    TrackingConfig,
)
from zebjax.training.learner_config import LearnerConfig
from zebjax.training.workers_config import EvalAuxConfig, StoreConfig

__all__ = [
    "PRESETS",
    "EvalAuxConfig",
    "EvaluationConfig",
    "Experiment",
    "Exploration",
    "LearnerConfig",
    "ReplayConfig",
    "SaveConfig",
    "SearchConfig",
    "SelfPlayConfig",
    "StartConfig",
    "StoreConfig",
    "TeacherConfig",
    "TrackingConfig",
    "ZebConfig",
    "load",
]


_HERE = Path(__file__).parent
_INCLUDED = _HERE / "experiments"
"""The folder of the experiments that come with zebjax; in a wheel it is in the package."""
if not _INCLUDED.is_dir():  # a checkout
    _INCLUDED = _HERE.parent / "experiments"


def included() -> list[str]:
    """Names of the experiments that come with zebjax, for `zebjax train NAME`."""
    return sorted(path.stem for path in _INCLUDED.glob("*.py"))


def find(name: str | Path) -> Path:
    """Find the file of an experiment.

    Args:
        name: a file, or the name of an experiment that comes with zebjax (`quickstart`).

    Raises:
        ValueError: if there is no such experiment.
    """
    path = Path(name)
    if path.suffix == ".py":  # the file will be executed, so no other kind is accepted
        if path.is_file():
            return path
    elif len(path.parts) == 1 and not path.suffix and not path.is_file():
        word = str(name).replace("-", "_")
        if word in included():
            return _INCLUDED / f"{word}.py"
        _refuse_run(path)
        meant = parsing.similar(word, included())
        raise ValueError(
            f"{name}: expected an experiment file that ends in .py, or one of "
            f"{', '.join(included())}{f'; did you mean {meant!r}?' if meant else ''}"
        )
    _refuse_run(path)
    missing = "there is no such file" if path.is_absolute() else f"no file {path.absolute()}"
    problem = "" if path.exists() else f"{missing}; "
    word = path.stem.replace("-", "_")
    names = repr(word) if word in included() else f"one of {', '.join(included())}"
    raise ValueError(
        f"{name}: {problem}expected an experiment file that ends in .py, or the name of an "
        f"experiment that comes with zebjax, {names}"
    )


def _refuse_run(path: Path) -> None:
    """Raise ValueError if the path, or the name, is that of a run instead of an experiment."""
    for folder in (path, Path(Experiment.runs) / path):
        if (folder / "experiment.json").is_file():
            raise ValueError(
                f"{path}: {folder} is a run; expected its experiment, and the run's name with "
                f"--name, as in `{_experiment_of(folder)} --name {folder.name}`"
            )


def _experiment_of(run: Path) -> str:
    """The experiment that a run was last started with, as it was typed; EXPERIMENT if unknown."""
    try:
        starts = files.read_json(run / "environment.json")
        words = [str(word) for word in starts[-1]["command"][1:]]
    except (ValueError, LookupError, TypeError):
        return "EXPERIMENT"
    names = [word for word in words if word.endswith(".py") or word.replace("-", "_") in included()]
    return names[0] if names else "EXPERIMENT"


def read(name: str | Path) -> Experiment:
    """Read the experiment that a file defines, see `find`.

    Raises:
        ValueError: if the file does not exist or defines no `experiment`.
    """
    path = find(name)
    try:
        experiment = runpy.run_path(str(path)).get("experiment")
    # The file is the user's code, so any error is reported as one of that file.
    except (Exception, SystemExit) as error:
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from None
    if not isinstance(experiment, Experiment):
        raise ValueError(f"{path}: expected it to define `experiment = Experiment(...)`")
    return experiment


def load(path: str | Path, changes: Sequence[str] = ()) -> Experiment:
    """Read the experiment in a file and override some fields.

    Args:
        path: a file or a name, see `find`.
        changes: options as on the command line, for example `["--learner.lr", "3e-4"]`.

    Returns:
        The resolved experiment.

    Raises:
        ValueError: if the file does not exist or defines no `experiment`, or a value is not
            allowed.
    """
    parser = _RaisingParser("experiment", "")
    overrides.add_options(parser, Experiment)
    return overrides.apply(read(path), parser.parse(changes))


_OTHER_NAMES = {
    "learning-rate": "learner.lr",
    "batch-size": "learner.batch",
    "minibatch-size": "learner.batch",
    "epochs": "cycles",
    "iterations": "cycles",
    "steps": "cycles",
    "simulations": "selfplay.search.sims",
    "num-simulations": "selfplay.search.sims",
    "n-sims": "selfplay.search.sims",
    "num-envs": "selfplay.lanes",
    "n-envs": "selfplay.lanes",
    "games": "selfplay.games-per-cycle",
    "buffer-size": "replay.capacity-examples",
    "replay-size": "replay.capacity-examples",
    "capacity": "replay.capacity-examples",
    "wd": "learner.weight-decay",
    "grad-clip": "learner.clip-norm",
    "max-grad-norm": "learner.clip-norm",
    "warmup-steps": "learner.warmup-updates",
    "resume": "start.checkpoint",
    "init-from": "start.checkpoint",
    "dtype": "network.compute-dtype",
    "layers": "network.n-layers",
    "heads": "network.n-heads",
    "run-name": "name",
    "output-dir": "runs",
}


class _RaisingParser(cli.Parser):
    """Raises ValueError for an error, where a command's parser exits."""

    other_names = _OTHER_NAMES

    def error(self, message: str) -> NoReturn:
        raise ValueError(self.sentence(message))


class Parser(cli.Parser):
    """The parser of a command on an experiment: `zebjax NAME EXPERIMENT ... [--FIELD VALUE ...]`.

    The command adds its own arguments and calls `with_fields`, `parse` and `experiment`.
    """

    other_names = _OTHER_NAMES

    def __init__(self, name: str, description: str, *examples: str, usage: str) -> None:
        """See `cli.Parser`; the positional argument `experiment` comes first."""
        notes = (
            f"`zebjax {name} EXPERIMENT --help` shows that experiment's values as defaults.\n"
            "[True|False] may be left out: True."
        )
        super().__init__(name, description, *examples, usage=usage, notes=notes)
        self.add_argument(
            "experiment",
            metavar="EXPERIMENT",
            help=f"a file that ends in .py, or one of {', '.join(included())}",
        )

    def with_fields(self) -> "Parser":
        """Add an option for every field, after those of the command, and return the parser."""
        overrides.add_options(self, Experiment)
        return self

    def parse(self, argv: Sequence[str] | None) -> argparse.Namespace:
        """Parse; `EXPERIMENT --help` shows that experiment's values as defaults."""
        words = list(sys.argv[1:] if argv is None else argv)
        if words and not words[0].startswith("-") and {"-h", "--help"} & set(words):
            with contextlib.suppress(ValueError):
                overrides.show_values(self, read(words[0]))
        return super().parse(words)

    @staticmethod
    def experiment(arguments: argparse.Namespace) -> Experiment:
        """Read the named experiment and apply the given overrides.

        Raises:
            ValueError: if it cannot be read, a value is not allowed, or the run's folder cannot be
                one.
        """
        settings = overrides.apply(read(arguments.experiment), arguments)
        with cli.names_option("runs"):
            files.require_folder(settings.folder)
        return settings
