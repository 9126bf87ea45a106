"""An experiment: one frozen dataclass instance in one short file, with typed overrides from the command line."""

import dataclasses
import json
import re
import runpy
from pathlib import Path
from typing import Any, Literal

import tyro

from zebjax import choices
from zebjax.learner import LearnerConfig
from zebjax.network import PRESETS, ZebConfig
from zebjax.selfplay import SelfPlayConfig


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """Where the weights come from."""

    checkpoint: str | None = None
    """None: from nothing. Else a torch .pt file of the original's (converted on first use), hf://USER/REPO/FILE.pt on
    the Hugging Face Hub, or a folder that zebjax wrote."""
    belief_head: Literal["keep", "fresh"] = "keep"
    """fresh: the checkpoint has no belief head and gets a randomly initialised one. From nothing all heads are."""
    step: int | None = None
    """Training step that the run begins at; None: what the checkpoint says, else 0."""
    total_games: int | None = None
    """Games that the weights have behind them; None: what the checkpoint says, else 0."""

    def __post_init__(self) -> None:
        choices.check(self, "start")
        for name in ("step", "total_games"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"start.{name}: expected 0 or more, got {getattr(self, name)}")


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """The replay ring."""

    capacity_examples: int = 500_000
    """An example is a ply; 28 to a game."""
    min_buffer: int = 0
    """Examples that must be there before training begins."""

    def __post_init__(self) -> None:
        if self.capacity_examples < 28:
            raise ValueError(f"replay.capacity_examples: expected at least 28 (one game), got {self.capacity_examples}")
        if not 0 <= self.min_buffer <= self.capacity_examples:
            raise ValueError(
                f"replay.min_buffer: expected 0 to capacity_examples ({self.capacity_examples}), got {self.min_buffer}"
            )


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """Learning from games that are there already, such as those of `python -m zebjax.teach`."""

    folder: str | None = None
    """Folder of GameRecord files to train on; nothing is played then. None: train on self-play."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How the network is judged while it trains: paired deals against random."""

    every_cycles: int = 50
    deals: int = 1000
    """Each is played twice, with the teams swapped."""
    temperature: float = 0.1

    def __post_init__(self) -> None:
        choices.check(self, "evaluation")
        for name, least in (("every_cycles", 1), ("deals", 2)):
            if getattr(self, name) < least:
                raise ValueError(f"evaluation.{name}: expected at least {least}, got {getattr(self, name)}")
        if self.temperature < 0:
            raise ValueError(f"evaluation.temperature: expected 0 or more, got {self.temperature}")


@dataclasses.dataclass(frozen=True)
class SaveConfig:
    """What is kept on disk."""

    every_s: float = 300.0
    """Seconds after which the state is also saved in the middle of a cycle; it always is at its end."""
    keep_every_cycles: int = 25
    """Networks of every so many cycles are kept for good; of the others only the newest."""

    def __post_init__(self) -> None:
        choices.check(self, "save")
        if self.every_s <= 0:
            raise ValueError(f"save.every_s: expected a positive number, got {self.every_s}")
        if self.keep_every_cycles < 1:
            raise ValueError(f"save.keep_every_cycles: expected at least 1, got {self.keep_every_cycles}")


@dataclasses.dataclass(frozen=True)
class EvalAuxConfig:
    """The eval-aux stream (E[Q] against the current network). Not built yet: `enabled` is refused, the rest waits."""

    enabled: bool = False
    batch_fraction: float = 0.05
    policy_weight: float = 0.0
    capacity_examples: int = 100_000
    max_model_lag: int = 400
    lag_half_life: int = 200
    min_keep_weight: float = 0.10
    worlds: int = 100

    def __post_init__(self) -> None:
        choices.check(self, "eval_aux")
        if self.enabled:
            raise ValueError(
                "eval_aux.enabled: the eval-aux stream is not built yet; leave it off to train on self-play alone"
            )


@dataclasses.dataclass(frozen=True)
class Experiment:
    """Everything that decides a run but the machine it is on."""

    name: str
    """Also the name of the run's folder."""
    runs: str = "runs"
    """Folder that the run's folder is made in."""
    seed: int = 0
    """All randomness of the run follows from it."""
    cycles: int = 100
    """Training cycles of this run: self-play, then training."""
    start: StartConfig = StartConfig()
    network: ZebConfig = PRESETS["large"]
    selfplay: SelfPlayConfig = SelfPlayConfig()
    teacher: TeacherConfig = TeacherConfig()
    replay: ReplayConfig = ReplayConfig()
    learner: LearnerConfig = LearnerConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    save: SaveConfig = SaveConfig()
    eval_aux: EvalAuxConfig = EvalAuxConfig()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ValueError(f"name: expected letters, digits, '.', '_' and '-', got {self.name!r}")
        if self.cycles < 1:
            raise ValueError(f"cycles: expected at least 1, got {self.cycles}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: expected 0 to 2**32 - 1, got {self.seed}")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.runs) / self.name


