"""Every setting of a run, as one frozen dataclass: `Experiment`."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Literal

from zebjax.common import checks
from zebjax.network import PRESETS, ZebConfig
from zebjax.search import SearchConfig
from zebjax.training.workers_config import EvalAuxConfig, StoreConfig

PolicyMask = Literal["legal", "unplayed"]


@dataclasses.dataclass(frozen=True)
class LearnerConfig:
    """How the network is trained. The defaults are the original's."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw, the original's; or muon (Jordan et al. 2024), which takes orthogonalised momentum for
    matrices at lr and AdamW for vectors at lr / 10, and needs far fewer examples from nothing."""
    lr: float = 1e-4
    """Peak learning rate of the schedule."""
    schedule: Literal["constant", "cosine"] = "constant"
    """constant; or cosine: down to a tenth of lr over decay_updates, then constant."""
    warmup_updates: int = 0
    """Updates of linear warm-up from 0."""
    decay_updates: int = 100_000
    """Updates until the end of the cosine, warm-up included."""
    weight_decay: float = 0.01
    """Of AdamW, on every parameter."""
    clip_norm: float = 0.0
    """Largest global norm of the gradients; 0 does not clip."""
    batch: int = 64
    """Examples per update."""
    updates_per_cycle: int = 1000
    """Optimiser updates per training cycle."""
    updates_per_call: int = 0
    """Updates per compiled call; a stop waits for the call under way. 0: as many as take about ten
    seconds on this machine. The result is the same."""
    policy_weight: float = 1.0
    """Weight of the policy loss."""
    value_weight: float = 1.0
    """Weight of the value loss."""
    belief_weight: float = 0.5
    """Weight of the belief loss."""
    belief_tiles: Literal["dealt", "hidden"] = "dealt"
    """Tiles that the belief head is trained on: dealt, the 21 of the other seats (the original's);
    or hidden, those of them that are not played yet."""
    root_value_share: float = 0.0
    """Share of the search's (or teacher's) root value in the value target; the rest is the
    outcome. The root value has less noise, but is no better than its judge. 0: the original's."""
    policy_mask: PolicyMask = "legal"
    """Slots in the log-softmax of the policy: legal, or unplayed (the original's)."""

    def __post_init__(self) -> None:
        checks.check(self, "learner")
        checks.at_least(self, "learner", 2, "batch")
        checks.at_least(self, "learner", 1, "updates_per_cycle", "decay_updates")
        checks.at_least(self, "learner", 0, "weight_decay", "clip_norm", "warmup_updates")
        checks.at_least(self, "learner", 0, "policy_weight", "value_weight", "belief_weight")
        checks.positive(self, "learner", "lr")
        if self.updates_per_call and self.updates_per_cycle % self.updates_per_call:
            raise ValueError(
                "learner.updates_per_call: expected 0 or a divisor of updates_per_cycle "
                f"({self.updates_per_cycle}), got {self.updates_per_call}"
            )
        if not 0 <= self.root_value_share <= 1:
            raise ValueError(
                f"learner.root_value_share: expected 0 to 1, got {self.root_value_share}"
            )
        if self.schedule == "cosine" and self.decay_updates <= self.warmup_updates:
            raise ValueError("learner.decay_updates: expected more than warmup_updates")

    @property
    def chunk(self) -> int:
        """Updates whose examples are drawn and replayed together; a divisor of
        updates_per_cycle.
        """
        if self.updates_per_call:
            return self.updates_per_call
        return max(n for n in range(1, 26) if self.updates_per_cycle % n == 0)


