"""An experiment: one frozen dataclass instance in one short file, with typed overrides from the command line."""

import dataclasses
import json
import re
import runpy
from pathlib import Path
from typing import Any, Literal

import tyro

from zebjax.common import checks
from zebjax.network import PRESETS, ZebConfig
from zebjax.training.learner import LearnerConfig
from zebjax.training.selfplay import SelfPlayConfig

_MOST_GAMES_A_FILE = 10_000
HUB_LOOK_S = 15.0
"""A Hub is looked into at most so often."""


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
        checks.check(self, "start")
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
    max_example_age_s: float = 0.0
    """With workers: training pauses when no new game of either stream was kept for so long; 0 never pauses."""
    seed_folder: str | None = None
    """Folder of GameRecord files (those of `convert --examples`, or of an earlier run's store) that the rings of a new
    run begin with: the newest that fit, by their stream. They do not count as games of the run."""
    max_reuse: float = 0.0
    """With workers: training waits rather than train on more rows than so many times the examples that have come
    (KataGo's guard); 0 is off."""

    def __post_init__(self) -> None:
        if self.capacity_examples < 28:
            raise ValueError(f"replay.capacity_examples: expected at least 28 (one game), got {self.capacity_examples}")
        if not 0 <= self.min_buffer <= self.capacity_examples:
            raise ValueError(
                f"replay.min_buffer: expected 0 to capacity_examples ({self.capacity_examples}), got {self.min_buffer}"
            )
        for name in ("max_example_age_s", "max_reuse"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"replay.{name}: expected 0 or more, got {getattr(self, name)}")


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
        checks.check(self, "evaluation")
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
        checks.check(self, "save")
        if self.every_s <= 0:
            raise ValueError(f"save.every_s: expected a positive number, got {self.every_s}")
        if self.keep_every_cycles < 1:
            raise ValueError(f"save.keep_every_cycles: expected at least 1, got {self.keep_every_cycles}")


@dataclasses.dataclass(frozen=True)
class EvalAuxConfig:
    """The eval-aux stream: games of E[Q] against the current network, in a ring of their own."""

    enabled: bool = False
    """Whether its games are kept and trained on; off is the original's stage 0, on its stage 1."""
    batch_fraction: float = 0.05
    """Share of a cycle's updates whose batch is of this stream."""
    policy_weight: float = 0.0
    """What the policy loss is multiplied by in those; its targets are E[Q]'s moves."""
    capacity_examples: int = 100_000
    """Of its ring."""
    max_model_lag: int = 400
    """Games made by weights more than so many cycles old are dropped; negative is no limit."""
    lag_half_life: int = 200
    """In cycles: games are kept with a probability that halves every so often; 0 keeps all."""
    min_keep_weight: float = 0.10
    """The least that this probability falls to."""
    worlds: int = 100
    """E[Q]'s worlds a decision."""
    temperature: float = 0.1
    """The network's, in these games."""
    games_per_file: int = 128
    """Games that a worker plays at once and sends together."""
    games_per_cycle: int = 16
    """Games a cycle when everything runs in one process."""

    def __post_init__(self) -> None:
        checks.check(self, "eval_aux")
        for name, low, high in (
            ("batch_fraction", 0, 1),
            ("policy_weight", 0, 1e6),
            ("min_keep_weight", 0, 1),
            ("temperature", 0, 100),
            ("capacity_examples", 28, 2**31 - 1),
            ("worlds", 1, 100_000),
            ("games_per_file", 2, 10_000),
            ("games_per_cycle", 2, 10_000),
        ):
            if not low <= getattr(self, name) <= high:
                raise ValueError(f"eval_aux.{name}: expected {low} to {high:g}, got {getattr(self, name)}")


@dataclasses.dataclass(frozen=True)
class StoreConfig:
    """How the processes of a run exchange weights and games, where each is a process of its own (`--role`)."""

    url: str = ""
    """A folder, s3://BUCKET/PREFIX (gs://, az://) or hf://USER/REPO; the run has a place of its name in there. Empty:
    the folder `store` beside the runs, for processes on one machine."""
    publish_every_cycles: int = 25
    """How often the learner publishes its weights."""
    keep_weights: int = 5
    """Generations whose parameters stay in the store."""
    keep_examples: int = 128
    """Example files that stay in the store, the newest of each worker; older ones go once the learner has saved a state
    that holds them."""
    publish_torch: bool = False
    """Also publish <name>.pt with its two JSON files, so that a PyTorch worker of the original's can follow."""
    games_per_file: int = 128
    """Games that a self-play worker sends together."""
    poll_s: float = 5.0
    """How often a process looks into the store; on a Hub, which takes 1,000 calls in five minutes from an account,
    every 15 s at most, which leaves room for some twenty workers."""
    upload_interval_s: float = 0.0
    """A process writes at most so often, a worker several files at once. A Hub takes 128 commits an hour from all that
    write into a repository, the learner among them: there at least 60, and 30 times the number of processes is safe."""
    spool_bytes: int = 1 << 30
    """What a worker keeps on disk while the store is away; the oldest games go first."""

    def __post_init__(self) -> None:
        for name in ("publish_every_cycles", "keep_weights", "keep_examples", "games_per_file", "spool_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"store.{name}: expected at least 1, got {getattr(self, name)}")
        if self.games_per_file > _MOST_GAMES_A_FILE:
            raise ValueError(
                f"store.games_per_file: expected at most {_MOST_GAMES_A_FILE:,}, got {self.games_per_file}"
            )
        if self.url and not self.url.rpartition("://")[2].strip("/ "):
            raise ValueError(f"store.url: expected a folder, s3://BUCKET/PREFIX or hf://USER/REPO, got {self.url!r}")
        if not 0.01 <= self.poll_s <= 3600:
            raise ValueError(f"store.poll_s: expected 0.01 to 3600, got {self.poll_s}")
        least = 60 if self.url.startswith("hf://") else 0
        if not least <= self.upload_interval_s <= 86400:
            raise ValueError(f"store.upload_interval_s: expected {least} to 86400 here, got {self.upload_interval_s}")

    @property
    def look_every_s(self) -> float:
        """`poll_s`, as far as the store bears it."""
        return max(self.poll_s, HUB_LOOK_S) if self.url.startswith("hf://") else self.poll_s


@dataclasses.dataclass(frozen=True)
class TrackingConfig:
    """Where metrics go besides `metrics.jsonl`."""

    wandb: bool = False
    """To Weights & Biases; without an account (WANDB_API_KEY, `wandb login`) offline, into the run's folder."""
    project: str = "zeb-mcts"


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
    store: StoreConfig = StoreConfig()
    tracking: TrackingConfig = TrackingConfig()

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", self.name):
            raise ValueError(f"name: expected letters, digits, '.', '_' and '-', got {self.name!r}")
        if self.name == "store" and not self.store.url:
            raise ValueError(f"name: {self.folder} is where runs exchange games; choose another --name")
        if self.cycles < 1:
            raise ValueError(f"cycles: expected at least 1, got {self.cycles}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: expected 0 to 2**32 - 1, got {self.seed}")

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.runs) / self.name

    @property
    def namespace(self) -> str:
        """The run's own place in the store, which `store.open_store` opens."""
        return f"{self.store.url.rstrip('/') or f'{self.runs}/store'}/{self.name}"


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
    "eval_aux.capacity_examples": "the saved ring would not fit",
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
