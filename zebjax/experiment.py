"""What an experiment file imports, in one line: `Experiment`, every config, the presets. And how a
file is read.

An experiment is one frozen dataclass instance in one short file, with typed overrides from the
command line.
"""

import runpy
from pathlib import Path

import tyro

from zebjax.network.config import PRESETS, ZebConfig
from zebjax.search.config import SearchConfig
from zebjax.training.config import (
    EvalAuxConfig,
    EvaluationConfig,
    Experiment,
    LearnerConfig,
    ReplayConfig,
    SaveConfig,
    SelfPlayConfig,
    StartConfig,
    StoreConfig,
    TeacherConfig,
    TrackingConfig,
)

__all__ = [
    "PRESETS",
    "EvalAuxConfig",
    "EvaluationConfig",
    "Experiment",
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


def load(path: Path, overrides: list[str]) -> Experiment:
    """The experiment in a file, with command-line overrides; exits with status 2 and a sentence if
    one is wrong.

    Raises:
        ValueError: if the file is not there or holds no `experiment`.
    """
    if path.suffix != ".py" or not path.is_file():  # nothing else is Python that its owner wrote
        raise ValueError(f"{path}: expected an experiment file, one that is there and ends in .py")
    try:
        experiment = runpy.run_path(str(path)).get("experiment")
    except (
        Exception,
        SystemExit,
    ) as error:  # it is the user's code: whatever it raises is about that file
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from None
    if not isinstance(experiment, Experiment):
        raise ValueError(f"{path}: expected it to define `experiment = Experiment(...)`")
    return tyro.cli(
        Experiment,
        default=experiment,
        args=overrides,
        prog=f"python -m zebjax.train {path}",
        description=(
            f"Train as {path} says; every field can be overridden. Starting the same command "
            "again continues the run."
            f"\n\nExample: python -m zebjax.train {path} --name mine --learner.lr 5e-3"
        ),
    )
