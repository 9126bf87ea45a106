"""Every setting of a run, as one frozen dataclass: `Experiment`."""

import dataclasses
import json
import re
from pathlib import Path
from typing import Literal

from zebjax.common import checks, hub
from zebjax.network import PRESETS, ZebConfig
from zebjax.search import SearchConfig

PolicyMask = Literal["legal", "unplayed"]


@dataclasses.dataclass(frozen=True)
class LearnerConfig:
    """How the network is trained; the defaults are the original's."""

    optimizer: Literal["adamw", "muon"] = "adamw"
    """adamw: the original's. muon (Jordan et al. 2024): orthogonalised momentum for the matrices at
    lr, AdamW for the vectors at lr / 10; it learns a network from nothing from far fewer
    examples."""
    lr: float = 1e-4
    """Learning rate, the peak of the schedule."""
    schedule: Literal["constant", "cosine"] = "constant"
    """cosine: from lr down to a tenth of it over decay_updates, then constant."""
    warmup_updates: int = 0
    """Linear warm-up from 0."""
    decay_updates: int = 100_000
    """Length of the cosine, warm-up included."""
    weight_decay: float = 0.01
    """AdamW's, on every parameter."""
    clip_norm: float = 0.0
    """Clip gradients to this global norm; 0 is off."""
    batch: int = 64
    """Examples an update."""
    updates_per_cycle: int = 1000
    updates_per_call: int = 0
    """Updates in one compiled call; a stop waits for the call under way. 0: as many as take about
    ten seconds here; that does not change the result."""
    policy_weight: float = 1.0
    value_weight: float = 1.0
    belief_weight: float = 0.5
    belief_tiles: Literal["dealt", "hidden"] = "dealt"
    """The tiles that the belief is trained on: the 21 dealt to others (the original's), or those of
    them not yet played, which are the hard ones."""
    root_value_share: float = 0.0
    """Share of the value target that is the root value in the record instead of the outcome, where
    a ply has one: less noise, but no better than what judged the root. 0: the original's."""
    policy_mask: PolicyMask = "legal"
    """The slots that the policy's log-softmax is over; unplayed is the original's."""

    def __post_init__(self) -> None:
        checks.check(self, "learner")
        for name, least in (("batch", 2), ("updates_per_cycle", 1), ("decay_updates", 1)):
            if getattr(self, name) < least:
                raise ValueError(
                    f"learner.{name}: expected at least {least}, got {getattr(self, name)}"
                )
        if self.updates_per_call and self.updates_per_cycle % self.updates_per_call:
            raise ValueError(
                f"learner.updates_per_call: expected 0 or a divisor of updates_per_cycle "
                f"({self.updates_per_cycle}), "
                f"got {self.updates_per_call}"
            )
        for name in (
            "weight_decay",
            "clip_norm",
            "warmup_updates",
            "policy_weight",
            "value_weight",
            "belief_weight",
        ):
            if getattr(self, name) < 0:
                raise ValueError(f"learner.{name}: expected 0 or more, got {getattr(self, name)}")
        if not 0 <= self.root_value_share <= 1:
            raise ValueError(
                f"learner.root_value_share: expected 0 to 1, got {self.root_value_share}"
            )
        if self.lr <= 0:
            raise ValueError(f"learner.lr: expected a positive number, got {self.lr}")
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
    """How games are made."""

    lanes: int = 64
    """Games played at once."""
    games_per_cycle: int = 454
    """Finished games that one training cycle takes in."""
    search: SearchConfig = SearchConfig()

    def __post_init__(self) -> None:
        for name in ("lanes", "games_per_cycle"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise ValueError(
                    f"selfplay.{name}: expected 1 to 1,000,000, got {getattr(self, name)}"
                )


_MAX_GAMES_PER_FILE = 10_000
_MAX_EXAMPLES = 2**31 - 1  # examples are counted in int32


HUB_LOOK_S = 15.0
"""A Hub is looked into at most so often."""


@dataclasses.dataclass(frozen=True)
class StartConfig:
    """Where the weights come from."""

    checkpoint: str | None = None
    """None: from nothing. Else a network folder or a run, `bundled`, a .pt or .safetensors file of
    the original's (converted on first use), or one of these on the Hugging Face Hub:
    hf://USER/REPO, hf://USER/REPO/FILE.pt, with @REVISION at the end if need be."""
    belief_head: Literal["keep", "fresh"] = "keep"
    """fresh: the checkpoint has no belief head and gets a randomly initialised one. From nothing
    all heads are."""
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
    """With workers: training pauses when no new game of either stream was kept for so long; 0 never
    pauses."""
    seed_folder: str | None = None
    """Folder of GameRecord files (those of `convert --examples`, or of an earlier run's store) that
    the rings of a new run begin with: the newest that fit, by their stream. They do not count as
    games of the run."""
    max_reuse: float = 0.0
    """With workers: training waits rather than train on more rows than so many times the examples
    that have come (KataGo's guard); 0 is off."""

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
                raise ValueError(
                    f"evaluation.{name}: expected at least {least}, got {getattr(self, name)}"
                )
        if self.temperature < 0:
            raise ValueError(f"evaluation.temperature: expected 0 or more, got {self.temperature}")


@dataclasses.dataclass(frozen=True)
class SaveConfig:
    """What is kept on disk."""

    every_s: float = 300.0
    """Seconds after which the state is also saved in the middle of a cycle; it always is at its
    end."""
    keep_every_cycles: int = 25
    """Networks of every so many cycles are kept for good; of the others only the newest."""

    def __post_init__(self) -> None:
        checks.check(self, "save")
        if self.every_s <= 0:
            raise ValueError(f"save.every_s: expected a positive number, got {self.every_s}")
        if self.keep_every_cycles < 1:
            raise ValueError(
                f"save.keep_every_cycles: expected at least 1, got {self.keep_every_cycles}"
            )


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
                raise ValueError(
                    f"eval_aux.{name}: expected {low} to {high:g}, got {getattr(self, name)}"
                )


@dataclasses.dataclass(frozen=True)
class StoreConfig:
    """How the processes of a run exchange weights and games, where each is a process of its own
    (`--role`).
    """

    url: str = ""
    """A folder, s3://BUCKET/PREFIX (gs://, az://) or hf://USER/REPO; the run has a place of its
    name in there. Empty: the folder `store` beside the runs, for processes on one machine."""
    publish_every_cycles: int = 25
    """How often the learner publishes its weights."""
    keep_weights: int = 5
    """Generations whose parameters stay in the store."""
    keep_examples: int = 128
    """Example files that stay in the store, the newest of each worker; older ones go once the
    learner has saved a state that holds them."""
    publish_torch: bool = False
    """Also publish <name>.pt with its two JSON files, so that a PyTorch worker of the original's
    can follow. Its games are taken from examples/<worker>/*.pt in the store: give it
    `--output-dir STORE/NAME/examples/WORKER` where the store is a folder."""
    games_per_file: int = 128
    """Games that a self-play worker sends together."""
    poll_s: float = 5.0
    """How often a process looks into the store; on a Hub, which takes 1,000 calls in five minutes
    from an account, every 15 s at most, which leaves room for some twenty workers."""
    upload_interval_s: float = 0.0
    """A process writes at most so often, a worker several files at once. A Hub takes 128 commits an
    hour from all that write into a repository, the learner among them: there at least 60, and 30
    times the number of processes is safe."""
    spool_bytes: int = 1 << 30
    """What a worker keeps on disk while the store is away; the oldest games go first."""

    def __post_init__(self) -> None:
        for name in (
            "publish_every_cycles",
            "keep_weights",
            "keep_examples",
            "games_per_file",
            "spool_bytes",
        ):
            if getattr(self, name) < 1:
                raise ValueError(f"store.{name}: expected at least 1, got {getattr(self, name)}")
        if self.games_per_file > _MAX_GAMES_PER_FILE:
            raise ValueError(
                f"store.games_per_file: expected at most {_MAX_GAMES_PER_FILE:,}, got "
                f"{self.games_per_file}"
            )
        if self.url and not self.url.rpartition("://")[2].strip("/ "):
            raise ValueError(
                f"store.url: expected a folder, s3://BUCKET/PREFIX or hf://USER/REPO, got "
                f"{self.url!r}"
            )
        if not 0.01 <= self.poll_s <= 3600:
            raise ValueError(f"store.poll_s: expected 0.01 to 3600, got {self.poll_s}")
        least = 60 if hub.is_hub(self.url) else 0
        if not least <= self.upload_interval_s <= 86400:
            raise ValueError(
                f"store.upload_interval_s: expected {least} to 86400 here, got "
                f"{self.upload_interval_s}"
            )

    @property
    def look_every_s(self) -> float:
        """`poll_s`, as far as the store bears it."""
        return max(self.poll_s, HUB_LOOK_S) if hub.is_hub(self.url) else self.poll_s


@dataclasses.dataclass(frozen=True)
class TrackingConfig:
    """Where metrics go besides `metrics.jsonl`."""

    wandb: bool = False
    """To Weights & Biases; without an account (WANDB_API_KEY, `wandb login`) offline, into the
    run's folder."""
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
    device: Literal["any", "cpu", "gpu"] = "any"
    """What every process of the run must compute on; any is JAX's choice. On a machine with a GPU,
    gpu refuses to start where JAX would quietly use the CPU."""
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
        """The run's own place in the store, which `store.open_store` opens."""
        return f"{self.store.url.rstrip('/') or f'{self.runs}/store'}/{self.name}"


def to_json(experiment: Experiment) -> str:
    """The resolved experiment as JSON text."""
    return json.dumps(dataclasses.asdict(experiment), indent=1)
