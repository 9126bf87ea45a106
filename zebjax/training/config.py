"""Every setting of a run, as one frozen dataclass: `Experiment`."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Any, Literal

from zebjax.common import checks
from zebjax.network import AUTO, ZebConfig
from zebjax.network import PRESETS as NETWORKS
from zebjax.search import Exploration, SearchConfig
from zebjax.training import opponents
from zebjax.training.learner_config import LearnerConfig
from zebjax.training.workers_config import EvalAuxConfig, StoreConfig

PRESETS = {
    name: dataclasses.replace(preset, compute_dtype=AUTO) for name, preset in NETWORKS.items()
}
"""The usual networks for an experiment: their compute dtype is the device's, see `by_device`."""


@dataclasses.dataclass(frozen=True)
class SelfPlayConfig:
    """How self-play games are played."""

    lanes: int | Literal["auto"] = 64
    """Number of games played at the same time. auto: on a GPU the number that `zebjax benchmark
    selfplay --sweep` found fastest on such a GPU, else as many as its memory allows, up to 16,384;
    on a CPU 128. It may change when the run resumes: the games of surplus lanes are played to their
    end first; auto keeps the number."""
    games_per_cycle: int = 454
    """Number of finished games added in each training cycle."""
    method: Literal["search", "outcomes", "rollouts"] = "search"
    """How moves are chosen and judged. search: by a tree search. outcomes: a move is drawn by the
    network's values of moves, and the value of the move played learns the result of the game: Deep
    Monte Carlo. rollouts: every legal move is also played to the end, all seats choosing by the
    values, and the values of all moves learn the results: honest policy iteration. The last two
    need network.move_values, and the policy learns what drew the move."""
    search: SearchConfig = SearchConfig()
    """Of the method search."""
    explore: Exploration = Exploration()
    """Of the other methods; `rollout_temperature` of rollouts alone."""

    def __post_init__(self) -> None:
        checks.check(self, "selfplay")
        for name, word in (("lanes", AUTO), ("games_per_cycle", "")):
            value = getattr(self, name)
            if value == word:
                continue
            if not isinstance(value, int) or not 1 <= value <= 1_000_000:
                expected = f"{word} or 1 to 1,000,000" if word else "1 to 1,000,000"
                raise ValueError(f"selfplay.{name}: expected {expected}, got {value!r}")

    @property
    def n_lanes(self) -> int:
        """The number of lanes.

        Raises:
            ValueError: if it is still `auto`; see `by_device.resolve`.
        """
        if self.lanes == AUTO:
            raise ValueError("selfplay.lanes: expected a number here, got auto")
        return int(self.lanes)

    @property
    def learns_moves(self) -> bool:
        """True if the games have values of moves, which chose them."""
        return self.method != "search"

    @property
    def how(self) -> dict[str, Any]:
        """How moves are chosen, as plain values."""
        if self.method == "search":
            return dataclasses.asdict(self.search)
        made = {"method": self.method, **dataclasses.asdict(self.explore)}
        if self.method == "outcomes":
            made.pop("rollout_temperature")
        return made

    @property
    def how_to_shorten(self) -> str:
        """What makes a compiled call of one move shorter, for a message."""
        also = " or --selfplay.search.sims" if self.method == "search" else ""
        return f"fewer --selfplay.lanes{also}"


_MAX_EXAMPLES = 2**31 - 1  # examples are counted in int32


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """The weights that a new run starts from."""

    checkpoint: str | None = None
    """None: random weights. Otherwise a network folder, a run folder, `bundled`, a .pt or
    .safetensors file of the original (converted when the run starts), or one of these on the
    Hugging Face Hub: hf://USER/REPO or hf://USER/REPO/FILE.pt, with an optional @REVISION."""
    belief_head: Literal["keep", "fresh"] = "keep"
    """keep: use the checkpoint's belief head, if any. fresh: begin with a random one; a .pt
    file of the original must have none."""
    step: int | None = None
    """Training step at which the run starts. None: the checkpoint's, or 0 if it has none."""
    total_games: int | None = None
    """Number of games that the weights were trained on. None: the checkpoint's, or 0."""

    def __post_init__(self) -> None:
        checks.check(self, "start")
        for name in ("step", "total_games"):
            if (getattr(self, name) or 0) < 0:
                raise ValueError(f"start.{name}: expected 0 or more, got {getattr(self, name)}")
        checks.at_most(self, "start", checks.MAX_COUNT, "step")