@dataclasses.dataclass(frozen=True)
class SelfPlayConfig:
    """How games are played."""

    lanes: int = 64
    """Games played at the same time."""
    games_per_cycle: int = 454
    """Finished games that each training cycle takes in."""
    search: SearchConfig = SearchConfig()

    def __post_init__(self) -> None:
        for name in ("lanes", "games_per_cycle"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise ValueError(
                    f"selfplay.{name}: expected 1 to 1,000,000, got {getattr(self, name)}"
                )


_MAX_EXAMPLES = 2**31 - 1  # examples are counted in int32


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """The weights that a new run begins with."""

    checkpoint: str | None = None
    """None: random weights. Else a network folder, a run, `bundled`, a .pt or .safetensors file of
    the original's (converted on first use), or one of these on the Hugging Face Hub:
    hf://USER/REPO, hf://USER/REPO/FILE.pt, with @REVISION at the end for a revision."""
    belief_head: Literal["keep", "fresh"] = "keep"
    """keep: as the checkpoint has it; fresh: add a random belief head to a checkpoint without."""
    step: int | None = None
    """Training step that the run begins at. None: as the checkpoint says, else 0."""
    total_games: int | None = None
    """Games that the weights were trained on. None: as the checkpoint says, else 0."""

    def __post_init__(self) -> None:
        checks.check(self, "start")
        for name in ("step", "total_games"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"start.{name}: expected 0 or more, got {getattr(self, name)}")


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """The replay ring."""

    capacity_examples: int = 500_000
    """Examples in the ring of self-play. An example is one ply; a game has 28."""
    min_buffer: int = 0
    """Training waits until the ring holds so many examples."""
    max_example_age_s: float = 0.0
    """With workers: seconds without a new game after which training pauses; 0 never pauses."""
    seed_folder: str | None = None
    """Folder of GameRecord files (of `zebjax convert --examples`, or an earlier run's store) that a
    new run puts into its rings: the newest that fit. They do not count as games of the run."""
    max_reuse: float = 0.0
    """With workers: how often each example is trained on at most, on average; training waits for
    new games before it exceeds this. 0: no limit."""

    def __post_init__(self) -> None:
        if not 28 <= self.capacity_examples <= _MAX_EXAMPLES:
            raise ValueError(
                f"replay.capacity_examples: expected 28 (one game) to {_MAX_EXAMPLES:,}, got "
                f"{self.capacity_examples:,}"
            )
        if not 0 <= self.min_buffer <= self.capacity_examples:
            raise ValueError(
                f"replay.min_buffer: expected 0 to capacity_examples ({self.capacity_examples}), "
                f"got {self.min_buffer}"
            )
        checks.at_least(self, "replay", 0, "max_example_age_s", "max_reuse")


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """Training on games that exist already, such as those of `zebjax teach`."""

    folder: str | None = None
    """Folder of GameRecord files to train on instead of self-play. None: self-play."""


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """How the network is evaluated while it trains: paired deals against random play."""

    every_cycles: int = 50
    """Cycles between two evaluations."""
    deals: int = 1000
    """Deals per evaluation; each is played twice, with the teams swapped."""
    temperature: float = 0.1
    """Of the network's policy."""

    def __post_init__(self) -> None:
        checks.check(self, "evaluation")
        checks.at_least(self, "evaluation", 1, "every_cycles")
        checks.at_least(self, "evaluation", 2, "deals")
        checks.at_least(self, "evaluation", 0, "temperature")


@dataclasses.dataclass(frozen=True)
class SaveConfig:
    """What is kept on disk."""

    every_s: float = 300.0
    """Seconds between saves in the middle of a cycle; each cycle's end is saved in any case."""
    keep_every_cycles: int = 25
    """Keep the network of each such cycle for good; of the others only the newest."""

    def __post_init__(self) -> None:
        checks.check(self, "save")
        checks.positive(self, "save", "every_s")
        checks.at_least(self, "save", 1, "keep_every_cycles")


@dataclasses.dataclass(frozen=True)
class TrackingConfig:
    """Where metrics go besides `metrics.jsonl`."""

    wandb: bool = False
    """Send metrics to Weights & Biases. Without an account (WANDB_API_KEY, `wandb login`) they are
    kept offline in the run's folder."""
    project: str = "zeb-mcts"
    """Project of W&B."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All settings of a run. With the machine, they decide its result."""

    name: str
    """Name of the run and of its folder."""
    runs: str = "runs"
    """Folder of all runs."""
    seed: int = 0
    """Seed of all randomness of the run."""
    cycles: int = 100
    """Training cycles; each plays games, then trains on them."""
    device: Literal["any", "cpu", "gpu"] = "any"
    """Device that each process of the run must use. any: JAX's choice. gpu: refuse to start if JAX
    would use the CPU."""
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
        checks.check(self, "")
        if self.name == "store" and not self.store.url:
            raise ValueError(
                f"name: {self.folder} is where runs exchange games; choose another --name"
            )
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
        """URL of the run's own place in the store, for `distributed.open.open_store`."""
        return f"{self.store.url.rstrip('/') or f'{self.runs}/store'}/{self.name}"


def to_json(experiment: Experiment) -> str:
    """Return the experiment as JSON text."""
    return json.dumps(dataclasses.asdict(experiment), indent=1)
