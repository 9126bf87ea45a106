"""Settings of the eval-aux stream and of the store, which workers use too."""

import dataclasses
from typing import Literal

from zebjax.common import checks, hub

_MAX_GAMES_PER_FILE = 10_000

HUB_POLL_S = 15.0
"""Minimum seconds between polls of a Hub store."""


@dataclasses.dataclass(frozen=True)
class EvalAuxConfig:
    """The eval-aux stream: games of E[Q] against the current network, with their own ring."""

    enabled: bool = False
    """True to keep these games and train on them (the original's stage 1; False is its stage 0)."""
    batch_fraction: float = 0.05
    """Share of the updates of a cycle whose batch comes from this stream."""
    policy_weight: float = 0.0
    """Weight of the policy loss in those updates. Only E[Q]'s decisions have a policy target; the
    network's have none."""
    value_weight: float = 1.0
    """Weight of the value loss in those updates."""
    belief_weight: float = 0.5
    """Weight of the belief loss in those updates."""
    targets: Literal["soft", "one_hot"] = "soft"
    """Policy target of E[Q]'s decisions. soft: softmax(mean points over its sampled worlds /
    target_temperature). one_hot: the move that it plays."""
    target_temperature: float = 1.0
    """Temperature of the soft policy target, in points."""
    capacity_examples: int = 100_000
    """Capacity of the eval-aux ring in examples."""
    max_model_lag: int = 400
    """Drop games of weights that are more than this many cycles old; negative: no limit."""
    lag_half_life: int = 200
    """Number of cycles after which the probability of keeping a game halves; 0: keep all."""
    min_keep_weight: float = 0.10
    """Minimum of that probability."""
    worlds: int = 100
    """Worlds per decision of E[Q]."""
    temperature: float = 0.1
    """Temperature of the network's policy in these games."""
    games_per_file: int = 128
    """Games per file; a worker plays them at the same time."""
    games_per_cycle: int = 16
    """Games per cycle if one process plays and trains."""

    def __post_init__(self) -> None:
        checks.check(self, "eval_aux")
        for name, low, high in (
            ("batch_fraction", 0, 1),
            ("policy_weight", 0, 1e6),
            ("value_weight", 0, 1e6),
            ("belief_weight", 0, 1e6),
            ("target_temperature", 0.01, 100),
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
    """The store through which the processes of a run (`--role`) exchange weights and games."""

    url: str = ""
    """A folder, s3://BUCKET/PREFIX (gs://, az://) or hf://USER/REPO. The run uses a subfolder with
    its name. Empty: the folder `store` in the folder of all runs, for processes on one machine."""
    publish_every_cycles: int = 25
    """Number of cycles between publications of the learner's weights."""
    keep_weights: int = 5
    """Number of publications whose weights are kept in the store."""
    keep_examples: int = 128
    """Number of game files kept in the store: the newest, the same number for each worker. Older
    files are deleted after the learner has saved their games."""
    publish_torch: bool = False
    """Also publish <name>.pt with its two JSON files, for PyTorch workers of the original system.
    Their games are read from examples/<worker>/*.pt in the store: if the store is a folder, start
    them with `--output-dir STORE/NAME/examples/WORKER`."""
    games_per_file: int = 128
    """Games per file of a self-play worker."""
    poll_s: float = 5.0
    """Seconds between polls of the store. At least 15 s on the Hub, where an account has 1,000
    calls in five minutes, enough for about twenty workers."""
    upload_interval_s: float = 0.0
    """Minimum seconds between two writes of a process; a worker then sends several files at once.
    At least 60 on the Hub, where a repository takes 128 commits per hour from all processes
    together: 30 times the number of processes is safe."""
    spool_bytes: int = 1 << 30
    """Maximum bytes of games that a worker keeps on disk while the store cannot be reached; the
    oldest are deleted first."""

    def __post_init__(self) -> None:
        counts = ("publish_every_cycles", "keep_weights", "keep_examples", "games_per_file")
        checks.at_least(self, "store", 1, *counts, "spool_bytes")
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
    def effective_poll_s(self) -> float:
        """Seconds between polls: `poll_s`, but at least `HUB_POLL_S` on the Hub."""
        return max(self.poll_s, HUB_POLL_S) if hub.is_hub(self.url) else self.poll_s