@dataclasses.dataclass(frozen=True)
class ReplayConfig:
    """The replay ring."""

    capacity_examples: int = 500_000
    """Capacity of the self-play ring in examples. An example is one ply; a game has 28. It may
    change when the run resumes: the ring keeps its newest games."""
    min_buffer: int = 0
    """Training waits until the ring holds this many examples."""
    max_example_age_s: float = 0.0
    """With workers: training pauses after this many seconds without a new game; 0: never."""
    seed_folder: str | None = None
    """Folder of GameRecord files (`runs/NAME/games` of another run, from `zebjax convert
    --examples`, or a store's `examples`) for the rings of a new run; the newest are used if not all
    fit. They do not count as games of the run."""
    keep_games: int = 50_000
    """Number of newest games of each stream that the run keeps as files in its folder `games`, for
    the --replay.seed-folder of another run; 50,000 are 30 MB, with values of moves 70.
    0: none."""
    held_out: float = 0.0
    """Share of the self-play (or teacher's) games that are never trained on, chosen by a hash of
    the deal. Each cycle measures the losses on them and, in the same way, on the ring's games."""
    max_reuse: float = 0.0
    """With workers: maximum number of times that an example is trained on, on average. Training
    waits for new games before it would exceed this. 0: no limit."""

    def __post_init__(self) -> None:
        checks.names(self, "replay")
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
        checks.check(self, "replay")
        if not 0 <= self.held_out <= 0.5:
            raise ValueError(f"replay.held_out: expected 0 to 0.5, got {self.held_out}")
        checks.at_least(self, "replay", 0, "max_example_age_s", "max_reuse", "keep_games")


@dataclasses.dataclass(frozen=True)
class TeacherConfig:
    """Training on existing games, such as those of `zebjax teach`."""

    folder: str | None = None
    """Folder of games to train on instead of self-play games: those of `zebjax teach`, or a run of
    `zebjax iterate`. None: self-play."""
    temperature: float = 0.3
    """Temperature of the policy targets that games with rollouts get from the outcome of each
    move, softmax(score / temperature): a move whose score is lower by this gets 1/e of the weight.
    A win instead of a loss is 1, a point 0.02. Games of E[Q] have targets already, and
    another temperature than the default is an error there."""

    def __post_init__(self) -> None:
        checks.names(self, "teacher")
        checks.check(self, "teacher")
        checks.positive(self, "teacher", "temperature")


@dataclasses.dataclass(frozen=True)
class EvaluationConfig:
    """Evaluation during training: paired deals against each opponent."""

    every_cycles: int = 50
    """Number of cycles between evaluations."""
    opponents: str = "random"
    """The opponents, with spaces between them: player specs such as random or eq:n=10, first (the
    run's own first step) and bundled. Each has metrics of its own: eval/vs_eq_n10_win_rate. A
    network of value make/set is judged in games with a contract; eq:criterion=make plays them."""
    deals: int = 1000
    """Deals per opponent; each is played twice, with the teams swapped. All play the same."""
    temperature: float = 0.1
    """Temperature of the network's policy."""

    def __post_init__(self) -> None:
        checks.check(self, "evaluation")
        checks.at_least(self, "evaluation", 1, "every_cycles")
        checks.at_least(self, "evaluation", 2, "deals")
        checks.at_most(self, "evaluation", checks.MAX_COUNT, "deals")
        checks.at_least(self, "evaluation", 0, "temperature")
        opponents.words(self.opponents)


@dataclasses.dataclass(frozen=True)
class SaveConfig:
    """Saves and checkpoints."""

    every_s: float = 300.0
    """Seconds between saves within a cycle; the end of each cycle is always saved."""
    keep_every_cycles: int = 25
    """Keep the network of every n-th cycle; of the others keep only the newest."""

    def __post_init__(self) -> None:
        checks.check(self, "save")
        checks.positive(self, "save", "every_s")
        checks.at_least(self, "save", 1, "keep_every_cycles")