def load(path: Path, overrides: list[str]) -> Experiment:
    """The experiment in a file, with command-line overrides; exits with status 2 and a sentence if one is wrong.

    Raises:
        ValueError: if the file is not there or holds no `experiment`.
    """
    if path.suffix != ".py" or not path.is_file():  # nothing else is Python that its owner wrote
        raise ValueError(f"{path}: expected an experiment file, one that is there and ends in .py")
    try:
        experiment = runpy.run_path(str(path)).get("experiment")
    except (Exception, SystemExit) as error:  # it is the user's code: whatever it raises is about that file
        raise ValueError(f"{path}: {type(error).__name__}: {error}") from None
    if not isinstance(experiment, Experiment):
        raise ValueError(f"{path}: expected it to define `experiment = Experiment(...)`")
    return tyro.cli(
        Experiment,
        default=experiment,
        args=overrides,
        prog=f"python -m zebjax.train {path}",
        description=(
            f"Train as {path} says; every field can be overridden. Starting the same command again continues the run."
            f"\n\nExample: python -m zebjax.train {path} --name mine --learner.lr 5e-3"
        ),
    )


def to_json(experiment: Experiment) -> str:
    """The resolved experiment as JSON text."""
    return json.dumps(dataclasses.asdict(experiment), indent=1)


# A saved run cannot go on when one of these changes: what it would mean for what was saved is in the message.
_FIXED = {
    "seed": "all that was drawn so far followed from it",
    "start.belief_head": "the weights have moved on from there",
    "start.step": "the weights have moved on from there",
    "start.total_games": "the weights have moved on from there",
    "teacher.folder": "the saved ring was filled from there",
    "selfplay.lanes": "the saved lanes would not fit",
    "selfplay.games_per_cycle": "the saved games would not fit",
    "replay.capacity_examples": "the saved ring would not fit",
    "learner.optimizer": "the saved optimiser state would not fit",
}
_NEUTRAL_NETWORK_FIELDS = ("dropout", "compute_dtype")


class CannotContinue(ValueError):
    """A saved run that the experiment as it is now cannot continue."""


def check_can_continue(saved: Any, experiment: Experiment) -> None:
    """Refuse to continue a run whose saved experiment (from JSON) differs in what cannot change.

    Raises:
        CannotContinue: naming the field, both values, the reason and the way out.
        ValueError: if `saved` is not an experiment.
    """
    sections = ("network", "start", "selfplay", "replay", "learner")
    if not isinstance(saved, dict) or not all(isinstance(saved.get(name), dict) for name in sections):
        raise ValueError(f"{experiment.folder}: the saved experiment.json is not an experiment")
    now = json.loads(to_json(experiment))

    def refuse(name: str, before: Any, after: Any, reason: str) -> None:
        raise CannotContinue(
            f"{experiment.folder}: this run was made with {name} = {before!r} and cannot continue with {after!r}: "
            f"{reason}; give it another --name or put the old value back"
        )

    for field, before in saved["network"].items():
        after = now["network"].get(field)
        if before != after and field not in _NEUTRAL_NETWORK_FIELDS:
            refuse(f"network.{field}", before, after, "it is another network")
    before, after = saved["learner"].get("clip_norm"), experiment.learner.clip_norm
    if bool(before) != bool(after):
        refuse("learner.clip_norm", before, after, "switching clipping on or off changes the optimiser's state")
    for name, reason in _FIXED.items():
        before, after = saved, now
        for part in name.split("."):
            before, after = (before or {}).get(part), after[part]  # a run older than the field had its default, None
        if before != after:
            refuse(name, before, after, reason)


def changes(saved: Any, experiment: Experiment) -> list[str]:
    """What a run is continued with that is not as it was saved, as `field: before -> now`; fields unknown then too.

    Not its length, and not where it lies.
    """

    def flat(tree: Any, name: str) -> dict[str, Any]:
        if not isinstance(tree, dict):
            return {name: tree}
        return {k: v for key, leaf in tree.items() for k, v in flat(leaf, f"{name}.{key}" if name else key).items()}

    before, now = flat(saved, ""), flat(json.loads(to_json(experiment)), "")
    return [
        f"{name}: {before.get(name, 'unknown')} -> {value}"
        for name, value in now.items()
        if before.get(name, "unknown") != value and name not in ("cycles", "name", "runs")
    ]