@dataclasses.dataclass(frozen=True)
class TrackingConfig:
    """Destinations of metrics besides `metrics.jsonl`."""

    wandb: bool = False
    """Send metrics to Weights & Biases. Without an account (WANDB_API_KEY or `wandb login`) W&B
    stores them offline in the run's folder."""
    project: str = "zeb-mcts"
    """W&B project."""
    tags: str = ""
    """Tags of the W&B run, with spaces between them, besides those that say its version, device,
    network and kinds of games."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """All settings of a run. Together with the machine they determine its result."""

    name: str
    """Name of the run and of its folder."""
    runs: str = "runs"
    """Parent folder of all runs."""
    seed: int = 0
    """Seed of all randomness of the run."""
    cycles: int = 100
    """Number of training cycles; each plays games, then trains on them."""
    device: Literal["any", "cpu", "gpu"] = "any"
    """Device of each process of the run. any: JAX's choice. gpu: refuse to start if JAX would use
    the CPU. cpu: refuse to start on anything else."""
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
        if not self.runs.strip():
            raise ValueError(f"runs: expected the name of a folder, got {self.runs!r}")
        if self.name == "store" and not self.store.url:
            raise ValueError(
                f"name: {self.folder} is the store where runs exchange games; choose another --name"
            )
        if self.cycles < 1:
            raise ValueError(f"cycles: expected at least 1, got {self.cycles}")
        if self.cycles > checks.MAX_COUNT:
            raise ValueError(f"cycles: expected at most {checks.MAX_COUNT:,}, got {self.cycles:,}")
        if not 0 <= self.seed < 2**32:
            raise ValueError(f"seed: expected 0 to 2**32 - 1, got {self.seed}")
        opponents.check_contracts(self.evaluation.opponents, self.network.plays_contracts)
        if self.network.plays_contracts:
            self._check_contracts()
        if self.selfplay.learns_moves:
            self._check_method()
        if self.learner.policy_from_values:
            self._check_policy_from_values()

    def _check_method(self) -> None:
        """Refuse settings with which values of moves choose the moves and are not learned."""
        for name, is_wrong, expected in (
            ("network.move_values", not self.network.move_values, "True"),
            ("learner.move_value_weight", not self.learner.move_value_weight, "more than 0"),
            ("teacher.folder", self.teacher.folder is not None, "None, as nothing is played"),
        ):
            if is_wrong:
                raise ValueError(
                    f"selfplay.method: {self.selfplay.method} plays by the values of moves that "
                    f"it learns; expected {name} {expected} with it"
                )

    @property
    def learns_moves(self) -> bool:
        """True if the network learns values of moves: games of a search have none."""
        has_values = self.selfplay.learns_moves or self.teacher.folder is not None
        return self.network.move_values and has_values and self.learner.move_value_weight > 0

    def _check_policy_from_values(self) -> None:
        if not self.learns_moves or self.network.plays_contracts:
            raise ValueError(
                "learner.policy_from_values: expected 0, or a network that plays for points and "
                "learns the values of moves (network.move_values, and teacher.folder or another "
                "selfplay.method)"
            )
        if self.teacher.temperature != TeacherConfig.temperature:
            raise ValueError(
                f"teacher.temperature: expected {TeacherConfig.temperature:g}, its default, with "
                "learner.policy_from_values, which replaces these policy targets"
            )

    def _check_contracts(self) -> None:
        """Refuse games of other sources: they have no contracts and are played for points."""
        for name, is_wrong in (
            ("teacher.folder", self.teacher.folder is None),
            ("replay.seed_folder", self.replay.seed_folder is not None),
            ("eval_aux.enabled", self.eval_aux.enabled),
        ):
            if is_wrong:
                raise ValueError(
                    f"{name}: a network of value {self.network.value} learns only from games of "
                    "`zebjax teach --contract`; expected their folder as teacher.folder, and no "
                    "other games"
                )

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return Path(self.runs) / self.name

    @property
    def namespace(self) -> str:
        """URL of the run's namespace in the store, for `distributed.open.open_store`."""
        return f"{self.store.url.rstrip('/') or f'{self.runs}/store'}/{self.name}"


def to_json(experiment: Experiment) -> str:
    """Return the experiment as JSON text."""
    return json.dumps(dataclasses.asdict(experiment), indent=1)
